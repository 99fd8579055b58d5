"""Learning in JAX: the same steps as the kernel's, from a graph that shares no code with it."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from pm_energy.networks import MLP
from pm_energy.training.regression import train
from pm_energy.training.regression_noise import score_levels

LINE = MLP(1, 1, hidden=())


def learn(**options):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 1))
    return train(LINE, LINE.init(rng), x, score_levels(0.5), rng, n_steps=3, **options)


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_both_backends_learn_the_same():
    """120 steps of float32 part by some 1e-6; without one of the settings they part by 1e-2."""
    command = [sys.executable, "-W", "error::UserWarning", "-m", "tests.training.jax_cases"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert max(found["differences"].values()) < 1e-3, found["differences"]
    failure, n_steps = found["diverging"]
    assert "the loss was not finite at step 32" in failure
    assert n_steps == 0  # what is good is known chunk by chunk


def test_without_jax_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    for name in [name for name in sys.modules if name.startswith("pytensor.link.jax")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=r"pip install 'pm_energy\[jax\]'"):
        learn(backend="jax")


def test_an_unknown_backend():
    with pytest.raises(ValueError, match="backend must be one of numba, jax, got 'torch'"):
        learn(backend="torch")
