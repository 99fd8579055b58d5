"""DDIM: the same marginals with less noise on the way, none at all, or backwards."""

from itertools import pairwise

import numpy as np

from pm_energy.diffusion.ancestral import posterior
from pm_energy.diffusion.checks import checked_points, in_interval, non_negative_int
from pm_energy.diffusion.predictions import checked_predict, factors, predictor
from pm_energy.diffusion.schedules import time_grid
from pm_energy.diffusion.walk import walk


def ddim(
    predict,
    schedule,
    x,
    *,
    n_steps,
    rng=None,
    kind="score",
    eta=0.0,
    spacing="time",
    path=False,
    progressbar=False,
):
    """Implicit sampling, DDIM's [1]_: a step of noise and data predicted from the same point.

    Without noise (eta = 0) it is Euler's rule for the probability flow in x / alpha as a function
    of sigma / alpha, so its error falls as 1 / n_steps; on a straight path it is Euler's rule in
    time.

    Parameters
    ----------
    predict : callable
        ``predict(x, t)`` of x (N, d) and a float t in (0, 1] returns (N, d).
    schedule : NoiseSchedule
    x : array, shape (N, d)
        Starts at ``t_max``, as of ``schedule.prior``.
    n_steps : int
        Steps, and calls of ``predict``.
    rng : numpy.random.Generator, optional
        Needed with noise.
    kind : {"score", "noise", "data", "velocity", "v"}
        What ``predict`` predicts.
    eta : float
        Standard deviation of the noise of a step, from 0, none, to 1, DDPM's smaller one.
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
    >>> from pm_energy.diffusion import VariancePreserving, ddim
    >>> start = np.array([[-1.0], [2.0]])
    >>> ddim(lambda x, t: -x, VariancePreserving(), start, n_steps=200).round(1)
    array([[-1.],
           [ 2.]])

    References
    ----------
    .. [1] Song, Meng & Ermon (2021), "Denoising diffusion implicit models", ICLR.
    """
    times = time_grid(schedule, n_steps, spacing)
    predict = checked_predict(predict)
    of_x, of_prediction = factors(kind, "data", times[:-1], schedule)
    x = checked_points("x", x)
    eta = in_interval("eta", eta, 0.0, 1.0)
    if eta and rng is None:
        raise ValueError("eta > 0 adds noise: pass rng=np.random.default_rng(seed)")
    alpha, sigma = schedule.path(times)
    spread = np.zeros(n_steps)
    if eta:
        spread = [eta * np.sqrt(posterior(schedule, s, t)[2]) for t, s in pairwise(times)]
    # of the noise (x - alpha_t data) / sigma_t is kept what is not drawn anew
    kept = np.sqrt(np.maximum(sigma[1:] ** 2 - np.square(spread), 0.0)) / sigma[:-1]
    of_data = alpha[1:] - kept * alpha[:-1]
    of_x, of_prediction = kept + of_data * of_x, of_data * of_prediction

    def step(i, x):
        x = of_x[i] * x + of_prediction[i] * predict(x, times[i])
        return x + spread[i] * rng.standard_normal(x.shape) if spread[i] else x

    return walk(step, x, n_steps, path=path, progressbar=progressbar)


def ddim_inversion(
    predict,
    schedule,
    x,
    *,
    n_steps,
    kind="score",
    refine=2,
    spacing="time",
    path=False,
    progressbar=False,
):
    """From data to the noise from which :func:`ddim` (eta = 0) makes them [1]_.

    A step of DDIM takes the noise predicted where it starts, which on the way to noise is where
    this one ends. Plain inversion (``refine=0``) takes what is predicted at its own start, and the
    way back ends at a distance from x that falls as 1 / n_steps, and is large between modes. Each
    refinement predicts again at the end found so far, and goes towards the exact inverse [2]_.

    Parameters
    ----------
    predict : callable
        ``predict(x, t)`` of x (N, d) and a float t in (0, 1] returns (N, d).
    schedule : NoiseSchedule
    x : array, shape (N, d)
        Data.
    n_steps : int
        Steps; ``predict`` is called ``n_steps (1 + refine)`` times.
    kind : {"score", "noise", "data", "velocity", "v"}
        What ``predict`` predicts.
    refine : int
        Refinements of each step.
    spacing : {"time", "log_snr"}
        What is equally spaced; the same as on the way back.
    path : bool
        Whether to return all states, shape (n_steps + 1, N, d).
    progressbar : bool

    Returns
    -------
    array, shape (N, d)
        Points at ``t_max``.

    Raises
    ------
    ValueError
        If an argument makes no sense, or ``predict`` returns NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion import VariancePreserving, ddim_inversion
    >>> x = np.array([[-1.0], [2.0]])
    >>> ddim_inversion(lambda x, t: -x, VariancePreserving(), x, n_steps=500).round(1)
    array([[-1.],
           [ 2.]])

    References
    ----------
    .. [1] Song, Meng & Ermon (2021), "Denoising diffusion implicit models", ICLR.
    .. [2] Pan et al. (2023), "Effective real image editing with accelerated iterative diffusion
       inversion", ICCV.
    """
    times = time_grid(schedule, n_steps, spacing)[::-1]
    noise = predictor(predict, kind, "noise", schedule)
    x = checked_points("x", x)
    refine = non_negative_int("refine", refine)
    alpha, sigma = schedule.path(times)

    def step(i, x):
        # there is no noise to be predicted at t = 0: the first step takes that of t_min
        at = max(i, 1)
        there, seen = x * (alpha[at] / alpha[i]), times[at]
        for _ in range(1 + refine):
            found = noise(there, seen)
            data = (x - sigma[i] * found) / alpha[i]
            there, seen = alpha[i + 1] * data + sigma[i + 1] * found, times[i + 1]
        return there

    return walk(step, x, n_steps, path=path, progressbar=progressbar)
