"""A multilayer perceptron and its gradients: BLAS between layers, one fused pass within each.

Parameters are one flat vector: the weights (inputs x outputs) and the bias of each layer in turn.
Units, slopes and gradients are flat, too, a block (B, n) for each layer after another, so that one
machine code serves all sizes and depths.
"""

from itertools import pairwise

import numpy as np
from numba import njit

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
    sizes, address = _checked(inputs, parameters, sizes, activation)
    out = np.empty((len(inputs), sizes[-1]), inputs.dtype)
    _forward_rows(inputs, parameters, sizes, address, bool(residual), out)
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
    sizes, address = _checked(inputs, parameters, sizes, activation)
    if cotangent.shape != (len(inputs), sizes[-1]) or cotangent.dtype != inputs.dtype:
        raise ValueError(
            f"cotangent must be {inputs.dtype} of shape {(len(inputs), int(sizes[-1]))}, got "
            f"{cotangent.dtype} of shape {cotangent.shape}"
        )
    out, gradient = np.empty_like(cotangent), np.zeros_like(parameters)
    slope = np.empty_like(inputs)
    _gradient_rows(
        inputs, cotangent, parameters, sizes, address, bool(residual), out, gradient, slope
    )
    return out, gradient, slope


def _checked(inputs, parameters, sizes, activation):
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
    return np.array(sizes, np.int64), activation_address(activation, inputs.dtype)


@njit(cache=True)
def count(sizes):
    """Units of all layers; numpy's own sum takes numba longer to compile."""
    total = 0
    for size in sizes:
        total += size
    return total


@njit(cache=True)
def block(flat, start, rows, columns):
    """View of a part of a flat array as a matrix."""
    return flat[start : start + rows * columns].reshape(rows, columns)


@njit(cache=True)
def copy(source, target):
    """Copy a matrix, in a loop: ``target[:] = source`` takes seconds to compile."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@njit(cache=True)
def propagate(parameters, sizes, activation, residual, rows, units, slopes):
    """Fill in units and slopes of all layers but the first, whose units are given.

    The activation is an address, from :func:`activation_address`.
    """
    at_unit = at_parameter = 0
    last = sizes.size - 2
    for layer in range(last + 1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        weights = block(parameters, at_parameter, n_in, n_out)
        at_parameter += n_in * n_out
        bias = parameters[at_parameter : at_parameter + n_out]
        at_parameter += n_out
        before = block(units, at_unit, rows, n_in)
        at_unit += rows * n_in
        after = block(units, at_unit, rows, n_out)
        np.dot(before, weights, after)
        if layer == last:
            add_bias(after, bias)
        else:
            activate(activation, after, bias, block(slopes, at_unit, rows, n_out))
        if residual and 0 < layer < last and n_in == n_out:
            add(after, before)


@njit(cache=True)
def propagate_back(parameters, sizes, residual, rows, units, slopes, errors, gradient, to_inputs):
    """Fill in the gradient from the errors of the last layer; of the inputs only if wanted."""
    at_unit, at_parameter = rows * (count(sizes) - sizes[-1]), parameters.size
    last = sizes.size - 2
    for layer in range(last, -1, -1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        at_parameter -= (n_in + 1) * n_out
        size = n_in * n_out
        error = block(errors, at_unit, rows, n_out)
        skips = residual and 0 < layer < last and n_in == n_out
        at_before = at_unit - rows * n_in
        before, back = block(units, at_before, rows, n_in), block(errors, at_before, rows, n_in)
        passed = error
        if layer < last:
            passed = block(slopes, at_unit, rows, n_out)  # needed no more
            multiply(passed, error)
        np.dot(before.T, passed, block(gradient, at_parameter, n_in, n_out))
        sum_rows(passed, gradient[at_parameter + size : at_parameter + size + n_out])
        if layer > 0 or to_inputs:
            np.dot(passed, block(parameters, at_parameter, n_in, n_out).T, back)
            if skips:
                add(back, error)
        at_unit = at_before


@njit(cache=True)
def _forward_rows(inputs, parameters, sizes, activation, residual, out):
    n_in, n_out, width = sizes[0], sizes[-1], count(sizes)
    most = min(ROWS, len(inputs))
    units, slopes = np.empty(most * width, inputs.dtype), np.empty(most * width, inputs.dtype)
    for first in range(0, len(inputs), ROWS):
        rows = min(ROWS, len(inputs) - first)
        copy(inputs[first : first + rows], block(units, 0, rows, n_in))
        propagate(parameters, sizes, activation, residual, rows, units, slopes)
        copy(block(units, rows * (width - n_out), rows, n_out), out[first : first + rows])


@njit(cache=True)
def _gradient_rows(
    inputs, cotangent, parameters, sizes, activation, residual, out, gradient, slope
):
    n_in, n_out, width = sizes[0], sizes[-1], count(sizes)
    most = min(ROWS, len(inputs))
    units, slopes = np.empty(most * width, inputs.dtype), np.empty(most * width, inputs.dtype)
    errors, part = np.empty(most * width, inputs.dtype), np.empty_like(gradient)
    for first in range(0, len(inputs), ROWS):
        rows = min(ROWS, len(inputs) - first)
        last = rows * (width - n_out)
        copy(inputs[first : first + rows], block(units, 0, rows, n_in))
        propagate(parameters, sizes, activation, residual, rows, units, slopes)
        copy(block(units, last, rows, n_out), out[first : first + rows])
        copy(cotangent[first : first + rows], block(errors, last, rows, n_out))
        propagate_back(parameters, sizes, residual, rows, units, slopes, errors, part, True)
        gradient += part
        copy(block(errors, 0, rows, n_in), slope[first : first + rows])
