import numpy as np
import pytest
from replica_oracle import metropolis_transition, row_p_value, signed_matrix
from scipy.stats import norm
from spin_oracle import FALSE_ALARM, all_spins, distribution, graph, numbers, transition

from pm_energy.kernels.multispin_graph import multispin_graph, place_graph
from pm_energy.kernels.multispin_sweeps import (
    multispin_rates,
    multispin_sweeps,
    seed_columns,
    sweep_rows,
)
from pm_energy.kernels.multispin_words import pack_spins, to_rows, unpack_spins
from pm_energy.testing import pooled_chisquare

N = 10
MATRIX = signed_matrix(N, seed=1, hub=8)  # degrees 0 to 8, odd and even
BETAS = np.repeat([0.0, 0.15, 0.4, 1.1], 80)  # one a word; 5,120 replicas each
UPDATES = ("heat-bath", "metropolis")


def law(beta, matrix=MATRIX):
    return distribution(2 * beta * matrix, np.zeros(len(matrix)))


def p_values(words):
    """Of the replicas at each beta against their Boltzmann distribution."""
    x = numbers(unpack_spins(words))
    betas = np.repeat(BETAS, 64)
    return [pooled_chisquare(x[betas == beta], law(beta)) for beta in np.unique(BETAS)]


def exact_starts(rng):
    states = [all_spins(N)[rng.choice(2**N, 64, p=law(beta))] for beta in BETAS]
    return pack_spins(np.concatenate(states))


def kernel(rng, words, update):
    multispin_sweeps(rng, words, multispin_graph(*graph(MATRIX)), BETAS, update=update)


def two_sweeps(rng, words, update):
    multispin_sweeps(rng, words, multispin_graph(*graph(MATRIX)), BETAS, 2, update)


def one_sign_wrong(rng, words, update):
    wrong = MATRIX.copy()
    i, j = np.argwhere(wrong)[0]
    wrong[i, j] = wrong[j, i] = -wrong[i, j]
    multispin_sweeps(rng, words, multispin_graph(*graph(wrong)), BETAS, update=update)


def beta_of_the_next_word(rng, words, update):
    multispin_sweeps(rng, words, multispin_graph(*graph(MATRIX)), np.roll(BETAS, 40), update=update)


def other_rule_for_the_probabilities(rng, words, update):
    rows = to_rows(words)
    placed = place_graph(multispin_graph(*graph(MATRIX)), rows)
    rates = multispin_rates(BETAS, multispin_graph(*graph(MATRIX)), update)
    swapped = rates._replace(heat_bath=~rates.heat_bath)
    sweep_rows(seed_columns(rng, words.shape[1]), rows, placed, swapped, 1)
    words[...] = rows[:, : words.shape[1]]


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(
    ("sweep", "is_right"),
    [
        (kernel, True),
        (two_sweeps, True),
        (one_sign_wrong, False),
        (beta_of_the_next_word, False),
        (other_rule_for_the_probabilities, False),
    ],
)
def test_sweeps_leave_the_boltzmann_distributions_of_all_words_invariant(sweep, is_right, update):
    rng = np.random.default_rng(2)
    words = exact_starts(rng)
    sweep(rng, words, update)
    assert (min(p_values(words)) > FALSE_ALARM / 4) == is_right


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.8])
def test_a_sweep_follows_the_exact_transition_matrix_from_every_state(beta, update):
    matrix = signed_matrix(6, seed=3, hub=4)
    order = np.array([3, 0, 4, 1, 5, 2])
    cold = update == "metropolis" and beta > 0.2
    exact = (metropolis_transition if cold else transition)(2 * beta * matrix, np.zeros(6), order)
    rng = np.random.default_rng(4)
    words = pack_spins(np.repeat(all_spins(6), 1024, axis=0))
    multispin_sweeps(rng, words, multispin_graph(*graph(matrix), order), beta, update=update)
    x = numbers(unpack_spins(words)).reshape(64, 1024)
    for after, row in zip(x, exact, strict=True):
        assert row_p_value(after, row) > FALSE_ALARM / 64


@pytest.mark.parametrize("update", UPDATES)
def test_the_exact_matrices_keep_the_boltzmann_distribution(update):
    matrix = signed_matrix(6, seed=3, hub=4)
    exact = transition if update == "heat-bath" else metropolis_transition
    pi = law(0.8, matrix)
    sweep = exact(1.6 * matrix, np.zeros(6), np.arange(6))
    np.testing.assert_allclose(pi @ sweep, pi, rtol=0, atol=1e-14)


