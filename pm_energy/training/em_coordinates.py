"""Coordinates in which a mixture of Gaussians is well conditioned.

Rows are centred and scaled to unit covariance by the linear map that their kind of mixture allows:
any for full and tied covariances, one scale for each axis for diagonal ones, one for all for
spherical ones. Likelihood and EM are equivariant, so only rounding errors change: data far from the
origin, of wildly different units or nearly collinear lose no digits to it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_WIDEST = 1e150


class Mixture(NamedTuple):
    """Numbers of a mixture of k Gaussians in d dimensions."""

    kind: str  # "full", "tied", "diag" or "spherical"
    weights: np.ndarray  # (k,)
    means: np.ndarray  # (k, d)
    covariances: np.ndarray  # (k, d, d), (d, d), (k, d) or (k,)


@dataclass(frozen=True)
class Coordinates:
    """The map z = whiten (x - centre) and its inverse.

    Parameters
    ----------
    centre : ndarray, shape (d,)
    whiten, inverse : ndarray, shape (d, d)
    along_axes : bool
        Whether ``whiten`` is diagonal, so that missing coordinates stay what they are.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.em_coordinates import data_coordinates
    >>> x = np.array([[1e8], [1e8 + 2.0]])
    >>> data_coordinates(x, np.ones(2), "full").rows(x)
    array([[-1.,  1.]])
    """

    centre: np.ndarray
    whiten: np.ndarray
    inverse: np.ndarray
    along_axes: bool

    @property
    def log_scale(self):
        """Log of the absolute value of the determinant of ``whiten``."""
        return np.linalg.slogdet(self.whiten)[1]

    def rows(self, x):
        """Map rows (n, d) of any float type to float64 columns (d, n)."""
        away = np.subtract(x.T, self.centre[:, None], dtype=np.float64, order="C")
        if self.along_axes:
            away *= np.diagonal(self.whiten)[:, None]
            return away
        return self.whiten @ away

    def away(self, z):
        """Return x - centre (n, d) of what :meth:`rows` gives."""
        if self.along_axes:
            return z.T * np.diagonal(self.inverse)
        return z.T @ self.inverse.T

    def into(self, mixture):
        """Return a mixture over x as one over z."""
        means = (mixture.means - self.centre) @ self.whiten.T
        covariances = _transform(mixture.kind, mixture.covariances, self.whiten)
        return mixture._replace(means=means, covariances=covariances)

    def back(self, mixture):
        """Return a mixture over z as one over x."""
        means = mixture.means @ self.inverse.T + self.centre
        covariances = _transform(mixture.kind, mixture.covariances, self.inverse)
        return mixture._replace(means=means, covariances=covariances)

    def ridge(self, kind, size):
        """Return ``size`` times the identity over x, as what is added to covariances over z."""
        ridge = size * (self.whiten @ self.whiten.T)
        if kind in ("full", "tied"):
            return ridge
        return np.diagonal(ridge) if kind == "diag" else ridge[0, 0]


def data_coordinates(x, weights, kind, ridge=0.0):
    """Return coordinates in which rows have mean 0 and covariance at most 1, with the ridge 1.

    Parameters
    ----------
    x : ndarray, shape (n, d)
        NaN is a missing entry; every column has another. Axes are then only scaled.
    weights : ndarray, shape (n,)
    kind : {"full", "tied", "diag", "spherical"}
    ridge : float
        Variance that is added to every direction.

    Raises
    ------
    ValueError
        If squares of the rows overflow.
    """
    there = ~np.isnan(x)
    complete = there.all()
    count = weights @ there
    centre = x[np.argmax(there, axis=0), np.arange(x.shape[1])].astype(np.float64)
    for _ in range(2):  # the second time around takes off the rounding error of the first
        away = np.subtract(x, centre, dtype=np.float64)
        centre = centre + weights @ np.where(there, away, 0.0) / count
    away = np.subtract(x, centre, dtype=np.float64)
    widest = np.nanmax(np.abs(away))
    if not widest < _WIDEST:
        raise ValueError(f"X spans {widest:.3g}, whose square overflows: rescale it")
    if complete and kind in ("full", "tied"):
        return _coordinates(centre, (away.T * weights) @ away / weights.sum(), kind, ridge)
    variance = weights @ np.where(there, away, 0.0) ** 2 / count
    along_axes = kind if kind == "spherical" else "diag"
    return _coordinates(centre, np.diag(variance), along_axes, ridge)


def mixture_coordinates(mixture, along_axes=False):
    """Return coordinates in which draws of a mixture have mean 0 and covariance 1."""
    weights, means = mixture.weights, mixture.means
    centre = weights @ means
    away = means - centre
    within = full_covariances(mixture)
    pooled = np.tensordot(weights, within, 1) + (away.T * weights) @ away
    kind = "diag" if along_axes and mixture.kind != "spherical" else mixture.kind
    return _coordinates(centre, pooled, kind, 0.0)


def full_covariances(mixture):
    """Return covariance matrices of all components, shape (k, d, d)."""
    kind, _, means, covariances = mixture
    k, d = means.shape
    if kind == "full":
        return covariances
    if kind == "tied":
        return np.broadcast_to(covariances, (k, d, d))
    variances = covariances if kind == "diag" else covariances[:, None]
    return variances[:, :, None] * np.eye(d)


def _coordinates(centre, covariance, kind, ridge):
    variance = np.diagonal(covariance) + ridge
    if kind == "spherical":
        variance = np.full(len(variance), variance.mean())
    scale = np.sqrt(np.where(variance > 0.0, variance, 1.0))
    if kind in ("diag", "spherical"):
        return Coordinates(centre, np.diag(1.0 / scale), np.diag(scale), True)
    correlation = (covariance + ridge * np.eye(len(scale))) / np.outer(scale, scale)
    values, vectors = np.linalg.eigh(correlation)
    # directions in which the rows do not extend are left at what rounding makes of them
    least = 10.0 * np.finfo(np.float64).eps * values[-1]
    root = np.sqrt(np.maximum(values, least if least > 0.0 else 1.0))
    whiten = (vectors / root).T / scale
    return Coordinates(centre, whiten, scale[:, None] * (vectors * root), False)


def _transform(kind, covariances, matrix):
    """Covariances after the linear map ``matrix``, symmetric to the last bit."""
    if kind in ("full", "tied"):
        moved = matrix @ covariances @ matrix.T
        return 0.5 * (moved + moved.swapaxes(-1, -2))
    squares = np.diagonal(matrix) ** 2
    return covariances * (squares if kind == "diag" else squares[0])
