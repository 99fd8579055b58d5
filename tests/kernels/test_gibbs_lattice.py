import numpy as np
import pytest
from numba import njit
from spin_oracle import (
    FALSE_ALARM,
    all_spins,
    distribution,
    exact_starts,
    lattice_matrix,
    p_value,
    sweep_by_hand,
    transition,
    visiting_order,
)

from pm_energy.kernels.gibbs_lattice import lattice_loop, lattice_sweeps
from pm_energy.kernels.gibbs_rows import rows_loop
from pm_energy.kernels.gibbs_torus import LANES
from pm_energy.kernels.random import seed_words

COUPLING = 0.7
LATTICES = [
    ((3, 3), True),
    ((2, 5), False),
    ((3, 4), (True, False)),
    ((3, 4), (False, True)),
    ((4, 3), True),
    ((2, 2, 3), (True, False, True)),
    ((3, 1, 4), True),
    ((12,), True),
    ((11,), True),
    ((9,), False),
    ((10, 1), True),
    ((1, 1), True),
]


def site_biases(n):
    return np.random.default_rng(30).normal(0, 0.6, n)


def rows_sweeps(rng, spins, shape, periodic, bias, coupling):
    """The loop for long rows, on rows that are short enough to list all states."""
    lengths = np.array(shape)
    wraps = np.broadcast_to(periodic, lengths.shape) & (lengths > 2)
    odds = np.exp(-np.atleast_1d(bias))
    rows_loop(seed_words(rng, LANES), spins, lengths, wraps, odds, coupling, 1)


@pytest.mark.parametrize(("shape", "periodic"), LATTICES)
@pytest.mark.parametrize("bias", [-0.2, "per site"])
@pytest.mark.parametrize("sweeps", [lattice_sweeps, rows_sweeps])
def test_a_sweep_leaves_the_boltzmann_distribution_invariant(sweeps, shape, periodic, bias):
    n = int(np.prod(shape))
    bias = site_biases(n) if bias == "per site" else bias
    pi = distribution(lattice_matrix(shape, periodic, COUPLING), np.broadcast_to(bias, n))
    rng = np.random.default_rng(31)
    x = exact_starts(rng, pi, n)
    for row in x:
        sweeps(rng, row, shape, periodic, bias, COUPLING)
    assert p_value(x, pi) > FALSE_ALARM


def wrong_row(shape, periodic):
    """The row above taken from one site to the right."""
    matrix = lattice_matrix(shape, periodic, COUPLING)
    site = shape[-1] + 1
    matrix[site, 1], matrix[site, 2] = 0.0, COUPLING
    return matrix, 0.0


def no_wrap(shape, periodic):
    return lattice_matrix(shape, False, COUPLING), 0.0


def pair_counted_twice(shape, periodic):
    return 2.0 * lattice_matrix(shape, periodic, COUPLING), 0.0


def parity_of_a_torus(shape, periodic):
    """Sites in two colours although a side is odd: two neighbours drawn at once."""
    return lattice_matrix(shape, periodic, COUPLING), "stale"


@pytest.mark.parametrize("broken", [wrong_row, no_wrap, pair_counted_twice, parity_of_a_torus])
def test_the_invariance_test_sees_a_broken_sweep(broken):
    shape, periodic = (3, 3), True
    pi = distribution(lattice_matrix(shape, periodic, COUPLING), np.zeros(9))
    matrix, mode = broken(shape, periodic)
    rng = np.random.default_rng(32)
    x = exact_starts(rng, pi, 9)
    if mode == "stale":
        for color in (range(0, 9, 2), range(1, 9, 2)):
            sweep_by_hand(rng, x, matrix, np.zeros(9), color, stale=True)
    else:
        sweep_by_hand(rng, x, matrix, np.zeros(9), visiting_order(shape, periodic))
    assert p_value(x, pi) < FALSE_ALARM


