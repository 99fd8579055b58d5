"""Layers of binary units for many states side by side, and their fields brought up to date.

Units lie in column tiles, flat (tiles, batch, tile), as in :mod:`pm_energy.kernels.binary_product`.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.binary_product import (
    GROUPS,
    VECTOR_BYTES,
    add_all_units,
    add_listed_units,
    aligned_zeros,
    lists_pay,
)
from pm_energy.kernels.inner import inner


class Layer(NamedTuple):
    """Units of one layer for all states of the batch, in tiles; the log-odds' constant part."""

    states: np.ndarray
    flipped: np.ndarray
    fields: np.ndarray
    bias: np.ndarray


@njit(cache=True)
def new_layer(states, bias):
    """Return a layer of as many units as ``states`` (batch, n), all 0; its dtype is the fields'.

    ``bias`` (1, n) or (batch, n) is the constant part of the log-odds.
    """
    batch, n = states.shape
    tile = VECTOR_BYTES // states.itemsize
    size = -(-n // tile) * batch * tile
    byte = np.empty(1, np.uint8)
    return Layer(
        aligned_zeros(size, byte), aligned_zeros(size, byte), aligned_zeros(size, states), bias
    )


@inner(cache=True)
def new_tables(like):
    """Work space for subset sums, in the dtype of ``like``."""
    return aligned_zeros(GROUPS * 16 * (VECTOR_BYTES // like.itemsize), like)


@njit(cache=True)
def update_fields(layer, source, flips, age, weights, tables, batch):
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


@inner(cache=True)
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
def read_bits(layer, low, states):
    """Copy (batch, n) states into tiles; return whether all are either ``low`` or 1."""
    batch, n = layer.shape
    tile = VECTOR_BYTES // layer.itemsize
    one = layer.dtype.type(1)
    wrong = 0
    for t in range(-(-n // tile)):
        for b in range(batch):
            row, to = layer[b], (t * batch + b) * tile
            for k in range(uint64(min(tile, n - t * tile))):
                state = row[uint64(t * tile) + k]
                states[uint64(to) + k] = state == one
                wrong |= (state != low) & (state != one)
    return wrong == 0


@njit(cache=True)
def write_bits(states, low, layer):
    """Copy tiles of bits into (batch, n) states, ``low`` or 1."""
    batch, n = layer.shape
    tile = VECTOR_BYTES // layer.itemsize
    span = layer.dtype.type(1) - low
    for t in range(-(-n // tile)):
        for b in range(batch):
            row, source = layer[b], (t * batch + b) * tile
            for k in range(uint64(min(tile, n - t * tile))):
                row[uint64(t * tile) + k] = low + span * states[uint64(source) + k]
