"""Coupling from the past: exact draws, shortcuts caught, a bond sweep against the naive one."""

import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

from pm_energy.kernels import perfect
from pm_energy.kernels.perfect import (
    _heat_bath_sweeps,
    _meet,
    coupling_from_the_past_ising,
    coupling_from_the_past_potts,
)
from pm_energy.kernels.random import seed_words
from pm_energy.kernels.random_cluster import _redraw_bonds, bond_sweeps

FALSE_ALARM = 1e-6
EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2], [3, 4]])  # a crossed square and a tail
SITES = 5
BONDS = np.array([0.5, 1.2, 0.0, 1.6, 0.8, 1.1])
MIXED_BIAS = np.array([0.6, -1.0, 0.3, 0.0, 0.8])


def csr(edges, n):
    source = np.concatenate([edges[:, 0], edges[:, 1]])
    bond = np.argsort(source, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=n))])
    return indptr, np.concatenate([edges[:, 1], edges[:, 0]])[bond], bond % len(edges)


INDPTR, INDICES, BOND = csr(EDGES, SITES)


def enumerate_target(q, coupling, log_weight):
    states = np.array(list(itertools.product(range(q), repeat=SITES)), dtype=np.int8)
    equal = states[:, EDGES[:, 0]] == states[:, EDGES[:, 1]]
    log_p = (equal * coupling).sum(1) + log_weight[np.arange(SITES), states].sum(1)
    p = np.exp(log_p - log_p.max())
    return p / p.sum()


