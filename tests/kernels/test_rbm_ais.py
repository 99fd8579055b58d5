"""Annealed importance sampling of RBMs: works by hand, unbiased weights, moves, both directions."""

import itertools

import numpy as np
import pytest
from scipy.special import expit, logsumexp

from pm_energy.kernels import rbm_ais as binary
from pm_energy.kernels.random import LANES, seed_words
from pm_energy.kernels.rbm_ais import rbm_ais, rbm_ais_reverse, rbm_base_log_partition
from pm_energy.kernels.rbm_exact import rbm_exact_moments, rbm_log_partition
from pm_energy.partition import ais, ais_bridge
from pm_energy.testing import FALSE_ALARM, pooled_chisquare

Z_SCORE = 4.9  # |normal| exceeds it once in a million
VISIBLE, HIDDEN = (np.array(list(itertools.product([0.0, 1.0], repeat=n))) for n in (4, 3))


def machine(n_v, n_h, scale=1.0, seed=5):
    """Weights, both biases and the base's bias."""
    rng = np.random.default_rng(seed)
    shapes = (n_v, n_h), n_v, n_h, n_v
    return tuple(scale * rng.normal(size=shape) for shape in shapes)


def log_density(v, beta, weights, a, b, base):
    """log p_beta(v) + log Z_beta, as the docstring defines it."""
    softplus = np.logaddexp(0, beta * (v @ weights + b)).sum(1)
    return v @ ((1 - beta) * base + beta * a) + softplus


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 3e-6)])
@pytest.mark.parametrize("shape", [(1, 1), (5, 70), (130, 3), (70, 600)])
def test_one_step_weighs_a_state_by_the_ratio_of_densities(shape, dtype, tolerance):
    """No move is made from 0 to 1, so works follow from the states; 300 runs are two blocks."""
    parameters = machine(*shape, scale=0.3)
    weights = parameters[0].astype(dtype)
    works, v = rbm_ais(np.random.default_rng(1), weights, *parameters[1:], 300, [0.0, 1.0])
    exact = log_density(v, 0.0, *parameters) - log_density(v, 1.0, *parameters)
    scale = np.abs(exact).max() + sum(shape)
    np.testing.assert_allclose(works, exact, atol=tolerance * scale)
    kept = v.copy()
    back = rbm_ais_reverse(np.random.default_rng(2), weights, *parameters[1:], v, [0.0, 1.0])
    np.testing.assert_allclose(back, exact, atol=tolerance * scale)
    np.testing.assert_array_equal(v, kept)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_rounding_errors_of_a_long_run(dtype, tolerance):
    """Visible units that never flip: the steps' works add up to one ratio of densities.

    In float32, 500 hidden units and 1,000 steps round half a million factors by 3e-8 each, at
    random: 2e-5 in all, while the works of good runs differ by 1e-1.
    """
    weights = np.random.default_rng(3).normal(0, 0.05, (784, 500)).astype(np.float32)
    a = np.where(np.arange(784) % 3, -60.0, 60.0)
    b = np.random.default_rng(4).normal(size=500).astype(np.float32)
    n_steps = 1000 if dtype == np.float32 else 100
    betas = np.linspace(0, 1, n_steps + 1)
    works, v = rbm_ais(np.random.default_rng(5), weights.astype(dtype), a, b, a, 8, betas)
    np.testing.assert_array_equal(v, np.tile(a > 0, (8, 1)))
    change = [log_density(v.astype(float), beta, weights, a, b, a) for beta in (1.0, 0.0)]
    np.testing.assert_allclose(works, change[1] - change[0], atol=tolerance)


def move_at(rng, v, beta, parameters):
    """One move of the sampler: a ladder of three equal rungs, whose weights are 1."""
    weights, a, b, base = parameters
    to_hidden, to_visible, _ = binary.tile_rbm(weights)
    log_weights = np.zeros(len(v))
    assert binary._anneal_block(
        seed_words(rng, LANES), v, to_hidden, to_visible, a, b, base, np.full(3, beta), log_weights
    )
    np.testing.assert_array_equal(log_weights, 0)


def base_of_wrong_sign(rng, v, beta, parameters):
    *model, base = parameters
    move_at(rng, v, beta, (*model, -base))


def hidden_units_not_tempered(rng, v, beta, parameters):
    weights, a, b, base = parameters
    h = (rng.random((len(v), len(b))) < expit(v @ weights + b)).astype(float)
    log_odds = beta * (h @ weights.T + a) + (1 - beta) * base
    v[:] = rng.random(v.shape) < expit(log_odds)


@pytest.mark.parametrize("beta", [0.2, 0.5])
@pytest.mark.parametrize(
    ("move", "is_right"),
    [(move_at, True), (base_of_wrong_sign, False), (hidden_units_not_tempered, False)],
)
def test_each_move_leaves_its_rung_invariant(beta, move, is_right):
    """From exact draws of p_beta, by chi-square; one false alarm in a million."""
    parameters = machine(4, 3)
    log_p = log_density(VISIBLE, beta, *parameters)
    p = np.exp(log_p - logsumexp(log_p))
    rng = np.random.default_rng(6)
    v = VISIBLE[rng.choice(16, size=100_000, p=p)]
    move(rng, v, beta, parameters)
    number = (v @ [8, 4, 2, 1]).astype(int)
    assert (pooled_chisquare(number, p) > FALSE_ALARM) == is_right


def weights_after_the_move(rng, weights, a, b, base, n_chains, betas):
    """Annealing in plain numpy, with the weight of the state that a move led *to*."""
    v = (rng.random((n_chains, len(a))) < expit(base)).astype(float)
    works = np.zeros(n_chains)
    for old, new in itertools.pairwise(betas):
        move_at(rng, v, new, (weights, a, b, base))
        works -= log_density(v, new, weights, a, b, base)
        works += log_density(v, old, weights, a, b, base)
    return works, v


