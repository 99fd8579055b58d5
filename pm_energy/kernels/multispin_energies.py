"""Energies of 512 replicas at once: bonds counted in binary, one digit of the count to a vector.

Sixteen bonds are first summed by full adders, which turn three bits into two and need no carry to
run through; only their sum, once in sixteen bonds, is added to the counters in memory. In the end
the digits are transposed into numbers.
"""

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.inner import inner
from pm_energy.kernels.lanes_vector import load, splat, store
from pm_energy.kernels.multispin_graph import BONDS_AT_ONCE, place_graph
from pm_energy.kernels.multispin_words import COLUMN, WORD, check_words, n_columns, to_rows

_DIGITS = 32
_HALVES = np.array([0x0000FFFF, 0x00FF00FF, 0x0F0F0F0F, 0x33333333, 0x55555555], np.uint64)
_HALVES |= _HALVES << np.uint64(32)


def multispin_energies(words, graph):
    r"""Sum the bonds of each replica, :math:`\sum_{ij} \sigma_{ij} s_i s_j`: minus its energy.

    Parameters
    ----------
    words : ndarray of uint64, shape (n, n_words)
        From :func:`pm_energy.kernels.multispin_words.pack_spins`.
    graph : MultispinGraph

    Returns
    -------
    bond_sums : ndarray of int64, shape (64 * n_words,)
        Times the strength of a bond, minus the energy of each replica.

    Raises
    ------
    ValueError
        If ``words`` has another type or shape.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.kernels.multispin_graph import multispin_graph
    >>> pair = multispin_graph(np.array([0, 1, 2]), np.array([1, 0]), np.array([1, 1]))
    >>> multispin_energies(np.array([[0], [5]], dtype=np.uint64), pair)[:4]
    array([-1,  1, -1,  1])
    """
    check_words(words, graph.n)
    n_words = words.shape[1]
    unsatisfied, rows = count_space(n_words), to_rows(words)
    count_unsatisfied(unsatisfied, rows, place_graph(graph, rows))
    return graph.n_bonds - 2 * unsatisfied[:n_words].ravel().astype(np.int64)


def count_space(n_words):
    """Room for the counts of :func:`count_unsatisfied`: int32, shape (8 * n_columns, 64)."""
    return np.empty((COLUMN * n_columns(n_words), WORD), np.int32)


@njit(cache=True)
def count_unsatisfied(counts, rows, graph):
    """Count the bonds with ``sign * s_i * s_j == -1`` in each replica.

    Parameters
    ----------
    counts : ndarray of int32, shape (8 * n_columns, 64)
        By word and bit; overwritten.
    rows : ndarray of uint64, shape (n, stride)
        From :func:`pm_energy.kernels.multispin_words.to_rows`.
    graph : MultispinGraph
        From :func:`pm_energy.kernels.multispin_graph.place_graph`; less than 2^31 bonds.
    """
    digits = np.zeros(_DIGITS * COLUMN, np.uint64)
    for column in range(counts.shape[0] // COLUMN):
        _count_column(digits, rows.reshape(-1), graph, column)
        _transpose(digits)
        for k in range(_DIGITS):
            for w in range(COLUMN):
                pair = digits[k * COLUMN + w]
                counts[column * COLUMN + w, k] = np.int32(pair & uint64(0xFFFFFFFF))
                counts[column * COLUMN + w, 32 + k] = np.int32(pair >> uint64(32))


@inner(forceinline=True)
def _add(x, y, z):
    """Full adder: the digit and the carry of x + y + z."""
    return x ^ y ^ z, (x & y) | (z & (x | y))


@inner(forceinline=True)
def _bond(words, at, graph, k):
    left = load(words, graph.left[k] + at)
    return left ^ load(words, graph.right[k] + at) ^ graph.bond_flips[k]


@inner(forceinline=True)
def _two(words, at, graph, k, ones):
    """Add two bonds to the ones; return the new ones and a carry of weight 2."""
    return _add(ones, _bond(words, at, graph, k), _bond(words, at, graph, k + 1))


@inner(forceinline=True)
def _four(words, at, graph, k, ones, twos):
    ones, carry = _two(words, at, graph, k, ones)
    ones, carry2 = _two(words, at, graph, k + uint64(2), ones)
    twos, fours = _add(twos, carry, carry2)
    return ones, twos, fours


@inner(forceinline=True)
def _eight(words, at, graph, k, ones, twos, fours):
    ones, twos, carry = _four(words, at, graph, k, ones, twos)
    ones, twos, carry2 = _four(words, at, graph, k + uint64(4), ones, twos)
    fours, eights = _add(fours, carry, carry2)
    return ones, twos, fours, eights


@inner(cache=True)
def _count_column(digits, words, graph, column):
    """Set ``digits``, shape (32 * 8,), to the binary digits of the counts of one vector."""
    at = uint64(column * COLUMN)
    ones = twos = fours = eights = splat(uint64(0))
    digits[:] = 0
    n_digits = 5
    while (graph.left.size >> n_digits) > 0:
        n_digits += 1
    for k in range(uint64(0), uint64(graph.left.size), uint64(BONDS_AT_ONCE)):
        ones, twos, fours, carry = _eight(words, at, graph, k, ones, twos, fours)
        ones, twos, fours, carry2 = _eight(words, at, graph, k + uint64(8), ones, twos, fours)
        eights, carry = _add(eights, carry, carry2)
        for place in range(uint64(4 * COLUMN), uint64(n_digits * COLUMN), uint64(COLUMN)):
            digit = load(digits, place)
            store(digits, place, digit ^ carry)
            carry = digit & carry
    store(digits, uint64(0), ones)
    store(digits, uint64(COLUMN), twos)
    store(digits, uint64(2 * COLUMN), fours)
    store(digits, uint64(3 * COLUMN), eights)


@inner(cache=True)
def _transpose(digits):
    """Turn 32 digits of 64 numbers a word into 32 pairs of numbers: k, and k + 32 above it.

    Blocks of 16, 8, 4, 2, 1 digits change places across the diagonal (Warren, Hacker's Delight,
    section 7-3), in both halves of all words at once.
    """
    shift = uint64(16)
    for half in _HALVES:
        for k in range(uint64(_DIGITS)):
            if not k & shift:
                low, high = k * uint64(COLUMN), (k | shift) * uint64(COLUMN)
                a, b = load(digits, low), load(digits, high)
                change = ((a >> shift) ^ b) & half
                store(digits, high, b ^ change)
                store(digits, low, a ^ (change << shift))
        shift >>= uint64(1)
