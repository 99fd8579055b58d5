"""Two-state units with pair couplings: all states at once."""

import numpy as np

from pm_energy.domains import Spin
from pm_energy.kernels.descent import dense_descent, sparse_descent
from pm_energy.kernels.gibbs_sparse import sparse_field, sparse_sweeps
from pm_energy.walkers.moves import Moves


class SpinMoves(Moves):
    """Kernels for spins on a graph.

    Parameters
    ----------
    energy : Energy
    graph : SpinGraph
    weights : ndarray, shape (2, *event_shape), optional
        Those that are part of the graph's biases.
    """

    def __init__(self, energy, graph, weights=None):
        super().__init__(energy, weights)
        self.graph = graph
        self.road = "spins"

    def __reduce__(self):
        return type(self), (self.energy, self.graph, self.weights)

    def spins(self, x):
        """States as spins, shape (B, n)."""
        flat = x.reshape(len(x), -1)
        return flat if isinstance(self.block.domain, Spin) else 2 * flat - 1

    def store(self, spins, x):
        """Write spins into states."""
        flat = x.reshape(len(x), -1)
        if spins is not flat:
            flat[...] = spins if isinstance(self.block.domain, Spin) else (spins + 1) // 2

    def sweep(self, rng, x, betas, n_sweeps=1):
        """Sweep all rows."""
        g, spins = self.graph, self.spins(x)
        for row, beta in zip(spins, betas, strict=True):
            sparse_sweeps(
                rng, row, g.indptr, g.indices, beta * g.coupling, beta * g.bias,
                np.arange(g.n), n_sweeps,
            )  # fmt: skip
        self.store(spins, x)

    def descend(self, x):
        """Flip spins, in place, until no flip of one lowers the energy."""
        spins = self.spins(x)
        self._descent(spins)
        self.store(spins, x)

    def _descent(self, spins):
        g = self.graph
        if g.is_dense:
            return dense_descent(spins, g.matrix, g.bias)
        return sparse_descent(spins, g.indptr, g.indices, g.coupling, g.bias)

    def costs(self, x):
        """Changes of the energy by each flip, shape (B, n)."""
        g, spins = self.graph, self.spins(x)
        if g.is_dense:
            return spins * (spins @ g.matrix + g.bias)
        rows = g.indptr, g.indices, g.coupling, g.bias
        return spins * np.array([sparse_field(row, *rows) for row in spins])
