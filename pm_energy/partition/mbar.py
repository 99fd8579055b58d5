"""MBAR: the draws of all levels at once, and the bridge between neighbours as its smallest case."""

import numpy as np

from pm_energy.partition.ladder import by_ladder, check_ladder, check_wandering
from pm_energy.partition.mixture import solve
from pm_energy.partition.result import Estimate, NotAvailable


def mbar(log_ratio, beta, level=None):
    r"""Estimate log Z from the draws of all levels (multistate Bennett acceptance ratio) [1]_.

    Of all estimators that use the draws and their densities alone, it has the least asymptotic
    variance for independent draws. Its error here is the influence function's, summed over the
    levels of each draw: it counts autocorrelation and what swaps correlate.

    Parameters
    ----------
    log_ratio : ndarray (chain, draw, level) or (chain, draw)
        u of the state at each level; or of a single state that wanders over levels. -inf is allowed
        at beta = 0.
    beta : ndarray (level,) or (chain, level)
        Increasing; the second shape only where ``log_ratio`` has levels.
    level : ndarray of int (chain, draw), optional
        Where the wandering state was.

    Returns
    -------
    Estimate
        Of log Z at the last beta relative to the first.

    Raises
    ------
    ValueError
        If shapes do not fit, or a log-ratio is NaN.

    References
    ----------
    .. [1] Shirts & Chodera (2008), Journal of Chemical Physics 129, 124105.

    Examples
    --------
    A standard normal base and u = -x^2 / 2, so that log Z is -log(2) / 2:

    >>> import numpy as np
    >>> from pm_energy.partition import mbar
    >>> beta = np.array([0.0, 0.3, 1.0])
    >>> x = np.random.default_rng(0).normal(size=(4, 1000, 3)) / np.sqrt(1 + beta)
    >>> print(mbar(-(x**2) / 2, beta).log_partition())
    -0.3464 ± 0.0042 (mbar)
    """
    return mbar_of(pool(log_ratio, beta, level), np.shape(log_ratio)[:2])


@by_ladder
def bridge(log_ratio, beta):
    r"""Estimate log Z step by step, each from the draws of two neighbouring levels.

    The acceptance ratio of Bennett [1]_: the best bridge between two densities [2]_. It needs only
    neighbours to overlap, and uses less than :func:`mbar` does.

    Parameters
    ----------
    log_ratio : ndarray (chain, draw, level)
        u of the state at each level. -inf is allowed at beta = 0.
    beta : ndarray (level,) or (chain, level)
        Increasing.

    Returns
    -------
    Estimate

    References
    ----------
    .. [1] Bennett (1976), Journal of Computational Physics 22, 245-268.
    .. [2] Meng & Wong (1996), Statistica Sinica 6, 831-860.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.partition import bridge
    >>> bridge(np.full((2, 100, 5), -3.0), np.linspace(0, 1, 5)).value
    -3.0
    """
    pairs = [
        mbar(log_ratio[..., k : k + 2], beta[k : k + 2]) for k in range(log_ratio.shape[-1] - 1)
    ]
    value = sum(pair.value for pair in pairs)
    return Estimate(value, "bridge", (sum(pair.shares[0] for pair in pairs),))


def mbar_of(mixture, shape):
    """Return the estimate of a mixture from :func:`pool`, given the numbers of chains and draws."""
    value, shares = mixture.difference()
    per_draw = shares.reshape(*shape, -1).sum(axis=-1)
    return Estimate(float(value), "mbar", (per_draw * per_draw.size,))


def pool(log_ratio, beta, level=None):
    """Pool all draws; arguments as for :func:`mbar`.

    Returns
    -------
    Mixture
        Its draws are those of ``log_ratio``, flattened.
    """
    if level is None:
        log_ratio, beta = check_ladder(log_ratio, beta)
        at = np.broadcast_to(beta[:, None], log_ratio.shape)
    else:
        log_ratio, beta, level = check_wandering(log_ratio, beta, level)
        at = beta[level]
    known, state = np.unique(at, return_inverse=True)
    unseen = {np.min(beta), np.max(beta)} - {known[0], known[-1]}
    if unseen:
        raise NotAvailable(f"no draw was made at beta = {unseen.pop():.3g}: draw more")
    return solve(log_ratio.ravel(), state.ravel(), known)
