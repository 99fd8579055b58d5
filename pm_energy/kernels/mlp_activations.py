"""Activations of a layer and their slopes in one pass, without a branch or a call: SIMD.

A slope is kept beside its unit, so that the backward pass is one product whatever the activation.
Fields are float32 or float64. They may be infinite or NaN, and what comes out then is no number
that could be taken for one.
"""

from numba import njit

from pm_energy.kernels.exponential import exp_minus

ACTIVATIONS = ("tanh", "silu", "softplus", "relu")  # numbered in this order
LINEAR = -1


@njit(forceinline=True, error_model="numpy", fastmath={"contract"})
def logistic(x, one):
    """Return 1 / (1 + e^-x), accurate in both tails, and e^-|x|."""
    e = exp_minus(abs(x))
    up = one / (one + e)
    return (up if x >= 0 else e * up), e


@njit(forceinline=True, error_model="numpy", fastmath={"contract"})
def tanh_unit(x, one):
    """Return tanh(x) and its slope."""
    e = exp_minus(abs(x + x))
    size = (one - e) / (one + e)
    y = size if x >= 0 else -size
    return y, one - y * y


@njit(forceinline=True, error_model="numpy", fastmath={"contract"})
def silu_unit(x, one):
    """Return x / (1 + e^-x) and its slope."""
    p, _ = logistic(x, one)
    y = x * p
    return y, p + y * (one - p)


@njit(forceinline=True, error_model="numpy", fastmath={"contract"})
def softplus_unit(x, one):
    """Return log(1 + e^x) and its slope.

    log(1 + e) = 2 artanh(z) with z = e / (2 + e) <= 1/3, whose series ends at z^33 / 33 < 1e-17.
    """
    p, e = logistic(x, one)
    z = e / (one + one + e)
    z2 = z * z
    series = one / (one * 33)
    for k in range(31, 0, -2):
        series = series * z2 + one / (one * k)
    return max(x, one - one) + (z + z) * series, p


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def activate(code, units, bias, slopes):
    """Add the bias to the fields of a layer, and turn them into units; fill in the slopes.

    Parameters
    ----------
    code : int
        Place in ``ACTIVATIONS``, or LINEAR, which leaves the slopes as they are.
    units : ndarray, shape (B, n)
        Fields; overwritten.
    bias : ndarray, shape (n,)
    slopes : ndarray, shape (B, n)
        Overwritten.
    """
    rows, n = units.shape
    one = units.dtype.type(1)
    zero = one - one
    if code == 0:
        for i in range(rows):
            for j in range(n):
                units[i, j], slopes[i, j] = tanh_unit(units[i, j] + bias[j], one)
    elif code == 1:
        for i in range(rows):
            for j in range(n):
                units[i, j], slopes[i, j] = silu_unit(units[i, j] + bias[j], one)
    elif code == 2:
        for i in range(rows):
            for j in range(n):
                units[i, j], slopes[i, j] = softplus_unit(units[i, j] + bias[j], one)
    elif code == 3:
        for i in range(rows):
            for j in range(n):
                x = units[i, j] + bias[j]
                slopes[i, j] = one if x > 0 else zero
                units[i, j] = zero if x < 0 else x  # NaN stays
    else:
        for i in range(rows):
            for j in range(n):
                units[i, j] += bias[j]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def multiply(a, b):
    """Multiply two matrices entry by entry, into the first."""
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            a[i, j] *= b[i, j]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def add(a, b):
    """Add two matrices, into the first."""
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            a[i, j] += b[i, j]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def sum_rows(x, out):
    """Sum the rows of a matrix."""
    out[:] = x.dtype.type(0)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[j] += x[i, j]
