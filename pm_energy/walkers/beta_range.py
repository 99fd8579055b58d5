"""Between which inverse temperatures an energy is worth annealing: read off its own costs."""

import numpy as np

PROBES = 32
HOT = 0.5  # probability of the costliest change of one unit at the hot end
COLD = 0.01  # expected number of a sweep's changes against the smallest gap at the cold end
LOW_GAP = 0.1  # quantile of the gaps that counts as the smallest
_SEED = 20  # of the probes: a range belongs to an energy, not to a run


def beta_range(moves):
    """Return the hot and the cold end of an annealing schedule.

    At the hot end a change of one unit that costs D, the largest of random states, is made with
    probability ``exp(-beta D)`` of one half. At the cold end one that costs g, a small gap of local
    minima, is made with a probability of 1% divided by the number of units. Where gaps form a
    continuum the smallest says nothing, so g is their lowest tenth (without those of zero): what is
    below it is left to a descent in the end.

    Parameters
    ----------
    moves : Moves

    Returns
    -------
    hot, cold : float

    Raises
    ------
    ValueError
        If no energy is finite.

    Examples
    --------
    >>> import pm_energy as pme
    >>> from pm_energy.walkers.choose_moves import moves_of
    >>> hot, cold = beta_range(moves_of(pme.Ising(lattice=(8, 8))))
    >>> round(hot, 3), round(cold, 3)  # log(2) / 8 and log(6400) / 4
    (0.087, 2.191)
    """
    rng = np.random.default_rng(_SEED)
    x = moves.draw(rng, PROBES)
    high = np.abs(_finite(moves.costs(x)))
    moves.descend(x)
    gaps = _finite(moves.costs(x))
    if not high.size or not gaps.size:
        raise ValueError(
            "the energy is not finite at random states, so no range of inverse temperatures can "
            "be found: give beta_range=(hot, cold), or an energy that is a number everywhere"
        )
    largest = high.max()
    gaps = gaps[gaps > 1e-9 * largest]
    if not gaps.size:  # a flat energy, or minima that are flat: any end will do
        gaps = np.array([largest if largest > 0 else 1.0])
    hot = -np.log(HOT) / max(largest, gaps.max())
    cold = np.log(x[0].size / COLD) / np.quantile(gaps, LOW_GAP)
    return float(hot), float(cold)


def _finite(costs):
    return costs[np.isfinite(costs)]
