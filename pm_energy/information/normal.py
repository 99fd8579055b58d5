"""Closed forms of normal distributions."""

import math

import numpy as np

from pm_energy.information.probabilities import unit
from pm_energy.validate import numeric_array


def gaussian_entropy(covariance, base=None):
    """Differential entropy of a normal distribution, ``log det(2 pi e C) / 2``.

    Parameters
    ----------
    covariance : array_like, shape (..., d, d)
    base : float, optional
        Of the logarithm: 2 for bits; nats by default.

    Returns
    -------
    array, shape (...)
        It may be negative, as it depends on the unit of length.

    Raises
    ------
    ValueError
        If the covariance is not square, symmetric and positive definite.

    Examples
    --------
    >>> from pm_energy import information
    >>> print(information.gaussian_entropy([[1.0]]).round(6))
    1.418939
    """
    root = _root("covariance", covariance)
    half = _half_log_det(root) + root.shape[-1] / 2 * math.log(2 * math.pi * math.e)
    return half / unit(base)


def gaussian_kl(mean_p, covariance_p, mean_q, covariance_q, base=None):
    """KL(p || q) of two normal distributions.

    Parameters
    ----------
    mean_p, mean_q : array_like, shape (..., d)
    covariance_p, covariance_q : array_like, shape (..., d, d)
    base : float, optional
        Of the logarithm: 2 for bits; nats by default.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    ValueError
        If shapes do not match or a covariance is not symmetric and positive definite.

    Examples
    --------
    >>> from pm_energy import information
    >>> print(information.gaussian_kl([0.0], [[1.0]], [1.0], [[1.0]]))
    0.5
    """
    root_p, root_q = _root("covariance_p", covariance_p), _root("covariance_q", covariance_q)
    d = root_p.shape[-1]
    means = numeric_array("mean_p", mean_p), numeric_array("mean_q", mean_q)
    if root_q.shape[-1] != d or any(mean.shape[-1:] != (d,) for mean in means):
        raise ValueError(
            "means (..., d) and covariances (..., d, d) must have the same d, got shapes "
            f"{means[0].shape}, {root_p.shape}, {means[1].shape}, {root_q.shape}"
        )
    shift = np.linalg.solve(root_q, (means[1] - means[0])[..., None])
    ratio = np.linalg.solve(root_q, root_p)
    squares = (ratio**2).sum(axis=(-2, -1)) + (shift**2).sum(axis=(-2, -1)) - d
    return (squares / 2 + _half_log_det(root_q) - _half_log_det(root_p)) / unit(base)


def _half_log_det(root):
    return np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)


def _root(name, covariance):
    c = numeric_array(name, covariance).astype(float)
    if c.ndim < 2 or c.shape[-1] != c.shape[-2] or c.size == 0:
        raise ValueError(f"{name} must have shape (..., d, d), got {c.shape}")
    if not np.allclose(c, np.swapaxes(c, -1, -2), rtol=1e-8):
        raise ValueError(f"{name} must be finite and symmetric")
    try:
        return np.linalg.cholesky(c)
    except np.linalg.LinAlgError:
        raise ValueError(f"{name} must be positive definite") from None
