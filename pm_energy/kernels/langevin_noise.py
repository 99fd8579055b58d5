"""Standard normal numbers for many chains at once, a vector at a time."""

import numpy as np
from numba import float32, njit, uint32, uint64

from pm_energy.kernels.inner import inner
from pm_energy.kernels.lanes_vector import (
    bits,
    empty_on_cache_lines,
    floats_of_bits,
    fused,
    load,
    splat,
    store,
    to_floats,
)
from pm_energy.kernels.langevin_vector import divided, root, signed_floats
from pm_energy.kernels.random import LANES, next_word, seed_words

AT_ONCE = 2 * LANES  # numbers from one word of each lane
SIGN = 0x80000000  # of a float32
LN2 = float(np.log(2))
_HALF, _ROW = LANES // 2, LANES


def noise_buffer(n):
    """Return a buffer for :func:`fill_normals` of at least n numbers."""
    return empty_on_cache_lines((-(-n // AT_ONCE) * AT_ONCE,), np.float32)


def draw_normals(rng, n):
    """Draw n independent standard normal numbers.

    Parameters
    ----------
    rng : numpy.random.Generator
    n : int

    Returns
    -------
    ndarray of float32, shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> x = draw_normals(np.random.default_rng(0), 100_000)
    >>> bool(abs(x.mean()) < 0.02), bool(abs(x.std() - 1) < 0.02)
    (True, True)
    """
    normals = noise_buffer(n)
    _fill(seed_words(rng, LANES), normals)
    return normals[:n]


@inner(forceinline=True)
def normal_pairs(for_radius, for_angle):
    """Return 32 normal numbers from 32 words of 32 bits, by the method of Box & Muller (1958).

    With u = (word + 1/2) / 2^32 of the first word, rounded to float32, and an angle a within
    +-pi/4 from the lower 30 bits of the second, they are sqrt(-2 log u) times cosine and sine of
    a + pi/4; the upper two bits give the signs. Numbers are up to 6.8 in size and right to 1e-6.
    """
    one, sign = splat(float32(1)), uint32(SIGN)
    # Word + 1/2 is 2^(k - 1) m with m from sqrt(1/2) to sqrt(2), and k from 0 to 33.
    number = bits(to_floats(for_radius) + float32(0.5))
    k = (number - uint32(0x3EB504F3)) >> uint32(23)
    m = floats_of_bits(number - (k << uint32(23)) + uint32(1 << 23))
    z = divided(m - float32(1), m + float32(1))  # log(m) = 2 artanh(z), |z| < .172
    z2 = z * z
    series = fused(splat(float32(0.4129491)), z2, splat(float32(0.66652267)))
    series = fused(series, z2, splat(float32(2.0000002))) * z
    doublings = to_floats(splat(uint32(33)) - k) * float32(LN2)
    radius = root(doublings - series)  # without the factor sqrt(2), which the angle lacks
    angle = signed_floats(for_angle << uint32(2)) * float32(np.pi / 2**33)  # within +-pi/4
    a2 = angle * angle
    sine = fused(splat(float32(-1.9587891e-4)), a2, splat(float32(8.3327483e-3)))
    sine = fused(sine, a2, splat(float32(-0.16666665)))
    sine = fused(sine * a2, angle, angle)
    cosine = fused(splat(float32(2.4463788e-5)), a2, splat(float32(-1.3887589e-3)))
    cosine = fused(cosine, a2, splat(float32(4.1666651e-2)))
    cosine = fused(cosine, a2, splat(float32(-0.5)))
    cosine = fused(cosine, a2, one)
    first, second = bits(radius * (cosine - sine)), bits(radius * (cosine + sine))
    first = floats_of_bits(first ^ (for_angle & sign))
    return first, floats_of_bits(second ^ ((for_angle << uint32(1)) & sign))


@inner(forceinline=True)
def fill_normals(words, normals):
    """Fill ``normals`` with standard normal numbers; they have 32 bits of radius, 32 of angle.

    Parameters
    ----------
    words : ndarray of uint64, shape (4, LANES)
        Advanced.
    normals : ndarray of float32
        From :func:`noise_buffer`; overwritten.
    """
    streams, half, row = words.reshape(-1), uint64(_HALF), uint64(_ROW)
    a0, a1 = load(streams, uint64(0)), load(streams, row)
    a2, a3 = load(streams, 2 * row), load(streams, 3 * row)
    b0, b1 = load(streams, half), load(streams, half + row)
    b2, b3 = load(streams, half + 2 * row), load(streams, half + 3 * row)
    for at in range(uint64(0), uint64(normals.size), uint64(AT_ONCE)):
        a, a0, a1, a2, a3 = next_word(a0, a1, a2, a3)
        b, b0, b1, b2, b3 = next_word(b0, b1, b2, b3)
        first, second = normal_pairs(bits(a), bits(b))
        store(normals, at, first)
        store(normals, at + row, second)
    store(streams, uint64(0), a0)
    store(streams, row, a1)
    store(streams, 2 * row, a2)
    store(streams, 3 * row, a3)
    store(streams, half, b0)
    store(streams, half + row, b1)
    store(streams, half + 2 * row, b2)
    store(streams, half + 3 * row, b3)


@njit(cache=True)
def _fill(words, normals):
    fill_normals(words, normals)
