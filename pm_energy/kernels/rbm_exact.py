r"""Exact log partition function and moments of an RBM, by summing over its smaller layer.

Given a state s of k units, the m units of the other layer are independent, and log Z is the
logarithm of 2^k terms :math:`e^{b \cdot s} \prod_i (1 + e^{y_i})` with y = a + W s. No exponential
is needed per term: with s split into low and high bits, :math:`e^{y_i}` is a product of a number
tabulated per state of the low bits and one computed per state of the high bits, and

.. math:: \frac{1 + e^{y_i + x}}{1 + e^{y_i}} = \sigma(-y_i) + \sigma(y_i) e^{x},

where y_i belongs to the middle of the low bits' range and x is the difference from it. A factor is
between :math:`e^{-r_i}` and :math:`e^{r_i}`, r_i half the range, so it is known in advance how many
of them a float holds; weights too large for any table leave it with fewer bits.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.arguments import finite_array
from pm_energy.kernels.binary_product import aligned_zeros
from pm_energy.kernels.exponential import exp_minus
from pm_energy.kernels.inner import inner
from pm_energy.kernels.softplus import softplus_sum

LIMIT = 24  # units summed over
LOW_BITS = 7  # a table for 784 units takes 0.8 MB, which fits the second-level cache
UNROLL = 4  # units to a pass over the low states
REACH = 600.0  # |log| of a product that is still a normal float64


def rbm_log_partition(weights, visible_bias, hidden_bias):
    """Log Z of an RBM of units in {0, 1}: log p(v, h) = v . a + h . b + v W h - log Z.

    Parameters
    ----------
    weights : array_like, shape (n_v, n_h)
        W, in units of kT as all else.
    visible_bias : array_like, shape (n_v,)
        a
    hidden_bias : array_like, shape (n_h,)
        b

    Returns
    -------
    float
        In float64, whatever the dtype of the parameters.

    Raises
    ------
    ValueError
        If both layers have more than 24 units, shapes do not fit or values are not finite.

    References
    ----------
    .. [1] Salakhutdinov & Murray (2008), ICML, 872-879.

    Examples
    --------
    >>> import numpy as np
    >>> log_z = rbm_log_partition(np.zeros((784, 20)), np.zeros(784), np.zeros(20))
    >>> round(float(log_z / np.log(2)), 10)
    804.0
    """
    return float(_log_partition(_sum_over_smaller(weights, visible_bias, hidden_bias)))


def rbm_exact_moments(weights, visible_bias, hidden_bias):
    """Log Z and its derivatives for units in {0, 1}.

    Parameters
    ----------
    weights : array_like, shape (n_v, n_h)
    visible_bias : array_like, shape (n_v,)
    hidden_bias : array_like, shape (n_h,)

    Returns
    -------
    log_z : float
    cross : ndarray, shape (n_v, n_h)
        E[v h^T] = d log Z / dW.
    visible : ndarray, shape (n_v,)
        E[v] = d log Z / da.
    hidden : ndarray, shape (n_h,)
        E[h] = d log Z / db.

    Raises
    ------
    ValueError
        As :func:`rbm_log_partition`.

    Examples
    --------
    >>> import numpy as np
    >>> log_z, cross, visible, hidden = rbm_exact_moments(np.zeros((2, 1)), [0, np.log(3)], [0])
    >>> cross.round(6), visible.round(6), hidden.round(6)
    (array([[0.25 ],
           [0.375]]), array([0.5 , 0.75]), array([0.5]))
    """
    states = _sum_over_smaller(weights, visible_bias, hidden_bias)
    log_z = _log_partition(states)
    cross, few, many = _moments(states, log_z)
    if len(visible_bias) <= len(hidden_bias):
        return float(log_z), cross, few, many
    return float(log_z), np.ascontiguousarray(cross.T), many, few


def check_limit(layer, n):
    """Raise a ValueError if a layer is too large for a sum over its states."""
    if n > LIMIT:
        raise ValueError(
            f"{layer} must have at most {LIMIT} units for a sum over its 2**n states, got {n}; "
            "estimate log Z by annealed importance sampling instead"
        )


def two_state_numbers(start, stop, n):
    """States number ``start`` to ``stop`` of n units, one a row; the first unit is bit 0."""
    return ((np.arange(start, stop)[:, None] >> np.arange(n)) & 1).astype(float)


class _Sum(NamedTuple):
    """What a sum over the states of k units needs, and its work space."""

    weights: np.ndarray  # (k, m)
    bias: np.ndarray  # (k,)
    low_bias: np.ndarray  # (low states,): their own part of the log-weight
    middle: np.ndarray  # (m,): y in the middle of the low bits' range, all high bits off
    table: np.ndarray  # (m padded, low states): e^x
    segments: np.ndarray  # ends of the ranges of units whose product a float holds
    y: np.ndarray  # (m,)
    off: np.ndarray  # (m padded,): sigma(-y), and 1 in the padding
    on: np.ndarray  # (m padded,): sigma(y), and 0 in the padding
    product: np.ndarray  # (low states,)


def _sum_over_smaller(weights, visible_bias, hidden_bias):
    w = finite_array("weights", weights, (None, None))
    n_v, n_h = w.shape
    a = finite_array("visible_bias", visible_bias, (n_v,))
    b = finite_array("hidden_bias", hidden_bias, (n_h,))
    check_limit("the smaller layer", min(n_v, n_h))
    if n_h < n_v:
        w, a, b = np.ascontiguousarray(w.T), b, a
    k, m = w.shape
    groups = -(-m // UNROLL)
    reach = np.zeros((min(k, LOW_BITS), groups * UNROLL))  # r of each unit for 1, 2, ... low bits
    reach[:, :m] = np.cumsum(np.abs(w[:LOW_BITS]) / 2, axis=0)
    reach = reach.reshape(-1, groups, UNROLL).sum(2)
    n_low = int((reach.max(1) <= REACH).sum())
    ends, total = [0], 0.0
    for g, r in enumerate(reach[n_low - 1] if n_low else ()):
        total += r
        if total > REACH:
            ends.append(g * UNROLL)
            total = r
    low = two_state_numbers(0, 2**n_low, n_low)
    table = aligned_zeros(groups * UNROLL * len(low), np.empty(1)).reshape(-1, len(low))
    table[:m] = np.exp(((low - 0.5) @ w[:n_low]).T)
    return _Sum(
        weights=w,
        bias=a,
        low_bias=low @ a[:n_low],
        middle=b + 0.5 * w[:n_low].sum(0),
        table=table,
        segments=np.array([*ends, len(table)]),
        y=np.empty(m),
        off=np.ones(len(table)),
        on=np.zeros(len(table)),
        product=aligned_zeros(len(low), low),
    )


@inner(cache=True)
def _n_high(states):
    return len(states.bias) - np.int64(np.round(np.log2(states.low_bias.size)))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _log_weights(states, high, logs):
    """Log-weights of all low states beside state number ``high`` of the other bits."""
    y, off, on, table, product = states.y, states.off, states.on, states.table, states.product
    y[:] = states.middle
    own = 0.0
    for j in range(_n_high(states)):
        if (high >> j) & 1:
            unit = len(states.bias) - _n_high(states) + j
            own += states.bias[unit]
            row = states.weights[unit]
            for i in range(uint64(y.size)):
                y[i] += row[i]
    for i in range(uint64(y.size)):
        e = exp_minus(abs(y[i]))
        large = 1.0 / (1.0 + e)
        on[i] = large if y[i] > 0.0 else e * large
        off[i] = e * large if y[i] > 0.0 else large
    logs[:] = states.low_bias + (own + softplus_sum(y))
    n = uint64(logs.size)
    for s in range(states.segments.size - 1):
        product[:] = 1.0
        for i in range(states.segments[s], states.segments[s + 1], UNROLL):
            t0, t1, t2, t3 = table[i], table[i + 1], table[i + 2], table[i + 3]
            p0, p1, p2, p3 = off[i], off[i + 1], off[i + 2], off[i + 3]
            q0, q1, q2, q3 = on[i], on[i + 1], on[i + 2], on[i + 3]
            for x in range(n):
                pair = (p0 + q0 * t0[x]) * (p1 + q1 * t1[x])
                product[x] *= pair * ((p2 + q2 * t2[x]) * (p3 + q3 * t3[x]))
        for x in range(n):
            logs[x] += np.log(product[x])


@njit(cache=True, error_model="numpy")
def _log_partition(states):
    logs = np.empty_like(states.low_bias)
    shift, total = -np.inf, 0.0
    for high in range(1 << _n_high(states)):
        _log_weights(states, high, logs)
        top = logs.max()
        if top > shift:
            total *= np.exp(shift - top)
            shift = top
        for x in range(uint64(logs.size)):
            total += exp_minus(shift - logs[x])
    return shift + np.log(total)


@inner(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _add_unit(off, on, table, p, low_sums):
    """Add p(state) P(unit on | state) to the sums of each low state; return the sum over them."""
    total = 0.0
    for x in range(uint64(p.size)):
        odds = on * table[x]
        term = p[x] * (odds / (off + odds))
        low_sums[x] += term
        total += term
    return total


@njit(cache=True, error_model="numpy")
def _moments(states, log_z):
    """E[s x^T] (k, m), E[s] (k,) and E[x] (m,): s the units summed over, x the others."""
    k, m = states.weights.shape
    n_low = k - _n_high(states)
    p = np.empty_like(states.low_bias)
    low_p, low_sums = np.zeros(p.size), np.zeros((m, p.size))
    cross, few, many, sums = np.zeros((k, m)), np.zeros(k), np.zeros(m), np.empty(m)
    for high in range(1 << (k - n_low)):
        _log_weights(states, high, p)
        for x in range(uint64(p.size)):
            p[x] = exp_minus(log_z - p[x])
        low_p += p
        for i in range(m):
            sums[i] = _add_unit(states.off[i], states.on[i], states.table[i], p, low_sums[i])
        many += sums
        for j in range(n_low, k):
            if (high >> (j - n_low)) & 1:
                cross[j] += sums
                few[j] += p.sum()
    for j in range(n_low):
        for low in range(p.size):
            if (low >> j) & 1:
                cross[j] += low_sums[:, low]
                few[j] += low_p[low]
    return cross, few, many
