"""Random words for kernels: xoshiro256+ (Blackman & Vigna 2021), seeded from a numpy Generator.

A kernel keeps the four words in local variables, where the compiler holds them in registers; that
is several times faster than calling ``Generator.random`` once a site. Lanes run streams side by
side, for loops that the compiler turns into SIMD.

The lowest bits of xoshiro256+ are weak: use the top ones.
"""

import math

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.inner import inner

LANES = 16


def seed_words(rng, lanes=None):
    """Return fresh xoshiro words from ``rng``, shape (4,) or (4, lanes), uint64.

    Seeding anew for every kernel call keeps the whole state of a sampler in one numpy Generator.
    """
    shape = (4,) if lanes is None else (4, lanes)
    bits = rng.bit_generator
    if isinstance(bits, np.random.MT19937):  # its words have 32 bits
        return rng.integers(1, 2**64, size=shape, dtype=np.uint64, endpoint=False)
    return bits.random_raw(math.prod(shape)).reshape(shape)  # the same words, four times sooner


@njit(inline="always")
def next_word(s0, s1, s2, s3):
    """Advance the generator: return (word, s0, s1, s2, s3)."""
    word = s0 + s3
    t = s1 << uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    s3 = (s3 << uint64(45)) | (s3 >> uint64(19))
    return word, s0, s1, s2, s3


@njit(inline="always")
def to_unit(word):
    """Map a word to a float64 in [0, 1), 53 bits."""
    return (word >> uint64(11)) * (1.0 / 9007199254740992.0)


@inner(forceinline=True, error_model="numpy")
def fill_words(words, buffer):
    """Fill ``buffer``, whose length is a multiple of LANES, with random words; SIMD."""
    for first in range(0, buffer.size, LANES):
        for lane in range(LANES):
            buffer[first + lane], words[0, lane], words[1, lane], words[2, lane], words[3, lane] = (
                next_word(words[0, lane], words[1, lane], words[2, lane], words[3, lane])
            )
