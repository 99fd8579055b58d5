"""Whatever an argument is, there is either an error that names it or the right answer."""

import itertools

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import pm_energy as pme
from pm_energy.distributions import Boltzmann

fixed = settings(derandomize=True, deadline=None, max_examples=60)

numbers = st.floats(-5, 5)
wild = st.one_of(numbers, st.sampled_from([np.nan, np.inf, -np.inf, 1e300, -0.0]))
shapes = array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
junk = st.one_of(
    st.none(),
    st.sampled_from(["", "abc", "1.5", b"1", 1j, {}, {1: 2}, set(), object(), int, [[1], [1, 2]]]),
    st.sampled_from([np.array("a"), np.array([1j]), np.array([None]), [None], ["x"], True]),
    st.sampled_from([np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0]), sp.csr_array(np.eye(3))]),
    st.integers(-3, 300),
    wild,
    shapes.flatmap(lambda shape: arrays(float, shape, elements=wild)),
    shapes.flatmap(lambda shape: arrays(int, shape, elements=st.integers(-3, 3))),
)
sides = st.one_of(st.integers(-1, 4), st.sampled_from([2.0, "3", None, True, np.int8(3)]))
sites = st.integers(-1, 5)
flags = st.one_of(st.booleans(), st.lists(st.booleans(), max_size=4))


def tried(make, *names):
    """Return the outcome, or None after an error that names one of the arguments."""
    message = ""
    try:
        return make()
    except ValueError as error:
        message = str(error)
    assert any(name in message for name in names), f"{message!r} names none of {names}"
    return None


def floats(value, *allowed):
    """Return an accepted argument as floats, of one of the shapes that could be right."""
    assert not np.ma.is_masked(value)
    value = np.asarray(value, dtype=float)
    assert np.isfinite(value).all(), f"{value} is not finite"
    assert value.shape in allowed, f"{value.shape} is none of {allowed}"
    return value


def spin_energy(s, edges, coupling, field):
    """Energies of spins (B, n), bond by bond."""
    coupling = np.broadcast_to(coupling, (len(edges),))
    pairs = sum(j * s[:, a] * s[:, b] for j, (a, b) in zip(coupling, edges, strict=True))
    return -pairs - (np.broadcast_to(field, s.shape[1:]) * s).sum(axis=1)


def some_spins(n):
    return np.random.default_rng(n).choice([-1, 1], size=(5, n))


BONDS = [[0, 1], [1, 2], [0, 3]]


@pytest.mark.parametrize("argument", ["coupling", "field"])
@given(value=junk)
@fixed
def test_parameters_of_ising(argument, value):
    energy = tried(lambda: pme.Ising(graph=BONDS, **{argument: value}), argument)
    if energy is not None:
        given = {"coupling": 1.0, "field": 0.0, argument: value}
        expected = spin_energy(some_spins(4), BONDS, floats(given["coupling"], (), (3,)),
                               floats(given["field"], (), (4,)))  # fmt: skip
        found = pme.energy_values(energy, some_spins(4))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@given(value=junk)
@fixed
def test_coupling_matrices(value):
    for make in (pme.Ising, lambda j: pme.BoltzmannMachine(j, coding="spin")):
        energy = tried(lambda make=make: make(value), "coupling")
        if energy is not None:
            j = np.asarray(value, dtype=float)
            assert np.isfinite(j).all()
            np.testing.assert_allclose(j, j.T, rtol=0, atol=1e-7 * np.abs(j).max())
            np.testing.assert_array_equal(np.diag(j), 0.0)
            s = some_spins(len(j))
            expected = -0.5 * ((s @ j) * s).sum(axis=1)
            scale = np.abs(j).max()
            np.testing.assert_allclose(pme.energy_values(energy, s), expected, atol=1e-7 * scale)


@given(
    j=st.integers(1, 4).flatmap(lambda n: arrays(float, (n, n), elements=numbers)),
    symmetric=st.booleans(),
    hollow=st.booleans(),
)
@fixed
def test_square_matrices_that_are_not_symmetric_or_couple_units_to_themselves(j, symmetric, hollow):
    if symmetric:
        j = np.triu(j) + np.triu(j, 1).T
    if hollow:
        np.fill_diagonal(j, 0.0)
    is_right = np.allclose(j, j.T, rtol=0, atol=1e-8 * np.abs(j).max()) and not np.diag(j).any()
    for make in (pme.Ising, pme.BoltzmannMachine):
        assert (tried(lambda make=make: make(j), "coupling") is not None) == is_right


