import numpy as np
import pytest
from spin_oracle import lattice_matrix, mixed_words, visiting_order

from pm_energy.kernels import gibbs_lattice
from pm_energy.kernels.gibbs_lattice import lattice_sweeps
from pm_energy.kernels.gibbs_rows import MAX_COUPLING, rows_loop
from pm_energy.kernels.gibbs_torus import LANES
from pm_energy.kernels.random import seed_words


def blocks(n):
    return -(-n // LANES) * LANES


def rows_by_hand(lanes, spins, shape, periodic, bias, coupling, n_sweeps):
    """What :func:`rows_loop` computes, from its definition: one site after another."""
    lanes, spins = lanes.astype(object), spins.copy()
    matrix = lattice_matrix(shape, periodic, coupling)
    width = shape[-1]
    evens, odds = blocks((width + 1) // 2), blocks(width // 2)
    flips, row = 0, None
    for _ in range(n_sweeps):
        for site in visiting_order(shape, periodic):
            if site // width != row or site % width == 0:
                row, words = site // width, mixed_words(lanes, evens + odds)
            column = site % width
            word = words[column // 2 + (evens if column % 2 else 0)]
            log_odds = bias[site] + matrix[site] @ spins
            with np.errstate(over="ignore", invalid="ignore"):
                up = (word >> 11) * 2.0**-53 * (1.0 + np.exp(-log_odds)) < 1.0
            flips += (spins[site] > 0) != up
            spins[site] = 1 if up else -1
    return flips, spins


SHAPES = [
    ((5, 50), True),
    ((4, 64), False),
    ((3, 63), True),
    ((6, 65), (True, False)),
    ((3, 49), (False, True)),
    ((3, 4, 48), (False, True, True)),
    ((2, 3, 51), (True, False, False)),
    ((129,), True),
    ((128,), False),
]


@pytest.mark.parametrize(("shape", "periodic"), SHAPES)
@pytest.mark.parametrize("spread", [0.0, 0.8])
def test_every_draw_is_that_of_the_definition(shape, periodic, spread):
    rng = np.random.default_rng(50)
    n = int(np.prod(shape))
    spins, bias = rng.choice(np.array([-1, 1], np.int8), size=n), rng.normal(0.1, spread, n)
    lengths = np.array(shape)
    wraps = np.broadcast_to(periodic, lengths.shape) & (lengths > 2)
    odds = np.exp(-bias) if spread else np.exp(-bias[:1])
    lanes = seed_words(rng, LANES)
    flips, expected = rows_by_hand(lanes, spins, shape, periodic, bias, 0.6, 3)
    assert rows_loop(lanes, spins, lengths, wraps, odds, 0.6, 3) == flips
    np.testing.assert_array_equal(spins, expected)


@pytest.mark.parametrize("coupling", [MAX_COUPLING, -MAX_COUPLING])
def test_extreme_biases_and_couplings_neither_overflow_nor_vanish(coupling):
    rng = np.random.default_rng(51)
    shape, n = (4, 50), 200
    size = np.array([0.0, 1.0, 100.0, 150.0, 200.0, 201.0, 420.0, 690.0, 750.0, 1e9, np.inf])
    bias = rng.choice(size, n) * rng.choice([-1.0, 1.0], n)
    spins = rng.choice(np.array([-1, 1], np.int8), size=n)
    lanes = seed_words(rng, LANES)
    _, expected = rows_by_hand(lanes, spins, shape, True, bias, coupling, 4)
    with np.errstate(over="ignore"):
        odds = np.exp(-bias)
    rows_loop(lanes, spins, np.array(shape), np.array([True, True]), odds, coupling, 4)
    np.testing.assert_array_equal(spins, expected)
    assert (spins[bias == np.inf] == 1).all()
    assert (spins[bias == -np.inf] == -1).all()


def test_long_rows_and_several_sweeps_go_this_way():
    bias = np.random.default_rng(52).normal(size=6 * 70)
    a, b = np.ones(420, np.int8), np.ones(420, np.int8)
    shape, wraps = (6, 70), np.array([False, True])
    flips = lattice_sweeps(np.random.default_rng(53), a, shape, wraps, bias, 0.5, n_sweeps=3)
    lanes = seed_words(np.random.default_rng(53), LANES)
    assert rows_loop(lanes, b, np.array(shape), wraps, np.exp(-bias), 0.5, 3) == flips
    np.testing.assert_array_equal(a, b)


def test_strong_couplings_few_sweeps_and_four_axes_go_site_by_site(monkeypatch):
    monkeypatch.setattr(gibbs_lattice, "rows_loop", None)
    rng = np.random.default_rng(54)
    lattice_sweeps(rng, np.ones(420, np.int8), (6, 70), False, 0.0, 51.0, n_sweeps=9)
    lattice_sweeps(rng, np.ones(420, np.int8), (6, 70), False, 0.0, 0.5, n_sweeps=2)
    lattice_sweeps(rng, np.ones(8 * 48, np.int8), (2, 2, 2, 48), False, 0.0, 0.5, n_sweeps=9)
    with pytest.raises(TypeError):
        lattice_sweeps(rng, np.ones(420, np.int8), (6, 70), False, 0.0, 0.5, n_sweeps=9)


def test_the_bias_given_is_left_alone():
    bias = np.linspace(-1, 1, 420)
    lattice_sweeps(np.random.default_rng(55), np.ones(420, np.int8), (6, 70), True, bias, 0.5, 9)
    np.testing.assert_array_equal(bias, np.linspace(-1, 1, 420))
