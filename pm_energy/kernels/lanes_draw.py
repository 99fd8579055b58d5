r"""Draws of 16 spins an instruction from their log-odds z.

* Heat bath: a spin takes the less likely value with probability :math:`1 / (1 + e^{|z|})`.
* Metropolis: a spin of the likelier value flips with probability :math:`e^{-|z|}`, one of the other
  always. Anneals end as low with two thirds of the sweeps. At high temperature nearly all spins
  flip each time, and differences between them last: there the heat bath is better.

With a 32-bit uniform t, ``t + t e^|z| - 1``, or ``t e^|z| - 1``, is negative with that probability:
the signs of that number and of z together are the sign of the spin, with no comparison. All in
float32: probabilities have a relative error of some 1e-7 (1 + \|z\|), and no spin with one below
2^-33 is ever drawn against its log-odds.
"""

import numpy as np
from numba import float32, njit, uint32

from pm_energy.kernels.exponential import ROUND_SINGLE
from pm_energy.kernels.inner import inner
from pm_energy.kernels.lanes_vector import (
    bits,
    empty_on_cache_lines,
    floats_of_bits,
    fused,
    smaller,
    splat,
    to_floats,
)
from pm_energy.kernels.random import seed_words

WORDS = 8  # 64-bit words of a vector
LOG2_E = 1.4426950408889634
SIGN, _ONE = 0x80000000, 0x3F800000  # of a float32
_MAX_POWER = 60.0  # 2^-60 is never drawn


def hot_below(graph, update):
    """Below which beta replicas are updated by heat bath; raise a ValueError if not an update."""
    if update not in ("heat-bath", "metropolis"):
        raise ValueError(f"update must be 'heat-bath' or 'metropolis', got {update!r}")
    return np.float32(np.inf if update == "heat-bath" else graph.hot)


def seed_lanes(rng, n_columns):
    """Random streams of the kernels: uint64, shape (n_columns, 2, 4, 8)."""
    words = empty_on_cache_lines((n_columns, 2, 4, WORDS), np.uint64)
    words[...] = (
        seed_words(rng, words.size // 4).reshape(4, n_columns, 2, WORDS).transpose(1, 2, 0, 3)
    )
    return words


@inner(forceinline=True)
def is_below(x, limit):
    """Words of ones where x < limit, of zeros elsewhere."""
    return splat(uint32(0)) - (bits(x - limit) >> uint32(31))


@njit(forceinline=True)
def draw(random, z, old, heat_bath):
    """Spins with log-odds ``z * log(2)``, from 16 random words of 32 bits."""
    t = fused(to_floats(random), splat(float32(2.0**-32)), splat(float32(2.0**-33)))
    power = smaller(floats_of_bits(bits(z) & uint32(~SIGN)), splat(float32(_MAX_POWER)))
    one = floats_of_bits(heat_bath & uint32(_ONE))  # 0 for Metropolis
    against = bits(fused(t, _exp2(power), fused(t, one, splat(float32(-1)))))
    against = against & (heat_bath | ~(bits(old) ^ bits(z)))
    return floats_of_bits(((bits(z) ^ against) & uint32(SIGN)) | uint32(_ONE))


@inner(forceinline=True)
def _exp2(x):
    """2 to the power of 0 <= x <= 60, relative error 1.5e-7.

    The polynomial is the minimax one of 2^r on \\|r\\| <= 1/2.
    """
    whole = x + float32(ROUND_SINGLE)
    r = x - (whole - float32(ROUND_SINGLE))
    y = fused(splat(float32(1.3264727e-3)), r, splat(float32(9.6715130e-3)))
    y = fused(y, r, splat(float32(5.5507336e-2)))
    y = fused(y, r, splat(float32(2.4022242e-1)))
    y = fused(y, r, splat(float32(6.9314700e-1)))
    y = fused(y, r, splat(float32(1)))
    return floats_of_bits(bits(y) + (bits(whole) << uint32(23)))
