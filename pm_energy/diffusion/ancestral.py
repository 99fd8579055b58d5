"""DDPM: back through the chain of noise, one conditional Gaussian after the other."""

import numpy as np

from pm_energy.diffusion.checks import checked_points, in_interval
from pm_energy.diffusion.predictions import predictor
from pm_energy.diffusion.schedules import time_grid
from pm_energy.diffusion.walk import walk


def posterior(schedule, s, t):
    r"""The distribution of an earlier point given a later one and the data.

    .. math::

       q(x_s | x_t, x_0) = N(a x_t + b x_0, \tilde\beta), \quad
       \tilde\beta = \beta \sigma_s^2 / \sigma_t^2, \quad
       \beta = \sigma_t^2 - (\alpha_t / \alpha_s)^2 \sigma_s^2

    with :math:`\beta` the noise added between s and t. For steps of a variance preserving chain
    these are DDPM's own.

    Parameters
    ----------
    schedule : NoiseSchedule
    s, t : float
        Times, 0 <= s < t <= 1.

    Returns
    -------
    a, b : float
        Factors of x_t and of x_0 in the mean.
    small, large : float
        :math:`\tilde\beta` and :math:`\beta`. The first is right for data that are one point, the
        second for a standard normal.

    Raises
    ------
    ValueError
        If a time is outside [0, 1] or s is not before t.

    Examples
    --------
    >>> from pm_energy.diffusion import StraightPath, posterior
    >>> a, b, small, large = posterior(StraightPath(), 0.0, 0.5)
    >>> print(float(a), float(b), float(small), float(large))  # at s = 0 there is only the data
    0.0 1.0 0.0 0.25
    """
    if not s < t:
        raise ValueError(f"s must be before t, got s = {s} and t = {t}")
    (alpha_s, sigma_s), (alpha_t, sigma_t) = schedule.path(s), schedule.path(t)
    kept = alpha_t / alpha_s
    large = sigma_t**2 - kept**2 * sigma_s**2
    less = (sigma_s / sigma_t) ** 2
    return kept * less, alpha_s * large / sigma_t**2, large * less, large


def reverse_variance(v, small, large):
    r"""Variance between two bounds, :math:`\exp(v \log \beta + (1 - v) \log \tilde\beta)` [1]_.

    Parameters
    ----------
    v : float or array
        From 0, the smaller one, to 1: what a network learns of the variance.
    small, large : float
        :math:`\tilde\beta` and :math:`\beta` of :func:`posterior`.

    Returns
    -------
    float or array
        Zero where ``small`` is and v < 1.

    Raises
    ------
    ValueError
        If a v is outside [0, 1] or NaN.

    Examples
    --------
    >>> from pm_energy.diffusion import reverse_variance
    >>> print(round(float(reverse_variance(0.5, 0.01, 0.04)), 12))  # geometric mean
    0.02

    References
    ----------
    .. [1] Nichol & Dhariwal (2021), ICML.
    """
    v = np.asarray(v, dtype=float)
    if not ((v >= 0) & (v <= 1)).all():
        raise ValueError("v must be in [0, 1]: 0 takes the smaller variance, 1 the larger one")
    return np.power(large, v) * np.power(small, 1 - v)


