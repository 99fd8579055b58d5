"""Potts energies against sums written out pair by pair, and both of their formulas."""

import itertools
import tracemalloc

import networkx as nx
import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor.gradient import grad

import pm_energy as pme
from pm_energy.compile import ONCE, compile_function, evaluate_once
from pm_energy.structure import symbolic_like

MATRIX = np.array([[0.0, 1.0, -0.5], [1.0, 0.0, 0.2], [-0.5, 0.2, 0.0]])
TOPOLOGIES = {
    "chain": {"lattice": (4,)},
    "single site": {"lattice": (1,)},
    "torus": {"lattice": (3, 4)},
    "cylinder": {"lattice": (3, 4), "periodic": (False, True)},
    "side 2": {"lattice": (2, 3)},
    "cube": {"lattice": (2, 3, 3)},
    "four dimensions": {"lattice": (2, 1, 3, 2)},
    "triangular": {"lattice": (3, 3), "triangular": True},
    "edge list": {"graph": [[0, 1], [1, 2], [4, 2]]},
    "isolated": {"graph": [[0, 1]], "n_sites": 4},
    "no bonds": {"graph": [], "n_sites": 3},
    "networkx": {"graph": nx.cycle_graph(5)},
    "all pairs": {"coupling": MATRIX},
}


def example(name, kind="per site", q=3, seed=1):
    """A model with random bonds, its field at each site, its bonds and their couplings."""
    rng = np.random.default_rng(seed)
    arguments = TOPOLOGIES[name]
    sites = pme.Potts(q, **arguments).sites
    if name == "all pairs":
        edges = np.array(list(itertools.combinations(range(3), 2)))
        coupling = MATRIX
        values = MATRIX[tuple(edges.T)]
    else:
        edges, coupling = sites.edges, rng.normal(size=sites.n_bonds)
        values = coupling
    shape = {"scalar": (), "per state": (q,), "per site": (*sites.event_shape, q)}[kind]
    field = rng.normal(size=shape)
    energy = pme.Potts(q, **{**arguments, "coupling": coupling, "field": field})
    return energy, np.broadcast_to(field, (*sites.event_shape, q)).reshape(-1, q), edges, values


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("kind", ["scalar", "per state", "per site"])
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_both_formulas_are_the_sum_over_bonds_and_sites(name, kind, batch):
    energy, field, edges, coupling = example(name, kind)
    x = np.random.default_rng(2).integers(0, 3, size=(*batch, *energy.event_shape), dtype=np.int8)
    flat = x.reshape(-1, len(field))
    expected = -field[np.arange(len(field)), flat].sum(axis=1)
    for (a, b), j in zip(edges, coupling, strict=True):
        expected -= j * (flat[:, a] == flat[:, b])
    states = pt.as_tensor(x)
    one_hot, gathered = evaluate_once(
        [energy(energy.domain.encode(states)), energy.on_states(states)]
    )
    assert one_hot.shape == gathered.shape == batch
    np.testing.assert_allclose(one_hot.ravel(), expected, atol=1e-12)
    np.testing.assert_allclose(gathered.ravel(), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["torus", "edge list", "all pairs"])
def test_both_formulas_have_the_same_gradient_in_the_parameters(name):
    energy, *_ = example(name)
    x = pt.as_tensor(np.random.default_rng(3).integers(0, 3, size=energy.event_shape))
    symbolic, inputs, leaves = symbolic_like(energy)
    values = symbolic(symbolic.domain.encode(x)), symbolic.on_states(x)
    slopes = [slope for value in values for slope in grad(value, inputs)]
    numbers = compile_function(inputs, slopes, mode=ONCE)(*[leaf.data for leaf in leaves])
    for one_hot, gathered in zip(numbers[:2], numbers[2:], strict=True):
        np.testing.assert_allclose(one_hot, gathered, atol=1e-12)


@pytest.mark.parametrize("name", ["torus", "cube", "triangular", "edge list"])
def test_two_states_are_the_ising_model(name):
    """2 delta(x, y) - 1 = s t: the Potts coupling is twice that of the spins."""
    rng = np.random.default_rng(4)
    sites = pme.Ising(**TOPOLOGIES[name]).sites
    coupling, field = rng.normal(size=sites.n_bonds), rng.normal(size=sites.event_shape)
    ising = pme.Ising(coupling, field, **TOPOLOGIES[name])
    potts = pme.Potts(2, 2 * coupling, np.stack([-field, field], -1), **TOPOLOGIES[name])
    x = rng.integers(0, 2, size=(20, *sites.event_shape))
    difference = pme.energy_values(potts, x) - pme.energy_values(ising, 2 * x - 1)
    np.testing.assert_allclose(difference, -coupling.sum(), atol=1e-12)


def test_a_ring_has_its_textbook_partition_function():
    """Eigenvalues of the transfer matrix: e^K + q - 1 once, e^K - 1 the other q - 1 times."""
    q, k, n = 4, 0.7, 6
    exact = np.log((np.exp(k) + q - 1) ** n + (q - 1) * (np.exp(k) - 1) ** n)
    log_z = pme.exact.log_partition(pme.Potts(q, k, lattice=(n,)))
    np.testing.assert_allclose(log_z, exact, rtol=1e-14)


@pytest.mark.parametrize("q", [2, 127, 128, 200, 300])
def test_many_states(q):
    field = np.random.default_rng(5).normal(size=q)
    pair = pme.Potts(q, 0.5, field, graph=[[0, 1]])
    x = np.array([[0, q - 1], [q - 1, q - 1], [q - 2, 1]])
    expected = -field[x].sum(axis=1) - 0.5 * (x[:, 0] == x[:, 1])
    np.testing.assert_allclose(pme.energy_values(pair, x), expected, rtol=1e-14)
    weights = np.exp(field[:, None] + field + 0.5 * np.eye(q))
    np.testing.assert_allclose(pme.exact.log_partition(pair), np.log(weights.sum()), rtol=1e-13)


def test_symbolic_parameters():
    coupling, field = pt.dscalar(), pt.dmatrix()
    x = np.random.default_rng(6).integers(0, 3, size=(5, 4))
    values = np.array(0.7), np.random.default_rng(7).normal(size=(4, 3))
    symbolic = pme.Potts(3, coupling, field, lattice=(4,)).on_states(x)
    fn = compile_function([coupling, field], symbolic, mode=ONCE)
    numeric = pme.Potts(3, *values, lattice=(4,))
    np.testing.assert_allclose(fn(*values), pme.energy_values(numeric, x), rtol=1e-14)


def peak(make):
    make()  # imports and caches
    tracemalloc.start()
    try:
        value = make()
        return tracemalloc.get_traced_memory()[1], value
    finally:
        tracemalloc.stop()


def test_a_lattice_of_four_million_sites_takes_no_memory():
    size, potts = peak(lambda: pme.Potts(10, 0.4, lattice=(2000, 2000)))
    assert size < 100_000
    assert "edges" not in vars(potts.sites)


def test_the_energy_of_a_large_lattice_makes_no_one_hot_array():
    q, side = 60, 200
    potts = pme.Potts(q, 0.5, np.zeros(q), lattice=(side, side))
    size, value = peak(lambda: pme.energy_values(potts, np.zeros((1, side, side))))
    assert value == -0.5 * 2 * side**2
    assert size < 8 * q * side**2 / 5  # one-hot floats alone would be five times that
    assert "edges" not in vars(potts.sites)
