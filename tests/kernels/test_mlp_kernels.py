"""Parts of the training loop: Adam is PyMC's, noise is normal, the loss and its errors."""

import numpy as np
import pymc as pm
import pytest
from numba import njit
from pymc.variational.updates import total_norm_constraint
from scipy.stats import kstest, norm

from pm_energy.kernels import mlp_noise, mlp_training, mlp_updates
from pm_energy.kernels.mlp import forward, vector_jacobian
from pm_energy.kernels.mlp_noise import WORDS
from pm_energy.kernels.mlp_training import make_batches
from pm_energy.kernels.mlp_updates import NORM_EPSILON, adam_step
from pm_energy.kernels.random import LANES, seed_words
from pm_energy.training.adamw import adamw
from pm_energy.training.optimisers import Updates, make_optimiser

# what only compiled code calls
fill_normal_single = njit(
    lambda words, buffer, out: mlp_noise.fill_normal_single(words, buffer, out)
)
sum_of_squares = njit(lambda x: mlp_updates.sum_of_squares(x))
take_errors = njit(lambda *args: mlp_training.take_errors(*args))

# thirty steps of size .1, each rounded at 1e-16 or 6e-8; PyMC rounds 1 - .999**t in float32, too,
# which is off by 6e-8 / (.001 t), and thirty such shares of a step add up to 3e-5
EPS = {"float32": 3e-5, "float64": 1e-13}


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize(
    ("optimiser", "decay", "max_norm"),
    [
        (pm.adam(learning_rate=0.1), 0.0, np.inf),
        (make_optimiser("adam", 0.1, max_norm=0.5), 0.0, 0.5),
        (adamw(learning_rate=0.1, weight_decay=0.3, decay=["w"]), 0.3, np.inf),
    ],
    ids=["adam", "clipped", "adamw"],
)
def test_adam_is_that_of_pymc(optimiser, decay, max_norm, dtype):
    rng = np.random.default_rng(0)
    theta = {"w": rng.normal(size=257).astype(dtype)}
    ours = theta["w"].copy()
    mean, square, average = np.zeros_like(ours), np.zeros_like(ours), ours.copy()
    updates = Updates(optimiser, theta)
    path = [ours.astype(float)]
    for step in range(1, 31):
        gradient = (rng.normal(size=257) * rng.choice([0.01, 1.0])).astype(dtype)
        theta = updates(theta, {"w": gradient})
        size = np.sqrt(sum_of_squares(gradient))
        scale = min(size, max_norm) / (NORM_EPSILON + size) if max_norm < np.inf else 1.0
        moments = mean, square, average
        adam_step(0, 257, ours, gradient, *moments, scale, step, 0.1, decay, 0.9)
        path.append(ours.astype(float))
    np.testing.assert_allclose(ours, theta["w"], atol=EPS[dtype])
    expected = path[0]
    for point in path[1:]:
        expected = 0.9 * expected + 0.1 * point
    np.testing.assert_allclose(average, expected, atol=EPS[dtype])


def test_the_norm_is_that_of_pymc():
    """The small number that it adds to a norm is part of its formula."""
    import pytensor.tensor as pt

    gradient = np.array([3.0, 4.0])
    (clipped,) = total_norm_constraint([pt.as_tensor(gradient)], 1.0)
    expected = gradient / (5.0 + NORM_EPSILON)
    np.testing.assert_allclose(clipped.eval(mode="FAST_COMPILE"), expected, rtol=1e-15)


def normals(n, seed=0):
    out = np.empty(n, np.float32)
    words = seed_words(np.random.default_rng(seed), LANES)
    fill_normal_single(words, np.empty(WORDS, np.uint64), out)
    return out


@pytest.mark.parametrize(("spoil", "is_right"), [(lambda x: x, True), (np.tanh, False)])
def test_noise_is_normal(spoil, is_right):
    """By Kolmogorov and Smirnov; one false alarm in a million for each."""
    x = spoil(normals(200_000).astype(float))
    pair = (x[:100_000] + x[100_000:]) / np.sqrt(2)  # those of one word are in different halves
    half = normals(2 * WORDS).astype(float)
    joint = (half[:WORDS] - half[WORDS:]) / np.sqrt(2)
    assert (min(kstest(v, norm.cdf).pvalue for v in (x, pair)) > 1e-6) == is_right
    if is_right:
        assert kstest(joint, norm.cdf).pvalue > 1e-6


