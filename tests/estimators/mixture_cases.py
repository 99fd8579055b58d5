"""Rows and settings that tests of Gaussian mixtures share."""

import numpy as np

from pm_energy.estimators.gaussian_mixture import GaussianMixtureEM

KINDS = ["full", "tied", "diag", "spherical"]


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
