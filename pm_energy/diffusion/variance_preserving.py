"""Schedules that keep unit variance, or nearly so: those of DDPM and its relatives."""

from dataclasses import dataclass

import numpy as np

from pm_energy.diffusion.checks import in_interval
from pm_energy.diffusion.schedules import NoiseSchedule, check_ends
from pm_energy.validate import numeric_array


@dataclass(frozen=True)
class VariancePreserving(NoiseSchedule):
    r"""DDPM in continuous time: beta rises linearly, alpha^2 + sigma^2 = 1 [1]_.

    .. math:: \alpha^2 = e^{-B(t)}, \quad B(t) = \int_0^t \beta
       = \beta_{min} t + (\beta_{max} - \beta_{min}) t^2 / 2

    Parameters
    ----------
    beta_min, beta_max : float
        Rates at t = 0 and t = 1, per unit of time; of DDPM's 1,000 steps, 1,000 times each beta.
    t_min, t_max : float
        Where sampling ends and starts.

    Raises
    ------
    ValueError
        If rates are not positive or fall.

    Examples
    --------
    >>> from pm_energy.diffusion import VariancePreserving
    >>> schedule = VariancePreserving()
    >>> print(round(float(schedule.alpha(0.5) ** 2 + schedule.sigma(0.5) ** 2), 12))
    1.0

    References
    ----------
    .. [1] Ho, Jain & Abbeel (2020), "Denoising diffusion probabilistic models", NeurIPS; in
       continuous time Song et al. (2021), ICLR.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self):
        check_ends(self)
        _check_betas(self)

    def _path(self, t):
        total = _linear_integral(self, t)
        return np.exp(-0.5 * total), np.sqrt(-np.expm1(-total))

    def _rates(self, t):
        alpha, sigma = self._path(t)
        beta = self.beta_min + (self.beta_max - self.beta_min) * t
        return -0.5 * beta * alpha, 0.5 * beta * alpha**2 / sigma

    def _time(self, ratio):
        return _linear_time(self, np.log1p(ratio**2))


@dataclass(frozen=True)
class SubVP(NoiseSchedule):
    r"""As :class:`VariancePreserving`, with less noise on the way: sigma = 1 - alpha^2 [1]_.

    Parameters
    ----------
    beta_min, beta_max, t_min, t_max : float
        As of :class:`VariancePreserving`.

    Raises
    ------
    ValueError
        If rates are not positive or fall.

    Examples
    --------
    >>> from pm_energy.diffusion import SubVP
    >>> schedule = SubVP()
    >>> print(round(float(schedule.alpha(0.3) ** 2 + schedule.sigma(0.3)), 12))
    1.0

    References
    ----------
    .. [1] Song et al. (2021), "Score-based generative modeling through stochastic differential
       equations", ICLR.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self):
        check_ends(self)
        _check_betas(self)

    def _path(self, t):
        total = _linear_integral(self, t)
        return np.exp(-0.5 * total), -np.expm1(-total)

    def _rates(self, t):
        alpha = self._path(t)[0]
        beta = self.beta_min + (self.beta_max - self.beta_min) * t
        return -0.5 * beta * alpha, beta * alpha**2

    def _time(self, ratio):
        return _linear_time(self, 2 * np.arcsinh(ratio / 2))  # sigma / alpha = 2 sinh(B / 2)


def _check_betas(schedule):
    lowest = in_interval("beta_min", schedule.beta_min, 0.0, open_below=True)
    in_interval("beta_max", schedule.beta_max, lowest)


def _linear_integral(schedule, t):
    low, high = schedule.beta_min, schedule.beta_max
    return t * (low + 0.5 * (high - low) * t)


def _linear_time(schedule, total):
    low, rise = schedule.beta_min, schedule.beta_max - schedule.beta_min
    return 2 * total / (low + np.sqrt(low**2 + 2 * rise * total))  # no cancellation at small t


