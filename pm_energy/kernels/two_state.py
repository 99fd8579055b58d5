"""Means and log-traces of independent two-state units in given fields, as SIMD passes.

A unit with states ``low`` (0 or -1) and 1 in the field f has probabilities proportional to
``exp(f * state)``.
"""

import numpy as np
from numba import float64, njit, uint64

from pm_energy.kernels.exponential import exp_minus
from pm_energy.kernels.softplus import softplus_sum


@njit(inline="always")
def logistic(x):
    """1 / (1 + exp(-x)) in the precision of ``x``, small values to full relative precision."""
    one = type(x)(1)
    small = exp_minus(abs(x))
    rare = small / (one + small)
    return rare if x < 0 else one - rare


def unit_means(fields, bias, low=0.0):
    """Replace fields by the means of the units, in place.

    Parameters
    ----------
    fields : ndarray of float32 or float64, shape (N, n), C-contiguous
        Overwritten.
    bias : ndarray, shape (n,), same dtype
        Added to the fields.
    low : {0, -1}
        Lower state; the upper one is 1.

    Returns
    -------
    ndarray
        ``fields``: the probability of state 1, or the hyperbolic tangent for spins.

    Examples
    --------
    >>> import numpy as np
    >>> unit_means(np.array([[1.0, -3.0]]), np.array([-1.0, 3.0]))
    array([[0.5, 0.5]])
    """
    _means(fields, bias, fields.dtype.type(low))
    return fields


def log_traces(fields, bias, low=0.0):
    """Sums over units of ``log sum_state exp(field * state)``, in float64.

    Parameters
    ----------
    fields : ndarray of float32 or float64, shape (N, n), C-contiguous
    bias : ndarray, shape (n,), same dtype
        Added to the fields.
    low : {0, -1}
        Lower state; the upper one is 1.

    Returns
    -------
    ndarray, shape (N,)

    Examples
    --------
    >>> import numpy as np
    >>> log_traces(np.zeros((1, 2)), np.zeros(2)).round(6)
    array([1.386294])
    """
    return _log_traces(fields, bias, fields.dtype.type(low))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _means(fields, bias, low):
    span = fields.dtype.type(1) - low
    for n in range(len(fields)):
        row = fields[n]
        for j in range(uint64(row.size)):
            row[j] = low + span * logistic(span * (row[j] + bias[j]))


@njit(cache=True)
def _log_traces(fields, bias, low):
    # sum over states of exp(f * state) = exp(low f) (1 + exp(span f))
    span = 1.0 - low
    out, odds = np.empty(len(fields)), np.empty(bias.size)
    for n in range(len(fields)):
        row, total = fields[n], 0.0
        for j in range(uint64(row.size)):
            f = float64(row[j]) + float64(bias[j])
            odds[j] = span * f
            total += low * f
        out[n] = total + softplus_sum(odds)
    return out
