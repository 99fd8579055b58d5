import numpy as np
import pytest
from numba import njit
from replica_oracle import metropolis_transition, row_p_value
from scipy.stats import norm
from spin_oracle import (
    FALSE_ALARM,
    all_spins,
    distribution,
    graph,
    numbers,
    random_system,
    sigmoid,
    transition,
)

from pm_energy.kernels.lanes_draw import draw, hot_below, seed_lanes
from pm_energy.kernels.lanes_graph import (
    DenseLanes,
    LanesGraph,
    lanes_graph,
    pack_lanes,
    unpack_lanes,
)
from pm_energy.kernels.lanes_kinds import sweep_lanes
from pm_energy.kernels.lanes_sweeps import lanes_sweeps as sweeps
from pm_energy.kernels.lanes_vector import load, store
from pm_energy.testing import pooled_chisquare

N = 11  # the dense kernel takes eight sites at a time
MATRIX, BIAS = random_system(N, seed=1, density=0.5)
MATRIX[-1], MATRIX[:, -1] = 0.0, 0.0  # a site without neighbours
GRAPH = lanes_graph(*graph(MATRIX), BIAS)
ORDERS = {"dense": None, "sparse": np.random.default_rng(2).permutation(N)}
BETAS = np.tile([0.0, 0.2, 0.7, 1.5], 5_120)  # 20,480 lanes, all betas in each vector
UPDATES = ("heat-bath", "metropolis")


def exact_starts(rng):
    spins = np.empty((BETAS.size, N), np.int8)
    for beta in np.unique(BETAS):
        here = beta == BETAS
        law = distribution(beta * MATRIX, beta * BIAS)
        spins[here] = all_spins(N)[rng.choice(2**N, here.sum(), p=law)]
    return pack_lanes(spins)


def p_values(state):
    x = numbers(unpack_lanes(state))
    return [
        pooled_chisquare(x[beta == BETAS], distribution(beta * MATRIX, beta * BIAS))
        for beta in np.unique(BETAS)
    ]


def kernel(rng, state, order, update):
    sweeps(rng, state, lanes_graph(*graph(MATRIX), BIAS, order), BETAS, update=update)


def three_sweeps(rng, state, order, update):
    sweeps(rng, state, lanes_graph(*graph(MATRIX), BIAS, order), BETAS, 3, update)


def half_the_coupling(rng, state, order, update):
    half = lanes_graph(*graph(MATRIX / 2), BIAS, order)
    sweeps(rng, state, half, BETAS, update=update)


def bias_left_out(rng, state, order, update):
    sweeps(rng, state, lanes_graph(*graph(MATRIX), 0.0, order), BETAS, update=update)


def beta_of_the_next_lane(rng, state, order, update):
    shifted = np.roll(BETAS, 1)
    sweeps(rng, state, lanes_graph(*graph(MATRIX), BIAS, order), shifted, update=update)


def test_both_layouts_are_tested():
    kinds = {name: type(lanes_graph(*graph(MATRIX), BIAS, order)) for name, order in ORDERS.items()}
    assert kinds == {"dense": DenseLanes, "sparse": LanesGraph}


@pytest.mark.parametrize("layout", ORDERS)
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(
    ("sweep", "is_right"),
    [
        (kernel, True),
        (three_sweeps, True),
        (half_the_coupling, False),
        (bias_left_out, False),
        (beta_of_the_next_lane, False),
    ],
)
def test_sweeps_leave_the_boltzmann_distributions_of_all_lanes_invariant(
    sweep, is_right, update, layout
):
    rng = np.random.default_rng(2)
    state = exact_starts(rng)
    sweep(rng, state, ORDERS[layout], update)
    assert (min(p_values(state)) > FALSE_ALARM / 4) == is_right


@pytest.mark.parametrize("order", [None, np.array([3, 0, 4, 1, 2])])
@pytest.mark.parametrize("update", UPDATES)
def test_a_sweep_follows_the_exact_transition_matrix_from_every_state(update, order):
    matrix, bias = random_system(5, seed=3, density=0.8)
    visits = np.arange(5) if order is None else order
    exact = (transition if update == "heat-bath" else metropolis_transition)(matrix, bias, visits)
    rng = np.random.default_rng(4)
    state = pack_lanes(np.repeat(all_spins(5), 2_048, axis=0))
    sweeps(rng, state, lanes_graph(*graph(matrix), bias, order), 1.0, update=update)
    x = numbers(unpack_lanes(state)).reshape(32, 2_048)
    for after, row in zip(x, exact, strict=True):
        assert row_p_value(after, row) > FALSE_ALARM / 32