def weights_with_base_of_wrong_sign(rng, weights, a, b, base, n_chains, betas):
    return rbm_ais(rng, weights, a, b, -base, n_chains, betas)


@pytest.mark.parametrize(
    ("run", "is_right"),
    [(rbm_ais, True), (weights_after_the_move, False), (weights_with_base_of_wrong_sign, False)],
)
@pytest.mark.parametrize("n_steps", [1, 4])
def test_weights_are_unbiased(run, is_right, n_steps):
    """Mean of e^-W is Z / Z_0 and the weighted mean of v is E[v]; each errs once in a million.

    No weight is above 5 times the mean here, so the mean of 100,000 is normal.
    """
    weights, a, b, base = machine(4, 3, scale=0.7)
    betas = np.linspace(0, 1, n_steps + 1)
    works, v = run(np.random.default_rng(7), weights, a, b, base, 100_000, betas)
    log_z, _, mean, _ = rbm_exact_moments(weights, a, b)
    share = np.exp(-works - log_z + rbm_base_log_partition(base, 3))
    errors = np.column_stack([share - 1, share[:, None] * (v - mean)])
    z = errors.mean(0) / (errors.std(0) / np.sqrt(len(errors)))
    assert (np.abs(z).max() < Z_SCORE) == is_right


@pytest.mark.parametrize(("sign", "is_right"), [(1, True), (-1, False)])
def test_reverse_weights_are_unbiased(sign, is_right):
    """Mean of e^W is Z_0 / Z from exact starts, in the sign of forward works."""
    weights, a, b, base = machine(4, 3, scale=0.7)
    rng = np.random.default_rng(8)
    log_p = log_density(VISIBLE, 1.0, weights, a, b, base)
    v = VISIBLE[rng.choice(16, size=100_000, p=np.exp(log_p - logsumexp(log_p)))]
    works = sign * rbm_ais_reverse(rng, weights, a, b, base, v, np.linspace(0, 1, 5))
    share = np.exp(works + rbm_log_partition(weights, a, b) - rbm_base_log_partition(base, 3))
    z = (share.mean() - 1) / (share.std() / np.sqrt(share.size))
    assert (abs(z) < Z_SCORE) == is_right


def exact_draws(rng, weights, a, b, size):
    """Visible states of an RBM with few hidden units, by way of all hidden states; in float32."""
    n, dtype = len(b), weights.dtype
    h = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(dtype)
    blocks = np.split(h, max(1, 2**n // 1024))
    log_p = [np.log1p(np.exp(x @ weights.T + a.astype(dtype))).sum(1) + x @ b for x in blocks]
    log_p = np.concatenate(log_p)
    h = h[rng.choice(2**n, size=size, p=np.exp(log_p - logsumexp(log_p)))]
    return (rng.random((size, len(a))) < expit(h @ weights.T + a)).astype(dtype)


def test_both_directions_agree_with_the_exact_sum_over_a_large_layer():
    """784 x 16 in float32: forward, and bridged with runs from exact draws."""
    weights, a, b, _ = machine(784, 16, scale=0.1)
    weights = weights.astype(np.float32)
    log_z, log_z_base = rbm_log_partition(weights, a, b), rbm_base_log_partition(a, 16)
    rng, betas = np.random.default_rng(9), np.linspace(0, 1, 201)
    forward, _ = rbm_ais(rng, weights, a, b, a, 300, betas)
    starts = exact_draws(rng, weights, a, b, 300)
    reverse = rbm_ais_reverse(rng, weights, a, b, a, starts, betas)
    for estimate in (ais(forward), ais_bridge(forward, reverse, exact=True)):
        found = estimate.log_partition(log_z_base)
        assert found.mcse < 0.1
        assert abs(found.errors_from(log_z)) < Z_SCORE
    assert -forward.mean() < log_z - log_z_base < -reverse.mean()


def test_a_seed_is_a_result():
    parameters = *machine(20, 10), 300, np.linspace(0, 1, 21)
    first, again = (rbm_ais(np.random.default_rng(1), *parameters) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.zeros((2, 3), int)}, "weights must be a float32 or float64"),
        ({"weights": np.full((2, 3), np.inf)}, "weights must be finite"),
        ({"visible_bias": np.zeros(3)}, r"visible_bias must have shape \(2\)"),
        ({"hidden_bias": [0.0, 0.0, np.nan]}, "hidden_bias must be finite"),
        ({"base_bias": 0.0}, r"base_bias must have shape \(2\)"),
        ({"n_chains": 0}, "n_chains must be at least 1"),
        ({"betas": [0.0, 0.5]}, "betas must increase from 0 to 1"),
        ({"betas": [0.0, 0.5, 0.5, 1.0]}, "betas must increase from 0 to 1"),
    ],
)
def test_bad_input(change, message):
    good = {
        "weights": np.zeros((2, 3)),
        "visible_bias": np.zeros(2),
        "hidden_bias": np.zeros(3),
        "base_bias": np.zeros(2),
        "n_chains": 5,
        "betas": [0.0, 1.0],
    }
    with pytest.raises(ValueError, match=message):
        rbm_ais(np.random.default_rng(0), **{**good, **change})


def test_bad_states():
    rng, a, b = np.random.default_rng(0), np.zeros(2), np.zeros(3)
    with pytest.raises(ValueError, match="states must hold zeros and ones"):
        rbm_ais_reverse(rng, np.zeros((2, 3)), a, b, a, [[0.0, -1.0]], [0.0, 1.0])
