"""Single-spin heat-bath sweeps of a hypercubic lattice, neighbours by index arithmetic.

No table of neighbours is kept. A sweep goes row by row (along the last axis): neighbours in other
rows stay put while a row is updated, so that they are summed for the whole row at once; in the row,
every other site is updated, then the rest. Three loops do it:

* :mod:`pm_energy.kernels.gibbs_torus`, .25 ns a spin: tori of even sides with one field for all;
* :mod:`pm_energy.kernels.gibbs_rows`, .5 to 1 ns: long rows, some sweeps in one go;
* :func:`lattice_loop` below, 2 to 3 ns: the rest.
"""

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.axes import lattice_axes
from pm_energy.kernels.gibbs_rows import (
    MAX_AXES,
    MAX_COUPLING,
    MIN_WIDTH,
    advance,
    find_rows_beside,
    rows_loop,
)
from pm_energy.kernels.gibbs_torus import LANES, MAX_COLUMNS, torus_loop
from pm_energy.kernels.heat_bath import check_spins, turns_up
from pm_energy.kernels.inner import inner
from pm_energy.kernels.random import next_word, seed_words

_REPAYS_PACKING = 3  # sweeps


def lattice_sweeps(rng, spins, shape, periodic, bias, coupling, n_sweeps=1):
    """Resample every spin of a lattice ``n_sweeps`` times, in place, given its neighbours.

    Parameters
    ----------
    rng : numpy.random.Generator
    spins : ndarray of int8, shape (n,)
        Values -1 and +1, sites in C order of ``shape``; overwritten.
    shape : tuple of int
        Lengths of the axes, any number of them.
    periodic : bool or sequence of bool
        Whether each axis closes on itself. An axis of length 1 or 2 is the same either way, because
        a pair of sites has one bond.
    bias : float or ndarray, shape (n,)
        Log-odds of +1, neighbours left out (dimensionless); may be infinite. One number is faster.
    coupling : float
        Change of a spin's log-odds per unit of a neighbour.
    n_sweeps : int

    Returns
    -------
    flips : int
        How many spins changed sign, counted in each sweep.

    Raises
    ------
    ValueError
        If an argument has another type or shape, or is no number.

    Examples
    --------
    >>> import numpy as np
    >>> spins = np.full(4096, -1, dtype=np.int8)
    >>> rng = np.random.default_rng(0)
    >>> lattice_sweeps(rng, spins, (64, 64), True, bias=50.0, coupling=0.5)  # a strong field
    4096
    >>> spins.sum()
    np.int64(4096)
    """
    check_spins(spins)
    lengths, _, wraps = lattice_axes(shape, periodic, spins.size)
    bias = np.array(bias, dtype=np.float64, ndmin=1)
    if bias.shape not in ((1,), spins.shape) or np.isnan(bias.min()):
        raise ValueError(f"bias must be a number or {spins.size} of them, and not NaN")
    coupling = float(coupling)
    if not np.isfinite(coupling):
        raise ValueError(f"coupling must be finite, got {coupling}")
    if bias.size == 1 and _is_even_torus(lengths, wraps):
        return torus_loop(seed_words(rng, LANES), spins, *lengths, bias[0], coupling, n_sweeps)
    if n_sweeps >= _REPAYS_PACKING and _has_long_rows(lengths, coupling):
        with np.errstate(over="ignore"):
            odds = np.exp(np.negative(bias, out=bias), out=bias)
        return rows_loop(seed_words(rng, LANES), spins, lengths, wraps, odds, coupling, n_sweeps)
    return lattice_loop(seed_words(rng), spins, lengths, wraps, bias, coupling, n_sweeps)


def _is_even_torus(lengths, wraps):
    if len(lengths) != 2:
        return False
    rows, columns = lengths.tolist()  # ten times as fast as asking the arrays
    return rows % 2 == columns % 2 == 0 and columns <= MAX_COLUMNS and wraps[0] and wraps[1]


def _has_long_rows(lengths, coupling):
    return len(lengths) <= MAX_AXES and lengths[-1] >= MIN_WIDTH and abs(coupling) <= MAX_COUPLING


@njit(cache=True, error_model="numpy")
def lattice_loop(words, spins, lengths, wraps, bias, coupling, n_sweeps):
    """Sweep over any lattice, in place; also for use in other jitted loops.

    Parameters
    ----------
    words : ndarray of uint64, shape (4,)
        State of the random stream, from :func:`pm_energy.kernels.random.seed_words`; advanced.
    spins, coupling, n_sweeps
        As for :func:`lattice_sweeps`.
    lengths, wraps : ndarray of int64 and of bool, shape (n_axes,)
        The axes; those that wrap have at least 3 sites.
    bias : ndarray of float64, shape (n,) or (1,)

    Returns
    -------
    flips : int
    """
    s0, s1, s2, s3 = words
    width, closed = lengths[-1], wraps[-1]
    # In a ring of odd length the last site is a neighbour of the first: it comes after all others.
    alternating = width - (width % 2 if closed else 0)
    per_site = uint64(bias.size > 1)
    n_rows = spins.size // width
    at = np.zeros(lengths.size - 1, np.int64)
    beside = np.empty(2 * at.size, np.int64)
    outside = np.empty(width, np.int8)  # sums of neighbours in other rows
    row = np.zeros(width + 2, np.int8)  # an end beyond the lattice counts as 0
    flips = 0
    # Positions are unsigned, for a signed one is tested for Python's counting from the end, and
    # arrays are not sliced, for each slice costs a count of its references.
    for _ in range(n_sweeps):
        for number in range(n_rows):
            find_rows_beside(beside, number, at, lengths, wraps, n_rows)
            advance(at, lengths)
            _sum_rows(outside, spins, beside, n_rows)
            start = uint64(number * width)
            for k in range(uint64(width)):
                row[k + uint64(1)] = spins[start + k]
            for group in range(3):
                first, stop = (group, alternating) if group < 2 else (alternating, width)
                if closed:
                    row[0], row[width + 1] = row[width], row[1]
                for k in range(uint64(first), uint64(stop), uint64(2)):
                    neighbors = row[k] + row[k + uint64(2)] + outside[k]
                    log_odds = bias[(start + k) * per_site] + coupling * neighbors
                    word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
                    new = np.int8(2 * np.int8(turns_up(word, log_odds)) - 1)
                    flips += new != row[k + uint64(1)]
                    row[k + uint64(1)] = new
            for k in range(uint64(width)):
                spins[start + k] = row[k + uint64(1)]
    words[0], words[1], words[2], words[3] = s0, s1, s2, s3
    return flips


@inner(forceinline=True)
def _sum_rows(total, spins, rows, absent):
    width = uint64(total.size)
    for k in range(width):
        total[k] = 0
    for row in rows:
        if row != absent:
            start = uint64(row) * width
            for k in range(width):
                total[k] += spins[start + k]
