"""Cluster updates of ferromagnetic Ising and Potts models: Swendsen-Wang and Wolff.

The target is ``log p(x) = sum_edges coupling [x_i == x_j] + sum_i log_weight[i, x_i] + const`` with
``coupling >= 0``; an Ising model is q = 2, spins -1, +1 as states 0, 1, ``coupling = 2 J / T``.
A bond between equal states is open with probability ``1 - exp(-coupling)``; open bonds make
clusters.

Why weights fit in. Take a cluster C in state k, and let B_k be the coupling summed over its bonds
to outer sites of state k. Growing C, these bonds must have stayed closed: probability
``f exp(-B_k)``, with f independent of k. The target is ``g exp(B_k) exp(W_k)``, with W_k the sum of
``log_weight[i, k]`` over C. In the product only ``exp(W_k)`` depends on k, so both of these keep p:

- Swendsen-Wang draws the state of each cluster with probability proportional to ``exp(W_k)``;
- Wolff offers one of the other states and accepts with probability ``min(1, exp(W_new - W_old))``.

Bond probabilities lie on a grid of 2^-32.
"""

import numpy as np
from numba import njit, uint8, uint32, uint64

from pm_energy.kernels.axes import lattice_axes
from pm_energy.kernels.potts import check_states, relative_log_weight
from pm_energy.kernels.random import LANES, fill_words, next_word, seed_words, to_unit

CHUNK = 1024  # edges whose random numbers are drawn at once


def swendsen_wang(rng, states, edges, coupling, log_weight=None, q=2, n_sweeps=1):
    """Give every cluster of a graph a new state, ``n_sweeps`` times, in place [1]_.

    Parameters
    ----------
    rng : numpy.random.Generator
    states : ndarray of int8 or int16, shape (n,)
        Values 0..q-1; overwritten. Spins -1 and +1 are states 0 and 1.
    edges : ndarray of int, shape (m, 2)
        Each bond once.
    coupling : float or ndarray, shape (m,)
        Log-weight gained by a bond whose ends agree, finite and >= 0.
    log_weight : ndarray, shape (n, q) or (q,), optional
        Log-weight of each state at each site; ``-inf`` forbids a state.
    q : int
        Number of states.
    n_sweeps : int

    Returns
    -------
    changes : int
        How often a site took a new state.

    Raises
    ------
    ValueError
        If a coupling is negative (clusters then do not exist: use ``potts_sweeps``), ``states`` has
        probability zero, or a shape does not fit.

    References
    ----------
    .. [1] Swendsen & Wang (1987), Physical Review Letters 58, 86-88.

    Examples
    --------
    >>> import numpy as np
    >>> states = np.zeros(3, np.int8)
    >>> changes = swendsen_wang(
    ...     np.random.default_rng(0), states, np.array([[0, 1], [1, 2]]), 30.0, q=3, n_sweeps=10
    ... )
    >>> bool(states[0] == states[1] == states[2])  # so strong a bond does not break
    True
    """
    edges = np.ascontiguousarray(edges)
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        raise ValueError(f"edges must be an integer array of shape (m, 2); got {edges.shape}.")
    weight = _checked_weight(states, log_weight, q)
    threshold = bond_thresholds(coupling, len(edges))
    return _swendsen_wang(seed_words(rng, LANES), states, edges, threshold, weight, q, n_sweeps)