def step_variance(v, residual=None):
    r"""The variance of steps back, by a share ``v`` or from what the prediction leaves open.

    The mean :math:`a x_t + b \hat x_0` of a step has the error :math:`b (x_0 - \hat x_0)`, so the
    best variance, by likelihood and by its moments, is
    :math:`\tilde\beta + b^2 \langle (x_0 - \hat x_0)^2 \mid x_t \rangle` [1]_, for steps of any
    length. Between modes it is above :math:`\beta`, in a narrow mode next to :math:`\tilde\beta`.

    Parameters
    ----------
    v : float or callable
        As of :func:`ddpm`; not looked at if there is a residual.
    residual : callable, optional
        As of :func:`ddpm`.

    Returns
    -------
    callable
        Of x, t and the results of :func:`posterior`: an array of shape () or (N, d).

    Raises
    ------
    ValueError
        If v is outside [0, 1], or, when called, a residual is not positive and finite.

    Examples
    --------
    >>> from pm_energy.diffusion import VariancePreserving, posterior
    >>> from pm_energy.diffusion.ancestral import step_variance
    >>> schedule = VariancePreserving()
    >>> back, step = step_variance(0.5, lambda x, t: schedule.sigma(t) ** 2), (0.4, 0.5)
    >>> found = back(None, 0.5, *posterior(schedule, *step))  # of a standard normal
    >>> print(abs(found / posterior(schedule, *step)[3] - 1) < 1e-12)
    True

    References
    ----------
    .. [1] Bao et al. (2022), "Estimating the optimal covariance with imperfect mean in diffusion
       probabilistic models", ICML.
    """
    if residual is None:
        share = v if callable(v) else in_interval("v", v, 0.0, 1.0)
        return lambda x, t, of_x, of_data, small, large: reverse_variance(
            share(x, t) if callable(share) else share, small, large
        )
    left = checked_residual(residual)
    return lambda x, t, of_x, of_data, small, large: small + of_data**2 * left(x, t)


def checked_residual(residual):
    """A residual that raises a ValueError where it is not positive and finite."""
    if not callable(residual):
        raise ValueError(f"residual must be a function of x and t, got {residual!r}")

    def checked(x, t):
        left = np.asarray(residual(x, t), dtype=float)
        if not ((left > 0) & np.isfinite(left)).all():
            raise ValueError(
                "residual must return positive finite numbers, mean squares of errors of the data; "
                f"at t = {float(t):.4g} they are from {left.min():.3g} to {left.max():.3g}"
            )
        return left

    return checked


def ddpm(
    predict,
    schedule,
    x,
    *,
    n_steps,
    rng,
    kind="score",
    v=0.5,
    residual=None,
    spacing="time",
    path=False,
    progressbar=False,
):
    """Ancestral sampling, DDPM's [1]_, with errors that fall as 1 / n_steps.

    Each step draws from the posterior of :func:`posterior` with the predicted data in place of the
    data. The last one returns the prediction itself.

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
    v : float or callable
        Variance of a step between the smaller one (0) and the larger one (1), see
        :func:`reverse_variance`. These err to either side, and their geometric mean, half-way, by
        less than the smaller one; with geometric noise its error is of second order. A function of
        x and t, such as a network's, returns v of shape () or (N, d).
    residual : callable, optional
        Instead of v: a function of x and t that returns the mean square of the error of the data
        predicted from x, of shape () or (N, d). It makes the variance the best one for steps of any
        length, see :func:`step_variance`; of normal data steps are then exact. An exact prediction
        leaves the variance of the data given x, :meth:`DiffusedMixture.data_variance`.
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
    >>> from pm_energy.diffusion import VariancePreserving, ddpm
    >>> rng, schedule = np.random.default_rng(0), VariancePreserving()
    >>> start = schedule.prior(rng, 1_000, 1)
    >>> x = ddpm(lambda x, t: -x, schedule, start, n_steps=50, rng=rng)  # of a standard normal
    >>> print(abs(x.std() - 1) < 0.1)
    True

    References
    ----------
    .. [1] Ho, Jain & Abbeel (2020), "Denoising diffusion probabilistic models", NeurIPS.
    """
    times = time_grid(schedule, n_steps, spacing)
    data = predictor(predict, kind, "data", schedule)
    x = checked_points("x", x)
    variance = step_variance(v, residual)

    def step(i, x):
        t, s = times[i], times[i + 1]
        of_x, of_data, *bounds = posterior(schedule, s, t)
        mean = of_x * x + of_data * data(x, t)
        if s == 0:
            return mean
        spread = np.sqrt(variance(x, t, of_x, of_data, *bounds))
        return mean + spread * rng.standard_normal(x.shape)

    return walk(step, x, n_steps, path=path, progressbar=progressbar)
