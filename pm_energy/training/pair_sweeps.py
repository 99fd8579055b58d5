"""Gibbs sweeps of many chains of the same spins, side by side."""

import numpy as np

from pm_energy.energies.sites import neighbours
from pm_energy.kernels.lanes_graph import (
    LANES,
    SITES_AT_ONCE,
    DenseLanes,
    lanes_graph,
    pack_lanes,
    unpack_lanes,
)
from pm_energy.kernels.lanes_sweeps import lanes_sweeps
from pm_energy.kernels.lanes_vector import empty_on_cache_lines

LARGEST = 1e30  # coupling or field that float32 can hold with room to spare


def draw_spins(rng, means):
    """Draw spins, int8, with the given means."""
    return np.where(rng.random(means.shape) < (1 + means) / 2, 1, -1).astype(np.int8)


class SpinSweeps:
    """Gibbs sweeps of spins on a graph.

    Parameters
    ----------
    edges : ndarray of int, shape (m, 2)
    n : int

    Examples
    --------
    >>> import numpy as np
    >>> spins = np.array([[1, -1], [-1, 1]], np.int8)
    >>> sweeps = SpinSweeps(np.array([[0, 1]]), 2)
    >>> rng, strong, free = np.random.default_rng(0), np.array([50.0]), np.array([1])
    >>> sweeps(rng, spins, strong, np.zeros(2), free=free)
    >>> spins
    array([[ 1,  1],
           [-1, -1]], dtype=int8)
    """

    def __init__(self, edges, n):
        self.rows = neighbours(edges, n)
        self._layout = self._lay_out(np.ones(len(edges)), np.zeros(n), None)
        self._places = None  # of the couplings in a table of blocks
        if isinstance(self._layout, DenseLanes):
            indptr, j, _ = self.rows
            i = np.repeat(np.arange(n), np.diff(indptr))
            self._places = (j // SITES_AT_ONCE * n + i) * SITES_AT_ONCE + j % SITES_AT_ONCE

    def __call__(self, rng, spins, coupling, field, n_sweeps=1, beta=1.0, free=None):
        """Resample spins one by one, in place.

        Beyond any sensible number, or with NaN, they stay as they are: learning has diverged, and
        the fit loop will say so.

        Parameters
        ----------
        rng : numpy.random.Generator
        spins : ndarray of int8, shape (n_chains, n)
        coupling, field : ndarray of float64, shape (m,) and (n,)
        n_sweeps : int
        beta : float or ndarray, shape (n_chains,)
            Inverse temperature.
        free : ndarray of int, optional
            The units that move; all by default.
        """
        if not max(np.abs(v).max(initial=0.0) for v in (coupling, field)) < LARGEST:
            return
        padded = np.ones((-(-len(spins) // LANES) * LANES, len(field)), np.int8)
        padded[: len(spins)] = spins
        betas = np.zeros(len(padded))
        betas[: len(spins)] = beta
        state = pack_lanes(padded)
        lanes_sweeps(rng, state, self._graph(coupling, field, free), betas, n_sweeps)
        spins[...] = unpack_lanes(state)[: len(spins)]

    def _graph(self, coupling, field, free):
        """What a heat bath reads of a graph; to lay it out afresh would cost more than a sweep."""
        if free is not None:
            return self._lay_out(coupling, field, free)
        strengths = (2 * coupling)[self.rows[2]].astype(np.float32)
        if self._places is not None:
            blocks = empty_on_cache_lines(self._layout.coupling.shape, np.float32)
            blocks[...] = 0
            blocks.reshape(-1)[self._places] = strengths
            strengths = blocks
        return self._layout._replace(coupling=strengths, bias=(2 * field).astype(np.float32))

    def _lay_out(self, coupling, field, free):
        indptr, indices, bond = self.rows
        return lanes_graph(indptr, indices, (2 * coupling)[bond], 2 * field, free)