@given(
    edges=st.lists(st.tuples(sites, sites), max_size=6),
    n_sites=st.one_of(st.none(), st.integers(-1, 8), st.sampled_from([2.5, "6", True])),
)
@settings(fixed, max_examples=200)
def test_edge_lists(edges, n_sites):
    named = 1 + max((max(edge) for edge in edges), default=-1)
    single = len({frozenset(edge) for edge in edges}) == len(edges)
    no_loops = all(a != b for a, b in edges)
    counted = n_sites is None or (type(n_sites) is int and n_sites >= max(named, 1))
    in_range = all(min(edge) >= 0 for edge in edges) and (named > 0 or n_sites is not None)
    energy = tried(lambda: pme.Ising(0.7, graph=edges, n_sites=n_sites), "graph", "n_sites")
    assert (energy is not None) == (single and no_loops and counted and in_range)
    if energy is not None:
        n = named if n_sites is None else n_sites
        s = some_spins(n)
        found = pme.energy_values(energy, s)
        np.testing.assert_allclose(found, spin_energy(s, edges, 0.7, 0.0), atol=1e-12)


@given(value=junk)
@fixed
def test_graphs_that_are_none(value):
    for make in (pme.Ising, lambda **k: pme.Potts(3, **k)):
        energy = tried(lambda make=make: make(graph=value), "graph", "coupling")
        if energy is not None:
            assert np.shape(value)[1:] == (2,) or sp.issparse(value)


@given(
    matrix=st.integers(1, 4).flatmap(lambda n: arrays(float, (n, n), elements=wild)),
    make=st.sampled_from([sp.csr_array, sp.csc_matrix, sp.coo_array, sp.lil_matrix]),
    symmetric=st.booleans(),
)
@fixed
def test_sparse_matrices(matrix, make, symmetric):
    if symmetric:
        matrix = np.triu(matrix, 1)
        matrix = np.where(matrix == 0, matrix.T, matrix)
    energy = tried(lambda: pme.Ising(2.0, graph=make(matrix)), "graph")
    if energy is not None:
        np.testing.assert_array_equal(np.diag(matrix), 0.0)
        s = some_spins(len(matrix))
        expected = -((s @ matrix) * s).sum(axis=1)
        tolerance = 1e-7 * np.abs(matrix).max()
        np.testing.assert_allclose(pme.energy_values(energy, s), expected, atol=tolerance)


@given(
    edges=st.lists(st.tuples(sites, sites), max_size=5),
    weights=st.lists(st.one_of(wild, st.none(), st.just("heavy")), min_size=5, max_size=5),
    make=st.sampled_from([nx.Graph, nx.DiGraph, nx.MultiGraph]),
)
@fixed
def test_networkx_graphs(edges, weights, make):
    graph = make()
    for (a, b), weight in zip(edges, weights, strict=False):
        graph.add_edge(a, b, **({} if weight is None else {"weight": weight}))
    energy = tried(lambda: pme.Ising(2.0, graph=graph), "graph")
    if energy is not None:
        number = {node: i for i, node in enumerate(graph.nodes)}
        pairs = [(number[a], number[b]) for a, b in graph.edges()]
        assert len({frozenset(p) for p in pairs}) == len(pairs)
        values = [2.0 * d.get("weight", 1.0) for _, _, d in graph.edges(data=True)]
        s = some_spins(len(number))
        found = pme.energy_values(energy, s)
        np.testing.assert_allclose(
            found, spin_energy(s, pairs, values, 0.0), rtol=1e-12, atol=1e-12
        )


@given(shape=st.lists(sides, max_size=4), periodic=flags, triangular=st.booleans())
@settings(fixed, max_examples=200)
def test_lattices(shape, periodic, triangular):
    fits = all(type(side) in (int, np.int8) and side > 0 for side in shape) and len(shape) > 0
    fits &= isinstance(periodic, bool) or len(periodic) == len(shape)
    fits &= len(shape) == 2 or not triangular
    names = ("lattice", "periodic", "triangular")
    energy = tried(
        lambda: pme.Ising(0.7, lattice=shape, periodic=periodic, triangular=triangular), *names
    )
    assert (energy is not None) == fits
    direct = tried(lambda: pme.Lattice(shape, periodic, triangular), *names)
    assert (direct is not None) == fits
    if energy is not None:
        s = np.random.default_rng(1).choice([-1, 1], size=(3, *map(int, shape)))
        expected = spin_energy(s.reshape(3, -1), direct.edges, 0.7, 0.0)
        np.testing.assert_allclose(pme.energy_values(energy, s), expected, atol=1e-12)


