"""Simulated tempering: log Z from one state that wanders over levels."""

import numpy as np

from pm_energy.partition.ladder import average_alike, check_levels, check_log_ratio
from pm_energy.partition.mixture import membership
from pm_energy.partition.result import Estimate


def rao_blackwell(log_ratio, beta, log_weight):
    r"""Rao-Blackwellised tempered sampling [1]_.

    With the joint density of state and level :math:`\propto e^{\beta_k u + g_k}` times the base,
    a state belongs to level k with probability :math:`p_k(u)`, known without drawing the level, and

    .. math:: \log \frac{Z_1}{Z_0} =
              \log \frac{\langle p_K(u) \rangle}{\langle p_0(u) \rangle} - (g_K - g_0)

    It needs no visits to the levels at the ends, only states that might have been there, and its
    error counts how long the chain takes to wander from end to end. Where all levels are visited
    :func:`mbar`, which takes the numbers of visits as given, has a smaller one.

    Parameters
    ----------
    log_ratio : ndarray (chain, draw)
        u of the state, whatever its level; -inf is allowed where the only level is beta = 0.
    beta : ndarray (level,)
        Increasing.
    log_weight : ndarray (level,) or (chain, level)
        The weights g that the chains were run with, frozen. Chains with the same ones are pooled.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If shapes do not fit, or a log-ratio is NaN.

    References
    ----------
    .. [1] Carlson, Stinson, Pakman & Paninski (2016), International Conference on Machine Learning,
       2896-2905.

    Examples
    --------
    Two levels, and states of log-ratio 0 or 2 that the base holds for equally likely, so that
    Z_1 / Z_0 = (1 + e^2) / 2. With these weights 73.1% of all draws are at 2:

    >>> import numpy as np
    >>> from pm_energy.partition import rao_blackwell
    >>> log_ratio = np.repeat([0.0, 2.0], [269, 731])[None]
    >>> round(rao_blackwell(log_ratio, [0.0, 1.0], [0.0, -1.0]).value, 3)
    1.434
    >>> round(float(np.log((1 + np.exp(2)) / 2)), 3)
    1.434
    """
    log_ratio, beta = np.asarray(log_ratio, dtype=float), np.asarray(beta, dtype=float)
    if log_ratio.ndim != 2 or log_ratio.size == 0:
        raise ValueError(
            f"log_ratio must have shape (chain, draw) with draws, got {log_ratio.shape}"
        )
    check_levels(beta)
    check_log_ratio(log_ratio, np.array(0.0))
    log_weight = np.asarray(log_weight, dtype=float)
    rows = (len(log_ratio), beta.size)
    if log_weight.shape not in {(beta.size,), rows} or not np.isfinite(log_weight).all():
        raise ValueError(
            f"log_weight must be {beta.size} finite numbers, one a level, for all chains or each, "
            f"got {log_weight}"
        )

    def of_chains(mask, weights):
        u = log_ratio[mask]
        p, _ = membership(u.ravel(), beta, weights)
        mean = p.mean(axis=1)
        value = np.log(mean[-1] / mean[0]) - (weights[-1] - weights[0])
        shares = (p[-1] / mean[-1] - p[0] / mean[0]).reshape(u.shape)
        return Estimate(float(value), "rao-blackwell", (shares,))

    return average_alike(of_chains, np.broadcast_to(log_weight, rows))
