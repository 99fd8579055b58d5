"""A multilayer perceptron and its gradients: BLAS between layers, one fused pass within each.

Parameters are one flat vector: the weights (inputs x outputs) and the bias of each layer in turn.
Units, slopes and gradients are flat, too, a block (B, n) for each layer after another, so that one
machine code serves all sizes and depths. Functions are told where in flat arrays their matrices
begin: views of these would take the compiler seconds.
"""

from itertools import pairwise

import numpy as np
from numba import int64, njit, uint64

from pm_energy.kernels.blas import product, product_turned_left, product_turned_right
from pm_energy.kernels.inner import inner
from pm_energy.kernels.mlp_activations import (
    ACTIVATIONS,
    activate,
    activation_address,
    add,
    add_bias,
    multiply,
    sum_rows,
)

ROWS = 128  # at a time: OpenBLAS is fastest at products that small, and they stay in the cache


def forward(inputs, parameters, sizes, activation, residual):
    """Outputs of a network.

    Parameters
    ----------
    inputs : ndarray of float32 or float64, shape (N, n_in), C-contiguous
    parameters : ndarray, shape (P,), dtype of ``inputs``
        Weights and bias of each layer in turn.
    sizes : sequence of int
        Units of each layer, those of the input first.
    activation : {"tanh", "silu", "softplus", "relu"}
        Of all layers but the last, which is linear.
    residual : bool
        Whether a hidden layer that is as wide as the one before is added to it.

    Returns
    -------
    ndarray, shape (N, n_out)

    Examples
    --------
    >>> import numpy as np
    >>> parameters = np.array([1.0, -1.0, 0.0, 0.0, 1.0, 1.0, 0.5])  # |x| + 1/2
    >>> forward(np.array([[-3.0], [2.0]]), parameters, (1, 2, 1), "relu", False)
    array([[3.5],
           [2.5]])
    """
    _check(inputs, parameters, sizes, activation)
    sizes, address = np.array(sizes, np.int64), activation_address(activation, inputs.dtype, False)
    out = np.empty((len(inputs), sizes[-1]), inputs.dtype)
    _forward_rows(inputs.reshape(-1), parameters, sizes, address, bool(residual), out.reshape(-1))
    return out


def vector_jacobian(inputs, cotangent, parameters, sizes, activation, residual):
    """Outputs, and the gradient of ``sum(cotangent * outputs)``.

    Parameters
    ----------
    inputs, parameters, sizes, activation, residual
        As in :func:`forward`.
    cotangent : ndarray, shape (N, n_out), C-contiguous, dtype of ``inputs``

    Returns
    -------
    tuple of ndarray
        Outputs (N, n_out), gradients in the parameters (P,) and in the inputs (N, n_in).

    Examples
    --------
    >>> import numpy as np
    >>> parameters = np.array([1.0, -1.0, 0.0, 0.0, 1.0, 1.0, 0.5])
    >>> one = np.ones((1, 1))
    >>> _, _, slope = vector_jacobian(-3 * one, one, parameters, (1, 2, 1), "relu", False)
    >>> slope
    array([[-1.]])
    """
    _check(inputs, parameters, sizes, activation)
    if cotangent.shape != (len(inputs), sizes[-1]) or cotangent.dtype != inputs.dtype:
        raise ValueError(
            f"cotangent must be {inputs.dtype} of shape {(len(inputs), int(sizes[-1]))}, got "
            f"{cotangent.dtype} of shape {cotangent.shape}"
        )
    sizes, address = np.array(sizes, np.int64), activation_address(activation, inputs.dtype)
    out, slope = np.empty(cotangent.shape, inputs.dtype), np.empty(inputs.shape, inputs.dtype)
    gradient = np.zeros_like(parameters)
    _gradient_rows(
        inputs.reshape(-1), cotangent.reshape(-1), parameters, sizes, address, bool(residual),
        out.reshape(-1), gradient, slope.reshape(-1),
    )  # fmt: skip
    return out, gradient, slope


