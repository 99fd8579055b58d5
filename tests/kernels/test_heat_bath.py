import numpy as np
import pytest
from numba import njit

from pm_energy.kernels.heat_bath import check_spins, turns_up
from pm_energy.kernels.random import seed_words, to_unit


@njit
def decisions(words, log_odds):
    out = np.empty(words.size, np.bool_)
    for k in range(words.size):
        out[k] = turns_up(words[k], log_odds[k])
    return out


@njit
def units(words):
    out = np.empty(words.size)
    for k in range(words.size):
        out[k] = to_unit(words[k])
    return out


@pytest.mark.parametrize("spread", [0.01, 1.0, 5.0, 40.0])
def test_decision_is_that_of_a_53_bit_uniform_number_below_the_sigmoid(spread):
    rng = np.random.default_rng(1)
    words = rng.integers(0, 2**64, size=500_000, dtype=np.uint64)
    z = rng.normal(0, spread, words.size)
    direct = units(words) * (1.0 + np.exp(-z)) < 1.0
    np.testing.assert_array_equal(decisions(words, z), direct)


def test_decision_flips_at_the_sigmoid_to_the_last_bits():
    # u at 64 steps of 2**-53 to either side of sigmoid(z): all but the nearest few must be decided
    z = np.random.default_rng(2).normal(0, 3, 2_000)
    p = 1.0 / (1.0 + np.exp(-z))
    for step, expected in ((-64, True), (64, False)):
        words = ((p * 2.0**53).astype(np.int64) + step).astype(np.uint64) << np.uint64(11)
        assert (decisions(words, z) == expected).all()


def test_infinite_log_odds_are_certain():
    words = np.array([0, 1, 2**54, 2**63, 2**64 - 1], dtype=np.uint64)
    assert decisions(words, np.full(5, np.inf)).all()
    assert not decisions(words, np.full(5, -np.inf)).any()


def test_one_draw_in_1024_needs_the_exponential():
    # the probability of the undecided cell: the cells have equal width
    words = seed_words(np.random.default_rng(3), 25_000).ravel()
    cells, counts = np.unique(words >> np.uint64(54), return_counts=True)
    assert len(cells) == 1024
    assert abs(counts - 100_000 / 1024).max() < 6 * np.sqrt(100_000 / 1024)


@pytest.mark.parametrize(
    "bad", [np.ones(4), np.ones((2, 2), np.int8), np.ones(8, np.int8)[::2], [1, -1]]
)
def test_spins_of_another_type_are_refused(bad):
    with pytest.raises(ValueError, match="spins must be"):
        check_spins(bad)


def test_read_only_spins_are_refused():
    spins = np.ones(4, np.int8)
    spins.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        check_spins(spins)
