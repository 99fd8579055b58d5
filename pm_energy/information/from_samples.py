"""What draws tell: differential entropy, KL by Monte Carlo, Wasserstein distance."""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from pm_energy.information.probabilities import unit
from pm_energy.validate import numeric_array


class Estimate(NamedTuple):
    """A Monte Carlo estimate: its value and its standard error."""

    value: float
    mcse: float


def differential_entropy(source, axis=-1, base=None):
    """Entropy of a density, ``-integral p log p``: of a distribution, or estimated from draws.

    Parameters
    ----------
    source : array_like or frozen continuous distribution of scipy
        Independent draws of one variable along ``axis``; or ``scipy.stats.norm(0, 1)``, say.
    axis : int
    base : float, optional
        Of the logarithm: 2 for bits; nats by default.

    Returns
    -------
    float or array
        Of draws, the estimate by spacings of :func:`scipy.stats.differential_entropy`.

    Raises
    ------
    ValueError
        If draws are not finite or fewer than four, or a distribution has no density.

    References
    ----------
    .. [1] Vasicek (1976), Journal of the Royal Statistical Society B 38, 54-59.

    Examples
    --------
    >>> from scipy import stats
    >>> from pm_energy import information
    >>> print(round(float(information.differential_entropy(stats.norm(0, 1))), 6))
    1.418939
    >>> draws = stats.norm(0, 1).rvs(10_000, random_state=1)
    >>> print(round(float(information.differential_entropy(draws)), 1))
    1.4
    """
    if hasattr(source, "entropy"):
        if not hasattr(source, "logpdf"):
            raise ValueError(f"source must have a density; {source!r} has none: use its .entropy()")
        return source.entropy() / unit(base)
    x = numeric_array("source", source).astype(float)
    if x.ndim == 0 or x.shape[axis] < 4 or not np.isfinite(x).all():
        raise ValueError(f"source must be at least four finite draws, got shape {x.shape}")
    return stats.differential_entropy(x, axis=axis) / unit(base)


def kl_monte_carlo(log_p, log_q, base=None):
    """KL(p || q) from the log-densities of both at independent draws from p.

    Parameters
    ----------
    log_p, log_q : array_like, shape (n,)
        Normalised log-densities, minus infinity allowed in ``log_q``.
    base : float, optional
        Of the logarithm: 2 for bits; nats by default.

    Returns
    -------
    Estimate
        The mean of ``log p - log q`` and its standard error. An estimate may be negative, the
        divergence is not.

    Raises
    ------
    ValueError
        If shapes differ, there are fewer than two draws, or a value makes no sense.

    Examples
    --------
    >>> from scipy import stats
    >>> from pm_energy import information
    >>> p, q = stats.norm(0, 1), stats.norm(1, 1)
    >>> x = p.rvs(10_000, random_state=1)
    >>> kl = information.kl_monte_carlo(p.logpdf(x), q.logpdf(x))
    >>> bool(abs(kl.value - 0.5) < 4 * kl.mcse)
    True
    """
    log_p, log_q = numeric_array("log_p", log_p), numeric_array("log_q", log_q)
    if log_p.ndim != 1 or log_p.shape != log_q.shape or len(log_p) < 2:
        raise ValueError(
            f"log_p and log_q must have one shape (n,) with n > 1, got {log_p.shape}, {log_q.shape}"
        )
    if not np.isfinite(log_p).all():
        raise ValueError("log_p must be finite: these are draws from p")
    if np.isnan(log_q).any() or np.isposinf(log_q).any():
        raise ValueError("log_q must not be NaN or plus infinity")
    if np.isneginf(log_q).any():
        return Estimate(math.inf, math.nan)
    log_ratio = (log_p - log_q) / unit(base)
    return Estimate(float(log_ratio.mean()), float(log_ratio.std(ddof=1) / len(log_ratio) ** 0.5))


def wasserstein(x, y, x_weights=None, y_weights=None):
    """Wasserstein-1 distance of two sets of points: the least mean way of moving one to the other.

    Parameters
    ----------
    x, y : array_like, shape (n,) or (n, d), and (m,) or (m, d)
    x_weights, y_weights : array_like, shape (n,) and (m,), optional
        Equal by default; divided by their sums.

    Returns
    -------
    float
        By scipy: sorting in one dimension, a linear program of n m variables in several.

    Raises
    ------
    ValueError
        If points are not finite or their dimensions differ.

    Examples
    --------
    >>> from pm_energy import information
    >>> information.wasserstein([0.0, 1.0], [5.0, 6.0])
    5.0
    """
    x, y = numeric_array("x", x).astype(float), numeric_array("y", y).astype(float)
    if x.ndim not in (1, 2) or x.shape[1:] != y.shape[1:] or x.ndim != y.ndim:
        raise ValueError(
            f"x and y must be points (n,) or (n, d) of the same dimension, got {x.shape}, {y.shape}"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("x and y must be finite, got NaN or infinity")
    distance = stats.wasserstein_distance if x.ndim == 1 else stats.wasserstein_distance_nd
    return float(distance(x, y, x_weights, y_weights))
