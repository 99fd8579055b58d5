"""Annealed importance sampling: log Z from the works of annealing runs.

The work of a run is W = -log(weight). Forward runs start in the base; reverse runs start in the
target, and their work has the sign of forward ones, so that

.. math:: \\langle e^{-W} \\rangle_{forward} = Z_1 / Z_0, \\qquad
          \\langle e^{W} \\rangle_{reverse} = Z_0 / Z_1, \\qquad
          P_f(W) / P_r(W) = e^{W + \\log(Z_1 / Z_0)}
"""

import numpy as np
from scipy.special import logsumexp

from pm_energy.partition.mixture import solve
from pm_energy.partition.result import Estimate


def ais(forward):
    r"""Estimate log Z from forward works [1]_ [2]_.

    Its bounds: by Jensen's inequality log(Z_1 / Z_0) is at least -mean(W), but for the Monte Carlo
    error of that mean. The estimate itself is below the truth on average.

    Parameters
    ----------
    forward : ndarray (particle,)
        Works of independent runs; inf for a weight of zero.

    Returns
    -------
    Estimate
        With a lower bound.

    Raises
    ------
    ValueError
        If a work is NaN or -inf, or all are inf.

    References
    ----------
    .. [1] Neal (2001), Statistics and Computing 11, 125-139.
    .. [2] Jarzynski (1997), Physical Review Letters 78, 2690-2693.

    Examples
    --------
    Normal works of variance 1 about 3 - log Z has the exact value -3 + 1/2:

    >>> import numpy as np
    >>> from pm_energy.partition import ais
    >>> print(ais(np.random.default_rng(0).normal(3, 1, 10_000)).log_partition())
    -2.503 ± 0.013 (ais; at least -3.006)
    """
    forward = check_work("forward", forward, dead=np.inf)
    value, shares = _log_mean(-forward)
    return Estimate(value, "ais", (shares[:, None],), lower=float(-forward.mean()))


def ais_reverse(reverse, *, exact):
    """Estimate log Z from reverse works.

    Parameters
    ----------
    reverse : ndarray (particle,)
        Works of runs from the target down.
    exact : bool
        Whether they started from independent exact draws of the target. Only then is -mean(W) an
        upper bound. If not, works are taken in their order as a chain, whose autocorrelation
        counts, and there is no bound.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If a work is NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.partition import ais_reverse
    >>> works = np.random.default_rng(0).normal(2, 1, 10_000)
    >>> print(ais_reverse(works, exact=True).log_partition())
    -2.496 ± 0.012 (ais-reverse; at most -2.006)
    """
    reverse = check_work("reverse", reverse)
    value, shares = _log_mean(reverse)
    upper = float(-reverse.mean()) if exact else np.inf
    return Estimate(-value, "ais-reverse", (-_as_series(shares, exact),), upper=upper)


def ais_bridge(forward, reverse, *, exact):
    """Estimate log Z from works in both directions, by Bennett's acceptance ratio [1]_ [2]_.

    It needs the two work distributions to overlap, which happens long before either direction alone
    is well weighted.

    Parameters
    ----------
    forward : ndarray (particle,)
    reverse : ndarray (particle_reverse,)
    exact : bool
        Whether reverse runs started from independent exact draws of the target.

    Returns
    -------
    Estimate
        With the bounds of both directions.

    References
    ----------
    .. [1] Crooks (2000), Physical Review E 61, 2361-2366.
    .. [2] Shirts, Bair, Hooker & Pande (2003), Physical Review Letters 91, 140601.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.partition import ais_bridge
    >>> rng = np.random.default_rng(0)
    >>> fit = ais_bridge(rng.normal(3, 1, 5000), rng.normal(2, 1, 5000), exact=True)
    >>> print(fit.log_partition())
    -2.507 ± 0.010 (bridge; between -2.995 and -2.017)
    """
    forward = check_work("forward", forward, dead=np.inf)
    reverse = check_work("reverse", reverse)
    # by Crooks' relation -W is the log-ratio of two levels
    state = np.repeat([0, 1], [forward.size, reverse.size])
    value, shares = solve(-np.append(forward, reverse), state, np.array([0.0, 1.0])).difference()
    up, down = np.split(shares, [forward.size])
    return Estimate(
        value=float(value),
        method="bridge",
        shares=(up[:, None] * up.size, _as_series(down * down.size, exact)),
        lower=float(-forward.mean()),
        upper=float(-reverse.mean()) if exact else np.inf,
    )


def check_work(name, work, dead=None):
    """Return works as a checked float array; ``dead`` is an infinity that may occur."""
    work = np.asarray(work, dtype=float)
    if work.ndim != 1 or work.size < 2:
        raise ValueError(f"{name} must hold the works of at least 2 runs, got shape {work.shape}")
    wrong = ~np.isfinite(work) if dead is None else ~(np.isfinite(work) | (work == dead))
    if wrong.any():
        raise ValueError(
            f"{name} works must be finite, got {work[wrong][0]} in {wrong.sum()} of {work.size} "
            "runs. Find out where the log-density is not, and anneal again"
        )
    if not np.isfinite(work).any():
        raise ValueError(f"all {name} works are infinite: no run reached the target's support")
    return work


def _as_series(shares, independent):
    """One chain each if independent, else one chain of all."""
    return shares[:, None] if independent else shares[None]


def _log_mean(log_weight):
    value = logsumexp(log_weight) - np.log(log_weight.size)
    return float(value), np.expm1(log_weight - value)
