"""Forward draws: each way of making them against exact distributions."""

import numpy as np
import pymc as pm
import pytensor
import pytest
from scipy.special import softmax

import pm_energy as pme
from pm_energy import draws, exact
from pm_energy.draws import draw_states
from pm_energy.energy import single_block
from pm_energy.exact import state_number
from pm_energy.testing import FALSE_ALARM, pooled_chisquare

RNG = np.random.default_rng(17)


def symmetric(n):
    matrix = RNG.normal(size=(n, n))
    return (matrix + matrix.T) * (1 - np.eye(n)) / 2


def assert_exact(energy, states, is_right=True):
    _, p = exact.distribution(energy)
    numbers = state_number(states, single_block(energy).domain)
    assert (pooled_chisquare(numbers, p) > FALSE_ALARM) == is_right


SHAPE = (2, 3)
MASK = np.array([[True, False, False], [False, False, True]])
THREE_SPINS = pme.energy_from_function(
    lambda x, a: -a * (x[..., :-2] * x[..., 1:-1] * x[..., 2:]).sum(-1), pme.Spin(), (4,), a=0.6
)
SMALL = {
    "ferromagnet": pme.Ising(lattice=SHAPE, coupling=0.4),
    "in fields": pme.Ising(lattice=SHAPE, coupling=0.3, field=RNG.normal(size=SHAPE)),
    "bonds": pme.Ising(graph=[[0, 1], [1, 2], [2, 0]], coupling=[0.1, 0.7, 0.4], field=0.2),
    "Potts": pme.Potts(3, lattice=SHAPE, coupling=0.8),
    "Potts in a field": pme.Potts(3, lattice=SHAPE, coupling=0.8, field=[0.3, 0.0, -0.3]),
    "spin glass": pme.Ising(lattice=SHAPE, coupling=RNG.normal(size=9)),
    "dense": pme.BoltzmannMachine(symmetric(6), RNG.normal(size=6)),
    "RBM": pme.Marginal(pme.RBM(RNG.normal(size=(5, 3)), RNG.normal(size=5))),
    "clamped": pme.Clamped(pme.Ising(lattice=SHAPE, coupling=0.5), MASK, np.ones(SHAPE)),
    "three spins": THREE_SPINS,
}
EXACT = ("ferromagnet", "in fields", "bonds", "Potts")


@pytest.mark.parametrize("name", SMALL)
def test_draws_from_a_table(name):
    assert_exact(SMALL[name], draw_states(SMALL[name], np.random.default_rng(0), 20_000))


@pytest.mark.parametrize("name", SMALL)
def test_draws_without_a_table(monkeypatch, name):
    """The ways for large fields, on small ones: exact, or the end of a run that is long here."""
    monkeypatch.setattr(draws, "TABLE_LIMIT", 0)
    monkeypatch.setattr(draws, "GIBBS_SWEEPS", 10 if name == "three spins" else 30)
    size = 4000 if name == "three spins" else 20_000
    assert_exact(SMALL[name], draw_states(SMALL[name], np.random.default_rng(0), size))


@pytest.mark.parametrize("name", ["spin glass", "dense", "Potts in a field"])
def test_short_runs_are_seen(monkeypatch, name):
    monkeypatch.setattr(draws, "TABLE_LIMIT", 0)
    monkeypatch.setattr(draws, "GIBBS_SWEEPS", 1)
    assert_exact(SMALL[name], draw_states(SMALL[name], np.random.default_rng(0), 20_000), False)


@pytest.mark.parametrize("name", SMALL)
def test_which_draws_are_exact(monkeypatch, name):
    monkeypatch.setattr(draws, "TABLE_LIMIT", 0)
    monkeypatch.setattr(draws, "GIBBS_SWEEPS", 0)  # would leave uniform states
    states = draw_states(SMALL[name], np.random.default_rng(0), 4000)
    assert_exact(SMALL[name], states, name in EXACT)


def test_where_the_past_is_too_far_draws_say_that_they_are_not_exact(monkeypatch):
    monkeypatch.setattr(draws, "PERFECT_SWEEPS", 4)
    ordered = pme.Ising(lattice=(16, 16), coupling=1.0, field=np.tile([0.1, -0.1], (16, 8)))
    with pytest.warns(UserWarning, match="not exact"):
        assert draw_states(ordered, np.random.default_rng(0), 2).shape == (2, 16, 16)


def test_an_energy_may_draw_for_itself():
    class Fair(pme.Ising):
        def draw(self, rng, size):
            return np.full((size, *self.event_shape), 1, dtype=np.int8)

    z = pme.Boltzmann.dist(Fair(lattice=(20, 20)))
    assert (pm.draw(z, 3, random_seed=1) == 1).all()


