"""EM of Gaussian mixtures: against scikit-learn and closed forms; known parameters, annealing."""

import numpy as np
import pytest
from mixture_cases import KINDS, settled, start, three_clusters, with_holes
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from pm_energy.estimators.gaussian_mixture import GaussianMixtureEM
from pm_energy.kernels.mixture_em import mixture_moments
from pm_energy.training import em_mixture

IRIS = load_iris().data


@pytest.mark.parametrize("init_params", ["kmeans", "random"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_step_is_that_of_scikit_learn(kind, init_params):
    settings = {"covariance_type": kind, "random_state": 1, "tol": 1e-6, "max_iter": 300}
    peer = GaussianMixture(3, init_params=init_params, **settings).fit(IRIS)
    ours = GaussianMixtureEM(3, init_params=init_params, **settings).fit(IRIS)
    assert ours.n_iter_ == peer.n_iter_
    assert ours.converged_ == peer.converged_
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(peer, name), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.lower_bound_, peer.lower_bound_, atol=1e-11)
    np.testing.assert_allclose(ours.score_samples(IRIS), peer.score_samples(IRIS), atol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(IRIS), peer.predict_proba(IRIS), atol=1e-9)
    np.testing.assert_array_equal(ours.predict(IRIS), peer.predict(IRIS))
    np.testing.assert_allclose(
        [ours.bic(IRIS), ours.aic(IRIS)], [peer.bic(IRIS), peer.aic(IRIS)], atol=1e-8
    )


@pytest.mark.parametrize("kind", KINDS)
def test_optimum_from_given_parameters_is_that_of_scikit_learn(kind):
    given = start(kind, IRIS[[0, 75, 140]])
    given |= {"precisions_init": given.pop("covariances_init"), "covariance_type": kind}
    given |= {"tol": 1e-12, "max_iter": 5000}
    peer = GaussianMixture(3, **given).fit(IRIS)
    ours = GaussianMixtureEM(3, **given).fit(IRIS)
    assert abs(ours.score(IRIS) - peer.score(IRIS)) < 1e-8


def test_published_likelihood_of_iris():
    mixture = settled(2, reg_covar=1e-6).fit(IRIS)
    assert round(mixture.score(IRIS) * 150, 4) == -214.3547
    assert round(mixture.bic(IRIS), 3) == 574.018


def forgetful(moments):
    """A broken step: responsibilities of the first component count half."""

    def broken(z, weights, terms):
        total, count, origin, first, second = moments(z, weights, terms)
        half = np.where(np.arange(len(count)) == 0, 0.5, 1.0)
        return total, count, origin, first * half[:, None], second

    return broken


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
@pytest.mark.parametrize(
    ("moments", "is_right"), [(mixture_moments, True), (forgetful(mixture_moments), False)]
)
def test_likelihood_never_falls(kind, moments, is_right, monkeypatch):
    monkeypatch.setattr(em_mixture, "mixture_moments", moments)
    mixture = settled(4, covariance_type=kind, init_params="random", max_iter=60, tol=0.0)
    with pytest.warns(ConvergenceWarning):
        bounds = mixture.fit(IRIS).history_["lower_bound"]
    assert (np.diff(bounds).min() > -1e-12) == is_right


@pytest.mark.parametrize("kind", KINDS)
def test_likelihood_never_falls_with_holes_or_at_one_temperature(kind):
    holes = with_holes(three_clusters(), 0.3)
    mixture = settled(3, covariance_type=kind, annealing=[0.5, 1.0], tol=1e-9).fit(holes)
    for beta in (0.5, 1.0):
        bounds = mixture.history_["lower_bound"][mixture.history_["beta"] == beta]
        assert len(bounds) > 2
        assert np.diff(bounds).min() > -1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("scale", "shift"), [(1.0, 1e8), (1e10, 0.0), (np.array([1e-5, 1.0, 1e6]), 1e3)]
)
def test_units_and_origin_do_not_matter(kind, scale, shift):
    if kind == "spherical" and np.ndim(scale):
        pytest.skip("one variance for all axes depends on their units")
    x, ones = three_clusters(), np.ones(3)
    moved = x * scale + shift
    square = (ones * scale) ** 2
    shape = {"full": np.tile(np.diag(square), (3, 1, 1)), "tied": np.diag(square)}
    shape |= {"diag": np.tile(square, (3, 1)), "spherical": square}
    plain = settled(3, covariance_type=kind, **start(kind, x))
    other = settled(
        3, covariance_type=kind, **start(kind, moved) | {"covariances_init": shape[kind]}
    )
    plain.fit(x)
    other.fit(moved)
    precision = 1e-6 if shift == 1e8 else 1e-9  # there, the rows themselves are rounded to 1e-8
    np.testing.assert_allclose(
        other.predict_proba(moved), plain.predict_proba(x), rtol=0, atol=100 * precision
    )
    log_det = np.log(ones * scale).sum()
    np.testing.assert_allclose(other.score(moved) + log_det, plain.score(x), atol=precision)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_repetitions(kind):
    x = three_clusters(120)
    often = np.random.default_rng(1).integers(0, 4, size=len(x))
    mixture = settled(3, covariance_type=kind, **start(kind, x), tol=1e-5)
    weighted = mixture.fit(x, sample_weight=often).score_samples(x)
    repeated = mixture.fit(np.repeat(x, often, axis=0)).score_samples(x)
    np.testing.assert_allclose(weighted, repeated, rtol=0, atol=1e-10)
    holes = with_holes(x, 0.2)
    weighted = mixture.fit(holes, sample_weight=often).score_samples(holes)
    repeated = mixture.fit(np.repeat(holes, often, axis=0)).score_samples(holes)
    np.testing.assert_allclose(weighted, repeated, rtol=0, atol=1e-10)


