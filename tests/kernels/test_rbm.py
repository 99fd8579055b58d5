"""Block Gibbs on restricted Boltzmann machines: exact trajectories and transitions, invariance."""

import itertools

import numpy as np
import pytest
from scipy.special import expit, logsumexp
from scipy.stats import chisquare

from pm_energy.kernels.bernoulli import draw_units
from pm_energy.kernels.binary_product import VECTOR_BYTES, aligned_zeros, tile_weights
from pm_energy.kernels.random import LANES, seed_words
from pm_energy.kernels.rbm import rbm_sweeps, tile_rbm
from pm_energy.kernels.rbm_layers import new_layer, read_bits, update_fields, write_bits

N_V, N_H = 4, 3
RNG = np.random.default_rng(10)
WEIGHTS = RNG.normal(0, 1.5, size=(N_V, N_H))
SITE_BIAS = RNG.normal(size=N_V) + np.array([2.0, -1.0, 0.0, 0.5])  # own bias + other model terms
HIDDEN_BIAS = RNG.normal(size=N_H)
VISIBLE = np.array(list(itertools.product([0.0, 1.0], repeat=N_V)))
HIDDEN = np.array(list(itertools.product([0.0, 1.0], repeat=N_H)))


def exact_distribution():
    """pi(v, h) over the 16 x 8 states, by enumeration."""
    log_p = (VISIBLE @ SITE_BIAS)[:, None] + HIDDEN @ HIDDEN_BIAS + VISIBLE @ WEIGHTS @ HIDDEN.T
    return np.exp(log_p - logsumexp(log_p))


def kernel_fields(states, weights, bias):
    """The log-odds that a sweep draws from, one row per source state."""
    target = np.zeros((len(states), weights.shape[1]), weights.dtype)
    source = new_layer(states, np.zeros((1, states.shape[1]), weights.dtype))
    layer = new_layer(target, bias[None].astype(weights.dtype))
    assert read_bits(states, weights.dtype.type(0), source.states)
    tile = VECTOR_BYTES // weights.itemsize
    n, m = weights.shape
    tables = aligned_zeros(8 * 16 * tile, weights)
    tiled = tile_weights(np.ascontiguousarray(weights).reshape(-1), n, m, m, 1)
    assert update_fields(layer, source, 0, -1, tiled, tables, len(states)) == 0
    tiles = layer.fields.reshape(-1, len(states), tile).transpose(1, 0, 2)
    return tiles.reshape(len(states), -1)[:, :m]


