r"""How data become noise: :math:`x_t = \alpha(t) x_0 + \sigma(t) \epsilon`, t from 0 to 1.

All are Gaussian paths and differ in two functions of time. Each is the solution of
:math:`dx = f(t) x\,dt + g(t)\,dW` with :math:`f = (\log \alpha)'` and
:math:`g^2 = (\sigma^2)' - 2 f \sigma^2`.

References
----------
.. [1] Song et al. (2021), "Score-based generative modeling through stochastic differential
   equations", ICLR.
.. [2] Lipman et al. (2023), "Flow matching for generative modeling", ICLR.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from pm_energy.diffusion.checks import checked_points, checked_time, in_interval
from pm_energy.validate import positive_int


class NoiseSchedule(ABC):
    """What all schedules share: everything that follows from alpha and sigma.

    A schedule gives ``_path(t)``, alpha and sigma; ``_rates(t)``, their derivatives; and
    ``_time(ratio)``, the time at which sigma / alpha has a value. Sampling goes from ``t_max``,
    where alpha is still above zero, to ``t_min``, where sigma is.
    """

    t_min: float
    t_max: float

    @abstractmethod
    def _path(self, t):
        """Alpha and sigma at checked times."""

    @abstractmethod
    def _rates(self, t):
        """Their derivatives."""

    @abstractmethod
    def _time(self, ratio):
        """Time at which sigma / alpha equals ``ratio``."""

    def path(self, t):
        """Alpha and sigma at times in [0, 1]: what is left of the data, and the noise."""
        return self._path(checked_time("t", t, with_zero=True))

    def alpha(self, t):
        """What is left of the data at times in [0, 1]."""
        return self.path(t)[0]

    def sigma(self, t):
        """Standard deviation of the noise at times in [0, 1]."""
        return self.path(t)[1]

    def rates(self, t):
        """Derivatives of alpha and of sigma at times in (0, 1]."""
        return self._rates(checked_time("t", t))

    def log_snr(self, t):
        r"""Log signal-to-noise ratio :math:`\log \alpha^2 / \sigma^2` at times in (0, 1]."""
        alpha, sigma = self._path(checked_time("t", t))
        with np.errstate(divide="ignore"):  # minus infinity where nothing is left of the data
            return 2 * (np.log(alpha) - np.log(sigma))

    def time_at(self, log_snr):
        """Time at which the log signal-to-noise ratio has a value; inverse of ``log_snr``."""
        return self._time(np.exp(-0.5 * np.asarray(log_snr, dtype=float)))

    def f(self, t):
        """Drift of the forward process, of x: ``d log alpha / dt``, at times in (0, 1]."""
        t = checked_time("t", t)
        with np.errstate(divide="ignore"):  # a straight path ends where alpha = 0
            return self._rates(t)[0] / self._path(t)[0]

    def g2(self, t):
        """Squared diffusion of the forward process at times in (0, 1]."""
        t = checked_time("t", t)
        sigma = self._path(t)[1]
        return 2 * sigma * (self._rates(t)[1] - self.f(t) * sigma)

    def diffuse(self, x, t, rng):
        """Draw ``x_t`` given ``x_0``, and the noise in it.

        Parameters
        ----------
        x : array, shape (N, d)
        t : float or array, shape (N,)
        rng : numpy.random.Generator

        Returns
        -------
        tuple of array
            ``x_t`` and ``noise``, both (N, d).
        """
        x = checked_points("x", x)
        alpha, sigma = self._path(column(checked_time("t", t, with_zero=True)))
        noise = rng.standard_normal(x.shape)
        return alpha * x + sigma * noise, noise

    @property
    def prior_variance(self):
        """Variance of the noise that sampling starts from, at ``t_max``."""
        return float(self.sigma(self.t_max) ** 2)

    def prior(self, rng, n, d):
        """Draw n starts of dimension d at ``t_max``, as if nothing were left of the data."""
        n, d = positive_int("n", n), positive_int("d", d)
        return np.sqrt(self.prior_variance) * rng.standard_normal((n, d))


def column(t):
    """One time for all rows as it is; one a row as a column."""
    return t if t.ndim == 0 else t.reshape(-1, 1)


def time_grid(schedule, n_steps, spacing="time"):
    """Times at which a sampler looks: ``n_steps`` from ``t_max`` to ``t_min``, and zero.

    Parameters
    ----------
    schedule : NoiseSchedule
    n_steps : int
        Steps, the last of which goes from ``t_min`` to 0.
    spacing : {"time", "log_snr"}
        What is equally spaced. Equal steps of the log signal-to-noise ratio are closer near the
        data; they suit solvers of ODEs.

    Returns
    -------
    array, shape (n_steps + 1,)

    Raises
    ------
    ValueError
        If ``n_steps`` is below 1 or ``spacing`` is unknown.

    Examples
    --------
    >>> from pm_energy.diffusion import VarianceExploding, time_grid
    >>> time_grid(VarianceExploding(0.01, 10.0), 4).round(3)
    array([1.   , 0.667, 0.334, 0.001, 0.   ])
    """
    n_steps = positive_int("n_steps", n_steps)
    start, stop = schedule.t_max, schedule.t_min
    if spacing == "time":
        times = np.linspace(start, stop, n_steps)
    elif spacing == "log_snr":
        times = schedule.time_at(
            np.linspace(schedule.log_snr(start), schedule.log_snr(stop), n_steps)
        )
        times[0] = start  # not off by rounding, where the last one may leave [0, 1]
    else:
        raise ValueError(f'spacing must be "time" or "log_snr", got {spacing!r}')
    return np.append(times, 0.0)


def check_ends(schedule):
    """Raise a ValueError unless 0 < t_min < t_max <= 1."""
    if not 0 < schedule.t_min < schedule.t_max <= 1:
        raise ValueError(
            "t_min and t_max must obey 0 < t_min < t_max <= 1, "
            f"got {schedule.t_min} and {schedule.t_max}"
        )


@dataclass(frozen=True)
class VarianceExploding(NoiseSchedule):
    r"""Noise on top of the data, its standard deviation in equal ratios; alpha = 1 [1]_.

    .. math:: \sigma(t) = \sigma_{min} (\sigma_{max} / \sigma_{min})^t

    Except that there is none at t = 0.

    Parameters
    ----------
    sigma_min, sigma_max : float
        Least noise, well below the smallest structure of the data, and most noise, well above the
        largest distance between points.
    t_min, t_max : float
        Where sampling ends and starts.

    Raises
    ------
    ValueError
        If noise is not positive or does not rise.

    Examples
    --------
    >>> from pm_energy.diffusion import VarianceExploding
    >>> VarianceExploding(0.1, 10.0).sigma([0.5, 1.0])
    array([ 1., 10.])

    References
    ----------
    .. [1] Song & Ermon (2019), "Generative modeling by estimating gradients of the data
       distribution", NeurIPS; Song et al. (2021), ICLR.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self):
        check_ends(self)
        lowest = in_interval("sigma_min", self.sigma_min, 0.0, open_below=True)
        in_interval("sigma_max", self.sigma_max, lowest, open_below=True)

    def _path(self, t):
        sigma = self.sigma_min * (self.sigma_max / self.sigma_min) ** t
        return np.ones_like(t), np.where(t > 0, sigma, 0.0)

    def _rates(self, t):
        return np.zeros_like(t), self._path(t)[1] * np.log(self.sigma_max / self.sigma_min)

    def _time(self, ratio):
        return np.log(ratio / self.sigma_min) / np.log(self.sigma_max / self.sigma_min)


@dataclass(frozen=True)
class StraightPath(NoiseSchedule):
    """From data to noise along a line: alpha = 1 - t, sigma = t, as in flow matching [1]_.

    Parameters
    ----------
    t_min, t_max : float
        Where sampling ends and starts: alpha is 0 at t = 1, so a bit before.

    Raises
    ------
    ValueError
        Unless 0 < t_min < t_max <= 1.

    Examples
    --------
    >>> from pm_energy.diffusion import StraightPath
    >>> path = StraightPath()
    >>> print(path.alpha(0.25), path.sigma(0.25), path.log_snr(0.5))
    0.75 0.25 0.0

    References
    ----------
    .. [1] Lipman et al. (2023), ICLR; Liu, Gong & Liu (2023), "Flow straight and fast", ICLR.
    """

    t_min: float = 1e-3
    t_max: float = 0.999

    def __post_init__(self):
        check_ends(self)

    def _path(self, t):
        return 1.0 - t, t * 1.0

    def _rates(self, t):
        return -np.ones_like(t), np.ones_like(t)

    def _time(self, ratio):
        return ratio / (1 + ratio)