def test_annealing_finds_more_of_sixteen_clusters_on_a_grid():
    """Clusters of known width, random rows as a start, four data sets.

    Plain EM leaves clusters without a component in nearly every run; annealing finds them all in
    about half of the runs, and is never much worse.
    """
    centres = np.array([(a, b) for a in range(4) for b in range(4)], dtype=float)
    settings = {"covariance_type": "spherical", "init_params": "random_from_data", "tol": 1e-5}
    settings |= {"covariances_init": np.full(16, 0.15**2), "fixed": ["covariances"]}
    settings |= {"max_iter": 200}
    complete, score = np.zeros((2, 16), bool), np.zeros((2, 16))
    for run in range(16):
        noise = np.random.default_rng(run // 4).normal(size=(640, 2))
        x = np.repeat(centres, 40, axis=0) + 0.15 * noise
        for way, annealing in enumerate((None, 0.1)):
            mixture = GaussianMixtureEM(16, annealing=annealing, random_state=run, **settings)
            away = np.linalg.norm(mixture.fit(x).means_[:, None] - centres, axis=2)
            complete[way, run] = away.min(axis=0).max() < 0.2
            score[way, run] = mixture.score(x)
    assert complete[0].sum() <= 2
    assert complete[1].sum() >= 5
    assert (score[1] > score[0]).sum() >= 13


@pytest.mark.parametrize("part", ["weights", "means", "covariances"])
@pytest.mark.parametrize("kind", KINDS)
def test_known_parameters_stay(kind, part):
    x = three_clusters()
    known = GaussianMixtureEM(3, covariance_type=kind, random_state=0, max_iter=3, tol=1.0).fit(x)
    value = getattr(known, f"{part}_")
    fixed = settled(3, covariance_type=kind, fixed=[part], **{f"{part}_init": value}).fit(x)
    np.testing.assert_array_equal(getattr(fixed, f"{part}_"), value)
    assert np.diff(fixed.history_["lower_bound"]).min() > -1e-12
    free = {"weights_", "means_", "covariances_"} - {f"{part}_"}
    assert all(not np.array_equal(getattr(fixed, n), getattr(known, n)) for n in free)
    assert fixed.aic(x) - known.aic(x) < 2 * (known.score(x) - fixed.score(x)) * len(x)


@pytest.mark.parametrize("kind", KINDS)
def test_known_means_are_those_about_which_variances_are_taken(kind):
    """For one component the estimate is the mean square about the known mean."""
    x = three_clusters()
    mean = np.array([1.0, -2.0, 0.5])
    mixture = settled(1, covariance_type=kind, means_init=[mean], fixed=["means"]).fit(x)
    square = (x - mean).T @ (x - mean) / len(x)
    expected = {"full": square[None], "tied": square, "diag": np.diag(square)[None]}
    expected["spherical"] = np.diag(square).mean()[None]
    np.testing.assert_allclose(mixture.covariances_, expected[kind], rtol=1e-12)
