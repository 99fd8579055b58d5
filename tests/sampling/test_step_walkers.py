"""Walkers by PyMC steps: copies of steps, states that come back, temperatures that arrive."""

import cloudpickle
import numpy as np
import pymc as pm
import pytest
from scipy.stats import kstest
from tempered_models import everything, two_modes

import pm_energy as pme
from pm_energy.paths import make_path
from pm_energy.walkers.step_copies import copy_step
from pm_energy.walkers.step_walkers import StepWalkers

LADDER = np.array([0.0, 0.3, 1.0])


def test_a_copy_of_a_step_is_the_same_step_and_another():
    with everything():
        steps = [
            pm.NUTS(),
            pme.EnergyGibbs(),
            pm.BinaryGibbsMetropolis([pm.modelcontext(None)["shifted"]]),
        ]
        start = pm.modelcontext(None).initial_point()
    step = pm.step_methods.CompoundStep(steps)
    other = copy_step(step)
    ends = []
    for one in (step, other):
        one.setup_chain(np.random.default_rng(1), 20, 0)
        one.reset_tuning()
        point = start
        for _ in range(20):
            point, _ = one.step(point)
        ends.append(point)
    for name, value in ends[0].items():
        np.testing.assert_array_equal(value, ends[1][name])


def test_a_state_comes_back_in_another_process_and_ladder():
    """Steps of all kinds go on as if nothing had happened, tuned as they were."""
    path = make_path(everything())
    walkers = StepWalkers(path, 3, tune=20)
    rng, levels = np.random.default_rng(0), np.arange(3)
    walkers.start(rng)
    walkers.set_ladder(LADDER)
    for _ in range(10):
        walkers.move(rng, levels)
    kept = cloudpickle.dumps((walkers.state(), rng))
    for _ in range(5):
        walkers.move(rng, levels)
    other = StepWalkers(make_path(everything()), 3, tune=20)
    state, rng = cloudpickle.loads(kept)
    other.restore(state)
    for _ in range(5):
        other.move(rng, levels)
    mine, theirs = walkers.values(levels), other.values(levels)
    for name, value in mine.items():
        np.testing.assert_array_equal(value, theirs[name])
    np.testing.assert_array_equal(walkers.log_ratio, other.log_ratio)


def test_walkers_are_copied_whole_and_levels_added():
    walkers = StepWalkers(make_path(two_modes()), 2, tune=10)
    rng = np.random.default_rng(0)
    walkers.start(rng)
    walkers.set_ladder([0.0, 1.0])
    walkers.take(np.array([1, 1, 0]))
    x = walkers.values([0, 1, 2])["x"]
    assert x[0] == x[1] != x[2]
    walkers.set_ladder(LADDER)
    assert [step is None for step in walkers.steps] == [True, False, False]
    walkers.move(rng, np.arange(3))
    assert np.unique(walkers.values([0, 1, 2])["x"]).size == 3


@pytest.mark.parametrize(
    ("ladder", "is_right"), [(LADDER, True), (np.array([0.0, 0.9, 1.0]), False)]
)
def test_a_step_moves_at_the_temperature_of_its_level(ladder, is_right):
    """Starts at exact draws of the tempered normal posterior: KS, one false alarm in a million."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2)
        pm.Normal("y", mu, 1, observed=3.0)
        step = pm.Slice()
    n, beta = 500, 0.3
    walkers = StepWalkers(make_path(model), n, step, tune=0)
    rng = np.random.default_rng(5)
    walkers.start(rng)
    walkers.set_ladder(ladder)
    walkers.freeze()
    precision = 0.25 + beta
    mean, sd = 3 * beta / precision, precision**-0.5
    walkers.put({"mu": rng.normal(mean, sd, size=n)})
    walkers.move(rng, np.ones(n, dtype=int), n_sweeps=5)
    draws = walkers.values(np.arange(n))["mu"]
    assert (kstest((draws - mean) / sd, "norm").pvalue > 1e-6) == is_right


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_gibbs_sweeps_feel_the_temperature(beta):
    """A field alone under a shared beta: mean energy of 2 x 2 spins by enumeration, 5 errors."""
    energy = pme.Ising(lattice=(2, 2), periodic=(False, False), coupling=1.0)
    with pm.Model() as model:
        pme.Boltzmann("x", energy)
        step = pme.EnergyGibbs()
    walkers = StepWalkers(make_path(model), 1, step, tune=0)
    rng = np.random.default_rng(1)
    walkers.start(rng)
    walkers.set_ladder(np.array([beta, 1.0]))
    ratios = np.empty(2000)
    for i in range(2000):
        walkers.move(rng, np.zeros(1, dtype=int), n_sweeps=2)
        ratios[i] = walkers.log_ratio[0]
    states, p = pme.exact.distribution(pme.Tempered(energy, beta))
    exact = -p @ pme.energy_values(energy, states)
    error = ratios[200:].reshape(18, 100).mean(axis=1).std(ddof=1) / np.sqrt(18)
    assert abs(ratios[200:].mean() - exact) < 5 * error
