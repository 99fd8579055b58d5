"""Ising energies against sums written out pair by pair."""

import itertools
import tracemalloc

import networkx as nx
import numpy as np
import pytensor.tensor as pt
import pytest
import scipy.sparse as sp

import pm_energy as pme
from pm_energy.compile import ONCE, compile_function, evaluate_once
from pm_energy.energies.sites import Graph, Lattice

TOPOLOGIES = {
    "chain": {"lattice": (5,)},
    "single site": {"lattice": (1,)},
    "pair": {"lattice": (2,)},
    "free": {"lattice": (3, 4), "periodic": False},
    "torus": {"lattice": (3, 4)},
    "cylinder": {"lattice": (3, 4), "periodic": (False, True)},
    "side 2": {"lattice": (2, 4)},
    "side 1": {"lattice": (1, 4)},
    "cube": {"lattice": (2, 3, 3)},
    "four dimensions": {"lattice": (2, 2, 3, 2)},
    "triangular": {"lattice": (3, 4), "triangular": True},
    "triangular free": {"lattice": (3, 3), "triangular": True, "periodic": False},
    "ready lattice": {"lattice": Lattice((3, 3), (True, False))},
    "edge list": {"graph": [[0, 1], [1, 2], [4, 2]]},
    "isolated": {"graph": [[0, 1]], "n_sites": 4},
    "no bonds": {"graph": [], "n_sites": 3},
    "ready graph": {"graph": Graph(4, [[3, 1], [1, 0]])},
    "networkx": {"graph": nx.petersen_graph()},
}


def random_states(shape, batch, seed=0):
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(*batch, *shape))


def pair_sums(s, edges, coupling, field):
    """Energies of flat states (B, n), bond by bond and site by site."""
    out = np.zeros(len(s))
    for (a, b), j in zip(edges, np.broadcast_to(coupling, len(edges)), strict=True):
        out -= j * s[:, a] * s[:, b]
    for i, h in enumerate(np.broadcast_to(field, s.shape[1])):
        out -= h * s[:, i]
    return out


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("per_bond", [False, True])
@pytest.mark.parametrize("per_site", [False, True])
def test_energy_is_the_sum_over_bonds_and_sites(name, per_bond, per_site):
    rng = np.random.default_rng(1)
    sites = pme.Ising(**TOPOLOGIES[name]).sites
    coupling = rng.normal(size=sites.n_bonds) if per_bond else 0.7
    field = rng.normal(size=sites.event_shape) if per_site else -0.3
    energy = pme.Ising(coupling, field, **TOPOLOGIES[name])
    s = random_states(sites.event_shape, (2, 3))
    flat = s.reshape(6, sites.n)
    expected = pair_sums(flat, sites.edges, coupling, np.ravel(field) if per_site else field)
    np.testing.assert_allclose(energy(s).ravel(), expected, atol=1e-12)
    by_graph = pme.energy_values(energy, s.reshape(6, *sites.event_shape))
    np.testing.assert_allclose(by_graph, expected, atol=1e-12)


def test_the_same_model_in_five_notations_has_the_same_energies():
    rng = np.random.default_rng(2)
    lattice = pme.Ising(lattice=(3, 4)).sites
    values, field = rng.normal(size=lattice.n_bonds), rng.normal(size=12)
    dense = np.zeros((12, 12))
    dense[tuple(lattice.edges.T)] = values
    dense += dense.T
    weighted = nx.Graph()
    weighted.add_nodes_from(range(12))
    weighted.add_weighted_edges_from(
        [(a, b, j) for (a, b), j in zip(lattice.edges, values, strict=True)]
    )
    notations = [
        pme.Ising(values, field, graph=lattice.edges),
        pme.Ising(values, field, graph=lattice.edges[:, ::-1]),
        pme.Ising(1.0, field, graph=sp.csr_array(dense)),
        pme.Ising(2.0, field, graph=sp.coo_matrix(dense / 2)),
        pme.Ising(1.0, field, graph=weighted),
        pme.Ising(dense, field),
        pme.BoltzmannMachine(dense, field, coding="spin"),
    ]
    s = random_states((12,), (50,))
    on_lattice = pme.Ising(values, field.reshape(3, 4), lattice=(3, 4))(s.reshape(-1, 3, 4))
    for energy in notations:
        np.testing.assert_allclose(energy(s), on_lattice, atol=1e-12)


