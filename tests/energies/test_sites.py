"""Lattices and graphs against bonds written out site by site."""

import itertools

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp

from pm_energy.energies.read_sites import read_graph
from pm_energy.energies.sites import Complete, Graph, Lattice, neighbours

LATTICES = [
    Lattice(shape, periodic)
    for shape in [(1,), (2,), (5,), (1, 1), (1, 4), (2, 2), (2, 3), (3, 4), (2, 3, 4), (2, 3, 1, 3)]
    for periodic in (True, False)
] + [
    Lattice((3, 4), (True, False)),
    Lattice((3, 3, 3), (False, True, False)),
    *[
        Lattice(shape, periodic, triangular=True)
        for shape in [(1, 1), (1, 3), (2, 2), (2, 3), (3, 3), (4, 3)]
        for periodic in (True, False, (True, False))
    ],
]


def bonds_of(lattice):
    """Pairs of neighbouring sites, found by walking over sites; a side below 3 does not wrap."""
    number = {site: i for i, site in enumerate(itertools.product(*map(range, lattice.shape)))}
    steps = np.eye(len(lattice.shape), dtype=int).tolist()
    if lattice.triangular:
        steps.append([1, 1])
    pairs = set()
    for site, step in itertools.product(number, steps):
        other = [a + b for a, b in zip(site, step, strict=True)]
        for axis, (side, wraps) in enumerate(zip(lattice.shape, lattice.periodic, strict=True)):
            if wraps and side > 2:
                other[axis] %= side
        if tuple(other) in number:
            pairs.add(frozenset([number[site], number[tuple(other)]]))
    return pairs


@pytest.mark.parametrize("lattice", LATTICES, ids=repr)
def test_lattice_has_each_pair_of_neighbours_once(lattice):
    assert lattice.edges.shape == (lattice.n_bonds, 2)
    pairs = {frozenset(edge) for edge in lattice.edges.tolist()}
    assert len(pairs) == lattice.n_bonds
    assert pairs == bonds_of(lattice)


@pytest.mark.parametrize("lattice", LATTICES, ids=repr)
@pytest.mark.parametrize("code", [(), (3,)])
def test_pairs_and_bond_values_follow_the_order_of_the_edges(lattice, code):
    x = np.random.default_rng(1).normal(size=(2, 3, *lattice.shape, *code))
    flat = x.reshape(2, 3, lattice.n, *code)
    values = np.arange(lattice.n_bonds)
    ends = lattice.pairs(x, code_ndim=len(code))
    for (a, b), v in zip(ends, lattice.bond_values(values), strict=True):
        left, right = lattice.edges[v.ravel()].T
        np.testing.assert_array_equal(a.reshape(2, 3, -1, *code), flat[:, :, left])
        np.testing.assert_array_equal(b.reshape(2, 3, -1, *code), flat[:, :, right])
    assert sum(v.size for v in lattice.bond_values(values)) == lattice.n_bonds


def test_lattices_that_a_triangular_coordination_number_knows():
    torus = Lattice((4, 5), triangular=True)
    degrees = np.bincount(torus.edges.ravel(), minlength=torus.n)
    np.testing.assert_array_equal(degrees, 6)


@pytest.mark.parametrize("sites", [Lattice((3, 4)), Graph(5, [[0, 1], [3, 1]]), Graph(3, [])])
def test_neighbour_lists_hold_each_bond_at_both_ends(sites):
    indptr, indices, bond = neighbours(sites.edges, sites.n)
    rows = np.repeat(np.arange(sites.n), np.diff(indptr))
    assert indptr.shape == (sites.n + 1,)
    assert len(indices) == len(bond) == 2 * sites.n_bonds
    ends = np.sort(np.stack([rows, indices], axis=1), axis=1)
    np.testing.assert_array_equal(ends, np.sort(sites.edges, axis=1)[bond].reshape(-1, 2))
    np.testing.assert_array_equal(np.bincount(bond, minlength=sites.n_bonds), 2)
    assert all((np.diff(indices[a:b]) > 0).all() for a, b in itertools.pairwise(indptr))


def test_a_sparse_matrix_and_a_networkx_graph_are_read_with_their_weights():
    rng = np.random.default_rng(2)
    dense = np.triu(rng.normal(size=(6, 6)) * (rng.random((6, 6)) < 0.5), 1)
    dense += dense.T
    named = nx.relabel_nodes(nx.from_numpy_array(dense), dict(enumerate("fedcba")))
    for make in (sp.csr_array, sp.coo_matrix, sp.csc_matrix, sp.lil_array, lambda _: named):
        graph, weights = read_graph(make(dense))
        rebuilt = np.zeros((6, 6))
        rebuilt[tuple(graph.edges.T)] = weights
        np.testing.assert_array_equal(rebuilt + rebuilt.T, dense)


def test_an_adjacency_matrix_may_be_of_truth_values_or_small_integers():
    dense = np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]])
    for dtype in (bool, "uint8", "int64"):
        graph, weights = read_graph(sp.csr_array(dense.astype(dtype)))
        assert graph.edges.tolist() == [[0, 1], [0, 2]]
        assert weights.tolist() == [1.0, 1.0]


def test_a_sparse_matrix_adds_up_entries_given_twice():
    entries = ([1.0, 2.0, 3.0], ([0, 0, 1], [1, 1, 0]))
    _, weights = read_graph(sp.coo_matrix(entries, shape=(2, 2)))
    assert weights.tolist() == [3.0]


def test_a_networkx_graph_without_weights_is_only_a_graph():
    graph, weights = read_graph(nx.path_graph(["c", "a", "b"]))
    assert weights is None
    assert graph.edges.tolist() == [[0, 1], [1, 2]]
    isolated = nx.Graph()
    isolated.add_nodes_from(range(3))
    assert read_graph(isolated)[0].n == 3


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "uint64"])
def test_edges_of_any_integer_type(dtype):
    edges = np.array([[0, 100], [100, 99]], dtype=dtype)  # keys of int8 pairs would overflow
    graph, _ = read_graph(edges)
    assert graph.n == 101
    assert graph.edges.tolist() == edges.tolist()


def test_isolated_sites_are_counted():
    assert read_graph([[0, 2]])[0].n == 3
    assert read_graph([[0, 2]], n_sites=5)[0].n == 5
    assert read_graph([], n_sites=2)[0].n_bonds == 0


@pytest.mark.parametrize("sites", [Lattice((2, 3)), Graph(2, [[0, 1]]), Complete(3)], ids=repr)
def test_labels_name_the_size(sites):
    assert {"Lattice": "2 x 3", "Graph": "2 sites", "Complete": "3 units"}[
        type(sites).__name__
    ] in sites.label


def test_edges_of_a_graph_cannot_be_changed_behind_its_back():
    edges = np.array([[0, 1]])
    graph = Graph(2, edges)
    edges[0] = 0
    assert graph.edges.tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="read-only"):
        graph.edges[0, 0] = 1
