"""Random variates from a walker's own stream: its four xoshiro words, advanced in place.

Each walker has a stream of its own, so that what it does depends on nobody else.
"""

import math

import numpy as np
from numba import njit

from pm_energy.kernels.random import next_word, seed_words, to_unit


def streams(rng, n):
    """Return fresh words for n walkers, shape (n, 4)."""
    return np.ascontiguousarray(seed_words(rng, n).T)


@njit(cache=True)
def uniform(words):
    """Return a float64 in [0, 1), 53 bits."""
    word, s0, s1, s2, s3 = next_word(words[0], words[1], words[2], words[3])
    words[0], words[1], words[2], words[3] = s0, s1, s2, s3
    return to_unit(word)


@njit(cache=True)
def exponential(words):
    """Return a draw of the exponential distribution of mean 1."""
    return -math.log1p(-uniform(words))


@njit(cache=True)
def fill_normal(words, out):
    """Fill a vector with independent standard normal numbers (Box & Muller 1958)."""
    for i in range(0, out.size, 2):
        radius = math.sqrt(2.0 * exponential(words))
        angle = 2.0 * math.pi * uniform(words)
        out[i] = radius * math.cos(angle)
        if i + 1 < out.size:
            out[i + 1] = radius * math.sin(angle)
