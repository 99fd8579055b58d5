"""Predictor and corrector: a step back in time, then Langevin steps at the time reached."""

import numpy as np

from pm_energy.diffusion.ancestral import posterior, reverse_variance
from pm_energy.diffusion.checks import checked_points, in_interval
from pm_energy.diffusion.langevin import langevin_step
from pm_energy.diffusion.predictions import predictor
from pm_energy.diffusion.schedules import time_grid
from pm_energy.diffusion.walk import walk
from pm_energy.validate import positive_int


def predictor_corrector(
    predict,
    schedule,
    x,
    *,
    n_steps,
    rng,
    kind="score",
    corrections=1,
    snr=0.3,
    spacing="time",
    path=False,
    progressbar=False,
):
    r"""Ancestral steps, each followed by Langevin steps that keep the marginal [1]_.

    What a step gets wrong the corrections mend. They are not free of error themselves: of a
    marginal as narrow as the noise, their variance is too large by about a share of
    ``snr**2``. Steps are :math:`2 (r \sigma)^2`, with the norm of the score replaced by its
    expectation under noise alone, so points do not depend on each other.

    Parameters
    ----------
    predict : callable
        ``predict(x, t)`` of x (N, d) and a float t in (0, 1] returns (N, d).
    schedule : NoiseSchedule
    x : array, shape (N, d)
        Starts at ``t_max``, as of ``schedule.prior``.
    n_steps : int
        Steps back; ``predict`` is called ``n_steps + (n_steps - 1) corrections`` times.
    rng : numpy.random.Generator
    kind : {"score", "noise", "data", "velocity", "v"}
        What ``predict`` predicts.
    corrections : int
        Langevin steps after each step back.
    snr : float
        r above, in (0, 1].
    spacing : {"time", "log_snr"}
        What is equally spaced.
    path : bool
        Whether to return all states, shape (n_steps + 1, N, d).
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
    >>> from pm_energy.diffusion import VariancePreserving, predictor_corrector
    >>> rng, schedule = np.random.default_rng(0), VariancePreserving()
    >>> start = schedule.prior(rng, 1_000, 1)
    >>> x = predictor_corrector(lambda x, t: -x, schedule, start, n_steps=50, rng=rng)
    >>> print(abs(x.std() - 1) < 0.1)
    True

    References
    ----------
    .. [1] Song et al. (2021), "Score-based generative modeling through stochastic differential
       equations", ICLR.
    """
    times = time_grid(schedule, n_steps, spacing)
    data = predictor(predict, kind, "data", schedule)
    score = predictor(predict, kind, "score", schedule)
    x = checked_points("x", x)
    corrections = positive_int("corrections", corrections)
    length = 2 * in_interval("snr", snr, 0.0, 1.0, open_below=True) ** 2
    sigma = schedule.sigma(times)

    def step(i, x):
        t, s = times[i], times[i + 1]
        of_x, of_data, small, large = posterior(schedule, s, t)
        x = of_x * x + of_data * data(x, t)
        if s == 0:
            return x
        x = x + np.sqrt(reverse_variance(0.5, small, large)) * rng.standard_normal(x.shape)
        for _ in range(corrections):
            x = langevin_step(rng, x, score(x, s), length * sigma[i + 1] ** 2)
        return x

    return walk(step, x, n_steps, path=path, progressbar=progressbar)
