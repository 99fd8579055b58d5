"""Single-bond updates of the random-cluster (Fortuin-Kasteleyn) model, of two states at once.

Given all other bonds, a bond is open with probability p if these connect its ends, and otherwise
with probability ``p / (p + (1 - p) q)``. The same uniform number for both states keeps their order,
as coupling from the past needs.
"""

import numpy as np
from numba import njit

from pm_energy.kernels.cluster import unite
from pm_energy.kernels.inner import inner
from pm_energy.kernels.random import next_word, to_unit


@njit(cache=True, error_model="numpy")
def bond_sweeps(words, n_sweeps, met, upper, lower, ends, n_sites, p, bridge):
    """Redraw each bond given the others, in order, in both states; return if they are equal."""
    s0, s1, s2, s3 = words
    drawn = np.empty(p.size, np.int8)
    for _ in range(n_sweeps):
        for e in range(p.size):
            word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
            u = to_unit(word)
            # 1 open, 0 closed, 2 open if something else connects the ends.
            drawn[e] = 1 if u < bridge[e] else (2 if u < p[e] else 0)
        _redraw_bonds(upper, drawn, ends, n_sites)
        if not met:
            _redraw_bonds(lower, drawn, ends, n_sites)
            met = (upper == lower).all()
    if met:
        lower[:] = upper
    return met


@njit(cache=True, error_model="numpy")
def _redraw_bonds(is_open, drawn, ends, n_sites):
    """One sweep over the bonds in O(m log^2 m), whatever the graph.

    Bond t asks whether its ends are connected by the bonds before it, already new, and those after
    it, still old. Divide and conquer: before the left half of a range is solved, add the old bonds
    of its right half; before the right half, take them back and add the new bonds of the left.
    Forests joined by size, without path compression, can be taken back.
    """
    # Bonds that stay open are added for good, and those that stay closed never.
    fixed = (drawn == 1) & is_open
    site = cluster_roots(ends[fixed], n_sites)
    active = np.flatnonzero((drawn == 2) | (is_open != (drawn == 1)))
    m = active.size
    a, b = np.empty(m, np.int64), np.empty(m, np.int64)
    for t in range(m):
        a[t], b[t] = site[ends[active[t], 0]], site[ends[active[t], 1]]
    levels = 0
    while (1 << levels) < m:
        levels += 1
    parent, size = np.arange(n_sites), np.ones(n_sites, np.int64)
    joined = np.empty(n_sites, np.int64)
    n_joined = 0
    mark = np.zeros(levels + 1, np.int64)  # joins to keep when the left half of a level is done
    for t in range(m):
        level = 0
        while level < levels and not (t >> level) & 1:
            level += 1
        if t > 0:  # enter a right half of 2^level bonds
            while n_joined > mark[level]:
                n_joined -= 1
                child = joined[n_joined]
                size[parent[child]] -= size[child]
                parent[child] = child
            n_joined = _add_bonds(
                parent, size, joined, n_joined, is_open, active, a, b, t - (1 << level), t
            )
        while level > 0:  # and go down to the left-most bond in it
            level -= 1
            mark[level] = n_joined
            right = t + (1 << level)
            n_joined = _add_bonds(
                parent,
                size,
                joined,
                n_joined,
                is_open,
                active,
                a,
                b,
                right,
                min(m, right + (1 << level)),
            )
        e = active[t]
        is_open[e] = drawn[e] == 1 or (drawn[e] == 2 and _root(parent, a[t]) == _root(parent, b[t]))


@njit(cache=True)
def cluster_roots(ends, n_sites):
    """Return the root of each site's cluster, for bonds (m, 2) that are all open."""
    parent = np.arange(n_sites)
    for e in range(ends.shape[0]):
        unite(parent, ends[e, 0], ends[e, 1])
    for i in range(n_sites):
        parent[i] = parent[parent[i]]
    return parent


@njit(cache=True)
def _root(parent, i):
    while parent[i] != i:
        i = parent[i]
    return i


@inner(cache=True)
def _add_bonds(parent, size, joined, n_joined, is_open, active, a, b, first, stop):
    """Join the ends of the open ones among bonds first..stop-1; return the joins so far."""
    for t in range(first, stop):
        if is_open[active[t]]:
            x, y = _root(parent, a[t]), _root(parent, b[t])
            if x != y:
                child, top = (x, y) if size[x] < size[y] else (y, x)
                parent[child] = top
                size[top] += size[child]
                joined[n_joined] = child
                n_joined += 1
    return n_joined
