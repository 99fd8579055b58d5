"""Scores and log-densities of a block of chains, as native functions where that is possible."""

import math
from functools import lru_cache

import numpy as np
import pytensor.tensor as pt

from pm_energy.compile import (
    NotNative,
    compile_function,
    compile_native,
    numeric_leaves,
)
from pm_energy.energies.gaussian_mixture import GaussianMixtureEnergy
from pm_energy.energies.neural import NeuralEnergy
from pm_energy.energy import field, single_block
from pm_energy.kernels.langevin_lanes import compile_lanes
from pm_energy.kernels.langevin_mixture import mixture_density, mixture_table
from pm_energy.kernels.langevin_network import network_density, network_table
from pm_energy.sampling.langevin_lanes import unroll
from pm_energy.structure import flatten, leaf_specs, unflatten


class BatchDensity:
    """Score ``-beta dE/dx`` and log-density ``-beta E`` at a block of points, shape (d, B).

    Attributes
    ----------
    address : int or None
        Of native code ``f(double *state, double beta, int64 *table, double *out)``. The state is
        (d, B) and as long as ``out`` from ``out[2]`` on, which gets scores (d, B) and, if wanted,
        log-densities (B,); what follows is memory to work in. None: call the object,
        ``score, log_density = density(x, beta)``.
    table : ndarray of int64 or None
        That length, and the addresses of parameters.
    road : str
        What evaluates it.
    uses_blas : bool
        Whether it does so by products of matrices.
    """

    def __init__(self, road, function, table=None, kept=(), uses_blas=False):
        self.road, self.table, self._function, self._kept = road, table, function, kept
        self.uses_blas = uses_blas
        self.address = None if table is None else function.address

    def __call__(self, x, beta):
        """Evaluate in Python."""
        return self._function(x, beta)


def make_density(energy, n_chains, with_log_density):
    """Find the fastest way to evaluate an energy at blocks of points.

    Parameters
    ----------
    energy : Energy
        Over one block of real units, with numeric parameters.
    n_chains : int
        B, points of a block.
    with_log_density : bool

    Returns
    -------
    BatchDensity

    Raises
    ------
    ValueError
        If a parameter is not a number.
    """
    structure, leaves = flatten(energy)
    values = [np.asarray(value, order="C") for value in numeric_leaves(leaves)]
    if type(energy) is GaussianMixtureEnergy:
        return _mixture(energy, n_chains, with_log_density)
    if type(energy) is NeuralEnergy:
        return _network(energy, n_chains, with_log_density)
    size = (_dimension(energy) + with_log_density) * n_chains
    try:
        unrolled = _unrolled(structure, with_log_density)
    except (NotNative, TypeError):
        pass  # the slower way knows all operations
    else:
        parts = [np.ravel(value).astype(float) for value in values]
        numbers = np.concatenate([*parts, np.zeros(1)])  # there is an address, always
        table = np.array([size, n_chains, numbers.ctypes.data, numbers.size], dtype=np.int64)
        return BatchDensity("unrolled gradient", unrolled, table, numbers)
    try:
        native = _native(structure, n_chains, with_log_density)
    except NotNative:
        function = _batched(structure, n_chains, with_log_density)
        return BatchDensity("compiled gradient", _called(function, values))
    rows = [(value.ctypes.data, *value.shape) for value in values]
    table = np.array([size, *(n for row in rows for n in row)], dtype=np.int64)
    return BatchDensity("native gradient", native, table, values)


def _dimension(energy):
    return math.prod(single_block(energy).shape)


@lru_cache(maxsize=64)
def _unrolled(structure, with_log_density):
    leaves, energy = _symbolic(structure)
    return compile_lanes(*unroll(energy, leaves, _dimension(energy), with_log_density))


@lru_cache(maxsize=64)
def _native(structure, n_chains, with_log_density):
    leaves, energy = _symbolic(structure)
    d = _dimension(energy)
    state = pt.tensor("state", dtype="float64", shape=((d + with_log_density) * n_chains,))
    beta = pt.scalar("beta", dtype="float64")
    x = state[: d * n_chains].reshape((d, n_chains))
    parts = [part.flatten() for part in _graphs(energy, x, beta)[: 1 + with_log_density]]
    zero = pt.zeros((), dtype="float64")
    out = pt.concatenate(parts) if with_log_density else parts[0]
    return compile_native(state, beta, leaves, [zero, zero, out])


@lru_cache(maxsize=64)
def _batched(structure, n_chains, with_log_density):
    leaves, energy = _symbolic(structure)
    x = pt.tensor("x", dtype="float64", shape=(_dimension(energy), n_chains))
    beta = pt.scalar("beta", dtype="float64")
    outputs = _graphs(energy, x, beta)[: 1 + with_log_density]
    return compile_function([x, beta, *leaves], outputs)


def _called(function, values):
    def evaluate(x, beta):
        score, *log_density = function(x, np.asarray(beta), *values)
        return np.ascontiguousarray(score), (log_density[0] if log_density else np.empty(0))

    return evaluate


def _symbolic(structure):
    leaves = [pt.tensor(dtype=leaf.dtype, shape=leaf.shape) for leaf in leaf_specs(structure)]
    return leaves, unflatten(structure, leaves)


def _graphs(energy, x, beta):
    """Scores (d, B) and log-densities (B,)."""
    rows = x.T.reshape((x.type.shape[1], *single_block(energy).shape))
    score = beta * field(energy, rows)
    return score.reshape(x.type.shape[::-1]).T, -beta * energy(rows)


def _mixture(energy, n_chains, with_log_density):
    weights, means, covariances = numeric_leaves(
        [pt.as_tensor(v) for v in (energy.weights, energy.means, energy.covariances)]
    )
    k, d = means.shape
    if covariances.ndim == 3:
        precision = np.linalg.inv(covariances)
        log_det = np.linalg.slogdet(covariances)[1]
    else:
        each = covariances[:, None] if covariances.ndim == 1 else covariances
        variance = np.broadcast_to(each, (k, d))
        precision, log_det = 1.0 / variance, np.log(variance).sum(axis=1)
    log_weight = np.log(weights) - 0.5 * (log_det + d * np.log(2 * np.pi))
    arrays = [np.ascontiguousarray(a, dtype=float) for a in (log_weight, means, precision)]
    table = mixture_table(n_chains, *arrays, with_log_density)
    return BatchDensity("mixture kernel", mixture_density(), table, arrays)


def _network(energy, n_chains, with_log_density):
    """In float32 where nobody asks for log-densities, that is, without a Metropolis test."""
    energy = energy.without_context()
    depth, d = len(energy.biases), _dimension(energy)
    parts = [*energy.weights, *energy.biases, energy.location, energy.scale, energy.confinement]
    values = numeric_leaves([pt.as_tensor(part) for part in parts])
    *layers, location, scale, confinement = values
    bowl = np.broadcast_to(location, d), np.broadcast_to(scale, d), confinement
    dtype = "float64" if with_log_density else "float32"
    table, kept = network_table(
        n_chains, layers[: depth + 1], layers[depth + 1 :], energy.activation, bowl, dtype,
        with_log_density,
    )  # fmt: skip
    return BatchDensity("network kernel", network_density(dtype), table, kept, uses_blas=True)
