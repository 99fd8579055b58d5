"""What learning a restricted Boltzmann machine asks of its units, in few passes over memory.

The gradient of the log-likelihood is made of means of products ``v_i P(h_j = 1 | v)``, over data
and over chains. States are zeros and ones, so every product with them goes through subset-sum
tables or lists (see :mod:`pm_energy.kernels.binary_product`): the fields of both layers, and the
outer products of visible states with hidden probabilities, where the batch takes the place of the
units that are summed over.

Units are bits inside. Arrays that come in or go out may hold spins: ``low`` is the lower of the two
states, 0 or -1, and the upper is always 1. Weights and biases are those of the bits.
"""

import numpy as np
from numba import int64, njit

from pm_energy.kernels.bernoulli import draw_units
from pm_energy.kernels.binary_product import tile_weights
from pm_energy.kernels.random import LANES, seed_words
from pm_energy.kernels.rbm_layers import (
    new_layer,
    new_tables,
    read_bits,
    update_fields,
    write_bits,
)
from pm_energy.kernels.rbm_passes import add_moments, from_tiles, new_pairs, temper

ROWS = 256  # data are read in blocks that stay in the second-level cache


def data_moments(x, weights, hidden_bias, row_weights, low=0.0):
    """Weighted sums over rows of the hidden probabilities, and of their products with the units.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (N, n_v), C-contiguous
        States ``low`` and 1.
    weights : ndarray, shape (n_v, n_h), C-contiguous, dtype of ``x``
    hidden_bias : ndarray, shape (n_h,), dtype of ``x``
    row_weights : ndarray, shape (N,), dtype of ``x``
    low : float
        The lower state of ``x``; sums are over bits.

    Returns
    -------
    tuple of ndarray or None
        ``sum_n w_n x_ni p_nj`` (n_v, n_h), ``sum_n w_n x_ni`` (n_v,) and ``sum_n w_n p_nj`` (n_h,)
        with ``p_nj = P(h_j = 1 | x_n)``; None if some unit is in neither state.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 0.0], [1.0, 1.0]])
    >>> pairs, visible, hidden = data_moments(x, np.zeros((2, 1)), np.zeros(1), np.full(2, 0.5))
    >>> pairs, visible, hidden
    (array([[0.5 ],
           [0.25]]), array([1. , 0.5]), array([0.5]))
    """
    _check_shapes(x, weights, hidden_bias=hidden_bias)
    is_binary, *moments = _data_moments(x, x.dtype.type(low), weights, hidden_bias, row_weights)
    return tuple(moments) if is_binary else None


def draw_hidden(rng, v, weights, hidden_bias, lows=(0, 0)):
    """Draw h given v where v holds states.

    Parameters
    ----------
    rng : numpy.random.Generator
    v : ndarray of float32 or float64, shape (n, n_v), C-contiguous
    weights : ndarray, shape (n_v, n_h), C-contiguous, dtype of ``v``
    hidden_bias : ndarray, shape (n_h,), dtype of ``v``
    lows : tuple of two float
        Lower states of v and h.

    Returns
    -------
    ndarray or None
        h, shape (n, n_h), dtype of ``v``; None if some unit of v is in neither state.

    Examples
    --------
    >>> import numpy as np
    >>> draw_hidden(np.random.default_rng(0), np.ones((1, 2)), np.full((2, 1), 45.0), np.zeros(1))
    array([[1.]])
    """
    _check_shapes(v, weights, hidden_bias=hidden_bias)
    h = np.empty((len(v), weights.shape[1]), v.dtype)
    v_low, h_low = v.dtype.type(lows[0]), v.dtype.type(lows[1])
    words = seed_words(rng, LANES)
    return h if _draw_hidden(words, v, h, v_low, h_low, weights, hidden_bias) else None


