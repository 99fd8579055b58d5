"""Exponential functions without a branch or a call, so that loops around them become SIMD.

exp(x) is 2^k times a polynomial of e^r on |r| < ln(2) / 2, with ln 2 in two parts: Taylor's in
double precision, in single that of five terms whose largest relative error is least. They are for
compiled code, where they are inlined; a caller that allows contraction gains from it.
"""

import numpy as np
from numba import float32, int32, int64, njit, types
from numba.extending import overload

ROUND_SINGLE = 12582912.0  # added to a float32, it rounds to a whole number, then the low bits


@njit(inline="always")
def exp_single(x):
    """Return exp(x) for -87 <= x <= 88, to 2.5e-7 in float32."""
    whole = x * float32(1.4426950408889634) + float32(ROUND_SINGLE)
    k = whole - float32(ROUND_SINGLE)
    r = x - k * float32(0.693359375) + k * float32(2.12194440e-4)
    e = float32(8.3372281e-3)
    e = e * r + float32(4.1910617e-2)
    e = e * r + float32(0.16666735)
    e = e * r + float32(0.49999015)
    e = e * r + float32(1.0000001)
    e = e * r + float32(1)
    shift = np.float32(whole).view(np.int32) << int32(23)
    return np.int32(np.float32(e).view(np.int32) + shift).view(np.float32)


@njit(inline="always")
def exp_double(x):
    """Return exp(x) for -708 <= x <= 709, to 4e-16 in float64."""
    k = np.floor(x * 1.4426950408889634 + 0.5)
    r = x - k * 0.69314718036912382 - k * 1.9082149292705877e-10
    e = 1 / 6227020800
    e = e * r + 1 / 479001600
    e = e * r + 1 / 39916800
    e = e * r + 1 / 3628800
    e = e * r + 1 / 362880
    e = e * r + 1 / 40320
    e = e * r + 1 / 5040
    e = e * r + 1 / 720
    e = e * r + 1 / 120
    e = e * r + 1 / 24
    e = e * r + 1 / 6
    e = e * r + 1 / 2
    e = e * r + 1
    e = e * r + 1
    return e * np.int64((int64(k) + int64(1023)) << int64(52)).view(np.float64)


def exp_minus(x):
    """Return exp(-x) for x >= 0 in float32 or float64; what is below e^-87 or e^-708 stays there.

    No result is subnormal.
    """


@overload(exp_minus, inline="always")
def _exp_minus_of_dtype(x):
    def single(x):
        return exp_single(-(float32(87) if x > float32(87) else x))

    def double(x):
        return exp_double(-(708.0 if x > 708.0 else x))

    return single if x == types.float32 else double


def exp_within(x):
    """Return exp(x) in float32 or float64; beyond e^+-87 or e^+-708 it stays there."""


@overload(exp_within, inline="always")
def _exp_within_of_dtype(x):
    def single(x):
        y = float32(87) if x > float32(87) else x
        return exp_single(float32(-87) if y < float32(-87) else y)

    def double(x):
        y = 708.0 if x > 708.0 else x
        return exp_double(-708.0 if y < -708.0 else y)

    return single if x == types.float32 else double
