"""How data are made noisy for a network to learn from, and what it is to say: tables over levels.

Whatever the objective, a row x0 and standard normal noise e become the input
``scale (alpha x0 + sigma e)`` and the target ``data x0 + noise e``, at one of many levels.
"""

from dataclasses import dataclass, fields

import numpy as np

from pm_energy.diffusion.predictions import parts
from pm_energy.validate import parameter, positive, positive_int


@dataclass(frozen=True, eq=False)
class NoiseLevels:
    """Levels of noise, one of which is drawn uniformly for each row of a batch.

    Parameters
    ----------
    alpha, sigma : array, shape (L,)
        The noisy row is ``alpha x0 + sigma e``.
    data, noise : array, shape (L,)
        The target is ``data x0 + noise e``.
    weight : array, shape (L,)
        Of the squared error.
    scale : array, shape (L,)
        What the noisy row is multiplied with before it enters the network; who applies the network
        has to do the same.
    time : array, shape (L,)
        What a network with time features is told: a time, or the logarithm of sigma.

    Raises
    ------
    ValueError
        If the arrays are not finite vectors of one length, or a weight or sigma is negative.

    See Also
    --------
    score_levels : Denoising score matching.
    path_levels : Diffusion and flow matching.

    Examples
    --------
    >>> from pm_energy.training.regression_noise import score_levels
    >>> levels = score_levels(0.5)
    >>> print(levels.sigma, levels.noise, levels.weight)
    [0.5] [-2.] [0.25]
    """

    alpha: np.ndarray
    sigma: np.ndarray
    data: np.ndarray
    noise: np.ndarray
    weight: np.ndarray
    scale: np.ndarray
    time: np.ndarray

    def __post_init__(self):
        for column in fields(self):
            value = np.asarray(parameter(column.name, getattr(self, column.name), ndim=1), float)
            if value.shape != np.shape(self.alpha) or not value.size:
                raise ValueError(
                    f"{column.name} must have one entry for each level, shape "
                    f"{np.shape(self.alpha)}, got {value.shape}"
                )
            object.__setattr__(self, column.name, value)
        for name in ("sigma", "weight"):
            if getattr(self, name).min() < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name).min():g}")

    def table(self):
        """Columns alpha, sigma, data, noise, weight and scale, as the kernel reads them."""
        columns = self.alpha, self.sigma, self.data, self.noise, self.weight, self.scale
        return np.ascontiguousarray(np.stack(columns, axis=1), np.float32)


def score_levels(sigma, weight=None):
    """Denoising score matching at one or many levels: noise is added, the network is the score.

    The network is told ``log(sigma)`` if it has time features.

    Parameters
    ----------
    sigma : float or array_like, shape (L,)
        Standard deviations of the noise.
    weight : float or array_like, shape (L,), optional
        Of the levels; by default ``sigma**2``, which gives each the same importance [1]_.

    Returns
    -------
    NoiseLevels

    Raises
    ------
    ValueError
        If a sigma or a weight is not positive.

    Examples
    --------
    >>> from pm_energy.training.regression_noise import score_levels
    >>> print(score_levels([5.0, 0.5]).weight)
    [25.    0.25]

    References
    ----------
    .. [1] Vincent (2011), Neural Computation 23, 1661-1674; Song & Ermon (2019), NeurIPS.
    """
    sigma = np.atleast_1d(positive("sigma", sigma))
    weight = (
        sigma**2 if weight is None else np.broadcast_to(positive("weight", weight), sigma.shape)
    )
    one = np.ones_like(sigma)
    return NoiseLevels(
        alpha=one, sigma=sigma, data=0 * one, noise=-1 / sigma, weight=weight, scale=one,
        time=np.log(sigma),
    )  # fmt: skip


def path_levels(schedule, prediction="noise", n_levels=1_000, weight=None, scaled=False):
    """Diffusion or flow matching along a schedule, with any prediction.

    Times are the midpoints of equal parts of the schedule's interval. Flow matching [2]_ is the
    prediction "velocity" along a :class:`~pm_energy.diffusion.schedules.StraightPath`.

    Parameters
    ----------
    schedule : NoiseSchedule
    prediction : {"score", "noise", "data", "velocity", "v"}
        What the network says; see :mod:`pm_energy.diffusion.predictions`.
    n_levels : int
    weight : array_like, shape (n_levels,), optional
        By default 1, the simple loss of [1]_, but ``sigma**2`` for scores, which is the same loss
        as that of noise.
    scaled : bool
        Whether the input is divided by ``sqrt(alpha**2 + sigma**2)``, its standard deviation where
        the data have 1. It matters where noise is much larger than data.

    Returns
    -------
    NoiseLevels

    Raises
    ------
    ValueError
        If the prediction is unknown, or weights do not fit.

    Examples
    --------
    >>> from pm_energy.diffusion import StraightPath
    >>> from pm_energy.training.regression_noise import path_levels
    >>> levels = path_levels(StraightPath(), "velocity", n_levels=4)
    >>> print(levels.time.round(2), levels.data, levels.noise)  # noise minus data
    [0.13 0.38 0.62 0.87] [-1. -1. -1. -1.] [1. 1. 1. 1.]

    References
    ----------
    .. [1] Ho, Jain & Abbeel (2020), "Denoising diffusion probabilistic models", NeurIPS.
    .. [2] Lipman et al. (2023), "Flow matching for generative modeling", ICLR.
    """
    share = (np.arange(positive_int("n_levels", n_levels)) + 0.5) / n_levels
    time = schedule.t_min + (schedule.t_max - schedule.t_min) * share
    alpha, sigma = schedule.alpha(time), schedule.sigma(time)
    data, noise = parts(prediction, time, schedule)
    if weight is None:
        weight = sigma**2 if prediction == "score" else np.ones_like(time)
    return NoiseLevels(
        alpha=alpha, sigma=sigma, data=data, noise=noise, weight=weight, time=time,
        scale=1 / np.hypot(alpha, sigma) if scaled else np.ones_like(time),
    )  # fmt: skip
