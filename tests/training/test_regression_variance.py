"""Learning mean squares of errors: its gradient, its minimum, and that it can go on."""

import numpy as np
import pytest

from pm_energy.networks import MLP
from pm_energy.training.recipe import make_schedule
from pm_energy.training.regression_noise import NoiseLevels, score_levels
from pm_energy.training.regression_variance import LEAST, train_variance

LINE = MLP(1, 1, hidden=())


def line(slope, bias=0.0):
    return {
        "weights_0": np.array([[slope]], np.float32),
        "bias_0": np.array([bias], np.float32),
    }


class Still:
    """A generator without chance: the first row, no noise."""

    def integers(self, n, size):
        return np.zeros(size, int)

    def random(self):
        return 0.5

    def standard_normal(self, shape):
        return np.zeros(shape)


def test_the_gradient_is_that_of_the_logarithmic_score():
    """By differences in float64; Adam's first mean is a tenth of the gradient."""
    network, rng = MLP(3, 3, hidden=(5, 5), residual=True), np.random.default_rng(0)
    theta, start = network.init(rng), network.init(rng)
    x, (one, zero) = rng.normal(size=(1, 3)).astype(np.float32), (np.ones(1), np.zeros(1))
    levels = NoiseLevels(
        alpha=2 * one, sigma=3 * one, data=one, noise=2 * one, weight=one, scale=0.7 * one,
        time=zero,
    )  # fmt: skip
    found = train_variance(network, start, theta, x, levels, Still(), n_steps=1, batch_size=4)
    # from an error of x_0 + 2 noise, where 2 x_0 + 3 noise is known, to one of x_0
    square = (3 * (network.apply(theta, 1.4 * x) - x)) ** 2 / 3**2 * (2**2 + 3**2)

    def loss(flat):
        h = network.apply(network.unflatten(flat), 1.4 * x)
        return 0.5 * (h + (square + LEAST) * np.exp(-h)).sum()

    flat = network.flatten(start).astype(float)
    assert found.losses[0] == pytest.approx(loss(flat), rel=1e-5)
    away = 1e-5 * np.eye(len(flat))
    slope = np.array([loss(flat + step) - loss(flat - step) for step in away]) / 2e-5
    np.testing.assert_allclose(found.moments[0], 0.1 * slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sd", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("share", [1.0, 0.0])
def test_errors_of_any_size_are_met(sd, share):
    """Of data +-sd the second moments are those of normal data, and so is the best constant h.

    The running average is over some 1,000 batches of 256, so its error is about .006.
    """
    sigma, total = 0.5, sd**2 + 0.25
    x, score = sd * np.array([[-1.0], [1.0]]), line(-share / total)
    found = train_variance(
        LINE, line(0.0), score, x, score_levels(sigma), np.random.default_rng(0), n_steps=4000,
        rates=make_schedule("cosine", 0.05, 4000), batch_size=256,
    )  # fmt: skip
    square = 1 / sigma**2 - share * (2 - share) / total  # of the error of the score
    unit = sigma**4 * (1 + sigma**2) / sigma**2  # of the data by sigma^2 times it
    assert found.average["bias_0"] == pytest.approx(np.log(square * unit), abs=0.05)
    assert not found.failure


def test_labels_are_told():
    """Of ten times larger errors, a hundred times the square; a share of rows has no label."""
    network, one = MLP(1, 1, hidden=(), n_classes=2), np.ones(1)
    levels = NoiseLevels(
        alpha=one, sigma=one, data=one, noise=0 * one, weight=one, scale=0 * one, time=one
    )
    x, zero = np.array([[-1.0], [1.0], [-10.0], [10.0]]), network.unflatten(np.zeros(4, np.float32))
    for drop, wanted in ((0.0, [2.0, 200.0]), (1.0, [101.0, 101.0])):
        found = train_variance(
            network, zero, zero, x, levels, np.random.default_rng(0), n_steps=3000,
            rates=make_schedule("cosine", 0.05, 3000), labels=[0, 0, 1, 1], drop_label=drop,
        ).average  # fmt: skip
        h = network.apply(found, np.zeros((2, 1)), label=[0, 1])[:, 0]
        np.testing.assert_allclose(h, np.log(wanted), atol=0.1)


def test_a_run_can_go_on():
    x, rates = np.random.default_rng(0).normal(size=(50, 1)), make_schedule("cosine", 0.05, 300)
    args, rng = (line(-0.5), x, score_levels([0.1, 1.0])), np.random.default_rng(1)

    def run(start, rng, n_steps):
        return train_variance(LINE, start, *args, rng, n_steps=n_steps, rates=rates)

    whole = run(line(0.0), np.random.default_rng(1), 300)
    first = run(line(0.0), rng, 120)
    before = LINE.flatten(first.theta).copy()
    rest = run(first, rng, 180)
    np.testing.assert_array_equal(LINE.flatten(first.theta), before)
    np.testing.assert_array_equal(LINE.flatten(rest.average), LINE.flatten(whole.average))
    np.testing.assert_array_equal(rest.losses, whole.losses)
    assert rest.n_steps == whole.n_steps == 300


def test_divergence_keeps_what_was_good():
    rng = np.random.default_rng(0)
    found = train_variance(
        LINE, line(0.0), line(0.0), [[1.0], [2.0]], score_levels(1.0), rng, n_steps=500, rates=1e6
    )
    assert "the loss was not finite at step" in found.failure
    assert len(found.losses) < 500
    assert np.isfinite(LINE.flatten(found.theta)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": np.ones((3, 2))}, r"x must have shape \(N, 1\)"),
        ({"n_steps": 0}, "n_steps must be"),
        ({"labels": [0, 2]}, "label must be from 0 to 1"),
        ({"labels": [0, 1, 1]}, r"labels must have shape \(2,\)"),
    ],
)
def test_bad_input_is_named(options, message):
    options = {"x": np.ones((2, 1)), "n_steps": 3} | options
    x = options.pop("x")
    rng = np.random.default_rng(0)
    network = MLP(1, 1, hidden=(), n_classes=2)
    theta = network.init(rng)
    with pytest.raises(ValueError, match=message):
        train_variance(network, theta, theta, x, score_levels(1.0), rng, **options)
