"""Population annealing: log Z from the weights along the way."""

import numpy as np
from scipy.special import logsumexp

from pm_energy.partition.result import Estimate, NotAvailable


def population_annealing(log_z, rho_t, size):
    r"""Combine the log Z of independent populations [1]_.

    The exponential of each population's log Z has the right expectation, so these are averaged:

    .. math:: \log \frac{Z_1}{Z_0} = \log \frac1C \sum_c e^{\log Z_c}

    Its bias is about minus half the square of its error, O(1 / R) in the size R of the populations.

    The error comes from two estimates of the variance of a population's Z, relative to its square.
    The spread of C populations is one, with C - 1 degrees of freedom. The other one is in each
    population: its founders are independent, and what each contributes is the number of its
    descendants, which makes :math:`(\rho_t - 1) / R` for a mean square family size
    :math:`\rho_t` [2]_ [3]_. It counts as one more degree of freedom, and for a single population
    as all. It is right where moves forget little; where they forget all within a step the error of
    a single population is up to twice too large.

    Parameters
    ----------
    log_z : ndarray (chain,)
        Log Z_1 / Z_0 of each population.
    rho_t : ndarray (chain,)
        Mean square family size at the end, R times the sum of squared shares of founders.
    size : int
        Members of a population.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If a number is NaN or infinite.

    References
    ----------
    .. [1] Machta (2010), Physical Review E 82, 026704.
    .. [2] Wang, Machta & Katzgraber (2015), Physical Review E 92, 063307.
    .. [3] Lee & Whiteley (2018), Biometrika 105, 609-625.

    Examples
    --------
    >>> from pm_energy.partition import population_annealing
    >>> print(population_annealing([-4.01, -3.99, -4.02], [11.0, 9.0, 10.0], 1000).log_partition())
    -4.007 ± 0.032 (population-annealing)
    """
    log_z, rho_t = np.asarray(log_z, dtype=float), np.asarray(rho_t, dtype=float)
    if log_z.ndim != 1 or log_z.size == 0 or rho_t.shape != log_z.shape:
        raise ValueError(
            f"log_z and rho_t must have shape (chain,), got {log_z.shape} and {rho_t.shape}"
        )
    if not (np.isfinite(log_z).all() and np.isfinite(rho_t).all()):
        raise ValueError(
            f"log_z and rho_t must be finite, got {log_z} and {rho_t}: a population died out"
        )
    value = logsumexp(log_z) - np.log(log_z.size)
    relative = np.exp(log_z - value)
    of_families = (relative**2 * np.maximum(rho_t - 1, 0) / size).mean()
    of_spread = ((relative - 1) ** 2).sum()  # times C - 1
    mcse = np.sqrt((of_families + of_spread) / log_z.size / log_z.size)
    return Estimate(float(value), "population-annealing", floor=float(mcse))


def population_integration(beta, mean, variance, floor):
    r"""Integrate the mean log-ratio of populations over beta.

    As :func:`thermodynamic_integration`, from the moments of each population at each step.

    Parameters
    ----------
    beta : ndarray (step,)
        Increasing.
    mean, variance : ndarray (chain, step)
        Of the log-ratio.
    floor : float
        The error of :func:`population_annealing`. Its sum of log-means is that of means where steps
        are short, so both move together.

    Returns
    -------
    Estimate
        With bounds.

    Raises
    ------
    NotAvailable
        If a moment is not finite, as where the target vanishes on a part of the base.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.partition import population_integration
    >>> mean, variance = np.array([[-9.0, -4.0, -3.0]]), np.zeros((1, 3))
    >>> fit = population_integration(np.array([0.0, 0.5, 1.0]), mean, variance, floor=0.1)
    >>> fit.lower, fit.value, fit.upper
    (-6.5, -5.0, -3.5)
    """
    if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
        raise NotAvailable(
            "the mean or the variance of log_ratio is not finite at some beta, so there is nothing "
            "to integrate. Use 'population-annealing'"
        )
    step = np.diff(beta)
    trapezoids = (step * (mean[:, :-1] + mean[:, 1:]) / 2).sum(axis=1)
    correction = (step**2 * np.diff(variance, axis=1) / 12).sum(axis=1)
    return Estimate(
        value=float((trapezoids - correction).mean()),
        method="thermodynamic-integration",
        lower=float((mean[:, :-1] @ step).mean()),
        upper=float((mean[:, 1:] @ step).mean()),
        floor=floor,
    )