def _check(inputs, parameters, sizes, activation):
    """Kernels trust their arguments: a wrong size would have them read anything."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
    if inputs.ndim != 2 or inputs.shape[1] != sizes[0]:
        raise ValueError(f"inputs must have shape (N, {sizes[0]}), got {inputs.shape}")
    n_parameters = sum((a + 1) * b for a, b in pairwise(sizes))
    if parameters.shape != (n_parameters,) or parameters.dtype != inputs.dtype:
        raise ValueError(
            f"parameters must be {inputs.dtype} of shape {(n_parameters,)}, got "
            f"{parameters.dtype} of shape {parameters.shape}"
        )


@inner(cache=True)
def count(sizes):
    """Units of all layers; numpy's own sum takes numba longer to compile."""
    total = 0
    for size in sizes:
        total += size
    return total


@inner(cache=True)
def copy(source, at, target, at_target, n):
    """Copy n numbers, in a loop: to assign slices takes seconds to compile."""
    at, at_target = uint64(at), uint64(at_target)
    for i in range(uint64(n)):
        target[at_target + i] = source[at + i]


@inner(cache=True)
def propagate(parameters, sizes, activation, residual, rows, units, slopes):
    """Fill in units and slopes of all layers but the first, whose units are given.

    The activation is an address, from :func:`activation_address`.
    """
    before = weights = int64(0)  # a literal is a type of its own, and would be compiled for
    last = sizes.size - 2
    for layer in range(last + 1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        after, bias = before + rows * n_in, weights + n_in * n_out
        product(units, before, parameters, weights, units, after, rows, n_out, n_in)
        if layer == last:
            add_bias(units, after, parameters, bias, rows, n_out)
        else:
            activate(activation, units, after, parameters, bias, slopes, rows, n_out)
        if residual and 0 < layer < last and n_in == n_out:
            add(units, after, units, before, rows * n_out)
        before, weights = after, bias + n_out


@inner(cache=True)
def propagate_back(parameters, sizes, residual, rows, units, slopes, errors, gradient, to_inputs):
    """Fill in the gradient from the errors of the last layer; of the inputs only if wanted."""
    after, weights = rows * (count(sizes) - sizes[-1]), parameters.size
    last = sizes.size - 2
    copy(errors, after, slopes, after, rows * sizes[-1])
    for layer in range(last, -1, -1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        before, bias = after - rows * n_in, weights - n_out
        weights = bias - n_in * n_out
        if layer < last:
            multiply(slopes, after, errors, after, rows * n_out)  # slopes are needed no more
        product_turned_left(units, before, slopes, after, gradient, weights, n_in, n_out, rows)
        sum_rows(slopes, after, gradient, bias, rows, n_out)
        if layer > 0 or to_inputs:
            product_turned_right(
                slopes, after, parameters, weights, errors, before, rows, n_in, n_out
            )
            if residual and 0 < layer < last and n_in == n_out:
                add(errors, before, errors, after, rows * n_out)
        after = before


@njit(cache=True)
def _forward_rows(inputs, parameters, sizes, activation, residual, out):
    n_in, n_out, width = sizes[0], sizes[-1], count(sizes)
    n_rows = inputs.size // n_in
    units = np.empty(min(ROWS, n_rows) * width, inputs.dtype)
    for first in range(0, n_rows, ROWS):
        rows = min(ROWS, n_rows - first)
        copy(inputs, first * n_in, units, int64(0), rows * n_in)
        propagate(parameters, sizes, activation, residual, rows, units, units)
        copy(units, rows * (width - n_out), out, first * n_out, rows * n_out)


@njit(cache=True)
def _gradient_rows(
    inputs, cotangent, parameters, sizes, activation, residual, out, gradient, slope
):
    n_in, n_out, width = sizes[0], sizes[-1], count(sizes)
    n_rows = inputs.size // n_in
    units = np.empty(min(ROWS, n_rows) * width, inputs.dtype)
    slopes, errors, part = np.empty_like(units), np.empty_like(units), np.empty_like(gradient)
    for first in range(0, n_rows, ROWS):
        rows = min(ROWS, n_rows - first)
        last = rows * (width - n_out)
        copy(inputs, first * n_in, units, int64(0), rows * n_in)
        propagate(parameters, sizes, activation, residual, rows, units, slopes)
        copy(units, last, out, first * n_out, rows * n_out)
        copy(cotangent, first * n_out, errors, last, rows * n_out)
        propagate_back(parameters, sizes, residual, rows, units, slopes, errors, part, True)
        add(gradient, int64(0), part, int64(0), gradient.size)
        copy(errors, int64(0), slope, first * n_in, rows * n_in)
