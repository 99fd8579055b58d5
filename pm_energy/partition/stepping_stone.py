"""Stepping-stone sampling: log Z as a sum of importance-sampling steps along the ladder."""

import numpy as np
from scipy.special import logsumexp

from pm_energy.partition.ladder import by_ladder
from pm_energy.partition.result import Estimate, NotAvailable


@by_ladder
def stepping_stone_forward(log_ratio, beta):
    r"""Step up the ladder: each level is weighted to the next colder one [1]_.

    .. math:: \log \frac{Z_1}{Z_0}
              = \sum_k \log \big\langle e^{(\beta_{k+1} - \beta_k) u} \big\rangle_k

    By Jensen's inequality its expectation is below the truth, by about half the variance of its
    steps; far more where a hot level hardly ever visits what matters at the next one.

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
    .. [1] Xie, Lewis, Fan, Kuo & Chen (2011), Systematic Biology 60, 150-160.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.partition import stepping_stone_forward
    >>> stepping_stone_forward(np.full((2, 100, 5), -3.0), np.linspace(0, 1, 5)).value
    -3.0
    """
    log_weight = np.diff(beta) * log_ratio[..., :-1]
    steps, relative = _log_mean(log_weight)
    return Estimate(float(steps.sum()), "stepping-stone-forward", (relative.sum(axis=-1),))


@by_ladder
def stepping_stone_backward(log_ratio, beta):
    r"""Step down the ladder: each level is weighted to the next hotter one.

    .. math:: \log \frac{Z_1}{Z_0}
              = -\sum_k \log \big\langle e^{-(\beta_{k+1} - \beta_k) u} \big\rangle_{k+1}

    Its expectation is above the truth, and far above where a cold level never visits most of the
    next hotter one, as at the end of a prior: the harmonic-mean estimator is its one-step case.
    Where the likelihood vanishes on a part of the base it does not see that part at all.

    Parameters and returns are those of :func:`stepping_stone_forward`.

    Raises
    ------
    NotAvailable
        If u is -inf at beta = 0.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.partition import stepping_stone_backward
    >>> stepping_stone_backward(np.full((2, 100, 5), -3.0), np.linspace(0, 1, 5)).value
    -3.0
    """
    if np.isneginf(log_ratio).any():
        raise NotAvailable(
            "log_ratio is -inf for some draws at beta = 0: no colder level ever sees that part of "
            "the base, so steps down cannot count it. Use 'mbar'"
        )
    log_weight = -np.diff(beta) * log_ratio[..., 1:]
    steps, relative = _log_mean(log_weight)
    return Estimate(float(-steps.sum()), "stepping-stone-backward", (-relative.sum(axis=-1),))


def stepping_stone(log_ratio, beta):
    """Mean of the forward and the backward stepping stone, whose biases have opposite signs.

    Parameters and returns are those of :func:`stepping_stone_forward`. :func:`bridge` combines the
    same draws in the best way.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.partition import stepping_stone
    >>> stepping_stone(np.full((2, 100, 5), -3.0), np.linspace(0, 1, 5)).value
    -3.0
    """
    up = stepping_stone_forward(log_ratio, beta)
    down = stepping_stone_backward(log_ratio, beta)
    shares = ((up.shares[0] + down.shares[0]) / 2,)
    return Estimate((up.value + down.value) / 2, "stepping-stone", shares)


def _log_mean(log_weight):
    """Log-means over chains and draws (step,), and weights relative to the mean, less one."""
    count = log_weight.shape[0] * log_weight.shape[1]
    log_mean = logsumexp(log_weight, axis=(0, 1)) - np.log(count)
    return log_mean, np.expm1(log_weight - log_mean)