@pytest.mark.parametrize("argument", ["lattice", "periodic", "triangular"])
@given(value=junk)
@fixed
def test_lattices_that_are_none(argument, value):
    energy = tried(lambda: pme.Ising(**{"lattice": (3, 3), argument: value}), argument, "coupling")
    if energy is not None:
        assert all(side > 0 for side in energy.event_shape)


def contradictions():
    ready, graph = pme.Lattice((3, 3)), pme.Graph(3, [[0, 1]])
    yield "lattice or graph", {"lattice": (3, 3), "graph": BONDS}
    yield "periodic", {"graph": BONDS, "periodic": False}
    yield "triangular", {"graph": BONDS, "triangular": True}
    yield "periodic", {"lattice": ready, "periodic": False}
    yield "triangular", {"lattice": ready, "triangular": True}
    yield "n_sites", {"lattice": (3, 3), "n_sites": 9}
    yield "n_sites", {"graph": graph, "n_sites": 5}
    yield "n_sites", {"coupling": np.zeros((3, 3)), "n_sites": 5}
    yield "coupling", {}
    yield "coupling", {"coupling": sp.csr_array((3, 3))}
    yield "coupling", {"coupling": np.zeros((3, 3)), "lattice": (3,)}
    yield "coupling", {"coupling": np.ones(4), "graph": BONDS}
    yield "coupling", {"coupling": np.ones(4), "graph": sp.csr_array([[0, 1], [1, 0]])}
    yield "field", {"lattice": (3, 4), "field": np.zeros((4, 3))}
    yield "field", {"lattice": (3, 4), "field": np.zeros(12)}
    yield "graph", {"graph": [], "n_sites": None}
    yield "graph", {"graph": [[0, 2**40]]}
    yield "graph", {"graph": np.array([[0, 2**64 - 1]], dtype=np.uint64)}
    yield "graph", {"graph": nx.Graph()}
    yield "graph", {"graph": sp.csr_array((0, 0))}
    yield "graph", {"graph": sp.csr_array((2, 3))}


@pytest.mark.parametrize(("name", "arguments"), [*contradictions()])
def test_arguments_that_contradict_one_another_are_named(name, arguments):
    for make in (pme.Ising, lambda **k: pme.Potts(3, **k)):
        with pytest.raises(ValueError, match=name):
            make(**arguments)


def potts_energy(x, q, coupling, field):
    coupling = np.broadcast_to(coupling, (len(BONDS),))
    pairs = sum(j * (x[:, a] == x[:, b]) for j, (a, b) in zip(coupling, BONDS, strict=True))
    table = np.broadcast_to(field, (4, q))
    return -pairs - table[np.arange(4), x].sum(axis=1)


@pytest.mark.parametrize("argument", ["q", "coupling", "field"])
@given(value=junk)
@fixed
def test_parameters_of_potts(argument, value):
    values = {"q": 3, "coupling": 0.5, "field": 0.0, argument: value}
    energy = tried(lambda: pme.Potts(graph=BONDS, **values), argument)
    if energy is not None:
        q = values["q"]
        assert isinstance(q, int | np.integer)
        assert q >= 2
        expected = potts_energy(
            x := np.random.default_rng(2).integers(0, q, size=(5, 4)),
            q,
            floats(values["coupling"], (), (3,)),
            floats(values["field"], (), (q,), (4, q)),
        )
        found = pme.energy_values(energy, x)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


MATRIX = np.array([[0.0, 1.0, -0.5], [1.0, 0.0, 0.2], [-0.5, 0.2, 0.0]])


