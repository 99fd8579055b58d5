"""Levels of noise of which one network energy knows: how broad its bowl is, and what it is told."""

from dataclasses import dataclass

import numpy as np

from pm_energy.networks.features import time_wave_slopes, time_waves

FEATURES = 2  # of the level, a quarter turn: energies change smoothly with it


@dataclass(frozen=True)
class NoiseRange:
    r"""All noise between two standard deviations, as seen by a network energy.

    At a level :math:`\sigma` a :class:`~pm_energy.energies.neural.NeuralEnergy` has a bowl as broad
    as the data with that noise, so that the network only says how they differ from a normal
    distribution; and it is told :math:`\log \sigma` by sines and cosines.

    Parameters
    ----------
    low, high : float
        Least and most noise, in the units of the data.

    Raises
    ------
    ValueError
        If ``low`` is not above zero or ``high`` not above ``low``.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.noise_range import NoiseRange
    >>> levels = NoiseRange(0.1, 10.0)
    >>> levels.ladder(3)
    array([10. ,  1. ,  0.1])
    >>> levels.scale(np.array([0.5]), 0.1), levels.scale(np.array([0.5]), 10.0).round(2)
    (array([0.5]), array([10.01]))
    >>> levels.draw(np.random.default_rng(0), 1000).mean().round(1)  # 9.9 / log(100)
    np.float64(2.1)
    """

    low: float
    high: float

    def __post_init__(self):
        if not 0 < self.low < self.high < np.inf:
            raise ValueError(
                "sigma must be a least noise above zero and a larger one, got "
                f"({self.low:g}, {self.high:g})"
            )

    def draw(self, rng, n):
        """Draw n levels, shape (n,), log-uniform: one from each of n parts, in random order."""
        return self._at((rng.permutation(n) + rng.random(n)) / n)

    def ladder(self, n):
        """Return n levels from the most noise to the least, in equal ratios."""
        return self._at(np.linspace(1.0, 0.0, n))

    def scale(self, scale, sigma):
        """Return deviations (..., d) of data with noise sigma (...), from those at the least."""
        return np.sqrt(scale**2 - self.low**2 + np.asarray(sigma)[..., None] ** 2)

    def place(self, location, scale, sigma):
        """Return what a NeuralEnergy of that noise is given beside its layers, a dict."""
        context = self.context(sigma)[0]
        return {"location": location, "scale": self.scale(scale, sigma), "context": context}

    def context(self, sigma):
        """Return what the network is told of sigma, shape (N, k) of N levels or of one."""
        return time_waves(*self._log(sigma), "float64")

    def context_slope(self, sigma):
        """Return the derivative of :meth:`context` in log sigma."""
        return time_wave_slopes(*self._log(sigma), "float64")

    def _at(self, share):
        return self.low * (self.high / self.low) ** share

    def _log(self, sigma):
        return np.log(np.atleast_1d(sigma)), FEATURES, (np.log(self.low), np.log(self.high))
