"""Chains of network energies, and the gradients that learning makes of them."""

import re

import numpy as np
import pytest
from scipy.stats import chi2, norm

from pm_energy.energies.neural import NeuralEnergy
from pm_energy.testing.invariance import FALSE_ALARM, pooled_chisquare
from pm_energy.training import score_chains
from pm_energy.training.energy_continuous import StepSize
from pm_energy.training.energy_matching import EnergyMatchingObjective, TransportMatching
from pm_energy.training.energy_model import EnergyModel
from pm_energy.training.likelihood import PersistentCD
from pm_energy.training.replay import ReplayBuffer
from pm_energy.training.score_adam import Adam
from pm_energy.training.score_draws import grid_log_partition
from pm_energy.training.score_fit import fit_steps
from pm_energy.training.score_model import ScoreModel
from pm_energy.training.score_network import NetworkModel
from pm_energy.training.score_partition import annealed_log_partition

# wells at -2.5 and 4.7 with shares of .55 and .45, and 6 kT between them
WELLS = NeuralEnergy(
    ([[3.0, -3.0]], [-4.0, -4.0]), ([-4.0, -3.7],), activation="tanh", location=1.0, scale=2.0
)
MODEL = NetworkModel(WELLS)
THETA = MODEL.initial()
GRID = np.linspace(-15.0, 17.0, 64_001)[:, None]


def grid_probabilities():
    """Probabilities of the grid's points under WELLS."""
    p = np.exp(-MODEL.free_energy(THETA, GRID))
    return p / p.sum()


def draws(rng, n):
    """Independent draws of WELLS, by its distribution function."""
    cdf = np.cumsum(grid_probabilities())
    return np.interp(rng.random((n, 1)), cdf, GRID[:, 0])


@pytest.mark.parametrize("move", ["start", "sweep", "langevin"])
def test_chains_are_those_of_the_formula(move):
    """Where units have the length 1, to rounding: nothing is written by hand twice."""
    energy = NeuralEnergy.initial(np.random.default_rng(1), 2, (5, 4))
    found = []
    for model in (NetworkModel(energy), ScoreModel(energy), EnergyModel(energy)):
        rng, theta = np.random.default_rng(2), model.initial()
        chains = model.start(theta, rng, n=20)
        if move == "sweep":
            model.sweep(theta, chains, rng, 10)
        elif move == "langevin":
            model.langevin(theta, chains, rng, 10, 0.3)
        found.append(model.visible(chains))
    np.testing.assert_allclose(found[0], found[2], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found[1], found[2], rtol=1e-10, atol=1e-10)


def test_a_step_is_as_long_as_units_are():
    """Energies that are the same but for units have chains that are, with the same seed."""
    weights, biases = ([[3.0, -3.0], [1.0, 2.0]], [-4.0, 1.0]), ([-4.0, -3.7],)
    ends = []
    for location, scale in ((0.0, 1.0), ([5.0, -300.0], [0.01, 100.0])):
        model = NetworkModel(NeuralEnergy(weights, biases, location=location, scale=scale))
        theta, rng = model.initial(), np.random.default_rng(3)
        chains = model.start(theta, rng, n=50)
        model.jump(theta, chains, location + np.multiply(scale, np.eye(2)), rng)
        model.sweep(theta, chains, rng, 20)
        ends.append((chains["visible"] - location) / scale)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-8, atol=1e-8)


def without_the_proposal(z, rows):
    """As if a jump were as likely as the one back."""
    return np.zeros(len(z))


@pytest.mark.parametrize(
    ("kernels", "is_right"), [(score_chains._log_kernels, True), (without_the_proposal, False)]
)
def test_jumps_leave_the_density_invariant(kernels, is_right, monkeypatch):
    """From independent draws to independent draws: counts in 40 cells of equal probability."""
    monkeypatch.setattr(score_chains, "_log_kernels", kernels)
    rng, n = np.random.default_rng(4), 20_000
    chains = {"visible": draws(rng, n)}
    for _ in range(3):
        before = chains["visible"].copy()
        MODEL.jump(THETA, chains, draws(rng, 30), rng)
        assert (chains["visible"] != before).mean() > 0.2
        MODEL.sweep(THETA, chains, rng, 1)
    cdf = np.interp(chains["visible"][:, 0], GRID[:, 0], np.cumsum(grid_probabilities()))
    cells = np.minimum((40 * cdf).astype(int), 39)
    p_value = pooled_chisquare(cells, np.full(40, 1 / 40))
    assert (p_value > FALSE_ALARM) == is_right


