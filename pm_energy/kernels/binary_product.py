"""States in {0, 1} times real weights, without a multiplication.

A matrix of zeros and ones needs no general matrix product. Two ways cost less:

- *Four Russians* (Arlazarov, Dinic, Kronrod & Faradzhev 1970): the 16 subset sums of four weight
  rows are tabulated once for the whole batch; each state then adds one entry for four units.
- *Row lists*: a state adds the rows of its units that are on, or of the units that flipped since
  its fields were last right. The cost follows the flips.

Arrays are padded to multiples of 64 units (:func:`padded`) and start on a cache line, so that every
vector is loaded whole. The two intrinsics exist because a compiled loop has to test at run time
whether table and fields overlap, which takes longer than the eight additions that it guards.
"""

import numpy as np
from llvmlite import ir
from numba import int64, njit, types, uint64
from numba.core import cgutils
from numba.extending import intrinsic

from pm_energy.kernels.inner import inner

CACHE_LINE = 64  # bytes
VECTOR_BYTES = 256  # one tile of fields: 64 float32 or 32 float64
GROUPS = 8  # tables held at a time: 8 x 16 x 256 bytes = 32 kB, which fits the first-level cache
UNITS = 4 * GROUPS  # units that these tables cover
# Measured costs, in units of adding one table entry to one tile of fields:
TABLE_COST = 20  # making a table of four units
ROW_COST = 1.7  # adding the weights of a listed unit; they come from the second-level cache
LIST_COST = 5  # listing a unit, for all tiles together