def chain_sweeps(rng, v, h, weights, visible_bias, hidden_bias, n_sweeps, beta=1.0, lows=(0, 0)):
    """Draw v given h, then h given v, ``n_sweeps`` times for every row, in place.

    Each sweep leaves ``exp(beta (v . a + h . b + v W h))`` invariant.

    Parameters
    ----------
    rng : numpy.random.Generator
    v : ndarray of float32 or float64, shape (n, n_v), C-contiguous
        Only overwritten.
    h : ndarray, shape (n, n_h), C-contiguous, dtype of ``v``
        States; overwritten.
    weights : ndarray, shape (n_v, n_h), C-contiguous, dtype of ``v``
    visible_bias, hidden_bias : ndarray, shape (n_v,) and (n_h,), dtype of ``v``
    n_sweeps : int
    beta : float or array, shape (n,)
        Inverse temperature, zero or above, perhaps another one for each row.
    lows : tuple of two float
        Lower states of v and h.

    Raises
    ------
    ValueError
        If h holds anything but states.

    Examples
    --------
    >>> import numpy as np
    >>> v, h = np.zeros((1, 2)), np.zeros((1, 1))
    >>> rng = np.random.default_rng(0)
    >>> chain_sweeps(rng, v, h, np.zeros((2, 1)), np.full(2, 90.0), np.full(1, -90.0), 1)
    >>> v, h
    (array([[1., 1.]]), array([[0.]]))
    """
    none = np.empty((0, 0), v.dtype)
    _run_chains(rng, v, h, weights, visible_bias, hidden_bias, n_sweeps, beta, lows, none)


def chain_sweeps_and_moments(rng, v, h, weights, visible_bias, hidden_bias, n_sweeps, lows=(0, 0)):
    """Sweep at beta = 1, and return the means of :func:`data_moments` over the rows of v.

    The probabilities are those that the last h was drawn from, so the moments cost one product
    more and no other pass. At least one sweep.

    Parameters
    ----------
    rng, v, h, weights, visible_bias, hidden_bias, n_sweeps, lows
        As in :func:`chain_sweeps`.

    Returns
    -------
    tuple of ndarray, shapes (n_v, n_h), (n_v,) and (n_h,)

    Raises
    ------
    ValueError
        If h holds anything but states.

    Examples
    --------
    >>> import numpy as np
    >>> v, h = np.zeros((1, 2)), np.zeros((1, 1))
    >>> rng = np.random.default_rng(0)
    >>> chain_sweeps_and_moments(rng, v, h, np.zeros((2, 1)), np.full(2, 90.0), np.zeros(1), 1)
    (array([[0.5],
           [0.5]]), array([1., 1.]), array([0.5]))
    """
    pairs = np.empty(weights.shape, v.dtype)
    visible, hidden = _run_chains(
        rng, v, h, weights, visible_bias, hidden_bias, n_sweeps, 1.0, lows, pairs
    )
    return pairs, visible, hidden


def _check_shapes(v, weights, **biases):
    """Kernels trust their arguments: a wrong shape would have them read anything."""
    n_v, n_h = weights.shape
    shapes = {"visible_bias": (n_v,), "hidden_bias": (n_h,)}
    if v.ndim != 2 or v.shape[1] != n_v:
        raise ValueError(f"states must have shape (N, {n_v}) to fit the weights, got {v.shape}")
    if v.dtype != weights.dtype:
        raise ValueError(f"states must be {weights.dtype} like the weights, got {v.dtype}")
    for name, bias in biases.items():
        if bias.shape != shapes[name]:
            raise ValueError(f"{name} must have shape {shapes[name]}, got {bias.shape}")


def _run_chains(rng, v, h, weights, a, b, n_sweeps, beta, lows, pairs):
    _check_shapes(v, weights, visible_bias=a, hidden_bias=b)
    if h.shape != (len(v), weights.shape[1]):
        raise ValueError(f"h must have shape {(len(v), weights.shape[1])}, got {h.shape}")
    words = seed_words(rng, LANES)
    betas = np.full(len(v), beta, v.dtype)
    v_low, h_low = v.dtype.type(lows[0]), v.dtype.type(lows[1])
    good, *moments = _sweeps(words, v, h, v_low, h_low, weights, a, b, betas, n_sweeps, pairs)
    if not good:
        raise ValueError(f"h must hold the states {h_low:g} and 1 only; draw it from states of v")
    return moments


