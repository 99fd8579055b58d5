"""Resampling: equal weights from unequal ones, by copies and deletions."""

import numpy as np
from numba import njit


def systematic(rng, weights, size=None):
    """Choose members of a population by their weights, with as little noise as possible.

    One random number places a comb of equally spaced teeth over the cumulative weights. The
    expected number of copies is exactly ``size * weights / sum(weights)``, and the number is that
    rounded down or up.

    Parameters
    ----------
    rng : numpy.random.Generator
    weights : ndarray, shape (n,)
        Non-negative, not necessarily normalised.
    size : int, optional
        How many to choose; n by default.

    Returns
    -------
    ndarray of int, shape (size,)
        Which member each new one is a copy of, in increasing order: copies of one member stay
        neighbours, so that the comb of the next step spreads over families as evenly as over
        members.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or all are zero.

    References
    ----------
    Kitagawa (1996), J. Comput. Graph. Stat. 5, 1-25. For population annealing: Gessert, Janke &
    Weigel (2023), Phys. Rev. E 108, 065309.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.kernels.resample import systematic
    >>> systematic(np.random.default_rng(0), np.array([0.25, 0.0, 0.5, 0.25]))
    array([0, 2, 2, 3])
    """
    weights = np.ascontiguousarray(weights, dtype=np.float64)
    positive = np.flatnonzero(weights)
    if not (np.isfinite(weights).all() and (weights >= 0).all() and positive.size):
        raise ValueError("weights must be finite, none negative and not all zero")
    size = len(weights) if size is None else size
    return _comb(rng.random(), np.cumsum(weights), positive[-1], size)


@njit(cache=True)
def _comb(offset, cumulative, last, size):
    chosen = np.empty(size, np.int64)
    gap = cumulative[last] / size
    i = 0
    for tooth in range(size):
        place = (offset + tooth) * gap
        while i < last and cumulative[i] <= place:  # rounding may put a tooth at the very end
            i += 1
        chosen[tooth] = i
    return chosen
