"""Standard normal numbers for many chains at once, in loops that become SIMD."""

import numpy as np
from numba import float32, int32, njit, uint64

from pm_energy.kernels.random import LANES, fill_words, seed_words

TURN = float32(2.0**-32)  # of a 32-bit integer, in turns or as a probability
SQRT2, LN2 = float32(2**0.5), float32(np.log(2))


def noise_buffers(n):
    """Return buffers for :func:`fill_normals` that give at least n numbers: words and normals."""
    half = -(-n // (2 * LANES)) * LANES
    return np.empty(half, np.uint64), np.empty(2 * half)


def draw_normals(rng, n):
    """Draw n independent standard normal numbers.

    Parameters
    ----------
    rng : numpy.random.Generator
    n : int

    Returns
    -------
    ndarray of float64, shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> x = draw_normals(np.random.default_rng(0), 100_000)
    >>> bool(abs(x.mean()) < 0.02), bool(abs(x.std() - 1) < 0.02)
    (True, True)
    """
    raw, normals = noise_buffers(n)
    _fill(seed_words(rng, LANES), raw, normals)
    return normals[:n]


@njit(forceinline=True, error_model="numpy", fastmath={"contract"})
def log_unit(u):
    """Return log(u) for 0 < u <= 1 in float32, to 1e-7 absolute."""
    bits = np.float32(u).view(np.int32)
    exponent = float32((bits >> int32(23)) - int32(127))
    m = np.int32((bits & int32(0x007FFFFF)) | int32(0x3F800000)).view(np.float32)  # in [1, 2)
    z = (m - SQRT2) / (m + SQRT2)  # log(m) = log(2) / 2 + 2 artanh(z), |z| < .172
    square = z * z
    series = float32(1 / 9)
    series = series * square + float32(1 / 7)
    series = series * square + float32(1 / 5)
    series = series * square + float32(1 / 3)
    series = series * square + float32(1)
    return (exponent + float32(0.5)) * LN2 + float32(2) * z * series


@njit(forceinline=True, error_model="numpy", fastmath={"contract"})
def sine_of_turns(h):
    """Return sin(2 pi h) for -1/4 <= h <= 1/4 in float32, to 2e-7."""
    square = h * h
    series = float32(-15.0946426)
    series = series * square + float32(42.058694)
    series = series * square + float32(-76.705859)
    series = series * square + float32(81.605249)
    series = series * square + float32(-41.341702)
    series = series * square + float32(6.2831853)
    return h * series


@njit(forceinline=True, error_model="numpy", fastmath={"contract"})
def fill_normals(words, raw, normals):
    """Fill ``normals`` with standard normal numbers, by the method of Box & Muller (1958).

    Radius and angle have 32 random bits each and the arithmetic is of single precision: numbers up
    to 6.8 in size, right to 1e-6.

    Parameters
    ----------
    words : ndarray of uint64, shape (4, LANES)
        Advanced.
    raw : ndarray of uint64, shape (n / 2,)
        Overwritten; its length is a multiple of LANES.
    normals : ndarray of float64, shape (n,)
        Overwritten.
    """
    fill_words(words, raw)
    bits = raw.view(np.uint32)
    half = uint64(raw.size)
    quarter = float32(0.25)
    for i in range(half):
        u = (float32(bits[i]) + float32(0.5)) * TURN
        radius = np.sqrt(max(float32(-2) * log_unit(u), float32(0)))
        angle = float32(int32(bits[i + half])) * TURN  # from -1/2 to 1/2 turns
        size = abs(angle)
        sine = sine_of_turns(quarter - abs(size - quarter))
        normals[i] = radius * sine_of_turns(quarter - size)
        normals[i + half] = radius * (sine if angle >= float32(0) else -sine)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _fill(words, raw, normals):
    fill_normals(words, raw, normals)
