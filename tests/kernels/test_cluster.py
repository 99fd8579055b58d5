"""Swendsen-Wang and Wolff: invariance with and without site weights, labels, an exact energy."""

import itertools

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import chisquare

from pm_energy.kernels.cluster import swendsen_wang
from pm_energy.kernels.cluster_lattice import swendsen_wang_lattice
from pm_energy.kernels.wolff import wolff

FALSE_ALARM = 1e-6
COPIES = 40_000
EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2], [3, 4]])  # a crossed square and a tail
SITES = 5
BONDS = np.array([0.3, 0.9, 0.0, 1.4, 0.6, 0.8])


def csr(edges, n):
    source = np.concatenate([edges[:, 0], edges[:, 1]])
    bond = np.argsort(source, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=n))])
    return indptr, np.concatenate([edges[:, 1], edges[:, 0]])[bond], bond % len(edges)


def lattice_edges(shape, periodic):
    site = np.arange(np.prod(shape)).reshape(shape)
    pairs = []
    for axis, (length, wrap) in enumerate(zip(shape, periodic, strict=True)):
        first = np.take(site, range(length - 1), axis).ravel()
        pairs.append(np.stack([first, np.take(site, range(1, length), axis).ravel()], 1))
        if wrap and length > 2:
            pairs.append(np.stack([np.take(site, k, axis).ravel() for k in (length - 1, 0)], 1))
    return np.concatenate(pairs)


def enumerate_target(q, n, edges, coupling, log_weight):
    states = np.array(list(itertools.product(range(q), repeat=n)), dtype=np.int8)
    equal = states[:, edges[:, 0]] == states[:, edges[:, 1]]
    log_p = (equal * coupling).sum(1) + log_weight[np.arange(n), states].sum(1)
    p = np.exp(log_p - log_p.max())
    return states, p / p.sum()


