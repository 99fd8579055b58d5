"""Many independent units in {0, 1} drawn from their log-odds, as one SIMD pass.

A unit takes its less likely value with probability q = 1 / (1 + exp(|log-odds|)) <= 1/2. To decide
about the *less* likely value keeps the relative error of q small however rare it is; 1 - q would
round to one. With u uniform on (-1, 1), a unit with negative log-odds turns on if 0 < u < 2 q, and
one with positive log-odds turns off if -2 q < u < 0: all bits of u count, floats are densest near
zero, and for given u the state is a monotone function of the log-odds.
"""

import numpy as np
from numba import float32, float64, int64, njit, types, uint8, uint64
from numba.extending import overload

from pm_energy.kernels.exponential import exp_double, exp_single
from pm_energy.kernels.random import LANES, next_word, seed_words


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
                odds = float32(1) + exp_single(min(abs(x), float32(80)))
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
                odds = 1.0 + exp_double(min(abs(x), 700.0))
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


def draw_states(rng, log_odds, low=0.0):
    """Draw independent units from their log-odds.

    Parameters
    ----------
    rng : numpy.random.Generator
    log_odds : ndarray of float32 or float64
        log P(upper state) / P(lower state).
    low : float
        Lower state; the upper one is 1.

    Returns
    -------
    ndarray, shape and dtype of ``log_odds``

    Examples
    --------
    >>> import numpy as np
    >>> draw_states(np.random.default_rng(0), np.array([90.0, -90.0]), low=-1)
    array([ 1., -1.])
    """
    block = 2 * LANES
    padded = np.zeros(-(-log_odds.size // block) * block, log_odds.dtype)
    padded[: log_odds.size] = log_odds.reshape(-1)
    drawn, flipped = np.zeros((2, padded.size), np.uint8)
    draw_units(seed_words(rng, LANES), padded, drawn, flipped)
    bits = drawn[: log_odds.size].reshape(log_odds.shape).astype(log_odds.dtype)
    return bits if low == 0 else low + (1 - low) * bits
