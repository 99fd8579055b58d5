"""How well a learned score, or the denoiser that goes with it, does where the truth is known."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import correlate1d

from pm_energy.validate import numeric_array

WINDOWS = ("uniform", "gaussian")
K1, K2 = 0.01, 0.03  # Wang et al.: keep the ratios finite on flat patches


class FisherDivergence(NamedTuple):
    """Mean squared distance of scores, and its share of the mean squared score."""

    absolute: float
    relative: float


def fisher_divergence(score, true_score, x):
    r"""Fisher divergence of a learned score from the true one over points of the data.

    .. math:: E\,|s(x) - s^*(x)|^2, \qquad E\,|s(x) - s^*(x)|^2 \,/\, E\,|s^*(x)|^2

    Score matching minimises half of the first [1]_. The second has no unit: a score of zero has 1.

    Parameters
    ----------
    score, true_score : callable or array_like, shape (n, d)
        Functions of x, or their values there, in units of one over x.
    x : array_like, shape (n, d)
        Points at which to compare, drawn from the true distribution.

    Returns
    -------
    FisherDivergence
        ``absolute`` and ``relative``.

    Raises
    ------
    ValueError
        If a score has another shape than x, or something is not finite.

    References
    ----------
    .. [1] Hyvarinen (2005), JMLR 6, 695-709.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> x = np.array([[1.0, 0.0], [0.0, -1.0]])
    >>> pme.diagnostics.fisher_divergence(lambda x: -0.5 * x, -x, x)
    FisherDivergence(absolute=0.25, relative=0.25)
    """
    x = _finite("x", x)
    if x.ndim != 2 or not x.size:
        raise ValueError(f"x must have shape (n, d), got {x.shape}")
    values = [
        _finite(name, s(x) if callable(s) else s)
        for name, s in (("score", score), ("true_score", true_score))
    ]
    for name, value in zip(("score", "true_score"), values, strict=True):
        if value.shape != x.shape:
            raise ValueError(f"{name} must have the shape of x, {x.shape}, got {value.shape}")
    absolute = float(((values[0] - values[1]) ** 2).sum(axis=1).mean())
    size = float((values[1] ** 2).sum(axis=1).mean())
    return FisherDivergence(absolute, absolute / size if size else float("nan"))


def psnr(truth, estimate, data_range):
    """Peak signal-to-noise ratio in decibels, ``10 log10(data_range**2 / mse)``.

    Parameters
    ----------
    truth, estimate : array_like
        Of one shape; the mean squared error is that of all entries.
    data_range : float
        Between the least and the largest value that an entry can have: 1 for images in [0, 1].

    Returns
    -------
    float
        Infinite if the two are equal.

    Raises
    ------
    ValueError
        If shapes differ, entries are not finite, or the range is not positive.

    Examples
    --------
    >>> import pm_energy as pme
    >>> pme.diagnostics.psnr([0.0, 0.5, 1.0], [0.1, 0.4, 0.9], data_range=1.0)  # errors of .1
    20.0
    """
    truth, estimate = _pair(truth, estimate)
    data_range = _check_range(data_range)
    error = np.mean((truth - estimate) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(data_range**2 / error))


def ssim(truth, estimate, data_range, *, size=7, window="uniform"):
    """Structural similarity of images: 1 if they are equal, near 0 if only their levels are [1]_.

    The mean over all windows that lie within the image. Variances are those of the window's
    weights, as in the paper: not multiplied by n / (n - 1).

    Parameters
    ----------
    truth, estimate : array_like, shape (..., rows, columns)
        Of one shape.
    data_range : float
        Between the least and the largest value that a pixel can have.
    size : int
        Odd width of a window, at most that of an image. The paper has 11 for photographs.
    window : {"uniform", "gaussian"}
        Weights in a window: equal, or of a Gaussian with standard deviation ``1.5 / 11 * size``.

    Returns
    -------
    ndarray, shape (...)
        One number an image.

    Raises
    ------
    ValueError
        If shapes differ, a window does not fit into an image, or a number is out of range.

    References
    ----------
    .. [1] Wang, Bovik, Sheikh & Simoncelli (2004), IEEE Transactions on Image Processing 13, 600.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> image = np.random.default_rng(0).uniform(size=(8, 8))
    >>> pme.diagnostics.ssim([image, image], [image, 1 - image], data_range=1.0).round(2)
    array([ 1.  , -0.99])
    """
    truth, estimate = _pair(truth, estimate)
    data_range = _check_range(data_range)
    if truth.ndim < 2:
        raise ValueError(f"images must have shape (..., rows, columns), got {truth.shape}")
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1 or not size % 2:
        raise ValueError(f"size must be an odd integer of at least 1, got {size!r}")
    if size > min(truth.shape[-2:]):
        raise ValueError(
            f"size must be at most that of an image, {truth.shape[-2:]}, got {size}: choose less"
        )
    if window not in WINDOWS:
        raise ValueError(f"window must be one of {', '.join(map(repr, WINDOWS))}, got {window!r}")
    weights = np.ones(size)
    if window == "gaussian":
        weights = np.exp(-0.5 * ((np.arange(size) - size // 2) / (1.5 / 11 * size)) ** 2)
    weights /= weights.sum()
    level = truth[..., :1, :1]  # a shift of both, which no variance feels but rounding does
    a, b = truth - level, estimate - level
    mean_a, mean_b = _smooth(a, weights), _smooth(b, weights)
    var_a = _smooth(a**2, weights) - mean_a**2
    var_b = _smooth(b**2, weights) - mean_b**2
    covariance = _smooth(a * b, weights) - mean_a * mean_b
    mean_a, mean_b = mean_a + level, mean_b + level
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    return (luminance * structure).mean(axis=(-2, -1))


def _smooth(images, weights):
    """Means over the windows that lie within the image."""
    half = len(weights) // 2
    for axis in (-2, -1):
        images = correlate1d(images, weights, axis=axis)
    inside = slice(half, -half or None)
    return images[..., inside, inside]


def _pair(truth, estimate):
    truth, estimate = _finite("truth", truth), _finite("estimate", estimate)
    if truth.shape != estimate.shape or not truth.size:
        raise ValueError(
            f"truth and estimate must have one shape, got {truth.shape} and {estimate.shape}"
        )
    return truth, estimate


def _check_range(data_range):
    value = _finite("data_range", data_range)
    if value.ndim or not value > 0:
        raise ValueError(f"data_range must be a positive number, got {data_range!r}")
    return float(value)


def _finite(name, value):
    array = numeric_array(name, value).astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return array