@pytest.mark.parametrize("argument", ["bias", "offset", "coding"])
@given(value=junk)
@fixed
def test_parameters_of_boltzmann_machines(argument, value):
    energy = tried(lambda: pme.BoltzmannMachine(MATRIX, **{argument: value}), argument)
    if energy is not None:
        x = np.array(list(itertools.product([0, 1], repeat=3)))
        expected = -0.5 * ((x @ MATRIX) * x).sum(axis=1)
        if argument == "bias":
            expected -= (floats(value, (), (3,)) * x).sum(axis=1)
        else:
            expected += floats(value, ())
        found = pme.energy_values(energy, x)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "argument", ["weights", "visible_bias", "hidden_bias", "variance", "visible", "hidden"]
)
@given(value=junk)
@fixed
def test_parameters_of_restricted_machines(argument, value):
    weights = np.array([[1.0, -0.5], [0.2, 0.7], [-1.0, 0.1]])
    values = {"weights": weights, "visible_bias": 0.3, "hidden_bias": -0.2}
    if argument == "variance":
        values["visible"] = "gaussian"
    values[argument] = value
    energy = tried(lambda: pme.RBM(**values), argument)
    if energy is None or argument in ("visible", "hidden"):
        assert energy is None
        return
    w = np.asarray(values["weights"], dtype=float)
    n, m = w.shape
    assert np.isfinite(w).all()
    a, b = floats(values["visible_bias"], (), (n,)), floats(values["hidden_bias"], (), (m,))
    rng = np.random.default_rng(3)
    v, h = rng.integers(0, 2, size=(4, n)), rng.integers(0, 2, size=(4, m))
    scale = np.ones(())
    if argument == "variance":
        scale = floats(1.0 if value is None else value, (), (n,))
        assert (scale > 0).all()
        expected = ((v - a) ** 2 / (2 * scale)).sum(axis=1)
    else:
        expected = -(a * v).sum(axis=1)
    expected = expected - (b * h).sum(axis=1) - (((v / scale) @ w) * h).sum(axis=1)
    found = pme.energy_values(energy, v, h)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_variance_is_for_gaussian_units():
    with pytest.raises(ValueError, match="variance is for visible='gaussian', got"):
        pme.RBM(np.ones((2, 2)), variance=1.0)


@pytest.mark.parametrize(
    "energy",
    [
        pme.Ising(lattice=(3,)),
        pme.BoltzmannMachine(MATRIX),
        pme.Potts(3, lattice=(3,)),
        pme.Potts(200, lattice=(3,)),
        pme.Tempered(pme.Ising(lattice=(3,)), 0.5),
        pme.energy_from_function(lambda x: (x**2).sum(-1), pme.Real(), (3,)),
    ],
    ids=lambda energy: type(energy).__name__,
)
@given(value=st.one_of(junk, arrays(int, (2, 3), elements=st.integers(-2, 300))))
@fixed
def test_states(energy, value):
    found = tried(lambda: pme.energy_values(energy, value), "states")
    if found is not None:
        block = pme.energy.single_block(energy)
        x = np.asarray(value, dtype=float)
        assert x.shape[1:] == block.shape
        assert found.shape == x.shape[:1]
        if block.domain.states is not None:
            assert np.isin(x, block.domain.states).all()


@pytest.mark.parametrize("argument", ["beta", "temperature"])
@given(value=junk)
@fixed
def test_temperatures(argument, value):
    ring = pme.Ising(lattice=(3,))
    if argument == "beta":
        found = tried(lambda: pme.Tempered(ring, value), "beta")
        if found is not None:
            assert floats(value, ()) >= 0
            at_one = pme.energy_values(ring, some_spins(3))
            hot = pme.energy_values(found, some_spins(3))
            np.testing.assert_allclose(hot, float(value) * at_one, rtol=1e-12)
    else:
        found = tried(lambda: Boltzmann.dist(ring, temperature=value), "temperature")
        if found is not None:
            assert floats(value, ()) > 0


@pytest.mark.parametrize("argument", ["function", "domain", "event_shape", "a"])
@given(value=junk)
@fixed
def test_functions_as_energies(argument, value):
    def formula(x, a):
        return (a * x).sum(-1)

    values = {"function": formula, "domain": pme.Spin(), "event_shape": (2,), "a": 1.0}
    values[argument] = value
    energy = tried(lambda: pme.energy_from_function(**values), argument)
    if energy is None or argument == "function":
        return
    assert argument != "domain"
    if argument == "event_shape":
        assert all(side > 0 for side in energy.event_shape)
    else:
        assert np.isfinite(np.asarray(value, dtype=float)).all()


@given(value=junk)
@fixed
def test_graphs_and_domains(value):
    graph = tried(lambda: pme.Graph(value, BONDS), "n")
    assert graph is None or (graph.n == value and graph.n >= 4)
    graph = tried(lambda: pme.Graph(4, value), "graph")
    assert graph is None or graph.edges.shape[1:] == (2,)
    domain = tried(lambda: pme.Categorical(value), "q")
    assert domain is None or len(domain.states) == value
