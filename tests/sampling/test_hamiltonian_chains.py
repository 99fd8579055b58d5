"""Hamiltonian chains, alone and with coarse Langevin moves: exact, tuned first and then frozen."""

import logging

import arviz as az
import numpy as np
import pytest
from scipy.stats import kstest

import pm_energy as pme
from pm_energy.compile import NotNative
from pm_energy.sampling import hamiltonian_blocks, langevin_density
from pm_energy.sampling.hamiltonian_blocks import choose_length, jittered
from pm_energy.sampling.langevin import sample_langevin

FALSE_ALARM = 1e-6
METHODS = ["hmc", "hybrid"]
WELL = pme.DoubleWell(2, barrier=2.0)


def run(energy, *args, **kwargs):
    return sample_langevin(energy, *args, **{"random_seed": 1, "progressbar": False, **kwargs})


def gaussian(variances):
    return pme.energy_from_function(
        lambda x, k: 0.5 * (k * x**2).sum(-1), pme.Real(), np.shape(variances), k=1.0 / variances
    )


def well_cdf(barrier):
    grid = np.linspace(-4, 4, 8001)
    cdf = np.cumsum(np.exp(-barrier * (grid**2 - 1) ** 2))
    return lambda x: np.interp(x, grid, cdf / cdf[-1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_chains_settle_on_the_target(method, temperature):
    """Chains forget their start and what explored for them within some hundred moves."""
    tree = run(WELL, 1, tune=200, method=method, temperature=temperature, chains=3000, thin=100)
    x = tree["posterior"]["x"].values.ravel()
    assert kstest(x, well_cdf(2.0 / temperature)).pvalue > FALSE_ALARM
    assert kstest(x, well_cdf(4.0 / temperature)).pvalue < FALSE_ALARM


@pytest.mark.parametrize("method", METHODS)
def test_everything_is_frozen_and_draws_do_not_depend_on_threads(method):
    pair = pme.GaussianMixtureEnergy([0.4, 0.6], [[0.0, 0.0], [0.5, 0.0]], [0.04, 1.0])
    trees = [
        run(pair, 20, tune=200, chains=1_200, method=method, cores=cores, thin=2, random_seed=5)
        for cores in (1, 2, 3)
    ]
    for tree in trees[1:]:
        np.testing.assert_array_equal(tree["posterior"]["x"], trees[0]["posterior"]["x"])
    other = run(pair, 20, tune=200, chains=1_200, method=method, thin=2, random_seed=6)
    assert (other["posterior"]["x"] != trees[0]["posterior"]["x"]).any("x_dim_0").mean() > 0.99
    stats = trees[0]["sample_stats"]
    longer = run(pair, 200, tune=200, chains=1_200, method=method, random_seed=5)["sample_stats"]
    for name in ("step_size", "coarse_step_size")[: 1 + (method == "hybrid")]:
        steps = np.unique(stats[name])
        assert len(steps) == 3  # one a block
        np.testing.assert_array_equal(np.unique(longer[name]), steps)  # draws teach nothing
    assert (stats["n_steps"] >= 2).all()
    assert stats["n_steps"].values.std() > 0  # jittered
    if method == "hybrid":
        assert (stats["coarse_step_size"] > 2 * stats["step_size"]).all()
        assert set(np.unique(stats["coarse"])) == {0.0, 0.5, 1.0}
        high = stats["energy"].values[:, :-1] > np.median(stats["energy"])
        coarse = stats["coarse"].values[:, 1:]
        assert coarse[high].mean() > 2 * coarse[~high].mean()


def test_trajectories_are_tuned_to_their_acceptance():
    tree = run(gaussian(np.geomspace(1, 25, 10)), 100, tune=1000, method="hmc", chains=64)
    rate = float(tree["sample_stats"]["acceptance_rate"].mean())
    assert rate == pytest.approx(hamiltonian_blocks.HAMILTONIAN, abs=0.05)


def test_methods_say_that_they_are_exact(caplog):
    with caplog.at_level(logging.INFO, logger="pymc"):
        tree = run(WELL, 2, tune=100, method="hybrid", chains=2)
    assert "(hybrid, exact)" in caplog.text
    assert tree["posterior"].attrs["exactness"] == "exact"
    assert tree["posterior"].attrs["sampling_method"] == "hybrid"


def test_trajectories_gain_on_long_directions():
    """Effective draws for each gradient: 15 in 1,000 by adjusted Langevin moves, 75 by these."""
    energy, rates = gaussian(np.geomspace(1, 25, 10)), {}
    for method, draws in (("mala", 2000), ("hmc", 500)):
        tree = run(energy, draws, tune=1000, method=method, chains=8)
        stats = tree["sample_stats"]
        gradients = float(stats["n_steps"].sum()) if "n_steps" in stats else draws * 8
        rates[method] = float(az.ess(tree)["x"].min()) / gradients
    assert rates["hmc"] > 2 * rates["mala"]


def test_coarse_moves_gain_where_scales_differ():
    """A narrow component and a wide one: trajectories fit for the one hardly move in the other."""
    slab = pme.GaussianMixtureEnergy([0.5, 0.5], [[0.0], [0.0]], [0.02**2, 1.0])
    rates = {}
    for method in METHODS:
        tree = run(slab, 400, tune=800, method=method, chains=64)
        ess = float(az.ess(tree)["x"].min())
        rates[method] = ess / float(tree["sample_stats"]["n_steps"].sum())
    assert rates["hybrid"] > 5 * rates["hmc"]  # 200 times


def refuse(*args):
    raise NotNative("for a test")


@pytest.mark.parametrize("method", METHODS)
def test_all_roads_lead_to_the_same_draws(method, monkeypatch):
    """To rounding, by unrolled, native and called gradients."""
    matrix = pme.energy_from_function(
        lambda x, a: (a * x**2).sum((-2, -1)), pme.Real(), (2, 3), a=np.arange(1.0, 7).reshape(2, 3)
    )
    trees = [run(matrix, 3, tune=100, chains=5, method=method)]
    for slower in ("_unrolled", "_native"):
        monkeypatch.setattr(langevin_density, slower, refuse)
        trees.append(run(matrix, 3, tune=100, chains=5, method=method))
    assert len({tree["posterior"].attrs["road"] for tree in trees}) == 3
    for tree in trees:
        assert tree["posterior"]["x"].shape == (5, 3, 2, 3)
        np.testing.assert_allclose(tree["posterior"]["x"], trees[0]["posterior"]["x"], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_exploring_does_not_lead_out_of_the_domain(method):
    wall = pme.energy_from_function(lambda x: -np.log(x).sum(-1) + x.sum(-1), pme.Real(), (1,))
    inside = run(wall, 200, tune=200, start=[30.0], method=method, chains=50)
    assert (inside["posterior"]["x"] > 0).all()
    assert float(inside["posterior"]["x"].mean()) == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("method", METHODS)
def test_chains_that_start_far_out_come_back(method):
    quartic = pme.DoubleWell(1, barrier=100.0)
    x = run(quartic, 50, tune=2000, start=[30.0], method=method)["posterior"]["x"].values
    assert (np.abs(np.abs(x) - 1) < 0.5).all()


def test_the_length_is_that_of_a_turn():
    """x goes to x cos(T) + z sin(T) in time T: x^2 changes by sin(T)^2, and cos(T) of x is left.

    For steps of .1 sin(T)^2 / T^(1/2) is best at T = 1.39, and of powers of two at 16 steps. At 32
    trajectories have turned back, at 8 they have .7 of the best.
    """
    rng = np.random.default_rng(8)

    class Exact:
        x = rng.normal(size=(1, 500))

    def move(n, length):
        lengths, states = jittered(rng, length, n), []
        for steps in lengths:
            z, angle = rng.normal(size=Exact.x.shape), 0.1 * steps
            Exact.x = Exact.x * np.cos(angle) + z * np.sin(angle)
            states.append(Exact.x)
        return np.array(states), None, None, lengths

    length, spent, states = choose_length(move, Exact, 450)
    assert length == 16
    assert spent == 50 * (1 + 5)  # some are forgotten; none of 64 steps
    assert states.shape == (50, 1, 500)


def test_lengths_are_jittered_by_half():
    rng = np.random.default_rng(9)
    for length, wanted in ((2, [1, 2, 3]), (4, [2, 3, 4, 5, 6])):
        assert np.unique(jittered(rng, length, 500)).tolist() == wanted
