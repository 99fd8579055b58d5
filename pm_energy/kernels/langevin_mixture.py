"""Score and log-density of a mixture of Gaussians at a block of points, as a native function."""

from functools import lru_cache

import numpy as np
from numba import carray, cfunc, njit, types, uint64

from pm_energy.kernels.exponential import exp_double
from pm_energy.kernels.langevin_lanes import log_lane
from pm_energy.kernels.native import as_pointer


@lru_cache(maxsize=1)
def mixture_density():
    """Compile the function ``f(double *state, double beta, int64 *table, double *out)``.

    Returns
    -------
    numba.core.ccallback.CFunc
        With ``address``; tables for it come from :func:`mixture_table`. It writes the scores (d, B)
        and, if wanted, log-densities (B,) from ``out[2]`` on.
    """
    reals, integers = types.CPointer(types.float64), types.CPointer(types.int64)
    signature = types.void(reals, types.float64, integers, reals)
    return cfunc(signature, cache=True)(_density)


def mixture_table(n_chains, log_weight, means, precision, with_log_density):
    """Describe a mixture to the native function.

    Parameters
    ----------
    n_chains : int
        B, points of a block.
    log_weight : ndarray, shape (k,)
        Log of weights times normalising constants.
    means : ndarray, shape (k, d)
    precision : ndarray, shape (k, d) or (k, d, d)
        Diagonals of inverse covariances, or these.
    with_log_density : bool

    Returns
    -------
    ndarray of int64
        Holds addresses of the arrays, contiguous float64, which must outlive it.
    """
    k, d = means.shape
    parts = log_weight.ctypes.data, means.ctypes.data, precision.ctypes.data
    size = (d + with_log_density) * n_chains
    return np.array([size, n_chains, k, d, precision.ndim == 3, *parts], dtype=np.int64)


def _density(state, beta, table_, out_):
    table = carray(table_, (8,))
    size, n_chains, k, d = table[0], table[1], table[2], table[3]
    log_weight = carray(as_pointer(table[5]), (k,), np.float64)
    means = carray(as_pointer(table[6]), (k, d), np.float64)
    x, score = carray(state, (size,)), carray(out_, (2 + size,))[2:]
    if table[4]:
        precision = carray(as_pointer(table[7]), (k, d, d), np.float64)
        _full(x, n_chains, log_weight, means, precision, beta, score)
    else:
        diagonal = carray(as_pointer(table[7]), (k, d), np.float64)
        _diagonal(x, n_chains, log_weight, means, diagonal, beta, score)


_compiled = njit(cache=True, error_model="numpy", fastmath={"contract"})


@_compiled
def _diagonal(x, n_chains, log_weight, means, precision, beta, out):
    k, d = means.shape
    share, lanes = np.empty((k, n_chains)), uint64(n_chains)
    for j in range(k):
        row = share[j]
        row[:] = log_weight[j]
        for i in range(d):
            at, mean, half = x[i * n_chains :], means[j, i], 0.5 * precision[j, i]
            for c in range(lanes):
                row[c] -= half * (at[c] - mean) * (at[c] - mean)
    scale = _responsibilities(share, beta, out[d * n_chains :])
    for i in range(d):
        at, pull = x[i * n_chains :], out[i * n_chains :]
        pull[:n_chains] = 0.0
        for j in range(k):
            row, mean, stiff = share[j], means[j, i], precision[j, i]
            for c in range(lanes):
                pull[c] += row[c] * stiff * (mean - at[c])
        for c in range(lanes):
            pull[c] *= scale[c]


@_compiled
def _full(x, n_chains, log_weight, means, precision, beta, out):
    k, d = means.shape
    share, push, lanes = np.empty((k, n_chains)), np.empty(n_chains), uint64(n_chains)
    for j in range(k):
        row = share[j]
        row[:] = log_weight[j]
        for i in range(d):
            _push(x, n_chains, means[j], precision[j, i], push)
            at, mean = x[i * n_chains :], means[j, i]
            for c in range(lanes):
                row[c] -= 0.5 * push[c] * (at[c] - mean)
    scale = _responsibilities(share, beta, out[d * n_chains :])
    out[: d * n_chains] = 0.0
    for j in range(k):
        row = share[j]
        for i in range(d):
            _push(x, n_chains, means[j], precision[j, i], push)
            pull = out[i * n_chains :]
            for c in range(lanes):
                pull[c] -= row[c] * push[c] * scale[c]


@_compiled
def _push(x, n_chains, mean, row, push):
    """One coordinate of the inverse covariance times the distance from the mean."""
    push[:] = 0.0
    for r in range(row.size):
        at, m, p = x[r * n_chains :], mean[r], row[r]
        for c in range(uint64(n_chains)):
            push[c] += p * (at[c] - m)


@_compiled
def _responsibilities(log_share, beta, log_p):
    """Turn log-densities of components into their ratios to the largest, in place.

    Return beta over the sum of these, and write beta times the log-density if there is room.
    """
    k, n_chains = log_share.shape
    lanes = uint64(n_chains)
    top, total = log_share[0].copy(), np.zeros(n_chains)
    for j in range(1, k):
        row = log_share[j]
        for c in range(lanes):
            top[c] = max(top[c], row[c])
    for j in range(k):
        row = log_share[j]
        for c in range(lanes):
            row[c] = exp_double(max(row[c] - top[c], -708.0))
            total[c] += row[c]
    for c in range(uint64(log_p.size)):
        log_p[c] = beta * (top[c] + log_lane(total[c]))
    for c in range(lanes):
        total[c] = beta / total[c]
    return total