def test_one_sweep_has_the_target_as_its_stationary_distribution():
    def probabilities(log_odds, outcomes):
        return np.exp(outcomes @ log_odds.T - np.logaddexp(0, log_odds).sum(1)).T

    pi = exact_distribution()
    h_given_v = probabilities(kernel_fields(VISIBLE, WEIGHTS, HIDDEN_BIAS), HIDDEN)
    v_given_h = probabilities(kernel_fields(HIDDEN, WEIGHTS.T, SITE_BIAS), VISIBLE)
    # (v, h) -> (v', h'): h' given v, then v' given h'
    transition = np.einsum("vk,kw->vwk", h_given_v, v_given_h)
    transition = np.repeat(transition[:, None], len(HIDDEN), axis=1).reshape(128, 128)
    np.testing.assert_allclose(transition.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(pi.reshape(-1) @ transition, pi.reshape(-1), atol=1e-12)


def both_layers_at_once(rng, v, h, weights, visible_bias, hidden_bias):
    """Broken: v is drawn from the old h, not from the new one."""
    old = h.copy()
    rbm_sweeps(rng, v.copy(), h, weights, visible_bias, hidden_bias)
    v[:] = rng.random(v.shape) < expit(old @ weights.T + visible_bias)


def site_terms_forgotten(rng, v, h, weights, visible_bias, hidden_bias):
    """Broken: the log-odds that other terms add to one site are left out."""
    rbm_sweeps(rng, v, h, weights, visible_bias - np.array([0, 0, 0, 0.5]), hidden_bias)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("per_state_bias", [False, True])
@pytest.mark.parametrize(
    ("kernel", "is_right"),
    [(rbm_sweeps, True), (both_layers_at_once, False), (site_terms_forgotten, False)],
)
def test_a_sweep_leaves_the_rbm_invariant(kernel, is_right, per_state_bias, dtype):
    rng, n = np.random.default_rng(11), 40_000
    pi = exact_distribution().reshape(-1)
    start = rng.choice(pi.size, size=n, p=pi)  # exact and independent, so chi-square holds
    v, h = VISIBLE[start // len(HIDDEN)].astype(dtype), HIDDEN[start % len(HIDDEN)].astype(dtype)
    bias = np.tile(SITE_BIAS, (n, 1)) if per_state_bias else SITE_BIAS
    kernel(rng, v, h, WEIGHTS.astype(dtype), bias, HIDDEN_BIAS)
    digits = np.hstack([v, h]) @ 2 ** np.arange(N_V + N_H)[::-1]
    counts = np.bincount(digits.astype(int), minlength=pi.size)
    common = n * pi >= 20
    pooled = np.append(counts[common], counts[~common].sum())
    expected = np.append(n * pi[common], n * pi[~common].sum())
    p_value = chisquare(pooled, expected).pvalue  # false alarm: one in a million
    assert (p_value > 1e-6) == is_right


def reference_sweeps(rng, v, h, weights, visible_bias, hidden_bias, n_sweeps):
    """The same draws from fields that numpy computes afresh each time."""
    words = seed_words(rng, LANES)

    def draw(log_odds, states):
        tile = VECTOR_BYTES // states.itemsize
        batch, n = states.shape
        padding = ((0, 0), (0, -n % tile))

        def tiled(x, value):
            x = np.pad(x, padding, constant_values=value).reshape(batch, -1, tile)
            return x.transpose(1, 0, 2).reshape(-1)

        bits = tiled(states, 0).astype(np.uint8)
        flips = draw_units(words, tiled(log_odds, -np.inf), bits, np.zeros_like(bits))
        states[:] = bits.reshape(-1, batch, tile).transpose(1, 0, 2).reshape(batch, -1)[:, :n]
        return flips

    flips = 0
    for _ in range(n_sweeps):
        flips += draw(v @ weights + hidden_bias, h)
        flips += draw(h @ weights.T + visible_bias, v)
    return flips


# The third number is the bias: the lower, the fewer units are on and flip. Few of either, and
# single states, take the way over lists; large batches that flip much take the tables.
@pytest.mark.parametrize("batch", [1, 5, 64])
@pytest.mark.parametrize(
    ("n_v", "n_h", "bias"), [(100, 70, 0.0), (100, 70, -4.0), (33, 130, -1.5), (3, 2, 0.0)]
)
def test_trajectories_equal_those_of_plain_matrix_products(n_v, n_h, bias, batch):
    rng = np.random.default_rng(12)
    weights = rng.normal(0, 0.2, size=(n_v, n_h))
    a, b = np.full((batch, n_v), bias) + rng.normal(size=(batch, n_v)), np.full(n_h, bias)
    v = (rng.random((batch, n_v)) < 0.5) * 1.0
    h = (rng.random((batch, n_h)) < 0.5) * 1.0
    v_exact, h_exact = v.copy(), h.copy()
    flips = rbm_sweeps(np.random.default_rng(13), v, h, tile_rbm(weights), a, b, 40)
    exact = reference_sweeps(np.random.default_rng(13), v_exact, h_exact, weights, a, b, 40)
    np.testing.assert_array_equal(v, v_exact)
    np.testing.assert_array_equal(h, h_exact)
    assert flips == exact


def test_float32_probabilities_are_right_to_1e_6():
    rng = np.random.default_rng(14)
    weights = rng.normal(0, 0.05, size=(784, 500)).astype(np.float32)
    v = (rng.random((100, 784)) < 0.5).astype(np.float32)
    exact = expit(v.astype(float) @ weights.astype(float))
    fields = kernel_fields(v, weights, np.zeros(500))
    assert np.abs(expit(fields.astype(float)) - exact).max() < 1e-6


def test_float32_probabilities_stay_right_over_a_thousand_sweeps_of_updates():
    rng = np.random.default_rng(15)
    n_v, n_h, batch = 784, 128, 20
    weights = rng.normal(0, 0.05, size=(n_v, n_h)).astype(np.float32)
    v_bias, h_bias = np.full((1, n_v), -4, np.float32), np.full((1, n_h), -4, np.float32)
    tiles, words = tile_rbm(weights), seed_words(rng, LANES)
    visible = new_layer(np.zeros((batch, n_v), np.float32), v_bias)
    hidden = new_layer(np.zeros((batch, n_h), np.float32), h_bias)
    tables = aligned_zeros(8 * 16 * 64, weights)
    v = np.zeros((batch, n_v), np.float32)
    age, flips, oldest = -1, 0, 0
    for _ in range(1_000):
        age = update_fields(hidden, visible, flips, age, tiles.to_hidden, tables, batch)
        oldest = max(oldest, age)
        flips = draw_units(words, visible.fields + np.float32(-4), visible.states, visible.flipped)
    age = update_fields(hidden, visible, flips, age, tiles.to_hidden, tables, batch)
    write_bits(visible.states, np.float32(0), v)
    fields = hidden.fields.reshape(-1, batch, 64).transpose(1, 0, 2).reshape(batch, -1)[:, :n_h]
    exact = v.astype(float) @ weights.astype(float) - 4
    assert oldest > 0.9 * batch * n_v  # the updates did accumulate, up to one flip per unit
    assert np.abs(expit(fields.astype(float)) - expit(exact)).max() < 1e-6


def test_infinite_site_terms_clamp_a_unit():
    v, h = np.zeros((200, 3)), np.zeros((200, 2))
    bias = np.array([np.inf, -np.inf, 0.0])
    rbm_sweeps(np.random.default_rng(16), v, h, np.full((3, 2), 0.3), bias, np.zeros(2), n_sweeps=9)
    np.testing.assert_array_equal(v[:, :2], np.tile([1.0, 0.0], (200, 1)))
    assert 0 < v[:, 2].sum() < 200


def test_same_generator_same_draws_with_tiles_or_weights():
    results = []
    for weights in (WEIGHTS, tile_rbm(WEIGHTS), np.asfortranarray(WEIGHTS)):
        v, h = np.zeros((9, N_V)), np.zeros((9, N_H))
        rbm_sweeps(np.random.default_rng(17), v, h, weights, SITE_BIAS, HIDDEN_BIAS, n_sweeps=5)
        results.append(np.hstack([v, h]))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"v": np.zeros(N_V)}, "v must be a C-contiguous array"),
        ({"v": np.zeros((2, N_V), np.float32)}, "v must be float64"),
        ({"v": np.full((2, N_V), 0.5)}, "v must hold zeros and ones"),
        ({"h": np.full((2, N_H), -1.0)}, "h must hold zeros and ones"),
        ({"h": np.zeros((3, N_H))}, "as many states"),
        ({"visible_bias": np.zeros(N_H)}, "visible_bias must have shape"),
        ({"hidden_bias": np.zeros((3, N_H))}, "hidden_bias must have shape"),
        ({"weights": WEIGHTS.astype(int)}, "weights must be a float32 or float64 matrix"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {
        "v": np.zeros((2, N_V)),
        "h": np.zeros((2, N_H)),
        "weights": WEIGHTS,
        "visible_bias": SITE_BIAS,
        "hidden_bias": HIDDEN_BIAS,
    }
    with pytest.raises(ValueError, match=message):
        rbm_sweeps(np.random.default_rng(19), **{**arguments, **change})