def test_jumps_give_modes_their_shares_from_any_start():
    """All chains in one well; Langevin steps alone would leave them there."""
    rng = np.random.default_rng(5)
    p = grid_probabilities()
    share = p[GRID[:, 0] < 1].sum()
    shares = {}
    for jumps in (True, False):
        chains = {"visible": np.full((4000, 1), 4.7)}
        for _ in range(12):
            if jumps:
                MODEL.jump(THETA, chains, draws(rng, 50), rng)
            MODEL.sweep(THETA, chains, rng, 2)
        shares[jumps] = np.mean(chains["visible"] < 1)
    bound = norm.isf(FALSE_ALARM / 2) * np.sqrt(share * (1 - share) / 4000)
    assert abs(shares[True] - share) < bound
    assert shares[False] < 0.1


def exact_gradient(x):
    """Of the mean negative log-likelihood, by quadrature, and deviations of one draw's share."""
    p = grid_probabilities()
    keep = p > 1e-12
    rows = [MODEL.statistics(THETA, row[None]) for row in GRID[keep][::40]]
    share = p[keep][::40] / p[keep][::40].sum()
    model = MODEL.statistics(THETA, GRID, p)
    deviation = {}
    for name, mean in model.items():
        squares = sum(w * (row[name] - mean) ** 2 for w, row in zip(share, rows, strict=True))
        deviation[name] = np.sqrt(squares)
    data = MODEL.statistics(THETA, x)
    return {name: model[name] - data[name] for name in model}, deviation


def still(model, theta, chains, *args):
    """Chains that never move."""


@pytest.mark.parametrize("broken", ["", "sign", "chains that stay at the data"])
def test_the_gradient_is_that_of_the_likelihood(broken, monkeypatch):
    """Chains that start at the model's density remain independent draws of it.

    So each entry of the gradient is normal about the exact one, with the deviation of a draw over
    the root of the number of chains; the largest of all is held against the quantile for one false
    alarm in a million.
    """
    rng, n = np.random.default_rng(6), 4000
    x = draws(rng, 200) + 0.3  # data of another density
    objective = ReplayBuffer(n, n, reinit=0.0, n_steps=5, jumps=True)
    objective.buffer = {"visible": draws(rng, n)}
    if broken == "chains that stay at the data":
        objective.buffer = {"visible": x[rng.integers(len(x), size=n)]}
        monkeypatch.setattr(NetworkModel, "sweep", still)
        monkeypatch.setattr(NetworkModel, "jump", still)
    gradient, info = objective.gradient(MODEL, THETA, x, None, rng)
    wanted, deviation = exact_gradient(x)
    sign = -1.0 if broken == "sign" else 1.0
    errors = np.concatenate([
        np.ravel((sign * gradient[name] - wanted[name]) / (deviation[name] / np.sqrt(n)))
        for name in wanted
    ])  # fmt: skip
    assert (np.abs(errors).max() < norm.isf(FALSE_ALARM / (2 * len(errors)))) == (not broken)
    gap = MODEL.free_energy(THETA, x).mean()
    gap -= MODEL.free_energy(THETA, objective.buffer["visible"]).mean()
    assert info == {"energy_gap": pytest.approx(gap)}


def test_persistent_chains_learn_networks_too():
    rng = np.random.default_rng(7)
    gradient, info = PersistentCD(50).gradient(MODEL, THETA, draws(rng, 20), None, rng)
    assert {name: part.shape for name, part in gradient.items()} == {
        name: part.shape for name, part in THETA.items()
    }
    assert info == {}


class Runaway:
    """An objective whose chains fall behind the data, by as much again at each update."""

    def __init__(self, factor):
        self.factor, self.gap = factor, -0.01

    def gradient(self, model, theta, x, weights, rng):
        self.gap *= self.factor
        return {name: np.zeros_like(value) for name, value in theta.items()}, {
            "energy_gap": self.gap
        }


