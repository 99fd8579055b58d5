"""What a learned energy is good for: draws from it, and log Z where a grid can hold it."""

import itertools

import numpy as np
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

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
    *_, (_, x, _) = annealed_population(value_and_slope, location, scale, rng, size, n_steps)
    return x[rng.permutation(size)[:n]]


def annealed_population(value_and_slope, location, scale, rng, size, n_steps=200):
    """Yield a population on its way from a normal distribution to ``exp(-value)``.

    Parameters
    ----------
    value_and_slope, location, scale, rng, n_steps
        As for :func:`annealed_draws`.
    size : int

    Yields
    ------
    beta : float
        From above 0 to 1: the density is ``exp(-(1 - beta) z**2 / 2 - beta value)``.
    x : array, shape (size, d)
    step_size : float
        Of the moves, in units of ``x``.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.score_draws import annealed_population
    >>> def narrow(x):
    ...     return 50 * (x**2).sum(axis=1), 100 * x
    >>> rng = np.random.default_rng(0)
    >>> steps = [s for *_, s in annealed_population(narrow, np.zeros(1), np.ones(1), rng, 100)]
    >>> bool(steps[-1] < 0.3 < steps[0])
    True
    """
    x = location + scale * rng.standard_normal((size, len(location)))
    per_level = max(1, n_steps // (2 * LEVELS))
    betas = np.linspace(0.0, 1.0, LEVELS + 1)
    step_size = StepSize(len(location))
    step_size.value *= float(np.min(scale))
    with threadpool_limits(1, user_api="blas"):
        for before, beta in itertools.pairwise(betas):
            x = x[_systematic((beta - before) * log_ratio(value_and_slope, location, scale, x), rng)]
            moves = per_level if beta < 1 else per_level + max(1, n_steps - LEVELS * per_level)
            mala(x, bridge(value_and_slope, location, scale, beta), step_size, rng, moves)
            yield float(beta), x, step_size.value


def bridge(value_and_slope, location, scale, beta):
    """Minus the log-density at beta, and its gradient, as a function of rows."""

    def at(x):
        value, slope = value_and_slope(x)
        z = (x - location) / scale
        base = 0.5 * (z * z).sum(axis=1)
        return (1 - beta) * base + beta * value, (1 - beta) * z / scale + beta * slope

    return at


def log_ratio(value_and_slope, location, scale, x):
    """Log-ratio of the densities at beta = 1 and 0, not normalised."""
    return 0.5 * (((x - location) / scale) ** 2).sum(axis=1) - value_and_slope(x)[0]


def _systematic(log_weights, rng):
    """Indices of a resampled population: each member about as often as its weight says."""
    weights = np.exp(log_weights - logsumexp(log_weights))
    edges = np.cumsum(weights)
    points = (np.arange(len(weights)) + rng.random()) / len(weights)
    return np.minimum(np.searchsorted(edges, points), len(weights) - 1)


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
