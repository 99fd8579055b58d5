"""Many independent units in {0, 1} drawn from their log-odds, as one SIMD pass.

A unit takes its less likely value with probability q = 1 / (1 + exp(|log-odds|)) <= 1/2. To decide
about the *less* likely value keeps the relative error of q small however rare it is; 1 - q would
round to one. With u uniform on (-1, 1), a unit with negative log-odds turns on if 0 < u < 2 q, and
one with positive log-odds turns off if -2 q < u < 0: all bits of u count, floats are densest near
zero, and for given u the state is a monotone function of the log-odds.
"""

import numpy as np
from numba import float32, float64, int32, int64, njit, types, uint8, uint64
from numba.extending import overload

from pm_energy.kernels.random import LANES, next_word


@njit(inline="always")
def _exp_single(x):
    """exp of 0 <= x <= 80 to 2e-7, in float32: 2^k times a Taylor polynomial on |r| < ln(2) / 2."""
    k = np.floor(x * float32(1.4426950408889634) + float32(0.5))
    r = x - k * float32(0.693359375) + k * float32(2.12194440e-4)  # ln 2 in two parts
    e = float32(1 / 5040)
    e = e * r + float32(1 / 720)
    e = e * r + float32(1 / 120)
    e = e * r + float32(1 / 24)
    e = e * r + float32(1 / 6)
    e = e * r + float32(1 / 2)
    e = e * r + float32(1)
    e = e * r + float32(1)
    return e * np.int32((int32(k) + int32(127)) << int32(23)).view(np.float32)


@njit(inline="always")
def _exp_double(x):
    """exp of 0 <= x <= 700 to 4e-16, in float64."""
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


@njit(inline="always")
def _advance(words, buffer):
    """Draw one word a lane into ``buffer``."""
    for lane in range(uint64(LANES)):
        buffer[lane], words[0, lane], words[1, lane], words[2, lane], words[3, lane] = next_word(
            words[0, lane], words[1, lane], words[2, lane], words[3, lane]
        )


def _fill(words, log_odds, drawn):
    """Set ``drawn`` to 0 or 1 with the given log-odds: a whole number of blocks of 32 units."""


@overload(_fill, jit_options={"fastmath": {"contract"}, "error_model": "numpy"})
def _fill_of_dtype(words, log_odds, drawn):
    def single(words, log_odds, drawn):
        buffer = np.empty(LANES, np.uint64)
        halves = buffer.view(np.int32)
        for first in range(uint64(0), uint64(log_odds.size), uint64(2 * LANES)):
            _advance(words, buffer)
            for k in range(uint64(2 * LANES)):
                x = log_odds[first + k]
                u = (float32(halves[k]) + float32(0.5)) * float32(2.0**-31)
                toward_rare = -u if x > float32(0) else u
                odds = float32(1) + _exp_single(min(abs(x), float32(80)))
                rare = (toward_rare > float32(0)) & (toward_rare * odds < float32(2))
                drawn[first + k] = uint8((x > float32(0)) != rare)

    def double(words, log_odds, drawn):
        buffer = np.empty(LANES, np.uint64)
        for first in range(uint64(0), uint64(log_odds.size), uint64(LANES)):
            _advance(words, buffer)
            for k in range(uint64(LANES)):
                x = log_odds[first + k]
                u = (float64(int64(buffer[k]) >> int64(10)) + 0.5) * 2.0**-53
                toward_rare = -u if x > 0.0 else u
                odds = 1.0 + _exp_double(min(abs(x), 700.0))
                rare = (toward_rare > 0.0) & (toward_rare * odds < 2.0)
                drawn[first + k] = uint8((x > 0.0) != rare)

    return single if log_odds.dtype == types.float32 else double


@njit(cache=True)
def draw_units(words, log_odds, states, flipped):
    """Draw every unit anew, in place; return the number of flips.

    Parameters
    ----------
    words : ndarray of uint64, shape (4, LANES)
        Random state, see :func:`pm_energy.kernels.random.seed_words`; advanced.
    log_odds : ndarray of float32 or float64, flat
        log P(1) / P(0) of each unit, infinities allowed. A multiple of 32 long; padding that should
        stay 0 has -inf. In float32, probabilities are exact to 1e-7.
    states : ndarray of uint8, flat
        Overwritten with the new states.
    flipped : ndarray of uint8, flat
        Overwritten with 1 where a unit changed and 0 elsewhere.
    """
    _fill(words, log_odds, flipped)
    flips = 0
    for k in range(uint64(log_odds.size)):
        new = flipped[k]
        change = new ^ states[k]
        states[k] = new
        flipped[k] = change
        flips += change
    return flips
