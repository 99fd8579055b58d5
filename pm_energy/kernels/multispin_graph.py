"""Graphs for the bit-parallel kernels: all bonds of one strength, of either sign."""

from typing import NamedTuple

import numpy as np

from pm_energy.kernels.coloring import color_order

MAX_DEGREE = 8  # as many neighbours as the counters of the sweep hold
BONDS_AT_ONCE = 16


class MultispinGraph(NamedTuple):
    r"""What the kernels know of the energy :math:`-\sum_{ij} \sigma_{ij} s_i s_j`, sigma = -1 or 1.

    Made by :func:`multispin_graph`. A *flip* is a word of ones for a bond with sign -1, of zeros
    for one with +1.
    """

    first: np.ndarray  # (n + 1,) where the neighbours of a site start
    neighbors: np.ndarray  # (2m,)
    flips: np.ndarray  # (2m,)
    order: np.ndarray  # sites in the order of their visits
    left: np.ndarray  # (m and a few idle ones,) each bond once
    right: np.ndarray
    bond_flips: np.ndarray
    n_bonds: int

    @property
    def n(self):
        """Number of sites."""
        return self.first.size - 1


def multispin_graph(indptr, indices, signs, order=None):
    """Check a graph and lay it out for the kernels.

    Parameters
    ----------
    indptr, indices : ndarray of int, shapes (n + 1,) and (2m,)
        The graph in CSR form, each bond in both directions. Two sites may have several bonds.
    signs : ndarray of int, shape (2m,)
        -1 or +1, the same in both directions.
    order : ndarray of int, optional
        Sites in the order of their visits. A site left out keeps its spins: a neighbour held at +1
        is a field of the strength of a bond. By default all sites, colour by colour.

    Returns
    -------
    MultispinGraph

    Raises
    ------
    ValueError
        If the arrays do not fit, a bond is given in one direction only, or a site has more than 8
        neighbours (:mod:`pm_energy.kernels.lanes_sweeps` takes any graph).

    Examples
    --------
    >>> import numpy as np
    >>> triangle = np.array([0, 2, 4, 6]), np.array([1, 2, 0, 2, 0, 1])
    >>> graph = multispin_graph(*triangle, signs=-np.ones(6, int))  # antiferromagnetic
    >>> graph.n, graph.n_bonds
    (3, 3)
    """
    indptr, indices, signs = (np.asarray(a) for a in (indptr, indices, signs))
    n = indptr.size - 1
    if indptr.ndim != 1 or n < 1 or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise ValueError("indptr must hold n + 1 growing offsets from 0")
    if indices.shape != (indptr[-1],) or signs.shape != indices.shape:
        raise ValueError(
            f"indices and signs must have indptr[-1] = {indptr[-1]} entries each; "
            f"got {indices.shape} and {signs.shape}"
        )
    _check_sites("indices", indices, n)
    if not (np.abs(signs) == 1).all():
        raise ValueError("signs must be -1 or +1: scale beta for another strength")
    degrees = np.diff(indptr)
    if degrees.max() > MAX_DEGREE:
        raise ValueError(
            f"a site has {degrees.max()} neighbours; the bit-parallel kernels take up to "
            f"{MAX_DEGREE}: use pm_energy.kernels.lanes_sweeps"
        )
    rows = np.repeat(np.arange(n), degrees)
    if (rows == indices).any():
        raise ValueError("indices must not name a site as its own neighbour")
    there = np.lexsort((signs, indices, rows))
    back = np.lexsort((signs, rows, indices))
    if not (
        np.array_equal(rows[there], indices[back])
        and np.array_equal(indices[there], rows[back])
        and np.array_equal(signs[there], signs[back])
    ):
        raise ValueError("indices and signs must give each bond in both directions, equal signs")
    order = color_order(indptr, indices) if order is None else np.asarray(order)
    _check_sites("order", order, n)
    flips = np.where(signs < 0, ~np.uint64(0), np.uint64(0))
    once = rows < indices
    idle = -np.count_nonzero(once) % BONDS_AT_ONCE  # bonds of a site with itself count nothing
    return MultispinGraph(
        *(np.ascontiguousarray(a, np.uint64) for a in (indptr, indices, flips, order)),
        *(np.pad(a[once].astype(np.uint64), (0, idle)) for a in (rows, indices, flips)),
        int(np.count_nonzero(once)),
    )


def place_graph(graph, rows):
    """The graph with each site's number replaced by its place in flat ``rows``, but in ``order``.

    It spares the kernels a multiplication for each neighbour.

    Parameters
    ----------
    graph : MultispinGraph
    rows : ndarray of uint64, shape (n, stride)
        From :func:`pm_energy.kernels.multispin_words.to_rows`.

    Returns
    -------
    MultispinGraph
    """
    stride = np.uint64(rows.shape[1])
    return graph._replace(
        neighbors=graph.neighbors * stride, left=graph.left * stride, right=graph.right * stride
    )


def _check_sites(name, sites, n):
    if sites.ndim != 1 or (sites.size and (sites.min() < 0 or sites.max() >= n)):
        raise ValueError(f"{name} must be a vector of site numbers 0..{n - 1}")