@pytest.mark.parametrize(
    ("shape", "periodic"), [(shape, p) for shape, p in LATTICES if np.prod(shape) <= 10]
)
def test_product_of_the_conditionals_keeps_pi(shape, periodic):
    n = int(np.prod(shape))
    matrix, bias = lattice_matrix(shape, periodic, COUPLING), site_biases(n)
    pi = distribution(matrix, bias)
    sweep = transition(matrix, bias, visiting_order(shape, periodic))
    np.testing.assert_allclose(pi @ sweep, pi, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "periodic"), [((5,), True), ((2, 3), (False, True)), ((1, 2, 2), True)]
)
@pytest.mark.parametrize("sweeps", [lattice_sweeps, rows_sweeps])
def test_a_sweep_follows_the_exact_transition_matrix_from_every_state(sweeps, shape, periodic):
    n = int(np.prod(shape))
    bias = site_biases(n)
    matrix = lattice_matrix(shape, periodic, COUPLING)
    exact = transition(matrix, bias, visiting_order(shape, periodic))
    rng = np.random.default_rng(33)
    for state, row in zip(all_spins(n), exact, strict=True):
        x = np.tile(state, (1_000, 1))
        for spins in x:
            sweeps(rng, spins, shape, periodic, bias, COUPLING)
        assert p_value(x, row) > FALSE_ALARM / 2**n


def test_infinite_biases_pin_spins():
    bias = np.zeros(35)
    bias[[4, 17]] = np.inf, -np.inf
    spins = np.ones(35, np.int8)
    lattice_sweeps(np.random.default_rng(34), spins, (5, 7), True, bias, COUPLING, n_sweeps=20)
    assert (spins[4], spins[17]) == (1, -1)


@pytest.mark.parametrize("bias", [0.3, np.full(63, 0.3)])
def test_flips_are_counted_and_a_seed_repeats_itself(bias):
    runs = []
    for _ in range(2):
        spins = np.ones(63, np.int8)
        flips = lattice_sweeps(np.random.default_rng(35), spins, (9, 7), True, bias, COUPLING)
        assert flips == np.count_nonzero(spins == -1)
        runs.append(spins)
    np.testing.assert_array_equal(*runs)


def test_a_constant_bias_may_be_a_number_or_an_array():
    runs = []
    for bias in (0.3, np.full(63, 0.3)):
        spins = np.ones(63, np.int8)
        lattice_sweeps(np.random.default_rng(36), spins, (9, 7), (True, False), bias, COUPLING, 5)
        runs.append(spins)
    np.testing.assert_array_equal(*runs)


def test_the_loop_can_be_called_from_jitted_code():
    @njit
    def twice(words, spins, lengths, wraps, bias, coupling):
        for _ in range(2):
            lattice_loop(words, spins, lengths, wraps, bias, coupling, 1)

    axes = np.array([3, 5]), np.array([False, True])
    a, b = np.ones(15, np.int8), np.ones(15, np.int8)
    twice(seed_words(np.random.default_rng(37)), a, *axes, np.zeros(1), COUPLING)
    lattice_sweeps(np.random.default_rng(37), b, (3, 5), (False, True), 0.0, COUPLING, n_sweeps=2)
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("shape", ((3, 5), True, 0.0, 1.0)),
        ("shape", ((), True, 0.0, 1.0)),
        ("shape", ((-4, -4), True, 0.0, 1.0)),
        ("periodic", ((4, 4), (True,), 0.0, 1.0)),
        ("bias", ((4, 4), True, np.zeros(15), 1.0)),
        ("bias", ((4, 4), True, np.nan, 1.0)),
        ("coupling", ((4, 4), True, 0.0, np.inf)),
    ],
)
def test_bad_input_is_named(name, arguments):
    with pytest.raises(ValueError, match=name):
        lattice_sweeps(np.random.default_rng(0), np.ones(16, np.int8), *arguments)
