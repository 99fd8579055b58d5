"""Two-state units with pair couplings: all states at once, as lanes of SIMD."""

from functools import cached_property

import numpy as np

from pm_energy.domains import Spin
from pm_energy.kernels.descent import sparse_descent
from pm_energy.kernels.gibbs_sparse import sparse_field
from pm_energy.kernels.lanes_anneal import lanes_anneal
from pm_energy.kernels.lanes_graph import LANES, lanes_graph, pack_lanes, unpack_lanes
from pm_energy.kernels.lanes_sweeps import lanes_sweeps
from pm_energy.walkers.lanes_tempering import temper_lanes
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

    batch = 4 * LANES
    updates_a_part = 2**25

    def __init__(self, energy, graph, weights=None):
        super().__init__(energy, weights)
        self.graph = graph
        self.road = f"sweeps of {graph.n} spins, {LANES} states side by side"

    def __reduce__(self):
        return type(self), (self.energy, self.graph, self.weights)

    @cached_property
    def lanes(self):
        """The graph of the kernels."""
        return lanes_graph(*self.graph.rows, self.graph.bias)

    def spins(self, x):
        """States as spins, shape (B, n)."""
        flat = x.reshape(len(x), -1)
        return flat if isinstance(self.block.domain, Spin) else 2 * flat - 1

    def store(self, spins, x):
        """Write spins into states."""
        flat = x.reshape(len(x), -1)
        if spins is not flat:
            flat[...] = spins if isinstance(self.block.domain, Spin) else (spins + 1) // 2

    def pack(self, x):
        """States in lanes, shape (n_columns, n, 32); those that are missing are all +1."""
        padded = np.ones((-(-len(x) // LANES) * LANES, self.graph.n), np.int8)
        padded[: len(x)] = self.spins(x)
        return pack_lanes(padded)

    def unpack(self, state, x):
        """Write lanes into states."""
        self.store(unpack_lanes(state)[: len(x)], x)

    def sweep(self, rng, x, betas, n_sweeps=1):
        """Sweep all rows, each at its own beta."""
        state = self.pack(x)
        padded = np.zeros(len(state) * LANES)
        padded[: len(x)] = betas
        lanes_sweeps(rng, state, self.lanes, padded, n_sweeps)
        self.unpack(state, x)

    def anneal(self, rng, x, schedule):
        """Sweep all rows once at each inverse temperature of a schedule."""
        state = self.pack(x)
        lanes_anneal(rng, state, self.lanes, schedule, descend=False)
        self.unpack(state, x)

    def temper(self, rng, x, betas, replica, n_iterations, **how):
        """Run parallel tempering, with the states in their lanes all the time."""
        return temper_lanes(self, rng, x, betas, replica, n_iterations, **how)

    def descend(self, x):
        """Flip spins, in place, until no flip of one lowers the energy."""
        spins = self.spins(x)
        sparse_descent(spins, *self.graph.rows, self.graph.bias)
        self.store(spins, x)

    def costs(self, x):
        """Changes of the energy by each flip, shape (B, n)."""
        spins = self.spins(x)
        return spins * np.array([sparse_field(s, *self.graph.rows, self.graph.bias) for s in spins])
