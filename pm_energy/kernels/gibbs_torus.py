"""Single-spin heat-bath sweeps of the square lattice on a torus, equal field and coupling: SIMD.

The spins of one colour of the checkerboard, in every other row, form a *quarter*: an array in which
all neighbours of a spin lie at the same place, or one to the side, of two other quarters. A quarter
is thus updated in one straight pass, 32 spins an instruction with AVX-512.

A neighbourhood matters only by its number of up-spins, 0 to 4, which leaves five probabilities.
Each is compared with 16 random bits; on a tie, once in 65,536 draws, 64 more bits decide. So the
probabilities are those of a 64-bit uniform number, although most draws look at 16 bits.
"""

import numpy as np
from numba import njit, uint8, uint16, uint64

from pm_energy.kernels.inner import inner
from pm_energy.kernels.random import next_word

LANES = 32  # random streams side by side: with fewer, each waits for its last word to be stored
MAX_COLUMNS = 2**16  # the flips of one chunk of rows are counted in 16 bits

# Sites drawn in one go: enough to drown the loop's start, few enough that a tie, which costs a
# second look at them all, is rare.
_CHUNK = 1024


@njit(cache=True, error_model="numpy")
def torus_loop(lanes, spins, n_rows, n_columns, bias, coupling, n_sweeps):
    """Sweep over an ``n_rows`` x ``n_columns`` torus, in place; also for use in other jitted loops.

    Parameters
    ----------
    lanes : ndarray of uint64, shape (4, LANES)
        States of the random streams, from ``seed_words(rng, LANES)``; advanced.
    spins : ndarray of int8, shape (n_rows * n_columns,)
        Values -1 and +1; overwritten.
    n_rows, n_columns : int
        Even, at least 4; at most ``MAX_COLUMNS`` columns.
    bias, coupling : float
        The log-odds of +1 are ``bias + coupling * (sum of the four neighbours)``.
    n_sweeps : int

    Returns
    -------
    flips : int
    """
    half = n_columns // 2
    size = n_rows // 2 * half
    chunk = min(max(1, _CHUNK // half) * half, size)
    coarse, fine = _thresholds(bias, coupling)
    quarters = _split(spins, n_rows, n_columns)
    random64 = np.empty(-(-chunk // (4 * LANES)) * LANES, np.uint64)
    random16 = random64.view(np.uint16)
    side, new = np.empty(chunk, np.uint8), np.empty(chunk, np.uint8)
    flips = 0
    for _ in range(n_sweeps):
        for color in range(2):
            for parity in range(2):
                old = quarters[color, parity]
                same_row, other_rows = quarters[1 - color, parity], quarters[1 - color, 1 - parity]
                for start in range(half, half + size, chunk):
                    at, n = uint64(start), uint64(min(chunk, half + size - start))
                    above = at - uint64(0 if parity else half)
                    _shift(side, same_row, at, n, half, (color + parity) % 2)
                    fill_words(lanes, random64)
                    if _draw(new, random16, side, same_row, other_rows, at, above, n, half, coarse):
                        _break_ties(
                            new, random16, side, same_row, other_rows, at, above, n, half,
                            coarse, fine, lanes,
                        )  # fmt: skip
                    flips += _commit(old, new, at, n)
                _close(old, half, size, parity)
    _join(spins, quarters, n_rows, n_columns)
    return flips


@njit(cache=True)
def _thresholds(bias, coupling):
    """Probabilities of +1 given 0..4 neighbours up, times 2^64: top 16 bits, other bits."""
    top, rest = np.empty(5, np.uint16), np.empty(5, np.uint64)
    for up in range(5):
        p = np.exp(-np.logaddexp(0.0, -(bias + coupling * (2 * up - 4))))
        whole = uint64(p * 2.0**64) if p < 1.0 else ~uint64(0)
        top[up], rest[up] = uint16(whole >> uint64(48)), whole << uint64(16)
    return (top[0], top[1], top[2], top[3], top[4]), (rest[0], rest[1], rest[2], rest[3], rest[4])


@njit(cache=True)
def _split(spins, n_rows, n_columns):
    """Spins as 0 and 1 in quarters [colour, parity of the row], a spare row at either end.

    A site is at column ``2 k + (row + colour) % 2`` and at place k of its row in the quarter.
    """
    half, grid = n_columns // 2, spins.reshape(n_rows, n_columns)
    size = n_rows // 2 * half
    quarters = np.empty((2, 2, size + 2 * half), np.uint8)
    for color in range(2):
        for parity in range(2):
            quarter = quarters[color, parity]
            for r in range(n_rows // 2):
                line = grid[2 * r + parity, (color + parity) % 2 :: 2]
                place = quarter[(r + 1) * half : (r + 2) * half]
                for k in range(half):
                    place[k] = uint8((line[k] + 1) >> 1)
            _close(quarter, half, size, parity)
    return quarters


@inner(cache=True)
def _join(spins, quarters, n_rows, n_columns):
    half, grid = n_columns // 2, spins.reshape(n_rows, n_columns)
    for color in range(2):
        for parity in range(2):
            for r in range(n_rows // 2):
                line = grid[2 * r + parity, (color + parity) % 2 :: 2]
                place = quarters[color, parity, (r + 1) * half : (r + 2) * half]
                for k in range(half):
                    line[k] = 2 * place[k] - 1


@inner(cache=True)
def _close(quarter, half, size, parity):
    """Copy the row that the other quarter needs beyond the edge of the torus to the spare place.

    Odd rows lie above even ones, so that the last of them is needed above the first row.
    """
    source = quarter[size : size + half] if parity else quarter[half : 2 * half]
    target = quarter[:half] if parity else quarter[size + half :]
    for k in range(half):
        target[k] = source[k]


# Positions are unsigned, for a signed one is tested for Python's counting from the end, and arrays
# are passed whole, for each slice costs a count of its references.


@inner(forceinline=True)
def _shift(side, same_row, at, n, half, offset):
    """The other neighbour in the row: one place to the left, or to the right, around each row."""
    if offset:
        for k in range(n - uint64(1)):
            side[k] = same_row[at + k + uint64(1)]
        for k in range(uint64(0), n, uint64(half)):
            side[k + uint64(half - 1)] = same_row[at + k]
    else:
        for k in range(uint64(1), n):
            side[k] = same_row[at + k - uint64(1)]
        for k in range(uint64(0), n, uint64(half)):
            side[k] = same_row[at + k + uint64(half - 1)]


@njit(forceinline=True)
def fill_words(lanes, out):
    """Fill ``out``, a multiple of ``LANES`` long, with random words, good in all 64 bits."""
    for start in range(uint64(0), uint64(out.size), uint64(LANES)):
        for k in range(uint64(LANES)):
            word, s0, s1, s2, s3 = next_word(lanes[0, k], lanes[1, k], lanes[2, k], lanes[3, k])
            lanes[0, k], lanes[1, k], lanes[2, k], lanes[3, k] = s0, s1, s2, s3
            out[start + k] = word ^ (word >> uint64(32))  # the lowest bits of xoshiro256+ are weak


@njit(forceinline=True)
def _draw(new, random16, side, same_row, other_rows, at, above, n, half, coarse):
    """Draw all spins by 16 bits each; return whether any draw was a tie."""
    p0, p1, p2, p3, p4 = coarse
    below = above + uint64(half)
    tie = uint16(0)
    for k in range(n):
        up = uint8(
            uint8(side[k] + same_row[at + k]) + uint8(other_rows[above + k] + other_rows[below + k])
        )
        # A chain of selections: a table look-up would not become SIMD.
        p = p0 if up == 0 else (p1 if up == 1 else (p2 if up == 2 else (p3 if up == 3 else p4)))
        new[k] = uint8(random16[k] < p)
        tie = uint16(tie | uint16(random16[k] == p))
    return tie != 0


@njit(cache=True)
def _break_ties(new, random16, side, same_row, other_rows, at, above, n, half, coarse, fine, lanes):
    """Decide the draws that equal their threshold by 64 more bits, from the first lane."""
    s0, s1, s2, s3 = lanes[:, 0]
    below = above + uint64(half)
    for k in range(n):
        up = side[k] + same_row[at + k] + other_rows[above + k] + other_rows[below + k]
        if random16[k] == coarse[up]:
            word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
            new[k] = uint8(word < fine[up])
    lanes[0, 0], lanes[1, 0], lanes[2, 0], lanes[3, 0] = s0, s1, s2, s3


@inner(forceinline=True)
def _commit(old, new, at, n):
    """Write the new spins; return how many flipped."""
    flips = uint16(0)
    for k in range(n):
        flips = uint16(flips + uint16(old[at + k] ^ new[k]))
        old[at + k] = new[k]
    return np.int64(flips)
