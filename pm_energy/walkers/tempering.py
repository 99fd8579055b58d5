"""Parallel tempering of one energy, many ladders at once.

Local moves, then swaps of neighbours, even and odd pairs in turn [1]_.

References
----------
.. [1] Syed, Bouchard-Cote, Deligiannidis & Doucet (2022), JRSS B 84, 321-350.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(eq=False)
class Tempering:
    """What a stretch of parallel tempering leaves behind.

    Attributes
    ----------
    log_ratio : ndarray, shape (n_kept, n_chains, n_levels)
        Of the state at each level, after moves and swaps of a kept iteration.
    replica : ndarray of int, shape (n_kept, n_chains, n_levels)
        Which walker of its chain sits at the level.
    states : ndarray, shape (n_kept, n_chains, *event_shape)
        Those at beta = 1.
    acceptance : ndarray, shape (n_chains, n_levels - 1)
        Mean over all iterations of ``min(1, ratio)`` of each pair of neighbours.
    """

    log_ratio: np.ndarray
    replica: np.ndarray
    states: np.ndarray
    acceptance: np.ndarray


def temper(moves, rng, x, betas, replica, n_iterations, *, n_sweeps=1, thin=1, first=0):
    """Run parallel tempering by any moves.

    Parameters
    ----------
    moves : Moves
    rng : numpy.random.Generator
    x : ndarray, shape (n_chains * n_levels, *event_shape)
        Walker after walker, chain after chain; overwritten.
    betas : ndarray, shape (n_chains, n_levels)
        Ladders.
    replica : ndarray of int, shape (n_chains, n_levels)
        Which walker of its chain sits at each level; overwritten.
    n_iterations : int
    n_sweeps : int
        Sweeps between swaps.
    thin : int
        Every so manieth iteration is kept.
    first : int
        Number of iterations before these: even ones try the pairs (0, 1), (2, 3), ..., odd ones the
        others.

    Returns
    -------
    Tempering
    """
    n_chains, n_levels = betas.shape
    kept = range(thin - 1, n_iterations, thin)
    chains = np.arange(n_chains)
    out = Tempering(
        np.empty((len(kept), n_chains, n_levels)),
        np.empty((len(kept), n_chains, n_levels), dtype=np.int64),
        np.empty((len(kept), n_chains, *x.shape[1:]), dtype=x.dtype),
        np.zeros((n_chains, n_levels - 1)),
    )
    own = np.empty_like(betas)  # beta of each walker
    by_walker = x.reshape(n_chains, n_levels, *x.shape[1:])
    for t in range(n_iterations):
        np.put_along_axis(own, replica, betas, axis=1)
        moves.sweep(rng, x, own.ravel(), n_sweeps)
        log_ratio = moves.log_ratio(x).reshape(n_chains, n_levels)
        log_ratio = np.take_along_axis(log_ratio, replica, axis=1)
        out.acceptance += swap(rng, betas, log_ratio, replica, (first + t) % 2)
        if (t + 1) % thin == 0:
            k = t // thin
            out.log_ratio[k], out.replica[k] = log_ratio, replica
            out.states[k] = by_walker[chains, replica[:, -1]]
    out.acceptance /= max(n_iterations, 1)
    return out


def swap(rng, betas, log_ratio, replica, parity):
    """Try the pairs of one parity, in place; return the acceptance probabilities of all pairs.

    Parameters
    ----------
    rng : numpy.random.Generator
    betas : ndarray, shape (n_chains, n_levels)
    log_ratio : ndarray, shape (n_chains, n_levels)
        Of the state at each level; overwritten.
    replica : ndarray of int, shape (n_chains, n_levels)
        Overwritten.
    parity : {0, 1}
        Of the lower level of the pairs.
    """
    with np.errstate(invalid="ignore"):
        log_r = np.diff(betas, axis=1) * (log_ratio[:, :-1] - log_ratio[:, 1:])
    log_r[np.isnan(log_r)] = -np.inf  # both states are impossible
    with np.errstate(divide="ignore"):
        accepted = np.log(rng.random(log_r.shape)) < log_r
    accepted[:, 1 - parity :: 2] = False
    chain, k = np.nonzero(accepted)
    for table in (log_ratio, replica):
        table[chain, k], table[chain, k + 1] = table[chain, k + 1], table[chain, k]
    return np.exp(np.minimum(0.0, log_r))
