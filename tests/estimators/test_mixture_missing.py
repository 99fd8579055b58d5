"""EM where entries are missing: against the textbook's formula and a direct optimiser."""

import numpy as np
import pytest
from mixture_cases import KINDS, settled, three_clusters, with_holes
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris

from pm_energy.training.em_coordinates import Mixture
from pm_energy.training.em_missing import MissingRows

IRIS = load_iris().data


def expected_moments(x, weights, mixture):
    """Moments given what is there, row by row, by the textbook's formula."""
    k, d = mixture.means.shape
    log_density, count = 0.0, np.zeros(k)
    first, second = np.zeros((k, d)), np.zeros((k, d, d))
    for row, weight in zip(x, weights, strict=True):
        o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        joint, filled, spread = [], [], []
        for w, mu, c in zip(*mixture[1:], strict=True):
            seen = c[np.ix_(o, o)]
            joint.append(np.log(w) + multivariate_normal(mu[o], seen).logpdf(row[o]))
            gain = c[np.ix_(m, o)] @ np.linalg.inv(seen)
            away = np.zeros(d)
            away[o] = row[o] - mu[o]
            away[m] = gain @ (row[o] - mu[o])
            left = np.zeros((d, d))
            left[np.ix_(m, m)] = c[np.ix_(m, m)] - gain @ c[np.ix_(o, m)]
            filled.append(away)
            spread.append(left)
        log_density += weight * logsumexp(joint)
        share = weight * np.exp(joint - logsumexp(joint))
        count += share
        first += share[:, None] * filled
        outer = np.einsum("ka,kb->kab", filled, filled)
        second += share[:, None, None] * (outer + spread)
    return log_density, count, first, second


def without_spread(rows, mixture):
    """What imputing the conditional mean would give: broken."""
    log_density, count, origin, first, second = rows.expect(mixture, 1.0)
    filled = np.array([np.where(np.isnan(c), c[~np.isnan(c)].mean(), c) for c in rows.z])
    return log_density, count, origin, first, second - 1e-3 * np.cov(filled)


@pytest.mark.parametrize(
    ("expect", "is_right"), [(lambda r, m: r.expect(m, 1.0), True), (without_spread, False)]
)
def test_moments_of_rows_with_holes(expect, is_right):
    rng = np.random.default_rng(2)
    a = rng.normal(size=(2, 3, 3))
    mixture = Mixture(
        "full", np.array([0.4, 0.6]), rng.normal(size=(2, 3)), a @ a.swapaxes(1, 2) + np.eye(3)
    )
    x, weights = with_holes(rng.normal(size=(25, 3)), 0.5), rng.random(25)
    log_density, count, _, first, second = expect(MissingRows(x.T, weights), mixture)
    expected = expected_moments(x, weights, mixture)
    np.testing.assert_allclose(log_density, expected[0], rtol=1e-12)
    np.testing.assert_allclose(count, expected[1], rtol=1e-12)
    np.testing.assert_allclose(first, expected[2], atol=1e-12)
    assert np.allclose(second, expected[3], rtol=0, atol=1e-12) == is_right


def test_holes_maximise_the_likelihood_of_what_is_there():
    """A general-purpose optimiser finds no better: one correlated Gaussian, half of it seen."""
    x = with_holes(np.random.default_rng(3).normal(size=(30, 2)) @ [[1.0, 0.8], [0.0, 0.6]], 0.5)
    mixture = settled(1).fit(x)

    def loss(theta):
        root = np.array([[np.exp(theta[2]), 0.0], [theta[3], np.exp(theta[4])]])
        one = Mixture("full", np.ones(1), theta[None, :2], (root @ root.T)[None])
        return -expected_moments(x, np.ones(len(x)), one)[0] / len(x)

    best = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-8})
    assert abs(mixture.score(x) + best.fun) < 1e-9
    np.testing.assert_allclose(mixture.means_[0], best.x[:2], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_holes_take_either_road(kind):
    x = three_clusters(60)
    mixture = settled(2, covariance_type=kind, tol=1e-6).fit(x)
    empty = np.vstack([x, np.full((1, 3), np.nan)])
    log_density, posterior = mixture.score_samples(empty), mixture.predict_proba(empty)
    np.testing.assert_allclose(log_density[:-1], mixture.score_samples(x), atol=1e-11)
    np.testing.assert_allclose(posterior[:-1], mixture.predict_proba(x), atol=1e-11)
    assert abs(log_density[-1]) < 1e-15  # a row that says nothing
    np.testing.assert_allclose(posterior[-1], mixture.weights_)
    again = settled(2, covariance_type=kind, tol=1e-6).fit(empty)
    np.testing.assert_array_equal(again.means_, mixture.means_)
