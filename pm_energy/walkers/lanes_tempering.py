"""Parallel tempering of spins whose states stay in their lanes, any ladder for each chain."""

import numpy as np

from pm_energy.kernels.lanes_energies import lanes_energies
from pm_energy.kernels.lanes_graph import LANES
from pm_energy.kernels.lanes_sweeps import lanes_sweeps
from pm_energy.walkers.tempering import run_iterations


def temper_lanes(moves, rng, x, betas, replica, n_iterations, *, n_sweeps=1, thin=1, first=0):
    """Run parallel tempering; see :func:`pm_energy.walkers.tempering.temper`.

    Parameters
    ----------
    moves : SpinMoves
    """
    state = moves.pack(x)
    lane_betas = np.zeros(len(state) * LANES)
    offset = moves.log_ratio(x[:1])[0] + lanes_energies(state, moves.lanes)[0]

    def sweep(own):
        lane_betas[: len(x)] = own
        lanes_sweeps(rng, state, moves.lanes, lane_betas, n_sweeps, "metropolis")
        return offset - lanes_energies(state, moves.lanes)[: len(x)]

    def read(walkers):
        out = np.empty((len(walkers), *x.shape[1:]), x.dtype)
        column, lane = np.divmod(walkers, LANES)
        moves.store(state[column, :, lane].astype(np.int8), out)
        return out

    run = run_iterations(rng, sweep, read, betas, replica, n_iterations, thin, first)
    moves.unpack(state, x)
    return run
