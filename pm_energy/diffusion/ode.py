r"""The probability flow: an ODE with the marginals of the diffusion, and so a density.

In the coordinates :math:`y = x / \alpha` and :math:`u = \sigma / \alpha` it is, for all schedules,

.. math:: dy / du = \hat\epsilon(x, t),

the noise predicted. In time it is :math:`dx/dt = f x - \tfrac12 g^2 \nabla\log p_t(x)`, the
``velocity``.

References
----------
.. [1] Song et al. (2021), "Score-based generative modeling through stochastic differential
   equations", ICLR.
.. [2] Karras et al. (2022), "Elucidating the design space of diffusion-based generative models",
   NeurIPS.
"""

import numpy as np
from scipy.integrate import solve_ivp

from pm_energy.diffusion.checks import checked_points, checked_time, in_interval
from pm_energy.diffusion.predictions import factors, predictor
from pm_energy.diffusion.schedules import time_grid
from pm_energy.diffusion.walk import walk
from pm_energy.validate import positive_int

DIFFERENCE = 3e-3  # of sigma; errors of 1e-6 by curvature, and some 1e-5 by float32 predictions


def heun(
    predict,
    schedule,
    x,
    *,
    n_steps,
    kind="score",
    spacing="log_snr",
    path=False,
    progressbar=False,
):
    """Heun's rule for the probability flow in x / alpha as a function of sigma / alpha [1]_.

    Its error falls as 1 / n_steps^2.

    Parameters
    ----------
    predict : callable
        ``predict(x, t)`` of x (N, d) and a float t in (0, 1] returns (N, d).
    schedule : NoiseSchedule
    x : array, shape (N, d)
        Starts at ``t_max``, as of ``schedule.prior``.
    n_steps : int
        Steps. All but the last, which is Euler's, call ``predict`` twice.
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
    >>> from pm_energy.diffusion import VariancePreserving, heun
    >>> start = np.array([[-1.0], [2.0]])
    >>> heun(lambda x, t: -x, VariancePreserving(), start, n_steps=50).round(1)
    array([[-1.],
           [ 2.]])

    References
    ----------
    .. [1] Karras et al. (2022), NeurIPS, algorithm 1.
    """
    times = time_grid(schedule, n_steps, spacing)
    noise = predictor(predict, kind, "noise", schedule)
    x = checked_points("x", x)
    alpha = schedule.alpha(times)
    ratio = schedule.sigma(times) / alpha

    def step(i, x):
        here, t = noise(x, times[i]), times[i + 1]
        du = ratio[i + 1] - ratio[i]
        there = alpha[i + 1] * (x / alpha[i] + du * here)
        if t == 0:
            return there
        return there + 0.5 * alpha[i + 1] * du * (noise(there, t) - here)

    return walk(step, x, n_steps, path=path, progressbar=progressbar)


def probability_flow(predict, schedule, x, *, start, stop, kind="score", rtol=1e-6, atol=1e-6):
    """Carry points along the probability flow, with steps chosen by their error.

    Parameters
    ----------
    predict : callable
        ``predict(x, t)`` of x (N, d) and a float t in (0, 1] returns (N, d).
    schedule : NoiseSchedule
    x : array, shape (N, d)
        Points at time ``start``.
    start, stop : float
        Times between ``t_min`` and ``t_max``, in either order: noise to data or data to noise.
    kind : {"score", "noise", "data", "velocity", "v"}
        What ``predict`` predicts.
    rtol, atol : float
        Tolerances of each step of ``scipy.integrate.solve_ivp``, Runge-Kutta of order 5(4); the
        absolute one is in units of the noise.

    Returns
    -------
    array, shape (N, d)
        Points at time ``stop``.

    Raises
    ------
    ValueError
        If an argument makes no sense, or ``predict`` returns NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion import VariancePreserving, probability_flow
    >>> x = np.array([[-1.0], [2.0]])
    >>> probability_flow(lambda x, t: -x, VariancePreserving(), x, start=1e-3, stop=1.0).round(4)
    array([[-1.],
           [ 2.]])
    """
    noise = predictor(predict, kind, "noise", schedule)
    x = checked_points("x", x)
    start, stop = _between("start", start, schedule), _between("stop", stop, schedule)

    def slope(y, t, alpha, sigma):
        return sigma / alpha * noise(alpha * y, t)

    y = _integrate(slope, schedule, x / schedule.alpha(start), start, stop, rtol, atol)
    return schedule.alpha(stop) * y


