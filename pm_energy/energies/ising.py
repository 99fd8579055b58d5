"""Ising model: spins with pair couplings on a lattice, a graph or all pairs."""

import dataclasses
from dataclasses import KW_ONLY, InitVar, dataclass
from typing import Any, ClassVar

from pm_energy.domains import Spin
from pm_energy.energies.read_sites import read_sites
from pm_energy.energies.sites import Complete, Graph, Lattice
from pm_energy.typing import TensorLike
from pm_energy.validate import parameter, shape_matches, static_shape


@dataclass(frozen=True, eq=False)
class Ising:
    r"""Spins :math:`s_i = \pm 1` with pair couplings and fields.

    .. math:: E(s) = -\sum_{i<j} J_{ij} s_i s_j - \sum_i h_i s_i

    Each pair is counted once; a positive coupling aligns.

    Parameters
    ----------
    coupling : tensor_like, shape (), (n_bonds,) or (n, n)
        One value, a value for each bond in the order of ``sites.edges``, or, without ``lattice``
        and ``graph``, a symmetric matrix with zero diagonal; of a matrix that is a PyTensor
        variable, the symmetric part without the diagonal. Scales the weights of a weighted graph.
    field : tensor_like, shape () or the shape of the sites
        External field.
    lattice : tuple of int or Lattice, optional
        Sides of a hypercubic lattice of any dimension.
    graph : array_like (m, 2), Graph, scipy sparse matrix or networkx graph, optional
        Any other graph; the entries of a sparse matrix and edge attributes ``weight`` are
        couplings.
    periodic : bool or tuple of bool
        Whether the axes of the lattice wrap around. An axis of fewer than 3 sites never does.
    triangular : bool
        Make a two-dimensional lattice triangular.
    n_sites : int, optional
        Number of sites, where an edge list does not name the last ones.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, the matrix is not symmetric or has
        self-couplings, or the graph has self-loops or lists a bond twice.

    References
    ----------
    .. [1] Ising (1925), Zeitschrift fuer Physik 31, 253-258.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> ising = pme.Ising(lattice=(4, 4), coupling=0.5)
    >>> float(ising(np.ones((4, 4))))
    -16.0
    """

    coupling: TensorLike = 1.0
    field: TensorLike = 0.0
    _: KW_ONLY
    lattice: InitVar[Any] = None
    graph: InitVar[Any] = None
    periodic: InitVar[bool | tuple[bool, ...]] = True
    triangular: InitVar[bool] = False
    n_sites: InitVar[int | None] = None
    sites: Lattice | Graph | Complete = dataclasses.field(init=False)

    domain: ClassVar[Spin] = Spin()

    def __post_init__(self, lattice, graph, periodic, triangular, n_sites):
        sites, coupling = read_sites(lattice, graph, periodic, triangular, n_sites, self.coupling)
        h = parameter("field", self.field, (0, len(sites.event_shape)))
        if h.ndim and not shape_matches(h, sites.event_shape):
            raise ValueError(
                f"field must be a scalar or of shape {sites.event_shape}, got {static_shape(h)}"
            )
        for name, value in (("sites", sites), ("coupling", coupling), ("field", h)):
            object.__setattr__(self, name, value)

    @property
    def event_shape(self):
        """Shape of the sites."""
        return self.sites.event_shape

    def __call__(self, s):
        """Energy of spins as floats, (..., *event_shape) -> (...)."""
        axes = tuple(range(-len(self.event_shape), 0))
        energy = -(self.field * s).sum(axis=axes)
        if isinstance(self.sites, Complete):
            return energy - 0.5 * ((s @ self.coupling) * s).sum(axis=-1)
        values = self.sites.bond_values(self.coupling)
        for j, (a, b) in zip(values, self.sites.pairs(s), strict=True):
            energy = energy - (j * a * b).sum(axis=axes)
        return energy
