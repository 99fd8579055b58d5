"""Functions of posterior means, with a Monte Carlo error that counts autocorrelation."""

import numpy as np
import xarray as xr

from pm_energy.diagnostics.fields import SAMPLE_DIMS, check_draws

STEP = 1e-30  # of the complex-step derivative: no cancellation, so as small as one likes


def function_of_means(function, *series):
    r"""Estimate a smooth function of expectations from draws.

    The estimate of :math:`f(\langle a \rangle, \langle b \rangle, \dots)` puts in the means over
    all draws. Its error is that of the mean of the linearised series

    .. math:: y_t = \partial_a f \, (a_t - \bar a) + \partial_b f \, (b_t - \bar b) + \dots

    (the delta method), by ArviZ's effective sample size of y over split chains [1]_: it counts
    autocorrelation, the covariance of the series, and chains that disagree.

    Parameters
    ----------
    function : callable
        Takes one mean for each series; made of arithmetic and analytic NumPy functions
        (``np.sqrt``, ``np.log``; not ``abs`` or ``max``), since its derivative is taken by a
        complex step.
    *series : DataArray, dims (chain, draw, ...)
        One number a draw each, with any further dimensions.

    Returns
    -------
    Dataset
        ``value`` and ``mcse``, over the further dimensions. ``mcse`` is NaN where the linearised
        series never varies: such draws say nothing about their error.

    Raises
    ------
    ValueError
        If there are fewer than 4 draws a chain.

    References
    ----------
    .. [1] Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), Bayesian Analysis 16, 667-718.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import pm_energy as pme
    >>> x = xr.DataArray(np.random.default_rng(1).normal(size=(4, 500)), dims=("chain", "draw"))
    >>> fit = pme.diagnostics.function_of_means(lambda m, m2: np.sqrt(m2 - m**2), x, x**2)
    >>> round(float(fit["value"]), 2), round(float(fit["mcse"]), 3)
    (1.01, 0.016)
    """
    for array in series:
        check_draws(array)
    means = [array.mean(SAMPLE_DIMS) for array in series]
    with np.errstate(invalid="ignore", divide="ignore"):
        value = function(*means)
        linear = 0.0
        for k, (array, mean) in enumerate(zip(series, means, strict=True)):
            moved = [m + 1j * STEP if j == k else m for j, m in enumerate(means)]
            # a function may ignore a series: then it stays real
            slope = np.imag(function(*moved)) / STEP
            linear = linear + slope * (array - mean)
    return xr.Dataset({"value": value, "mcse": mcse_of_mean(linear.where(np.isfinite(value)))})


def mcse_of_mean(series):
    """Monte Carlo standard error of a mean, over the dimensions beside chain and draw.

    NaN where all draws are equal or some are NaN.
    """
    from arviz_stats.base import array_stats

    rest = [dim for dim in series.dims if dim not in SAMPLE_DIMS]
    series = series.transpose(*SAMPLE_DIMS, *rest)
    scale = series.std(SAMPLE_DIMS)
    varies = (series.max(SAMPLE_DIMS) > series.min(SAMPLE_DIMS)) & (scale > 0)
    # ArviZ takes a spread below 1e-15 for a constant, whatever the unit: so give it unit spread
    unit = (series / scale).where(varies, np.nan)
    return scale.copy(data=scale.values * array_stats.mcse(unit.values, chain_axis=0, draw_axis=1))