def swendsen_wang_lattice(rng, states, shape, periodic, coupling, q=2, n_sweeps=1):
    """Do :func:`swendsen_wang` on a hyper-cubic lattice with one coupling and no site weights.

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
        As for :func:`swendsen_wang`.

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


def wolff(rng, states, indptr, indices, coupling_csr, log_weight=None, q=2, n_clusters=1):
    """Grow ``n_clusters`` clusters, one after the other, and offer each a new state, in place [1]_.

    Parameters
    ----------
    rng : numpy.random.Generator
    states : ndarray of int8 or int16, shape (n,)
        Values 0..q-1; overwritten. Spins -1 and +1 are states 0 and 1.
    indptr, indices : ndarray of int, shapes (n + 1,) and (2m,)
        The graph in CSR form, each edge in both directions.
    coupling_csr : float or ndarray, shape (2m,)
        Log-weight gained by a bond whose ends agree, finite and >= 0.
    log_weight, q
        As for :func:`swendsen_wang`. Without weights every offer is accepted.
    n_clusters : int

    Returns
    -------
    changes : int
        Sum of the sizes of the clusters that took a new state.

    Raises
    ------
    ValueError
        As :func:`swendsen_wang`.

    References
    ----------
    .. [1] Wolff (1989), Physical Review Letters 62, 361-364.

    Examples
    --------
    >>> import numpy as np
    >>> states = np.zeros(2, np.int8)
    >>> wolff(np.random.default_rng(0), states, np.array([0, 1, 2]), np.array([1, 0]), 30.0)
    2
    >>> states
    array([1, 1], dtype=int8)
    """
    if len(indptr) != states.size + 1:
        raise ValueError(f"indptr must have n + 1 = {states.size + 1} entries; got {len(indptr)}.")
    weight = _checked_weight(states, log_weight, q)
    threshold = bond_thresholds(coupling_csr, len(indices))
    return _wolff(seed_words(rng), states, indptr, indices, threshold, weight, q, n_clusters)


def bond_thresholds(coupling, m):
    """Return ``1 - exp(-coupling)`` in units of 2^-32, as uint32 of shape (1,) or (m,), checked."""
    coupling = np.asarray(coupling, dtype=np.float64)
    if coupling.shape not in ((), (m,)):
        raise ValueError(f"coupling must be a number or of shape ({m},); got {coupling.shape}.")
    if not ((coupling >= 0) & (coupling < np.inf)).all():
        raise ValueError(
            "coupling must be finite and >= 0: cluster updates need a ferromagnet. For other signs "
            "use single-site updates."
        )
    grid = np.rint(-np.expm1(-np.atleast_1d(coupling)) * 2.0**32)
    return np.minimum(grid, 2.0**32 - 1).astype(np.uint32)


def _checked_weight(states, log_weight, q):
    check_states(states, q)
    if log_weight is None:
        return np.empty((0, q))
    weight = relative_log_weight(log_weight, states.size)
    if weight.shape[1] != q:
        raise ValueError(f"log_weight must have q = {q} columns; got {weight.shape[1]}.")
    bad = _first_forbidden(states, weight)
    if bad >= 0:
        raise ValueError(
            f"states has probability zero: log_weight forbids state {states[bad]} at site {bad}. "
            "Start from a possible state."
        )
    return weight


@njit(cache=True)
def _first_forbidden(states, weight):
    step = 1 if weight.shape[0] > 1 else 0
    for i in range(states.size):
        if weight[i * step, states[i]] == -np.inf:
            return i
    return -1


@njit(forceinline=True, error_model="numpy")
def unite(parent, a, b):
    """Join the trees of ``a`` and ``b``: the smaller root, so that ``parent[i] <= i`` always."""
    while parent[a] != a:
        parent[a] = parent[parent[a]]  # halve the path on the way
        a = parent[a]
    while parent[b] != b:
        parent[b] = parent[parent[b]]
        b = parent[b]
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@njit(forceinline=True, error_model="numpy")
def _uniform_colours(words, buffer, colour, q):
    """Draw a state for every site; only those of the roots will be used, but this way is SIMD."""
    halves = buffer.view(np.uint32)
    for first in range(0, colour.size, halves.size):
        fill_words(words, buffer)
        for k in range(min(halves.size, colour.size - first)):
            colour[first + k] = (uint64(halves[k]) * uint64(q)) >> uint64(32)


@njit(forceinline=True, error_model="numpy")
def _spread_colours(states, parent, colour):
    """Give every site its root's colour; return the number of changes.

    A parent comes before its child, and has its root's colour by then: no search for the root.
    """
    changes = 0
    for i in range(states.size):
        colour[i] = colour[parent[i]]
        changes += colour[i] != states[i]
        states[i] = colour[i]
    return changes


@njit(forceinline=True, error_model="numpy")
def _weighted_colours(words, parent, weight, total, colour):
    """Draw each root's colour with probability proportional to exp(sum of its sites' weights)."""
    n, q = total.shape
    step = 1 if weight.shape[0] > 1 else 0
    s0, s1, s2, s3 = words[0, 0], words[1, 0], words[2, 0], words[3, 0]
    total[:] = 0.0
    for i in range(n):
        parent[i] = parent[parent[i]]  # the root: parents come before children
        for c in range(q):
            total[parent[i], c] += weight[i * step, c]
    for i in range(n):
        if parent[i] == i:
            top = -np.inf
            for c in range(q):
                top = max(top, total[i, c])
            cumulative = 0.0
            for c in range(q):
                cumulative += np.exp(total[i, c] - top)
                total[i, c] = cumulative
            word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
            point = to_unit(word) * cumulative
            new = 0
            for c in range(q - 1):
                new += point >= total[i, c]
            colour[i] = new
    words[0, 0], words[1, 0], words[2, 0], words[3, 0] = s0, s1, s2, s3


@njit(cache=True, error_model="numpy")
def _swendsen_wang(words, states, edges, threshold, weight, q, n_sweeps):
    n, m = states.size, edges.shape[0]
    step = uint64(threshold.size > 1)
    parent = np.empty(n, np.uint32)
    colour = np.empty_like(states)
    total = np.empty((n if weight.shape[0] else 0, q))
    opened = np.empty(CHUNK + 1, np.uint64)
    buffer = np.empty(CHUNK // 2, np.uint64)
    draws = buffer.view(np.uint32)
    changes = 0
    for _ in range(n_sweeps):
        for i in range(n):
            parent[i] = i
        for first in range(0, m, CHUNK):
            fill_words(words, buffer)
            n_open = 0
            for k in range(min(CHUNK, m - first)):  # listed with no branch on chance
                e = uint64(first + k)
                opened[n_open] = e
                equal = states[uint64(edges[e, 0])] == states[uint64(edges[e, 1])]
                n_open += equal & (draws[k] < threshold[e * step])
            for k in range(n_open):
                unite(parent, uint32(edges[opened[k], 0]), uint32(edges[opened[k], 1]))
        if weight.shape[0]:
            _weighted_colours(words, parent, weight, total, colour)
        else:
            _uniform_colours(words, buffer, colour, q)
        changes += _spread_colours(states, parent, colour)
    return changes


@njit(forceinline=True, error_model="numpy")
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
        _uniform_colours(words, buffer, colour, q)
        changes += _spread_colours(states, parent, colour)
    return changes


@njit(cache=True, error_model="numpy")
def _wolff(words, states, indptr, indices, threshold, weight, q, n_clusters):
    s0, s1, s2, s3 = words
    step = uint64(threshold.size > 1)
    row_step = uint64(weight.shape[0] > 1)
    cluster = np.empty(states.size + 1, np.uint32)  # its sites, in the order they were reached
    changes = 0
    for _ in range(n_clusters):
        word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        cluster[0] = uint64(to_unit(word) * states.size)
        old = states[cluster[0]]
        word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        new = states.dtype.type((old + 1 + int(to_unit(word) * (q - 1))) % q)
        states[cluster[0]] = new  # which marks a site as reached, too
        done, reached, gain = 0, 1, 0.0
        while done < reached:
            i = uint64(cluster[done])
            done += 1
            if weight.shape[0]:
                gain += weight[i * row_step, new] - weight[i * row_step, old]
            for k in range(uint64(indptr[i]), uint64(indptr[i + uint64(1)])):
                j = uint64(indices[k])
                word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
                joins = (states[j] == old) & ((word >> uint64(32)) < threshold[k * step])
                cluster[reached] = j  # kept only if the count moves on: no branch on chance
                states[j] = new if joins else states[j]
                reached += joins
        word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        if gain >= 0.0 or to_unit(word) < np.exp(gain):
            changes += reached
        else:
            for k in range(reached):
                states[cluster[k]] = old
    return changes
