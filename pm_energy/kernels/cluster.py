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

Bond probabilities lie on a grid of 2^-32. This module holds Swendsen-Wang on any graph and what the
others share; :mod:`pm_energy.kernels.cluster_lattice` goes by index arithmetic, and
:mod:`pm_energy.kernels.wolff` grows one cluster at a time.
"""

import numpy as np
from numba import njit, uint32, uint64

from pm_energy.kernels.inner import inner
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
    weight = checked_weight(states, log_weight, q)
    threshold = bond_thresholds(coupling, len(edges))
    return _swendsen_wang(seed_words(rng, LANES), states, edges, threshold, weight, q, n_sweeps)


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


def checked_weight(states, log_weight, q):
    """Return log-weights relative to each row's maximum, or none, (0, q); check the states."""
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


@inner(forceinline=True, error_model="numpy")
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


@inner(forceinline=True, error_model="numpy")
def uniform_colours(words, buffer, colour, q):
    """Draw a state for every site; only those of the roots will be used, but this way is SIMD."""
    halves = buffer.view(np.uint32)
    for first in range(0, colour.size, halves.size):
        fill_words(words, buffer)
        for k in range(min(halves.size, colour.size - first)):
            colour[first + k] = (uint64(halves[k]) * uint64(q)) >> uint64(32)


@inner(forceinline=True, error_model="numpy")
def spread_colours(states, parent, colour):
    """Give every site its root's colour; return the number of changes.

    A parent comes before its child, and has its root's colour by then: no search for the root.
    """
    changes = 0
    for i in range(states.size):
        colour[i] = colour[parent[i]]
        changes += colour[i] != states[i]
        states[i] = colour[i]
    return changes


@inner(forceinline=True, error_model="numpy")
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
            uniform_colours(words, buffer, colour, q)
        changes += spread_colours(states, parent, colour)
    return changes
