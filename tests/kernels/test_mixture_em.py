"""Features and matrix products against densities of scipy, component by component."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from pm_energy.kernels.mixture_em import (
    CANCELLATION,
    KINDS,
    mixture_moments,
    mixture_posterior,
    mixture_terms,
)

K, D, N = 4, 3, 1300  # two blocks and a part of one


def mixture(kind, rng):
    """Weights, means and covariance matrices of a kind."""
    a = rng.normal(size=(K, D, D))
    covariances = a @ a.swapaxes(1, 2) + 0.3 * np.eye(D)
    if kind == "tied":
        covariances = np.repeat(covariances[:1], K, axis=0)
    elif kind == "diag":
        covariances = covariances * np.eye(D)
    elif kind == "spherical":
        covariances = covariances[:, :1, :1] * np.eye(D)
    return rng.dirichlet(np.ones(K)), rng.normal(size=(K, D)), covariances


def roots(covariances):
    return np.linalg.inv(np.linalg.cholesky(covariances)).swapaxes(1, 2)


def oracle(x, weights, means, covariances, beta):
    """Log-density and responsibilities."""
    parts = [multivariate_normal(m, c).logpdf(x) for m, c in zip(means, covariances, strict=True)]
    joint = beta * (np.log(weights) + np.transpose(parts))
    log_density = logsumexp(joint, axis=1)
    return log_density, np.exp(joint - log_density[:, None])


def choices():
    """Kinds, and which components are careful: none, one, all."""
    for kind in KINDS:
        for careful in (0, 1, K):
            if kind != "tied" or careful != 1:
                yield kind, np.arange(K) < careful


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize(("kind", "careful"), list(choices()))
def test_densities_and_moments_are_those_of_scipy(kind, careful, beta):
    rng = np.random.default_rng(3)
    weights, means, covariances = mixture(kind, rng)
    x, often = 2.0 * rng.normal(size=(N, D)), rng.random(N)
    terms = mixture_terms(kind, weights, means, roots(covariances), beta, careful)
    log_density, posterior = mixture_posterior(np.ascontiguousarray(x.T), terms)
    expected = oracle(x, weights, means, covariances, beta)
    np.testing.assert_allclose(log_density, expected[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(posterior, expected[1], rtol=0, atol=1e-12)

    total, count, origin, first, second = mixture_moments(np.ascontiguousarray(x.T), often, terms)
    share = expected[1] * often[:, None]
    away = x[:, None] - origin
    outer = np.einsum("nk,nka,nkb->kab", share, away, away)
    squares = np.diagonal(outer, axis1=1, axis2=2)
    shaped = {"full": outer, "tied": outer.sum(0), "diag": squares, "spherical": squares.sum(1)}
    np.testing.assert_allclose(total, often @ expected[0], rtol=1e-12)
    np.testing.assert_allclose(count, share.sum(0), rtol=1e-12)
    np.testing.assert_allclose(first, np.einsum("nk,nka->ka", share, away), atol=1e-10)
    if second is not None:
        np.testing.assert_allclose(second, shaped[kind], rtol=1e-11, atol=1e-10)
    else:  # of tied components, whatever they are
        np.testing.assert_allclose((x.T * often) @ x, shaped["tied"], rtol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("careful", "is_right"), [(None, True), (np.zeros(K, bool), False)])
def test_narrow_components_keep_their_digits(kind, careful, is_right):
    """A width of 1e-7 at distance 1; the expansion about zero cancels."""
    rng = np.random.default_rng(4)
    weights, means, covariances = mixture(kind, rng)
    covariances[0] = 1e-14 * np.eye(D)
    if kind == "tied":
        covariances[:] = covariances[0]
    x = means[0] + 1e-7 * rng.normal(size=(100, D))
    terms = mixture_terms(kind, weights, means, roots(covariances), careful=careful)
    z = np.ascontiguousarray(x.T)
    log_density, _ = mixture_posterior(z, terms)
    expected, _ = oracle(x, weights, means, covariances, 1.0)
    error = np.abs(log_density - expected).max()
    assert (error < 1e-7) == is_right, error  # rows themselves are only known to 1e-16 / 1e-7
    _, count, origin, first, second = mixture_moments(z, np.ones(100), terms)
    if kind == "full":
        shift = first[0] / count[0]
        spread = second[0] / count[0] - np.outer(shift, shift)
        close = np.allclose(spread, np.cov(x.T, ddof=0), rtol=1e-6, atol=1e-18)
        assert close == is_right
        assert np.allclose(origin[0] + shift, x.mean(0))


def test_the_expansion_is_good_to_nine_digits_up_to_its_limit():
    rng = np.random.default_rng(5)
    weights, means, _ = mixture("full", rng)
    away = 1.0 + (means**2).sum(axis=1)
    variance = D * away / (0.9 * CANCELLATION)
    covariances = variance[:, None, None] * np.eye(D)
    noise = rng.normal(size=(50, K, D)) * np.sqrt(variance)[:, None]
    x = (means + noise).reshape(-1, D)
    terms = mixture_terms("full", weights, means, roots(covariances))
    assert not terms.careful.any()
    log_density, _ = mixture_posterior(np.ascontiguousarray(x.T), terms)
    expected, _ = oracle(x, weights, means, covariances, 1.0)
    np.testing.assert_allclose(log_density, expected, rtol=0, atol=2e-9)


def test_rows_far_from_everything_underflow_to_the_nearest_component():
    terms = mixture_terms("full", np.full(2, 0.5), np.array([[-1.0], [1.0]]), np.ones((2, 1, 1)))
    log_density, posterior = mixture_posterior(np.array([[1e6, -1e6]]), terms)
    assert np.isfinite(log_density).all()
    np.testing.assert_allclose(posterior, [[0, 1], [1, 0]], atol=1e-300)
