"""EM of Gaussian mixtures: against scikit-learn, closed forms and a direct optimiser."""

import pickle

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import pm_energy as pme
from pm_energy.compile import ONCE
from pm_energy.estimators import mixture_runs
from pm_energy.estimators.gaussian_mixture import GaussianMixtureEM
from pm_energy.kernels.mixture_em import mixture_moments
from pm_energy.training import em_mixture
from pm_energy.training.em_coordinates import Mixture, full_covariances
from pm_energy.training.em_missing import MissingRows

KINDS = ["full", "tied", "diag", "spherical"]
IRIS = load_iris().data


def three_clusters(n=300, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0, 0.0], [4.0, 1.0, 0.0], [-2.0, 5.0, 3.0]])
    return centres[rng.integers(3, size=n)] + rng.normal(size=(n, 3)) * [1.0, 0.5, 2.0]


def with_holes(x, share, seed=0):
    holes = np.random.default_rng(seed).random(x.shape) < share
    holes[np.arange(len(x)), np.arange(len(x)) % x.shape[1]] = False
    return np.where(holes, np.nan, x)


def settled(n_components, **settings):
    """An estimator that runs to the bottom, without a ridge."""
    common = {"tol": 1e-13, "max_iter": 3000, "reg_covar": 0.0, "random_state": 0}
    return GaussianMixtureEM(n_components, **(common | settings))


def start(kind, x):
    """Three components of unit width at the first rows."""
    d = x.shape[1]
    shape = {"full": np.tile(np.eye(d), (3, 1, 1)), "tied": np.eye(d)}
    shape |= {"diag": np.ones((3, d)), "spherical": np.ones(3)}
    given = {"weights_init": np.full(3, 1 / 3), "means_init": x[:3]}
    return given | {"covariances_init": shape[kind]}


def test_scikit_learn_finds_nothing_wrong():
    check_estimator(GaussianMixtureEM())


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


def test_any_number_of_threads_gives_the_same():
    x = three_clusters()
    settings = {"init_params": "random", "n_init": 4, "random_state": 3, "annealing": 0.7}
    one, two = (GaussianMixtureEM(3, n_jobs=n, **settings).fit(x) for n in (1, 2))
    np.testing.assert_array_equal(one.means_, two.means_)
    np.testing.assert_array_equal(one.history_["lower_bound"], two.history_["lower_bound"])
    runs = [GaussianMixtureEM(3, **settings | {"n_init": 1, "random_state": s}) for s in range(3)]
    assert one.lower_bound_ >= min(run.fit(x).lower_bound_ for run in runs)


@pytest.mark.parametrize("kind", KINDS)
def test_energy_is_minus_the_log_density(kind):
    x = three_clusters(50)
    mixture = GaussianMixtureEM(2, covariance_type=kind, random_state=0).fit(x)
    np.testing.assert_allclose(
        pme.energy_values(mixture.energy_, x), -mixture.score_samples(x), rtol=1e-11
    )


def test_energy_as_a_prior():
    mixture = GaussianMixtureEM(2, random_state=0).fit(three_clusters())
    x = np.array([0.5, 1.0, -1.0])
    with pm.Model():
        v = pme.Boltzmann("v", mixture.energy_)
    np.testing.assert_allclose(
        pm.logp(v, x).eval(mode=ONCE), mixture.score_samples([x])[0], rtol=1e-10
    )


@pytest.mark.slow
def test_energy_under_nuts():
    mixture = GaussianMixtureEM(2, random_state=0).fit(three_clusters())
    with pm.Model():
        v = pme.Boltzmann("v", mixture.energy_)
        trace = pm.sample(
            20, tune=20, chains=1, step=pm.NUTS([v]), random_seed=1, progressbar=False,
            compute_convergence_checks=False, quiet=True,
        )  # fmt: skip
    assert np.isfinite(mixture.score_samples(trace["posterior"]["v"].values[0])).all()


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_moments_of_the_mixture(kind):
    """Within six standard errors of mean and covariance, component by component."""
    mixture = GaussianMixtureEM(3, covariance_type=kind, random_state=0).fit(three_clusters())
    x, y = mixture.sample(60_000)
    assert (np.diff(y) >= 0).all()
    spread = full_covariances(mixture._mixture())
    for k in range(3):
        part = x[y == k]
        assert abs(len(part) / 60_000 - mixture.weights_[k]) < 6 * 0.5 / np.sqrt(60_000)
        error = (part.mean(0) - mixture.means_[k]) / np.sqrt(np.diag(spread[k]) / len(part))
        assert np.abs(error).max() < 6
        scale = np.sqrt(np.outer(np.diag(spread[k]), np.diag(spread[k])))
        assert np.abs((np.cov(part.T) - spread[k]) / scale).max() < 6 * np.sqrt(2 / len(part))


def test_single_precision_stays_and_costs_no_accuracy():
    x = three_clusters().astype(np.float32)
    single = settled(3, tol=1e-6).fit(x)
    double = settled(3, tol=1e-6).fit(x.astype(np.float64))
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        assert getattr(single, name).dtype == np.float32
        np.testing.assert_allclose(getattr(single, name), getattr(double, name), rtol=1e-5)
    assert single.predict_proba(x).dtype == single.score_samples(x).dtype == np.float32
    assert single.sample(3)[0].dtype == np.float32


