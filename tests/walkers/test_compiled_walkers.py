"""Walkers in one jitted loop: exact at each temperature, tuned, reproducible."""

import hashlib
import os
import subprocess
import sys

import cloudpickle
import numpy as np
import pymc as pm
import pytest
from scipy.stats import kstest

from pm_energy.compile import NotNative, compile_function
from pm_energy.paths import make_path
from pm_energy.walkers import compiled_walkers, spread
from pm_energy.walkers.compiled_walkers import CompiledWalkers

FALSE_ALARM = 1e-6
BETAS = np.array([0.0, 0.1, 1.0])
DESIGN = np.random.default_rng(1).normal(size=(20, 3)) @ np.array([[1, 0, 0], [3, 1, 0], [0, 0, 2]])
SEEN = DESIGN @ [1.0, -0.5, 0.2] + np.random.default_rng(2).normal(size=20)
MOVES = ["slice", "hmc", "mala"]


def regression():
    with pm.Model() as model:
        slope = pm.Normal("slope", 0.0, 2.0, shape=3)
        pm.Normal("y", DESIGN @ slope, 1.0, observed=SEEN)
    return model


def law(beta):
    """Mean and covariance of the slopes at an inverse temperature."""
    covariance = np.linalg.inv(np.eye(3) / 4.0 + beta * DESIGN.T @ DESIGN)
    return beta * covariance @ DESIGN.T @ SEEN, covariance


@pytest.fixture(scope="module")
def path():
    return make_path(regression())


def started(path, moves="slice", size=60, seed=0):
    walkers = CompiledWalkers(path, size, moves)
    rng = np.random.default_rng(seed)
    walkers.start(rng)
    walkers.set_ladder(BETAS)
    return walkers, rng


def tune(walkers, rng, rounds=6):
    for _ in range(rounds):
        walkers.move(rng, np.arange(walkers.size) % len(BETAS), 3)
        walkers.adapt()


@pytest.mark.parametrize("moves", MOVES)
def test_moves_leave_each_level_invariant(path, moves):
    """Exact starts, one sweep, three coordinates at three levels and their sum."""
    walkers, rng = started(path, moves)
    tune(walkers, rng, rounds=3)
    walkers.freeze()
    n = 5000
    levels = np.repeat(np.arange(len(BETAS)), n)
    walkers.take(np.zeros(len(levels), dtype=int))
    walkers.put({"slope": np.concatenate([rng.multivariate_normal(*law(b), n) for b in BETAS])})
    before = walkers.x.copy()
    walkers.move(rng, levels)
    assert ((walkers.x != before).any(axis=1)).mean() > 0.5
    for k, beta in enumerate(BETAS):
        mean, covariance = law(beta)
        x = walkers.values(np.flatnonzero(levels == k))["slope"]
        for a in [*np.eye(3), np.ones(3)]:
            z = (x - mean) @ a / np.sqrt(a @ covariance @ a)
            assert kstest(z, "norm").pvalue > FALSE_ALARM / 12


@pytest.mark.parametrize("moves", MOVES)
def test_tuning_learns_each_level(path, moves):
    walkers, rng = started(path, moves, size=600)
    tune(walkers, rng, rounds=25)
    for k in (1, 2):
        found = walkers._spread.scale[k] @ walkers._spread.scale[k].T
        np.testing.assert_allclose(
            found, law(BETAS[k])[1], rtol=0.5, atol=0.3 * np.abs(found).max()
        )
    if moves != "slice":
        took = walkers.move(rng, np.full(600, 2), 10)
        assert 0.6 < took.mean() < 0.95


def test_log_ratio_is_that_of_the_path(path):
    walkers, rng = started(path, "hmc")
    log_ratio = compile_function(path.inputs, path.log_ratio, mode="FAST_COMPILE")

    def check():
        expected = [log_ratio(x) for x in walkers.values(np.arange(walkers.size))["slope"]]
        np.testing.assert_allclose(walkers.log_ratio, expected, rtol=1e-12)

    check()
    walkers.move(rng, np.arange(60) % 3)
    check()
    walkers.take(np.array([5, 5, 7]))
    assert walkers.size == 3
    assert walkers.log_ratio[0] == walkers.log_ratio[1] != walkers.log_ratio[2]
    check()
    walkers.put({"slope": np.ones((3, 3))})
    check()


def test_the_base_is_drawn_anew_and_nobody_counts_slices(path):
    walkers, rng = started(path)
    took = walkers.move(rng, np.arange(60) % 3)
    np.testing.assert_array_equal(took[::3], 1.0)
    assert np.isnan(took[1::3]).all()
    one = np.full(60, 1)
    one[3] = 0
    seen = []
    for _ in range(150):  # more than a stock of draws
        walkers.move(rng, one)
        seen.append(walkers.x[3].copy())
    assert len(np.unique(seen, axis=0)) == 150
    assert kstest(np.ravel(seen) / 2.0, "norm").pvalue > FALSE_ALARM


@pytest.mark.parametrize("moves", ["slice", "hmc"])
def test_a_state_goes_on_with_the_same_draws(path, moves):
    walkers, rng = started(path, moves)
    tune(walkers, rng, rounds=2)
    walkers.move(rng, np.arange(60) % 3)  # notes that are not yet learned from
    saved = cloudpickle.dumps((walkers.state(), rng))
    tune(walkers, rng)
    for other in (walkers, CompiledWalkers(path, 1, moves)):
        state, rng = cloudpickle.loads(saved)
        x = walkers.x.copy()
        other.restore(state)
        tune(other, rng)
        np.testing.assert_array_equal(other.x, x)