@njit
def outcomes(random, z, old, heat_bath):
    new = np.empty_like(z)
    drawn = draw(load(random, 0), load(z, 0), load(old, 0), load(heat_bath, 0))
    store(new, 0, drawn)
    return new


def flip_counts(z, heat_bath, old):
    """How many of the 2^32 random words draw each spin against its log-odds, by bisection."""
    low, high = np.full(16, -1), np.full(16, 2**32)
    against = np.where(z >= 0, -1, 1)
    while (open_ := low + 1 < high).any():
        middle = (low + high) // 2
        drawn = outcomes(middle.astype(np.uint32), z, old, heat_bath) == against
        low, high = np.where(open_ & drawn, middle, low), np.where(open_ & ~drawn, middle, high)
    return low + 1


@pytest.mark.parametrize("update", UPDATES)
def test_probabilities_are_exact_to_float32(update):
    z = np.concatenate([np.linspace(-30, 30, 161), [0.0, 1e-6, -1e-6, 500.0, -1e38, 1e-30]])
    z = np.concatenate([z, np.zeros(-z.size % 16)]).astype(np.float32)
    mask = np.full(16, 0xFFFFFFFF if update == "heat-bath" else 0, np.uint32)
    old = np.where(z >= 0, 1, -1).astype(np.float32)
    in_bits = (z / np.log(2)).astype(np.float32)
    parts = zip(in_bits.reshape(-1, 16), old.reshape(-1, 16), strict=True)
    p = np.concatenate([flip_counts(part, mask, spins) for part, spins in parts]) / 2.0**32
    size = np.abs(z.astype(float))
    exact = sigmoid(-size) if update == "heat-bath" else np.exp(-size)
    assert (np.abs(p - exact) <= 3e-7 * (1 + np.minimum(size, 40)) * exact + 2.0**-32).all()
    assert (p[size > 40] == 0).all()


def test_metropolis_flips_a_spin_against_its_field_whatever_the_random_word():
    z = np.where(np.arange(16) % 2, 0.3, -4.0).astype(np.float32)
    old = np.where(z > 0, -1, 1).astype(np.float32)
    for word in (0, 1, 2**31, 2**32 - 1):
        random = np.full(16, word, np.uint32)
        new = outcomes(random, z, old, np.zeros(16, np.uint32))
        np.testing.assert_array_equal(new, -old)


def one_stream_for_two_lanes(words):
    words[1] = words[0]


def one_stream_for_both_vectors(words):
    words[:, 1] = words[:, 0]


@pytest.mark.parametrize(
    ("defect", "is_right"),
    [
        (lambda words: None, True),
        (one_stream_for_two_lanes, False),
        (one_stream_for_both_vectors, False),
    ],
)
def test_replicas_are_not_correlated(defect, is_right):
    """Overlaps of all pairs of 256 replicas that start alike, of 4,000 spins in a random field."""
    n = 4_000
    bias = np.random.default_rng(5).normal(size=n)
    pairs = lanes_graph(np.zeros(n + 1, int), np.zeros(0, int), np.zeros(0), bias)
    state, rng = pack_lanes(np.ones((256, n))), np.random.default_rng(6)
    words = seed_lanes(rng, 8)
    defect(words)
    betas = np.ones(256, np.float32)
    sweep_lanes(words, state, pairs, betas, hot_below(pairs, "heat-bath"), 3)
    p = sigmoid(bias)
    x = (unpack_lanes(state) - (2 * p - 1)) / np.sqrt(4 * p * (1 - p))
    overlap = (x @ x.T)[np.triu_indices(256, 1)] / np.sqrt(n)
    # The products of two such spins have a kurtosis of 25 at most: normal sums, to some per cent.
    limit = 1.1 * norm.isf(FALSE_ALARM / overlap.size / 2)
    assert (np.abs(overlap).max() < limit) == is_right