@pytest.mark.parametrize("update", UPDATES)
def test_probabilities_are_exact_to_two_to_the_minus_34(update):
    betas = np.array([0.0, 1e-9, 0.1, 0.2, 0.7, 3.0, 200.0, 0.44, 0.5])
    rates = multispin_rates(betas, multispin_graph(*graph(MATRIX)), update)
    place_values = 0.5 ** np.arange(1, rates.digits.shape[2] + 1)
    p = np.tensordot(rates.digits != 0, place_values, axes=(2, 0))  # column, parity, class, word
    for w, beta in enumerate(betas):
        for odd in range(2):
            weight = np.exp(-2.0 * beta * (2.0 * np.arange(4) + 2 - odd))
            metropolis = update == "metropolis" and beta >= 0.2
            exact = weight if metropolis else weight / (1.0 + weight)
            np.testing.assert_allclose(p[w // 8, odd, :, w % 8], exact, rtol=0, atol=2.0**-33)


def aligned_square(side):
    """A torus with all spins up, and the sites of one colour of its checkerboard."""
    index = np.arange(side * side).reshape(side, side)
    beside = np.stack([np.roll(index, shift, axis) for axis in (0, 1) for shift in (1, -1)], -1)
    color = np.flatnonzero(np.indices((side, side)).sum(0).ravel() % 2 == 0)
    indptr = np.arange(0, 4 * side * side + 1, 4)
    return multispin_graph(indptr, beside.ravel(), np.ones(beside.size, int), color), color


@pytest.mark.parametrize(
    ("field", "is_right"), [(12.0, True), (8.0, True), (12.1, False), (8.02, False)]
)
def test_rare_flips_are_as_rare_as_they_should_be(field, is_right):
    """Flips beyond the planes of bits that are always drawn: 1.6e9 chances at q = 6e-6, 3e-4."""
    square, color = aligned_square(64)
    rng, flips, rounds = np.random.default_rng(5), 0, 100
    for _ in range(rounds):
        words = np.full((64 * 64, 128), ~np.uint64(0))
        multispin_sweeps(rng, words, square, field / 8)
        flips += np.bitwise_count(~words[color]).sum()
    assumed = 12.0 if field > 10 else 8.0
    expected = rounds * color.size * 128 * 64 / (1.0 + np.exp(assumed))
    z = (flips - expected) / np.sqrt(expected)
    assert (2 * norm.sf(abs(z)) > FALSE_ALARM) == is_right


def independent(rng, n_words):
    return seed_columns(rng, n_words)


def one_stream_for_two_words(rng, n_words):
    lanes = seed_columns(rng, n_words)
    lanes[:, 5], lanes[:, lanes.shape[1] // 2 + 5] = lanes[:, 2], lanes[:, lanes.shape[1] // 2 + 2]
    return lanes


def one_stream_for_two_vectors(rng, n_words):
    lanes = seed_columns(rng, n_words)
    half = lanes.shape[1] // 2
    lanes[:, 8:half], lanes[:, half + 8 :] = lanes[:, : half - 8], lanes[:, half:-8]
    return lanes


@pytest.mark.parametrize(
    ("streams", "is_right"),
    [(independent, True), (one_stream_for_two_words, False), (one_stream_for_two_vectors, False)],
)
@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_replicas_are_not_correlated(streams, is_right, beta):
    """Overlaps of all pairs of 1,024 replicas that start alike, after 30 sweeps."""
    square, color = aligned_square(32)
    square = square._replace(order=np.arange(32 * 32, dtype=np.uint64))
    words = np.full((32 * 32, 16), ~np.uint64(0))
    rows, rng = to_rows(words), np.random.default_rng(6)
    rates = multispin_rates(np.full(16, beta), square, "heat-bath")
    sweep_rows(streams(rng, 16), rows, place_graph(square, rows), rates, 30)
    x = unpack_spins(rows[:, :16].copy())[:, color].astype(float)  # neighbours would be correlated
    x -= x.mean(axis=1, keepdims=True)
    overlap = (x @ x.T)[np.triu_indices(1024, 1)] / np.sqrt((x * x).mean() ** 2 * color.size)
    # At beta .1 sites of a colour correlate by tanh(.1)^2: overlaps vary by less than 1% more.
    limit = 1.01 * norm.isf(FALSE_ALARM / overlap.size / 2)
    assert (np.abs(overlap).max() < limit) == is_right


def test_sites_left_out_of_the_order_keep_their_spins():
    order = np.array([0, 3, 2])
    words = exact_starts(np.random.default_rng(7))
    before = words.copy()
    multispin_sweeps(np.random.default_rng(8), words, multispin_graph(*graph(MATRIX), order), BETAS)
    rest = np.setdiff1d(np.arange(N), order)
    np.testing.assert_array_equal(words[rest], before[rest])
    assert min(p_values(words)) > FALSE_ALARM / 4


def test_metropolis_is_the_heat_bath_on_rings():
    """Else all walls between domains would move side by side, and none would meet another."""
    ring = np.roll(np.eye(50, dtype=int), 1, axis=1)
    ring = multispin_graph(*graph(ring + ring.T))
    runs = []
    for update in UPDATES:
        words = np.random.default_rng(13).integers(0, 2**64, size=(50, 2), dtype=np.uint64)
        multispin_sweeps(np.random.default_rng(14), words, ring, 1.0, 3, update)
        runs.append(words)
    np.testing.assert_array_equal(*runs)


@pytest.mark.parametrize("n_words", [1, 7, 8, 9])
def test_any_number_of_words(n_words):
    words = np.zeros((N, n_words), np.uint64)
    rng = np.random.default_rng(9)
    multispin_sweeps(rng, words, multispin_graph(*graph(MATRIX)), 0.0, 3)
    ones = np.bitwise_count(words).sum()
    z = (ones - 32 * words.size) / np.sqrt(16 * words.size)
    assert 2 * norm.sf(abs(z)) > FALSE_ALARM


def test_same_seed_same_draws():
    runs = []
    for _ in range(2):
        rng = np.random.default_rng(10)
        words = exact_starts(rng)
        kernel(rng, words, "metropolis")
        runs.append(words)
    np.testing.assert_array_equal(*runs)


def test_packing_is_undone_by_unpacking():
    spins = np.random.default_rng(11).choice([-1, 1], size=(192, 7))
    words = pack_spins(spins)
    np.testing.assert_array_equal(unpack_spins(words), spins)
    assert (words[3, 2] >> np.uint64(5)) & np.uint64(1) == (spins[2 * 64 + 5, 3] > 0)


@pytest.mark.parametrize("spins", [np.ones((63, 2)), np.zeros((64, 2)), np.ones(64)])
def test_spins_that_cannot_be_packed_are_refused(spins):
    with pytest.raises(ValueError, match="spins"):
        pack_spins(spins)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("words", np.zeros((N, 2), np.int64)),
        ("words", np.zeros((N - 1, 2), np.uint64)),
        ("words", np.zeros(N, np.uint64)),
        ("betas", -1.0),
        ("betas", np.nan),
        ("betas", np.inf),
        ("betas", np.ones(3)),
        ("update", "glauber"),
    ],
)
def test_bad_arguments_are_named(name, value):
    arguments = {"words": np.zeros((N, 2), np.uint64), "betas": 1.0, "update": "heat-bath"}
    with pytest.raises(ValueError, match=name):
        multispin_sweeps(
            np.random.default_rng(0),
            graph=multispin_graph(*graph(MATRIX)),
            **arguments | {name: value},
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("indptr", np.zeros(N, int)),
        ("indptr", graph(MATRIX)[0][::-1]),
        ("indices", graph(MATRIX)[1] - 1),
        ("indices", np.where(graph(MATRIX)[1] == 2, 3, graph(MATRIX)[1])),
        ("signs", graph(MATRIX)[2][:-1]),
        ("signs", 2 * graph(MATRIX)[2]),
        ("signs", np.r_[-graph(MATRIX)[2][:1], graph(MATRIX)[2][1:]]),
        ("order", np.array([N])),
    ],
)
def test_bad_graphs_are_named(name, value):
    csr = dict(zip(("indptr", "indices", "signs"), graph(MATRIX), strict=True))
    with pytest.raises(ValueError, match=name):
        multispin_graph(**csr | {name: value})


def test_a_site_with_nine_neighbours_is_refused():
    star = np.zeros((10, 10), int)
    star[0, 1:] = star[1:, 0] = 1
    with pytest.raises(ValueError, match=r"9 neighbours.*lanes"):
        multispin_graph(*graph(star))
