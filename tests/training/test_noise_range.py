"""Networks that know of many levels of noise, and draws by way of them."""

import dataclasses
from functools import partial

import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor.gradient import grad

import pm_energy as pme
from pm_energy.compile import ONCE, compile_function
from pm_energy.energies.neural import NeuralEnergy
from pm_energy.networks.features import time_wave_slopes, time_waves
from pm_energy.training import score_levels
from pm_energy.training.noise_range import FEATURES, NoiseRange
from pm_energy.training.score_draws import annealed_draws
from pm_energy.training.score_levels import level_draws
from pm_energy.training.score_matching import DenoisingScoreMatching
from pm_energy.training.score_model import ScoreModel
from pm_energy.training.score_network import NetworkModel

LEVELS = NoiseRange(0.3, 7.0)
RNG = np.random.default_rng(0)
X, TARGETS = RNG.normal(size=(2, 9, 3))
SIGMA, RATES = LEVELS.draw(RNG, 9), RNG.normal(size=9)
SHARES = RNG.random(9)
PLACE = {"location": RNG.normal(size=3), "scale": 0.5 + RNG.random(3)}


def network(activation="silu"):
    told = LEVELS.place(**PLACE, sigma=LEVELS.low) | {"confinement": 0.7}
    return NeuralEnergy.initial(RNG, 3, hidden=(5, 4, 6), activation=activation, **told)


def of_a_row(energy):
    """Loss of one row, by autodiff of E(x, sigma), and its gradient in the layers."""
    x, target = pt.dvectors("x", "target")
    log_sigma, rate = pt.dscalars("log_sigma", "rate")
    weights = tuple(pt.tensor(shape=w.shape, dtype="float64") for w in energy.weights)
    biases = tuple(pt.tensor(shape=b.shape, dtype="float64") for b in energy.biases)
    scale = pt.sqrt(PLACE["scale"] ** 2 - LEVELS.low**2 + pt.exp(2 * log_sigma))
    ends = np.log(LEVELS.low), np.log(LEVELS.high)
    at = dataclasses.replace(
        energy, weights=weights, biases=biases, scale=scale,
        context=time_waves(log_sigma[None], FEATURES, ends, "float64")[0],
    )  # fmt: skip
    log_p = -at(x) - pt.log(scale).sum()
    score, slope = grad(log_p, [x, log_sigma])
    loss = pt.exp(2 * log_sigma) * ((score - target) ** 2).sum() + (slope - rate) ** 2 / 6
    inputs, layers = [x, log_sigma, target, rate], [*weights, *biases]
    return compile_function([*inputs, *layers], [loss, *grad(loss, layers)], ONCE)


@pytest.mark.parametrize("activation", ["silu", "softplus", "tanh"])
def test_the_loss_by_hand_is_the_derived_one(activation):
    energy = network(activation)
    model = NetworkModel(energy, LEVELS)
    loss, gradient = model.level_regression(model.initial(), X, SIGMA, TARGETS, RATES, SHARES)
    derived, layers = of_a_row(energy), [*energy.weights, *energy.biases]
    rows = [
        derived(x, log_sigma, target, rate, *layers)
        for x, log_sigma, target, rate in zip(X, np.log(SIGMA), TARGETS, RATES, strict=True)
    ]
    shares = SHARES / SHARES.sum()
    wanted, *slopes = (
        sum(share * part for share, part in zip(shares, parts, strict=True))
        for parts in zip(*rows, strict=True)
    )
    assert loss == pytest.approx(wanted, rel=1e-12)
    for found, slope in zip(gradient_in_order(gradient), slopes, strict=True):
        np.testing.assert_allclose(found, slope, rtol=1e-10, atol=1e-12)


def gradient_in_order(gradient):
    return [gradient[name] for name in sorted(gradient, key=lambda name: (name[0] == "b", name))]


def test_a_level_is_an_energy_of_its_own():
    """Energies, slopes and all losses of x alone, with a context of their own or that of a row."""
    energy = network()
    model = NetworkModel(energy, LEVELS)
    theta = model.initial()
    value, slope = model.value_and_slope(theta, X, SIGMA)
    for i, sigma in enumerate(SIGMA):
        there = dataclasses.replace(energy, **LEVELS.place(**PLACE, sigma=sigma))
        by_hand, row = NetworkModel(there), X[i : i + 1]
        assert value[i] == pytest.approx(pme.energy_values(there, row).item(), rel=1e-12)
        np.testing.assert_allclose(by_hand.score(theta, row)[0], -slope[i], rtol=1e-10)
    derived = ScoreModel(there, learn=list(theta))
    for loss in (
        lambda model: model.score_regression(theta, X, TARGETS, SHARES),
        lambda model: model.score_slices(theta, X, TARGETS, SHARES),
        lambda model: (0.0, model.statistics(theta, X, SHARES)),
    ):
        (found, slopes), (wanted, wanted_slopes) = loss(by_hand), loss(derived)
        assert found == pytest.approx(wanted, rel=1e-12)
        for name, gradient in wanted_slopes.items():
            np.testing.assert_allclose(slopes[name], gradient, atol=1e-12)


def test_levels_cover_their_range_evenly():
    sigma = LEVELS.draw(np.random.default_rng(1), 500)
    parts = np.floor(500 * np.log(sigma / LEVELS.low) / np.log(LEVELS.high / LEVELS.low))
    np.testing.assert_array_equal(np.sort(parts), np.arange(500))  # one in each
    assert not np.array_equal(np.sort(parts), parts)
    t, ends, h = np.linspace(0.1, 0.9, 5), (0.0, 1.0), 1e-6
    ahead, behind = (time_waves(t + s * h, 6, ends, "float64") for s in (1, -1))
    np.testing.assert_allclose(
        time_wave_slopes(t, 6, ends, "float64"), (ahead - behind) / (2 * h), atol=1e-6
    )


