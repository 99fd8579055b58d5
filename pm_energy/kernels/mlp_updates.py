"""Adam with decoupled weight decay, and the running average of parameters, in one pass.

References
----------
.. [1] Kingma & Ba (2015), "Adam: a method for stochastic optimization", ICLR.
.. [2] Loshchilov & Hutter (2019), "Decoupled weight decay regularization", ICLR.
"""

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.inner import inner

BETA_1, BETA_2 = 0.9, 0.999
EPSILON = 1e-8
NORM_EPSILON = 1e-7  # of PyMC's total_norm_constraint


@inner(forceinline=True, error_model="numpy", fastmath={"contract", "reassoc"})
def sum_of_squares(x):
    """Sum of the squares of a flat array."""
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] * x[i]
    return total


@njit(forceinline=True, error_model="numpy", fastmath={"contract"})
def adam_step(at, n, theta, gradient, mean, square, average, scale, step, rate, decay, keep):
    """Change parameters, both moments and the average of the parameters, all flat, in place.

    Parameters
    ----------
    at, n : int
        Which of them: the first, and how many.
    theta, gradient, mean, square, average : ndarray of one float dtype, shape (P,)
    scale : float
        What the gradient is multiplied with.
    step : int
        Counted from 1.
    rate, decay : float
        Learning rate; share of it by which parameters shrink.
    keep : float
        How much of the average is kept.
    """
    number = theta.dtype.type
    one = number(1)
    b1, b2, epsilon = number(BETA_1), number(BETA_2), number(EPSILON)
    a = number(rate * np.sqrt(1.0 - BETA_2**step) / (1.0 - BETA_1**step))
    scale, shrink, keep = number(scale), number(rate * decay), number(keep)
    for i in range(
        uint64(at), uint64(at + n)
    ):  # no sums of two products: either one could be fused with the sum
        g = scale * gradient[i]
        m = mean[i] + (one - b1) * (g - mean[i])
        v = square[i] + (one - b2) * (g * g - square[i])
        new = theta[i] - a * m / (np.sqrt(v) + epsilon) - shrink * theta[i]
        mean[i], square[i], theta[i] = m, v, new
        average[i] += (one - keep) * (new - average[i])
