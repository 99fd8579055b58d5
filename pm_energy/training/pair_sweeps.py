"""Gibbs sweeps of many chains of the same spins, side by side."""

import numpy as np

from pm_energy.kernels.lanes_graph import LANES, lanes_graph, pack_lanes, unpack_lanes
from pm_energy.kernels.lanes_sweeps import lanes_sweeps


def draw_spins(rng, means):
    """Draw spins, int8, with the given means."""
    return np.where(rng.random(means.shape) < (1 + means) / 2, 1, -1).astype(np.int8)


def sweep_spins(rng, spins, graph, coupling, field, n_sweeps=1, beta=1.0, free=None):
    """Resample spins one by one, in place.

    Parameters
    ----------
    rng : numpy.random.Generator
    spins : ndarray of int8, shape (n_chains, n)
    graph : tuple of ndarray
        As from :func:`pm_energy.energies.sites.neighbours`.
    coupling, field : ndarray of float64, shape (m,) and (n,)
    n_sweeps : int
    beta : float or ndarray, shape (n_chains,)
        Inverse temperature.
    free : ndarray of int, optional
        The units that move; all by default.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.energies.sites import neighbours
    >>> spins = np.array([[1, -1], [-1, 1]], np.int8)
    >>> graph = neighbours(np.array([[0, 1]]), 2)
    >>> rng, strong, free = np.random.default_rng(0), np.array([50.0]), np.array([1])
    >>> sweep_spins(rng, spins, graph, strong, np.zeros(2), free=free)
    >>> spins
    array([[ 1,  1],
           [-1, -1]], dtype=int8)
    """
    indptr, indices, bond = graph
    lanes = lanes_graph(indptr, indices, 2 * coupling[bond], 2 * field, free)
    padded = np.ones((-(-len(spins) // LANES) * LANES, len(field)), np.int8)
    padded[: len(spins)] = spins
    betas = np.zeros(len(padded))
    betas[: len(spins)] = beta
    state = pack_lanes(padded)
    lanes_sweeps(rng, state, lanes, betas, n_sweeps)
    spins[...] = unpack_lanes(state)[: len(spins)]
