"""Checks of what samplers are given, made before any work starts."""

import numbers

import numpy as np

from pm_energy.validate import numeric_array


def checked_time(name, t, *, with_zero=False):
    """Times as a float array, in [0, 1], or in (0, 1] where zero noise would be divided by.

    Raises
    ------
    ValueError
        If a time is NaN or outside.
    """
    if isinstance(t, float) and (0 < t <= 1 or (with_zero and t == 0)):
        return np.float64(t)  # of samplers, which ask many times a step
    t = numeric_array(name, t).astype(float)
    inside = ((t >= 0) if with_zero else (t > 0)) & (t <= 1)
    if not inside.all():
        wrong = np.atleast_1d(t)[~np.atleast_1d(inside)][0]
        wanted = "in [0, 1]" if with_zero else "in (0, 1]; there is no noise at t = 0"
        raise ValueError(f"{name} must be {wanted}, got {wrong:.4g}")
    return t


def checked_points(name, x):
    """Points as a float array (N, d).

    Raises
    ------
    ValueError
        If it has another number of dimensions, no entries, NaN or infinity.
    """
    x = numeric_array(name, x).astype(float)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(
            f"{name} must have shape (N, d), a row for each point, got {x.shape}; "
            "a single point is x[None, :]"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return x


def in_interval(name, value, lowest, highest=np.inf, *, open_below=False):
    """Return a finite number from an interval.

    Raises
    ------
    ValueError
        If it is none, or outside.
    """
    value = numeric_array(name, value)
    low = lowest < value if open_below else lowest <= value
    if value.ndim or not (low and value <= highest and np.isfinite(value)):
        bracket = "(" if open_below else "["
        wanted = f"{bracket}{lowest:g}, {highest:g}" + ("]" if np.isfinite(highest) else ")")
        raise ValueError(f"{name} must be a number in {wanted}, got {value}")
    return float(value)


def non_negative_int(name, value):
    """Return ``value`` as an int of at least 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(f"{name} must be an integer of at least 0, got {value!r}")
    return int(value)
