"""Two peaks in the distribution of the log-ratio: where a ladder can lie.

At a first-order transition two phases with different log-ratios have comparable weights at one
inverse temperature, and states between them hardly any. Swaps then make each level look well mixed,
since walkers of both phases take turns there, while no walker ever changes its phase: the weights
of the phases, and so log Z, rest on how the walkers were started. All estimators agree on the same
wrong number.
"""

from typing import NamedTuple

import numpy as np

from pm_energy.partition.errors import effective_draws, mcse_of_mean

UNIMODAL_BOUND = 189 / 125  # of kurtosis - skewness^2, for every unimodal distribution
TAIL = 0.02  # left out at either end: one outlier in heavy tails looks like a second peak
CLEAR = 4.0  # errors below the bound
MARGIN = 0.05  # of the distance of the peaks: so near one counts as there
MIN_EFFECTIVE = 5.0  # chains that do not move make a peak each


class Peaks(NamedTuple):
    """Where the two peaks are, and how clear it is that they are two, in errors."""

    low: float
    high: float
    errors: float


def two_peaks(series, weight=None):
    r"""Test whether a quantity has two separated peaks, from dependent draws.

    For every unimodal distribution kurtosis - skewness\ :sup:`2` is at least 189/125 = 1.512 [1]_;
    for two narrow peaks it is 1, whatever their weights. Two normal peaks of one weight are told
    apart once they are some five of their widths apart, so that states between them are some ten
    times rarer. The error of the statistic counts autocorrelation. Near 1 it hardly depends on the
    weights of the peaks and so on how often the series changes from peak to peak, which is what
    gives the test its power where mixing is slow.

    The lowest and the highest 2% are left out, which keeps a unimodal distribution unimodal.

    Parameters
    ----------
    series : ndarray (chain, draw, ...)
        May hold -inf. Further axes are numbers of the same draw.
    weight : ndarray, like series, optional
        Weight of each number; all equal by default.

    Returns
    -------
    Peaks or None
        None unless one peak is excluded, the statistic being 4 errors below the bound.

    Notes
    -----
    False alarms: 3e-5 a series for the one shape that attains the bound, and if the error is right.
    Usual shapes are far from it (uniform 1.8, normal 3): of 42,000 AR(1) series of normal, uniform
    and chi-square draws with 3 to 100 effective draws, 2 gave an alarm, and none of those with more
    than 5, which are the only ones that are tested.

    References
    ----------
    .. [1] Klaassen, Mokveld & van Es (2000), Statistics & Probability Letters 50, 131-135;
       as a test: Klaassen & van Es (2023), arXiv:2312.06212.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.partition import two_peaks
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(4, 500))
    >>> two_peaks(x) is None
    True
    >>> peaks = two_peaks(x + 10 * (rng.random((4, 500)) < 0.3))
    >>> round(peaks.low, 1), round(peaks.high, 1)
    (-0.1, 9.8)
    """
    weight = np.ones(series.shape) if weight is None else weight
    weight = np.where(np.isfinite(series), weight, 0.0)
    if not weight.any():
        return None
    low, high = _weighted_quantiles(series, weight, [TAIL, 1 - TAIL])
    weight = np.where((series >= low) & (series <= high), weight, 0.0)
    weight = weight / weight.sum() * series.shape[0] * series.shape[1]
    x = np.where(weight > 0, series, low)

    def mean(values):
        return _per_draw(weight * values).mean()

    middle = mean(x)
    scale = np.sqrt(mean((x - middle) ** 2))
    if scale <= 1e-12 * max(abs(low), abs(high)):
        return None
    z = (x - middle) / scale
    if effective_draws(_per_draw(weight * z)) < MIN_EFFECTIVE:
        return None
    square = z * z
    third, fourth = mean(square * z), mean(square * square)
    # how each draw moves the statistic, through the mean and the variance as well
    share = square * square - fourth - 4 * third * z
    share -= 2 * third * (square * z - third - 3 * z)
    share -= (2 * fourth - 3 * third**2) * (square - 1)
    error = mcse_of_mean(_per_draw(weight * share))
    distance = UNIMODAL_BOUND - (fourth - third**2)
    if distance <= CLEAR * error:
        return None
    # the two points that have this mean, variance and skewness
    ends = middle + scale * (third + np.hypot(third, 2) * np.array([-1, 1])) / 2
    return Peaks(*ends.tolist(), float(distance / error) if error > 0 else np.inf)


def _per_draw(values):
    return values.reshape(*values.shape[:2], -1).sum(axis=-1)


def _weighted_quantiles(values, weight, levels):
    order = np.argsort(values, axis=None)
    total = np.cumsum(weight.ravel()[order])
    place = np.searchsorted(total, np.array(levels) * total[-1])
    return values.ravel()[order[np.minimum(place, order.size - 1)]]


def crossings(series, low, high):
    """How often walkers pass from one peak to the other.

    Parameters
    ----------
    series : ndarray (chain, draw, ...)
        The quantity, following walkers along axis 1.
    low, high : float
        The peaks; a passage counts when the far one is reached.

    Returns
    -------
    int
        Of all walkers together.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.partition.two_peaks import crossings
    >>> crossings(np.array([[0.0, 1.0, 9.0, 5.0, 9.0, 0.0]]), 1.0, 8.0)
    2
    """
    margin = MARGIN * (high - low)
    side = np.where(series <= low + margin, -1, np.where(series >= high - margin, 1, 0))
    time = np.arange(side.shape[1]).reshape(-1, *[1] * (side.ndim - 2))
    last = np.maximum.accumulate(np.where(side != 0, time, -1), axis=1)
    known = np.where(last >= 0, np.take_along_axis(side, np.maximum(last, 0), axis=1), 0)
    return int((known[:, 1:] * known[:, :-1] < 0).sum())
