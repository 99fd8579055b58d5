"""Activations of a layer and their slopes in one pass, without a branch or a call: SIMD.

A slope is kept beside its unit, so that the backward pass is one product whatever the activation.
Fields are float32 or float64. They may be infinite or NaN, and what comes out then is no number
that could be taken for one.
"""

from functools import cache

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

from pm_energy.kernels.exponential import exp_minus

ACTIVATIONS = ("tanh", "silu", "softplus", "relu")


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


@njit(forceinline=True, error_model="numpy", fastmath={"contract"})
def relu_unit(x, one):
    """Return max(x, 0) and its slope; NaN stays."""
    zero = one - one
    return (zero if x < zero else x), (one if x > zero else zero)


@njit(forceinline=True, error_model="numpy", fastmath={"contract"})
def _layer(unit, units, bias, slopes, rows, n):
    u, b, s = carray(units, rows * n), carray(bias, n), carray(slopes, rows * n)
    one = u.dtype.type(1)
    for i in range(rows):
        for j in range(n):
            u[i * n + j], s[i * n + j] = unit(u[i * n + j] + b[j], one)


def _tanh(units, bias, slopes, rows, n):
    _layer(tanh_unit, units, bias, slopes, rows, n)


def _silu(units, bias, slopes, rows, n):
    _layer(silu_unit, units, bias, slopes, rows, n)


def _softplus(units, bias, slopes, rows, n):
    _layer(softplus_unit, units, bias, slopes, rows, n)


def _relu(units, bias, slopes, rows, n):
    _layer(relu_unit, units, bias, slopes, rows, n)


_LAYERS = {"tanh": _tanh, "silu": _silu, "softplus": _softplus, "relu": _relu}


@cache
def _compiled(name, dtype):
    number = types.CPointer(from_dtype(np.dtype(dtype)))
    signature = types.void(number, number, number, types.int64, types.int64)
    return cfunc(
        signature, cache=True, error_model="numpy", fastmath={"contract"}
    )(_LAYERS[name])  # fmt: skip


def activation_address(name, dtype):
    """Compile what an activation does to a layer, and return its address.

    Kernels call it there: a loop that held all activations would be compiled again, all of them,
    with each function that calls it.

    Parameters
    ----------
    name : {"tanh", "silu", "softplus", "relu"}
    dtype : {"float32", "float64"} or dtype
        Of units.

    Returns
    -------
    int
        For :func:`activate`, in this process.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.kernels.mlp_activations import activate, activation_address
    >>> x, slopes = np.array([[-3.0, 2.0]]), np.empty((1, 2))
    >>> activate(activation_address("relu", "float64"), x, np.ones(2), slopes)
    >>> x, slopes
    (array([[0., 3.]]), array([[0., 1.]]))
    """
    return _compiled(name, np.dtype(dtype).name).address


@intrinsic
def _call(typingctx, address, units, bias, slopes, rows, n):
    """Call the function at ``address``; arrays are contiguous."""
    signature = types.void(types.int64, units, bias, slopes, types.int64, types.int64)

    def codegen(context, builder, sig, args):
        data = [context.make_array(sig.args[k])(context, builder, args[k]).data for k in (1, 2, 3)]
        whole = ir.IntType(64)
        kinds = [*(pointer.type for pointer in data), whole, whole]
        function = ir.FunctionType(ir.VoidType(), kinds)
        pointer = builder.inttoptr(args[0], function.as_pointer())
        builder.call(pointer, [*data, args[4], args[5]])
        return context.get_dummy_value()

    return signature, codegen


@njit(forceinline=True)
def activate(address, units, bias, slopes):
    """Add the bias to the fields of a layer, and turn them into units; fill in the slopes.

    Parameters
    ----------
    address : int
        From :func:`activation_address`.
    units : ndarray, shape (B, n)
        Fields; overwritten.
    bias : ndarray, shape (n,)
    slopes : ndarray, shape (B, n)
        Overwritten.
    """
    _call(address, units, bias, slopes, units.shape[0], units.shape[1])


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def add_bias(units, bias):
    """Add the bias to the fields of a layer that is linear."""
    for i in range(units.shape[0]):
        for j in range(units.shape[1]):
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