@dataclass(frozen=True)
class CosineVP(NoiseSchedule):
    r"""Variance preserving, alpha the quarter of a cosine [1]_.

    .. math:: \alpha = \cos\phi(t) / \cos\phi(0), \quad \phi = \tfrac{\pi}{2} (t + s) / (1 + s)

    Parameters
    ----------
    offset : float
        s above, which keeps the first noises from being too small.
    t_min, t_max : float
        Where sampling ends and starts: alpha is 0 at t = 1, so a bit before.

    Raises
    ------
    ValueError
        If the offset is negative.

    Examples
    --------
    >>> from pm_energy.diffusion import CosineVP
    >>> CosineVP().alpha([0.0, 0.5, 1.0]).round(3)
    array([1.   , 0.703, 0.   ])

    References
    ----------
    .. [1] Nichol & Dhariwal (2021), "Improved denoising diffusion probabilistic models", ICML.
    """

    offset: float = 0.008
    t_min: float = 1e-3
    t_max: float = 0.999

    def __post_init__(self):
        check_ends(self)
        in_interval("offset", self.offset, 0.0)

    def _angle(self, t):
        return 0.5 * np.pi * (t + self.offset) / (1 + self.offset)

    def _path(self, t):
        now, first = self._angle(t), self._angle(0.0)
        # sin(a - b) sin(a + b) = sin(a)^2 - sin(b)^2: 1 - alpha^2 would lose digits at small t
        noise = np.sin(now - first) * np.sin(now + first)
        return np.maximum(np.cos(now), 0.0) / np.cos(first), np.sqrt(noise) / np.cos(first)

    def _rates(self, t):
        alpha, sigma = self._path(t)
        down = -0.5 * np.pi / (1 + self.offset) * np.sin(self._angle(t)) / np.cos(self._angle(0.0))
        return down, -alpha * down / sigma

    def _time(self, ratio):
        first = self._angle(0.0)
        # sin(phi)^2 from 1 - alpha^2 and alpha^2 = 1 / (1 + ratio^2)
        sine2 = (ratio**2 + np.sin(first) ** 2) / (1 + ratio**2)
        cosine2 = np.cos(first) ** 2 / (1 + ratio**2)
        angle = np.arctan2(np.sqrt(sine2), np.sqrt(cosine2))
        return (angle - first) * 2 * (1 + self.offset) / np.pi


@dataclass(frozen=True, eq=False)
class StepwiseVP(NoiseSchedule):
    r"""Variance preserving by a table of betas, as DDPM gives it [1]_.

    With T betas, :math:`\alpha(i/T)^2 = \prod_{j \le i} (1 - \beta_j)`, and
    :math:`\log \alpha` is linear in between. So a sampler of T steps equally spaced in time is
    DDPM's own.

    Parameters
    ----------
    betas : array_like, shape (T,)
        Variance of the noise that each step adds, in (0, 1).

    Attributes
    ----------
    t_min, t_max : float
        1 / T and 1.

    Raises
    ------
    ValueError
        If a beta is outside (0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion import StepwiseVP
    >>> schedule = StepwiseVP(np.linspace(1e-4, 0.02, 1_000))
    >>> print(round(float(schedule.alpha(1.0) ** 2), 9))
    4.0358e-05

    References
    ----------
    .. [1] Ho, Jain & Abbeel (2020), NeurIPS.
    """

    betas: np.ndarray

    def __post_init__(self):
        betas = numeric_array("betas", self.betas).astype(float)
        if betas.ndim != 1 or betas.size < 2 or not ((betas > 0) & (betas < 1)).all():
            raise ValueError("betas must be two or more numbers in (0, 1), one for each step")
        object.__setattr__(self, "betas", betas)
        object.__setattr__(self, "t_min", 1.0 / betas.size)
        object.__setattr__(self, "t_max", 1.0)
        totals = np.append(0.0, np.cumsum(-np.log1p(-betas)))
        object.__setattr__(self, "_totals", totals)
        object.__setattr__(self, "_times", np.linspace(0.0, 1.0, betas.size + 1))

    def _path(self, t):
        total = np.interp(t, self._times, self._totals)
        return np.exp(-0.5 * total), np.sqrt(-np.expm1(-total))

    def _rates(self, t):
        alpha, sigma = self._path(t)
        step = np.clip(np.ceil(t * self.betas.size).astype(int) - 1, 0, self.betas.size - 1)
        beta = np.diff(self._totals)[step] * self.betas.size
        return -0.5 * beta * alpha, 0.5 * beta * alpha**2 / sigma

    def _time(self, ratio):
        return np.interp(np.log1p(ratio**2), self._totals, self._times)
