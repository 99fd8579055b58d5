"""Log Z of a learned energy of any number of real-valued units, with its error."""

import numpy as np
from threadpoolctl import threadpool_limits

from pm_energy.paths.ladder import equal_rejection_ladder
from pm_energy.training.annealed import annealed_log_z
from pm_energy.training.energy_continuous import StepSize, mala
from pm_energy.training.score_draws import annealed_population, bridge, in_units, log_ratio

PILOT = 512  # members of the population that tunes
BLOCK = 250  # chains that anneal together, so that products of matrices pay


def annealed_log_partition(value_and_slope, location, scale, rng, n_chains=500, n_betas=200):
    """Log Z of ``exp(-value)`` by annealed importance sampling from a normal distribution.

    A pilot population, which is thrown away, tunes Langevin steps and places the inverse
    temperatures where the log-ratio of the two densities varies. Then steps are frozen and runs
    independent, so that the estimate of Z has no bias [1]_. As many runs anneal back for a check;
    see :func:`pm_energy.training.annealed.annealed_log_z`.

    Parameters
    ----------
    value_and_slope : callable
        ``value_and_slope(x)``: minus the log-density of each row, and its gradient.
    location, scale : array, shape (d,)
        Of the normal distribution, which should be broader than the density in all directions.
    rng : numpy.random.Generator
    n_chains, n_betas : int
        Runs, and values of beta above 0, with a move at each.

    Returns
    -------
    LogPartition

    Warns
    -----
    EvidenceWarning
        If annealing back gives another value, or the standard error is above 0.3.

    References
    ----------
    .. [1] Neal (2001), Statistics and Computing 11, 125-139.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.score_partition import annealed_log_partition
    >>> def narrow(x):  # of five units with deviations of a half
    ...     return 2 * (x**2).sum(axis=1), 4 * x
    >>> rng = np.random.default_rng(0)
    >>> log_z = annealed_log_partition(narrow, np.zeros(5), np.ones(5), rng)
    >>> print(abs(log_z.errors_from(2.5 * np.log(np.pi / 2))) < 4, log_z.mcse < 0.05)
    True True
    """
    energy, d = in_units(value_and_slope, location, scale), len(location)
    betas, steps = _plan(energy, d, rng, n_betas)
    levels = [*zip(betas[:-1], betas[1:], steps, strict=True)]

    def move(rng, z, beta, step):
        step_size = StepSize(d)
        step_size.value = step
        step_size.freeze()
        mala(z, bridge(energy, beta), step_size, rng, 1)

    def forth(rng, size):
        z, works = rng.standard_normal((size, d)), np.zeros(size)
        with threadpool_limits(1, user_api="blas"):
            for before, beta, step in levels:
                works -= (beta - before) * log_ratio(energy, z)
                move(rng, z, beta, step)
        return works, z

    def back(rng, z):
        z, works = z.copy(), np.zeros(len(z))
        with threadpool_limits(1, user_api="blas"):
            for before, beta, step in reversed(levels):
                move(rng, z, beta, step)
                works -= (beta - before) * log_ratio(energy, z)
        return works

    log_z_base = 0.5 * d * np.log(2 * np.pi) + np.log(scale).sum()
    return annealed_log_z(rng, forth, back, log_z_base, n_chains, block=BLOCK)


def _plan(energy, d, rng, n_betas):
    """Values of beta, as far apart as the log-ratio allows, and step sizes at all but the first."""
    levels, lengths, sizes = [0.0], [], []
    spread = log_ratio(energy, rng.standard_normal((PILOT, d))).std()
    for beta, z, step in annealed_population(energy, d, rng, PILOT):
        before, spread = spread, log_ratio(energy, z).std()
        lengths.append(0.5 * (beta - levels[-1]) * (before + spread))
        levels.append(beta)
        sizes.append(step)
    betas = equal_rejection_ladder(np.array(levels), np.array(lengths), n_betas + 1)
    return betas, np.exp(np.interp(betas[1:], levels[1:], np.log(sizes)))
