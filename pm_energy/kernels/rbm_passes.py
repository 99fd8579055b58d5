"""Passes over the units of an RBM in tiles: sums of their products, and fields at a temperature.

A layer's states and fields are those of :mod:`pm_energy.kernels.rbm_layers`.
"""

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.binary_product import (
    VECTOR_BYTES,
    add_all_units,
    add_listed_units,
    aligned_zeros,
    lists_pay,
)
from pm_energy.kernels.inner import inner
from pm_energy.kernels.two_state import logistic


@njit(cache=True)
def add_moments(pairs, visible, hidden, states, fields, row_weights, tables):
    """Add weighted sums over the batch of bits, probabilities and their products.

    Parameters
    ----------
    pairs : ndarray, flat (tiles of n_h, n_v, tile)
        ``sum_n w_n x_ni p_nj`` is added.
    visible, hidden : ndarray, shape (n_v,) and (n_h,)
        ``sum_n w_n x_ni`` and ``sum_n w_n p_nj`` are added.
    states : ndarray of uint8, flat (tiles of n_v, batch, tile)
        x, the visible bits.
    fields : ndarray, flat (tiles of n_h, batch, tile)
        Log-odds of p.
    row_weights : ndarray, shape (batch,)
    tables : ndarray
        Work space.
    """
    batch, n_v, n_h = row_weights.size, visible.size, hidden.size
    tile = VECTOR_BYTES // fields.itemsize
    rows = -(-batch // tile) * tile
    means = aligned_zeros(-(-n_h // tile) * rows * tile, fields)
    total = np.empty(tile)
    for t in range(-(-n_h // tile)):
        total[:] = 0
        for b in range(batch):
            row = fields[(t * batch + b) * tile : (t * batch + b + 1) * tile]
            to = means[(t * rows + b) * tile : (t * rows + b + 1) * tile]
            _weighted_probabilities(row, row_weights[b], to)
            _accumulate(total, to)
        for k in range(min(tile, n_h - t * tile)):
            hidden[t * tile + k] += total[k]
    n_on, bits = 0, np.empty(tile, fields.dtype)
    for t in range(-(-n_v // tile)):
        total[:] = 0
        for b in range(batch):
            row = states[(t * batch + b) * tile : (t * batch + b + 1) * tile]
            for k in range(uint64(tile)):
                n_on += row[k]
                bits[k] = row_weights[b] * row[k]
            _accumulate(total, bits)
        for k in range(min(tile, n_v - t * tile)):
            visible[t * tile + k] += total[k]
    # Now the visible units are the batch, and the rows of the batch are what is summed over.
    turned = _turn(states, batch, n_v, tile)
    if lists_pay(n_on, batch, n_h, n_v, tile):
        add_listed_units(pairs, turned, turned, means, rows, n_v)
    else:
        add_all_units(pairs, turned, means, rows, n_v, batch, tables)


@inner(cache=True, error_model="numpy", fastmath={"contract"})
def _weighted_probabilities(log_odds, share, out):
    for k in range(uint64(out.size)):
        out[k] = share * logistic(log_odds[k])


@inner(cache=True)
def _accumulate(total, values):
    for k in range(uint64(total.size)):
        total[k] += values[k]


@inner(cache=True)
def _turn(states, batch, n, tile):
    """Turn bits from (tiles of n, batch, tile) to (tiles of the batch, n, tile)."""
    turned = aligned_zeros(-(-batch // tile) * n * tile, states)
    for t in range(-(-n // tile)):
        width = min(tile, n - t * tile)
        for b in range(batch):
            source = (t * batch + b) * tile
            to = (b // tile * n + t * tile) * tile + b % tile
            for k in range(uint64(width)):
                turned[uint64(to) + k * uint64(tile)] = states[uint64(source) + k]
    return turned


@inner(cache=True)
def new_pairs(weights):
    """Zeros in tiles of the hidden units, for :func:`from_tiles`."""
    n_v, n_h = weights.shape
    tile = VECTOR_BYTES // weights.itemsize
    return aligned_zeros(-(-n_h // tile) * n_v * tile, weights)


@inner(cache=True)
def from_tiles(tiled, matrix):
    """Copy column tiles, flat (tiles of m, n, tile), into a matrix (n, m)."""
    n, m = matrix.shape
    tile = VECTOR_BYTES // tiled.itemsize
    for t in range(-(-m // tile)):
        width = min(tile, m - t * tile)
        for i in range(n):
            row, source = matrix[i], (t * n + i) * tile
            for k in range(uint64(width)):
                row[uint64(t * tile) + k] = tiled[uint64(source) + k]


@njit(cache=True)
def temper(fields, betas, log_odds):
    """Multiply fields by beta; the padding, -inf, must stay so at beta = 0."""
    tile = VECTOR_BYTES // fields.itemsize
    for r in range(fields.size // tile):
        beta = betas[r % betas.size]
        for k in range(uint64(r * tile), uint64((r + 1) * tile)):
            log_odds[k] = fields[k] if fields[k] == -np.inf else beta * fields[k]
