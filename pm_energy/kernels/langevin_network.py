"""Score and log-density of a network energy at a block of points, as a native function."""

from functools import lru_cache

import numpy as np
from numba import carray, cfunc, types

from pm_energy.kernels.blas import product
from pm_energy.kernels.inner import inner
from pm_energy.kernels.mlp import ROWS, count, propagate
from pm_energy.kernels.mlp_activations import activation_address, multiply
from pm_energy.kernels.native import as_pointer


@lru_cache(maxsize=2)
def network_density(dtype):
    """Compile the function ``f(double *state, double beta, int64 *table, double *out)``.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Of the network's arithmetic; that of the bowl is float64.

    Returns
    -------
    numba.core.ccallback.CFunc
        With ``address``; tables for it come from :func:`network_table`. It writes the scores (d, B)
        and, if wanted, log-densities (B,) from ``out[2]`` on.
    """
    reals, integers = types.CPointer(types.float64), types.CPointer(types.int64)
    signature = types.void(reals, types.float64, integers, reals)
    return cfunc(signature, cache=True)({"float32": _single, "float64": _double}[dtype])


def network_table(n_chains, weights, biases, activation, bowl, dtype, with_log_density):
    """Describe a network energy to the native function.

    Parameters
    ----------
    n_chains : int
        B, points of a block.
    weights : list of ndarray, shapes (d, h_1), (h_1, h_2), ..., (h_L,)
    biases : list of ndarray, shapes (h_1,), ..., (h_L,)
    activation : str
    bowl : tuple of ndarray, shapes (d,), (d,) and ()
        Location, scale and confinement of the energy ``confinement |(x - m) / s|^2 / 2``.
    dtype : {"float32", "float64"}
        Of the function.
    with_log_density : bool

    Returns
    -------
    table : ndarray of int64
    kept : tuple of ndarray
        Whose addresses are in the table: they must outlive it.
    """
    sizes = np.array([len(weights[0]), *map(len, biases), 1], np.int64)
    pairs = zip(weights, [*biases, np.zeros(1)], strict=True)  # the last layer has no bias
    parameters = np.concatenate([part.ravel() for pair in pairs for part in pair]).astype(dtype)
    # products with transposed matrices would be packed
    transposed = np.concatenate([part.T.ravel() for part in weights]).astype(dtype)
    location, scale, confinement = bowl
    bowl = np.concatenate([location, 1 / scale, [confinement]]).astype(float)
    kept = sizes, parameters, transposed, bowl
    size = (int(sizes[0]) + with_log_density) * n_chains
    rows = [(part.ctypes.data, part.size) for part in kept]
    table = [
        size,
        n_chains,
        activation_address(activation, dtype),
        *(n for row in rows for n in row),
    ]
    return np.array(table, np.int64), kept


def _single(state, beta, table_, out_):
    table = carray(table_, (11,))
    parameters = carray(as_pointer(table[5]), (table[6],), np.float32)
    transposed = carray(as_pointer(table[7]), (table[8],), np.float32)
    x, out = carray(state, (table[0],)), carray(out_, (2 + table[0],))
    _evaluate(x, beta, table, parameters, transposed, out)


def _double(state, beta, table_, out_):
    table = carray(table_, (11,))
    parameters = carray(as_pointer(table[5]), (table[6],), np.float64)
    transposed = carray(as_pointer(table[7]), (table[8],), np.float64)
    x, out = carray(state, (table[0],)), carray(out_, (2 + table[0],))
    _evaluate(x, beta, table, parameters, transposed, out)


@inner(cache=True, error_model="numpy", fastmath={"contract"})
def _evaluate(x, beta, table, parameters, transposed, out):
    n, activation = table[1], table[2]
    sizes = carray(as_pointer(table[3]), (table[4],), np.int64)
    bowl = carray(as_pointer(table[9]), (table[10],), np.float64)
    d, width, most = sizes[0], count(sizes), min(n, ROWS)
    units = np.empty(most * width, parameters.dtype)
    slopes, errors = np.empty_like(units), np.empty_like(units)
    score, log_p, confinement = out[2:], out[2 + d * n :], bowl[2 * d]
    for start in range(0, n, ROWS):
        rows = min(n - start, ROWS)
        for i in range(d):
            for c in range(rows):
                units[c * d + i] = (x[i * n + start + c] - bowl[i]) * bowl[d + i]
        propagate(parameters, sizes, activation, False, rows, units, slopes)
        _to_inputs(transposed, sizes, rows, slopes, errors)
        if log_p.size:
            outputs = units[rows * (width - 1) :]
            for c in range(rows):
                log_p[start + c] = -beta * outputs[c]
        for i in range(d):
            for c in range(rows):
                at = i * n + start + c
                z = (x[at] - bowl[i]) * bowl[d + i]
                score[at] = -beta * (errors[c * d + i] + confinement * z) * bowl[d + i]
                if log_p.size:
                    log_p[start + c] -= 0.5 * beta * confinement * z * z


@inner(cache=True)
def _to_inputs(transposed, sizes, rows, slopes, errors):
    """Gradient of the sum of the outputs in the inputs, to the start of ``errors``."""
    after, weights = rows * (count(sizes) - 1), transposed.size
    errors[after : after + rows] = 1
    for layer in range(sizes.size - 2, -1, -1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        if layer < sizes.size - 2:
            multiply(errors, after, slopes, after, rows * n_out)
        before, weights = after - rows * n_in, weights - n_in * n_out
        product(errors, after, transposed, weights, errors, before, rows, n_in, n_out)
        after = before
