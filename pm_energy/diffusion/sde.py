r"""The reverse-time SDE, and Euler-Maruyama for it.

:math:`dx = (f x - g^2 \nabla\log p_t(x))\,dt + g\,d\bar W` with time running backwards has the
marginals of :math:`dx = f x\,dt + g\,dW` [1]_. The probability flow has half of the
score's term and no noise.

References
----------
.. [1] Anderson (1982), "Reverse-time diffusion equation models", Stochastic Processes and their
   Applications 12, 313-326.
"""

import numpy as np

from pm_energy.diffusion.checks import checked_points
from pm_energy.diffusion.predictions import predictor
from pm_energy.diffusion.schedules import column, time_grid
from pm_energy.diffusion.walk import walk


def reverse_drift(x, score, t, schedule):
    r"""Drift :math:`f x - g^2 \nabla\log p_t(x)` of the reverse-time SDE [1]_.

    Parameters
    ----------
    x, score : array, shape (N, d)
    t : float or array, shape (N,)
        In (0, 1].
    schedule : NoiseSchedule

    Returns
    -------
    array, shape (N, d)
        Change of x per unit of time *forwards*; a step back subtracts it.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion import VariancePreserving, reverse_drift
    >>> x = np.array([[1.0]])
    >>> reverse_drift(x, -x, 0.5, VariancePreserving(1.0, 1.0))  # -beta x / 2 + beta x
    array([[0.5]])

    References
    ----------
    .. [1] Anderson (1982), Stochastic Processes and their Applications 12, 313-326.
    """
    return column(schedule.f(t)) * x - column(schedule.g2(t)) * score


def reverse_sde(
    predict,
    schedule,
    x,
    *,
    n_steps,
    rng,
    kind="score",
    spacing="time",
    path=False,
    progressbar=False,
):
    """Euler-Maruyama for the reverse-time SDE, the last step by Tweedie's formula [1]_.

    Its steps must be short where f and g^2 are large; near the ends of a straight path
    that takes ``spacing="log_snr"``. :func:`ddpm` solves the linear part exactly.

    Parameters
    ----------
    predict : callable
        ``predict(x, t)`` of x (N, d) and a float t in (0, 1] returns (N, d).
    schedule : NoiseSchedule
    x : array, shape (N, d)
        Starts at ``t_max``, as of ``schedule.prior``.
    n_steps : int
        Steps, and calls of ``predict``.
    rng : numpy.random.Generator
    kind : {"score", "noise", "data", "velocity", "v"}
        What ``predict`` predicts.
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
    >>> from pm_energy.diffusion import VariancePreserving, reverse_sde
    >>> rng, schedule = np.random.default_rng(0), VariancePreserving()
    >>> start = schedule.prior(rng, 1_000, 1)
    >>> x = reverse_sde(lambda x, t: -x, schedule, start, n_steps=200, rng=rng)
    >>> print(abs(x.std() - 1) < 0.1)
    True

    References
    ----------
    .. [1] Song et al. (2021), "Score-based generative modeling through stochastic differential
       equations", ICLR.
    """
    times = time_grid(schedule, n_steps, spacing)
    score = predictor(predict, kind, "score", schedule)
    data = predictor(predict, kind, "data", schedule)
    x = checked_points("x", x)
    diffusion = np.sqrt(schedule.g2(times[:-1]))

    def step(i, x):
        t, h = times[i], times[i] - times[i + 1]
        if times[i + 1] == 0:
            return data(x, t)
        moved = x - h * reverse_drift(x, score(x, t), t, schedule)
        return moved + np.sqrt(h) * diffusion[i] * rng.standard_normal(x.shape)

    return walk(step, x, n_steps, path=path, progressbar=progressbar)
