"""Block Gibbs sampling of restricted Boltzmann machines: all hidden units, then all visible ones.

The target is ``log p(v, h) = v . a + h . b + v W h + const``, v and h in {0, 1}. Given one layer
the units of the other are independent, so a whole batch of states moves at once. The fields
``v W + b`` are brought up to date by whatever costs least: from the units that flipped, from the
units that are on, or from subset-sum tables (see :mod:`pm_energy.kernels.binary_product`).
"""

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.bernoulli import draw_units
from pm_energy.kernels.binary_product import (
    GROUPS,
    VECTOR_BYTES,
    add_all_units,
    add_listed_units,
    aligned_zeros,
    lists_pay,
    tile_weights,
)
from pm_energy.kernels.random import LANES, seed_words


class TiledWeights(NamedTuple):
    """Weights of an RBM as the sweeps read them; made by :func:`tile_rbm`."""

    to_hidden: np.ndarray
    to_visible: np.ndarray
    shape: tuple[int, int]


def tile_rbm(weights):
    """Lay out a weight matrix for :func:`rbm_sweeps`, once for many calls.

    Parameters
    ----------
    weights : ndarray of float32 or float64, shape (n_v, n_h)

    Returns
    -------
    TiledWeights
    """
    weights = np.ascontiguousarray(weights)
    if weights.ndim != 2 or weights.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"weights must be a float32 or float64 matrix (n_v, n_h), got {weights.dtype} of shape "
            f"{weights.shape}"
        )
    n_v, n_h = weights.shape
    flat = weights.reshape(-1)
    return TiledWeights(
        tile_weights(flat, n_v, n_h, n_h, 1), tile_weights(flat, n_h, n_v, 1, n_h), (n_v, n_h)
    )


def rbm_sweeps(rng, v, h, weights, visible_bias, hidden_bias, n_sweeps=1):
    """Draw h given v, then v given h, ``n_sweeps`` times for every row, in place.

    Parameters
    ----------
    rng : numpy.random.Generator
    v : ndarray of float32 or float64, shape (B, n_v)
        Zeros and ones, C-contiguous; overwritten.
    h : ndarray, shape (B, n_h), dtype of ``v``
        The same; only overwritten, but that the flips are counted from it.
    weights : ndarray, shape (n_v, n_h), or TiledWeights
        In the dtype of ``v``. Tiles from :func:`tile_rbm` save laying them out in every call, which
        for a single state takes longer than a sweep.
    visible_bias : ndarray, shape (n_v,) or (B, n_v)
        ``a``, plus the site-wise log-odds of whatever else v depends on; may be infinite.
    hidden_bias : ndarray, shape (n_h,) or (B, n_h)
    n_sweeps : int

    Returns
    -------
    flips : int
        How often a unit of either layer changed.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit together, or if v or h is not zeros and ones.

    Notes
    -----
    float32 takes half the time of float64. Its fields are sums of n float32 numbers, and a
    conditional probability is off by a quarter of their rounding error at most: below 1e-6 for 784
    weights of size 0.05, the worst of 50,000 units. The drawing itself adds 1e-7 at most.

    References
    ----------
    .. [1] Smolensky (1986), in Parallel Distributed Processing 1, 194-281.
    .. [2] Arlazarov, Dinic, Kronrod & Faradzhev (1970), Soviet Math. Doklady 11, 1209-1210.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> v, h = np.zeros((1, 3)), np.zeros((1, 2))
    >>> rbm_sweeps(rng, v, h, np.full((3, 2), 40.0), [-20.0, -20.0, -20.0], [np.inf, -np.inf])
    4
    >>> v, h
    (array([[1., 1., 1.]]), array([[1., 0.]]))
    """
    tiles = weights if isinstance(weights, TiledWeights) else tile_rbm(weights)
    n_v, n_h = tiles.shape
    _check_layer("v", v, n_v, tiles.to_hidden.dtype)
    _check_layer("h", h, n_h, v.dtype)
    if len(h) != len(v):
        raise ValueError(f"v and h must hold as many states, got {len(v)} and {len(h)}")
    a = _bias_rows("visible_bias", visible_bias, v)
    b = _bias_rows("hidden_bias", hidden_bias, h)
    words = seed_words(rng, LANES)
    flips = _sweeps(words, v, h, tiles.to_hidden, tiles.to_visible, a, b, n_sweeps)
    if flips < 0:
        raise ValueError(f"{'v' if flips == -1 else 'h'} must hold zeros and ones only")
    return flips


