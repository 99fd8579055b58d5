import numpy as np
import pytest
from numba import njit
from spin_oracle import (
    FALSE_ALARM,
    all_spins,
    distribution,
    exact_starts,
    lattice_matrix,
    mixed_words,
    p_value,
    sweep_by_hand,
    xoshiro,
)

from pm_energy.kernels import gibbs_torus
from pm_energy.kernels.gibbs_lattice import lattice_loop, lattice_sweeps
from pm_energy.kernels.gibbs_rows import rows_loop
from pm_energy.kernels.gibbs_torus import LANES, torus_loop
from pm_energy.kernels.random import seed_words

COUPLING = 0.7


def probabilities(bias, coupling):
    """P(+1) given 0..4 neighbours up, times 2**64, to the precision of float64."""
    p = 1.0 / (1.0 + np.exp(-(bias + coupling * (2.0 * np.arange(5) - 4.0))))
    return [min(int(float(x) * 2**64), 2**64 - 1) for x in p]


def torus_by_hand(lanes, spins, shape, bias, coupling, n_sweeps, chunk=1024):
    """What :func:`torus_loop` computes, from its definition: ``np.roll`` and big integers."""
    lanes = lanes.astype(object)
    p = probabilities(bias, coupling)
    grid = spins.reshape(shape).copy()
    rows, columns = np.indices(shape)
    half = shape[1] // 2
    chunk = max(1, chunk // half) * half
    flips = 0
    for _ in range(n_sweeps):
        for color in range(2):
            for parity in range(2):
                up = sum(np.roll(grid, step, axis) > 0 for step in (-1, 1) for axis in (0, 1))
                mine = ((rows + columns) % 2 == color) & (rows % 2 == parity)
                sites = np.flatnonzero(mine)
                for start in range(0, sites.size, chunk):
                    part = sites[start : start + chunk]
                    words = mixed_words(lanes, -(-min(chunk, sites.size) // 4))
                    for k, site in enumerate(part):
                        draw = (words[k // 4] >> (16 * (k % 4))) & 0xFFFF
                        wanted = p[up.flat[site]]
                        is_up = draw < wanted >> 48
                        if draw == wanted >> 48:
                            first = lanes[:, :1]
                            is_up = xoshiro(first)[0] < (wanted << 16) % 2**64
                        flips += (grid.flat[site] > 0) != is_up
                        grid.flat[site] = 1 if is_up else -1
    return flips, grid.ravel(), lanes


@pytest.mark.parametrize(
    ("shape", "bias", "coupling", "n_sweeps"),
    [
        ((4, 4), 0.1, 0.7, 9),
        ((4, 10), 0.0, 0.88, 5),
        ((10, 4), -0.3, -0.5, 5),
        ((22, 30), 0.2, 0.3, 3),
        ((64, 64), 0.0, 0.88, 80),  # some 5 ties
        ((60, 84), 0.0, 0.88, 2),  # 1,260 sites a quarter: 24 rows of 42, then 6
    ],
)
def test_every_draw_is_that_of_the_definition(shape, bias, coupling, n_sweeps):
    rng = np.random.default_rng(40)
    spins = rng.choice(np.array([-1, 1], np.int8), size=shape[0] * shape[1])
    lanes = seed_words(rng, LANES)
    flips, expected, after = torus_by_hand(lanes, spins, shape, bias, coupling, n_sweeps)
    assert torus_loop(lanes, spins, *shape, bias, coupling, n_sweeps) == flips
    np.testing.assert_array_equal(spins, expected)
    assert (lanes == after.astype(np.uint64)).all()


def test_ties_are_decided_by_64_more_bits():
    # every other draw equals the threshold, whatever the neighbours
    n, half = 64, 8
    rng = np.random.default_rng(41)
    same_row, other_rows = rng.integers(0, 2, (2, n + 2 * half), dtype=np.uint8)
    side = rng.integers(0, 2, n, dtype=np.uint8)
    lanes = seed_words(rng, LANES)
    coarse = (np.uint16(7),) * 5
    fine = tuple(np.array([0, 2**62, 2**63, 3 * 2**62, 2**64 - 1], dtype=np.uint64))
    new, draws = np.zeros(n, np.uint8), np.where(np.arange(n) % 2, 7, 8).astype(np.uint16)
    first = lanes[:, :1].astype(object)
    at, above = np.uint64(half), np.uint64(0)
    gibbs_torus._break_ties(
        new, draws, side, same_row, other_rows, at, above, np.uint64(n), half, coarse, fine, lanes
    )
    up = side + same_row[half:-half] + other_rows[: -2 * half] + other_rows[half:-half]
    expected = [d == 7 and xoshiro(first)[0] < int(fine[u]) for u, d in zip(up, draws, strict=True)]
    np.testing.assert_array_equal(new, expected)
    assert 0 < new.sum() < n // 2


@pytest.mark.parametrize("bias", [0.0, 0.37, -9.0, 30.0, -45.0, np.inf, -np.inf])
def test_thresholds_are_the_conditional_probabilities(bias):
    coarse, fine = gibbs_torus._thresholds(bias, 0.7)
    for k in range(5):
        p = 1.0 / (1.0 + np.exp(-(bias + 0.7 * (2.0 * k - 4.0))))
        whole = (int(coarse[k]) << 48) + (int(fine[k]) >> 16)
        assert abs(whole / 2**64 - p) <= 2.0**-64 + 16 * np.finfo(float).eps * p


def kernel(rng, x):
    for row in x:
        lattice_sweeps(rng, row, (4, 4), True, -0.2, COUPLING)


def by_hand(rng, x, matrix=None):
    matrix = lattice_matrix((4, 4), True, COUPLING) if matrix is None else matrix
    order = np.argsort(np.indices((4, 4)).sum(0).ravel() % 2, kind="stable")
    sweep_by_hand(rng, x, matrix, np.full(16, -0.2), order)


def same_row_neighbour_twice(rng, x):
    matrix = lattice_matrix((4, 4), True, COUPLING)
    for site in range(16):
        left, right = 4 * (site // 4) + (site - 1) % 4, 4 * (site // 4) + (site + 1) % 4
        matrix[site, left], matrix[site, right] = 2 * COUPLING, 0.0
    by_hand(rng, x, matrix)


def no_row_above_the_first(rng, x):
    by_hand(rng, x, lattice_matrix((4, 4), (False, True), COUPLING))


def half_the_coupling(rng, x):
    by_hand(rng, x, lattice_matrix((4, 4), True, 0.5 * COUPLING))


@pytest.mark.parametrize(
    ("sweep", "is_right"),
    [
        (kernel, True),
        (by_hand, True),
        (same_row_neighbour_twice, False),
        (no_row_above_the_first, False),
        (half_the_coupling, False),
    ],
)
def test_a_sweep_leaves_the_boltzmann_distribution_invariant(sweep, is_right):
    pi = distribution(lattice_matrix((4, 4), True, COUPLING), np.full(16, -0.2))
    rng = np.random.default_rng(42)
    x = exact_starts(rng, pi, 16)
    sweep(rng, x)
    assert (p_value(x, pi) > FALSE_ALARM) == is_right


def kaufman_log_z(rows, columns, k):
    """Log Z of the Ising torus at coupling k = beta J (Kaufman 1949), ferromagnetic."""
    r = np.arange(2 * rows)
    gamma = np.arccosh(np.maximum(np.cosh(2 * k) / np.tanh(2 * k) - np.cos(np.pi * r / rows), 1.0))
    gamma[0] = 2 * k + np.log(np.tanh(k))
    terms, signs = [], []
    for start in (1, 0):
        x = 0.5 * columns * gamma[start::2]
        with np.errstate(divide="ignore"):  # at the critical point one factor is zero
            terms += [np.log(2 * np.cosh(x)).sum(), np.log(abs(2 * np.sinh(x))).sum()]
        signs += [1.0, np.prod(np.sign(np.sinh(x)))]
    top = max(terms)
    total = top + np.log(sum(s * np.exp(t - top) for s, t in zip(signs, terms, strict=True)))
    return total - np.log(2) + 0.5 * rows * columns * np.log(2 * np.sinh(2 * k))


def kaufman_energy(rows, columns, beta, step=1e-5):
    change = kaufman_log_z(rows, columns, beta + step) - kaufman_log_z(rows, columns, beta - step)
    return -change / (2 * step * rows * columns)


def test_the_oracle_is_kaufmans():
    critical = 0.5 * np.log1p(np.sqrt(2))
    known = {4: 15.521915, 8: 60.141781, 16: 238.642257, 32: 952.648080}
    for side, value in known.items():
        assert abs(kaufman_log_z(side, side, critical) - value) < 1e-6
    for shape in ((3, 4), (4, 3), (3, 3)):
        n = shape[0] * shape[1]
        s = all_spins(n)
        bonds = 0.5 * ((s @ lattice_matrix(shape, True, 1.0)) * s).sum(1)
        pi = distribution(lattice_matrix(shape, True, 2 * 0.3), np.zeros(n))
        assert abs(kaufman_energy(*shape, 0.3) + pi @ bonds / n) < 1e-8


@njit
def bond_sum(spins, rows, columns):
    total = 0
    for i in range(rows):
        for j in range(columns):
            here = spins[i * columns + j]
            right, below = (j + 1) % columns, (i + 1) % rows
            total += here * (spins[i * columns + right] + spins[below * columns + j])
    return total


@njit
def torus_energies(lanes, spins, rows, columns, coupling, thin, out):
    for t in range(out.size):
        torus_loop(lanes, spins, rows, columns, 0.0, coupling, thin)
        out[t] = -bond_sum(spins, rows, columns) / spins.size


@njit
def lattice_energies(words, spins, rows, columns, coupling, thin, out):
    lengths, wraps = np.array([rows, columns]), np.array([True, True])
    for t in range(out.size):
        lattice_loop(words, spins, lengths, wraps, np.zeros(1), coupling, thin)
        out[t] = -bond_sum(spins, rows, columns) / spins.size


@njit
def rows_energies(lanes, spins, rows, columns, coupling, thin, out):
    lengths, wraps = np.array([rows, columns]), np.array([True, True])
    for t in range(out.size):
        rows_loop(lanes, spins, lengths, wraps, np.ones(1), coupling, thin)
        out[t] = -bond_sum(spins, rows, columns) / spins.size


@pytest.mark.parametrize(
    ("chain", "lanes", "shape", "thin", "length", "beta_used", "is_right"),
    [
        (torus_energies, LANES, (64, 64), 20, 750, 0.44, True),
        (torus_energies, LANES, (64, 64), 20, 750, 0.438, False),
        (torus_energies, LANES, (32, 96), 20, 600, 0.44, True),
        (lattice_energies, None, (25, 24), 10, 600, 0.44, True),
        (lattice_energies, None, (25, 24), 10, 600, 0.43, False),
        (rows_energies, LANES, (25, 63), 20, 500, 0.44, True),
        (rows_energies, LANES, (25, 63), 20, 500, 0.436, False),
    ],
)
def test_mean_energy_near_criticality_is_the_exact_one(
    chain, lanes, shape, thin, length, beta_used, is_right
):
    # Batch means: a batch is over sixty times the energy's autocorrelation time, measured as 240,
    # 200 and 40 sweeps on 64 x 64, 32 x 96 and 25 x 24. So the 64 batches are independent, and
    # their scatter gives the error.
    rng = np.random.default_rng(43)
    spins = np.ones(shape[0] * shape[1], np.int8)
    words = seed_words(rng, lanes)
    energies = np.empty(66 * length)
    chain(words, spins, *shape, 2 * beta_used, thin, energies)
    batches = energies.reshape(66, length)[2:].mean(axis=1)
    error = batches.std(ddof=1) / np.sqrt(64)
    deviation = (batches.mean() - kaufman_energy(*shape, 0.44)) / error
    assert error < 2e-3
    assert (abs(deviation) < 4) == is_right, deviation