def test_learning_that_diverges_is_noticed():
    """By parameters, by a gap that grows and by one that is not finite."""
    x, rng = draws(np.random.default_rng(8), 500), np.random.default_rng(8)
    for objective, message in (
        (ReplayBuffer(100, 50, n_steps=2), "reached"),
        (Runaway(1.1), r"the energy gap went from -[\d.]+ to -[\d.]+ by step 150"),
        (Runaway(1e100), "the energy gap was -inf at step"),
    ):
        fitted = fit_steps(MODEL, THETA, objective, x, Adam(1e3), rng, n_steps=500)
        assert re.search(message, fitted.failure)
        assert fitted.n_epochs < 500
        assert all(np.isfinite(value).all() for value in fitted.theta.values())


def test_what_an_objective_keeps_is_restored():
    model = NetworkModel(WELLS)
    for make in (
        lambda: ReplayBuffer(60, 30, n_steps=2, jumps=True),
        lambda: EnergyMatchingObjective(TransportMatching(0.0, 3.0), n_chains=30, n_steps=2),
    ):
        rng = np.random.default_rng(9)
        x, objective = draws(rng, 40), make()
        objective.gradient(model, THETA, x, None, rng)
        again, twin = make(), NetworkModel(WELLS)
        again.restore({
            name: None if part is None else {k: v.copy() for k, v in part.items()}
            for name, part in objective.state().items()
        })  # fmt: skip
        twin.retune(model.tuning())
        first = objective.gradient(model, THETA, x, None, np.random.default_rng(10))[0]
        second = again.gradient(twin, THETA, x, None, np.random.default_rng(10))[0]
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])
    other = ReplayBuffer(70, 30)
    other.restore(ReplayBuffer(60, 30).state() | {"buffer": {"visible": np.zeros((60, 1))}})
    other.gradient(model, THETA, draws(rng, 40), None, rng)
    assert len(other.buffer["visible"]) == 70  # of another size, it is filled anew


def test_a_frozen_step_stays_as_it_is():
    step_size = StepSize(2)
    step_size.learn(0.1)
    before = step_size.value
    step_size.freeze()
    step_size.learn(0.1)
    assert step_size.value == before


def separable(n):
    """An energy of n units that do not know each other: a sum of wells of one unit each."""
    weights = np.kron(np.eye(n), [[3.0, -3.0]])
    biases = np.tile([-4.0, -3.7], n) + np.repeat(np.linspace(0.0, 0.5, n), 2)
    return NeuralEnergy((weights, np.full(2 * n, -4.0)), (biases,), activation="tanh")


def test_log_partition_by_annealing_covers_a_product_of_quadratures():
    """By 12 seeds: the sum of squared errors is a chi-square, if errors are right."""
    energy = separable(4)
    whole = NetworkModel(energy)
    truth = 0.0
    for i in range(4):
        one = NetworkModel(
            NeuralEnergy(
                ([[3.0, -3.0]], energy.weights[1][2 * i : 2 * i + 2]),
                (energy.biases[0][2 * i : 2 * i + 2],),
                activation="tanh",
            )
        )
        truth += grid_log_partition(
            lambda x, one=one: one.free_energy(one.initial(), x), np.zeros(1), np.ones(1)
        )
    theta = whole.initial()
    found = [
        annealed_log_partition(
            lambda x: whole.value_and_slope(theta, x), np.zeros(4), np.full(4, 1.5),
            np.random.default_rng(seed), 250, 60,
        )
        for seed in range(12)
    ]  # fmt: skip
    errors = np.array([log_z.errors_from(truth) for log_z in found])
    assert (errors**2).sum() < chi2.isf(FALSE_ALARM, 12)
    assert max(log_z.mcse for log_z in found) < 0.3
    wrong = np.array([log_z.errors_from(truth + 0.2) for log_z in found])
    assert (wrong**2).sum() > chi2.isf(FALSE_ALARM, 12)  # a fifth of a nat is noticed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jumps": True, "step_size": 0.1}, "jumps are exact"),
        ({"start": 3}, "start must be one of .* or callable"),
    ],
)
def test_bad_input_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        ReplayBuffer(**settings)
