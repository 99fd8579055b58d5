"""Ladders of inverse temperatures: where levels stand, and how many there should be.

The rejection of a swap between neighbours adds up along the path to the *communication barrier*,
which does not depend on the ladder as long as it is fine. Levels at equal steps of it reject
equally often, which makes round trips as frequent as they can be [1]_.

References
----------
.. [1] Syed, Bouchard-Cote, Deligiannidis & Doucet (2022), JRSS B 84, 321-350.
"""

import numpy as np
from scipy.interpolate import PchipInterpolator

MIN_LEVELS = 4
MAX_LEVELS = 200
LEAST_REJECTION = 1e-3  # of a pair, so that levels do not fall together where nothing is rejected


def first_ladder(n_levels):
    """Return a ladder to begin with: the base, then geometric from 1e-4 to 1."""
    if n_levels == 2:
        return np.array([0.0, 1.0])
    return np.concatenate([[0.0], np.geomspace(1e-4, 1.0, n_levels - 1)])


def cumulative_barrier(rejection):
    """Return the barrier from the base to each level.

    Parameters
    ----------
    rejection : array_like, shape (..., n_levels - 1)
        Mean swap rejection of neighbours.

    Returns
    -------
    ndarray, shape (..., n_levels)
    """
    rejection = np.asarray(rejection, dtype=float)
    zero = np.zeros((*rejection.shape[:-1], 1))
    return np.concatenate([zero, np.cumsum(rejection, axis=-1)], axis=-1)


def equal_rejection_ladder(betas, rejection, n_levels=None):
    """Place levels at equal steps of the barrier.

    Parameters
    ----------
    betas : ndarray, shape (n_levels,)
        Increasing from 0 to 1.
    rejection : ndarray, shape (n_levels - 1,)
        Mean swap rejection of neighbours on that ladder.
    n_levels : int, optional
        How many levels to place; as many as there were by default.

    Returns
    -------
    ndarray, shape (n_levels,)

    References
    ----------
    Algorithm 4 of Syed et al. (2022), JRSS B 84, 321-350.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.paths.ladder import equal_rejection_ladder
    >>> equal_rejection_ladder(np.array([0, 0.5, 1]), np.array([0.1, 0.1]), 5)
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    n_levels = len(betas) if n_levels is None else n_levels
    barrier = cumulative_barrier(np.maximum(rejection, LEAST_REJECTION))
    wanted = np.linspace(0.0, barrier[-1], n_levels)
    ladder = PchipInterpolator(barrier, betas)(wanted)
    ladder[0], ladder[-1] = 0.0, 1.0
    return ladder


def levels_for(barrier):
    """Return how many levels suit a path of a given barrier.

    With twice the barrier of levels, neighbours reject about half of their swaps: the most round
    trips for the work, if replicas are moved one after the other (Syed et al. 2022, section 5).

    Examples
    --------
    >>> from pm_energy.paths.ladder import levels_for
    >>> levels_for(3.2)
    8
    """
    return int(np.clip(np.ceil(2.0 * barrier) + 1, MIN_LEVELS, MAX_LEVELS))
