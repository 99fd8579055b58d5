"""Langevin dynamics by the score, at one noise level or down a ladder of them.

Unadjusted: no step is rejected, so there is a bias in proportion to the step.
"""

import numpy as np

from pm_energy.diffusion.checks import checked_points, in_interval
from pm_energy.diffusion.predictions import predictor
from pm_energy.diffusion.schedules import time_grid
from pm_energy.diffusion.walk import walk
from pm_energy.validate import positive_int


def langevin_step(rng, x, score, step):
    """One step up the score and with noise: ``x + step score + sqrt(2 step) z``.

    Parameters
    ----------
    rng : numpy.random.Generator
    x, score : array, shape (N, d)
    step : float

    Returns
    -------
    array, shape (N, d)

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion.langevin import langevin_step
    >>> rng, x = np.random.default_rng(0), np.zeros((1_000, 1))
    >>> for _ in range(50):
    ...     x = langevin_step(rng, x, -x, 0.1)
    >>> print(round(float(x.std()), 1))
    1.0
    """
    return x + step * score + np.sqrt(2 * step) * rng.standard_normal(x.shape)


def langevin(score, x, *, step, n_steps, rng, path=False, progressbar=False):
    """Langevin dynamics by one score: it explores a mode, and rarely finds others.

    Of a Gaussian of variance v its draws have the variance v / (1 - step / (2 v)).

    Parameters
    ----------
    score : callable
        ``score(x)`` of x (N, d) returns (N, d).
    x : array, shape (N, d)
        Starts.
    step : float
        Squared length of the noise of a step, over 2 d.
    n_steps : int
    rng : numpy.random.Generator
    path : bool
        Whether to return all states, shape (n_steps + 1, N, d).
    progressbar : bool

    Returns
    -------
    array, shape (N, d)

    Raises
    ------
    ValueError
        If an argument makes no sense, or chains diverge, for which the step is too long.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion import langevin
    >>> rng = np.random.default_rng(0)
    >>> x = langevin(lambda x: -x, np.full((1_000, 1), 5.0), step=0.1, n_steps=100, rng=rng)
    >>> print(abs(x.mean()) < 0.2)
    True
    """
    x = checked_points("x", x)
    step = in_interval("step", step, 0.0, open_below=True)
    n_steps = positive_int("n_steps", n_steps)

    def move(i, x):
        with np.errstate(over="ignore", invalid="ignore"):  # told below, as an error
            there = langevin_step(rng, x, np.asarray(score(x), dtype=float), step)
        if not np.isfinite(there).all():
            raise ValueError(f"Langevin chains diverged in step {i}; try a step of {step / 10:.2g}")
        return there

    return walk(move, x, n_steps, path=path, progressbar=progressbar)


def annealed_langevin(
    predict,
    schedule,
    x,
    *,
    n_steps,
    rng,
    kind="score",
    steps_per_level=100,
    step=0.1,
    spacing="log_snr",
    path=False,
    progressbar=False,
):
    r"""Langevin dynamics down a ladder of noise levels, and a last step by Tweedie's formula [1]_.

    Where there is much noise all modes are one, and points go where there is most probability;
    modes part as it fades. A step is ``step`` times :math:`\sigma^2`, short where
    the density is narrow. Between levels points are kept in units of alpha.

    Parameters
    ----------
    predict : callable
        ``predict(x, t)`` of x (N, d) and a float t in (0, 1] returns (N, d).
    schedule : NoiseSchedule
        :class:`VarianceExploding` is Song and Ermon's.
    x : array, shape (N, d)
        Starts at ``t_max``; anywhere, if the first level has steps enough to forget them.
    n_steps : int
        Noise levels.
    rng : numpy.random.Generator
    kind : {"score", "noise", "data", "velocity", "v"}
        What ``predict`` predicts.
    steps_per_level : int
        ``predict`` is called ``n_steps steps_per_level + 1`` times.
    step : float
        In units of the variance of the noise, below 2. The relative bias of a variance that is all
        noise is step / 2.
    spacing : {"time", "log_snr"}
        How levels are spaced.
    path : bool
        Whether to return the states after each level, shape (n_steps + 1, N, d).
    progressbar : bool

    Returns
    -------
    array, shape (N, d)

    Raises
    ------
    ValueError
        If an argument makes no sense, or ``predict`` returns NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.diffusion import DiffusedMixture, VarianceExploding, annealed_langevin
    >>> pair = pme.GaussianMixtureEnergy([0.2, 0.8], [[-4.0], [4.0]], 0.25)
    >>> schedule = VarianceExploding(0.05, 20.0)
    >>> score = DiffusedMixture(pair, schedule).score
    >>> rng, start = np.random.default_rng(0), np.full((1_000, 1), -20.0)
    >>> x = annealed_langevin(score, schedule, start, n_steps=12, steps_per_level=30, rng=rng)
    >>> print(abs((x > 0).mean() - 0.8) < 0.1)
    True

    References
    ----------
    .. [1] Song & Ermon (2019), "Generative modeling by estimating gradients of the data
       distribution", NeurIPS, algorithm 1. Their step is twice ours, as is their epsilon /
       sigma_L^2.
    """
    times = time_grid(schedule, n_steps, spacing)
    score = predictor(predict, kind, "score", schedule)
    data = predictor(predict, kind, "data", schedule)
    x = checked_points("x", x)
    steps_per_level = positive_int("steps_per_level", steps_per_level)
    step = in_interval("step", step, 0.0, 2.0, open_below=True)
    alpha, sigma = schedule.path(times)

    def level(i, x):
        for _ in range(steps_per_level):
            x = langevin_step(rng, x, score(x, times[i]), step * sigma[i] ** 2)
        if times[i + 1] == 0:
            return data(x, times[i])
        return x * (alpha[i + 1] / alpha[i])

    return walk(level, x, n_steps, path=path, progressbar=progressbar)