def test_walkers_travel_to_other_processes(path):
    walkers, rng = started(path, "hmc")
    tune(walkers, rng, rounds=2)
    other, its_rng = cloudpickle.loads(cloudpickle.dumps((walkers, rng)))
    tune(walkers, rng)
    tune(other, its_rng)
    np.testing.assert_array_equal(other.x, walkers.x)


def test_frozen_walkers_are_not_tuned(path):
    walkers, rng = started(path, "hmc")
    tune(walkers, rng, rounds=2)
    walkers.freeze()
    scale, step = walkers._spread.scale.copy(), walkers._step.copy()
    tune(walkers, rng)
    np.testing.assert_array_equal(walkers._spread.scale, scale)
    np.testing.assert_array_equal(walkers._step, step)
    walkers.start(rng)
    tune(walkers, rng)
    assert (walkers._step != step).any()


def test_a_new_ladder_begins_with_what_the_nearest_level_knew(path):
    walkers, rng = started(path, "hmc")
    tune(walkers, rng)
    scale, step = walkers._spread.scale, walkers._step
    walkers.set_ladder([0.0, 0.01, 0.09, 0.6, 1.0])
    np.testing.assert_array_equal(walkers._step, step[[0, 0, 1, 2, 2]])
    np.testing.assert_array_equal(walkers._spread.scale, scale[[0, 0, 1, 2, 2]])


def test_values_have_the_shapes_of_the_model():
    with pm.Model() as model:
        a, b = pm.Exponential("a", 1.0), pm.Normal("b", 0.0, 1.0, shape=(2, 3))
        pm.Normal("y", b.sum() + a, 1.0, observed=1.0)
    path = make_path(model)
    walkers, rng = started(path, size=5)
    walkers.move(rng, np.array([0, 1, 2, 2, 1]))
    values = walkers.values([4, 0])
    assert {name: x.shape for name, x in values.items()} == {"a_log__": (2,), "b": (2, 2, 3)}
    every = walkers.values(range(5))
    walkers.put({name: x[::-1] for name, x in every.items()})
    np.testing.assert_array_equal(walkers.values([0, 4])["b"], values["b"])


@pytest.mark.parametrize(("up_to", "road"), [(3, "compiled slice"), (2, "Hamiltonian")])
def test_dimension_decides_on_the_moves(path, monkeypatch, up_to, road):
    monkeypatch.setattr(compiled_walkers, "SLICES_UP_TO", up_to)
    assert road in CompiledWalkers(path, 2).road


def test_many_dimensions_have_variances_only(path, monkeypatch):
    monkeypatch.setattr(spread, "DENSE", 2)
    walkers, rng = started(path, "hmc", size=300)
    tune(walkers, rng, rounds=40)
    assert walkers._spread.scale.shape == (3, 3)
    for k in (1, 2):
        mean, covariance = law(BETAS[k])
        x = np.concatenate([_moved(walkers, rng, k) for _ in range(10)])
        np.testing.assert_allclose(x.mean(axis=0), mean, atol=0.1 * np.sqrt(covariance.max()))
        np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.1 * covariance.max())


def _moved(walkers, rng, level):
    walkers.move(rng, np.full(walkers.size, level), 5)
    return walkers.x.copy()


def test_what_walkers_cannot_do_is_refused(path):
    with pytest.raises(ValueError, match="moves must be one of"):
        CompiledWalkers(path, 2, "nuts")
    with pm.Model() as model:
        k = pm.Poisson("k", 3.0)
        pm.Normal("y", k, 1.0, observed=2.0)
    with pytest.raises(NotNative, match=r"k.*discrete"):
        CompiledWalkers(make_path(model), 2)


def test_a_start_that_is_not_a_number_is_named():
    with pm.Model() as model:
        x = pm.Normal("x", 0.0, 1.0)
        pm.Normal("y", x, 1.0, observed=0.0)
        pm.Potential("broken", pm.math.log(-pm.math.exp(x)))
    walkers = CompiledWalkers(make_path(model, temper=["likelihood", "potentials"]), 4)
    with pytest.raises(ValueError, match=r"not a number at any of 4 draws.*broken = nan"):
        walkers.start(np.random.default_rng(0))


def test_a_target_that_vanishes_in_places_is_kept_out_of():
    with pm.Model() as model:
        x = pm.Normal("x", 0.0, 1.0)
        pm.Potential("wall", pm.math.switch(x > 1.0, 0.0, -np.inf))
    walkers, rng = started(make_path(model), size=300)
    assert (walkers.log_ratio == -np.inf).mean() > 0.5
    tune(walkers, rng)
    levels = np.arange(300) % 3
    x = walkers.values(range(300))["x"]
    assert (x[levels > 0] > 1.0).all()
    assert (x[levels == 0] < 0.0).any()


SCRIPT = """
import hashlib, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_compiled_walkers import make_path, regression, started, tune
digest = hashlib.sha256()
for moves in ("slice", "hmc"):
    walkers, rng = started(make_path(regression()), moves, size=12)
    tune(walkers, rng)
    digest.update(walkers.x.tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_a_cold_and_a_warm_cache_give_the_same_draws(tmp_path, path):
    """And so do processes with another number of threads."""
    script = [sys.executable, "-c", SCRIPT, os.path.dirname(__file__)]
    caches = {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path}", "NUMBA_CACHE_DIR": str(tmp_path)}
    found = [
        subprocess.run(
            script, env={**os.environ, **caches, "NUMBA_NUM_THREADS": threads},
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for threads in ("1", "2")
    ]  # fmt: skip
    here = hashlib.sha256()
    for moves in ("slice", "hmc"):
        walkers, rng = started(path, moves, size=12)
        tune(walkers, rng)
        here.update(walkers.x.tobytes())
    assert found == [here.hexdigest()] * 2