def test_sites_left_out_of_the_order_keep_their_spins():
    order = np.array([0, 3, 2])
    state = exact_starts(np.random.default_rng(7))
    before = state.copy()
    sweeps(np.random.default_rng(8), state, lanes_graph(*graph(MATRIX), BIAS, order), BETAS)
    rest = np.setdiff1d(np.arange(N), order)
    np.testing.assert_array_equal(state[:, rest], before[:, rest])
    assert min(p_values(state)) > FALSE_ALARM / 4


@pytest.mark.parametrize("order", [None, np.arange(300)])
def test_any_degree(order):
    """All to all, 300 sites: means in a field that the couplings leave alone."""
    n = 300
    matrix = np.ones((n, n)) - np.eye(n)
    dense = lanes_graph(*graph(matrix * 1e-9), np.linspace(-2, 2, n), order)
    state = pack_lanes(np.ones((1024, n)))
    sweeps(np.random.default_rng(9), state, dense, 1.0, 1)
    up = (unpack_lanes(state) > 0).sum(0)
    p = sigmoid(np.linspace(-2, 2, n))
    z = (up - 1024 * p) / np.sqrt(1024 * p * (1 - p))
    assert np.abs(z).max() < norm.isf(FALSE_ALARM / n / 2)


def test_metropolis_is_the_heat_bath_at_high_temperature():
    strength = np.sqrt(np.mean(MATRIX[MATRIX != 0] ** 2))
    assert GRAPH.hot == pytest.approx(0.4 / strength)
    states = [exact_starts(np.random.default_rng(10)) for _ in range(3)]
    for state, update, beta in zip(states, (*UPDATES, "metropolis"), (0.9, 0.9, 1.1), strict=True):
        sweeps(np.random.default_rng(11), state, GRAPH, beta * GRAPH.hot, update=update)
    assert (states[0] == states[1]).all()
    assert (states[0] != states[2]).any()
    ring = np.roll(np.eye(5), 1, axis=1)
    assert lanes_graph(*graph(ring + ring.T), 0.0).hot == np.inf


def test_packing_is_undone_by_unpacking():
    spins = np.random.default_rng(12).choice([-1, 1], size=(96, 7))
    state = pack_lanes(spins)
    np.testing.assert_array_equal(unpack_lanes(state), spins)
    assert state[1, 3, 5] == spins[32 + 5, 3]


@pytest.mark.parametrize("spins", [np.ones((31, 2)), np.zeros((32, 2)), np.ones(32)])
def test_spins_that_cannot_be_packed_are_refused(spins):
    with pytest.raises(ValueError, match="spins"):
        pack_lanes(spins)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", np.ones((32, N), np.int8)),
        ("state", np.ones((1, N + 1, 32), np.float32)),
        ("state", np.ones((1, N, 32), np.float64)),
        ("betas", -1.0),
        ("betas", np.nan),
        ("betas", np.ones(3)),
        ("update", "glauber"),
    ],
)
def test_bad_arguments_are_named(name, value):
    arguments = {"state": pack_lanes(np.ones((32, N))), "betas": 1.0, "update": "heat-bath"}
    with pytest.raises(ValueError, match=name):
        sweeps(np.random.default_rng(0), graph=GRAPH, **arguments | {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("indptr", np.zeros(N, int)),
        ("indptr", graph(MATRIX)[0][::-1]),
        ("indices", graph(MATRIX)[1] - 1),
        ("indices", np.where(graph(MATRIX)[1] == 2, 3, graph(MATRIX)[1])),
        ("coupling_csr", graph(MATRIX)[2][:-1]),
        ("coupling_csr", np.r_[np.inf, graph(MATRIX)[2][1:]]),
        ("coupling_csr", np.r_[0.1, graph(MATRIX)[2][1:]]),
        ("bias", BIAS[:-1]),
        ("bias", np.r_[np.inf, BIAS[1:]]),
        ("order", np.array([N])),
    ],
)
def test_bad_graphs_are_named(name, value):
    csr = dict(zip(("indptr", "indices", "coupling_csr"), graph(MATRIX), strict=True))
    with pytest.raises(ValueError, match=name):
        lanes_graph(**csr | {"bias": BIAS} | {name: value})
