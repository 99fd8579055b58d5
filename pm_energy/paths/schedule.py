"""Annealing schedules: how far the next step in beta may go, and where many small steps belong.

A step from beta to beta' gives states the weights ``exp((beta' - beta) * log_ratio)``. It is short
enough if these are nearly equal, or, which is the same question, if the two histograms of the
log-ratio overlap.

For many small steps, the excess work of step k is ``(beta_k - beta_(k-1))**2`` times a friction:
the variance of the log-ratio times the number of moves it takes to forget. The whole is least where
all steps have the same length in that metric: constant thermodynamic speed [1]_.

References
----------
.. [1] Sivak & Crooks (2012), Phys. Rev. Lett. 108, 190602.
"""

import numpy as np
from scipy.optimize import brentq

LEAST_CHANGE = 1e-8  # beta * spread of log_ratio: a step that changes no weight


def effective_fraction(log_weights):
    """Effective number of equally weighted members, (sum w)^2 / sum w^2, as a fraction of all.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.paths.schedule import effective_fraction
    >>> print(effective_fraction(np.array([0.0, 0.0, -np.inf, -np.inf])))
    0.5
    """
    weights = _scaled(log_weights)
    return weights.sum() ** 2 / (weights @ weights) / weights.size


def overlap_fraction(log_weights):
    """Overlap of the histograms before and after weighting; one minus the fraction culled.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.paths.schedule import overlap_fraction
    >>> print(overlap_fraction(np.log([0.5, 1.5])))
    0.75

    References
    ----------
    Barash, Weigel, Borovsky, Janke & Shchur (2017), Comput. Phys. Commun. 220, 341-350;
    Amey & Machta (2018), Phys. Rev. E 97, 033301.
    """
    weights = _scaled(log_weights)
    return np.minimum(weights / weights.mean(), 1.0).mean()


def _scaled(log_weights):
    """Weights, the largest of which is 1."""
    log_weights = np.asarray(log_weights)
    return np.exp(log_weights - log_weights.max())


def next_beta(log_ratio, beta, target=0.5, measure=effective_fraction):
    """Return the farthest beta whose weights still measure up to a target.

    Parameters
    ----------
    log_ratio : array_like, shape (n,)
        Of states at ``beta``. Those at minus infinity die at any step and are left out.
    beta : float
        Below 1.
    target : float
        Between 0 and 1.
    measure : callable
        :func:`effective_fraction` or :func:`overlap_fraction`; log weights -> 1 where all are
        equal, less the more they differ.

    Returns
    -------
    float
        Above beta, at most 1.

    Raises
    ------
    ValueError
        If no log_ratio is finite.

    References
    ----------
    Del Moral, Doucet & Jasra (2012), Stat. Comput. 22, 1009-1020.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.paths.schedule import next_beta
    >>> beta = next_beta(np.log([1.0, 9.0]), 0.0, target=0.8)
    >>> print(round(beta, 3))  # the weights 1 and 3 count for 1.6 equal ones
    0.5
    """
    alive = np.asarray(log_ratio, dtype=float)
    alive = alive[np.isfinite(alive)]
    if not alive.size:
        raise ValueError("log_ratio must be finite for at least one state")
    spread, left = np.ptp(alive), 1.0 - beta
    shortest = LEAST_CHANGE / spread if spread > 0 else np.inf
    if shortest >= left or measure(left * alive) >= target:
        return 1.0

    def excess(log_step):
        return measure(np.exp(log_step) * alive) - target

    step = np.exp(brentq(excess, np.log(shortest), np.log(left), xtol=1e-6))
    return max(beta + step, np.nextafter(beta, 1.0))


def thermodynamic_lengths(betas, mean_log_ratio, memory):
    """Return how long steps in beta are; betas belong at equal lengths.

    :func:`pm_energy.paths.ladder.equal_rejection_ladder` puts them there.

    Parameters
    ----------
    betas : array_like, shape (n,)
        Increasing from 0 to 1.
    mean_log_ratio : array_like, shape (n,)
        In equilibrium. Its rise over a step, times the step, is the symmetric Kullback-Leibler
        divergence of the two densities: for short steps, variance times step squared.
    memory : array_like, shape (n,)
        Integrated autocorrelation time of the log-ratio, in moves, at each beta; that at the base
        counts for nothing if the base is drawn independently.

    Returns
    -------
    ndarray, shape (n - 1,)

    Examples
    --------
    >>> from pm_energy.paths.schedule import thermodynamic_lengths
    >>> thermodynamic_lengths([0.0, 0.5, 1.0], [0.0, 2.0, 4.0], [1.0, 1.0, 4.0])
    array([1., 2.])
    """
    divergence = np.diff(betas) * np.diff(mean_log_ratio)
    return np.sqrt(np.maximum(divergence, 0.0) * np.asarray(memory)[1:])
