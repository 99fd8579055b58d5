"""What estimators of a distribution share whose log Z is exact or annealed."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import _fit_context
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from pm_energy.estimators.base import read_known


class LikelihoodMixin:
    """Learning from weighted rows, at once or in parts, and their likelihood.

    A subclass has the model as ``_model()``, its parameters as ``_theta`` and ``log_partition``.
    """

    _transient: ClassVar[tuple[str, ...]] = ("_log_partition",)

    @abstractmethod
    def _learn(self, X, sample_weight, goes_on, n_epochs, schedule):
        """Learn from data as the user gave it, from the start or from what was learned; self."""

    @abstractmethod
    def _check_domain(self, X):
        """Raise a ValueError if X is not what the visible units can be."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Learn from data.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : None
            Ignored.
        sample_weight : array_like, shape (n_samples,), optional
            How often each row counts.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X is not what the visible units can be, a parameter is out of range, or parameters do
            not go together.
        """
        goes_on = self.warm_start and hasattr(self, "_state")
        return self._learn(X, sample_weight, goes_on, self.n_iter, self.schedule)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Learn from some more data: one pass over it, at a constant rate.

        Parameters
        ----------
        X, y, sample_weight
            As in :meth:`fit`.

        Returns
        -------
        self
        """
        return self._learn(X, sample_weight, hasattr(self, "_state"), 1, "constant")

    def _remember(self, fitted, objective_state, rng):
        """Keep what a fit leaves behind besides the parameters."""
        self._state = {"objective": objective_state, "rng": rng}
        self._seed = int(rng.integers(2**31))
        self._log_partition = None
        self.history_, self.n_iter_ = fitted.history, fitted.n_epochs

    def _checked(self, X, sample_weight, reset):
        """Rows, and their weights or None."""
        X = self._validated(X, reset=reset)
        if sample_weight is None:
            return X, None
        weights = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
        if not weights.any():
            raise ValueError("sample_weight must not be zero everywhere: no row would count")
        return X, weights

    def _validated(self, X, reset=False):
        X = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=reset)
        self._check_domain(X)
        return X

    def _known(self, X, known, state, dtype):
        """Rows and the mask of their known entries, checked; the others are set to a state."""
        X = check_array(X, dtype=dtype)
        known = read_known(known, X.shape)
        return self._validated(np.where(known, X, X.dtype.type(state))), known

    @property
    def log_partition_(self):
        """Log Z as :meth:`log_partition` finds it by default; kept once it is known."""
        check_is_fitted(self)
        if getattr(self, "_log_partition", None) is None:  # a cache that no file keeps
            self._log_partition = self.log_partition(random_state=self._seed)
        return self._log_partition

    def free_energy(self, X):
        """Free energy of each row: ``-log sum_h exp(-E(x, h))``, hidden units summed out.

        Returns
        -------
        ndarray, shape (n_samples,)
        """
        check_is_fitted(self)
        return self._model().free_energy(self._theta, self._validated(X))

    def score_samples(self, X):
        """Log-likelihood of each row, as good as :meth:`free_energy` and :attr:`log_partition_`.

        Returns
        -------
        ndarray, shape (n_samples,)
        """
        return -self.free_energy(X) - self.log_partition_.value

    def score(self, X, y=None):
        """Mean log-likelihood of the rows; see :meth:`score_samples`."""
        return float(np.mean(self.score_samples(X)))


def check_two_state(X, low):
    """Raise a ValueError unless X holds states ``low`` and 1 or their means, dense where low is -1.

    Parameters
    ----------
    X : ndarray or sparse matrix
    low : {0, -1}
    """
    if issparse(X) and low:
        raise ValueError("coding='spin' has no zeros to leave out: pass a dense array")
    values = X.data if issparse(X) else X
    if values.size and (values.min() < low or values.max() > 1):
        raise ValueError(
            f"X must lie between {low} and 1 (states of the units, or their means), got values "
            f"from {values.min():.4g} to {values.max():.4g}. Scale it, for instance by "
            "sklearn.preprocessing.MinMaxScaler, or use GaussianRBM"
        )
