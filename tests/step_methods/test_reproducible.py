"""The same seed gives the same draws: for any number of processes, after a stop, uncached."""

import hashlib
import os
import pickle
import subprocess
import sys

import cloudpickle
import numpy as np
import pymc as pm
import pytest
from field_models import ISING, POTTS, Margin, ThreeSpin, Y, build, random_point
from pymc.step_methods.compound import CompoundStep

import pm_energy as pme

QUIET = {"progressbar": False, "quiet": True, "compute_convergence_checks": False}


def every_road():
    with pm.Model() as model:
        z = pme.Boltzmann("z", ISING)
        x = pme.Boltzmann("x", POTTS)
        pme.Boltzmann("three", ThreeSpin(0.4))
        pme.Boltzmann("margin", Margin(0.4))
        pm.Normal("y", 0.3 * z + x, 1.0, observed=Y)
    return model


def draws(model, **kwargs):
    with model:
        trace = pm.sample(15, tune=5, chains=2, random_seed=11, **(QUIET | kwargs))
    return trace["posterior"].dataset


def test_draws_do_not_depend_on_the_number_of_processes():
    model = every_road()
    one, two = draws(model, cores=1), draws(model, cores=2)
    assert one.equals(two)
    assert (one["z"][0] != one["z"][1]).any()


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_draws_do_not_depend_on_how_processes_start(context):
    # fields only: what PyMC compiles for its own steps has other bits before it is cached
    with pm.Model() as model:
        z, x = pme.Boltzmann("z", ISING), pme.Boltzmann("x", POTTS)
        pm.Normal("y", 0.3 * z + x, pm.Data("sigma", 1.0), observed=Y)
    assert draws(model, cores=1).equals(draws(model, cores=2, mp_ctx=context))


def test_seeds_differ():
    model = build("prior")
    with model:
        one, other = (
            pm.sample(15, tune=0, chains=1, random_seed=seed, **QUIET)["posterior"]["z"]
            for seed in (1, 2)
        )
    assert (one != other).any()


def steps_of(model):
    with model:
        fields = [pme.EnergyGibbs([model[name]]) for name in ("z", "x", "three", "margin")]
        return CompoundStep([*fields, pme.EnergyCluster([model["x"]])])


def run(step, point, n):
    out = []
    for _ in range(n):
        point, stats = step.step(point)
        out.append((point, stats))
    return point, out


def same(runs, others):
    for (point, stats), (other, other_stats) in zip(runs, others, strict=True):
        assert stats == other_stats
        for name, x in point.items():
            np.testing.assert_array_equal(x, other[name])


def test_a_run_resumes_bit_by_bit():
    model = every_road()
    step = steps_of(model)
    step.setup_chain(np.random.default_rng(1), 5, 20)
    point, _ = run(step, model.initial_point(), 5)
    saved = pickle.dumps((step.sampling_state, point))
    _, wanted = run(step, point, 5)

    state, point = pickle.loads(saved)
    fresh = steps_of(every_road())
    fresh.sampling_state = state
    _, found = run(fresh, point, 5)
    same(found, wanted)

    fresh.sampling_state = state
    fresh.methods[0].rng = np.random.default_rng(0)
    _, others = run(fresh, point, 5)
    with pytest.raises(AssertionError):
        same(others, wanted)


def test_states_of_other_settings_are_refused():
    model = every_road()
    with model:
        state = pme.EnergyGibbs([model["z"]], sweeps_per_draw=3).sampling_state
        for step in (
            pme.EnergyGibbs([model["z"]]),
            pme.EnergyGibbs([model["x"]], sweeps_per_draw=3),
        ):
            with pytest.raises(ValueError, match="frozen"):
                step.sampling_state = state


def test_steps_survive_a_pickle():
    model = every_road()
    step = steps_of(model)
    step.setup_chain(np.random.default_rng(1), 5, 20)
    copy = cloudpickle.loads(cloudpickle.dumps(step))
    point = model.initial_point()
    same(run(copy, point, 4)[1], run(step, point, 4)[1])


def test_steps_use_the_generator_of_the_chain():
    """Not the one they were built with, nor the global one."""
    model = build("Gaussian")
    point = random_point(model, 1)
    steps = [pme.EnergyGibbs([model["z"]], model=model, rng=seed) for seed in (1, 2)]
    for step in steps:
        step.setup_chain(np.random.default_rng(7), 0, 3)
    same(run(steps[0], point, 3)[1], run(steps[1], point, 3)[1])


SCRIPT = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from test_reproducible import draws, every_road
posterior = draws(every_road(), cores=1)
digest = hashlib.sha256(b"".join(posterior[name].values.tobytes() for name in sorted(posterior)))
print("digest", digest.hexdigest())
"""


@pytest.mark.slow
def test_a_cold_compiler_cache_gives_the_same_draws(tmp_path):
    """With fast-math a cold and a warm cache differ in the last bits, enough to part two chains."""
    caches = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
        "PYTENSOR_FLAGS": f"base_compiledir={tmp_path / 'pytensor'}",
    }
    found = []
    for _ in ("cold", "warm"):
        command = [sys.executable, "-c", SCRIPT, os.path.dirname(__file__)]
        out = subprocess.run(command, env=caches, capture_output=True, text=True, check=True).stdout
        found.append(out.split("digest ")[1].split()[0])
    here = draws(every_road(), cores=1)
    data = b"".join(here[name].values.tobytes() for name in sorted(here))
    assert found == [hashlib.sha256(data).hexdigest()] * 2
