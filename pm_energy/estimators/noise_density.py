"""The log-density of a network's probability flow, in steps that depend on no other row."""

import numpy as np

from pm_energy.diffusion.predictions import factors

ROWS = 4096  # of a call of the network


def flow_log_density(jacobian, schedule, kind, x, *, n_steps=100, probes=None):
    r"""Log-density of points under the probability flow, by Runge-Kutta steps of equal length [1]_.

    In :math:`y = x_t / \alpha` and :math:`u = \sigma / \alpha` the flow is
    :math:`dy / d\log u = u \hat\epsilon`. Steps are fixed, and directions are the same for all
    points, so that the density of one does not depend on which others are asked for;
    :func:`pm_energy.diffusion.log_likelihood` chooses its steps by the error of all.

    Parameters
    ----------
    jacobian : callable
        ``jacobian(x, t, v)`` of rows v (N, d) returns predictions and the products of v with
        their Jacobian, (N, d) each.
    schedule : NoiseSchedule
    kind : {"score", "noise", "data", "velocity", "v"}
        What is predicted.
    x : array, shape (N, d)
    n_steps : int
        The error falls as its fourth power.
    probes : int, optional
        Random directions for the trace, one row each; by default it is exact, from d rows.

    Returns
    -------
    array, shape (N,)

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion import VariancePreserving
    >>> from pm_energy.estimators.noise_density import flow_log_density
    >>> jacobian = lambda x, t, v: (-x, -v)  # of a standard normal
    >>> x = np.array([[0.0], [2.0]])
    >>> flow_log_density(jacobian, VariancePreserving(), "score", x).round(3)
    array([-0.919, -2.919])

    References
    ----------
    .. [1] Chen et al. (2018), "Neural ordinary differential equations", NeurIPS; Song et al.
       (2021), "Score-based generative modeling through stochastic differential equations", ICLR.
    """
    d = x.shape[1]
    if probes is None:
        directions = np.eye(d)
    else:  # whose outer products add up to the identity, on average
        directions = np.random.default_rng(0).choice([-1.0, 1.0], (probes, d)) / np.sqrt(probes)
    size = max(ROWS // len(directions), 1)
    parts = [
        _carry(jacobian, schedule, kind, x[i : i + size], directions, n_steps)
        for i in range(0, len(x), size)
    ]
    end, gained = (np.concatenate(part) for part in zip(*parts, strict=True))
    variance = schedule.prior_variance
    log_prior = -0.5 * ((end**2).sum(axis=1) / variance + d * np.log(2 * np.pi * variance))
    return log_prior + d * np.log(schedule.alpha(schedule.t_max)) + gained


def _carry(jacobian, schedule, kind, x, directions, n_steps):
    """Points at ``t_max``, and the logarithm of how much volume grew on the way there."""
    n, d = x.shape
    m = len(directions)
    along = np.repeat(directions, n, axis=0)

    def slope(log_ratio, y):
        t = np.clip(schedule.time_at(-2 * log_ratio), schedule.t_min, schedule.t_max)
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        of_x, of_prediction = factors(kind, "noise", t, schedule)
        point = alpha * y
        prediction, product = jacobian(np.tile(point, (m, 1)), float(t), along)
        noise = of_x * point + of_prediction * prediction[:n]
        trace = (along * product).sum(axis=1).reshape(m, n).sum(axis=0)
        return sigma / alpha * noise, sigma * (d * of_x + of_prediction * trace)

    ends = (-0.5 * float(schedule.log_snr(t)) for t in (schedule.t_min, schedule.t_max))
    times, h = np.linspace(*ends, n_steps + 1, retstep=True)
    y, gained = x, np.zeros(n)
    for s in times[:-1]:  # the classical rule of fourth order
        first, grown_1 = slope(s, y)
        second, grown_2 = slope(s + h / 2, y + h / 2 * first)
        third, grown_3 = slope(s + h / 2, y + h / 2 * second)
        fourth, grown_4 = slope(s + h, y + h * third)
        y = y + h / 6 * (first + 2 * second + 2 * third + fourth)
        gained = gained + h / 6 * (grown_1 + 2 * grown_2 + 2 * grown_3 + grown_4)
    return float(schedule.alpha(schedule.t_max)) * y, gained
