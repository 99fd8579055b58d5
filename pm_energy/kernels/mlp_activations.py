"""Activations of a layer and their slopes in one pass, without a branch or a call: SIMD.

A slope is kept beside its unit, so that the backward pass is one product whatever the activation.
Fields are float32 or float64. They may be infinite or NaN, and what comes out then is no number
that could be taken for one.
"""

from functools import cache

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, types, uint64
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

from pm_energy.kernels.exponential import exp_minus, exp_within
from pm_energy.kernels.inner import inner
from pm_energy.kernels.native import element

ACTIVATIONS = ("tanh", "silu", "softplus", "relu")


@inner(forceinline=True, error_model="numpy", fastmath={"contract"})
def logistic(x, one):
    """Return 1 / (1 + e^-x), accurate in both tails."""
    return one / (one + exp_within(-x))


@inner(forceinline=True, error_model="numpy", fastmath={"contract"})
def tanh_unit(x, one):
    """Return tanh(x) and its slope."""
    y = (one + one) * logistic(x + x, one) - one
    return y, one - y * y


@inner(forceinline=True, error_model="numpy", fastmath={"contract"})
def silu_unit(x, one):
    """Return x / (1 + e^-x) and its slope."""
    p = logistic(x, one)
    y = x * p
    return y, p + y * (one - p)


@inner(forceinline=True, error_model="numpy", fastmath={"contract"})
def softplus_unit(x, one):
    """Return log(1 + e^x) and its slope.

    log(1 + e) = 2 artanh(z) with z = e / (2 + e) <= 1/3, whose series ends at z^33 / 33 < 1e-17.
    """
    e = exp_minus(abs(x))
    z = e / (one + one + e)
    z2 = z * z
    series = one / (one * 33)
    for k in range(31, 0, -2):
        series = series * z2 + one / (one * k)
    return max(x, one - one) + (z + z) * series, logistic(x, one)


@inner(forceinline=True, error_model="numpy", fastmath={"contract"})
def relu_unit(x, one):
    """Return max(x, 0) and its slope; NaN stays."""
    zero = one - one
    return (zero if x < zero else x), (one if x > zero else zero)


@inner(forceinline=True, error_model="numpy", fastmath={"contract"})
def _layer(unit, units, bias, slopes, rows, n):
    u, b, s = carray(units, rows * n), carray(bias, n), carray(slopes, rows * n)
    one = u.dtype.type(1)
    for i in range(rows):
        for j in range(n):
            u[i * n + j], s[i * n + j] = unit(u[i * n + j] + b[j], one)


@inner(forceinline=True, error_model="numpy", fastmath={"contract"})
def _layer_alone(unit, units, bias, rows, n):
    u, b = carray(units, rows * n), carray(bias, n)
    one = u.dtype.type(1)
    for i in range(rows):
        for j in range(n):
            u[i * n + j] = unit(u[i * n + j] + b[j], one)[0]


def _tanh(units, bias, slopes, rows, n):
    _layer(tanh_unit, units, bias, slopes, rows, n)


def _silu(units, bias, slopes, rows, n):
    _layer(silu_unit, units, bias, slopes, rows, n)


def _softplus(units, bias, slopes, rows, n):
    _layer(softplus_unit, units, bias, slopes, rows, n)


def _relu(units, bias, slopes, rows, n):
    _layer(relu_unit, units, bias, slopes, rows, n)


def _tanh_alone(units, bias, slopes, rows, n):
    _layer_alone(tanh_unit, units, bias, rows, n)


def _silu_alone(units, bias, slopes, rows, n):
    _layer_alone(silu_unit, units, bias, rows, n)


def _softplus_alone(units, bias, slopes, rows, n):
    _layer_alone(softplus_unit, units, bias, rows, n)


def _relu_alone(units, bias, slopes, rows, n):
    _layer_alone(relu_unit, units, bias, rows, n)


