"""DPM-Solver++ of order two, for few steps."""

import numpy as np

from pm_energy.diffusion.checks import checked_points
from pm_energy.diffusion.predictions import predictor
from pm_energy.diffusion.schedules import time_grid
from pm_energy.diffusion.walk import walk


def dpm_solver(
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
    r"""DPM-Solver++ (2M) for the probability flow [1]_.

    With :math:`\lambda = \log \alpha / \sigma` the flow is, exactly,

    .. math:: x_t = \frac{\sigma_t}{\sigma_s} x_s
       + \sigma_t \int_{\lambda_s}^{\lambda_t} e^\lambda \hat x_0(x_\lambda, \lambda)\,d\lambda,

    and the data prediction :math:`\hat x_0` is taken as linear in :math:`\lambda` through this and
    the last point. One prediction a step, and an error that falls as 1 / n_steps^2. The first step
    and the last one are DDIM's.

    Parameters
    ----------
    predict : callable
        ``predict(x, t)`` of x (N, d) and a float t in (0, 1] returns (N, d).
    schedule : NoiseSchedule
    x : array, shape (N, d)
        Starts at ``t_max``, as of ``schedule.prior``.
    n_steps : int
        Steps, and calls of ``predict``.
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
    >>> from pm_energy.diffusion import VariancePreserving, dpm_solver
    >>> start = np.array([[-1.0], [2.0]])
    >>> dpm_solver(lambda x, t: -x, VariancePreserving(), start, n_steps=20).round(1)
    array([[-1.],
           [ 2.]])

    References
    ----------
    .. [1] Lu et al. (2022), "DPM-Solver++: fast solver for guided sampling of diffusion
       probabilistic models", arXiv:2211.01095, algorithm 2.
    """
    times = time_grid(schedule, n_steps, spacing)
    data = predictor(predict, kind, "data", schedule)
    x = checked_points("x", x)
    alpha, sigma = schedule.path(times)
    half_log_snr = 0.5 * schedule.log_snr(times[:-1])
    last = None

    def step(i, x):
        nonlocal last
        found = data(x, times[i])
        if times[i + 1] == 0:  # infinitely many units of log SNR away: the prediction itself
            return found
        h = half_log_snr[i + 1] - half_log_snr[i]
        straight = found
        if last is not None:
            before = half_log_snr[i] - half_log_snr[i - 1]
            straight = found + (found - last) * (h / (2 * before))
        last = found
        return sigma[i + 1] / sigma[i] * x - alpha[i + 1] * np.expm1(-h) * straight

    return walk(step, x, n_steps, path=path, progressbar=progressbar)
