"""Units drawn from their log-odds: every draw is the one that exact arithmetic would make."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom

from pm_energy.kernels.bernoulli import draw_states, draw_units
from pm_energy.kernels.random import LANES, seed_words

MASK = 2**64 - 1


def words_of(words, n):
    """n words of each lane in Python integers: xoshiro256+ written out once more."""
    lanes = [[int(w) for w in lane] for lane in words.T]
    out = np.empty((n, len(lanes)), np.uint64)
    for i in range(n):
        for k, (s0, s1, s2, s3) in enumerate(lanes):
            out[i, k] = (s0 + s3) & MASK
            s2, s3 = s2 ^ s0, s3 ^ s1
            s1, s0 = s1 ^ s2, s0 ^ s3
            s2 ^= lanes[k][1] << 17 & MASK
            s3 = (s3 << 45 | s3 >> 19) & MASK
            lanes[k] = [s0, s1, s2, s3]
    return out.reshape(-1)


def draw(words, log_odds):
    states, flipped = np.zeros((2, log_odds.size), np.uint8)
    flips = draw_units(words.copy(), log_odds, states, flipped)
    np.testing.assert_array_equal(flipped, states)
    assert flips == states.sum()
    return states


def uniforms(words, bits):
    """Signed integers of so many bits to (-1/2, 1/2)."""
    return (words.astype(float) + 0.5) * 2.0**-bits


@pytest.mark.parametrize("spread", [1.0, 8.0])
def test_float64_draws_are_exact(spread):
    rng = np.random.default_rng(3)
    words = seed_words(rng, LANES)
    log_odds = rng.normal(0, spread, size=64_000)
    u = uniforms(words_of(words, 4_000).view(np.int64) >> 10, 54)
    toward_rare = np.where(log_odds > 0, -u, u)
    rare = (toward_rare > 0) & (toward_rare < expit(-np.abs(log_odds)))
    np.testing.assert_array_equal(draw(words, log_odds), (log_odds > 0) != rare)


@pytest.mark.parametrize("spread", [1.0, 8.0])
def test_float32_draws_differ_from_exact_ones_only_within_1e_7_of_the_threshold(spread):
    rng = np.random.default_rng(4)
    words = seed_words(rng, LANES)
    log_odds = rng.normal(0, spread, size=128_000).astype(np.float32)
    u = uniforms(words_of(words, 4_000).view(np.int32), 32)  # a word makes two
    toward_rare = np.where(log_odds > 0, -u, u)
    q = expit(-np.abs(log_odds.astype(float)))
    exact = (log_odds > 0) != ((toward_rare > 0) & (toward_rare < q))
    differ = draw(words, log_odds) != exact
    assert np.all(np.abs(toward_rare - q)[differ] < 1e-7 * q[differ] + 2.0**-32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_words_turn_more_units_on_where_log_odds_are_higher(dtype):
    rng = np.random.default_rng(7)
    words = seed_words(rng, LANES)
    log_odds = rng.normal(size=64_000).astype(dtype)
    lower, higher = draw(words, log_odds), draw(words, log_odds + dtype(0.2))
    assert np.all(lower <= higher)
    assert lower.sum() < higher.sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rare_values_keep_their_probability(dtype):
    # 4.1e8 draws at log-odds -14, q = 8.3e-7: about 341 units on; two-sided tail of 1e-6
    q = expit(np.float64(dtype(-14.0)))
    words = seed_words(np.random.default_rng(5), LANES)
    log_odds = np.full(1_024_000, -14.0, dtype)
    states, flipped = np.zeros((2, log_odds.size), np.uint8)
    n, count = 400 * log_odds.size, 0
    for _ in range(400):
        draw_units(words, log_odds, states, flipped)
        count += int(states.sum())
    assert binom.ppf(5e-7, n, q) <= count <= binom.ppf(1 - 5e-7, n, q)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinite_log_odds_are_certain(dtype):
    log_odds = np.tile(np.array([np.inf, -np.inf, 1e30, -1e30], dtype), 8_000)
    words = seed_words(np.random.default_rng(6), LANES)
    np.testing.assert_array_equal(draw(words, log_odds), log_odds > 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("low", [0.0, -1.0])
def test_states_of_any_shape_and_coding(dtype, low):
    # 200,001 draws of 3 units, binomial z below 5.1: false alarm 1e-6 over the three
    log_odds = np.tile(np.array([0.2, -2.0, 4.0], dtype), (200_001, 1))
    states = draw_states(np.random.default_rng(18), log_odds, low)
    assert states.dtype == dtype
    assert set(np.unique(states)) == {low, 1.0}
    p = expit(log_odds[0].astype(float))
    z = ((states == 1).mean(axis=0) - p) / np.sqrt(p * (1 - p) / len(states))
    assert np.abs(z).max() < 5.1
