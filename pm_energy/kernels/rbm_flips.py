"""What it costs an RBM to flip each visible unit of a state: losses that need no log Z.

Units are bits. With ``p_j = P(h_j = 1 | x)`` and the step ``d_i = 1 - 2 x_i``, flipping unit i
changes the free energy by

    Delta_i = -d_i a_i - sum_j log(1 - p_j + p_j exp(d_i W_ij)),

one division per visible unit and hidden unit, and no exponential where x holds bits: those of the
weights are common to all rows. The logarithm is taken of products of many factors.
"""

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.inner import inner

KINDS = {"pseudolikelihood": 0, "ratio-matching": 1, "probability-flow": 2}
LARGEST = 700.0  # exp of it is finite; larger weights count as this
ROWS = 64  # their probabilities stay in the second-level cache


def flip_loss(x, weights, visible_bias, hidden_bias, kind, row_weights):
    """Weighted sum over rows of ``sum_i f(Delta_i)``, and its gradient, in float64.

    Parameters
    ----------
    x : ndarray, shape (N, n_v)
        Bits, or numbers between 0 and 1: a flip is ``x -> 1 - x``.
    weights : ndarray, shape (n_v, n_h)
    visible_bias, hidden_bias : ndarray, shape (n_v,) and (n_h,)
    kind : {"pseudolikelihood", "ratio-matching", "probability-flow"}
        f is ``log(1 + exp(-Delta))``, ``1 / (1 + exp(Delta))**2`` or ``exp(-Delta / 2)``.
    row_weights : ndarray, shape (N,)

    Returns
    -------
    loss : float
    gradient : tuple of ndarray, shapes (n_v, n_h), (n_v,) and (n_h,)
        In the weights, the visible and the hidden bias.

    Examples
    --------
    >>> import numpy as np
    >>> parameters = np.zeros((2, 1)), np.zeros(2), np.zeros(1)
    >>> loss, _ = flip_loss(np.ones((1, 2)), *parameters, "pseudolikelihood", np.ones(1))
    >>> round(loss, 6)  # 2 log 2
    1.386294
    """
    w, a, b = (np.asarray(p, float) for p in (weights, visible_bias, hidden_bias))
    up = np.exp(np.clip(w, -LARGEST, LARGEST))
    largest = np.max(np.abs(w), initial=1.0)
    factors = int(np.clip(LARGEST / largest, 1, 64))  # whose product cannot overflow
    to_weights, to_visible, to_hidden = np.zeros(w.shape), np.zeros(len(w)), np.zeros(w.shape[1])
    loss = 0.0
    for first in range(0, len(x), ROWS):
        rows = np.ascontiguousarray(x[first : first + ROWS], float)
        fields = rows @ w + b
        share = row_weights[first : first + ROWS].astype(float)
        pulls = np.zeros(fields.shape)  # the gradient in each row's fields
        args = rows.T.copy(), share, fields, w, up, a, KINDS[kind], factors
        loss += _add_flips(*args, to_weights, to_visible, pulls)
        to_weights += rows.T @ pulls
        to_hidden += pulls.sum(axis=0)
    return loss, (to_weights, to_visible, to_hidden)


@inner(cache=True)
def _loss_of(kind, delta):
    """f and its derivative."""
    if kind == 2:
        value = np.exp(-delta / 2)
        return value, -value / 2
    small = np.exp(-abs(delta))
    flip = (1.0 if delta < 0 else small) / (1.0 + small)  # sigmoid(-Delta)
    stay = (small if delta < 0 else 1.0) / (1.0 + small)
    if kind == 0:
        return max(-delta, 0.0) + np.log1p(small), -flip
    return flip**2, -2 * flip**2 * stay


@njit(cache=True, error_model="numpy")
def _add_flips(units, share, fields, w, up, a, kind, factors, to_weights, to_visible, pulls):
    """Add to the gradient what flips contribute directly; return the loss of these rows."""
    n_v, batch = units.shape
    n_h = fields.shape[1]
    small = np.exp(-np.abs(fields))
    on = np.where(fields < 0, small, 1.0) / (1.0 + small)  # both tails to full precision
    off = np.where(fields < 0, 1.0, small) / (1.0 + small)
    ratio, flipped = np.empty(n_h), np.empty(n_h)
    down = np.empty(n_h)
    between = np.empty(n_h)
    loss = 0.0
    for i in range(n_v):
        for j in range(n_h):
            down[j] = 1.0 / up[i, j]
        for n in range(batch):
            x = units[i, n]
            step = 1.0 - 2.0 * x
            if x == 0:
                factor = up[i]
            elif x == 1:
                factor = down
            else:
                for j in range(n_h):
                    between[j] = np.exp(min(max(step * w[i, j], -LARGEST), LARGEST))
                factor = between
            _probabilities_after(on[n], off[n], factor, ratio, flipped)
            value, slope = _loss_of(kind, -step * a[i] - _log_product(ratio, factors))
            loss += share[n] * value
            slope *= share[n]
            to_visible[i] -= slope * step
            _add_slopes(slope, step, on[n], flipped, pulls[n], to_weights[i])
    return loss


@inner(cache=True, error_model="numpy")
def _probabilities_after(on, off, factor, ratio, flipped):
    """P(h_j = 1) after the flip, and by how much it changes each hidden unit's trace."""
    for j in range(uint64(on.size)):
        weight = on[j] * factor[j]
        ratio[j] = off[j] + weight
        flipped[j] = weight / ratio[j]


@inner(cache=True)
def _add_slopes(slope, step, on, flipped, pulls, to_weights):
    for j in range(uint64(on.size)):
        pulls[j] -= slope * (flipped[j] - on[j])
        to_weights[j] -= slope * step * flipped[j]


@inner(cache=True, fastmath={"reassoc"})
def _log_product(ratio, factors):
    total = 0.0
    for first in range(0, ratio.size, factors):
        product = 1.0
        for j in range(uint64(first), uint64(min(first + factors, ratio.size))):
            product *= ratio[j]
        total += np.log(product)
    return total
