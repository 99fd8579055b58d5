"""What a constructor's arguments say about sites and couplings."""

import numpy as np
import scipy.sparse as sp

from pm_energy.energies.sites import Complete, Graph, Lattice, edge_array
from pm_energy.validate import (
    parameter,
    positive_int,
    shape_matches,
    static_shape,
    symmetric_coupling,
)


def read_sites(lattice, graph, periodic, triangular, n_sites, coupling):
    """Return the sites and the coupling that a constructor's arguments describe.

    Parameters
    ----------
    lattice : tuple of int, Lattice or None
    graph : array_like (m, 2), Graph, scipy sparse matrix, networkx graph or None
    periodic, triangular
        Of a lattice given by its sides.
    n_sites : int or None
        Of a graph given by its edges.
    coupling : tensor_like
        A matrix, where there is neither lattice nor graph.

    Raises
    ------
    ValueError
        If they contradict one another.
    """
    if lattice is not None and graph is not None:
        raise ValueError("pass lattice or graph, not both")
    by_sides = lattice is not None and not isinstance(lattice, Lattice)
    if not by_sides and (periodic is not True or triangular is not False):
        raise ValueError("periodic and triangular belong to a lattice given by its sides")
    if n_sites is not None and (graph is None or isinstance(graph, Graph)):
        raise ValueError("n_sites belongs to a graph given by its edges")
    if lattice is None and graph is None:
        return _all_pairs(coupling)
    coupling, weights = parameter("coupling", coupling, (0, 1)), None
    if lattice is not None:
        sites = Lattice(lattice, periodic, triangular) if by_sides else lattice
    elif isinstance(graph, Graph):
        sites = graph
    else:
        sites, weights = read_graph(graph, n_sites)
    if coupling.ndim == 1 and not shape_matches(coupling, (sites.n_bonds,)):
        raise ValueError(
            f"coupling must be a scalar or one value for each of the {sites.n_bonds} bonds, "
            f"got shape {static_shape(coupling)}"
        )
    return sites, coupling if weights is None else coupling * weights


def _all_pairs(coupling):
    if sp.issparse(coupling):
        raise ValueError("coupling must be a dense matrix; pass a sparse one as graph")
    coupling = parameter("coupling", coupling)
    if coupling.ndim != 2:
        raise ValueError(
            f"coupling must be a matrix (n, n) or come with lattice or graph, "
            f"got shape {static_shape(coupling)}"
        )
    coupling = symmetric_coupling("coupling", coupling)
    n = static_shape(coupling)[0]
    if n is None:
        raise ValueError("coupling must have a known number of rows, or pass lattice or graph")
    return Complete(n), coupling


def read_graph(graph, n_sites=None):
    """Turn what users call a graph into ``(Graph, weights or None)``.

    Parameters
    ----------
    graph : array_like (m, 2), scipy sparse matrix or networkx graph
        A sparse matrix carries a weight per bond; a networkx graph does where its edges have
        ``weight``, and its nodes are numbered in their order.
    n_sites : int, optional
        Number of sites where an edge list leaves isolated sites at the end.

    Raises
    ------
    ValueError
        If it is no graph of undirected, single bonds.
    """
    if sp.issparse(graph):
        n, edges, weights = _read_sparse(graph)
    elif hasattr(graph, "nodes") and hasattr(graph, "edges"):
        n, edges, weights = _read_networkx(graph)
    else:
        edges, weights = edge_array(graph), None
        n = int(edges.max()) + 1 if edges.size else 0
    if n_sites is not None:
        if positive_int("n_sites", n_sites) < n:
            raise ValueError(f"n_sites is {n_sites}, but graph has {n} sites")
        n = int(n_sites)
    if n == 0:
        raise ValueError("graph has no sites; pass n_sites for sites without bonds")
    if weights is not None:
        weights = parameter("the weights of graph", weights)
    return Graph(n, edges), weights


def _read_sparse(graph):
    if graph.ndim != 2 or graph.shape[0] != graph.shape[1]:
        raise ValueError(f"graph must be a square sparse matrix, got shape {graph.shape}")
    if graph.dtype.kind not in "biuf":
        raise ValueError(f"graph must be a sparse matrix of real numbers, got dtype {graph.dtype}")
    graph = sp.csr_array(graph, dtype=float)
    if not np.isfinite(graph.data).all():
        raise ValueError("graph must have finite entries, got NaN or infinity")
    largest = np.abs(graph.data).max(initial=0.0)
    if np.abs((graph - graph.T).data).max(initial=0.0) > 1e-8 * largest:
        raise ValueError("graph must be a symmetric sparse matrix. Pass (J + J.T) / 2")
    if graph.diagonal().any():
        raise ValueError("graph must have a zero diagonal (no self-coupling)")
    upper = sp.triu(graph, k=1, format="coo")
    return graph.shape[0], np.stack([upper.row, upper.col], axis=1), upper.data


def _read_networkx(graph):
    number = {node: i for i, node in enumerate(graph.nodes)}
    edges = [(number[a], number[b]) for a, b in graph.edges()]
    weights = [w for *_, w in graph.edges(data="weight")]
    if all(w is None for w in weights):
        return len(number), edges, None
    if any(w is None for w in weights):
        raise ValueError("graph must have a weight on each edge or on none")
    return len(number), edges, weights
