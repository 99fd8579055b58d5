"""Restricted Boltzmann machine with Gaussian visible units as a scikit-learn estimator."""

from typing import ClassVar

import numpy as np
from sklearn.utils._param_validation import StrOptions

from pm_energy.estimators.base import EnergyEstimator
from pm_energy.estimators.bernoulli_rbm import COMMON
from pm_energy.estimators.likelihood_mixin import LikelihoodMixin
from pm_energy.estimators.rbm_mixin import RBMMixin
from pm_energy.training.fit import dense_rows
from pm_energy.training.recipe import LIKELIHOODS


class GaussianRBM(RBMMixin, LikelihoodMixin, EnergyEstimator):
    r"""Restricted Boltzmann machine for real-valued data, with a learned variance of each unit.

    .. math:: E(v, h) = \sum_i \frac{(v_i - a_i)^2}{2 \sigma_i^2} - b^\top h
              - \sum_{ij} \frac{v_i}{\sigma_i^2} W_{ij} h_j

    Given the hidden units the visible ones are normal, so this is a mixture of normal distributions
    of one covariance whose centres are sums of the columns of W. It is learned on standardised
    columns, which the parameters then undo.

    Parameters
    ----------
    n_components : int
        Hidden units.
    hidden : {"binary", "spin"}
        Their states: {0, 1} or {-1, +1}.
    objective : {"pcd", "cd", "tempered", "exact"}
        "exact" is for up to about 20 hidden units.
    n_chains, n_sweeps, n_levels, schedule, solver, batch_size, n_iter, tol, centred
        As in :class:`BernoulliRBM`, and so ``weight_decay``, ``warm_start``, ``verbose``,
        ``random_state`` and ``n_jobs``. The levels of "tempered" go up evenly to 1 from above 0.
    learning_rate : float
    track : {"auto", "log_likelihood", "reconstruction_error"} or None
        "auto": the log-likelihood for up to 12 hidden units, otherwise the mean square of
        reconstruction errors of standardised data.

    Attributes
    ----------
    weights_ : ndarray, shape (n_features, n_components)
    visible_bias_ : ndarray, shape (n_features,)
        Mean of the visible units where no hidden unit acts on them.
    hidden_bias_ : ndarray, shape (n_components,)
    log_variance_ : ndarray, shape (n_features,)
    variance_ : ndarray, shape (n_features,)
    energy_, log_partition_, history_, n_iter_, n_features_in_, feature_names_in_
        As in :class:`BernoulliRBM`.

    References
    ----------
    .. [1] Welling, Rosen-Zvi & Hinton (2004), NIPS 17, 1481-1488.
    .. [2] Cho, Ilin & Raiko (2011), ICANN, Lecture Notes in Computer Science 6791, 10-17.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal([[0.0], [10.0]], 1.0, (2, 100)).reshape(-1, 1)  # two clusters
    >>> rbm = pme.GaussianRBM(1, objective="exact", weight_decay=0, random_state=0).fit(X)
    >>> rbm.variance_.round(1), rbm.transform([[0.0], [10.0]]).round()[0] == [0.0]
    (array([0.9]), array([ True]))
    """

    _dims: ClassVar = {
        "weights_": ("visible", "hidden"),
        "visible_bias_": ("visible",),
        "hidden_bias_": ("hidden",),
        "log_variance_": ("visible",),
    }
    _parameter_constraints: ClassVar = {
        **COMMON,
        "hidden": [StrOptions({"binary", "spin"})],
        "objective": [StrOptions(set(LIKELIHOODS))],
        "track": [StrOptions({"auto", "log_likelihood", "reconstruction_error"}), None],
    }

    def __init__(
        self,
        n_components=64,
        *,
        hidden="binary",
        objective="pcd",
        n_chains=100,
        n_sweeps=1,
        n_levels=10,
        learning_rate=0.02,
        schedule="linear",
        solver="auto",
        batch_size=10,
        n_iter=100,
        tol=1e-5,
        centred=True,
        weight_decay=1e-4,
        track="auto",
        warm_start=False,
        verbose=0,
        random_state=None,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.hidden = hidden
        self.objective = objective
        self.n_chains = n_chains
        self.n_sweeps = n_sweeps
        self.n_levels = n_levels
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.solver = solver
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.tol = tol
        self.centred = centred
        self.weight_decay = weight_decay
        self.track = track
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        self.n_jobs = n_jobs

    @property
    def variance_(self):
        """Variance of each visible unit, given the hidden ones."""
        return np.exp(self.log_variance_)

    def _kinds(self):
        return "gaussian", self.hidden

    def _check_domain(self, X):
        pass  # any finite number, which scikit-learn has checked

    def _first_theta(self, X, weights, rng):
        """Visible units with half of the data's variance, and hidden ones that make up the rest.

        Hidden units that do nothing beside visible ones with all of the variance would be a saddle
        of the likelihood, which no gradient leads away from.
        """
        mean, scale = _moments(X, weights)
        own = 0.25 if self.hidden == "binary" else 1.0  # variance of a hidden unit
        size = np.sqrt(0.5 / (own * self.n_components))
        weights = size * rng.standard_normal((X.shape[1], self.n_components))
        theta = {
            "weights": scale[:, None] * weights,
            "visible_bias": mean,
            "hidden_bias": np.zeros(self.n_components),
            "log_variance": np.log(scale**2 / 2),
        }
        # a row at the mean drives no hidden unit
        theta["hidden_bias"] -= (mean / np.exp(theta["log_variance"])) @ theta["weights"]
        return {name: value.astype(X.dtype) for name, value in theta.items()}

    def _scaled(self, X, weights, theta):
        # v = mean + scale * u gives the same energy for units u with these parameters
        self._mean, self._scale = (m.astype(X.dtype) for m in _moments(X, weights))
        mean, scale = self._mean, self._scale
        scaled = {
            "weights": theta["weights"] / scale[:, None],
            "visible_bias": (theta["visible_bias"] - mean) / scale,
            "hidden_bias": theta["hidden_bias"]
            + (mean * np.exp(-theta["log_variance"])) @ theta["weights"],
            "log_variance": theta["log_variance"] - 2 * np.log(scale),
        }
        return scaled, lambda x, rows: (dense_rows(x, rows) - mean) / scale

    def _unscaled(self, theta):
        mean, scale = self._mean, self._scale
        weights = scale[:, None] * theta["weights"]
        log_variance = theta["log_variance"] + 2 * np.log(scale)
        return {
            "weights": weights,
            "visible_bias": mean + scale * theta["visible_bias"],
            "hidden_bias": theta["hidden_bias"] - (mean * np.exp(-log_variance)) @ weights,
            "log_variance": log_variance,
        }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _moments(X, weights):
    """Mean and standard deviation of each column; 1 where the column is constant."""
    rows = dense_rows(X, slice(None))
    mean = np.average(rows, axis=0, weights=weights)
    scale = np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=weights))
    # what rounding leaves of a constant is no spread
    return mean, np.where(scale > 1e-6 * np.maximum(np.abs(mean), 1e-300), scale, 1.0)