def p_value(states, q, p):
    """Chi-square of states; the rarest are pooled to an expected count of 20."""
    numbers = states.astype(int) @ q ** np.arange(SITES)[::-1]
    expected = len(numbers) * p
    order = np.argsort(expected)
    group = np.minimum(expected[order].cumsum() // 20.0, expected.sum() // 20.0 - 1).astype(int)
    observed = np.bincount(numbers, minlength=p.size)[order]
    assert not observed[expected[order] == 0].any()
    keep = np.bincount(group, expected[order]) > 0
    return chisquare(*(np.bincount(group, w)[keep] for w in (observed, expected[order]))).pvalue


def copies(count):
    """Many copies of the small graph are one graph, and their joint draw is independent draws."""
    return (EDGES + SITES * np.arange(count)[:, None, None]).reshape(-1, 2)


def extremes():
    return np.ones(SITES, np.int8), -np.ones(SITES, np.int8)


def from_the_past(rng, parameters):
    upper, lower = extremes()
    _meet(rng, _heat_bath_sweeps, upper, lower, parameters, 2**12)
    return upper


def with_fresh_randomness(rng, parameters):
    """Wrong: each earlier start draws all its random numbers anew."""
    for doublings in range(12):
        upper, lower = extremes()
        words = seed_words(rng)
        if _heat_bath_sweeps(words, 2**doublings, False, upper, lower, *parameters):
            return upper
    raise AssertionError


def into_the_future(rng, parameters):
    """Wrong: the state at the moment of meeting."""
    upper, lower = extremes()
    while not _heat_bath_sweeps(seed_words(rng), 1, False, upper, lower, *parameters):
        pass
    return upper


@pytest.mark.parametrize(
    ("draw", "is_right"),
    [(from_the_past, True), (with_fresh_randomness, False), (into_the_future, False)],
)
def test_heat_bath_from_the_past_draws_the_ising_distribution(draw, is_right):
    parameters = INDPTR, INDICES, BONDS[BOND], MIXED_BIAS
    rng = np.random.default_rng(0)
    drawn = np.array([draw(rng, parameters) for _ in range(20_000)])
    p = enumerate_target(2, BONDS, MIXED_BIAS[:, None] * [0.0, 1.0])
    assert (p_value((drawn + 1) // 2, 2, p) > FALSE_ALARM) == is_right


@pytest.mark.parametrize(
    ("method", "bias"),
    [
        ("heat-bath", MIXED_BIAS),
        ("heat-bath", np.array([0.2, np.inf, 0.0, -0.5, -np.inf])),
        ("random-cluster", np.zeros(SITES)),
        ("random-cluster", abs(MIXED_BIAS)),
        ("random-cluster", -abs(MIXED_BIAS)),
        ("random-cluster", np.array([0.0, 0.0, np.inf, 0.3, 0.0])),
        ("auto", MIXED_BIAS),
        ("auto", abs(MIXED_BIAS)),
    ],
)
@pytest.mark.parametrize("coupling", [0.9, BONDS], ids=["uniform", "per bond"])
def test_ising_draws_have_the_enumerated_distribution(method, bias, coupling):
    count = 20_000
    indptr, indices, bond = csr(copies(count), SITES * count)
    on_csr = coupling if np.ndim(coupling) == 0 else np.tile(coupling, count)[bond]
    spins = coupling_from_the_past_ising(
        np.random.default_rng(1), indptr, indices, on_csr, np.tile(bias, count), method=method
    )
    # log_weight of the spins -1 and +1, with an infinite bias as a forbidden state
    log_weight = np.stack([np.minimum(-bias, 0.0), np.minimum(bias, 0.0)], axis=1)
    p = enumerate_target(2, coupling, log_weight)
    assert set(np.unique(spins)) == {-1, 1}
    assert p_value((spins.reshape(-1, SITES) + 1) // 2, 2, p) > FALSE_ALARM


def towards(state, q, by):
    log_weight = np.random.default_rng(0).normal(size=(SITES, 1)) + np.zeros(q)
    log_weight[:, state] += by
    return log_weight


@pytest.mark.parametrize("coupling", [0.9, BONDS], ids=["uniform", "per bond"])
@pytest.mark.parametrize(
    ("q", "log_weight"),
    [
        (2, None),
        (3, None),
        (4, None),
        (2, towards(0, 2, [0.4, 0.0, 1.5, 0.0, 0.2])),
        (3, towards(2, 3, [0.4, 0.0, 1.5, 0.0, 0.2])),
        (4, towards(1, 4, [0.4, 0.0, 1.5, 0.0, np.inf])),
    ],
)
def test_potts_draws_have_the_enumerated_distribution(q, log_weight, coupling):
    count = 20_000
    if log_weight is not None and np.isinf(log_weight).any():  # pinned: the others are forbidden
        log_weight = np.where(np.isinf(log_weight).any(1, keepdims=True), -np.inf, log_weight)
        log_weight[-1, 1] = 0.0
    many = None if log_weight is None else np.tile(log_weight, (count, 1))
    on_bonds = coupling if np.ndim(coupling) == 0 else np.tile(coupling, count)
    states = coupling_from_the_past_potts(
        np.random.default_rng(2), SITES * count, copies(count), on_bonds, q, many
    )
    p = enumerate_target(q, coupling, np.zeros((SITES, q)) if log_weight is None else log_weight)
    assert p_value(states.reshape(-1, SITES), q, p) > FALSE_ALARM


BRIDGES = [
    (lambda p, q: p / (p + (1 - p) * q), True),
    (lambda p, q: p, False),  # plain percolation
    (lambda p, q: p / q, False),
]


@pytest.mark.parametrize(("bridge", "is_right"), BRIDGES)
def test_bond_draws_have_the_random_cluster_distribution(bridge, is_right):
    """Weights prod p^open (1 - p)^closed q^clusters, over the 2^6 sets of bonds."""
    count, q = 20_000, 3.0
    p = -np.expm1(-BONDS)
    sets = np.array(list(itertools.product((False, True), repeat=len(EDGES))))
    target = np.array([(np.where(s, p, 1 - p)).prod() * q ** clusters(s) for s in sets])
    target /= target.sum()
    upper, lower = np.ones(len(EDGES) * count, np.bool_), np.zeros(len(EDGES) * count, np.bool_)
    many = np.tile(p, count)
    parameters = copies(count), SITES * count, many, bridge(many, q)
    _meet(np.random.default_rng(3), bond_sweeps, upper, lower, parameters, 2**12)
    numbers = upper.reshape(count, -1) @ 2 ** np.arange(len(EDGES))[::-1]
    possible = target > 0  # one bond has no coupling
    observed = np.bincount(numbers, minlength=len(sets))
    assert not observed[~possible].any()
    expected = count * target[possible]
    assert expected.min() > 20
    assert (chisquare(observed[possible], expected).pvalue > FALSE_ALARM) == is_right


def clusters(is_open):
    label = list(range(SITES))
    for a, b in EDGES[is_open]:
        label = [label[a] if k == label[b] else k for k in label]
    return len(set(label))


def connected(a, b, ends):
    reached, grew = {a}, True
    while grew:
        before = len(reached)
        for x, y in ends:
            if x in reached or y in reached:
                reached |= {x, y}
        grew = len(reached) > before
    return b in reached


def test_one_bond_sweep_is_the_naive_one():
    """The same decisions, bond by bond, on random graphs of many sizes."""
    rng = np.random.default_rng(4)
    for m in [0, 1, 2, 3, 5, 8, 13, 16, 17, 31, 40]:
        for _ in range(12):
            n = int(rng.integers(2, 16))
            ends = rng.integers(n, size=(m, 2))
            ends[:, 1] = (ends[:, 0] + rng.integers(1, n, size=m)) % n
            is_open = rng.random(m) < rng.random()
            drawn = rng.choice(3, p=[0.3, 0.2, 0.5], size=m).astype(np.int8)
            naive = is_open.copy()
            for e in range(m):
                naive[e] = False
                asks = drawn[e] == 2 and connected(*ends[e], ends[naive].tolist())
                naive[e] = asks or drawn[e] == 1
            _redraw_bonds(is_open, drawn, ends, n)
            np.testing.assert_array_equal(is_open, naive)


def test_both_chains_stay_in_order_and_stay_together():
    rng = np.random.default_rng(5)
    parameters = INDPTR, INDICES, BONDS[BOND], MIXED_BIAS
    for _ in range(300):
        upper, lower = extremes()
        while not _heat_bath_sweeps(seed_words(rng), 1, False, upper, lower, *parameters):
            assert (upper >= lower).all()
        words = seed_words(rng)
        together, apart = (upper.copy(), lower.copy()), (upper.copy(), lower.copy())
        _heat_bath_sweeps(words, 3, True, *together, *parameters)  # one computed, one copied
        _heat_bath_sweeps(words, 3, False, *apart, *parameters)
        np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize(
    ("coupling", "bias", "sweeps"),
    [
        (0.6, 0.0, _heat_bath_sweeps),  # 3 tanh(0.3) < 1: fast
        (0.8, 0.0, bond_sweeps),  # 3 tanh(0.4) > 1
        (0.8, -1.0, bond_sweeps),
        (0.8, MIXED_BIAS, _heat_bath_sweeps),  # no other is monotone
    ],
)
def test_the_algorithm_depends_on_the_parameters_only(monkeypatch, coupling, bias, sweeps):
    used = []

    def spy(rng, sweeps, *rest):
        used.append(sweeps)
        _meet(rng, sweeps, *rest)

    monkeypatch.setattr(perfect, "_meet", spy)
    edges = np.array([[0, 1], [0, 2], [0, 3], [0, 4]])
    graph = csr(edges, SITES)[:2]
    for seed in range(20):
        coupling_from_the_past_ising(np.random.default_rng(seed), *graph, coupling, bias)
    assert used == [sweeps] * 20


def test_too_slow_a_meeting_says_what_to_do():
    torus = np.arange(100).reshape(10, 10)
    pairs = [np.stack([torus, np.roll(torus, 1, axis)], -1).reshape(-1, 2) for axis in (0, 1)]
    graph = csr(np.concatenate(pairs), 100)[:2]
    rng = np.random.default_rng(0)
    with pytest.raises(RuntimeError, match="Raise max_sweeps"):
        coupling_from_the_past_ising(rng, *graph, 4.0, 0.0, max_sweeps=64, method="heat-bath")
    spins = coupling_from_the_past_ising(rng, *graph, 4.0, 0.0, max_sweeps=64)  # by bonds: at once
    assert abs(spins.mean()) == 1


def test_no_bonds_and_single_sites():
    rng = np.random.default_rng(0)
    none = np.empty((0, 2), int)
    assert coupling_from_the_past_potts(rng, 3, none, 1.0, 2).shape == (3,)
    assert coupling_from_the_past_potts(rng, 1, none, 1.0, 200).dtype == np.int16
    free = coupling_from_the_past_ising(rng, np.zeros(2, int), np.empty(0, int), 1.0, 0.0)
    assert free.dtype == np.int8
    assert abs(free[0]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coupling_csr": -1.0}, "coupling must be finite"),
        ({"coupling_csr": np.ones(3)}, "coupling must be a number"),
        ({"bias": np.nan}, "bias must not be NaN"),
        ({"method": "metropolis"}, "method must be one of"),
        ({"method": "random-cluster", "bias": MIXED_BIAS}, "fields of both signs"),
    ],
)
def test_bad_ising_input_is_named(change, message):
    good = {"indptr": INDPTR, "indices": INDICES, "coupling_csr": 0.5, "bias": 0.0}
    with pytest.raises(ValueError, match=message):
        coupling_from_the_past_ising(np.random.default_rng(0), **(good | change))


@pytest.mark.parametrize(
    "log_weight",
    [
        np.eye(SITES, 3),  # another state at each site
        np.tile([0.0, 0.5, 1.0], (SITES, 1)),  # tells the others apart
        np.array([-1.0, 0.0, 0.0]),  # disfavours one
    ],
)
def test_weights_without_a_monotone_chain_are_refused(log_weight):
    with pytest.raises(ValueError, match="must favour the same state"):
        coupling_from_the_past_potts(np.random.default_rng(0), SITES, EDGES, 0.5, 3, log_weight)