def test_frustrated_triangle():
    for beta in (0.1, 1.0, 5.0):
        exact = np.log(6 * np.exp(beta) + 2 * np.exp(-3 * beta))
        for notation in (
            {"graph": [[0, 1], [1, 2], [2, 0]]},
            {"lattice": (3,)},
            {"graph": nx.complete_graph(3)},
        ):
            log_z = pme.exact.log_partition(pme.Ising(-beta, **notation))
            np.testing.assert_allclose(log_z, exact, rtol=1e-14)


def test_spins_without_bonds_are_independent():
    field = np.array([0.0, -0.5, 30.0])
    log_z = pme.exact.log_partition(pme.Ising(5.0, field, graph=[], n_sites=3))
    np.testing.assert_allclose(log_z, np.logaddexp(field, -field).sum(), rtol=1e-14)


def test_an_open_chain_has_its_textbook_partition_function():
    log_z = pme.exact.log_partition(pme.Ising(0.8, lattice=(9,), periodic=False))
    np.testing.assert_allclose(log_z, np.log(2) + 8 * np.log(2 * np.cosh(0.8)), rtol=1e-14)
    ring = pme.exact.log_partition(pme.Ising(0.8, lattice=(9,)))
    exact = np.log((2 * np.cosh(0.8)) ** 9 + (2 * np.sinh(0.8)) ** 9)
    np.testing.assert_allclose(ring, exact, rtol=1e-14)


@pytest.mark.parametrize("name", ["torus", "edge list"])
def test_symbolic_couplings_meet_numpy_states(name):
    coupling = pt.dscalar("coupling")
    energy = pme.Ising(coupling, 0.5, **TOPOLOGIES[name])
    s = random_states(energy.event_shape, (4,))
    fn = compile_function([coupling], energy(s), mode=ONCE)
    numeric = pme.Ising(0.3, 0.5, **TOPOLOGIES[name])
    np.testing.assert_allclose(fn(np.array(0.3)), numeric(s), rtol=1e-14)


@pytest.mark.parametrize("make", [pme.Ising, pme.BoltzmannMachine])
def test_of_a_symbolic_matrix_the_symmetric_part_without_diagonal_is_taken(make):
    """A random matrix cannot be checked; its conditionals must still be those of the energy."""
    raw = np.random.default_rng(3).normal(size=(4, 4))
    symmetric = (raw + raw.T) / 2
    np.fill_diagonal(symmetric, 0.0)
    s = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
    for shape in ((4, 4), (4, None), (None, 4)):
        variable = pt.tensor("J", shape=shape, dtype="float64")
        fn = compile_function([variable], make(variable)(s), mode=ONCE)
        np.testing.assert_allclose(fn(raw), make(symmetric)(s), atol=1e-12)


def test_int8_states_do_not_overflow():
    n = 300
    s = np.ones((1, n), dtype=np.int8)
    ring = pme.Ising(lattice=(n,))
    assert pme.energy_values(ring, s) == -n
    assert evaluate_once(pme.evaluate(ring, pt.as_tensor(s))) == -n


def bytes_to(make):
    make()  # imports and caches
    tracemalloc.start()
    try:
        kept = make()
        return tracemalloc.get_traced_memory()[1], kept
    finally:
        tracemalloc.stop()


def test_a_lattice_of_four_million_spins_takes_no_memory():
    size, ising = bytes_to(lambda: pme.Ising(lattice=(2000, 2000), coupling=0.4, field=0.1))
    assert size < 100_000
    assert ising.sites.n_bonds == 8_000_000
    assert "edges" not in vars(ising.sites)


def test_energy_of_a_large_lattice_makes_few_copies_and_no_edge_list():
    ising = pme.Ising(lattice=(500, 500), coupling=0.4)
    s = np.ones((1, 500, 500), dtype=np.int8)
    size, value = bytes_to(lambda: pme.energy_values(ising, s))
    np.testing.assert_allclose(value, -0.4 * 500_000, rtol=1e-12)
    assert size < 8 * 8 * 500**2  # eight arrays of floats
    assert "edges" not in vars(ising.sites)


def test_a_large_sparse_graph_makes_no_matrix():
    n = 20_000
    ring = np.stack([np.arange(n), (np.arange(n) + 1) % n], axis=1)

    def make():
        ising = pme.Ising(graph=ring, coupling=np.ones(n))
        return pme.energy_values(ising, np.ones((1, n)))

    size, value = bytes_to(make)
    assert value == -n
    assert size < 100 * 8 * n  # n x n floats would be 3.2 GB
