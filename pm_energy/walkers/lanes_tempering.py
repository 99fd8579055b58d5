"""Parallel tempering of spins whose states stay in their lanes, any ladder for each chain."""

import numpy as np

from pm_energy.kernels.lanes_energies import sum_energies
from pm_energy.kernels.lanes_graph import LANES
from pm_energy.kernels.lanes_sweeps import seed_lanes, sweep_lanes
from pm_energy.walkers.tempering import run_iterations


def temper_lanes(moves, rng, x, betas, replica, n_iterations, *, n_sweeps=1, thin=1, first=0):
    """Run parallel tempering; see :func:`pm_energy.walkers.tempering.temper`.

    Parameters
    ----------
    moves : SpinMoves
    """
    state = moves.pack(x)
    words = seed_lanes(rng, len(state))
    lane_betas = np.zeros(len(state) * LANES, np.float32)
    energy = np.empty(len(state) * LANES)
    sum_energies(energy, state, moves.lanes)
    offset = moves.log_ratio(x[:1])[0] + energy[0]

    def sweep(own):
        lane_betas[: len(x)] = own
        sweep_lanes(words, state, moves.lanes, lane_betas, n_sweeps)
        sum_energies(energy, state, moves.lanes)
        return offset - energy[: len(x)]

    def read(walkers):
        out = np.empty((len(walkers), *x.shape[1:]), x.dtype)
        column, lane = np.divmod(walkers, LANES)
        moves.store(state[column, :, lane].astype(np.int8), out)
        return out

    run = run_iterations(rng, sweep, read, betas, replica, n_iterations, thin, first)
    moves.unpack(state, x)
    return run
