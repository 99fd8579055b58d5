"""Thermodynamic integration: log Z as the area under the mean log-ratio."""

import numpy as np

from pm_energy.partition.ladder import by_ladder
from pm_energy.partition.result import Estimate, NotAvailable


@by_ladder
def thermodynamic_integration(log_ratio, beta):
    r"""Integrate the mean of the log-ratio over beta, by trapezoids with a variance correction.

    .. math:: \log \frac{Z_1}{Z_0} = \int_0^1 \langle u \rangle_\beta \, d\beta \approx
        \sum_k \frac{\Delta_k}{2} (E_k + E_{k+1}) - \frac{\Delta_k^2}{12} (V_{k+1} - V_k)

    with :math:`\Delta_k = \beta_{k+1} - \beta_k` and mean and variance of u at each level: the
    variance is the slope of the mean, so it corrects the trapezoids for curvature [1]_. What is
    left is an error of the quadrature, of order :math:`\Delta^4`, which no number of draws removes
    and ``mcse`` does not count.

    The mean increases with beta. So the sum of left rectangles is a lower bound and the sum of
    right ones an upper bound, whatever the ladder, but for Monte Carlo error.

    Parameters
    ----------
    log_ratio : ndarray (chain, draw, level)
        u of the state at each level.
    beta : ndarray (level,) or (chain, level)
        Increasing.

    Returns
    -------
    Estimate
        With bounds.

    Raises
    ------
    NotAvailable
        If u is -inf at beta = 0: its mean does not exist.

    References
    ----------
    .. [1] Friel, Hurn & Wyse (2014), Statistics and Computing 24, 709-723.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.partition import thermodynamic_integration
    >>> log_ratio = np.tile([-9.0, -4.0, -3.0], (1, 100, 1))
    >>> fit = thermodynamic_integration(log_ratio, [0.0, 0.5, 1.0])
    >>> fit.lower, fit.value, fit.upper
    (-6.5, -5.0, -3.5)
    """
    if np.isneginf(log_ratio).any():
        raise NotAvailable(
            "log_ratio is -inf for some draws at beta = 0, so it has no mean there and "
            "thermodynamic integration no start. Use 'mbar'"
        )
    step = np.diff(beta)
    mean = log_ratio.mean(axis=(0, 1))
    centred = log_ratio - mean
    variance = (centred**2).mean(axis=(0, 1))
    of_mean = (np.append(step, 0) + np.append(0, step)) / 2  # weights of levels in the sum
    of_variance = (np.append(step**2, 0) - np.append(0, step**2)) / 12
    return Estimate(
        value=float(of_mean @ mean + of_variance @ variance),
        method="thermodynamic-integration",
        shares=(centred @ of_mean + (centred**2 - variance) @ of_variance,),
        lower=float(step @ mean[:-1]),
        upper=float(step @ mean[1:]),
    )