def test_warm_start_goes_on():
    once = settled(3, max_iter=8, tol=0.0, init_params="random")
    twice = settled(3, max_iter=4, tol=0.0, init_params="random", warm_start=True)
    with pytest.warns(ConvergenceWarning):
        once.fit(IRIS)
    with pytest.warns(ConvergenceWarning):
        twice.fit(IRIS).fit(IRIS)
    np.testing.assert_allclose(once.means_, twice.means_, rtol=1e-10)


def test_no_steps_give_the_start():
    mixture = GaussianMixtureEM(3, max_iter=0, random_state=0).fit(IRIS)
    peer = GaussianMixture(3, max_iter=0, random_state=0).fit(IRIS)
    np.testing.assert_allclose(mixture.means_, peer.means_)
    assert mixture.n_iter_ == 0


def test_goes_to_files_and_trees(tmp_path):
    mixture = GaussianMixtureEM(2, covariance_type="tied", random_state=0).fit(IRIS)
    mixture.save(tmp_path / "mixture.npz")
    for other in (GaussianMixtureEM.load(tmp_path / "mixture.npz"),
                  pickle.loads(pickle.dumps(mixture))):  # fmt: skip
        np.testing.assert_array_equal(other.score_samples(IRIS), mixture.score_samples(IRIS))
    tree = mixture.to_datatree()
    assert tree["parameters"]["covariances"].dims == ("feature", "feature_other")
    assert tree["training"]["lower_bound"].size == mixture.n_iter_


def test_works_within_scikit_learn():
    frame = pd.DataFrame(IRIS, columns=list("abcd"))
    mixture = GaussianMixtureEM(random_state=0).fit(frame)
    assert mixture.feature_names_in_.tolist() == list("abcd")
    search = GridSearchCV(
        make_pipeline(StandardScaler(), GaussianMixtureEM(random_state=0)),
        {"gaussianmixtureem__n_components": [1, 2]},
        cv=3,
    )
    shuffled = frame.sample(frac=1, random_state=0)
    assert search.fit(shuffled).best_params_["gaussianmixtureem__n_components"] == 2
    assert np.isfinite(cross_val_score(GaussianMixtureEM(2), shuffled, cv=3)).all()


def test_progress_is_shown(monkeypatch):
    shown = []

    class Recorder(mixture_runs.Progress):
        def advance(self, text=""):
            shown.append(text)

    monkeypatch.setattr(mixture_runs, "Progress", Recorder)
    mixture = GaussianMixtureEM(2, random_state=0, verbose=True).fit(IRIS)
    assert len(shown) == mixture.n_iter_


def test_collapse_and_emptiness_are_told():
    x = three_clusters(60)
    point = np.vstack([x, np.tile([9.0, 9.0, 9.0], (20, 1))])
    with pytest.warns(ConvergenceWarning, match=r"components \[\d\] have collapsed"):
        GaussianMixtureEM(4, random_state=0).fit(point)
    with pytest.raises(ValueError, match="ill-defined empirical covariance"):
        GaussianMixtureEM(4, reg_covar=0.0, random_state=0).fit(point)
    far = np.vstack([x.mean(0), np.full(3, 1e4)])
    with pytest.warns(ConvergenceWarning, match=r"components \[1\] hold no rows"):
        mixture = GaussianMixtureEM(2, means_init=far, random_state=0, covariances_init=np.tile(
            np.eye(3), (2, 1, 1))).fit(x)  # fmt: skip
    assert np.isfinite(mixture.means_).all()
    np.testing.assert_allclose(mixture.means_[1], far[1])
    assert np.isfinite(pme.energy_values(mixture.energy_, x)).all()


def test_constant_columns_are_harmless():
    x = np.c_[three_clusters(), np.full(300, 0.1)]
    with np.errstate(all="raise"):
        mixture = GaussianMixtureEM(3, random_state=0).fit(x)
    assert mixture.converged_
    np.testing.assert_allclose(mixture.covariances_[:, 3, 3], 1e-6)


def eye(n):
    return np.tile(np.eye(n), (2, 1, 1))


@pytest.mark.parametrize(
    ("settings", "x", "message"),
    [
        ({"n_components": 7}, IRIS[:5], "n_samples >= n_components"),
        ({}, IRIS[:1], "minimum of 2 is required"),
        ({}, np.where(IRIS > 7, np.inf, IRIS), "infinity"),
        ({}, np.c_[IRIS, np.full(150, np.nan)], r"columns \[4\] of X have no entries"),
        ({"n_components": 0}, IRIS, "n_components"),
        ({"annealing": [0.5, 0.2, 1.0]}, IRIS, "annealing must rise"),
        ({"annealing": [0.5, 0.9]}, IRIS, "annealing must rise"),
        ({"annealing": 1.5}, IRIS, "annealing"),
        ({"fixed": ["variances"]}, IRIS, "fixed may hold weights, means, covariances"),
        ({"fixed": ["means"]}, IRIS, "give means_init"),
        ({"weights_init": [0.3, 0.3]}, IRIS, "sum to 1"),
        ({"means_init": np.zeros((2, 3))}, IRIS, r"means_init must have shape \(2, 4\)"),
        ({"covariances_init": -eye(4)}, IRIS, "covariances_init must be positive definite"),
        ({"precisions_init": np.triu(eye(4) + 1)}, IRIS, "precisions_init must be symmetric"),
        ({"precisions_init": eye(4), "covariances_init": eye(4)}, IRIS, "not both"),
    ],
)
def test_bad_input(settings, x, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixtureEM(**({"n_components": 2} | settings)).fit(x)


def test_bad_number_of_draws():
    with pytest.raises(ValueError, match="n_samples must be at least 1"):
        GaussianMixtureEM().fit(IRIS).sample(0)
