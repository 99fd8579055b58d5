"""What users of scikit-learn, PyMC and files expect of Gaussian mixtures; and bad input."""

import pickle

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from mixture_cases import KINDS, settled, three_clusters
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import pm_energy as pme
from pm_energy.compile import ONCE
from pm_energy.estimators import mixture_runs
from pm_energy.estimators.gaussian_mixture import GaussianMixtureEM
from pm_energy.training.em_coordinates import full_covariances

IRIS = load_iris().data


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


@pytest.mark.parametrize("change", [{"n_components": 3}, {"covariance_type": "diag"}])
def test_warm_start_cannot_go_on_from_something_else(change):
    mixture = GaussianMixtureEM(2, warm_start=True, random_state=0).fit(IRIS)
    with pytest.raises(ValueError, match="warm_start"):
        mixture.set_params(**change).fit(IRIS)


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
    assert len(shown) == mixture.max_iter  # the bar gets to its end
    assert sum(bool(text) for text in shown) == mixture.n_iter_


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
        ({}, IRIS * 1e160, "square overflows"),
        ({"n_components": 1, "reg_covar": 0.0}, np.ones((9, 2)), "ill-defined"),
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