def test_many_states():
    energy = pme.Potts(200, lattice=(3, 3), coupling=60.0)
    states = draw_states(energy, np.random.default_rng(0), 50)
    assert states.dtype == np.int16
    assert (states == states[:, :1, :1]).all()
    assert states.max() > 127


def gaussian_layer():
    """Visible layer of a Gaussian RBM: a mixture of Gaussians, one for each hidden state."""
    weights, a, b, variance = np.array([[1.0, -0.6], [0.5, 1.2]]), 0.3, np.array([-0.5, 0.2]), 0.7
    rbm = pme.RBM(weights, a, b, visible="gaussian", variance=variance)
    h = exact.all_states(pme.energy.Block(pme.Binary(), (2,))).astype(float)
    means = a + h @ weights.T
    p = softmax(h @ b + (means**2 - a**2).sum(1) / (2 * variance))
    mean = p @ means
    return rbm, mean, p @ (means**2 + variance) - mean**2


def test_continuous_draws(monkeypatch):
    monkeypatch.setattr(draws, "NUTS_STEPS", 40)
    rbm, mean, variance = gaussian_layer()
    x = draw_states(pme.Marginal(rbm), np.random.default_rng(4), 100)
    # the draws are independent: 5 standard errors are exceeded once in a million
    assert (np.abs(x.mean(0) - mean) < 5 * np.sqrt(variance / 100)).all()
    assert (np.abs(x.var(0) / variance - 1) < 5 * np.sqrt(3 / 100)).all()
    again = draw_states(pme.Marginal(rbm), np.random.default_rng(4), 2)
    np.testing.assert_array_equal(again[0], x[0])


def test_continuous_draws_follow_their_parameters(monkeypatch):
    monkeypatch.setattr(draws, "NUTS_STEPS", 50)
    weights = np.zeros((2, 1))
    for mean in (-5.0, 10.0):
        layer = pme.Marginal(pme.RBM(weights, mean, visible="gaussian"))
        [x] = draw_states(layer, np.random.default_rng(4), 1)
        assert np.abs(x - mean).max() < 5.5  # standard deviations


@pytest.mark.parametrize("mode", [None, "FAST_COMPILE"], ids=["numba", "python"])
def test_draws_of_a_variable_are_the_energys(mode):
    z = pme.Boltzmann.dist(SMALL["in fields"], shape=(20_000, *SHAPE))
    fn = pytensor.function([], z, mode=mode)
    assert_exact(SMALL["in fields"], fn())


def test_seeds():
    z = pme.Boltzmann.dist(pme.Ising(lattice=(16, 16), coupling=0.3))
    one, same, other = (pm.draw(z, 3, random_seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    assert (one[0] != one[1]).any()


def test_prior_predictive_of_a_random_coupling():
    """Z(J) does not depend on who draws: the joint law of J and the field is that of the model."""
    with pm.Model():
        J = pm.Uniform("J", 0.0, 1.0)
        z = pme.Boltzmann("z", pme.Ising(lattice=SHAPE, coupling=J))
        pm.Normal("y", z, 0.5, shape=SHAPE)
        prior = pm.sample_prior_predictive(2000, random_seed=3)["prior"]
    couplings, states = prior["J"].values.ravel(), prior["z"].values.reshape(-1, *SHAPE)
    assert states.dtype == np.int8
    assert prior["y"].shape[2:] == SHAPE
    cost = [
        exact.moments(pme.Ising(lattice=SHAPE, coupling=j)) for j in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    wanted = np.interp(couplings, (0.0, 0.25, 0.5, 0.75, 1.0), [m.second[0, 1] for m in cost])
    bond = states[:, 0, 0] * states[:, 0, 1]
    # P(|mean - E| > t) <= 2 exp(-n t^2 / 2), and .02 for the interpolation
    assert abs((bond - wanted).mean()) < np.sqrt(2 * np.log(2 / FALSE_ALARM) / 2000) + 0.02
    assert np.corrcoef(couplings, bond)[0, 1] > 0.1


def test_posterior_predictive():
    with pm.Model():
        p = pm.Beta("p", 1, 1)
        pme.Boltzmann("z", pme.Ising(lattice=SHAPE, coupling=p), observed=np.ones(SHAPE))
        trace = pm.sample(50, tune=50, chains=1, random_seed=1, progressbar=False, quiet=True)
        replicated = pm.sample_posterior_predictive(trace, random_seed=1, progressbar=False)
    states = replicated["posterior_predictive"]["z"]
    assert states.shape == (1, 50, *SHAPE)
    assert set(np.unique(states)) == {-1, 1}
