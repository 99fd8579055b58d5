"""Slice sampling of walkers at different temperatures, along one direction after the other.

Neal's shrinkage (2003, Annals of Statistics 31, 705-767) from an interval of fixed length, several
times as long as the density is wide. Stepping out from a short one instead took half as many
evaluations again; and a long one reaches over to other modes, of which shrinkage takes its pick.
"""

import numpy as np
from numba import njit

from pm_energy.kernels.inner import inner
from pm_energy.kernels.native import call_native, possible, tempered
from pm_energy.kernels.variates import exponential, streams, uniform

LENGTH = 10.0  # of the interval, in standard deviations along the direction
SHORTEST = 1e-12  # an interval so short holds no state but the one that there was


def slice_moves(rng, density, walkers, spread, n_slices, *, in_turn=True):
    """Update each walker along ``n_slices`` directions, in place.

    Each time with even odds along a coordinate axis, where modes differ in one variable, or along
    a principal axis of the spread of states, where variables are correlated.

    Parameters
    ----------
    rng : numpy.random.Generator
    density : NativeDensity
    walkers : tuple of (x, log_base, log_ratio, betas, levels)
        States (n, d), their log-densities (n,), inverse temperatures (n,) and levels (n,). Those
        at level -1 stay where they are.
    spread : tuple of (sd, axes, weights)
        For each level: standard deviations (n_levels, d); principal axes, as long as the standard
        deviation along them (n_levels, m, d), m being d or, to do without, 0; cumulative shares of
        the axes in the variance (n_levels, m).
    n_slices : int
    in_turn : bool
        Whether axes take turns, from the first. Otherwise they are drawn: coordinates evenly,
        principal axes by their share in the variance.
    """
    words = streams(rng, len(walkers[0]))
    _slice_moves(words, density.address, density.table, *walkers, *spread, n_slices, in_turn)


@njit(cache=True)
def _slice_moves(
    words, address, table, x, log_base, log_ratio, betas, levels, sd, axes, weights, n_slices,
    in_turn,
):  # fmt: skip
    d = x.shape[1]
    start, axis, out = np.empty(d), np.empty(d), np.empty(2)
    for i in range(len(x)):
        w, beta, k = words[i], betas[i], levels[i]
        if k < 0:
            continue
        for s in range(n_slices):
            _choose_axis(w, s, in_turn, sd[k], axes[k], weights[k], axis)
            start[:] = x[i]
            height = tempered(log_base[i], log_ratio[i], beta) - exponential(w)
            left = -LENGTH * uniform(w)
            right = left + LENGTH
            while right - left > SHORTEST:
                t = left + (right - left) * uniform(w)
                for j in range(d):
                    x[i, j] = start[j] + t * axis[j]
                call_native(address, x[i], beta, table, out)
                there = tempered(out[0], out[1], beta)
                if there >= height and there > -np.inf:  # also where the start is impossible
                    log_base[i], log_ratio[i] = out[0], possible(out[1])
                    break
                if t < 0.0:
                    left = t
                else:
                    right = t
            else:
                x[i] = start


@inner(cache=True)
def _choose_axis(w, turn, in_turn, sd, axes, weights, axis):
    d = sd.size
    if len(axes) and uniform(w) < 0.5:
        j = turn % d if in_turn else min(np.searchsorted(weights, uniform(w)), d - 1)
        axis[:] = axes[j]
    else:
        j = turn % d if in_turn else int(d * uniform(w))
        axis[:] = 0.0
        axis[j] = sd[j]
