"""Distances of samples, scores and images against what they are by their formulas."""

from itertools import combinations

import numpy as np
import pytest

from pm_energy.diagnostics import c2st, fisher_divergence, mmd, psnr, ssim


def normal(seed, n, d=2, shift=0.0):
    return shift + np.random.default_rng(seed).normal(size=(n, d))


def test_the_discrepancy_is_unbiased():
    """Its mean over all ways to deal six points into two samples is exactly zero."""
    points = normal(0, 6)
    values, plain = [], []
    for first in combinations(range(6), 2):
        rest = [i for i in range(6) if i not in first]
        x, y = points[list(first)], points[rest]
        values.append(mmd(x, y).squared)
        plain.append(biased(x, y))
    np.testing.assert_allclose(np.mean(values), 0.0, atol=1e-15)
    assert np.mean(plain) > 0.1  # with a point's kernel with itself


def biased(x, y):
    def k(a, b):
        return np.exp(-((a[:, None] - b) ** 2).sum(-1) / 2).mean()

    return k(x, x) + k(y, y) - 2 * k(x, y)


def test_the_discrepancy_of_two_normals_is_its_integral():
    """k(x, y) of normals a distance s apart has mean sqrt(h2 / (h2 + 2)) exp(-s2 / 2(h2 + 2))."""
    h2, shift, runs = 1.5**2, 1.0, 100
    found = [
        mmd(normal(seed, 40, 1), normal(seed + runs, 60, 1, shift), bandwidth=1.5).squared
        for seed in range(runs)
    ]
    expected = 2 * np.sqrt(h2 / (h2 + 2)) * (1 - np.exp(-(shift**2) / (2 * (h2 + 2))))
    error = np.std(found) / np.sqrt(runs)
    assert abs(np.mean(found) - expected) < 5 * error  # 6e-7
    assert error < expected / 20


@pytest.mark.parametrize(("shift", "is_equal"), [(0.0, True), (0.5, False)])
def test_permutations_tell_equal_from_different(shift, is_equal):
    """Under equality all 200 ranks are equally likely."""
    p = mmd(normal(1, 100), normal(2, 150, shift=shift), n_permutations=199, random_state=0).p_value
    assert (p > 0.01) == is_equal
    assert 1 / 200 <= p <= 1


def test_permutation_p_values_count_the_sample_itself():
    x = np.zeros((4, 1))
    assert mmd(x, x, n_permutations=9, random_state=0).p_value == 1.0


def test_a_classifier_is_at_chance_on_equal_samples_and_right_on_far_ones():
    x, y = normal(3, 300), normal(4, 200)
    same = c2st(x, y, n_features=30, random_state=0)
    assert abs(same.value - 0.5) < 4 * same.error
    assert same.error == pytest.approx(np.sqrt(2 * 0.25 * (1 / 300 + 1 / 200)) / 2, rel=0.05)
    assert c2st(x, y + 6, n_features=30, random_state=0).value == 1.0
    again = c2st(x, y, n_features=30, random_state=0)
    assert same == again


def test_a_classifier_sees_shape_and_not_only_means():
    """A ring and a normal of equal mean and covariance: no linear rule parts them."""
    angle = np.random.default_rng(5).uniform(0, 2 * np.pi, 300)
    ring = np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    found = c2st(ring, normal(6, 300), n_features=30, random_state=0)
    assert found.value > 0.5 + 6 * found.error


def test_the_classifier_reaches_the_best_accuracy_there_is():
    """Normals a distance 2 apart: Phi(1) = .841 of the points can be told."""
    x, y = normal(7, 600, 1), normal(8, 600, 1, 2.0)
    found = c2st(x, y, n_features=30, random_state=0)
    assert found.value == pytest.approx(0.8413, abs=4 * found.error)


def test_fisher_divergence_of_two_normals():
    """Scores -x and -x / 2: a quarter of the mean of |x|**2."""
    x = normal(9, 50)
    found = fisher_divergence(-x / 2, lambda x: -x, x)
    np.testing.assert_allclose(found.absolute, 0.25 * (x**2).sum(axis=1).mean())
    np.testing.assert_allclose(found.relative, 0.25)
    assert fisher_divergence(np.zeros_like(x), -x, x).relative == 1.0
    assert np.isnan(fisher_divergence(-x, 0 * x, x).relative)


