"""Mixture of Gaussians, fitted by expectation-maximisation."""

import functools
import warnings
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import DensityMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

from pm_energy.estimators.base import EnergyEstimator
from pm_energy.estimators.mixture_queries import INPUT, MixtureQueries
from pm_energy.estimators.mixture_runs import as_rows, best_run, ladder, rows_that_count
from pm_energy.estimators.mixture_start import INIT_PARAMS, PARTS, Given, covariance_shape
from pm_energy.training.em_coordinates import data_coordinates
from pm_energy.training.em_mixture import SMALLEST_SHARE, collapsed


class GaussianMixtureEM(MixtureQueries, DensityMixin, EnergyEstimator):
    """Mixture of Gaussians, fitted by expectation-maximisation.

    Parameters and results are those of :class:`sklearn.mixture.GaussianMixture`, from the same
    ``random_state`` as well. In addition, rows may have weights and missing entries (NaN), some
    parameters may be known, and annealing finds better optima from poor starts.

    Where entries are missing, each step of EM takes expectations over them [1]_. That is maximum
    likelihood if entries are missing at random. Rows without any entry say nothing: ``fit`` leaves
    them out, their log-density is 0 and their components are as probable as ``weights_``.

    Parameters
    ----------
    n_components : int
    covariance_type : {"full", "tied", "diag", "spherical"}
        A matrix for each component, one for all, variances along the axes, or one variance each.
    tol : float
        EM ends when a step changes the mean log-likelihood of a row by less.
    reg_covar : float
        Added to all variances, in squared units of X; keeps components from collapsing.
    max_iter : int
        Most steps of EM; with annealing, at each stage.
    n_init : int
        Runs from different starts; the best is kept.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}
        How rows are assigned to components at the start: to clusters, to the nearest of rows drawn
        far apart, at random in parts, or to the nearest of rows drawn at random.
    weights_init : array_like, shape (n_components,), optional
    means_init : array_like, shape (n_components, n_features), optional
    covariances_init, precisions_init : array_like, optional
        Starting covariances, or their inverses, of the shape of ``covariances_``.
    annealing : float in (0, 1), array_like or None
        Deterministic annealing [2]_ from this inverse temperature to 1 by factors of at most 1.2,
        or by the given rising stages, the last of which is 1. It helps most where covariances are
        known; free ones melt together at a low beta, so start at .5 or above.
    fixed : sequence of {"weights", "means", "covariances"}
        Parameters that are known, and stay exactly what ``*_init`` says.
    random_state : int, RandomState or None
    warm_start : bool
        Whether ``fit`` goes on from the last fit.
    n_jobs : int or None
        Threads among which the ``n_init`` runs are shared; the result is the same for any number.
    verbose : bool or int
        Whether to show a progress bar.

    Attributes
    ----------
    weights_ : ndarray, shape (n_components,)
    means_ : ndarray, shape (n_components, n_features)
    covariances_ : ndarray
        Shape (n_components, n_features, n_features) for full, (n_features, n_features) for tied,
        (n_components, n_features) for diag, (n_components,) for spherical covariances.
    converged_ : bool
    n_iter_ : int
        Steps of the best run, over all stages.
    lower_bound_ : float
        Mean log-likelihood of the rows before the last step of the best run.
    history_ : dict
        ``lower_bound`` at each step; it never falls (at one beta, and but for what ``reg_covar``
        takes away). With annealing also ``beta``.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X had names.

    References
    ----------
    .. [1] Ghahramani & Jordan (1994), Supervised learning from incomplete data via an EM approach,
       Advances in Neural Information Processing Systems 6, 120-127.
    .. [2] Ueda & Nakano (1998), Deterministic annealing EM algorithm, Neural Networks 11, 271-282.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.estimators import GaussianMixtureEM
    >>> X = np.array([[0.0, 1.0], [0.2, np.nan], [0.1, 1.2], [5.0, 5.0], [5.1, 4.8], [4.9, 5.2]])
    >>> mixture = GaussianMixtureEM(2, covariance_type="diag", random_state=0).fit(X)
    >>> sorted(mixture.means_[:, 0].round(3).tolist())
    [0.1, 5.0]
    >>> mixture.energy_.shape
    (2, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions({"full", "tied", "diag", "spherical"})],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(INIT_PARAMS))],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "covariances_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "annealing": ["array-like", Interval(Real, 0.0, 1.0, closed="neither"), None],
        "fixed": ["array-like"],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components=1,
        *,
        covariance_type="full",
        tol=1e-3,
        reg_covar=1e-6,
        max_iter=100,
        n_init=1,
        init_params="kmeans",
        weights_init=None,
        means_init=None,
        covariances_init=None,
        precisions_init=None,
        annealing=None,
        fixed=(),
        random_state=None,
        warm_start=False,
        n_jobs=None,
        verbose=False,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.covariances_init = covariances_init
        self.precisions_init = precisions_init
        self.annealing = annealing
        self.fixed = fixed
        self.random_state = random_state
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Fit the mixture to the rows of X.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            NaN marks missing entries.
        y : ignored
        sample_weight : array_like, shape (n_samples,), optional
            How often each row counts.

        Returns
        -------
        GaussianMixtureEM

        Raises
        ------
        ValueError
            If there are fewer rows than components, a column has no entries, or a component
            collapses (only with a small ``reg_covar``).
        """
        X = validate_data(self, X, **INPUT, ensure_min_samples=2)
        given = Given.check(
            self.covariance_type,
            (self.n_components, X.shape[1]),
            self.weights_init,
            self.means_init,
            self.covariances_init,
            self.precisions_init,
            self.fixed,
        )
        betas = ladder(self.annealing)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        x, weights = rows_that_count(X, weights, self.n_components)
        coordinates = data_coordinates(x, weights, self.covariance_type, self.reg_covar)
        rows, log_scale = as_rows(coordinates, x, weights)
        offset = weights @ log_scale / weights.sum()
        ridge = coordinates.ridge(self.covariance_type, self.reg_covar)
        random_state = check_random_state(self.random_state)
        going_on = self.warm_start and hasattr(self, "converged_")
        if going_on:
            self._check_shapes(x.shape[1])
            starts = [coordinates.into(self._mixture())]
        else:
            starts = [
                given.start(
                    self.n_components, coordinates, rows, self.init_params, random_state, ridge
                )
                for _ in range(self.n_init)
            ]
        best = best_run(
            rows,
            starts,
            random_state,
            n_jobs=self.n_jobs,
            show=self.verbose,
            ridge=ridge,
            tol=self.tol,
            max_iter=self.max_iter,
            fixed=self.fixed,
            betas=betas,
            bound=self.lower_bound_ - offset if going_on else -np.inf,
        )
        self._keep(coordinates.back(best.mixture), given, X.dtype)
        self._report(best, offset)
        self._warn(best, coordinates)
        return self

    def fit_predict(self, X, y=None, sample_weight=None):
        """Fit, and return the most probable component of each row, shape (n_samples,)."""
        return self.fit(X, sample_weight=sample_weight).predict(X)

    @property
    def _dims(self):
        covariances = {
            "full": ("component", "feature", "feature_other"),
            "tied": ("feature", "feature_other"),
            "diag": ("component", "feature"),
            "spherical": ("component",),
        }
        return {
            "weights_": ("component",),
            "means_": ("component", "feature"),
            "covariances_": covariances[self.covariance_type],
        }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _check_shapes(self, d):
        shape = covariance_shape(self.covariance_type, self.n_components, d)
        if self.means_.shape != (self.n_components, d) or self.covariances_.shape != shape:
            raise ValueError(
                f"warm_start=True cannot go on from means of shape {self.means_.shape} and "
                f"covariances of shape {self.covariances_.shape}: the number of components, their "
                "type or X has changed. Set warm_start=False"
            )

    def _keep(self, mixture, given, dtype):
        for part in PARTS:
            value = getattr(given if part in self.fixed else mixture, part)
            setattr(self, f"{part}_", value.astype(dtype))

    def _report(self, best, offset):
        self.converged_ = best.converged
        self.n_iter_ = len(best.bounds)
        self.history_ = {"lower_bound": best.bounds + offset}
        if self.annealing is not None:
            self.history_["beta"] = best.betas
        self.lower_bound_ = float(self.history_["lower_bound"][-1]) if self.n_iter_ else -np.inf

    def _warn(self, best, coordinates):
        """Say what is wrong with the fit, if anything."""
        warn = functools.partial(warnings.warn, category=ConvergenceWarning, stacklevel=4)
        if not best.converged and self.max_iter > 0:
            warn(
                f"EM did not converge in {self.max_iter} steps: raise max_iter or tol, try other "
                "starts, or look for degenerate data"
            )
        empty = np.flatnonzero(best.mixture.weights < SMALLEST_SHARE)
        if empty.size and "weights" not in self.fixed:
            warn(f"components {empty.tolist()} hold no rows: fewer n_components would do")
        thin = np.flatnonzero(collapsed(best.mixture, coordinates.ridge("full", self.reg_covar)))
        if thin.size and "covariances" not in self.fixed:
            warn(
                f"components {thin.tolist()} have collapsed: only reg_covar keeps their densities "
                "finite. Use fewer n_components, another covariance_type or a larger reg_covar"
            )
