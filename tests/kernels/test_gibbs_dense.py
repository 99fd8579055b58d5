import numpy as np
import pytest
from numba import njit
from spin_oracle import (
    FALSE_ALARM,
    all_spins,
    distribution,
    exact_starts,
    p_value,
    random_system,
    sweep_by_hand,
    transition,
)

from pm_energy.kernels.gibbs_dense import aligned, dense_field, dense_loop, dense_sweeps
from pm_energy.kernels.random import seed_words

N = 9
MATRIX, BIAS = random_system(N, seed=20, scale=0.6)
MATRIX = MATRIX.astype(np.float32).astype(np.float64)  # the same numbers in both precisions
PI = distribution(MATRIX, BIAS)
PRECISIONS = [(np.float64, np.float64), (np.float32, np.float64), (np.float32, np.float32)]


def kernel(coupling_type, field_type):
    coupling = MATRIX.astype(coupling_type)

    def sweep(rng, x):
        for row in x:
            dense_sweeps(rng, row, dense_field(row, coupling, BIAS).astype(field_type), coupling)

    return sweep


def field_of_the_sweep_before(rng, x):
    sweep_by_hand(rng, x, MATRIX, BIAS, range(N), stale=True)


def one_unit_a_flip(rng, x):
    """Correct the fields by J instead of 2 J: the factor most often forgotten."""
    field = BIAS + x @ MATRIX
    for i in range(N):
        new = np.where(rng.random(len(x)) < 1 / (1 + np.exp(-field[:, i])), 1, -1)
        field += 0.5 * (new - x[:, i])[:, None] * MATRIX[i]
        x[:, i] = new


@pytest.mark.parametrize(
    ("sweep", "is_right"),
    [(kernel(*types), True) for types in PRECISIONS]
    + [(field_of_the_sweep_before, False), (one_unit_a_flip, False)],
)
def test_a_sweep_leaves_the_boltzmann_distribution_invariant(sweep, is_right):
    rng = np.random.default_rng(21)
    x = exact_starts(rng, PI, N)
    sweep(rng, x)
    assert (p_value(x, PI) > FALSE_ALARM) == is_right


def test_product_of_the_conditionals_keeps_pi():
    np.testing.assert_allclose(PI @ transition(MATRIX, BIAS, range(N)), PI, rtol=0, atol=1e-12)


@pytest.mark.parametrize("types", PRECISIONS)
def test_a_sweep_follows_the_exact_transition_matrix_from_every_state(types):
    matrix, bias = random_system(4, seed=22)
    coupling = matrix.astype(types[0])
    rng = np.random.default_rng(23)
    for state, row in zip(all_spins(4), transition(matrix, bias, range(4)), strict=True):
        x = np.tile(state, (2_000, 1))
        for spins in x:
            dense_sweeps(rng, spins, dense_field(spins, coupling, bias).astype(types[1]), coupling)
        assert p_value(x, row) > FALSE_ALARM / 16


@pytest.mark.parametrize("types", PRECISIONS)
def test_carried_fields_drift_no_further_than_the_stated_bound(types):
    n = 300
    matrix, bias = random_system(n, seed=24, scale=n**-0.5)
    coupling = matrix.astype(types[0])
    spins = np.ones(n, np.int8)
    field = dense_field(spins, coupling, bias).astype(types[1])
    flips = dense_sweeps(np.random.default_rng(25), spins, field, coupling, n_sweeps=500)
    drift = abs(field - dense_field(spins, coupling, bias)).max()
    assert flips > 50_000
    # the largest field of any state bounds the largest that was seen
    largest = (abs(bias) + abs(coupling).sum(1)).max()
    assert drift <= flips * np.finfo(types[1]).eps / 2 * largest
    if types[1] == np.float64:
        assert drift < 1e-12


def test_fields_are_summed_in_double_precision():
    matrix, bias = random_system(400, seed=26)
    spins = np.where(np.arange(400) % 3 == 0, 1, -1).astype(np.int8)
    for dtype in (np.float32, np.float64):
        exact = bias + matrix.astype(dtype).astype(np.float64) @ spins
        np.testing.assert_allclose(
            dense_field(spins, matrix.astype(dtype), bias), exact, atol=1e-12
        )


def test_beta_scales_the_fields_in_a_jitted_loop():
    @njit
    def anneal(words, spins, field, coupling, betas):
        for beta in betas:
            dense_loop(words, spins, field, coupling, beta, 1)

    pi = distribution(0.4 * MATRIX, 0.4 * BIAS)
    rng = np.random.default_rng(27)
    x = exact_starts(rng, pi, N)
    for row in x:
        field = dense_field(row, MATRIX, BIAS)
        anneal(seed_words(rng), row, field, MATRIX, np.full(2, 0.4))
    assert p_value(x, pi) > FALSE_ALARM


def test_infinite_field_pins_a_spin_and_flips_are_counted():
    field = BIAS + MATRIX.sum(1)
    field[3] = -np.inf
    spins = np.ones(N, np.int8)
    flips = dense_sweeps(np.random.default_rng(28), spins, field, MATRIX)
    assert spins[3] == -1
    assert flips == np.count_nonzero(spins == -1)


def test_aligned_copy_equals_its_source_and_starts_on_a_cache_line():
    copy = aligned(MATRIX.astype(np.float32))
    np.testing.assert_array_equal(copy, MATRIX)
    assert copy.ctypes.data % 64 == 0
    assert copy.flags.c_contiguous
    assert copy.flags.writeable


@pytest.mark.parametrize(
    ("name", "field", "coupling"),
    [
        ("field", BIAS[:-1], MATRIX),
        ("field", BIAS.astype(np.int64), MATRIX),
        ("coupling", BIAS, MATRIX[:-1]),
        ("coupling", BIAS, np.asfortranarray(MATRIX)),
        ("coupling", BIAS, MATRIX.astype(np.int64)),
    ],
)
def test_bad_input_is_named(name, field, coupling):
    with pytest.raises(ValueError, match=name):
        dense_sweeps(np.random.default_rng(0), np.ones(N, np.int8), field, coupling)
