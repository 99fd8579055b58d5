"""Spins that are nearly all coupled: one state after the other, by rows of a matrix.

A visit costs one comparison and only a flip a pass over a row, so that in the cold, where few spins
flip, a sweep is faster than one of many states side by side.
"""

import numpy as np

from pm_energy.kernels.descent import dense_descent
from pm_energy.kernels.gibbs_dense import dense_field, dense_loop
from pm_energy.kernels.random import seed_words
from pm_energy.walkers.spin_moves import SpinMoves
from pm_energy.walkers.tempering import run_iterations


class DenseMoves(SpinMoves):
    """Kernels for spins with a matrix of couplings.

    Parameters
    ----------
    energy : Energy
    graph : SpinGraph
    weights : ndarray, shape (2, *event_shape), optional
        Those that are part of the graph's biases.
    """

    batch = 16
    updates_a_part = 2**24

    def __init__(self, energy, graph, weights=None):
        super().__init__(energy, graph, weights)
        self.road = f"sweeps of {graph.n} spins by a matrix of couplings"

    def sweep(self, rng, x, betas, n_sweeps=1):
        """Sweep all rows, each at its own beta."""
        self._run(rng, x, np.asarray(betas)[:, None], n_sweeps)

    def anneal(self, rng, x, schedule):
        """Sweep all rows once at each inverse temperature of a schedule."""
        self._run(rng, x, np.broadcast_to(schedule, (len(x), len(schedule))), 1)

    def _run(self, rng, x, betas, n_sweeps):
        """Sweep each row so often at each of its betas, shape (B, n_betas)."""
        spins, words = self.spins(x), seed_words(rng)
        field = self._field(spins)
        for s, f, own in zip(spins, field, betas, strict=True):
            for beta in own:
                dense_loop(words, s, f, self.graph.matrix, beta, n_sweeps)
        self.store(spins, x)

    def _field(self, spins):
        """Log-odds at beta = 1 (not by BLAS, whose threads fight for cores with other chains)."""
        return np.array([dense_field(s, self.graph.matrix, self.graph.bias) for s in spins])

    def temper(self, rng, x, betas, replica, n_iterations, *, n_sweeps=1, thin=1, first=0):
        """Run parallel tempering; the log-odds are carried along."""
        spins, words, matrix = np.array(self.spins(x)), seed_words(rng), self.graph.matrix
        field = self._field(spins)
        offset = self.log_ratio(x[:1])[0] - self._log_weight(spins[:1], field[:1])[0]

        def sweep(own):
            for s, f, beta in zip(spins, field, own, strict=True):
                dense_loop(words, s, f, matrix, beta, n_sweeps)
            return offset + self._log_weight(spins, field)

        def read(walkers):
            out = np.empty((len(walkers), *x.shape[1:]), x.dtype)
            self.store(spins[walkers], out)
            return out

        run = run_iterations(rng, sweep, read, betas, replica, n_iterations, thin, first)
        self.store(spins, x)
        return run

    def _log_weight(self, spins, field):
        """Log-probability of states at beta = 1, up to a constant."""
        return 0.25 * (spins * (field + self.graph.bias)).sum(axis=1)

    def descend(self, x):
        """Flip spins, in place, until no flip of one lowers the energy."""
        spins = self.spins(x)
        dense_descent(spins, self.graph.matrix, self.graph.bias)
        self.store(spins, x)

    def costs(self, x):
        """Changes of the energy by each flip, shape (B, n)."""
        spins = self.spins(x)
        return spins * self._field(spins)
