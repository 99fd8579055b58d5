"""Numbers of a spin form as one graph: what the kernels for many states run on."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pm_energy.domains import Spin
from pm_energy.energies.sites import Complete, neighbours
from pm_energy.forms import Held, SpinPairs
from pm_energy.kernels.gibbs_dense import aligned

DENSE = 0.1  # mean degree, as a fraction of all spins, from which rows of a matrix are faster,
MANY = 200  # if there are as many


@dataclass(frozen=True, eq=False)
class SpinGraph:
    """Spins whose log-odds of +1 are ``bias_i + sum_j coupling_ij s_j`` at inverse temperature 1.

    Attributes
    ----------
    edges : ndarray of int, shape (m, 2)
        Coupled pairs, each once; none has a coupling of zero.
    values : ndarray of float64, shape (m,)
        Their couplings.
    bias : ndarray of float64, shape (n,)
    """

    edges: np.ndarray
    values: np.ndarray
    bias: np.ndarray

    @property
    def n(self):
        """Number of spins."""
        return len(self.bias)

    @property
    def is_dense(self):
        """Whether a spin has so many neighbours that a matrix is the better table."""
        return self.n >= MANY and 2 * len(self.edges) > DENSE * self.n**2

    @cached_property
    def matrix(self):
        """Couplings as a matrix (n, n), its rows on cache lines."""
        out = np.zeros((self.n, self.n))
        a, b = self.edges.T
        out[a, b] = out[b, a] = self.values
        return aligned(out)

    @cached_property
    def rows(self):
        """The graph in CSR form, each edge in both directions: (indptr, indices, couplings)."""
        indptr, indices, bond = neighbours(self.edges, self.n)
        return indptr, indices, self.values[bond]


def spin_graph(form, tensors, domain, weights=None):
    """Return the graph of a spin form; units that are held become biases of the others.

    Parameters
    ----------
    form : SpinPairs, or Held around it
    tensors : sequence of ndarray
        The numbers of ``form.tensors``.
    domain : Domain
        In which held units are coded.
    weights : ndarray, shape (2, *event_shape), optional
        Further log-weights of the two states of each unit.

    Returns
    -------
    SpinGraph

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.forms import find_form
    >>> form = find_form(pme.Ising(graph=[[0, 1], [1, 2]]))
    >>> graph = spin_graph(form, [np.array(2.0), np.array(0.0)], pme.Spin())
    >>> graph.values, graph.rows[1]
    (array([2., 2.]), array([1, 0, 2, 1], dtype=int32))
    """
    held = form if isinstance(form, Held) else None
    pairs = form.form if held else form
    coupling, bias = tensors
    n = pairs.sites.n
    edges = pairs.sites.edges
    if isinstance(pairs.sites, Complete):
        values = np.asarray(coupling)[edges[:, 0], edges[:, 1]]
    else:
        values = np.broadcast_to(coupling, (len(edges),))
    bias = np.array(np.broadcast_to(np.ravel(bias), (n,)), dtype=np.float64)
    if held:
        edges, values, bias = _around(held, domain, edges, values, bias)
    if weights is not None:
        bias = bias + (weights[1] - weights[0]).ravel()
    kept = values != 0
    edges, values = edges[kept], np.array(values[kept], dtype=np.float64)
    return SpinGraph(edges, values, bias)


def _around(held, domain, edges, values, bias):
    """Leave out held units; what they do to the others is a bias."""
    mask, states = held.mask.ravel(), held.states.ravel()
    spins = states if isinstance(domain, Spin) else 2 * states - 1
    bias = bias.copy()
    for one, other in (edges.T, edges.T[::-1]):
        into = mask[one] & ~mask[other]
        np.add.at(bias, other[into], values[into] * spins[one[into]])
    number = np.cumsum(~mask) - 1
    free = ~mask[edges].any(axis=1)
    return number[edges[free]], values[free], bias[~mask]


def is_spins(form):
    """Whether a form is one of two-state units with pair couplings."""
    return isinstance(form.form if isinstance(form, Held) else form, SpinPairs)
