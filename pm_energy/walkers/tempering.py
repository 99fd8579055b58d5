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

    def sweep(own):
        moves.sweep(rng, x, own, n_sweeps)
        return moves.log_ratio(x)

    return run_iterations(rng, sweep, x.__getitem__, betas, replica, n_iterations, thin, first)


def run_iterations(rng, sweep, read, betas, replica, n_iterations, thin, first):
    """Sweep and swap, whatever holds the states.

    Parameters
    ----------
    rng : numpy.random.Generator
    sweep : callable
        ``sweep(own)`` moves each walker at its own inverse temperature, an array (n_walkers,), and
        returns their log-ratios.
    read : callable
        ``read(walkers)`` returns the states of some.
    betas, replica, n_iterations, thin, first
        As for :func:`temper`.

    Returns
    -------
    Tempering
    """
    n_chains, n_levels = betas.shape
    first_walker = n_levels * np.arange(n_chains)
    own = np.empty_like(betas)
    kept_ratio, kept_replica, kept_states = [], [], []
    acceptance = np.zeros((n_chains, n_levels - 1))
    for t in range(n_iterations):
        np.put_along_axis(own, replica, betas, axis=1)
        by_walker = sweep(own.ravel()).reshape(betas.shape)
        log_ratio = np.take_along_axis(by_walker, replica, axis=1)
        acceptance += swap(rng, betas, log_ratio, replica, (first + t) % 2)
        if (t + 1) % thin == 0:
            kept_ratio.append(log_ratio)
            kept_replica.append(replica.copy())
            kept_states.append(read(first_walker + replica[:, -1]))
    return Tempering(
        np.array(kept_ratio),
        np.array(kept_replica),
        np.array(kept_states),
        acceptance / n_iterations,
    )


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


def mean_acceptance(ladder, log_ratio, replica, began, first):
    """Return the mean acceptance probabilities of a run of which the outcome of swaps is known.

    Parameters
    ----------
    ladder : ndarray, shape (n_levels,)
    log_ratio, replica : ndarray, shape (n_iterations, n_chains, n_levels)
        After each iteration.
    began : ndarray of int, shape (n_chains, n_levels)
        Which walker sat at each level before them.
    first : int
        As for :func:`temper`.

    Returns
    -------
    ndarray, shape (n_chains, n_levels - 1)
    """
    earlier = np.concatenate([began[None], replica[:-1]])
    before = log_ratio.copy()
    for parity in (0, 1):
        t = slice((parity - first) % 2, None, 2)
        lower, upper = slice(parity, -1, 2), slice(parity + 1, None, 2)
        swapped = replica[t, :, lower] != earlier[t, :, lower]
        before[t, :, lower] = np.where(swapped, log_ratio[t, :, upper], log_ratio[t, :, lower])
        before[t, :, upper] = np.where(swapped, log_ratio[t, :, lower], log_ratio[t, :, upper])
    log_r = np.diff(ladder) * (before[..., :-1] - before[..., 1:])
    return np.exp(np.minimum(0.0, log_r)).mean(axis=0)
