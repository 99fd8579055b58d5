r"""Score and log-density of a mixture of Gaussians at a block of points, as a native function.

Points are in lanes. Components are taken in one after the other: with r the share that the next
one has of all so far, the score becomes

.. math:: s \leftarrow (1 - r) s + r P_j (\mu_j - x).

Weights are relative to the largest so far, so that nothing overflows, and two components take one
exponential function. All is of double precision but for one thing: where no log-densities are
wanted, as moves that are not exact anyway want none, shares r of components with diagonal
covariances are of single precision. Positions are not, so that mixtures may lie anywhere.
"""

from functools import lru_cache

import numpy as np
from numba import carray, cfunc, float32, njit, types, uint32, uint64
from numba.extending import overload

from pm_energy.kernels.lanes_vector import fused, smaller, store
from pm_energy.kernels.langevin_lanes import log_lane
from pm_energy.kernels.langevin_vector import (
    MANY,
    as_floats,
    as_words,
    divided,
    exp2_singles,
    exp_doubles,
    larger,
    load_many,
    splat_many,
    to_double,
    to_single,
    where_less,
)
from pm_energy.kernels.native import as_pointer

LOG2_E = float(np.log2(np.e))
SIGN = 0x80000000  # of a float32


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
        Holds addresses of the arrays, contiguous float64, which must outlive it. Its first number
        is the length of the state and of ``out[2:]``, which is longer than the results.
    """
    k, d = means.shape
    parts = log_weight.ctypes.data, means.ctypes.data, precision.ctypes.data
    lanes = max(n_chains, MANY)
    size = (d + with_log_density) * n_chains + 2 * with_log_density * lanes + 2 * d * MANY
    if n_chains < MANY:  # points are copied, to fill up their lanes
        size += 2 * d * MANY
    width = 1 if precision.ndim == 2 else d
    return np.array([size, n_chains, k, d, width, with_log_density, *parts], dtype=np.int64)


def _density(state, beta, table_, out_):
    table = carray(table_, (9,))
    size, n, k, d, width = table[0], table[1], table[2], table[3], table[4]
    log_weight = carray(as_pointer(table[6]), (k,), np.float64)
    means = carray(as_pointer(table[7]), (k, d), np.float64)
    precision = carray(as_pointer(table[8]), (k, d, width), np.float64)
    x, out = carray(state, (size,)), carray(out_, (2 + size,))[2:]
    lanes, wanted = max(n, MANY), table[5]
    log_p, rest = out[d * n : (d + wanted) * n], out[(d + wanted) * n :]
    far, rest = rest[: wanted * lanes], rest[wanted * lanes :]
    total, rest = rest[: wanted * lanes], rest[wanted * lanes :]
    score, one = out, splat_many(1.0)
    if n < MANY:
        _repeat(x, n, d, rest)
        x, score, rest = rest, rest[d * MANY :], rest[2 * d * MANY :]
    if width > 1:
        _score(x, lanes, log_weight, means, precision, beta, True, one, score, far, total, rest)
    elif wanted:
        _score(x, lanes, log_weight, means, precision, beta, False, one, score, far, total, rest)
    else:
        rough = splat_many(float32(1))
        _score(x, lanes, log_weight, means, precision, beta, False, rough, score, far, total, rest)
    if n < MANY:
        for i in range(d):
            for c in range(n):
                out[i * n + c] = score[i * MANY + c]
    for c in range(uint64(log_p.size)):
        log_p[c] = beta * log_lane(total[c]) - 0.5 * far[c]


@njit(forceinline=True)
def _repeat(x, n, d, lanes):
    """Copy points (d, n) to (d, MANY), the last one as often as needed."""
    for i in range(d):
        for c in range(MANY):
            lanes[i * MANY + c] = x[i * n + min(c, n - 1)]


@njit(forceinline=True)
def _score(
    x, n_points, log_weight, means, precision, beta, full, one, out, nearest, totals, scratch
):
    """Write scores (d, n); if there is room, -2 beta times the largest log-share, and the sum.

    The type of ``one`` says how precise shares are.
    """
    k, d, n = uint64(means.shape[0]), uint64(means.shape[1]), uint64(n_points)
    many = uint64(MANY)
    zero = splat_many(0.0)
    for start in range(uint64(0), n, many):
        first = min(start, n - many)  # the last vectors may overlap those before
        best, total = zero, one
        for j in range(k):
            far = splat_many(-2.0 * beta * log_weight[j])
            if full:
                for i in range(d):
                    away = splat_many(means[j, i]) - load_many(x, i * n + first)
                    store(scratch, (d + i) * many, away)
            for i in range(d):
                if full:
                    push = zero
                    for r in range(d):
                        push = fused(precision[j, i, r], load_many(scratch, (d + r) * many), push)
                    push, away = push * beta, load_many(scratch, (d + i) * many)
                else:
                    away = splat_many(means[j, i]) - load_many(x, i * n + first)
                    push = away * (beta * precision[j, i, uint64(0)])
                far = fused(push, away, far)
                if j == uint64(0):
                    store(out, i * n + first, push)
                else:
                    store(scratch, i * many, push)
            if j == uint64(0):
                best = far
                continue
            gap = far - best
            best = smaller(far, best)
            kept, share, total = _add_weight(gap, -0.5 / beta, total)
            for i in range(d):
                at = i * n + first
                new = share * load_many(scratch, i * many)
                store(out, at, fused(kept, load_many(out, at), new))
        if totals.size > uint64(0):
            store(nearest, first, best)
            store(totals, first, to_double(total))


def _add_weight(gap, scale, total):
    """Add a weight to others, the largest of which counts as 1.

    Parameters
    ----------
    gap : vector of float64
    scale : float
        Times the gap, it is the log of the new weight.
    total : vector of float64 or float32
        Says by its type how precisely.

    Returns
    -------
    kept, share : vector of float64
        Of the others and of the new weight in the new sum.
    total : vector
        The sum, relative to the largest.
    """


@overload(_add_weight, inline="always")
def _add_weight_compiled(gap, scale, total):
    def double(gap, scale, total):
        zero, one, log_ratio = splat_many(0.0), splat_many(1.0), gap * scale
        below = smaller(log_ratio, zero - log_ratio)
        ratio = exp_doubles(larger(below, splat_many(-708.0)))
        new = where_less(zero, log_ratio, one, ratio)
        others = total * where_less(zero, log_ratio, ratio, one)
        unit = divided(one, others + new)
        return others * unit, new * unit, others + new

    def single(gap, scale, total):
        zero, one = splat_many(float32(0)), splat_many(float32(1))
        power = to_single(gap) * float32(scale * LOG2_E)
        below = as_floats(as_words(power) | uint32(SIGN))
        ratio = exp2_singles(larger(below, splat_many(float32(-126))))
        new = where_less(zero, power, one, ratio)
        others = total * where_less(zero, power, ratio, one)
        unit = divided(one, others + new)
        return to_double(others * unit), to_double(new * unit), others + new

    return single if total.element == types.float32 else double
