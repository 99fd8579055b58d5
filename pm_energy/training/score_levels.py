"""Draws from an energy of data with little noise, by way of those with more."""

import numpy as np
from threadpoolctl import threadpool_limits

from pm_energy.kernels.resample import systematic
from pm_energy.training.energy_continuous import StepSize, mala
from pm_energy.training.score_draws import LEVELS, SMALLEST_POPULATION, in_units


def level_draws(value_and_slope, levels, location, scale, rng, n, n_steps=200):
    """Draw from the energy at the least noise by a population that starts at the most [1]_.

    The population starts at independent draws from a normal distribution as broad as the data with
    that noise. From level to level it shrinks as the bowls do, is resampled by the ratios of the
    densities, and moves by Metropolis-adjusted Langevin steps. Modes keep their shares where noise
    fades, as they do not where temperatures fall. Log Z may differ from level to level: it is the
    same for all members. Exact as the population and ``n_steps`` grow, however well the levels
    above the least were learned.

    Parameters
    ----------
    value_and_slope : callable
        ``value_and_slope(x, sigma)``: the energy of each row at a noise, and its gradient.
    levels : NoiseRange
    location, scale : array, shape (d,)
        Mean of the data, and their deviation with the least noise.
    rng : numpy.random.Generator
    n : int
    n_steps : int
        Moves of each member, half of them on the way and half at the end.

    Returns
    -------
    array, shape (n, d)

    References
    ----------
    .. [1] Hukushima & Iba (2003), AIP Conference Proceedings 690, 200-206: population annealing.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.noise_range import NoiseRange
    >>> from pm_energy.training.score_levels import level_draws
    >>> def two_wells(x, sigma):  # modes at -5 and 5, with deviations of 1 and noise
    ...     v = 1.0 + sigma**2
    ...     value = 0.5 * (x**2).sum(axis=1) / v - np.logaddexp(5 * x[:, 0] / v, -5 * x[:, 0] / v)
    ...     return value, (x - 5 * np.tanh(5 * x / v)) / v
    >>> levels, place = NoiseRange(0.1, 10.0), (np.zeros(1), np.full(1, 26.01**0.5))
    >>> x = level_draws(two_wells, levels, *place, np.random.default_rng(0), 1000)
    >>> bool(abs((x > 0).mean() - 0.5) < 0.1), bool(abs(abs(x).mean() - 5) < 0.1)
    (True, True)
    """
    z = rng.standard_normal((max(n, SMALLEST_POPULATION), len(location)))
    per_level, step_size = max(1, n_steps // (2 * LEVELS)), StepSize(len(location))

    def at(sigma):
        def energy(x):
            return value_and_slope(x, sigma)

        return in_units(energy, location, levels.scale(scale, sigma))

    before = _normal
    with threadpool_limits(1, user_api="blas"):
        for energy in map(at, levels.ladder(LEVELS)):
            log_weights = before(z)[0] - energy(z)[0]
            z = z[systematic(rng, np.exp(log_weights - log_weights.max()))]
            mala(z, energy, step_size, rng, per_level)
            before = energy
        mala(z, before, step_size, rng, max(1, n_steps - LEVELS * per_level))
    return location + scale * z[rng.permutation(len(z))[:n]]


def _normal(z):
    return 0.5 * (z * z).sum(axis=1), z
