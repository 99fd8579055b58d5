"""Swendsen-Wang updates of hypercubic lattices: neighbours by index arithmetic, rows by SIMD.

What is drawn, and why it keeps the target, is explained in :mod:`pm_energy.kernels.cluster`.
"""

import numpy as np
from numba import njit, uint8, uint32, uint64

from pm_energy.kernels.axes import lattice_axes
from pm_energy.kernels.cluster import bond_thresholds, spread_colours, uniform_colours, unite
from pm_energy.kernels.inner import inner
from pm_energy.kernels.potts import check_states
from pm_energy.kernels.random import LANES, fill_words, seed_words


def swendsen_wang_lattice(rng, states, shape, periodic, coupling, q=2, n_sweeps=1):
    """Do Swendsen-Wang on a hyper-cubic lattice with one coupling and no site weights.

    Neighbours come from index arithmetic; a row along the last axis is labelled in one pass.

    Parameters
    ----------
    rng : numpy.random.Generator
    states : ndarray of int8 or int16, shape (n,)
        Values 0..q-1, sites in C order of ``shape``; overwritten.
    shape : tuple of int
        Lengths of the axes, any number of them.
    periodic : bool or sequence of bool
        Whether each axis closes on itself. An axis of length 1 or 2 is the same either way,
        because a pair of sites has one bond.
    coupling : float
        Log-weight gained by each pair of equal neighbours, finite and >= 0.
    q, n_sweeps
        As for :func:`~pm_energy.kernels.cluster.swendsen_wang`.

    Returns
    -------
    changes : int

    Raises
    ------
    ValueError
        If ``coupling`` is negative or a shape does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> states = np.zeros(12, np.int8)
    >>> changes = swendsen_wang_lattice(np.random.default_rng(0), states, (3, 4), True, 30.0, q=5)
    >>> np.unique(states).size
    1
    """
    lengths, strides, wraps = lattice_axes(shape, periodic, states.size)
    check_states(states, q)
    threshold = bond_thresholds(float(coupling), 0)[0]
    words = seed_words(rng, LANES)
    return _swendsen_wang_lattice(words, states, lengths, strides, wraps, threshold, q, n_sweeps)


@inner(forceinline=True, error_model="numpy")
def _join_rows(words, buffer, states, parent, right, bond, opened, threshold, above, below, across):
    """Draw the bonds between two rows, given by their first sites, and join what they connect."""
    fill_words(words, buffer)
    draws = buffer.view(np.uint32)
    for x in range(across):
        equal = states[uint64(above + x)] == states[uint64(below + x)]
        bond[x] = uint8(equal) & uint8(draws[x] < threshold)
    n_open = 0
    for x in range(across):
        opened[n_open] = x
        # The other three sides of a square join its corners already: nothing to do for this one.
        closes = x > 0 and (
            bond[x - 1] & right[uint64(above + x - 1)] & right[uint64(below + x - 1)]
        )
        n_open += bond[x] & uint8(not closes)
    for k in range(n_open):
        unite(parent, uint32(above + opened[k]), uint32(below + opened[k]))


@njit(cache=True, error_model="numpy")
def _swendsen_wang_lattice(words, states, lengths, strides, wraps, threshold, q, n_sweeps):
    n, last = states.size, lengths.size - 1
    across = lengths[last]
    parent = np.empty(n, np.uint32)
    colour = np.empty_like(states)
    right = np.empty(n, np.uint8)  # whether the bond to the next site of the row is open
    bond = np.empty(across, np.uint8)
    opened = np.empty(across + 1, np.int64)
    buffer = np.empty(-(-across // (2 * LANES)) * LANES, np.uint64)
    draws = buffer.view(np.uint32)
    changes = 0
    for _ in range(n_sweeps):
        for start in range(0, n, across):
            fill_words(words, buffer)
            for x in range(across - 1):
                i = uint64(start + x)
                equal = states[i] == states[i + uint64(1)]
                right[i] = uint8(equal) & uint8(draws[x] < threshold)
            end = start + across - 1
            equal = states[end] == states[start]
            right[end] = wraps[last] and equal and draws[across - 1] < threshold
            run = uint32(start)
            parent[start] = run
            for x in range(1, across):
                i = uint64(start + x)
                run = run if right[i - uint64(1)] else uint32(i)
                parent[i] = run
            if right[end]:
                unite(parent, uint32(start), uint32(end))
            for a in range(last):  # the rows before this one that it touches, across a wrap or not
                at = start // strides[a] % lengths[a]
                for back, touches in ((1, at > 0), (at, wraps[a] and at == lengths[a] - 1)):
                    if touches:
                        above = start - back * strides[a]
                        _join_rows(
                            words, buffer, states, parent, right, bond, opened, threshold, above,
                            start, across,
                        )  # fmt: skip
        uniform_colours(words, buffer, colour, q)
        changes += spread_colours(states, parent, colour)
    return changes
