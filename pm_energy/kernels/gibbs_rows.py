"""Single-spin heat-bath sweeps of a lattice of long rows, any field: SIMD along the rows.

The spins of a row are stored as 0 and 2, first those in even columns, then those in odd ones. The
neighbours of an even column are then at the same place of other rows and at two adjacent places
among the odd columns, and vice versa. Beyond the lattice lies a 1, midway between down and up.

If h is the sum of the six neighbours, absent ones included, the odds of -1 are ``exp(-bias)`` times
``exp(coupling * (6 - h))``. The first factor is computed once a call; the second is a product of
four, chosen by the bits of h. No exponential is left in the sweep, and no approximation.
"""

import numpy as np
from numba import njit, uint8, uint64

from pm_energy.kernels.gibbs_torus import LANES, fill_words
from pm_energy.kernels.inner import inner
from pm_energy.kernels.random import to_unit

MIN_WIDTH = 48  # below it, most of a block would be padding, and going site by site is faster
MAX_AXES = 3
# Up to this |coupling|, the odds overflow or vanish only where the rarer spin has a probability
# below e^-100 whatever its neighbours are.
MAX_COUPLING = 50.0
_ABSENT = 1


@njit(cache=True, error_model="numpy")
def rows_loop(lanes, spins, lengths, wraps, odds, coupling, n_sweeps):
    """Sweep over a lattice, in place; also for use in other jitted loops.

    Parameters
    ----------
    lanes : ndarray of uint64, shape (4, LANES)
        States of the random streams, from ``seed_words(rng, LANES)``; advanced.
    spins : ndarray of int8, shape (n,)
        Values -1 and +1, sites in C order; overwritten.
    lengths, wraps : ndarray of int64 and of bool, shape (n_axes,)
        At most ``MAX_AXES`` axes; those that wrap have at least 3 sites.
    odds : ndarray of float64, shape (n,) or (1,)
        ``exp(-bias)``, the odds of -1 with the neighbours left out; 0 and infinity are allowed.
    coupling : float
        At most ``MAX_COUPLING`` in size.
    n_sweeps : int

    Returns
    -------
    flips : int
    """
    width, closed = lengths[-1], wraps[-1]
    n_even, n_odd = uint64((width + 1) // 2), uint64(width // 2)
    even_block, odd_block = _whole_blocks(n_even), _whole_blocks(n_odd)
    left_end = max(even_block, n_even + uint64(1))  # what lies left of the first odd column
    first_odd, last_even = left_end + uint64(1), n_even - uint64(1)
    right_end = first_odd + n_odd  # what lies right of the last even column, if that is the last
    stride = first_odd + max(odd_block, n_odd + uint64(1))
    has_tail = closed and n_even > n_odd  # the last of an odd ring adjoins the first: it goes alone
    packed = _pack(spins, width, first_odd, stride)
    weights = _pack_odds(odds, width, even_block, odd_block, has_tail, np.exp(6.0 * coupling))
    by_sum = np.exp(-coupling * np.arange(13.0))
    factors = by_sum[1], by_sum[2], by_sum[4], by_sum[8]
    words = np.empty(even_block + odd_block, np.uint64)
    n_rows = spins.size // width
    weights_stride = weights.size // n_rows if odds.size > 1 else 0
    beside = np.full(4, n_rows)  # the row after the last is one of absent spins
    at = np.zeros(lengths.size - 1, np.int64)
    flips = 0
    for _ in range(n_sweeps):
        for row in range(n_rows):
            find_rows_beside(beside, row, at, lengths, wraps, n_rows)
            advance(at, lengths)
            fill_words(lanes, words)
            start, weight = uint64(row) * stride, uint64(row * weights_stride)
            rows = (
                uint64(beside[0]) * stride, uint64(beside[1]) * stride,
                uint64(beside[2]) * stride, uint64(beside[3]) * stride,
            )  # fmt: skip
            # Places of the padding that hold an end of the row are drawn with the others: they must
            # be 0 (their weight is infinite) while that happens, and hold the end when it is read.
            tail = packed[start + last_even]
            last = tail if n_even > n_odd else packed[start + right_end - uint64(1)]
            packed[start + left_end] = last if closed else _ABSENT
            packed[start + right_end] = _ABSENT
            packed[start + n_even] = 0
            if has_tail:
                packed[start + last_even] = 0
            flips += _draw(
                packed, start, start + left_end, rows, uint64(0), weights, weight,
                words, uint64(0), even_block, factors,
            )  # fmt: skip
            if has_tail:
                packed[start + last_even] = tail
            packed[start + n_even] = packed[start] if closed else _ABSENT
            packed[start + right_end] = 0
            flips += _draw(
                packed, start + first_odd, start, rows, first_odd, weights, weight + even_block,
                words, even_block, odd_block, factors,
            )  # fmt: skip
            if has_tail:
                h = packed[start] + packed[start + right_end - uint64(1)]
                for beginning in rows:
                    h += packed[beginning + last_even]
                odds_down = weights[weight + even_block + odd_block] * by_sum[h]
                new = uint8(2 * uint8(to_unit(words[last_even]) * (1.0 + odds_down) < 1.0))
                flips += tail != new
                packed[start + last_even] = new
    _unpack(spins, packed, width, first_odd, stride)
    return flips


@njit(forceinline=True, error_model="numpy")
def _draw(packed, site, beside, rows, column, weights, weight, words, word, n, factors):
    """Draw ``n`` consecutive places, no neighbours of each other; return how many flipped."""
    a, b, c, d = rows[0] + column, rows[1] + column, rows[2] + column, rows[3] + column
    f1, f2, f4, f8 = factors
    flips = 0
    for k in range(n):
        h = uint8(uint8(packed[a + k] + packed[b + k]) + uint8(packed[c + k] + packed[d + k]))
        h = uint8(h + uint8(packed[beside + k] + packed[beside + k + uint64(1)]))
        odds = weights[weight + k]
        odds *= f1 if h & 1 else 1.0
        odds *= f2 if h & 2 else 1.0
        odds *= f4 if h & 4 else 1.0
        odds *= f8 if h & 8 else 1.0
        new = uint8(2 * uint8(to_unit(words[word + k]) * (1.0 + odds) < 1.0))
        flips += packed[site + k] != new
        packed[site + k] = new
    return flips


@inner(forceinline=True)
def _whole_blocks(n):
    """Round up: what is left over by SIMD would be drawn one by one, at five times the cost."""
    return uint64((n + uint64(LANES - 1)) // uint64(LANES) * uint64(LANES))


@inner(forceinline=True)
def find_rows_beside(beside, row, at, lengths, wraps, absent):
    """Write the numbers of the rows next to ``row`` along all axes but the last.

    ``at`` is the place of the row along these axes; where there is no row, ``absent`` is written.
    """
    step = 1
    for axis in range(at.size - 1, -1, -1):
        around = (lengths[axis] - 1) * step
        edge = absent if not wraps[axis] else row + around
        beside[2 * axis] = row - step if at[axis] > 0 else edge
        edge = absent if not wraps[axis] else row - around
        beside[2 * axis + 1] = row + step if at[axis] < lengths[axis] - 1 else edge
        step *= lengths[axis]


@njit(forceinline=True)
def advance(at, lengths):
    """Step to the next row, the last of its axes first; after the last row comes the first."""
    for axis in range(at.size - 1, -1, -1):
        at[axis] += 1
        if at[axis] < lengths[axis]:
            break
        at[axis] = 0


@njit(cache=True)
def _pack(spins, width, first_odd, stride):
    """Spins as 0 and 2, one row after another, padding as 0, and a row of absent ones."""
    n_rows = spins.size // width
    packed = np.zeros((n_rows + 1) * stride, np.uint8)
    packed[n_rows * stride :] = _ABSENT
    for row in range(n_rows):
        line, place = spins[row * width :][:width], packed[row * stride :][:stride]
        for k in range((width + 1) // 2):
            place[k] = line[2 * k] + 1
        place = place[first_odd:]
        for k in range(width // 2):
            place[k] = line[2 * k + 1] + 1
    return packed


@njit(cache=True)
def _unpack(spins, packed, width, first_odd, stride):
    for row in range(spins.size // width):
        line, place = spins[row * width :][:width], packed[row * stride :][:stride]
        for k in range((width + 1) // 2):
            line[2 * k] = np.int8(place[k]) - 1
        place = place[first_odd:]
        for k in range(width // 2):
            line[2 * k + 1] = np.int8(place[k]) - 1


@inner(cache=True)
def _pack_odds(odds, width, even_block, odd_block, has_tail, factor):
    """Odds times ``factor`` in the order of the draws: even columns, odd columns, tail."""
    n_rows = max(1, odds.size // width)
    line = np.full(width, odds[0])
    weights = np.full((n_rows, even_block + odd_block + 1), np.inf)
    for row in range(n_rows):
        if odds.size > 1:
            line = odds[row * width :][:width]
        place = weights[row]
        for k in range((width + 1) // 2):
            place[k] = line[2 * k] * factor
        if has_tail:
            place[width // 2], place[-1] = np.inf, place[width // 2]
        place = place[even_block:]
        for k in range(width // 2):
            place[k] = line[2 * k + 1] * factor
    return weights.ravel()
