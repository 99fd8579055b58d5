"""Where the units of a pairwise energy sit, and which pairs are coupled.

Three kinds: a :class:`Lattice` (neighbours by index arithmetic, no table), a :class:`Graph` (an edge
list) and :class:`Complete` (all pairs, a dense matrix). Each can walk its bonds, so that a formula is
written once for all.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytensor.tensor as pt
import scipy.sparse as sp

from pm_energy.validate import parameter, positive_int, shape_matches, static_shape
from pm_energy.validate import symmetric_coupling as check_matrix


@dataclass(frozen=True)
class Lattice:
    """Hypercubic lattice of any dimension, or a triangular one in two dimensions.

    Parameters
    ----------
    shape : tuple of int
        Sites along each axis.
    periodic : tuple of bool
        Whether each axis wraps around. An axis of fewer than 3 sites never does: each pair is
        counted once.
    triangular : bool
        Add the bonds (r, c) - (r + 1, c + 1), which makes a square lattice triangular.
    """

    shape: tuple[int, ...]
    periodic: tuple[bool, ...]
    triangular: bool = False

    @classmethod
    def of(cls, shape, periodic=True, triangular=False):
        """Build a lattice from what a user writes."""
        try:
            shape = tuple(shape)
        except TypeError as error:
            raise ValueError(f"lattice must be a tuple of sizes, got {shape!r}") from error
        if not shape:
            raise ValueError("lattice must have at least one axis")
        shape = tuple(positive_int("lattice", side) for side in shape)
        flags = (periodic,) * len(shape) if isinstance(periodic, bool) else tuple(periodic)
        if len(flags) != len(shape):
            raise ValueError(f"periodic must be a bool or {len(shape)} of them, got {periodic!r}")
        if triangular and len(shape) != 2:
            raise ValueError(f"triangular lattices have two axes, got lattice={shape}")
        flags = tuple(bool(p) and side >= 3 for p, side in zip(flags, shape, strict=True))
        return cls(shape, flags, triangular)

    @property
    def n(self):
        return math.prod(self.shape)

    @property
    def event_shape(self):
        return self.shape

    @property
    def steps(self):
        """Displacements whose bonds, one from each site, make the lattice."""
        units = [tuple(int(a == b) for b in range(len(self.shape))) for a in range(len(self.shape))]
        return [*units, (1, 1)] if self.triangular else units

    def bond_shape(self, step):
        """Shape of the array of bonds along ``step``."""
        return tuple(
            side if wraps or not s else side - 1
            for side, wraps, s in zip(self.shape, self.periodic, step, strict=True)
        )

    @property
    def n_bonds(self):
        return sum(math.prod(self.bond_shape(step)) for step in self.steps)

    def pairs(self, x, code_ndim=0):
        """Return per step the two ends of all bonds, arrays (..., *bond_shape, *code)."""
        roll, ends = (np.roll if isinstance(x, np.ndarray) else pt.roll), []
        for step in self.steps:
            left, right = x, x
            for axis, s in enumerate(step):
                if not s:
                    continue
                position = axis - len(self.shape) - code_ndim
                if self.periodic[axis]:
                    right = roll(right, -1, axis=position)
                else:
                    tail = (slice(None),) * (-position - 1)
                    left = left[(..., slice(None, -1), *tail)]
                    right = right[(..., slice(1, None), *tail)]
            ends.append((left, right))
        return ends

    def bond_values(self, values):
        """Split a scalar or a vector (n_bonds,) into one array per step."""
        if values.ndim == 0:
            return [values for _ in self.steps]
        shapes = [self.bond_shape(step) for step in self.steps]
        cuts = np.cumsum([0] + [math.prod(shape) for shape in shapes])
        return [
            values[a:b].reshape(shape) for a, b, shape in zip(cuts[:-1], cuts[1:], shapes, strict=True)
        ]

    @cached_property
    def edges(self):
        """Bonds as pairs of flat site numbers (n_bonds, 2), in the order of the bond values."""
        index = np.arange(self.n).reshape(self.shape)
        both = [np.stack([a.ravel(), b.ravel()], axis=1) for a, b in self.pairs(index)]
        return np.concatenate(both)


@dataclass(frozen=True, eq=False)
class Graph:
    """Sites 0..n-1 and an edge list (m, 2), each pair once."""

    n: int
    edges: np.ndarray

    @property
    def event_shape(self):
        return (self.n,)

    @property
    def n_bonds(self):
        return len(self.edges)

    def pairs(self, x, code_ndim=0):
        tail = (slice(None),) * code_ndim
        return [(x[(..., self.edges[:, 0], *tail)], x[(..., self.edges[:, 1], *tail)])]

    def bond_values(self, values):
        return [values]


@dataclass(frozen=True)
class Complete:
    """Sites 0..n-1, every pair coupled by an entry of a dense matrix."""

    n: int

    @property
    def event_shape(self):
        return (self.n,)


def read_graph(graph, n_sites=None):
    """Turn what users call a graph into ``(Graph, weights or None)``.

    Parameters
    ----------
    graph : array_like (m, 2), scipy sparse matrix or networkx graph
        A sparse matrix carries a weight per bond; a networkx graph does where all its edges have
        ``weight``, and its nodes are numbered in their order.
    n_sites : int, optional
        Number of sites where an edge list leaves isolated sites at the end.
    """
    weights = None
    if sp.issparse(graph):
        if graph.shape[0] != graph.shape[1]:
            raise ValueError(f"graph must be a square sparse matrix, got shape {graph.shape}")
        if not np.isfinite(graph.data).all():
            raise ValueError("graph must have finite entries, got NaN or infinity")
        if abs(graph - graph.T).max() > 1e-8 * abs(graph).max():
            raise ValueError("graph must be a symmetric sparse matrix. Pass (J + J.T) / 2")
        if graph.diagonal().any():
            raise ValueError("graph must have a zero diagonal (no self-coupling)")
        upper = sp.triu(graph.tocsr(), k=1).tocoo()
        upper.sum_duplicates()
        edges, weights, n = np.stack([upper.row, upper.col], axis=1), upper.data, graph.shape[0]
    elif hasattr(graph, "nodes") and hasattr(graph, "edges"):
        number = {node: i for i, node in enumerate(graph.nodes)}
        triples = [(number[a], number[b], d) for a, b, d in graph.edges(data=True)]
        edges, n = np.array([t[:2] for t in triples], dtype=np.int64).reshape(-1, 2), len(number)
        if triples and all("weight" in d for _, _, d in triples):
            weights = np.array([d["weight"] for _, _, d in triples], dtype=float)
    else:
        edges = np.asarray(graph)
        if edges.size == 0:
            edges = edges.reshape(-1, 2).astype(np.int64)
        if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
            raise ValueError(
                "graph must be an integer edge list (m, 2), a scipy sparse matrix or a networkx "
                f"graph, got shape {edges.shape} and dtype {edges.dtype}"
            )
        if edges.size and edges.min() < 0:
            raise ValueError(f"graph has a negative site number {edges.min()}; sites count from 0")
        n = int(edges.max()) + 1 if edges.size else 0
    if n_sites is not None:
        if positive_int("n_sites", n_sites) < n:
            raise ValueError(f"n_sites is {n_sites}, but graph names site {n - 1}")
        n = int(n_sites)
    if n == 0:
        raise ValueError("graph has no sites; pass n_sites for sites without bonds")
    if weights is not None:
        weights = parameter("the weights of graph", weights)
    return Graph(n, _check_edges(edges.astype(np.int64), n)), weights


def _check_edges(edges, n):
    loops = edges[edges[:, 0] == edges[:, 1]]
    if len(loops):
        raise ValueError(f"graph couples site {loops[0, 0]} to itself; remove self-loops")
    keys = edges.min(axis=1) * n + edges.max(axis=1)
    unique, counts = np.unique(keys, return_counts=True)
    if (counts > 1).any():
        a, b = divmod(int(unique[counts > 1][0]), n)
        raise ValueError(f"graph lists the bond {a} - {b} more than once; merge it into one")
    return edges


def read_sites(lattice, graph, periodic, triangular, n_sites, coupling):
    """Return the sites and the coupling that a constructor's arguments describe."""
    if lattice is not None and graph is not None:
        raise ValueError("pass lattice or graph, not both")
    if lattice is not None:
        sites = lattice if isinstance(lattice, Lattice) else Lattice.of(lattice, periodic, triangular)
        coupling = parameter("coupling", coupling, (0, 1))
    elif graph is not None:
        sites, weights = (graph, None) if isinstance(graph, Graph) else read_graph(graph, n_sites)
        coupling = parameter("coupling", coupling, (0, 1))
        if weights is not None:
            coupling = coupling * weights
    else:
        coupling = check_matrix("coupling", parameter("coupling", coupling))
        n = static_shape(coupling)[0]
        if n is None:
            raise ValueError("coupling must have a known number of rows, or pass lattice or graph")
        return Complete(n), coupling
    if coupling.ndim == 1 and not shape_matches(coupling, (sites.n_bonds,)):
        raise ValueError(
            f"coupling must be a scalar or one value for each of the {sites.n_bonds} bonds, "
            f"got shape {static_shape(coupling)}"
        )
    return sites, coupling


def neighbours(edges, n):
    """CSR lists of an edge list: row pointers, neighbours, and the bond each entry came from."""
    m = len(edges)
    rows = np.concatenate([edges[:, 0], edges[:, 1]])
    columns = np.concatenate([edges[:, 1], edges[:, 0]])
    order = np.lexsort((columns, rows))
    indptr = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=n), out=indptr[1:])
    return indptr, columns[order].astype(np.int32), np.tile(np.arange(m), 2)[order]
