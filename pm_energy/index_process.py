"""The index process of tempering: which walker is at which level, and how it travels.

A walker that goes from the base to the target and back forgets where it was: round trips are what
tempering is done for.
"""

import numpy as np


def walker_levels(replica):
    """Level of each walker from the walker at each level, (chain, draw, level).

    Returns
    -------
    ndarray (chain, draw, walker)

    Raises
    ------
    ValueError
        If some walker is missing at a draw.
    """
    levels = np.argsort(replica, axis=-1)
    if not (np.take_along_axis(replica, levels, -1) == np.arange(replica.shape[-1])).all():
        raise ValueError("replica must hold each of 0, ..., n_levels - 1 once at each draw")
    return levels


def completed_trips(levels, top):
    """Where a walker completes a round trip: base to target and back to the base.

    Parameters
    ----------
    levels : ndarray of int (chain, draw, ...)
        Level of each walker.
    top : int
        Level of the target.

    Returns
    -------
    ndarray of bool, like levels
        True at the arrival at the base. What came before the first visit to the base is no trip.
    """
    n = levels.shape[1]
    time = np.arange(n).reshape(n, *[1] * (levels.ndim - 2))
    last = np.maximum.accumulate(np.where((levels == 0) | (levels == top), time, -1), axis=1)
    before = np.concatenate([np.full_like(last[:, :1], -1), last[:, :-1]], axis=1)
    from_top = (np.take_along_axis(levels, np.maximum(before, 0), axis=1) == top) & (before >= 0)
    arrives = (levels == 0) & from_top
    based = np.logical_or.accumulate(levels == 0, axis=1)
    left_before = np.take_along_axis(based, np.maximum(before, 0), axis=1)
    return arrives & left_before


def round_trip_bound(rejection):
    r"""Largest rate of round trips that swaps of a given rejection allow.

    .. math:: \tau = \frac{1}{2 + 2 \sum_k r_k / (1 - r_k)}

    trips a swap round, over all walkers: that of alternating even and odd swaps if moves within a
    level made independent draws [1]_.

    Parameters
    ----------
    rejection : ndarray (..., pair)

    Returns
    -------
    ndarray (...)

    References
    ----------
    .. [1] Syed, Bouchard-Cote, Deligiannidis & Doucet (2022), JRSS B 84, 321-350.
    """
    with np.errstate(divide="ignore"):
        odds = rejection / (1 - rejection)
    return 1 / (2 + 2 * odds.sum(-1))


def swap_probability(beta, log_ratio):
    """Probability of accepting a swap of neighbouring levels, at each draw.

    Parameters
    ----------
    beta : ndarray (chain, level)
    log_ratio : ndarray (chain, draw, level)

    Returns
    -------
    ndarray (chain, draw, pair)
    """
    with np.errstate(invalid="ignore"):
        change = np.diff(beta)[:, None] * (log_ratio[..., :-1] - log_ratio[..., 1:])
    return np.exp(np.minimum(np.where(np.isnan(change), -np.inf, change), 0))
