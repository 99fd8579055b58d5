"""Restricted Boltzmann machine of two-state units as a scikit-learn estimator."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from scipy.special import logit
from sklearn.utils._param_validation import Interval, StrOptions

from pm_energy.estimators.base import EnergyEstimator
from pm_energy.estimators.learning import SOLVERS
from pm_energy.estimators.likelihood_mixin import LikelihoodMixin, check_two_state
from pm_energy.estimators.rbm_mixin import RBMMixin
from pm_energy.estimators.tracking import TRACKS
from pm_energy.training.recipe import OBJECTIVES, SCHEDULES

COMMON = {  # parameters of every machine with a hidden layer
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "n_sweeps": [Interval(Integral, 1, None, closed="left")],
    "n_chains": [Interval(Integral, 1, None, closed="left")],
    "n_levels": [Interval(Integral, 2, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "schedule": [StrOptions(set(SCHEDULES))],
    "solver": [StrOptions(set(SOLVERS))],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "n_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="neither")],
    "centred": ["boolean"],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "track": [StrOptions(set(TRACKS)), None],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
    "n_jobs": [Integral, None],
}


class BernoulliRBM(RBMMixin, LikelihoodMixin, EnergyEstimator):
    r"""Restricted Boltzmann machine of two-state units, learned from data.

    .. math:: E(v, h) = -a^\top v - b^\top h - v^\top W h

    It learns by persistent contrastive divergence with centred gradients and a rate that falls to
    zero, unless told otherwise, and its :meth:`score` is a log-likelihood.

    Parameters
    ----------
    n_components : int
        Hidden units.
    coding : {"binary", "spin"}
        States of all units: {0, 1} or {-1, +1}. Data may be probabilities, or means of spins.
    objective : str
        What is followed: "pcd", "cd", "tempered", "exact", "pseudolikelihood", "ratio-matching" or
        "probability-flow"; see the guide to learning. "exact" is for up to about 20 units in the
        smaller layer.
    n_chains : int
        Chains of "pcd", and of each level of "tempered".
    n_sweeps : int
        Sweeps of the chains for each update.
    n_levels : int
        Inverse temperatures of "tempered", evenly from 0 to 1.
    learning_rate : float
    schedule : {"linear", "cosine", "constant"}
        How the rate falls to zero over the updates of :meth:`fit`.
    solver : {"auto", "lbfgs", "sgd", "momentum", "nesterov", "adam", "adamw", ...}
        L-BFGS on all data at once, for objectives that are not sampled, or an optimiser of
        minibatches; "auto" is L-BFGS where it can be, else stochastic gradients.
    batch_size : int
    n_iter : int
        Passes over the data, or iterations of L-BFGS.
    tol : float
        L-BFGS stops where no entry of the gradient is larger.
    centred : bool
        Follow the centred gradient, which does not favour one coding of the units [4]_; with the
        solvers "sgd", "momentum" and "nesterov".
    weight_decay : float
        Strength of the penalty ``weight_decay / 2 * sum(weights**2)``.
    track : {"auto", "log_likelihood", "pseudo_log_likelihood", "reconstruction_error"} or None
        What ``history_`` tells of up to 1,000 rows after each pass. "auto": the log-likelihood for
        layers of up to 12 units, otherwise the pseudo-log-likelihood of a random unit a row.
    warm_start : bool
        Whether :meth:`fit` goes on from what was learned, chains included.
    verbose : bool or int
        Whether to show a progress bar.
    random_state : int, RandomState or None
    n_jobs : int or None
        Processes that anneal for log Z; the result is the same for any number.

    Attributes
    ----------
    weights_ : ndarray, shape (n_features, n_components)
    visible_bias_ : ndarray, shape (n_features,)
    hidden_bias_ : ndarray, shape (n_components,)
    energy_ : RBM
    log_partition_ : LogPartition
        Log Z: exact for up to 20 units in the smaller layer, otherwise by annealing.
    history_ : dict of str to ndarray
        Training curves.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    References
    ----------
    .. [1] Smolensky (1986), in Parallel Distributed Processing 1, 194-281.
    .. [2] Hinton (2002), Neural Computation 14, 1771-1800.
    .. [3] Tieleman (2008), ICML, 1064-1071.
    .. [4] Melchior, Fischer & Wiskott (2016), JMLR 17, 1-61.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> X = np.repeat([[1, 1, 0, 0], [0, 0, 1, 1]], 20, axis=0)
    >>> rbm = pme.BernoulliRBM(
    ...     2, objective="exact", weight_decay=1e-3, n_iter=500, random_state=0
    ... ).fit(X)
    >>> round(rbm.score(X), 1)  # the best is log(1/2) = -.7
    -0.7
    >>> rbm.complete([[1, 0, 0, 0]], known=[True, False, False, False], random_state=0).round()
    array([[1., 1., 0., 0.]])
    """

    _dims: ClassVar = {
        "weights_": ("visible", "hidden"),
        "visible_bias_": ("visible",),
        "hidden_bias_": ("hidden",),
    }
    _parameter_constraints: ClassVar = {
        **COMMON,
        "coding": [StrOptions({"binary", "spin"})],
        "objective": [StrOptions(set(OBJECTIVES))],
    }

    def __init__(
        self,
        n_components=256,
        *,
        coding="binary",
        objective="pcd",
        n_chains=100,
        n_sweeps=1,
        n_levels=10,
        learning_rate=0.1,
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
        self.coding = coding
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

    def _kinds(self):
        return self.coding, self.coding

    def _check_domain(self, X):
        check_two_state(X, 0 if self.coding == "binary" else -1)

    def _first_theta(self, X, weights, rng):
        low = 0 if self.coding == "binary" else -1
        n = X.shape[0] if weights is None else float(weights.sum())
        mean = X.mean(axis=0) if weights is None else (weights @ X) / n
        mean = np.asarray(mean, float).ravel()
        p = (n * (mean - low) / (1 - low) + 0.5) / (n + 1)  # a constant column has a finite bias
        theta = {
            "weights": 0.05 * rng.standard_normal((X.shape[1], self.n_components)),
            "visible_bias": logit(p) / (1 - low),
            "hidden_bias": np.zeros(self.n_components),
        }
        return {name: value.astype(X.dtype) for name, value in theta.items()}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
