"""Exact log partition function and moments of an RBM with Gaussian visible units.

With the visible layer integrated out, the hidden one is a Boltzmann machine with pair couplings,
and its 2^n states are summed over. Their log-weights come in blocks from matrix products.
"""

import numpy as np

from pm_energy.kernels.arguments import finite_array, positive_array
from pm_energy.kernels.rbm_exact import check_limit, two_state_numbers


def gaussian_rbm_log_partition(weights, visible_bias, hidden_bias, variance):
    r"""Log Z of an RBM with Gaussian visible units and hidden units in {0, 1}.

    .. math:: E(v, h) = \sum_i \frac{(v_i - a_i)^2}{2 \sigma_i^2} - b^\top h
              - \sum_{ij} \frac{v_i}{\sigma_i^2} W_{ij} h_j

    With v integrated out, the hidden units have pair couplings
    :math:`\sum_i W_{ij} W_{ik} / \sigma_i^2`, and their states are summed over.

    Parameters
    ----------
    weights : array_like, shape (n_v, n_h)
        At most 24 hidden units.
    visible_bias : array_like, shape (n_v,)
        a, in units of v.
    hidden_bias : array_like, shape (n_h,)
    variance : array_like, shape (n_v,)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there are more than 24 hidden units, shapes do not fit, values are not finite or a
        variance is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> log_z = gaussian_rbm_log_partition(np.zeros((2, 3)), [5, -5], [0, 0, 0], [1, 4])
    >>> np.isclose(log_z, np.log(2 * np.pi * 2 * 2**3))
    np.True_
    """
    w, a, b, variance = _gaussian(weights, visible_bias, hidden_bias, variance)
    return float(_pair_log_partition(*_hidden_pairs(w, a, b, variance)) + _volume(variance))


def gaussian_rbm_exact_moments(weights, visible_bias, hidden_bias, variance):
    r"""Log Z of :func:`gaussian_rbm_log_partition`, and moments that give its derivatives.

    .. math::
        \frac{d \log Z}{d a_i} = \frac{E[v_i] - a_i}{\sigma_i^2}, \quad
        \frac{d \log Z}{d b_j} = E[h_j], \quad
        \frac{d \log Z}{d W_{ij}} = \frac{E[v_i h_j]}{\sigma_i^2},

    .. math::
        \frac{d \log Z}{d \sigma_i^2} = \frac{E[v_i^2] - 2 a_i E[v_i] + a_i^2}{2 \sigma_i^4}
        - \frac{1}{\sigma_i^4} \sum_j W_{ij} E[v_i h_j].

    Parameters
    ----------
    weights : array_like, shape (n_v, n_h)
    visible_bias : array_like, shape (n_v,)
    hidden_bias : array_like, shape (n_h,)
    variance : array_like, shape (n_v,)

    Returns
    -------
    log_z : float
    cross : ndarray, shape (n_v, n_h)
        E[v h^T].
    visible : ndarray, shape (n_v,)
        E[v].
    hidden : ndarray, shape (n_h,)
        E[h].
    square : ndarray, shape (n_v,)
        E[v^2].

    Raises
    ------
    ValueError
        As :func:`gaussian_rbm_log_partition`.

    Examples
    --------
    >>> import numpy as np
    >>> moments = gaussian_rbm_exact_moments(np.zeros((1, 1)), [3.0], [0.0], [2.0])
    >>> [x.round(6).tolist() for x in moments[1:]]
    [[[1.5]], [3.0], [0.5], [11.0]]
    """
    w, a, b, variance = _gaussian(weights, visible_bias, hidden_bias, variance)
    coupling, field = _hidden_pairs(w, a, b, variance)
    log_z = _pair_log_partition(coupling, field)
    pairs = _pair_moments(coupling, field, log_z)
    hidden = pairs.diagonal().copy()  # h^2 = h
    pull = w @ pairs  # E[(W h) h^T]
    cross = np.outer(a, hidden) + pull
    visible = a + w @ hidden
    square = variance + a**2 + 2 * a * (w @ hidden) + (pull * w).sum(1)
    return float(log_z + _volume(variance)), cross, visible, hidden, square


def _gaussian(weights, visible_bias, hidden_bias, variance):
    w = finite_array("weights", weights, (None, None))
    a = finite_array("visible_bias", visible_bias, (len(w),))
    b = finite_array("hidden_bias", hidden_bias, (w.shape[1],))
    variance = positive_array("variance", variance, (len(w),))
    check_limit("the hidden layer", len(b))
    return w, a, b, variance


def _hidden_pairs(w, a, b, variance):
    """Coupling and field of the hidden units with v integrated out: log p = h.f + h J h / 2."""
    precise = w / variance[:, None]
    return w.T @ precise, b + a @ precise


def _volume(variance):
    return 0.5 * np.log(2 * np.pi * variance).sum()


def _pair_log_weights(coupling, field):
    """Yield (low states, high states, log-weights (high, low)) in blocks of 2**16."""
    n = len(field)
    n_low = min(n, 12)
    low = two_state_numbers(0, 2**n_low, n_low)

    def alone(s, part):
        return s @ field[part] + 0.5 * ((s @ coupling[part, part]) * s).sum(1)

    first, rest = slice(None, n_low), slice(n_low, None)
    low_alone = alone(low, first)
    for start in range(0, 2 ** (n - n_low), 16):
        high = two_state_numbers(start, min(start + 16, 2 ** (n - n_low)), n - n_low)
        between = (high @ coupling[rest, first]) @ low.T
        yield low, high, between + low_alone + alone(high, rest)[:, None]


def _pair_log_partition(coupling, field):
    shift, total = -np.inf, 0.0
    for _, _, logs in _pair_log_weights(coupling, field):
        top = max(shift, logs.max())
        total = total * np.exp(shift - top) + np.exp(logs - top).sum()
        shift = top
    return shift + np.log(total)


def _pair_moments(coupling, field, log_z):
    """E[h h^T]."""
    n = len(field)
    pairs = np.zeros((n, n))
    for low, high, logs in _pair_log_weights(coupling, field):
        p = np.exp(logs - log_z)
        between = high.T @ (p @ low)
        k = low.shape[1]
        pairs[:k, :k] += low.T @ (p.sum(0)[:, None] * low)
        pairs[k:, k:] += high.T @ (p.sum(1)[:, None] * high)
        pairs[k:, :k] += between
        pairs[:k, k:] += between.T
    return pairs
