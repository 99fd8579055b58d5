"""Where the units of a pairwise energy sit, and which pairs are coupled.

Three kinds: a :class:`Lattice` (neighbours by index arithmetic, no table), a :class:`Graph` (an
edge list) and :class:`Complete` (all pairs, a dense matrix). The first two can walk their bonds, so
that a formula is written once for both.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytensor.tensor as pt

from pm_energy.validate import positive_int

MAX_SITES = 2**31 - 1  # neighbour lists are int32


@dataclass(frozen=True)
class Lattice:
    """Hypercubic lattice of any dimension, or a triangular one in two dimensions.

    Parameters
    ----------
    shape : tuple of int
        Sites along each axis.
    periodic : bool or tuple of bool
        Whether each axis wraps around. An axis of fewer than 3 sites never does: each pair is
        counted once.
    triangular : bool
        Add the bonds (r, c) - (r + 1, c + 1), which makes a square lattice triangular.

    Raises
    ------
    ValueError
        If a side is not a positive integer, ``periodic`` does not fit, or a triangular lattice has
        not two axes.

    Examples
    --------
    >>> import pm_energy as pme
    >>> pme.Lattice((2, 4)).periodic
    (False, True)
    >>> pme.Lattice((2, 2)).edges.tolist()
    [[0, 2], [1, 3], [0, 1], [2, 3]]
    """

    shape: tuple[int, ...]
    periodic: bool | tuple[bool, ...] = True
    triangular: bool = False

    def __post_init__(self):
        try:
            shape = tuple(self.shape)
        except TypeError as error:
            raise ValueError(
                f"the shape of a lattice must be a tuple of sides, got {self.shape!r}"
            ) from error
        if not shape:
            raise ValueError("the shape of a lattice must have at least one side")
        shape = tuple(positive_int("each side in the shape of a lattice", side) for side in shape)
        if not _is_bool(self.triangular):
            raise ValueError(f"triangular must be True or False, got {self.triangular!r}")
        if self.triangular and len(shape) != 2:
            raise ValueError(f"triangular is for lattices with two axes, got shape {shape}")
        periodic = self._flags(len(shape))
        wraps = tuple(bool(p) and side >= 3 for p, side in zip(periodic, shape, strict=True))
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "periodic", wraps)
        object.__setattr__(self, "triangular", bool(self.triangular))

    def _flags(self, n_axes):
        flags = (self.periodic,) * n_axes if _is_bool(self.periodic) else self.periodic
        if not isinstance(flags, tuple | list) or not all(map(_is_bool, flags)):
            raise ValueError(f"periodic must be a bool or a tuple of them, got {self.periodic!r}")
        if len(flags) != n_axes:
            raise ValueError(
                f"periodic must be one bool or one for each of the {n_axes} axes, "
                f"got {len(flags)} of them"
            )
        return flags

    @property
    def label(self):
        """The lattice in words."""
        kind = "triangular lattice" if self.triangular else "lattice"
        return f"a {' x '.join(map(str, self.shape))} {kind}"

    @property
    def n(self):
        """Number of sites."""
        return math.prod(self.shape)

    @property
    def event_shape(self):
        """Shape of the array of sites."""
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
        """Number of coupled pairs."""
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
        parts = zip(cuts[:-1], cuts[1:], shapes, strict=True)
        return [values[a:b].reshape(shape) for a, b, shape in parts]

    @cached_property
    def edges(self):
        """Bonds as pairs of flat site numbers (n_bonds, 2), in the order of the bond values."""
        index = np.arange(self.n).reshape(self.shape)
        both = [np.stack([a.ravel(), b.ravel()], axis=1) for a, b in self.pairs(index)]
        return np.concatenate(both)


def edge_array(edges):
    """Return an edge list (m, 2) as an integer array, or raise a ValueError."""
    try:
        edges = np.asarray(edges)
    except (TypeError, ValueError) as error:  # a ragged list
        raise ValueError("graph must be an edge list (m, 2) of integers") from error
    if edges.size == 0:
        return np.empty((0, 2), dtype=np.int64)
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        raise ValueError(
            "graph must be an edge list (m, 2) of integers, a scipy sparse matrix or a networkx "
            f"graph, got shape {edges.shape} and dtype {edges.dtype}"
        )
    if edges.min() < 0:
        raise ValueError(f"graph names site {edges.min()}; sites count from 0")
    return edges


@dataclass(frozen=True, eq=False)
class Graph:
    """Sites and an edge list, each pair once.

    Parameters
    ----------
    n : int
        Number of sites; those that no edge names are isolated.
    edges : array_like of int, shape (m, 2)

    Raises
    ------
    ValueError
        If edges are not integers from 0 to n - 1, are self-loops or are listed twice.

    Examples
    --------
    >>> import pm_energy as pme
    >>> pme.Graph(4, [[0, 1], [1, 2]]).n_bonds
    2
    """

    n: int
    edges: np.ndarray

    def __post_init__(self):
        n, edges = positive_int("n", self.n), edge_array(self.edges)
        if n > MAX_SITES:
            raise ValueError(f"graph must have at most {MAX_SITES} sites, got n={n}")
        if edges.size and edges.max() >= n:
            raise ValueError(f"graph names site {edges.max()}, but has only n={n} of them")
        edges = edges.astype(np.int64)
        loops = edges[edges[:, 0] == edges[:, 1]]
        if len(loops):
            raise ValueError(f"graph couples site {loops[0, 0]} to itself; remove self-loops")
        keys = edges.min(axis=1) * n + edges.max(axis=1)
        unique, counts = np.unique(keys, return_counts=True)
        if (counts > 1).any():
            a, b = divmod(int(unique[counts > 1][0]), n)
            raise ValueError(f"graph lists the bond {a} - {b} more than once; merge it into one")
        edges.setflags(write=False)
        object.__setattr__(self, "n", n)
        object.__setattr__(self, "edges", edges)

    @property
    def label(self):
        """The graph in words."""
        return f"a graph of {self.n} sites and {len(self.edges)} bonds"

    @property
    def event_shape(self):
        """Shape of the array of sites."""
        return (self.n,)

    @property
    def n_bonds(self):
        """Number of coupled pairs."""
        return len(self.edges)

    def pairs(self, x, code_ndim=0):
        """Return the two ends of all bonds, arrays (..., n_bonds, *code), in a list of one."""
        axis = -1 - code_ndim
        # not by indexing, for which PyTensor would walk the edges in Python
        return [(x.take(self.edges[:, 0], axis=axis), x.take(self.edges[:, 1], axis=axis))]

    def bond_values(self, values):
        """Return a scalar or a vector (n_bonds,) in a list of one."""
        return [values]


@dataclass(frozen=True)
class Complete:
    """Sites 0..n-1, every pair coupled by an entry of a dense matrix."""

    n: int

    @property
    def label(self):
        """The sites in words."""
        return f"all pairs of {self.n} units"

    @cached_property
    def edges(self):
        """All pairs (n (n - 1) / 2, 2)."""
        return np.stack(np.triu_indices(self.n, k=1), axis=1)

    @property
    def event_shape(self):
        """Shape of the array of sites."""
        return (self.n,)


def _is_bool(value):
    return isinstance(value, bool | np.bool_)


def neighbours(edges, n):
    """Return the CSR lists of an edge list: row pointers, neighbours, and the bond of each entry.

    Parameters
    ----------
    edges : array of int, shape (m, 2)
    n : int
        Number of sites.

    Returns
    -------
    indptr : array of int64, shape (n + 1,)
    indices : array of int32, shape (2 m,)
    bond : array of int, shape (2 m,)
        Number of the edge that an entry came from: ``values[bond]`` are its coupling.
    """
    m = len(edges)
    rows = np.concatenate([edges[:, 0], edges[:, 1]])
    columns = np.concatenate([edges[:, 1], edges[:, 0]])
    order = np.lexsort((columns, rows))
    indptr = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=n), out=indptr[1:])
    return indptr, columns[order].astype(np.int32), np.tile(np.arange(m), 2)[order]