def test_psnr_of_known_errors():
    truth = np.zeros((3, 4))
    assert psnr(truth, truth + 0.5, 2.0) == pytest.approx(20 * np.log10(4))
    assert psnr(truth, truth, 1.0) == np.inf


@pytest.mark.parametrize("window", ["uniform", "gaussian"])
def test_ssim_is_the_formula_of_its_paper_on_each_window(window):
    rng = np.random.default_rng(10)
    a = rng.uniform(size=(2, 6, 8))
    b = np.clip(a + rng.normal(0, 0.3, a.shape), 0, 1)
    size = 5
    w = np.ones(size)
    if window == "gaussian":
        w = np.exp(-0.5 * (np.arange(-2, 3) / (1.5 / 11 * size)) ** 2)
    w = np.outer(w, w) / w.sum() ** 2
    expected = np.zeros(2)
    for i in range(2):
        for j in range(4):
            p, q = a[:, i : i + size, j : j + size], b[:, i : i + size, j : j + size]
            mp, mq = (w * p).sum((1, 2)), (w * q).sum((1, 2))
            dp, dq = p - mp[:, None, None], q - mq[:, None, None]
            vp, vq, c = ((w * s).sum((1, 2)) for s in (dp**2, dq**2, dp * dq))
            first = (2 * mp * mq + 1e-4) / (mp**2 + mq**2 + 1e-4)
            expected += first * (2 * c + 9e-4) / (vp + vq + 9e-4) / 8
    np.testing.assert_allclose(ssim(a, b, 1.0, size=size, window=window), expected, rtol=1e-12)
    np.testing.assert_allclose(ssim(a, a, 1.0, size=size, window=window), 1.0, rtol=1e-12)
    # of one unit or another
    np.testing.assert_allclose(
        ssim(9 * a, 9 * b, 9.0, size=size, window=window), expected, rtol=1e-12
    )


X = np.zeros((5, 2))
BAD = np.full((5, 2), np.nan)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: c2st(X, BAD), "y must be finite"),
        (lambda: c2st(X, X[:, 0]), r"y must have shape \(n, d\)"),
        (lambda: c2st(X, np.zeros((5, 3))), "as many columns, got 2 and 3"),
        (lambda: c2st(X, X[:3]), "n_folds must be at least 2 and at most .* 3, got 5"),
        (lambda: c2st(X, X, n_features=0), "n_features must be a positive integer"),
        (lambda: mmd(X, ["a"]), "y must be numeric"),
        (lambda: mmd(X[:1], X), "n at least 2"),
        (lambda: mmd(X, X, bandwidth=0.0), "bandwidth must be a positive number or 'median'"),
        (lambda: mmd(X, X, bandwidth="mean"), "bandwidth must be a positive number or 'median'"),
        (lambda: mmd(X, X, n_permutations=-1), "n_permutations must be at least 0"),
        (lambda: mmd(X, X, n_permutations=1.5), "n_permutations must be an integer"),
        (lambda: fisher_divergence(X[:, 0], X, X), "score must have the shape of x"),
        (lambda: fisher_divergence(X, BAD, X), "true_score must be finite"),
        (lambda: fisher_divergence(X, X, X[0]), r"x must have shape \(n, d\)"),
        (lambda: psnr(X, X[0], 1.0), "one shape"),
        (lambda: psnr(X, BAD, 1.0), "estimate must be finite"),
        (lambda: psnr(X, X, 0.0), "data_range must be a positive number"),
        (lambda: ssim(X, X, 1.0), r"size must be at most that of an image, \(5, 2\), got 7"),
        (lambda: ssim(X, X, 1.0, size=2), "size must be an odd integer"),
        (lambda: ssim(X[0], X[0], 1.0), r"images must have shape \(..., rows, columns\)"),
        (lambda: ssim(X, X, 1.0, size=1, window="hann"), "window must be one of 'uniform'"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_constant_samples_are_equal():
    assert mmd(X, X).squared == 0.0
    assert c2st(np.zeros((20, 1)), np.zeros((20, 1)), random_state=0).value == 0.5