_LAYERS = {
    True: {"tanh": _tanh, "silu": _silu, "softplus": _softplus, "relu": _relu},
    False: {
        "tanh": _tanh_alone, "silu": _silu_alone, "softplus": _softplus_alone, "relu": _relu_alone
    },
}  # fmt: skip


@cache
def _compiled(name, dtype, with_slopes):
    number = types.CPointer(from_dtype(np.dtype(dtype)))
    signature = types.void(number, number, number, types.int64, types.int64)
    return cfunc(
        signature, cache=True, error_model="numpy", fastmath={"contract"}
    )(_LAYERS[with_slopes][name])  # fmt: skip


def activation_address(name, dtype, with_slopes=True):
    """Compile what an activation does to a layer, and return its address.

    Kernels call it there: a loop that held all activations would be compiled again, all of them,
    with each function that calls it.

    Parameters
    ----------
    name : {"tanh", "silu", "softplus", "relu"}
    dtype : {"float32", "float64"} or dtype
        Of units.
    with_slopes : bool
        Whether slopes are wanted, too.

    Returns
    -------
    int
        For :func:`activate`, in this process.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import njit
    >>> from pm_energy.kernels.mlp_activations import activate, activation_address
    >>> @njit
    ... def layer(address, units, bias, slopes):
    ...     activate(address, units, 0, bias, 0, slopes, 1, 2)
    >>> x, slopes = np.array([-3.0, 2.0]), np.empty(2)
    >>> layer(activation_address("relu", "float64"), x, np.ones(2), slopes)
    >>> x, slopes
    (array([0., 3.]), array([0., 1.]))
    """
    return _compiled(name, np.dtype(dtype).name, with_slopes).address


@intrinsic
def activate(typingctx, address, units, at, bias, at_bias, slopes, rows, n):
    """Add the bias to the fields of a layer, and turn them into units; fill in the slopes.

    Parameters
    ----------
    address : int
        From :func:`activation_address`.
    units, at : ndarray, flat, and int
        Where the fields (rows x n) begin; overwritten.
    bias, at_bias : ndarray, flat, and int
        Where the n biases begin.
    slopes : ndarray, flat
        Overwritten from ``at`` on, if slopes are wanted.
    rows, n : int
    """
    whole = types.int64
    signature = types.void(whole, units, whole, bias, whole, slopes, whole, whole)

    def build(context, builder, sig, args):
        def place(i, at):
            return element(context, builder, sig.args[i], args[i], at)

        operands = [place(1, args[2]), place(3, args[4]), place(5, args[2]), *args[6:]]
        kind = ir.FunctionType(ir.VoidType(), [operand.type for operand in operands])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), operands)
        return context.get_dummy_value()

    return signature, build


_passes = inner(cache=True, error_model="numpy", fastmath={"contract"})


@_passes
def add_bias(units, at, bias, at_bias, rows, n):
    """Add the bias to the fields (rows x n) of a layer that is linear."""
    at, at_bias, n = uint64(at), uint64(at_bias), uint64(n)
    for i in range(uint64(rows)):
        for j in range(n):
            units[at + i * n + j] += bias[at_bias + j]


@_passes
def multiply(a, at_a, b, at_b, n):
    """Multiply n numbers of one array by those of another, in place."""
    at_a, at_b = uint64(at_a), uint64(at_b)
    for i in range(uint64(n)):
        a[at_a + i] *= b[at_b + i]


@_passes
def add(a, at_a, b, at_b, n):
    """Add to n numbers of one array those of another, in place."""
    at_a, at_b = uint64(at_a), uint64(at_b)
    for i in range(uint64(n)):
        a[at_a + i] += b[at_b + i]


@_passes
def sum_rows(x, at, out, at_out, rows, n):
    """Write the sum of the rows of a matrix (rows x n) to a place in a flat array."""
    at, at_out, n = uint64(at), uint64(at_out), uint64(n)
    for j in range(n):
        out[at_out + j] = x[at + j]
    for i in range(uint64(1), uint64(rows)):
        for j in range(n):
            out[at_out + j] += x[at + i * n + j]
