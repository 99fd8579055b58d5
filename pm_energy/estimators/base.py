"""What all estimators share: an energy, a DataTree of what was learned, and files."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import xarray as xr
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from pm_energy.estimators.persistence import read, write


def generator(random_state):
    """Return a numpy Generator for scikit-learn's ``random_state``.

    An int gives the same one each time, a RandomState gives its next.

    Examples
    --------
    >>> generator(0).integers(10) == generator(0).integers(10)
    np.True_
    """
    words = check_random_state(random_state).randint(2**32, size=4, dtype=np.uint32)
    return np.random.default_rng(words)


def read_known(known, shape):
    """Return which entries of rows (n_samples, n_features) are known, as an array of that shape.

    Raises
    ------
    ValueError
        If ``known`` is not boolean, or has neither that shape nor (n_features,).
    """
    known = np.asarray(known)
    if known.dtype != bool or known.shape not in (shape, shape[1:]):
        raise ValueError(
            f"known must be boolean, of shape {shape[1:]} or {shape}, got {known.dtype} of shape "
            f"{known.shape}"
        )
    return np.broadcast_to(known, shape)


class EnergyEstimator(BaseEstimator, ABC):
    """Base of estimators that learn an energy.

    A subclass names the dimensions of its fitted arrays in ``_dims``, lists attributes that are
    mere caches in ``_transient``, and keeps training curves in ``history_``.
    """

    _dims: ClassVar[dict[str, tuple[str, ...]]] = {}
    _transient: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def energy_(self):
        """The learned energy, for :class:`pm_energy.Boltzmann` and everything else."""

    def to_datatree(self):
        """Return what was learned.

        Returns
        -------
        xarray.DataTree
            Group ``parameters`` with the fitted arrays, and ``training`` with the curves of the
            fit over its steps (epochs or iterations).
        """
        check_is_fitted(self)
        fitted = {
            name.rstrip("_"): (dims, np.asarray(getattr(self, name)))
            for name, dims in self._dims.items()
            if getattr(self, name, None) is not None
        }
        attrs = {"estimator": type(self).__name__, "settings": repr(self)}
        groups = {"parameters": xr.Dataset(fitted, attrs=attrs)}
        curves = {
            name: ("step", np.asarray(v)) for name, v in getattr(self, "history_", {}).items()
        }
        if curves:
            length = max(len(v) for _, v in curves.values())
            groups["training"] = xr.Dataset(curves, coords={"step": np.arange(1, length + 1)})
        return xr.DataTree.from_dict(groups)

    def save(self, path):
        """Write the estimator to a file that holds numbers and text only.

        Parameters
        ----------
        path : str or Path
            By convention with the suffix ``.npz``.

        Raises
        ------
        ValueError
            If a parameter is an object that such a file cannot hold.
        """
        check_is_fitted(self)
        parameters = self.get_params(deep=False)
        fitted = {
            name: value
            for name, value in vars(self).items()
            if name not in parameters and name not in self._transient
        }
        write(path, type(self).__name__, parameters, fitted)

    @classmethod
    def load(cls, path):
        """Return the estimator that :meth:`save` wrote; safe for files of unknown origin.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        ValueError
            If the file is damaged, or holds another class.
        """
        parameters, fitted = read(path, cls.__name__)
        known = set(cls._get_param_names())
        if set(parameters) != known:
            raise ValueError(
                f"{path} has other parameters than {cls.__name__}: {set(parameters) ^ known}"
            )
        estimator = cls(**parameters)
        for name, value in fitted.items():
            if hasattr(cls, name) or name in known:
                raise ValueError(f"{path} is damaged: {name} is no fitted attribute")
            setattr(estimator, name, value)
        return estimator

    def __getstate__(self):
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in self._transient}
