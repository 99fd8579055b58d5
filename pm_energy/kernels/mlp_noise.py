"""Standard normal numbers of float32, a vector at a time: Box & Muller (1958) as SIMD.

Of each 64-bit word the upper half gives the radius, so that tails reach 6.6 standard deviations,
and the lower half the angle: two signs, and the place within a quadrant.
"""

import numpy as np
from numba import float32, int32, uint32, uint64

from pm_energy.kernels.inner import inner
from pm_energy.kernels.random import LANES, fill_words

WORDS = 512  # at a time


@inner(forceinline=True, error_model="numpy")
def log_single(x):
    """Return log(x) for a normal float32 x > 0, to 2e-7 of its size.

    x = 2^k m with m from sqrt(1/2) to sqrt(2), and log m = 2 artanh((m - 1) / (m + 1)).
    """
    bits = np.float32(x).view(np.int32)
    k = (bits - int32(0x3F3504F3)) >> int32(23)
    m = np.int32(bits - (k << int32(23))).view(np.float32)
    z = (m - float32(1)) / (m + float32(1))
    z2 = z * z
    series = float32(2 / 9)
    series = series * z2 + float32(2 / 7)
    series = series * z2 + float32(2 / 5)
    series = series * z2 + float32(2 / 3)
    series = series * z2 + float32(2)
    return float32(k) * float32(0.6931471805599453) + series * z


@inner(forceinline=True, error_model="numpy", fastmath={"contract"})
def normal_pair(word):
    """Return two independent normal numbers from a word."""
    upper, lower = uint32(word >> uint64(32)), uint32(word)
    uniform = (float32(upper) + float32(0.5)) * float32(2**-32)
    # log(1) may come out as -0.0: its root is 0
    radius = np.sqrt(float32(-1) * log_single(uniform))  # times sqrt(2), which the angle lacks
    turn = int32((lower >> uint32(6)) & uint32(0xFFFFFF)) - int32(0x800000)
    angle = (float32(turn) + float32(0.5)) * float32(np.pi / 2**25)  # within +-pi/4
    a2 = angle * angle
    sine = float32(1 / 362880)
    sine = sine * a2 - float32(1 / 5040)
    sine = sine * a2 + float32(1 / 120)
    sine = sine * a2 - float32(1 / 6)
    sine = sine * a2 * angle + angle
    cosine = float32(1 / 40320)
    cosine = cosine * a2 - float32(1 / 720)
    cosine = cosine * a2 + float32(1 / 24)
    cosine = cosine * a2 - float32(1 / 2)
    cosine = cosine * a2 + float32(1)
    # the quadrant from 0 to pi/2 is the angle plus pi/4; the signs choose among four
    first = radius * (cosine - sine)
    second = radius * (cosine + sine)
    first = -first if lower >> uint32(31) else first
    second = -second if (lower >> uint32(30)) & uint32(1) else second
    return first, second


@inner(cache=True, error_model="numpy", fastmath={"contract"})
def fill_normal_single(words, buffer, out):
    """Fill a flat float32 array with normal numbers.

    Parameters
    ----------
    words : ndarray of uint64, shape (4, LANES)
        Advanced.
    buffer : ndarray of uint64, shape (WORDS,)
        Overwritten.
    out : ndarray of float32, flat, of even length
    """
    for start in range(0, out.size, 2 * WORDS):
        half = min(2 * WORDS, out.size - start) // 2
        fill_words(words, buffer[: (half + LANES - 1) // LANES * LANES])
        first, second = out[start : start + half], out[start + half : start + 2 * half]
        for i in range(half):
            first[i], second[i] = normal_pair(buffer[i])
