"""Potts model: categories with pair couplings that favour, or not, equal neighbours."""

import dataclasses
from dataclasses import KW_ONLY, InitVar, dataclass
from typing import Any

import pytensor.tensor as pt

from pm_energy.domains import Categorical
from pm_energy.energies.read_sites import read_sites
from pm_energy.energies.sites import Complete, Graph, Lattice
from pm_energy.typing import TensorLike
from pm_energy.validate import parameter, shape_matches, static_shape


@dataclass(frozen=True, eq=False)
class Potts:
    r"""Categories :math:`x_i \in \{0, \dots, q-1\}` that interact where they are equal.

    .. math:: E(x) = -\sum_{i<j} J_{ij} \, \delta(x_i, x_j) - \sum_i h_i(x_i)

    On the square lattice it orders at ``beta J = log(1 + sqrt(q))``.

    Parameters
    ----------
    q : int
        Number of states, at least 2.
    coupling : tensor_like, shape (), (n_bonds,) or (n, n)
        As for :class:`Ising`; positive favours equal neighbours.
    field : tensor_like, shape (), (q,) or (*sites, q)
        Field on each state, the same for all sites or one for each.
    lattice, graph, periodic, triangular, n_sites
        As for :class:`Ising`.

    Raises
    ------
    ValueError
        As for :class:`Ising`, and for q below 2.

    References
    ----------
    .. [1] Wu (1982), Reviews of Modern Physics 54, 235-268.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> potts = pme.Potts(3, lattice=(4, 4), coupling=1.0)
    >>> pme.energy_values(potts, np.zeros((1, 4, 4)))
    array([-32.])
    """

    q: int
    coupling: TensorLike = 1.0
    field: TensorLike = 0.0
    _: KW_ONLY
    lattice: InitVar[Any] = None
    graph: InitVar[Any] = None
    periodic: InitVar[bool | tuple[bool, ...]] = True
    triangular: InitVar[bool] = False
    n_sites: InitVar[int | None] = None
    sites: Lattice | Graph | Complete = dataclasses.field(init=False)

    def __post_init__(self, lattice, graph, periodic, triangular, n_sites):
        q = Categorical(self.q).q
        sites, coupling = read_sites(lattice, graph, periodic, triangular, n_sites, self.coupling)
        h = parameter("field", self.field, (0, 1, len(sites.event_shape) + 1))
        wanted = {0: (), 1: (q,)}.get(h.ndim, (*sites.event_shape, q))
        if not shape_matches(h, wanted):
            raise ValueError(
                f"field must be a scalar, of shape ({q},), or of shape {(*sites.event_shape, q)}, "
                f"got {static_shape(h)}"
            )
        for name, value in (("q", q), ("sites", sites), ("coupling", coupling), ("field", h)):
            object.__setattr__(self, name, value)

    @property
    def domain(self):
        """Categories."""
        return Categorical(self.q)

    @property
    def event_shape(self):
        """Shape of the sites."""
        return self.sites.event_shape

    def __call__(self, x):
        """Energy of one-hot vectors, (..., *event_shape, q) -> (...)."""
        axes = tuple(range(-len(self.event_shape), 0))
        energy = -(self.field * x).sum(axis=-1).sum(axis=axes)
        if isinstance(self.sites, Complete):
            return energy - 0.5 * ((self.coupling @ x) * x).sum(axis=-1).sum(axis=-1)
        values = self.sites.bond_values(self.coupling)
        for j, (a, b) in zip(values, self.sites.pairs(x, code_ndim=1), strict=True):
            energy = energy - (j * (a * b).sum(axis=-1)).sum(axis=axes)
        return energy

    def on_states(self, x):
        """Energy of categories, (..., *event_shape) -> (...): the same in q times less memory."""
        if isinstance(self.sites, Complete):
            return self(self.domain.encode(x))
        x, h = pt.as_tensor(x), pt.as_tensor(self.field)
        axes = tuple(range(-len(self.event_shape), 0))
        if h.ndim == 0:
            site_field = h * pt.ones_like(x)
        elif h.ndim == 1:
            site_field = h[x]
        else:
            flat = x.reshape((*[x.shape[i] for i in range(x.ndim - len(axes))], -1))
            by_site = h.reshape((-1, self.q))[pt.arange(self.sites.n), flat]
            site_field = by_site.reshape(x.shape)
        energy = -site_field.sum(axis=axes)
        values = self.sites.bond_values(self.coupling)
        for j, (a, b) in zip(values, self.sites.pairs(x), strict=True):
            energy = energy - (j * pt.eq(a, b)).sum(axis=axes)
        return energy
