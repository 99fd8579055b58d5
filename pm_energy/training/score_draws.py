"""What a learned energy is good for: draws from it, and log Z where a grid can hold it."""

import itertools

import numpy as np
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

from pm_energy.kernels.resample import systematic
from pm_energy.training.energy_continuous import StepSize, mala

LEVELS = 30  # of annealing
SMALLEST_POPULATION = 512
TAILS = 1e-8  # probability on the edge of a grid that calls for a larger one
LARGEST = 12  # times that the grid may grow by half


def annealed_draws(value_and_slope, location, scale, rng, n, n_steps=200):
    """Draw from ``exp(-value)`` by a population that is annealed from a normal distribution [1]_.

    The population starts at independent draws from N(location, scale**2), is resampled by the
    ratios of the densities between neighbouring temperatures, and moves by Metropolis-adjusted
    Langevin steps. So modes far apart get their shares, which chains of their own would not find.
    Exact as the population and ``n_steps`` grow.

    Parameters
    ----------
    value_and_slope : callable
        ``value_and_slope(x)``: minus the log-density of each row, and its gradient.
    location, scale : array, shape (d,)
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
    >>> from pm_energy.training.score_draws import annealed_draws
    >>> def two_wells(x):  # log cosh, of modes at -5 and 5
    ...     value = 0.5 * (x**2).sum(axis=1) - np.logaddexp(5 * x[:, 0], -5 * x[:, 0])
    ...     return value, x - 5 * np.tanh(5 * x)
    >>> x = annealed_draws(two_wells, np.zeros(1), np.full(1, 5.0), np.random.default_rng(0), 1000)
    >>> bool(abs((x > 0).mean() - 0.5) < 0.1), bool(abs(abs(x).mean() - 5) < 0.1)
    (True, True)
    """
    size = max(n, SMALLEST_POPULATION)
    energy = in_units(value_and_slope, location, scale)
    *_, (_, z, _) = annealed_population(energy, len(location), rng, size, n_steps)
    return location + scale * z[rng.permutation(size)[:n]]


def in_units(value_and_slope, location, scale):
    """Return the energy and its gradient as a function of ``z = (x - location) / scale``."""

    def at(z):
        value, slope = value_and_slope(location + scale * z)
        return value, scale * slope

    return at


def annealed_population(value_and_slope, d, rng, size, n_steps=200):
    """Yield a population on its way from a standard normal distribution to ``exp(-value)``.

    Parameters
    ----------
    value_and_slope, rng, n_steps
        As for :func:`annealed_draws`.
    d, size : int
        Units, and members of the population.

    Yields
    ------
    beta : float
        From above 0 to 1: the density is ``exp(-(1 - beta) z**2 / 2 - beta value)``.
    z : array, shape (size, d)
    step_size : float
        Of the moves.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.score_draws import annealed_population
    >>> def narrow(z):
    ...     return 50 * (z**2).sum(axis=1), 100 * z
    >>> rng = np.random.default_rng(0)
    >>> steps = [step for *_, step in annealed_population(narrow, 1, rng, 100)]
    >>> bool(steps[-1] < 0.3 < steps[0])
    True
    """
    z = rng.standard_normal((size, d))
    per_level = max(1, n_steps // (2 * LEVELS))
    betas = np.linspace(0.0, 1.0, LEVELS + 1)
    step_size = StepSize(d)
    with threadpool_limits(1, user_api="blas"):
        for before, beta in itertools.pairwise(betas):
            log_weights = (beta - before) * log_ratio(value_and_slope, z)
            z = z[systematic(rng, np.exp(log_weights - log_weights.max()))]
            moves = per_level if beta < 1 else per_level + max(1, n_steps - LEVELS * per_level)
            mala(z, bridge(value_and_slope, beta), step_size, rng, moves)
            yield float(beta), z, step_size.value


def bridge(value_and_slope, beta):
    """Minus the log-density at beta, and its gradient, as a function of rows."""

    def at(z):
        value, slope = value_and_slope(z)
        return (1 - beta) * 0.5 * (z * z).sum(axis=1) + beta * value, (1 - beta) * z + beta * slope

    return at


def log_ratio(value_and_slope, z):
    """Log-ratio of the densities at beta = 1 and 0, not normalised."""
    return 0.5 * (z * z).sum(axis=1) - value_and_slope(z)[0]


def grid_log_partition(energies, location, scale, points=None):
    """Log Z of an energy of one or two units, by the trapezoidal rule on a grid.

    The grid grows by half until there is no probability on its edge; so a mode out there would be
    missed if nothing led to it, and ``scale`` should be that of all the data.

    Parameters
    ----------
    energies : callable
        ``energies(x)``: of rows (N, d).
    location, scale : array, shape (d,)
        Centre of the grid and a sixth of its half-width to start with.
    points : int, optional
        Of a side; 4,001 of one unit and 401 of two by default.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there are more units, or the energy does not rise enough to have a log Z.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.score_draws import grid_log_partition
    >>> def normal(x):
    ...     return 0.5 * (x**2).sum(axis=1)
    >>> print(round(grid_log_partition(normal, np.zeros(2), np.ones(2)), 6))  # log(2 pi)
    1.837877
    """
    d = len(location)
    if d > 2:
        raise ValueError(f"a grid is for one or two units, got {d}: estimate log Z by annealing")
    points = points or (4001 if d == 1 else 401)
    reach = 6.0
    for _ in range(LARGEST):
        sides = [
            m + s * reach * np.linspace(-1, 1, points) for m, s in zip(location, scale, strict=True)
        ]
        x = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, d)
        log_p = -np.asarray(energies(x), dtype=float).reshape((points,) * d)
        log_sum = logsumexp(log_p)
        edge = [np.take(log_p, [0, -1], axis=axis).ravel() for axis in range(d)]
        if logsumexp(np.concatenate(edge)) - log_sum < np.log(TAILS):
            return float(log_sum + sum(np.log(side[1] - side[0]) for side in sides))
        reach *= 1.5
    raise ValueError(
        f"no box of {reach / 1.5:.0f} scales holds the energy's probability: it does not rise far "
        "out, so it has no log Z. Raise confinement"
    )