def log_likelihood(
    predict,
    schedule,
    x,
    *,
    kind="score",
    terminal=None,
    divergence=None,
    probes=None,
    rng=None,
    rtol=1e-6,
    atol=1e-6,
):
    r"""Log-density of data under the probability flow, by the change of variables along it [1]_.

    .. math:: \log p(x) = \log p_T(x_T) + \int \nabla\cdot v(x_t, t)\,dt

    It is that of :math:`x_t / \alpha` at ``t_min``: of data with noise of variance
    :math:`\sigma^2 / \alpha^2` added. Where that matters choose a smaller ``t_min``.

    Parameters
    ----------
    predict : callable
        ``predict(x, t)`` of x (N, d) and a float t in (0, 1] returns (N, d).
    schedule : NoiseSchedule
    x : array, shape (N, d)
    kind : {"score", "noise", "data", "velocity", "v"}
        What ``predict`` predicts.
    terminal : callable, optional
        Log-density (N,) of points (N, d) at ``t_max``; that of the prior by default, which forgets
        what little of the data is left there.
    divergence : callable, optional
        Divergence (N,) of ``predict`` as a function of x and t. By default it is the trace of
        central differences, 2 d rows to predict for each point.
    probes : int, optional
        Estimate the divergence from this many random directions instead (Hutchinson): 2 rows each.
        Then the result has an error, of mean zero.
    rng : numpy.random.Generator, optional
        Needed with ``probes``.
    rtol, atol : float
        Tolerances of each step of ``scipy.integrate.solve_ivp``, Runge-Kutta of order 5(4).

    Returns
    -------
    array, shape (N,)

    Raises
    ------
    ValueError
        If an argument makes no sense, or ``predict`` returns NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion import VariancePreserving, log_likelihood
    >>> x = np.array([[0.0], [2.0]])
    >>> log_likelihood(lambda x, t: -x, VariancePreserving(), x).round(3)  # of a standard normal
    array([-0.919, -2.919])

    References
    ----------
    .. [1] Chen et al. (2018), "Neural ordinary differential equations", NeurIPS; Grathwohl et al.
       (2019), "FFJORD", ICLR; Song et al. (2021), ICLR.
    """
    noise = predictor(predict, kind, "noise", schedule)
    x = checked_points("x", x)
    n, d = x.shape
    if divergence is not None and probes is not None:
        raise ValueError("pass either divergence, which is exact, or probes")
    if divergence is not None:

        def trace(x, t):
            of_x, of_prediction = factors(kind, "noise", t, schedule)
            return d * of_x + of_prediction * np.asarray(divergence(x, t), dtype=float)
    elif probes is not None:
        if rng is None:
            raise ValueError("probes are random: pass rng=np.random.default_rng(seed)")
        signs = rng.choice([-1.0, 1.0], size=(positive_int("probes", probes), n, d))

        def trace(x, t):
            # the same directions along the whole way, or there would be no ODE to solve
            return _along(noise, x, t, signs, schedule).mean(axis=0)
    else:
        axes = np.broadcast_to(np.eye(d)[:, None], (d, n, d))

        def trace(x, t):
            return _along(noise, x, t, axes, schedule).sum(axis=0)

    def slope(state, t, alpha, sigma):
        point = alpha * state[:, :d]
        change = sigma / alpha * noise(point, t)
        return np.column_stack([change, sigma * trace(point, t)])

    state = np.column_stack([x, np.zeros(n)])
    state = _integrate(slope, schedule, state, schedule.t_min, schedule.t_max, rtol, atol)
    alpha = schedule.alpha(schedule.t_max)
    end = alpha * state[:, :d]
    log_prior = _log_normal(end, schedule.prior_variance) if terminal is None else terminal(end)
    return log_prior + d * np.log(alpha) + state[:, d]


def _along(noise, x, t, directions, schedule):
    """Second-order differences ``v . J v`` of a predictor along directions (m, N, d): (m, N)."""
    h = DIFFERENCE * float(schedule.sigma(t))
    rows = np.concatenate([x + h * directions, x - h * directions]).reshape(-1, x.shape[1])
    up, down = noise(rows, t).reshape(2, *directions.shape)
    return (directions * (up - down)).sum(axis=-1) / (2 * h)


def _integrate(slope, schedule, state, start, stop, rtol, atol):
    """Solve d state / d log u = slope(state, t, alpha, sigma), u = sigma / alpha, for all rows."""
    rtol = in_interval("rtol", rtol, 0.0, open_below=True)
    atol = in_interval("atol", atol, 0.0, open_below=True)
    ends = [-0.5 * float(schedule.log_snr(t)) for t in (start, stop)]
    low, high = sorted([start, stop])

    def rate(log_ratio, flat):
        t = np.clip(schedule.time_at(-2 * log_ratio), low, high)  # never beyond by rounding
        now = flat.reshape(state.shape)
        return slope(now, float(t), schedule.alpha(t), schedule.sigma(t)).ravel()

    solution = solve_ivp(rate, ends, state.ravel(), rtol=rtol, atol=atol, t_eval=ends[1:])
    if not solution.success:
        raise ValueError(f"the flow could not be solved: {solution.message}")
    return solution.y[:, -1].reshape(state.shape)


def _between(name, t, schedule):
    t = checked_time(name, t)
    if t.ndim or not schedule.t_min <= t <= schedule.t_max:
        raise ValueError(
            f"{name} must be one time from t_min = {schedule.t_min} to t_max = {schedule.t_max}, "
            f"got {t}"
        )
    return float(t)


def _log_normal(x, variance):
    return -0.5 * ((x**2).sum(axis=1) / variance + x.shape[1] * np.log(2 * np.pi * variance))