def test_tails_are_filled():
    """Of 4 million normal numbers 253 are expected beyond 4; six standard deviations of Poisson."""
    x = np.abs(np.concatenate([normals(1_000_000, seed) for seed in range(4)]))
    expected = 8e6 * norm.sf(4)
    assert abs((x > 4).sum() - expected) < 6 * np.sqrt(expected)
    assert 4.8 < x.max() < 6.7  # P(all below 4.8) < 2e-3 of a fixed seed


@pytest.mark.parametrize("n", [2, 32, 34, 1_022, 1_026])
def test_noise_of_any_even_length(n):
    x = normals(n)
    assert np.isfinite(x).all()
    assert len(np.unique(x)) == n


def test_errors_are_the_gradient_of_the_loss():
    rng = np.random.default_rng(3)
    outputs, targets = rng.normal(size=(2, 50, 3)).astype(np.float32)
    weights = rng.random(50).astype(np.float32)
    ahead = np.zeros(5, np.float32)  # of other layers
    units = np.append(ahead, outputs)
    errors = np.zeros_like(units)
    loss = take_errors(units, 5, np.tile(targets.ravel(), 2), np.tile(weights, 2), 50, 3, errors)
    difference = outputs.astype(float) - targets
    assert loss == pytest.approx((weights[:, None] * difference**2).sum() / 50, rel=1e-5)
    assert not errors[:5].any()
    slopes = errors[5:].reshape(50, 3)
    np.testing.assert_allclose(slopes, 2 / 50 * weights[:, None] * difference, atol=1e-7)
    units[27] = np.nan
    assert np.isnan(take_errors(units, 5, targets.ravel(), weights, 0, 3, errors))


def test_batches_hold_what_the_table_says():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(5, 2)).astype(np.float32)
    labels = np.array([0, 1, 2, -1, 0])
    row_weights = np.arange(1, 6).astype(np.float32)
    levels = rng.normal(size=(8, 6)).astype(np.float32)
    features = rng.normal(size=(8, 3)).astype(np.float32)
    chosen, noise = np.arange(64) % 5, rng.normal(size=(64, 2)).astype(np.float32)
    batches = tuple(np.empty((1, 64, *shape), np.float32) for shape in ((8,), (2,), ()))
    streams, pairs = (seed_words(rng), seed_words(rng, LANES)), (chosen[None], noise[None])
    make_batches((x, labels, row_weights), (levels, features), streams, pairs, 0.5, *batches)
    inputs, targets, weights = (part[0] for part in batches)
    level = np.argmax((inputs[:, None, 2:5] == features).all(-1), axis=1)
    np.testing.assert_array_equal(np.bincount(level), 8)  # stratified: each level as often
    alpha, sigma, a, b, weight, scale = levels[level].T[:, :, None]
    noisy = scale * (alpha * x[chosen] + sigma * noise)
    np.testing.assert_allclose(inputs[:, :2], noisy, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(targets, a * x[chosen] + b * noise, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(weights, weight[:, 0] * row_weights[chosen], rtol=1e-6)
    label = inputs[:, 5:]
    kept = label.sum(1) == 1
    np.testing.assert_array_equal(label[kept], np.eye(3)[labels[chosen[kept]]])
    assert 10 < kept.sum() < 45  # about half of the 51 that have one; 6 standard deviations wide


@pytest.mark.parametrize("n", [0, 1, 130])
def test_matrices_may_lie_by_columns(n):
    rng = np.random.default_rng(5)
    sizes = 3, 4, 2
    theta = rng.normal(size=26)
    x, cotangent = rng.normal(size=(n, 3)), rng.normal(size=(n, 2))
    expected = vector_jacobian(x, cotangent, theta, sizes, "tanh", False)
    turned = np.asfortranarray(x), np.asfortranarray(cotangent)
    found = vector_jacobian(*turned, theta, sizes, "tanh", False)
    for ours, value in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, value)
    np.testing.assert_array_equal(forward(turned[0], theta, sizes, "tanh", False), expected[0])


def test_sizes_that_do_not_fit():
    one = np.ones((1, 1))
    with pytest.raises(ValueError, match="activation must be one of"):
        forward(one, np.ones(2), (1, 1), "sine", False)
    with pytest.raises(ValueError, match="inputs must have shape"):
        forward(one, np.ones(3), (2, 1), "tanh", False)
    with pytest.raises(ValueError, match="parameters must be float64 of shape"):
        forward(one, np.ones(3), (1, 1), "tanh", False)
    with pytest.raises(ValueError, match="cotangent must be float64 of shape"):
        vector_jacobian(one, np.ones((1, 2)), np.ones(2), (1, 1), "tanh", False)