def _vector_io(context, builder, array_type, array):
    """Return ``load(offset)`` and ``store(vector, offset)`` for tiles of a flat, aligned array."""
    pointer = context.make_array(array_type)(context, builder, array).data
    scalar = context.get_data_type(array_type.dtype)
    vector = ir.VectorType(scalar, VECTOR_BYTES * 8 // array_type.dtype.bitwidth)

    def address(offset):
        return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

    def load(offset):
        value = builder.load(address(offset))
        value.align = array_type.dtype.bitwidth // 8
        return value

    def store(value, offset):
        builder.store(value, address(offset)).align = array_type.dtype.bitwidth // 8

    return load, store, vector


@intrinsic
def _add_tiles(typingctx, fields, at, sign, table, offsets):
    """fields[at : at + tile] += sign * sum of table[o : o + tile] over the tuple ``offsets``."""

    def codegen(context, builder, signature, args):
        load_field, store_field, vector = _vector_io(context, builder, fields, args[0])
        load_table, _, _ = _vector_io(context, builder, table, args[3])
        terms = [load_table(offset) for offset in cgutils.unpack_tuple(builder, args[4])]
        while len(terms) > 1:  # a tree of additions rounds less than a chain
            terms = [builder.fadd(a, b) for a, b in zip(terms[::2], terms[1::2], strict=True)]
        signs = cgutils.get_null_value(vector)
        for lane in range(vector.count):
            signs = builder.insert_element(signs, args[2], ir.Constant(ir.IntType(32), lane))
        total = builder.fadd(load_field(args[1]), builder.fmul(signs, terms[0]))
        store_field(total, args[1])
        return context.get_dummy_value()

    return types.void(fields, at, fields.dtype, table, offsets), codegen


@intrinsic
def _tabulate_subset_sums(typingctx, table, at, weights, start, stride):
    """Entry p of the 16 from table[at] on = sum of the rows start + q * stride with bit q in p."""

    def codegen(context, builder, signature, args):
        _, store, vector = _vector_io(context, builder, table, args[0])
        load, _, _ = _vector_io(context, builder, weights, args[2])
        sums = [cgutils.get_null_value(vector)]
        row = args[3]
        for _ in range(4):
            weight = load(row)
            sums += [weight] + [builder.fadd(s, weight) for s in sums[1:]]
            row = builder.add(row, args[4])
        for p, value in enumerate(sums):
            store(value, builder.add(args[1], ir.Constant(args[1].type, p * vector.count)))
        return context.get_dummy_value()

    return types.void(table, at, weights, start, stride), codegen


@njit(cache=True)
def aligned_zeros(size, like):
    """Return a flat array of zeros in the dtype of ``like``, starting on a cache line."""
    raw = np.zeros(size + CACHE_LINE // like.itemsize, like.dtype)
    start = (-raw.ctypes.data % CACHE_LINE) // like.itemsize
    return raw[start : start + size]


@njit(cache=True)
def tile_weights(flat, n, m, row_stride, column_stride):
    """Cut a weight matrix (n, m) into column tiles: flat (tiles of m, padded n, tile), zeros added.

    A tile lies in one piece, so its rows do not compete for the same cache sets. With the strides
    exchanged, the transpose is tiled.
    """
    tile = VECTOR_BYTES // flat.itemsize
    rows = -(-n // tile) * tile
    n_tiles = -(-m // tile)
    tiled = aligned_zeros(n_tiles * rows * tile, flat)
    for t in range(n_tiles):
        for i in range(n):
            to = (t * rows + i) * tile
            start = i * row_stride + t * tile * column_stride
            for j in range(min(tile, m - t * tile)):
                # unsigned: the compiler need not look for negative indices
                tiled[uint64(to + j)] = flat[uint64(start + j * column_stride)]
    return tiled


@njit(cache=True)
def add_all_units(fields, states, weights, rows, batch, n_units, tables):
    """Add ``states @ weights`` to ``fields`` by tables of subset sums.

    Parameters
    ----------
    fields : ndarray, flat (tiles of m, batch, tile)
    states : ndarray of uint8, flat (tiles of n, batch, tile)
        Zeros and ones.
    weights : ndarray, flat (tiles of m, rows, tile)
        From :func:`tile_weights`.
    n_units : int
        n; the padding beyond it is skipped.
    tables : ndarray, flat (GROUPS, 16, tile)
        Work space.
    """
    tile = VECTOR_BYTES // fields.itemsize
    entries = 16 * tile
    # Four bytes, each 0 or 1, become the four bits of a table index (little-endian).
    words = states.view(np.uint32)
    index = np.empty(words.size, np.uint8)
    for k in range(uint64(words.size)):
        index[k] = (words[k] * np.uint32(0x01020408)) >> np.uint32(24) & np.uint32(15)
    one = fields.dtype.type(1.0)
    for t in range(weights.size // (rows * tile)):
        for first in range(0, n_units, UNITS):
            start = (t * rows + first) * tile
            for g in range(GROUPS):
                _tabulate_subset_sums(tables, g * entries, weights, start + 4 * g * tile, tile)
            at = (first // tile) * batch * (tile // 4) + first % tile // 4
            for b in range(batch):
                k = at + b * (tile // 4)
                offsets = (
                    int64(index[k]) * tile,
                    int64(index[k + 1]) * tile + entries,
                    int64(index[k + 2]) * tile + 2 * entries,
                    int64(index[k + 3]) * tile + 3 * entries,
                    int64(index[k + 4]) * tile + 4 * entries,
                    int64(index[k + 5]) * tile + 5 * entries,
                    int64(index[k + 6]) * tile + 6 * entries,
                    int64(index[k + 7]) * tile + 7 * entries,
                )
                _add_tiles(fields, (t * batch + b) * tile, one, tables, offsets)


@inner(cache=True)
def lists_pay(n_listed, n_units, n_fields, batch, tile):
    """Whether :func:`add_listed_units` is expected to be the faster one."""
    n_tiles = -(-n_fields // tile)
    return n_listed * (ROW_COST + LIST_COST / n_tiles) < n_units / 4 * (batch + TABLE_COST)


@njit(cache=True)
def add_listed_units(fields, states, listed, weights, rows, batch):
    """Add the weights of the ``listed`` units to ``fields``: plus where the state is 1, else minus.

    With ``listed`` the flips since the fields were right, this brings them up to date; with
    ``listed = states`` and fresh fields, it is the full product.
    """
    tile = VECTOR_BYTES // fields.itemsize
    # Units that are on fill a row of the list from the left, units that are off from the right.
    lists = np.empty((batch, rows), np.int32)
    n_on = np.zeros(batch, np.int64)
    n_off = np.zeros(batch, np.int64)
    eights = listed.view(np.uint64)
    for t in range(rows // tile):
        for b in range(batch):
            on, off = n_on[b], n_off[b]
            for e in range((t * batch + b) * (tile // 8), (t * batch + b + 1) * (tile // 8)):
                if eights[e] != 0:
                    for k in range(8 * e, 8 * e + 8):  # no branch here: it would be a coin toss
                        unit = t * tile + k - (t * batch + b) * tile
                        up = listed[k] & states[k]
                        lists[b, on] = unit
                        lists[b, rows - 1 - off] = unit
                        on += up
                        off += listed[k] - up
            n_on[b], n_off[b] = on, off
    one = fields.dtype.type(1.0)
    for t in range(weights.size // (rows * tile)):
        for b in range(batch):
            at = (t * batch + b) * tile
            _add_rows(fields, at, one, weights, t * rows, lists[b, : n_on[b]])
            _add_rows(fields, at, -one, weights, t * rows, lists[b, rows - n_off[b] :])


@njit(inline="always")
def _add_rows(fields, at, sign, weights, first, units):
    tile = VECTOR_BYTES // fields.itemsize
    eights = units.size - units.size % 8
    for i in range(0, eights, 8):
        offsets = (
            (first + units[i]) * tile,
            (first + units[i + 1]) * tile,
            (first + units[i + 2]) * tile,
            (first + units[i + 3]) * tile,
            (first + units[i + 4]) * tile,
            (first + units[i + 5]) * tile,
            (first + units[i + 6]) * tile,
            (first + units[i + 7]) * tile,
        )
        _add_tiles(fields, at, sign, weights, offsets)
    for i in range(eights, units.size):
        _add_tiles(fields, at, sign, weights, ((first + units[i]) * tile,))
