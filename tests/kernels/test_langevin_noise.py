"""Noise of Langevin chains: the formula of Box and Muller, normal and independent."""

import numpy as np
import pytest
from numba import njit
from scipy.stats import kstest, norm

from pm_energy.kernels.lanes_vector import load, store
from pm_energy.kernels.langevin import _draw, _draw_words
from pm_energy.kernels.langevin_noise import draw_normals, noise_buffer, normal_pairs
from pm_energy.kernels.langevin_vector import MANY, exp2_singles, exp_doubles, load_many
from pm_energy.kernels.random import LANES, seed_words

FALSE_ALARM = 1e-6


@njit
def _pairs(words, out):
    for at in range(0, words.size, 32):
        a, b = normal_pairs(load(words, at), load(words, at + 16))
        store(out, at, a)
        store(out, at + 16, b)


def test_noise_is_the_formula_of_box_and_muller():
    """To 1e-6, from the smallest radius to the largest, in all quadrants."""
    edges = 2 ** np.arange(32) - np.array([[1], [0]])
    u = np.concatenate([edges.ravel(), 2**32 - 1 - edges.ravel(), [0, 2**32 - 1]] * 16)
    u = u.astype(np.uint32)
    angle = np.random.default_rng(0).permutation(np.resize(u, u.size))
    words = np.stack([u.reshape(-1, 16), angle.reshape(-1, 16)], axis=1)
    out = np.empty(words.shape, np.float32)
    _pairs(words.reshape(-1), out.reshape(-1))
    number = words[:, 0].astype(np.float32) + np.float32(0.5)
    radius = np.sqrt(-2 * np.log(number.astype(float) / 2**32))
    turn = (words[:, 1] << np.uint32(2)).view(np.int32) * np.pi / 2**33 + np.pi / 4
    for i, function in enumerate((np.cos, np.sin)):
        sign = 1.0 - 2.0 * (words[:, 1] >> np.uint32(31 - i) & 1)
        np.testing.assert_allclose(out[:, i], sign * radius * function(turn), atol=1e-6)
    assert 6.7 < radius.max() < 6.8


def test_noise_is_made_of_the_words_of_the_generator():
    """16 streams side by side, each as the others know it."""
    noise, words = noise_buffer(100), np.empty(128, np.uint64)
    streams = [seed_words(np.random.default_rng(1), LANES) for _ in "ab"]
    _draw(streams[0], noise)
    _draw_words(streams[1], words[: noise.size // 2])
    np.testing.assert_array_equal(*streams)
    wanted = np.empty_like(noise)
    _pairs(words[: noise.size // 2].view(np.uint32), wanted)
    np.testing.assert_array_equal(noise, wanted)


def test_exponentials_of_vectors_are_right():
    @njit
    def both(x, y):
        for at in range(0, x.size, MANY):
            store(x, at, exp_doubles(load_many(x, at)))
            store(y, at, exp2_singles(load_many(y, at)))

    x = np.concatenate([np.linspace(-708, 709, 4000), np.linspace(-1, 1, 64), [0.0] * 32])
    y = np.linspace(-126, 127, x.size).astype(np.float32)
    wanted = np.exp(x), np.exp2(y.astype(float))
    both(x, y)
    np.testing.assert_allclose(x, wanted[0], rtol=6e-16)
    np.testing.assert_allclose(y, wanted[1], rtol=2e-7)


def test_noise_is_normal_and_independent():
    """At 10^6 numbers Kolmogorov and Smirnov see differences of .003."""
    z = draw_normals(np.random.default_rng(0), 1_000_000).astype(float)
    assert kstest(z, "norm").pvalue > FALSE_ALARM
    assert kstest(1.001 * z + 0.01, "norm").pvalue < FALSE_ALARM
    counts = [(np.abs(z) > 4).sum(), (np.abs(z) > 3).sum()]  # Poisson, nearly
    np.testing.assert_allclose(counts, 2e6 * norm.sf([4, 3]), atol=5 * np.sqrt(2e6 * norm.sf(3)))
    assert counts[0] == pytest.approx(2e6 * norm.sf(4), abs=5 * np.sqrt(2e6 * norm.sf(4)))
    first, second = z.reshape(-1, 2, 16).transpose(1, 0, 2).reshape(2, -1)  # of one word's halves
    lagged = [(first, second), (z[1:], z[:-1]), (z[32:], z[:-32]), (first**2, second**2)]
    for a, b in lagged:  # standard error .0014 at most
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.007
