"""Hamiltonian Monte Carlo of walkers at different temperatures."""

import math

import numpy as np
from numba import njit

from pm_energy.kernels.inner import inner
from pm_energy.kernels.native import call_native, possible, tempered
from pm_energy.kernels.variates import fill_normal, streams, uniform


def hmc_moves(rng, density, walkers, scale, step, time, most_steps):
    """Follow one trajectory from each walker and accept or reject its end, in place.

    Time is drawn between half and three halves of ``time``, else periodic motion might come back
    to where it was. One step a trajectory is the Metropolis-adjusted Langevin algorithm.

    Parameters
    ----------
    rng : numpy.random.Generator
    density : NativeDensity
        With gradient.
    walkers : tuple of (x, log_base, log_ratio, betas, levels)
        States (n, d), their log-densities (n,), inverse temperatures (n,) and levels (n,). Those
        at level -1 stay where they are.
    scale : ndarray, shape (n_levels, d, d) or (n_levels, d)
        For each level a lower triangular S, or its diagonal: the inverse mass is S S^T.
    step : ndarray, shape (n_levels,)
        Step sizes, in the unit of time: with S S^T the covariance, states move about one standard
        deviation in a unit of time.
    time : float
    most_steps : int
        Where steps are small, trajectories end early.

    Returns
    -------
    ndarray, shape (n,)
        Acceptance probabilities; NaN of those that stay.

    References
    ----------
    Duane, Kennedy, Pendleton & Roweth (1987), Physics Letters B 195, 216-222; Neal (2011), Handbook
    of Markov Chain Monte Carlo, chapter 5.
    """
    words, accepted = streams(rng, len(walkers[0])), np.full(len(walkers[0]), np.nan)
    _hmc_moves(
        words, density.address, density.table, *walkers, scale, step, time, most_steps, accepted
    )
    return accepted


@njit(cache=True)
def _hmc_moves(
    words, address, table, x, log_base, log_ratio, betas, levels, scale, step, time, most_steps,
    accepted,
):  # fmt: skip
    d = x.shape[1]
    y, p, out = np.empty(d), np.empty(d), np.empty(2 + d)
    for i in range(len(x)):
        w, beta, k = words[i], betas[i], levels[i]
        if k < 0:
            continue
        eps = step[k]
        y[:] = x[i]
        call_native(address, y, beta, table, out)  # a gradient kept may be at another beta
        fill_normal(w, p)
        before = 0.5 * np.dot(p, p) - tempered(out[0], out[1], beta)
        n_steps = max(1, min(most_steps, math.ceil((0.5 + uniform(w)) * time / eps)))
        for _ in range(n_steps):
            _kick(p, scale[k], out, 0.5 * eps)
            _drift(y, scale[k], p, eps)
            call_native(address, y, beta, table, out)
            if tempered(out[0], out[1], beta) == -np.inf:
                break
            _kick(p, scale[k], out, 0.5 * eps)
        after = 0.5 * np.dot(p, p) - tempered(out[0], out[1], beta)
        accepted[i] = math.exp(min(0.0, before - after)) if after < np.inf else 0.0
        if uniform(w) < accepted[i]:
            x[i] = y
            log_base[i], log_ratio[i] = out[0], possible(out[1])


@inner(cache=True)
def _kick(p, scale, out, time):
    """p += time * S^T gradient."""
    for r in range(p.size):
        push = time * out[2 + r]
        if scale.ndim == 1:
            p[r] += scale[r] * push
        else:
            for c in range(r + 1):
                p[c] += scale[r, c] * push


@njit(cache=True)
def _drift(y, scale, p, time):
    """y += time * S p."""
    for r in range(y.size):
        if scale.ndim == 1:
            y[r] += time * scale[r] * p[r]
        else:
            total = 0.0
            for c in range(r + 1):
                total += scale[r, c] * p[c]
            y[r] += time * total
