"""Chains of a derived model: kernels, heat bath, hidden layers, Langevin steps."""

import pickle

import numpy as np
import pytest
from energy_builders import CASES, DENSE
from scipy.stats import chi2

import pm_energy as pme
from pm_energy.exact.enumeration import state_number
from pm_energy.testing.invariance import FALSE_ALARM, pooled_chisquare
from pm_energy.training.energy_model import EnergyModel


def sweep_at(beta):
    def sweep(model, theta, chains, rng):
        model.sweep(theta, chains, rng, beta=beta)

    return sweep


@pytest.mark.parametrize(("sweep", "is_right"), [(sweep_at(0.6), True), (sweep_at(1.0), False)])
@pytest.mark.parametrize("name", ["ising graph", "potts", "cubic", "bent"])
def test_a_sweep_leaves_the_tempered_distribution_invariant(name, sweep, is_right):
    """By kernels, or the heat bath from energies; independent exact starts, false alarms 1e-6."""
    case, rng = CASES[name], np.random.default_rng(21)
    p = case.probabilities(0.6)
    chains = {"visible": case.states[rng.choice(len(p), 8000, p=p)]}
    sweep(case.model, case.theta, chains, rng)
    number = state_number(chains["visible"], case.model._block.domain)
    assert (pooled_chisquare(number, p) > FALSE_ALARM) == is_right


def forgets_hidden(model, theta, chains, rng):
    before = chains["hidden"].copy()
    model.sweep(theta, chains, rng, beta=0.6)
    chains["hidden"][...] = before


@pytest.mark.parametrize(("sweep", "is_right"), [(sweep_at(0.6), True), (forgets_hidden, False)])
def test_a_sweep_leaves_the_joint_distribution_of_both_layers_invariant(sweep, is_right):
    rng, rbm = np.random.default_rng(22), pme.RBM([[2.0, -1.0], [-1.5, 0.5], [1.0, 2.0]], 0.3, -0.2)
    model = EnergyModel(rbm)
    theta = model.initial()
    states, p = pme.exact.distribution(pme.Tempered(pme.Joined(rbm), 0.6))
    v, h = np.split(states[rng.choice(len(p), 8000, p=p)], [3], axis=1)
    chains = {"visible": v, "hidden": h}
    sweep(model, theta, chains, rng)
    number = state_number(np.concatenate([chains["visible"], chains["hidden"]], axis=1),
                          pme.Binary())  # fmt: skip
    assert (pooled_chisquare(number, p) > FALSE_ALARM) == is_right


def langevin(model, theta, chains, rng):
    model.langevin(theta, chains, rng, 20, 0.25)


def mala(model, theta, chains, rng):
    model.sweep(theta, chains, rng, 20)


@pytest.mark.parametrize(("moves", "is_right"), [(mala, True), (langevin, False)])
def test_adjusted_langevin_is_exact_and_unadjusted_is_not(moves, is_right):
    """20,000 exact draws of a double well, in bins of equal probability."""
    rng, well = np.random.default_rng(23), pme.DoubleWell(barrier=3.0, tilt=0.3)
    model = EnergyModel(well)
    theta = model.initial()
    edges = np.quantile(well.draw(np.random.default_rng(1), 10**6), np.linspace(0, 1, 21)[1:-1])
    chains = {"visible": well.draw(rng, 20_000)}
    moves(model, theta, chains, rng)
    counts = np.bincount(np.searchsorted(edges, chains["visible"][:, 0]), minlength=20)
    # the edges are random, too: binomial errors of both samples add up
    inflation = 1 + 20_000 / 10**6
    statistic = ((counts - 1000) ** 2 / 1000).sum() / inflation
    assert (chi2.sf(statistic, 19) > FALSE_ALARM) == is_right


def test_langevin_steps_learn_their_size():
    model = EnergyModel(pme.GaussianMixtureEnergy([1.0], [[0.0, 0.0]], 0.01))
    theta = model.initial()
    chains = model.start(theta, np.random.default_rng(0), n=200)
    model.sweep(theta, chains, np.random.default_rng(1), 200)
    model.sweep(theta, chains, np.random.default_rng(2), 50)
    assert 0.5 < model.acceptance() < 0.65
    assert 0.08 < chains["visible"].std() < 0.12


def test_a_pickle_is_the_same_model_with_its_step_sizes():
    model = EnergyModel(pme.DoubleWell(2), learn="tilt")
    theta, ends = model.initial(), []
    model.sweep(theta, model.start(theta, np.random.default_rng(0), n=9), np.random.default_rng(0))
    for one in (pickle.loads(pickle.dumps(model)), model):
        chains = one.start(theta, np.random.default_rng(1), n=9)
        one.sweep(theta, chains, np.random.default_rng(2), 5)
        ends.append(chains["visible"])
    np.testing.assert_array_equal(*ends)


def test_bounded_units_start_and_stay_inside():
    graded = pme.GradedHopfield(DENSE, gain=2.0)
    model, rng = EnergyModel(graded, learn="coupling"), np.random.default_rng(0)
    chains = model.start(model.initial(), rng, n=50)
    model.sweep(model.initial(), chains, rng, 30)
    assert (np.abs(chains["visible"]) <= 1).all()
    slope = model.chain_statistics(model.initial(), chains)["coupling"]
    second = chains["visible"].T @ chains["visible"] / 50
    np.testing.assert_allclose(slope, 0.5 * second * (1 - np.eye(4)), atol=1e-12)