@njit(cache=True)
def _sweeps(words, v, h, v_low, h_low, weights, a, b, betas, n_sweeps, pairs):
    """Sweep, and fill ``pairs`` unless it is empty; return (good, visible, hidden) means."""
    batch, (n_v, n_h) = len(v), weights.shape
    flat = weights.reshape(-1)
    to_hidden = tile_weights(flat, n_v, n_h, n_h, int64(1))
    to_visible = tile_weights(flat, n_h, n_v, int64(1), n_h)
    visible, hidden = new_layer(v, a.reshape(1, -1)), new_layer(h, b.reshape(1, -1))
    means = np.zeros(n_v, v.dtype), np.zeros(n_h, v.dtype)
    if not read_bits(h, h_low, hidden.states):
        return False, means[0], means[1]
    tempered = (betas != 1).any()
    v_odds = np.empty_like(visible.fields) if tempered else visible.fields
    h_odds = np.empty_like(hidden.fields) if tempered else hidden.fields
    tables = new_tables(v)
    h_flips = v_flips = int64(0)
    v_age = h_age = int64(-1)  # flips added to the fields since they were computed afresh
    for _ in range(n_sweeps):
        v_age = update_fields(visible, hidden, h_flips, v_age, to_visible, tables, batch)
        if tempered:
            temper(visible.fields, betas, v_odds)
        v_flips = draw_units(words, v_odds, visible.states, visible.flipped)
        h_age = update_fields(hidden, visible, v_flips, h_age, to_hidden, tables, batch)
        if tempered:
            temper(hidden.fields, betas, h_odds)
        h_flips = draw_units(words, h_odds, hidden.states, hidden.flipped)
    write_bits(visible.states, v_low, v)
    write_bits(hidden.states, h_low, h)
    if pairs.size:
        tiled = new_pairs(weights)
        rows = np.full(batch, 1 / batch, v.dtype)
        add_moments(tiled, means[0], means[1], visible.states, hidden.fields, rows, tables)
        from_tiles(tiled, pairs)
    return True, means[0], means[1]


@njit(cache=True)
def _draw_hidden(words, v, h, v_low, h_low, weights, b):
    n_v, n_h = weights.shape
    to_hidden = tile_weights(weights.reshape(-1), n_v, n_h, n_h, int64(1))
    tables = new_tables(v)
    for first in range(0, len(v), ROWS):
        rows, drawn = v[first : first + ROWS], h[first : first + ROWS]
        visible = new_layer(rows, np.zeros((1, n_v), v.dtype))
        hidden = new_layer(drawn, b.reshape(1, -1))
        if not read_bits(rows, v_low, visible.states):
            return False
        update_fields(hidden, visible, int64(0), int64(-1), to_hidden, tables, len(rows))
        draw_units(words, hidden.fields, hidden.states, hidden.flipped)
        write_bits(hidden.states, h_low, drawn)
    return True


@njit(cache=True)
def _data_moments(x, low, weights, b, row_weights):
    n_v, n_h = weights.shape
    to_hidden = tile_weights(weights.reshape(-1), n_v, n_h, n_h, int64(1))
    tables, tiled, pairs = new_tables(x), new_pairs(weights), np.empty_like(weights)
    visible_mean, hidden_mean = np.zeros(n_v, x.dtype), np.zeros(n_h, x.dtype)
    for first in range(0, len(x), ROWS):
        rows = x[first : first + ROWS]
        visible = new_layer(rows, np.zeros((1, n_v), x.dtype))
        hidden = new_layer(np.empty((len(rows), n_h), x.dtype), b.reshape(1, -1))
        if not read_bits(rows, low, visible.states):
            return False, pairs, visible_mean, hidden_mean
        update_fields(hidden, visible, int64(0), int64(-1), to_hidden, tables, len(rows))
        share = row_weights[first : first + ROWS]
        moments = tiled, visible_mean, hidden_mean
        add_moments(*moments, visible.states, hidden.fields, share, tables)
    from_tiles(tiled, pairs)
    return True, pairs, visible_mean, hidden_mean