def level_losses(low):
    """Gradients of the last layer and losses at a network that says nothing, of normal data."""
    rng = np.random.default_rng(2)
    levels, scale = NoiseRange(0.5, 3.0), np.array([1.0, 2.0])
    x = scale * rng.standard_normal((40_000, 2))
    place = levels.place(np.zeros(2), np.sqrt(scale**2 + low**2), levels.low)
    energy = NeuralEnergy.initial(rng, 2, (4,), **place)
    energy.weights[-1][:] = 0.0
    model, objective = NetworkModel(energy, levels), DenoisingScoreMatching(levels)
    parts = [
        objective.gradient(model, model.initial(), part, None, rng) for part in np.split(x, 200)
    ]
    slopes = np.array([gradient["weights.1"] for gradient, _ in parts])
    share = levels.ladder(2001)[:, None] ** 2
    share = share / (scale**2 + share)  # of the noise in what is seen
    floor = (1 - share) + ((1 - share) ** 2 + 2 * share * (1 - share)) / 2
    return slopes, np.array([info["loss"] for _, info in parts]), floor.sum(axis=1).mean()


@pytest.mark.parametrize(("low", "is_right"), [(0.5, True), (1.5, False)])
def test_of_normal_data_a_network_has_nothing_to_say(low, is_right):
    r"""Both slopes are those of the bowl: the gradient is zero, and the loss its floor.

    Given x, a noise has the variance ``1 - share`` and the mean ``z sqrt(share)``; of n units the
    loss of the score is the sum of the first, and ``|noise|**2`` varies by ``2 v**2 + 4 v m**2``.
    """
    slopes, losses, floor = level_losses(low)
    z = slopes.mean(axis=0) / (slopes.std(axis=0, ddof=1) / np.sqrt(len(slopes)))
    away = (losses.mean() - floor) / (losses.std(ddof=1) / np.sqrt(len(losses)))
    assert (abs(away) < 5) == is_right  # false alarms of 1e-6
    if is_right:
        assert (np.abs(z) < 5.1).all()  # for four entries


POPULATION = NoiseRange(0.05, 8.0)


def two_modes(x, sigma, tilt=0.0):
    """A narrow and a broad mode of equal weights, with noise, and a tilt that the least has not."""
    variance = np.array([0.01, 1.0]) + sigma**2
    middle = np.zeros((2, x.shape[1]))
    middle[:, 0] = -4.0, 4.0
    away = x[:, None] - middle
    logs = -0.5 * ((away**2).sum(axis=2) / variance + x.shape[1] * np.log(variance))
    value = -np.logaddexp(*logs.T)
    slope = ((np.exp(logs + value[:, None]) / variance)[..., None] * away).sum(axis=1)
    tilt *= np.log(sigma / POPULATION.low)
    slope[:, 0] -= tilt / np.cosh(x[:, 0]) ** 2
    return value - tilt * np.tanh(x[:, 0]), slope


def shares_of_the_left(draw, d, seeds):
    """Of a population for each seed; the mean of the two variances is .505."""
    scale = np.sqrt(np.full(d, 0.505 + POPULATION.low**2) + 16.0 * (np.arange(d) == 0))
    return np.array(
        [
            (draw(np.zeros(d), scale, np.random.default_rng(seed))[:, 0] < 0).mean()
            for seed in range(seeds)
        ]
    )


@pytest.mark.parametrize("resampled", [True, False])
def test_draws_are_right_however_wrong_the_levels_on_the_way(resampled, monkeypatch):
    """Sixteen means of populations: t of 7.6 has a chance of 1e-6 with 15 degrees of freedom."""
    if not resampled:
        monkeypatch.setattr(score_levels, "systematic", lambda rng, weights: np.arange(512))
    tilted = partial(two_modes, tilt=0.3)
    shares = shares_of_the_left(partial(level_draws, tilted, POPULATION, n=512, n_steps=120), 1, 16)
    t = (shares.mean() - 0.5) / (shares.std(ddof=1) / 4)
    assert (abs(t) < 7.6) == resampled


def test_modes_keep_their_shares_where_noise_falls_and_not_where_temperatures_do():
    """Of five units: where temperatures are high the narrow mode has next to nothing."""
    by_noise = shares_of_the_left(partial(level_draws, two_modes, POPULATION, n=1000), 5, 6)
    least = partial(two_modes, sigma=POPULATION.low)
    by_temperature = shares_of_the_left(partial(annealed_draws, least, n=1000), 5, 6)
    errors = [np.sqrt(np.mean((shares - 0.5) ** 2)) for shares in (by_noise, by_temperature)]
    assert errors[0] < 0.5 * errors[1]  # .09 and .46


def scored_at(sigma):
    model = NetworkModel(network())
    return model.score(model.initial(), X, sigma)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoiseRange(0.0, 1.0), "a least noise above zero and a larger one"),
        (lambda: NoiseRange(2.0, 1.0), r"larger one, got \(2, 1\)"),
        (lambda: NetworkModel(NeuralEnergy.initial(RNG, 3), LEVELS), "energy must be that of the"),
        (lambda: scored_at(1.0), "the model knows one noise only"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