def p_value(states, q, p):
    """Chi-square of states; the rarest are pooled to an expected count of 20."""
    numbers = states.astype(int) @ q ** np.arange(states.shape[1])[::-1]
    expected = len(numbers) * p
    order = np.argsort(expected)
    group = np.minimum(expected[order].cumsum() // 20.0, expected.sum() // 20.0 - 1).astype(int)
    observed = np.bincount(numbers, minlength=p.size)[order]
    assert not observed[expected[order] == 0].any()
    keep = np.bincount(group, expected[order]) > 0
    return chisquare(*(np.bincount(group, w)[keep] for w in (observed, expected[order]))).pvalue


def sw(rng, x, edges, coupling, log_weight, q):
    swendsen_wang(rng, x, edges, coupling, log_weight, q)


def sw_without_weights(rng, x, edges, coupling, log_weight, q):
    swendsen_wang(rng, x, edges, coupling, None, q)


def sw_with_weights_of_roots(rng, x, edges, coupling, log_weight, q):
    """The weights of one site of each cluster in place of their sum."""
    first = np.arange(len(x)) % SITES == 0
    swendsen_wang(rng, x, edges, coupling, log_weight * first[:, None], q)


def sw_with_twice_the_coupling(rng, x, edges, coupling, log_weight, q):
    swendsen_wang(rng, x, edges, 2 * coupling, log_weight, q)


def wolff_many(rng, x, edges, coupling, log_weight, q):
    """As many clusters as sites, at random sites: each copy of the graph gets some of them."""
    indptr, indices, bond = csr(edges, len(x))
    coupling = coupling if np.ndim(coupling) == 0 else coupling[bond]
    wolff(rng, x, indptr, indices, coupling, log_weight, q, len(x))


def wolff_without_weights(rng, x, edges, coupling, log_weight, q):
    wolff_many(rng, x, edges, coupling, None, q)


def wolff_with_half_the_coupling(rng, x, edges, coupling, log_weight, q):
    wolff_many(rng, x, edges, 0.5 * coupling, log_weight, q)


@pytest.mark.parametrize("coupling", [0.8, BONDS], ids=["uniform", "per bond"])
@pytest.mark.parametrize("q", [2, 3, 4])
@pytest.mark.parametrize(
    ("update", "is_right"),
    [
        (sw, True),
        (wolff_many, True),
        (sw_without_weights, False),
        (sw_with_weights_of_roots, False),
        (sw_with_twice_the_coupling, False),
        (wolff_without_weights, False),
        (wolff_with_half_the_coupling, False),
    ],
)
def test_cluster_updates_with_site_weights_keep_the_potts_distribution(
    update, is_right, q, coupling
):
    rng = np.random.default_rng(q)
    log_weight = rng.normal(size=(SITES, q))
    check(rng, update, is_right, q, coupling, log_weight, log_weight)


@pytest.mark.parametrize("q", [2, 3, 4])
@pytest.mark.parametrize(
    ("update", "is_right"),
    [
        (sw, True),
        (wolff_many, True),
        (sw_with_twice_the_coupling, False),  # exp(-2 J) for exp(-J), or J / T for 2 J / T
        (wolff_with_half_the_coupling, False),
    ],
)
def test_cluster_updates_keep_the_zero_field_distribution(update, is_right, q):
    rng = np.random.default_rng(q)
    check(rng, update, is_right, q, BONDS, np.zeros((SITES, q)), None)


def check(rng, update, is_right, q, coupling, target_weight, log_weight):
    """Start many copies of the small graph at the target; update them as one graph."""
    states, p = enumerate_target(q, SITES, EDGES, coupling, target_weight)
    x = states[rng.choice(len(p), size=COPIES, p=p)]
    many = (EDGES + SITES * np.arange(COPIES)[:, None, None]).reshape(-1, 2)
    coupling = coupling if np.ndim(coupling) == 0 else np.tile(coupling, COPIES)
    flat = x.reshape(-1).copy()
    tiled = None if log_weight is None else np.tile(log_weight, (COPIES, 1))
    update(rng, flat, many, coupling, tiled, q)
    assert (p_value(flat.reshape(x.shape), q, p) > FALSE_ALARM) == is_right


@pytest.mark.parametrize("update", [sw, wolff_many])
def test_forbidden_states_are_never_taken(update):
    rng = np.random.default_rng(1)
    log_weight = np.zeros((SITES, 3))
    log_weight[0] = [0.0, -np.inf, 0.0]
    log_weight[3] = [0.0, 0.0, -np.inf]
    check(rng, update, True, 3, 0.8, log_weight, log_weight)  # expected counts of 0 stay 0
    x = np.zeros(SITES, np.int8)
    for _ in range(500):
        update(rng, x, EDGES, 0.8, log_weight, 3)
        assert np.isfinite(log_weight[np.arange(SITES), x]).all()


LATTICES = [
    ((3, 3), (True, True), 2),
    ((2, 5), (True, False), 2),
    ((5, 2), (True, True), 2),
    ((2, 3), (False, True), 3),
    ((7,), (True,), 2),
    ((3, 1, 3), (True, True, False), 2),
]


@pytest.mark.parametrize(("factor", "is_right"), [(1.0, True), (2.0, False)])
@pytest.mark.parametrize(("shape", "periodic", "q"), LATTICES)
def test_lattice_swendsen_wang_keeps_the_potts_distribution(shape, periodic, q, factor, is_right):
    rng = np.random.default_rng(6)
    n, coupling = int(np.prod(shape)), 0.7
    edges = lattice_edges(shape, periodic)
    states, p = enumerate_target(q, n, edges, coupling, np.zeros((n, q)))
    x = states[rng.choice(len(p), size=20_000, p=p)]
    for row in x:
        swendsen_wang_lattice(rng, row, shape, periodic, factor * coupling, q)
    assert (p_value(x, q, p) > FALSE_ALARM) == is_right


@pytest.mark.parametrize(
    ("shape", "periodic"),
    [
        ((40, 50), (True, True)),
        ((50, 40), (False, True)),
        ((100, 3), (True, False)),
        ((1500,), (True,)),
        ((10, 11, 12), (True, False, True)),
        ((4, 2, 5, 6), (True, True, True, False)),
    ],
)
@pytest.mark.parametrize("form", ["lattice", "graph"])
def test_clusters_of_unbreakable_bonds_are_the_connected_components(form, shape, periodic):
    """q = 30,000 colours tell clusters apart; two share one by chance now and then."""
    rng = np.random.default_rng(11)
    n, q = int(np.prod(shape)), 30_000
    edges = lattice_edges(shape, periodic)
    for density in (0.5, 0.6, 0.75):
        x = (rng.random(n) < density).astype(np.int16)
        same = edges[x[edges[:, 0]] == x[edges[:, 1]]]
        graph = coo_array((np.ones(len(same)), same.T), shape=(n, n))
        count, label = connected_components(graph, directed=False)
        if form == "lattice":
            swendsen_wang_lattice(rng, x, shape, periodic, 60.0, q)
        else:
            swendsen_wang(rng, x, edges, 60.0, q=q)
        colour = np.zeros(count, int)
        colour[label] = x
        np.testing.assert_array_equal(colour[label], x)  # one colour in each component
        shared = count**2 / (2 * q)  # expected number of components that share a colour: a birthday
        assert count - np.unique(x).size < shared + 6 * np.sqrt(shared) + 6


def log_partition_torus(side, k):
    """Kaufman (1949), for the square torus of even side; stable at any coupling."""
    r = np.arange(2 * side)
    gamma = np.arccosh(np.cosh(2 * k) / np.tanh(2 * k) - np.cos(np.pi * r / side))
    gamma[0] = 2 * k + np.log(np.tanh(k))
    terms, signs = [], []
    for first, shape in ((1, np.cosh), (1, np.sinh), (0, np.cosh), (0, np.sinh)):
        factors = 2 * shape(side * gamma[first::2] / 2)
        terms.append(np.log(np.abs(factors)).sum())
        signs.append(np.prod(np.sign(factors)))
    top = max(terms)
    total = np.log(np.dot(signs, np.exp(np.array(terms) - top))) + top
    return side**2 / 2 * np.log(2 * np.sinh(2 * k)) - np.log(2) + total


def test_reference_for_the_torus():
    critical = np.log(1 + np.sqrt(2)) / 2
    known = {4: 15.521915, 8: 60.141781, 16: 238.642257}
    for side, value in known.items():
        assert abs(log_partition_torus(side, critical) - value) < 1e-6
    states, _ = enumerate_target(2, 16, lattice_edges((4, 4), (True, True)), 0.0, np.zeros((16, 2)))
    spins = 2.0 * states.reshape(-1, 4, 4) - 1
    pairs = (spins * np.roll(spins, 1, 1) + spins * np.roll(spins, 1, 2)).sum((1, 2))
    assert abs(log_partition_torus(4, 0.3) - np.log(np.exp(0.3 * pairs).sum())) < 1e-9


@pytest.mark.parametrize(("factor", "is_right"), [(1.0, True), (0.98, False)])
@pytest.mark.parametrize("form", ["lattice", "graph", "wolff"])
def test_energy_of_the_critical_torus_is_kaufmans(form, factor, is_right):
    side, k, step = 16, np.log(1 + np.sqrt(2)) / 2, 1e-4
    energy = -(log_partition_torus(side, k + step) - log_partition_torus(side, k - step)) / (
        2 * step * side**2
    )
    rng = np.random.default_rng(12)
    edges = lattice_edges((side, side), (True, True))
    indptr, indices, _ = csr(edges, side**2)
    x = rng.integers(2, size=side**2).astype(np.int8)
    measured = np.empty(10_000)
    for t in range(-200, measured.size):
        if form == "lattice":
            swendsen_wang_lattice(rng, x, (side, side), True, factor * 2 * k)
        elif form == "graph":
            swendsen_wang(rng, x, edges, factor * 2 * k)
        else:
            wolff(rng, x, indptr, indices, factor * 2 * k, n_clusters=2)
        if t >= 0:
            measured[t] = 2 - 4 * (x[edges[:, 0]] == x[edges[:, 1]]).mean()
    # The error comes from 50 batches, each 50 times as long as the correlation. Student's t of 49
    # degrees of freedom passes 5.6 once in a million; 2% of the coupling move t by 15 or more.
    batch = measured.reshape(50, -1).mean(1)
    t_value = (batch.mean() - energy) / (batch.std(ddof=1) / np.sqrt(batch.size))
    assert (abs(t_value) < 5.6) == is_right


def test_changes_are_counted():
    rng = np.random.default_rng(3)
    edges = lattice_edges((6, 6), (True, True))
    graph = csr(edges, 36)[:2]
    weight = rng.normal(size=(36, 3))
    for update in (
        lambda x: swendsen_wang_lattice(rng, x, (6, 6), True, 0.5, 3),
        lambda x: swendsen_wang(rng, x, edges, 0.5, q=3),
        lambda x: swendsen_wang(rng, x, edges, 0.5, weight, 3),
        lambda x: wolff(rng, x, *graph, 0.5, q=3),
    ):
        before = rng.integers(3, size=36).astype(np.int8)
        after = before.copy()
        assert update(after) == (before != after).sum() > 0


def test_wolff_counts_no_refused_cluster():
    x = np.zeros(SITES, np.int8)
    pin = np.array([0.0, -np.inf])
    assert wolff(np.random.default_rng(0), x, *csr(EDGES, SITES)[:2], 0.5, pin, n_clusters=50) == 0
    assert not x.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coupling": -0.1}, "need a ferromagnet"),
        ({"coupling": np.array([1.0, 1, 1, 1, 1, -1])}, "need a ferromagnet"),
        ({"coupling": np.nan}, "need a ferromagnet"),
        ({"coupling": np.ones(4)}, "coupling must be a number"),
        ({"states": np.full(5, 2, np.int8)}, r"states must lie in 0\.\.1"),
        ({"log_weight": np.zeros((5, 3))}, "q = 2 columns"),
        ({"log_weight": np.array([-np.inf, 0.0])}, "state 0 at site 0"),
        ({"edges": np.zeros((3, 3), int)}, "edges must be"),
    ],
)
def test_bad_input_is_named(change, message):
    good = {"states": np.zeros(5, np.int8), "edges": EDGES, "coupling": 0.5}
    with pytest.raises(ValueError, match=message):
        swendsen_wang(np.random.default_rng(0), **(good | change))


def test_bad_input_of_the_other_entries_is_named():
    rng, x = np.random.default_rng(0), np.zeros(SITES, np.int8)
    indptr, indices, _ = csr(EDGES, SITES)
    with pytest.raises(ValueError, match="need a ferromagnet"):
        wolff(rng, x, indptr, indices, -0.5)
    with pytest.raises(ValueError, match="indptr must have"):
        wolff(rng, x, indptr[1:], indices, 0.5)
    with pytest.raises(ValueError, match="need a ferromagnet"):
        swendsen_wang_lattice(rng, x, (5,), True, -0.5)
