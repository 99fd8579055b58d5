"""Annealed importance sampling of Gaussian RBMs: works by hand, moves, unbiased weights."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp, ndtr
from scipy.stats import kstest

from pm_energy.kernels.gaussian_rbm_ais import (
    _anneal,
    _parameters,
    gaussian_rbm_ais,
    gaussian_rbm_ais_reverse,
    gaussian_rbm_base_log_partition,
)
from pm_energy.kernels.gaussian_rbm_exact import gaussian_rbm_log_partition
from pm_energy.partition import ais
from pm_energy.testing import FALSE_ALARM

Z_SCORE = 4.9  # |normal| exceeds it once in a million
GAUSSIAN = (
    np.array([[1.0, -0.7, 0.4], [0.3, 0.8, -1.1]]),
    np.array([0.2, -0.5]),
    np.array([0.3, -0.4, 0.6]),
    np.array([0.7, 1.4]),
)
BASE = np.array([0.5, -0.2]), np.array([1.3, 1.0])


def gaussian_log_density(v, beta, weights, a, b, variance, mean, spread):
    base = ((v - mean) ** 2 / (2 * spread)).sum(1)
    softplus = np.logaddexp(0, beta * ((v / variance) @ weights + b)).sum(1)
    return softplus - (1 - beta) * base - beta * ((v - a) ** 2 / (2 * variance)).sum(1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_one_step_of_gaussian_units_weighs_by_the_ratio_of_densities(dtype, tolerance):
    weights = GAUSSIAN[0].astype(dtype)
    rng = np.random.default_rng(1)
    works, v = gaussian_rbm_ais(rng, weights, *GAUSSIAN[1:], *BASE, 50, [0.0, 1.0])
    exact = [gaussian_log_density(v.astype(float), k, *GAUSSIAN, *BASE) for k in (0.0, 1.0)]
    np.testing.assert_allclose(works, exact[0] - exact[1], atol=tolerance)
    back = gaussian_rbm_ais_reverse(rng, weights, *GAUSSIAN[1:], *BASE, v, [0.0, 1.0])
    np.testing.assert_allclose(back, works, rtol=tolerance)


def gaussian_rung(beta):
    """Means given h, variances and p(h) of the units at beta: a mixture of 8 Gaussians."""
    weights, a, b, variance = GAUSSIAN
    mean, spread = BASE
    h = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    precision = (1 - beta) / spread + beta / variance
    means = ((1 - beta) * mean / spread + beta * (a + h @ weights.T) / variance) / precision
    log_p = beta * (h @ b) + 0.5 * (precision * means**2).sum(1)
    return means, 1 / precision, np.exp(log_p - logsumexp(log_p))


def gaussian_move(rng, v, beta, base=BASE):
    log_weights, v = _anneal(rng, v, *_parameters(*GAUSSIAN, *base), np.full(3, beta))
    np.testing.assert_array_equal(log_weights, 0)
    return v


def gaussian_move_with_base_of_wrong_mean(rng, v, beta):
    return gaussian_move(rng, v, beta, (-BASE[0], BASE[1]))


@pytest.mark.parametrize(
    ("move", "is_right"), [(gaussian_move, True), (gaussian_move_with_base_of_wrong_mean, False)]
)
def test_each_move_of_gaussian_units_leaves_its_rung_invariant(move, is_right):
    """From exact draws of p_beta; each unit by Kolmogorov-Smirnov."""
    means, variances, p = gaussian_rung(0.6)
    rng = np.random.default_rng(2)
    v = means[rng.choice(8, size=50_000, p=p)]
    v = move(rng, v + np.sqrt(variances) * rng.normal(size=v.shape), 0.6)
    p_values = [
        kstest(v[:, i], lambda x, i=i: ndtr((x[:, None] - means[:, i]) / variances[i] ** 0.5) @ p)[
            1
        ]
        for i in range(2)
    ]
    assert (min(p_values) > FALSE_ALARM / 2) == is_right


def gaussian_weights_after_the_move(rng, weights, a, b, variance, *base, n_chains, betas):
    v = base[0] + np.sqrt(base[1]) * rng.normal(size=(n_chains, len(a)))
    works = np.zeros(n_chains)
    for old, new in itertools.pairwise(betas):
        v = gaussian_move(rng, v, new)
        works += gaussian_log_density(v, old, *GAUSSIAN, *base)
        works -= gaussian_log_density(v, new, *GAUSSIAN, *base)
    return works, v


@pytest.mark.parametrize(
    ("run", "is_right"), [(gaussian_rbm_ais, True), (gaussian_weights_after_the_move, False)]
)
def test_weights_of_gaussian_units_are_unbiased(run, is_right):
    rng, betas = np.random.default_rng(3), np.linspace(0, 1, 6)
    works, v = run(rng, *GAUSSIAN, *BASE, n_chains=40_000, betas=betas)
    log_ratio = gaussian_rbm_log_partition(*GAUSSIAN) - gaussian_rbm_base_log_partition(BASE[1], 3)
    share = np.exp(-works - log_ratio)
    means, _, p = gaussian_rung(1.0)
    errors = np.column_stack([share - 1, share[:, None] * (v - p @ means)])
    z = errors.mean(0) / (errors.std(0) / np.sqrt(len(errors)))
    assert (np.abs(z).max() < Z_SCORE) == is_right


@pytest.mark.parametrize(("sign", "is_right"), [(1, True), (-1, False)])
def test_reverse_weights_of_gaussian_units_are_unbiased(sign, is_right):
    rng, betas = np.random.default_rng(4), np.linspace(0, 1, 6)
    means, variances, p = gaussian_rung(1.0)
    v = means[rng.choice(8, size=40_000, p=p)]
    v += np.sqrt(variances) * rng.normal(size=v.shape)
    works = sign * gaussian_rbm_ais_reverse(rng, *GAUSSIAN, *BASE, v, betas)
    log_ratio = gaussian_rbm_log_partition(*GAUSSIAN) - gaussian_rbm_base_log_partition(BASE[1], 3)
    share = np.exp(works + log_ratio)
    z = (share.mean() - 1) / (share.std() / np.sqrt(share.size))
    assert (abs(z) < Z_SCORE) == is_right


def test_gaussian_float32_agrees_with_the_exact_sum():
    rng = np.random.default_rng(4)
    weights = rng.normal(0, 0.2, (100, 12)).astype(np.float32)
    a, b, variance = rng.normal(size=100), rng.normal(size=12), np.linspace(0.5, 1.5, 100)
    works, _ = gaussian_rbm_ais(
        rng, weights, a, b, variance, a, variance, 300, np.linspace(0, 1, 201)
    )
    found = ais(works).log_partition(gaussian_rbm_base_log_partition(variance, 12))
    assert found.mcse < 0.1
    assert abs(found.errors_from(gaussian_rbm_log_partition(weights, a, b, variance))) < Z_SCORE


def test_bad_variances():
    rng, a, b = np.random.default_rng(0), np.zeros(2), np.zeros(3)
    for variances in ((np.ones(2), a), (a, np.ones(2))):
        with pytest.raises(ValueError, match="variance must be positive"):
            gaussian_rbm_ais(rng, np.zeros((2, 3)), a, b, variances[0], a, variances[1], 5, [0, 1])
    with pytest.raises(ValueError, match="weights must be float32 or float64"):
        gaussian_rbm_ais(rng, np.zeros((2, 3), int), a, b, a + 1, a, a + 1, 5, [0, 1])
