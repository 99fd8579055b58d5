"""softplus(y) = log(1 + e^y), summed over many units with one logarithm.

As softplus(y) = max(y, 0) + log(1 + e^-|y|), a sum is a sum of positive parts and the logarithm of
a product of factors between 1 and 2. Hundreds of these fit a float, and none overflows.
"""

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.exponential import exp_minus

LANES = 64  # products side by side
STRIPS = 8  # strips of LANES units to a logarithm: all factors' product is at most 2^512


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def softplus_sum(y):
    """Return the sum of softplus over a vector of float64, as a float."""
    total = 0.0
    factors = np.empty(LANES)
    for start in range(0, y.size, LANES * STRIPS):
        stop = min(start + LANES * STRIPS, y.size)
        factors[:] = 1.0
        for first in range(start, stop, LANES):
            for j in range(uint64(min(LANES, stop - first))):
                value = y[uint64(first) + j]
                total += max(value, 0.0)
                factors[j] *= 1.0 + exp_minus(abs(value))
        total += np.log(np.prod(factors))
    return total


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def add_softplus_change(totals, fields, n, tile, tile_stride, state_stride, old, new):
    """Add the sum over n units of softplus(new y) - softplus(old y) to the total of each state.

    Parameters
    ----------
    totals : ndarray of float64, shape (B,)
    fields : ndarray of float32 or float64, flat
        Unit t * tile + j of state b is at t * tile_stride + b * state_stride + j.
    n, tile, tile_stride, state_stride : int
        At most 64 units to a tile.
    old, new : float
        Not negative. What float32 fields are multiplied with must be exact in float32.
    """
    before, after = fields.dtype.type(old), fields.dtype.type(new)
    one, zero = fields.dtype.type(1), fields.dtype.type(0)
    over, under, positive = np.empty((3, tile), fields.dtype)
    for b in range(totals.size):
        for start in range(0, n, STRIPS * tile):
            over[:], under[:], positive[:] = one, one, zero
            for first in range(start, min(start + STRIPS * tile, n), tile):
                at = first // tile * tile_stride + b * state_stride
                for j in range(uint64(min(tile, n - first))):
                    y = fields[uint64(at) + j]
                    positive[j] += max(y, zero)
                    over[j] *= one + exp_minus(after * abs(y))
                    under[j] *= one + exp_minus(before * abs(y))
            numerator, denominator, linear = 1.0, 1.0, 0.0
            for j in range(tile):
                numerator *= over[j]
                denominator *= under[j]
                linear += positive[j]
            totals[b] += (new - old) * linear + np.log(numerator / denominator)
