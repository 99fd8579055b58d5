"""Potts sweeps: conditionals, balance, invariance, impossible states, lattices without tables."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom, chisquare

from pm_energy.kernels import potts
from pm_energy.kernels.potts import accumulate_counts, choose, potts_sweeps
from pm_energy.kernels.potts_lattice import potts_lattice_sweeps

FALSE_ALARM = 1e-6
COPIES = 40_000
EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2], [3, 4]])  # a crossed square and a tail
SITES = 5


def csr(edges, n):
    source = np.concatenate([edges[:, 0], edges[:, 1]])
    bond = np.argsort(source, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=n))])
    return indptr, np.concatenate([edges[:, 1], edges[:, 0]])[bond], bond % len(edges)


def enumerate_target(q, coupling, log_weight):
    """All states of the small graph and their probabilities."""
    states = np.array(list(itertools.product(range(q), repeat=SITES)), dtype=np.int8)
    equal = states[:, EDGES[:, 0]] == states[:, EDGES[:, 1]]
    log_p = (equal * coupling).sum(1) + log_weight[np.arange(SITES), states].sum(1)
    p = np.exp(log_p - log_p.max())
    return states, p / p.sum()


def numbered(states, q):
    return states.astype(int) @ q ** np.arange(SITES)[::-1]


def p_value(numbers, p):
    """Chi-square of state numbers; the rarest states are pooled to an expected count of 20."""
    expected = len(numbers) * p
    order = np.argsort(expected)
    group = np.minimum(expected[order].cumsum() // 20.0, expected.sum() // 20.0 - 1).astype(int)
    observed = np.bincount(numbers, minlength=p.size)[order]
    keep = np.bincount(group, expected[order]) > 0
    return chisquare(*(np.bincount(group, w)[keep] for w in (observed, expected[order]))).pvalue


def after_one_sweep(sweep, q, coupling, log_weight, seed=0):
    """Start many copies of the small graph at the target; sweep them as one graph."""
    states, p = enumerate_target(q, coupling, log_weight)
    rng = np.random.default_rng(seed)
    x = states[rng.choice(len(p), size=COPIES, p=p)]
    many = (EDGES + SITES * np.arange(COPIES)[:, None, None]).reshape(-1, 2)
    indptr, indices, bond = csr(many, SITES * COPIES)
    coupling_csr = coupling if np.ndim(coupling) == 0 else np.tile(coupling, COPIES)[bond]
    flat = x.reshape(-1).copy()
    sweep(rng, flat, indptr, indices, coupling_csr, np.tile(log_weight, (COPIES, 1)))
    return p_value(numbered(flat.reshape(x.shape), q), p)


def without_site_weights(rng, states, indptr, indices, coupling, log_weight):
    potts_sweeps(rng, states, indptr, indices, coupling, 0 * log_weight)


def one_way_bonds(rng, states, indptr, indices, coupling, log_weight):
    """A bond seen from its first end only."""
    source = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    seen = np.where(source < indices, coupling, 0.0)
    potts_sweeps(rng, states, indptr, indices, seen, log_weight)


def suwa_todo(*args):
    potts_sweeps(*args, update="suwa-todo")


@pytest.mark.parametrize("kind", ["uniform", "per bond", "antiferromagnet"])
@pytest.mark.parametrize("q", [2, 3, 4])
@pytest.mark.parametrize(
    ("sweep", "is_right"),
    [
        (potts_sweeps, True),
        (suwa_todo, True),
        (without_site_weights, False),
        (one_way_bonds, False),
    ],
)
def test_sweep_leaves_the_potts_distribution_invariant(sweep, is_right, q, kind):
    rng = np.random.default_rng(q)
    coupling = {"uniform": 0.7, "antiferromagnet": -0.7, "per bond": rng.normal(size=len(EDGES))}
    log_weight = rng.normal(size=(SITES, q))
    assert (after_one_sweep(sweep, q, coupling[kind], log_weight) > FALSE_ALARM) == is_right


def kernel_table(weights, suwa):
    """The transition table of ``choose`` itself: where its answer changes, found by bisection."""
    q = len(weights)
    cumulative = np.cumsum(weights)
    table = np.zeros((q, q))
    for old in range(q):

        def new(u, old=old):
            return choose(cumulative, cumulative[-1], u, old, (0,) * q, suwa)

        grid = np.linspace(0.0, np.nextafter(1.0, 0.0), 2001)
        edges = [0.0]
        for left, right in itertools.pairwise(grid):
            if new(left) != new(right):
                while right - left > 1e-15:
                    middle = (left + right) / 2
                    left, right = (middle, right) if new(middle) == new(left) else (left, middle)
                edges.append(right)
        for left, right in itertools.pairwise([*edges, 1.0]):
            table[old, new((left + right) / 2)] += right - left
    return table


def suwa_todo_table(weights):
    """Equation (6) of Suwa & Todo, the widest first and the others following in turn."""
    q, first = len(weights), int(np.argmax(weights))
    w = np.roll(weights, -first)
    sums = np.cumsum(w)
    flow = np.zeros((q, q))
    for i in range(q):
        for j in range(q):
            shift = sums[i] - (sums[j - 1] if j else sums[-1]) + w[0]
            flow[i, j] = max(0.0, min(shift, w[i] + w[j] - shift, w[i], w[j]))
    return np.roll(flow / w[:, None], (first, first), (0, 1))


def own_arc_table(weights):
    """A wrong one: each arc carried forward by its own length, so that images overlap."""
    total, sums = weights.sum(), np.concatenate([[0.0], np.cumsum(weights)])
    flow = np.zeros((len(weights),) * 2)
    for i, w in enumerate(weights):
        for turn in (0.0, total):
            start = sums[i] + w - turn
            low, high = np.maximum(sums[:-1], start), np.minimum(sums[1:], start + w)
            flow[i] += np.maximum(high - low, 0.0)
    return flow / weights[:, None]


WEIGHTS = [[0.2, 0.5, 0.3], [0.1, 0.7, 0.2], [1.0, 1.0, 1.0], [0.4, 0.1, 0.2, 0.3], [3.0, 2.0]]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_suwa_todo_draws_from_the_table_of_the_paper(weights):
    weights = np.array(weights)
    table = kernel_table(weights, True)
    np.testing.assert_allclose(table, suwa_todo_table(weights), atol=1e-12)
    stay = max(0.0, 2 * weights.max() - weights.sum())  # as little as balance permits
    np.testing.assert_allclose(weights @ np.diag(table), stay, atol=1e-12)
    heat_bath = np.tile(weights / weights.sum(), (len(weights), 1))
    np.testing.assert_allclose(kernel_table(weights, False), heat_bath, atol=1e-12)


def conditional_weights(x, i, coupling, log_weight):
    """What the kernel gives the states of site i: through its packed counts and its table."""
    q = log_weight.shape[1]
    indptr, indices, _ = csr(EDGES, SITES)
    neighbours = x[indices[indptr[i] : indptr[i + 1]]]
    packed = np.uint64(sum(1 << (64 // q) * int(k) for k in neighbours))
    cumulative, table = np.empty(q), np.exp(coupling * np.arange(5.0))
    accumulate_counts(cumulative, np.exp(log_weight), np.uint64(i), table, packed, (0,) * q, False)
    return np.diff(cumulative, prepend=0.0)


@pytest.mark.parametrize(
    ("table_of", "is_right"),
    [
        (lambda w: np.tile(w / w.sum(), (len(w), 1)), True),
        (suwa_todo_table, True),
        (own_arc_table, False),
    ],
)
@pytest.mark.parametrize("coupling", [0.9, -0.6])
def test_transition_matrix_of_a_sweep_keeps_the_potts_distribution(table_of, is_right, coupling):
    q = 3
    log_weight = np.random.default_rng(5).normal(size=(SITES, q))
    states, p = enumerate_target(q, coupling, log_weight)
    after = p.copy()
    for i in range(SITES):
        step = np.zeros((len(p), len(p)))
        for row, x in enumerate(states):
            to = x + np.outer(np.arange(q) - x[i], np.eye(SITES, dtype=int)[i])
            step[row, numbered(to, q)] = table_of(conditional_weights(x, i, coupling, log_weight))[
                x[i]
            ]
        np.testing.assert_allclose(step.sum(1), 1.0, atol=1e-12)
        after = after @ step
    assert (np.abs(after - p).max() < 1e-12) == is_right


@pytest.mark.parametrize("update", potts.UPDATES)
@pytest.mark.parametrize("per_bond", [False, True])
def test_forbidden_states_are_never_taken(update, per_bond):
    rng = np.random.default_rng(3)
    indptr, indices, _ = csr(EDGES, SITES)
    coupling = np.full(len(indices), -0.4) if per_bond else -0.4
    log_weight = rng.normal(size=(SITES, 4))
    log_weight[np.arange(SITES), rng.integers(4, size=SITES)] = -np.inf
    log_weight[2] = [-np.inf, 0.0, -np.inf, -np.inf]
    states = np.zeros(SITES, np.int8)  # forbidden at some sites: the first sweep mends that
    for _ in range(2000):
        potts_sweeps(rng, states, indptr, indices, coupling, log_weight, update=update)
        assert np.isfinite(log_weight[np.arange(SITES), states]).all()
    assert states[2] == 1


@pytest.mark.parametrize("update", potts.UPDATES)
@pytest.mark.parametrize("form", ["uniform", "per bond", "lattice"])
@pytest.mark.parametrize(("safe", "is_right"), [(potts.SAFE_STRENGTH, True), (np.inf, False)])
@pytest.mark.filterwarnings("ignore:overflow")
def test_huge_couplings_and_weights_that_balance(monkeypatch, safe, is_right, form, update):
    """Site 1 is drawn to state 0 by its neighbour and as strongly to state 1 by its own weight."""
    monkeypatch.setattr(potts, "SAFE_STRENGTH", safe)  # no limit: exponentials overflow
    rng, draws = np.random.default_rng(1), 2000
    log_weight = np.array([[0.0, -np.inf], [-2000.0, 0.0]])
    states, seen = np.zeros(2, np.int8), np.zeros(2)
    for _ in range(draws):
        if form == "lattice":
            potts_lattice_sweeps(rng, states, (2,), False, 2000.0, log_weight, 1, update)
        else:
            coupling = 2000.0 if form == "uniform" else np.full(2, 2000.0)
            bond = csr(np.array([[0, 1]]), 2)[:2]
            potts_sweeps(rng, states, *bond, coupling, log_weight, update=update)
        seen += states
    if update == "suwa-todo":  # two equal arcs: it alternates
        agrees = seen[1] == draws / 2
    else:
        tail = min(binom.cdf(seen[1], draws, 0.5), binom.sf(seen[1] - 1, draws, 0.5))
        agrees = tail > FALSE_ALARM
    assert (agrees and seen[0] == 0) == is_right


@pytest.mark.parametrize("update", potts.UPDATES)
def test_one_coupling_and_the_same_for_each_bond_give_the_same_draws(update):
    rng = np.random.default_rng(2)
    for q, n, m in [(2, 30, 100), (3, 40, 90), (10, 60, 200)]:
        edges = np.array(list(itertools.combinations(range(n), 2)))
        indptr, indices, _ = csr(rng.permutation(edges)[:m], n)
        log_weight, start = rng.normal(size=(n, q)), rng.integers(q, size=n).astype(np.int8)
        one, each = start.copy(), start.copy()
        order = rng.permutation(n)
        args = indptr, indices
        rest = log_weight, order, 20, update
        a = potts_sweeps(np.random.default_rng(9), one, *args, 0.3, *rest)
        b = potts_sweeps(np.random.default_rng(9), each, *args, np.full(2 * m, 0.3), *rest)
        np.testing.assert_array_equal(one, each)
        assert a == b > 0


def test_a_site_with_more_neighbours_than_a_packed_count_holds():
    """q = 16 leaves 4 bits a count: 20 equal neighbours must not carry into the next state."""
    star = np.array([[0, i] for i in range(1, 21)])
    pinned = np.full((21, 16), -np.inf)
    pinned[0], pinned[1:, 7] = 0.0, 0.0
    states = np.full(21, 7, np.int8)
    for seed in range(50):
        potts_sweeps(np.random.default_rng(seed), states, *csr(star, 21)[:2], 3.0, pinned)
        assert states[0] == 7


def test_many_states_need_int16():
    rng = np.random.default_rng(0)
    indptr, indices, _ = csr(EDGES, SITES)
    states = np.zeros(SITES, np.int16)
    seen = set()
    for _ in range(500):
        potts_sweeps(rng, states, indptr, indices, 0.5, np.zeros(1000))
        seen.update(states.tolist())
    assert len(seen) > 850  # 2,500 draws of 1,000 states miss e^-2.5 of them, 918 seen; sd below 9


def lattice_edges(shape, periodic):
    site = np.arange(np.prod(shape)).reshape(shape)
    pairs = []
    for axis, (length, wrap) in enumerate(zip(shape, periodic, strict=True)):
        first = np.take(site, range(length - 1), axis).ravel()
        pairs.append(np.stack([first, np.take(site, range(1, length), axis).ravel()], 1))
        if wrap and length > 2:
            ends = [np.take(site, k, axis).ravel() for k in (length - 1, 0)]
            pairs.append(np.stack(ends, 1))
    return np.concatenate(pairs)


@pytest.mark.parametrize("update", potts.UPDATES)
@pytest.mark.parametrize(
    ("shape", "periodic"),
    [
        ((6, 5), (True, True)),
        ((5, 7), (True, False)),
        ((9,), (True,)),
        ((1, 8), (True, True)),
        ((3, 4, 5), (True, False, True)),
        ((2, 3, 2, 4), (True, True, True, True)),
    ],
)
def test_lattice_sweep_is_the_sweep_of_its_graph_in_the_same_order(shape, periodic, update):
    rng = np.random.default_rng(4)
    n, across = int(np.prod(shape)), shape[-1]
    indptr, indices, _ = csr(lattice_edges(shape, periodic), n)
    in_row = np.r_[0:across:2, 1:across:2]
    order = (np.arange(0, n, across)[:, None] + in_row).ravel()
    for log_weight in (rng.normal(size=(n, 3)), rng.normal(size=3)):
        start = rng.integers(3, size=n).astype(np.int8)
        on_graph, on_lattice = start.copy(), start.copy()
        a = potts_sweeps(
            np.random.default_rng(7), on_graph, indptr, indices, 0.8, log_weight, order, 30, update
        )
        b = potts_lattice_sweeps(
            np.random.default_rng(7), on_lattice, shape, periodic, 0.8, log_weight, 30, update
        )
        np.testing.assert_array_equal(on_graph, on_lattice)
        assert a == b > 0


def test_changes_are_counted():
    rng = np.random.default_rng(8)
    before = rng.integers(3, size=(6, 6)).astype(np.int8).ravel()
    after = before.copy()
    changes = potts_lattice_sweeps(rng, after, (6, 6), True, 0.5, np.zeros(3))
    assert changes == (before != after).sum() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": np.zeros(5)}, "states must be a flat"),
        ({"states": np.full(5, 3, np.int8)}, r"states must lie in 0\.\.2"),
        ({"log_weight": np.zeros((4, 3))}, "log_weight must have shape"),
        ({"log_weight": np.full(3, -np.inf)}, "log_weight must be below"),
        ({"log_weight": np.array([0.0, np.nan, 0.0])}, "log_weight must be below"),
        ({"log_weight": np.array([0.0, np.inf, 0.0])}, "log_weight must be below"),
        ({"coupling_csr": np.nan}, "coupling must be finite"),
        ({"coupling_csr": np.zeros(3)}, "coupling_csr be a number"),
        ({"order": np.arange(4)}, "order must name"),
        ({"update": "metropolis"}, "update must be one of"),
    ],
)
def test_bad_input_is_named(change, message):
    indptr, indices, _ = csr(EDGES, SITES)
    good = {
        "states": np.zeros(5, np.int8),
        "indptr": indptr,
        "indices": indices,
        "coupling_csr": 0.1,
        "log_weight": np.zeros(3),
    }
    with pytest.raises(ValueError, match=message):
        potts_sweeps(np.random.default_rng(0), **(good | change))


def test_bad_lattices_are_named():
    rng, states, flat = np.random.default_rng(0), np.zeros(6, np.int8), np.zeros(3)
    with pytest.raises(ValueError, match="shape must multiply"):
        potts_lattice_sweeps(rng, states, (2, 4), True, 0.1, flat)
    with pytest.raises(ValueError, match="periodic must be"):
        potts_lattice_sweeps(rng, states, (2, 3), (True,) * 3, 0.1, flat)
    with pytest.raises(ValueError, match="use potts_sweeps"):
        potts_lattice_sweeps(rng, states, (2, 3), True, 0.1, np.zeros(40))
