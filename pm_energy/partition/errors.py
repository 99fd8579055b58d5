"""Monte Carlo errors of means over chains of dependent draws."""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

MIN_DRAWS = 4  # a chain: its two halves are compared, which takes two draws each


def mcse_of_mean(series):
    """Standard error of the mean over all chains and draws.

    By the effective sample size of Vehtari et al. [1]_: autocorrelation within chains, summed over
    Geyer's initial monotone sequence [2]_, and the spread between the halves of all chains, so that
    chains that disagree have a large error.

    Parameters
    ----------
    series : ndarray (chain, draw, ...)
        Chains of fewer than 4 draws count as one number each, and these as independent.

    Returns
    -------
    ndarray (...)
        Zero where the series never varies, NaN for one chain of fewer than 4 draws.

    References
    ----------
    .. [1] Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), Bayesian Analysis 16, 667-718.
    .. [2] Geyer (1992), Statistical Science 7, 473-483.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.partition import mcse_of_mean
    >>> noise = np.random.default_rng(0).normal(size=(4, 1000))
    >>> round(float(mcse_of_mean(noise)), 3)  # 1 / sqrt(4000) is 0.016
    0.016
    >>> round(float(mcse_of_mean(np.repeat(noise, 10, axis=1))), 3)  # each draw ten times
    0.016
    """
    series = np.asarray(series, dtype=float)
    chains, draws = series.shape[:2]
    if draws < MIN_DRAWS:
        if chains == 1:
            return np.full(series.shape[2:], np.nan)
        return series.mean(axis=1).std(axis=0, ddof=1) / np.sqrt(chains)
    variance, time = _variance_and_time(series)
    return np.sqrt(variance * time / (chains * draws))


def effective_draws(series):
    """Number of independent draws whose mean would be as exact; ``series`` as above.

    Infinite where the series never varies.
    """
    variance = np.asarray(series, dtype=float).var(axis=(0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, variance / mcse_of_mean(series) ** 2, np.inf)


def _variance_and_time(series):
    """Variance of a draw, and the number of draws that count as one."""
    half = series.shape[1] // 2
    parts = np.concatenate([series[:, :half], series[:, -half:]])
    means = parts.mean(axis=1, keepdims=True)
    autocovariance = _autocovariance(parts - means).mean(axis=0)
    within = autocovariance[0] * half / (half - 1)
    variance = autocovariance[0] + means[:, 0].var(axis=0, ddof=1)
    varies = variance > 0
    safe = np.where(varies, variance, 1.0)
    correlation = np.where(varies, 1 - (within - autocovariance) / safe, 0.0)
    correlation[0] = 1.0
    return variance, _integrated_time(correlation, parts.shape[0] * half)


def _autocovariance(x):
    """Autocovariance of centred series along axis 1, at all lags, divided by the length."""
    n = x.shape[1]
    size = next_fast_len(2 * n, real=True)
    power = np.abs(rfft(x, size, axis=1)) ** 2
    return irfft(power, size, axis=1)[:, :n] / n


def _integrated_time(correlation, total):
    """Sum of the correlation over all lags, by Geyer's initial monotone sequence of pairs."""
    pairs = correlation[: len(correlation) // 2 * 2]
    pairs = pairs.reshape(-1, 2, *pairs.shape[1:]).sum(axis=1)
    positive = np.logical_and.accumulate(pairs > 0, axis=0)
    monotone = np.minimum.accumulate(pairs, axis=0)
    time = 2 * (monotone * positive).sum(axis=0) - 1
    return np.maximum(time, 1 / np.log10(max(total, 10)))
