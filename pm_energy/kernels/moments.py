"""Moments of states by level."""

import numpy as np
from numba import njit


@njit(cache=True)
def add_moments(x, levels, center, count, total, square):
    """Add states to the sums of their levels, but for those with an infinite coordinate.

    Parameters
    ----------
    x : ndarray, shape (n, d)
    levels : ndarray of int, shape (n,)
    center : ndarray, shape (n_levels, d)
        Near the mean: sums are of differences from it, which do not cancel.
    count : ndarray, shape (n_levels,)
    total : ndarray, shape (n_levels, d)
    square : ndarray, shape (n_levels, d, d) or (n_levels, d)
        Sums of outer products, or only of squares.
    """
    d = x.shape[1]
    for i in range(len(x)):
        k = levels[i]
        if not np.isfinite(x[i]).all():
            continue
        count[k] += 1.0
        for r in range(d):
            away = x[i, r] - center[k, r]
            total[k, r] += away
            if square.ndim == 2:
                square[k, r] += away**2
            else:
                for c in range(d):
                    square[k, r, c] += away * (x[i, c] - center[k, c])
