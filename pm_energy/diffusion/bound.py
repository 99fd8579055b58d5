"""The variational bound of a diffusion on the log-likelihood, part by part."""

from dataclasses import dataclass

import numpy as np

from pm_energy.diffusion.ancestral import checked_residual, posterior, step_variance
from pm_energy.diffusion.checks import checked_points
from pm_energy.diffusion.predictions import predictor
from pm_energy.diffusion.schedules import time_grid
from pm_energy.validate import positive_int


@dataclass(frozen=True, eq=False)
class VariationalBound:
    """A lower bound of log-likelihoods and what it consists of, in nats.

    Attributes
    ----------
    reconstruction : array, shape (N,)
        Expected log-density of the data given the least noisy points.
    path : array, shape (n_steps - 1, N)
        Divergences of true steps back from those of the model, from the data on.
    prior : array, shape (N,)
        Divergence of the noisiest points from the prior.
    mcse : array, shape (N,)
        Standard error of ``total``, NaN from a single draw.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion import VariationalBound
    >>> part = np.ones(1)
    >>> VariationalBound(-part, 0.5 * np.ones((3, 1)), 0.1 * part, 0 * part).total
    array([-2.6])
    """

    reconstruction: np.ndarray
    path: np.ndarray
    prior: np.ndarray
    mcse: np.ndarray

    @property
    def total(self):
        """The bound, shape (N,): reconstruction less path and prior."""
        return self.reconstruction - self.path.sum(axis=0) - self.prior


def variational_bound(
    predict,
    schedule,
    x,
    *,
    n_steps,
    rng,
    kind="score",
    v=0.5,
    residual=None,
    n_draws=1,
    spacing="log_snr",
):
    r"""Bound the log-likelihood of data under the chain that :func:`ddpm` samples [1]_.

    .. math:: \log p(x_0) \ge E_q\Big[\log p(x_0 | x_1)
       - \sum_i KL\big(q(x_{i-1} | x_i, x_0) \,\|\, p(x_{i-1} | x_i)\big)\Big]
       - KL\big(q(x_n | x_0) \,\|\, p(x_n)\big)

    Each term but the expectation over :math:`x_i` is in closed form. The last step to data is
    :math:`N(\hat x_0, \sigma^2 / \alpha^2)`, or has the residual for its variance if there is one;
    :func:`ddpm` draws it without its noise.

    Parameters
    ----------
    predict : callable
        ``predict(x, t)`` of x (N, d) and a float t in (0, 1] returns (N, d).
    schedule : NoiseSchedule
    x : array, shape (N, d)
        Data.
    n_steps : int
        Steps of the chain.
    rng : numpy.random.Generator
    kind : {"score", "noise", "data", "velocity", "v"}
        What ``predict`` predicts.
    v : float or callable
        Variance of steps back, as of :func:`ddpm`.
    residual : callable, optional
        Instead of v, as of :func:`ddpm`. Of all variances it gives the largest bound.
    n_draws : int
        Noisy points for each point and step.
    spacing : {"time", "log_snr"}
        What is equally spaced.

    Returns
    -------
    VariationalBound

    Raises
    ------
    ValueError
        If an argument makes no sense, or ``predict`` returns NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion import VariancePreserving, variational_bound
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 1))
    >>> schedule = VariancePreserving()
    >>> bound = variational_bound(lambda x, t: -x, schedule, x, n_steps=100, rng=rng, v=1.0)
    >>> entropy = 0.5 * np.log(2 * np.pi * np.e)
    >>> print(abs(bound.total.mean() + entropy) < 0.2)
    True

    References
    ----------
    .. [1] Sohl-Dickstein et al. (2015), ICML; Ho, Jain & Abbeel (2020), NeurIPS; Kingma et al.
       (2021), "Variational diffusion models", NeurIPS.
    """
    times = time_grid(schedule, n_steps, spacing)[::-1]
    data = predictor(predict, kind, "data", schedule)
    x = checked_points("x", x)
    n_draws = positive_int("n_draws", n_draws)
    variance = step_variance(v, residual)
    alpha, sigma = schedule.path(times)

    def noisy(i):
        """Draws at time i, all in one batch, and the errors of the data predicted from them."""
        noise = rng.standard_normal((n_draws, *x.shape))
        point = (alpha[i] * x + sigma[i] * noise).reshape(-1, x.shape[1])
        return point, (data(point, times[i]) - np.tile(x, (n_draws, 1))) ** 2

    point, square = noisy(1)
    last = (sigma[1] / alpha[1]) ** 2
    if residual is not None:
        last = checked_residual(residual)(point, times[1])
    log_density = -0.5 * (square / last + np.log(2 * np.pi * last)).sum(axis=1)
    reconstruction = log_density.reshape(n_draws, -1)
    path = np.empty((n_steps - 1, *reconstruction.shape))
    for i in range(2, n_steps + 1):
        step = posterior(schedule, times[i - 1], times[i])
        _, of_data, small, _ = step
        point, square = noisy(i)
        ratio = small / variance(point, times[i], *step)  # of true and the model's variance
        divergence = 0.5 * (ratio - 1 - np.log(ratio) + of_data**2 * square * ratio / small)
        path[i - 2] = divergence.sum(axis=1).reshape(n_draws, -1)
    by_draw = reconstruction - path.sum(axis=0)
    spread = by_draw.std(axis=0, ddof=1) if n_draws > 1 else np.full(len(x), np.nan)
    return VariationalBound(
        reconstruction=reconstruction.mean(axis=0),
        path=path.mean(axis=1),
        prior=0.5 * (x**2).sum(axis=1) * (alpha[-1] / sigma[-1]) ** 2,
        mcse=spread / np.sqrt(n_draws),
    )
