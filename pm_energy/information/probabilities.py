"""Checks of probabilities and of units, shared by all measures."""

import math

import numpy as np

from pm_energy.validate import numeric_array

ROUNDING = 1e-6  # a sum this close to one was meant to be one; float32 is to be enough


def probabilities(name, value, axis=-1):
    """Return non-negative float64 numbers that sum to one along an axis (or several).

    Raises
    ------
    ValueError
        If an entry is negative or not finite, or a sum is not one.
    """
    p = numeric_array(name, value).astype(float)
    if p.ndim == 0 or p.size == 0:
        raise ValueError(f"{name} must have at least one axis and one entry, got shape {p.shape}")
    if not np.isfinite(p).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    if p.min() < 0:
        raise ValueError(f"{name} must not be negative, got {p.min():.4g}")
    total = p.sum(axis=axis, keepdims=True)
    worst = total.flat[np.abs(total - 1).argmax()]
    if abs(worst - 1) > ROUNDING:
        raise ValueError(
            f"{name} must sum to 1 along axis {axis}, got {worst:.8g}: divide counts by their sum"
        )
    return p / total


def pair(p, q, axis):
    """Two distributions over the same states, broadcast against each other, the axis last."""
    p, q = probabilities("p", p, axis), probabilities("q", q, axis)
    p, q = np.moveaxis(p, axis, -1), np.moveaxis(q, axis, -1)
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"p and q must have the same number of states, got {p.shape[-1]} and {q.shape[-1]}"
        )
    try:
        return np.broadcast_arrays(p, q)
    except ValueError:
        raise ValueError(
            f"batches of p and q must broadcast, got {p.shape[:-1]} and {q.shape[:-1]}"
        ) from None


def unit(base):
    """Nats in one unit of information: the logarithm of ``base``, 1 if it is None."""
    if base is None:
        return 1.0
    if not (np.isscalar(base) and math.isfinite(base) and base > 1):
        raise ValueError(f"base must be a number above 1 (2 for bits) or None, got {base!r}")
    return math.log(base)
