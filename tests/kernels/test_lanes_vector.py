import operator

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from pm_energy.kernels.lanes_vector import (
    any_bit,
    bits,
    empty_on_cache_lines,
    floats_of_bits,
    fused,
    load,
    smaller,
    splat,
    store,
    swap_neighbors,
    to_doubles,
    to_floats,
    words,
)
from pm_energy.kernels.random import next_word

RNG = np.random.default_rng(1)
WORDS = [RNG.integers(0, 2**64, 8, dtype=np.uint64) for _ in range(2)]
FLOATS = [RNG.normal(size=16).astype(np.float32) for _ in range(2)]


@njit
def combine_words(a, b, out):
    five, seven = np.uint64(5), np.uint64(7)
    x, y = load(a, 0), load(b, 0)
    for k, z in enumerate((x & y, x | y, x ^ y, x + y, x - y, x * y, ~x, x << five, x >> seven)):
        store(out, 8 * k, z)


@njit
def combine_floats(a, b, out):
    x, y = load(a, 0), load(b, 0)
    for k, z in enumerate((x + y, x - y, x * y, smaller(x, y))):
        store(out, 16 * k, z)


def test_operators_on_words_are_numpy_s():
    (a, b), out = WORDS, np.empty((9, 8), np.uint64)
    combine_words(a, b, out.reshape(-1))
    expected = [a & b, a | b, a ^ b, a + b, a - b, a * b, ~a, a << np.uint64(5), a >> np.uint64(7)]
    np.testing.assert_array_equal(out, expected)


def test_operators_on_floats_are_numpy_s():
    (a, b), out = FLOATS, np.empty((4, 16), np.float32)
    combine_floats(a, b, out.reshape(-1))
    np.testing.assert_array_equal(out, [a + b, a - b, a * b, np.minimum(a, b)])


@pytest.mark.parametrize(
    "symbol", [operator.iand, operator.ior, operator.ixor, operator.iadd, operator.ilshift]
)
def test_operators_in_place(symbol):
    @njit
    def apply(a, b):
        x = load(a, 0)
        x = symbol(x, b)
        store(a, 0, x)

    a, b = WORDS[0].copy(), np.uint64(9)
    apply(a, b)
    np.testing.assert_array_equal(a, symbol(WORDS[0].copy(), b))


def test_the_random_generator_runs_in_vectors_as_in_words():
    @njit
    def in_vectors(state, out):
        s0, s1, s2, s3 = load(state, 0), load(state, 8), load(state, 16), load(state, 24)
        for k in range(0, out.size, 8):
            word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
            store(out, k, word)

    @njit
    def in_words(s0, s1, s2, s3, out):
        for k in range(out.size):
            out[k], s0, s1, s2, s3 = next_word(s0, s1, s2, s3)

    state, out, one = RNG.integers(0, 2**64, (4, 8), dtype=np.uint64), np.empty((20, 8), "u8"), {}
    in_vectors(state.reshape(-1), out.reshape(-1))
    for lane in range(8):
        one[lane] = np.empty(20, np.uint64)
        in_words(*state[:, lane], one[lane])
        np.testing.assert_array_equal(out[:, lane], one[lane])


def test_bits_floats_and_doubles_are_numpy_s():
    @njit
    def convert(a, b, w, out, doubles):
        x, y = load(a, 0), load(b, 0)
        store(out, 0, fused(np.float32(2), x, y))
        store(out, 16, floats_of_bits(bits(x) ^ bits(splat(np.float32(-0.0)))))
        store(out, 32, to_floats(bits(load(w, 0))))
        store(doubles, 0, to_doubles(x, False))
        store(doubles, 8, to_doubles(x, True))

    (a, b), out, doubles = FLOATS, np.empty((3, 16), np.float32), np.empty(16)
    convert(a, b, WORDS[0], out.reshape(-1), doubles)
    np.testing.assert_array_equal(out[0], 2 * a + b)
    np.testing.assert_array_equal(out[1], -a)
    np.testing.assert_array_equal(out[2], WORDS[0].view(np.uint32).astype(np.float32))
    np.testing.assert_array_equal(doubles, a.astype(np.float64))


def test_any_bit_and_neighbours():
    @njit
    def look(a):
        x = load(a, 0)
        store(a, 0, swap_neighbors(x))
        return any_bit(x), any_bit(words(bits(x)))

    numbers = np.zeros(8, np.uint64)
    assert look(numbers) == (False, False)
    numbers[:] = np.arange(8) == 5
    assert look(numbers) == (True, True)
    np.testing.assert_array_equal(numbers, np.arange(8) == 4)


def test_vectors_of_different_types_do_not_mix():
    @njit
    def mix(a, b):
        store(a, 0, load(a, 0) + load(b, 0))

    with pytest.raises(TypingError, match="No implementation of function"):
        mix(WORDS[0].copy(), FLOATS[0])


@pytest.mark.parametrize("shape", [(1,), (3, 7), (2, 3, 32)])
def test_arrays_start_on_cache_lines(shape):
    array = empty_on_cache_lines(shape, np.float32)
    assert array.shape == shape
    assert array.flags.c_contiguous
    assert array.ctypes.data % 64 == 0
