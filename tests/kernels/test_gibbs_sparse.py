import numpy as np
import pytest
from numba import njit
from spin_oracle import (
    FALSE_ALARM,
    all_spins,
    distribution,
    exact_starts,
    graph,
    p_value,
    random_system,
    sweep_by_hand,
    transition,
)

from pm_energy.kernels import gibbs_sparse
from pm_energy.kernels.gibbs_sparse import sparse_field, sparse_loop, sparse_sweeps
from pm_energy.kernels.random import seed_words

N = 10
MATRIX, BIAS = random_system(N, seed=7, density=0.4)
PI = distribution(MATRIX, BIAS)
ORDER = np.random.default_rng(8).permutation(N)


def kernel(rng, x):
    for row in x:
        sparse_sweeps(rng, row, *graph(MATRIX), BIAS, ORDER)


def stale_fields(rng, x):
    sweep_by_hand(rng, x, MATRIX, BIAS, ORDER, stale=True)


def wrong_neighbour(rng, x):
    rewired = np.roll(MATRIX, 1, axis=1)
    sweep_by_hand(rng, x, rewired * ~np.eye(N, dtype=bool), BIAS, ORDER)


def half_the_coupling(rng, x):
    sweep_by_hand(rng, x, 0.5 * MATRIX, BIAS, ORDER)


def by_hand(rng, x):
    sweep_by_hand(rng, x, MATRIX, BIAS, ORDER)


@pytest.mark.parametrize(
    ("sweep", "is_right"),
    [
        (kernel, True),
        (by_hand, True),
        (stale_fields, False),
        (wrong_neighbour, False),
        (half_the_coupling, False),
    ],
)
def test_a_sweep_leaves_the_boltzmann_distribution_invariant(sweep, is_right):
    rng = np.random.default_rng(9)
    x = exact_starts(rng, PI, N)
    sweep(rng, x)
    assert (p_value(x, PI) > FALSE_ALARM) == is_right


def test_product_of_the_conditionals_keeps_pi():
    np.testing.assert_allclose(PI @ transition(MATRIX, BIAS, ORDER), PI, rtol=0, atol=1e-12)


def test_a_sweep_follows_the_exact_transition_matrix_from_every_state():
    matrix, bias = random_system(5, seed=10, density=0.7)
    order = np.array([3, 0, 4, 1, 2])
    exact = transition(matrix, bias, order)
    rng = np.random.default_rng(11)
    for state, row in zip(all_spins(5), exact, strict=True):
        x = np.tile(state, (2_000, 1))
        for spins in x:
            sparse_sweeps(rng, spins, *graph(matrix), bias, order)
        assert p_value(x, row) > FALSE_ALARM / 32


def test_sites_left_out_of_the_order_keep_their_spins():
    rng = np.random.default_rng(12)
    x = exact_starts(rng, PI, N)
    before = x.copy()
    for row in x:
        sparse_sweeps(rng, row, *graph(MATRIX), BIAS, ORDER[:4], n_sweeps=2)
    np.testing.assert_array_equal(x[:, ORDER[4:]], before[:, ORDER[4:]])
    assert (x[:, ORDER[:4]] != before[:, ORDER[:4]]).any()
    assert p_value(x, PI) > FALSE_ALARM


def test_infinite_bias_pins_a_spin():
    bias = np.where(np.arange(N) == 2, np.inf, np.where(np.arange(N) == 5, -np.inf, BIAS))
    spins = np.ones(N, np.int8)
    sparse_sweeps(np.random.default_rng(13), spins, *graph(MATRIX), bias, ORDER, n_sweeps=50)
    assert (spins[2], spins[5]) == (1, -1)


def test_carried_fields_are_those_summed_afresh():
    matrix, bias = random_system(200, seed=14, density=0.05)
    csr = graph(matrix)
    spins = np.where(np.random.default_rng(15).random(200) < 0.5, 1, -1).astype(np.int8)
    field = sparse_field(spins, *csr, bias)
    np.testing.assert_allclose(field, bias + matrix @ spins, rtol=0, atol=1e-13)
    words = seed_words(np.random.default_rng(16))
    flips = sparse_loop(words, spins, field, *csr, np.arange(200), 0.5, 1_000)
    assert flips > 50_000
    np.testing.assert_allclose(field, bias + matrix @ spins, rtol=0, atol=1e-11)


def test_summing_afresh_changes_no_draw(monkeypatch):
    runs = []
    for refresh in (7, 1_000):
        monkeypatch.setattr(gibbs_sparse, "_REFRESH", refresh)
        spins = np.ones(N, np.int8)
        rng = np.random.default_rng(17)
        flips = sparse_sweeps(rng, spins, *graph(MATRIX), BIAS, ORDER, n_sweeps=40)
        runs.append((flips, spins.tolist()))
    assert runs[0] == runs[1]


def test_beta_scales_couplings_and_bias_in_a_jitted_loop():
    @njit
    def anneal(words, spins, field, indptr, indices, coupling, order, betas):
        for beta in betas:
            sparse_loop(words, spins, field, indptr, indices, coupling, order, beta, 1)

    pi = distribution(0.3 * MATRIX, 0.3 * BIAS)
    rng = np.random.default_rng(18)
    x = exact_starts(rng, pi, N)
    csr = graph(MATRIX)
    for row in x:
        field = sparse_field(row, *csr, BIAS)
        anneal(seed_words(rng), row, field, *csr, ORDER, np.full(2, 0.3))
    assert p_value(x, pi) > FALSE_ALARM


def test_flips_are_counted():
    x = np.ones(N, np.int8)
    before = x.copy()
    flips = sparse_sweeps(np.random.default_rng(19), x, *graph(MATRIX), BIAS, ORDER)
    assert flips == np.count_nonzero(x != before)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("indptr", np.zeros(N, int)),
        ("indptr", graph(MATRIX)[0][::-1]),
        ("indices", graph(MATRIX)[1][:-1]),
        ("indices", graph(MATRIX)[1] - 1),
        ("coupling_csr", graph(MATRIX)[2][:-1]),
        ("bias", BIAS[:-1]),
        ("order", np.array([N])),
        ("order", np.zeros((2, 2), int)),
    ],
)
def test_bad_input_is_named(name, value):
    csr = dict(zip(("indptr", "indices", "coupling_csr"), graph(MATRIX), strict=True))
    arguments = csr | {"bias": BIAS, "order": ORDER} | {name: value}
    with pytest.raises(ValueError, match=name):
        sparse_sweeps(np.random.default_rng(0), np.ones(N, np.int8), **arguments)