def sample_hidden(rng, v, weights, hidden_bias):
    """Draw h given v.

    Parameters
    ----------
    rng : numpy.random.Generator
    v : ndarray of float32 or float64, shape (B, n_v)
        Any real values: probabilities or intensities too.
    weights : ndarray, shape (n_v, n_h)
    hidden_bias : ndarray, shape (n_h,) or (B, n_h)

    Returns
    -------
    h : ndarray, shape (B, n_h), dtype of ``v``

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> sample_hidden(rng, np.array([[1.0], [0.0]]), np.array([[80.0]]), [-40.0])
    array([[1.],
           [0.]])
    """
    log_odds = v @ weights + np.asarray(hidden_bias, v.dtype)
    block = 2 * LANES
    padded = np.zeros(-(-log_odds.size // block) * block, v.dtype)
    padded[: log_odds.size] = log_odds.reshape(-1)
    drawn, flipped = np.zeros((2, padded.size), np.uint8)
    draw_units(seed_words(rng, LANES), padded, drawn, flipped)
    return drawn[: log_odds.size].reshape(log_odds.shape).astype(v.dtype)


def _check_layer(name, states, n_units, dtype):
    if states.ndim != 2 or states.shape[1] != n_units or not states.flags.c_contiguous:
        raise ValueError(
            f"{name} must be a C-contiguous array of shape (B, {n_units}) to fit the weights, got "
            f"shape {states.shape}; for one state pass {name}[None]"
        )
    if states.dtype != dtype:
        raise ValueError(f"{name} must be {dtype} like the weights, got {states.dtype}")


def _bias_rows(name, bias, states):
    rows = np.atleast_2d(np.ascontiguousarray(bias, states.dtype))
    if rows.ndim != 2 or rows.shape[1] != states.shape[1] or len(rows) not in (1, len(states)):
        raise ValueError(
            f"{name} must have shape ({states.shape[1]},) or {states.shape}, got {np.shape(bias)}"
        )
    return rows


class _Layer(NamedTuple):
    """Units of one layer for all states of the batch, in tiles; the log-odds' constant part."""

    states: np.ndarray
    flipped: np.ndarray
    fields: np.ndarray
    bias: np.ndarray


@njit(cache=True)
def _new_layer(states, bias):
    batch, n = states.shape
    tile = VECTOR_BYTES // states.itemsize
    size = -(-n // tile) * batch * tile
    byte = np.empty(1, np.uint8)
    return _Layer(
        aligned_zeros(size, byte), aligned_zeros(size, byte), aligned_zeros(size, states), bias
    )


@njit(cache=True)
def _sweeps(words, v, h, to_hidden, to_visible, visible_bias, hidden_bias, n_sweeps):
    """Return the number of flips, or -1 or -2 if v or h is not zeros and ones."""
    batch = len(v)
    visible, hidden = _new_layer(v, visible_bias), _new_layer(h, hidden_bias)
    if not _read_states(v, visible.states):
        return -1
    if not _read_states(h, hidden.states):
        return -2
    tables = aligned_zeros(GROUPS * 16 * (VECTOR_BYTES // v.itemsize), v)
    total = v_flips = 0
    v_age = h_age = -1  # flips added to the fields since they were computed afresh
    for _ in range(n_sweeps):
        h_age = _update_fields(hidden, visible, v_flips, h_age, to_hidden, tables, batch)
        h_flips = draw_units(words, hidden.fields, hidden.states, hidden.flipped)
        v_age = _update_fields(visible, hidden, h_flips, v_age, to_visible, tables, batch)
        v_flips = draw_units(words, visible.fields, visible.states, visible.flipped)
        total += h_flips + v_flips
    _write_states(visible.states, v)
    _write_states(hidden.states, h)
    return total


@njit(cache=True)
def _update_fields(layer, source, flips, age, weights, tables, batch):
    """Make the layer's fields those of the source layer; return the flips added since a fresh one.

    These stay below one per unit, so that rounding errors stay those of about one product.
    """
    fields, n_fields = layer.fields, layer.bias.shape[1]
    states, n_units = source.states, source.bias.shape[1]
    tile = VECTOR_BYTES // fields.itemsize
    rows = -(-n_units // tile) * tile
    young = 0 <= age <= batch * n_units - flips
    if young and lists_pay(flips, n_units, n_fields, batch, tile):
        add_listed_units(fields, states, source.flipped, weights, rows, batch)
        return age + flips
    n_on = 0
    for k in range(uint64(states.size)):
        n_on += states[k]
    _fill_bias(fields, layer.bias, batch)
    if lists_pay(n_on, n_units, n_fields, batch, tile):
        add_listed_units(fields, states, states, weights, rows, batch)
    else:
        add_all_units(fields, states, weights, rows, batch, n_units, tables)
    return 0


# Indices below are unsigned: the compiler need not look for negative ones, and vectorises.


@njit(cache=True)
def _fill_bias(fields, bias, batch):
    """Start each field at its bias, and the padding at -inf: a unit there never turns on."""
    tile = VECTOR_BYTES // fields.itemsize
    for t in range(fields.size // (batch * tile)):
        width = min(tile, bias.shape[1] - t * tile)
        for b in range(batch):
            row = bias[b if len(bias) > 1 else 0]
            at = (t * batch + b) * tile
            for j in range(uint64(width)):
                fields[uint64(at) + j] = row[uint64(t * tile) + j]
            for j in range(uint64(width), uint64(tile)):
                fields[uint64(at) + j] = -np.inf


@njit(cache=True)
def _read_states(layer, states):
    """Copy (B, n) zeros and ones into tiles; return whether that is what they were."""
    batch, n = layer.shape
    tile = VECTOR_BYTES // layer.itemsize
    wrong = False
    for t in range(-(-n // tile)):
        for b in range(batch):
            row = layer[b]
            at = (t * batch + b) * tile
            for j in range(uint64(min(tile, n - t * tile))):
                state = row[uint64(t * tile) + j]
                states[uint64(at) + j] = state > 0
                wrong |= (state != 0) & (state != 1)
    return not wrong


@njit(cache=True)
def _write_states(states, layer):
    batch, n = layer.shape
    tile = VECTOR_BYTES // layer.itemsize
    for t in range(-(-n // tile)):
        for b in range(batch):
            row = layer[b]
            at = (t * batch + b) * tile
            for j in range(uint64(min(tile, n - t * tile))):
                row[uint64(t * tile) + j] = states[uint64(at) + j]
