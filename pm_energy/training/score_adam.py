"""Adam on arrays, for fits that take less time than an optimiser's graph does to compile."""

import numpy as np

from pm_energy.training.schedules import Schedule
from pm_energy.validate import positive

MEAN, SQUARE, EPSILON = 0.9, 0.999, 1e-8  # as of PyMC's


class Adam:
    """Updates by Adam [1]_: to rounding those of ``Updates(make_optimiser("adam", rate))``.

    Parameters
    ----------
    rate : float or Schedule

    Raises
    ------
    ValueError
        If a rate is not positive.

    References
    ----------
    .. [1] Kingma & Ba (2015), Adam: a method for stochastic optimization, ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.score_adam import Adam
    >>> theta = Adam(0.5)({"bias": np.array([1.0, 2.0])}, {"bias": np.array([3.0, -3.0])})
    >>> theta["bias"].round(6)
    array([0.5, 2.5])
    """

    def __init__(self, rate=1e-3):
        if not isinstance(rate, Schedule):
            positive("rate", rate)
        self.rate, self.step = rate, 0
        self._mean = self._square = None

    def state(self):
        """Return the moments and the count of steps, which it takes to go on."""
        return {"mean": self._mean, "square": self._square, "step": self.step}

    def restore(self, state):
        """Go on from what :meth:`state` returned."""
        self._mean, self._square = (
            None if state[name] is None else state[name].copy() for name in ("mean", "square")
        )
        self.step = state["step"]

    def __call__(self, theta, gradient):
        """Return the parameters after one step; the ones given stay as they are."""
        flat = np.concatenate([np.ravel(value) for value in theta.values()])
        slope = np.concatenate([np.ravel(gradient[name]) for name in theta])
        slope = slope.astype(flat.dtype, copy=False)
        if self._mean is None:
            self._mean, self._square = np.zeros_like(flat), np.zeros_like(flat)
        rate = float(self.rate(self.step) if isinstance(self.rate, Schedule) else self.rate)
        self.step += 1
        self._mean += (1 - MEAN) * (slope - self._mean)
        self._square += (1 - SQUARE) * (slope * slope - self._square)
        rate *= np.sqrt(1 - SQUARE**self.step) / (1 - MEAN**self.step)
        flat -= flat.dtype.type(rate) * self._mean / (np.sqrt(self._square) + EPSILON)
        ends = np.cumsum([value.size for value in theta.values()])[:-1]
        parts = zip(theta.items(), np.split(flat, ends), strict=True)
        return {name: part.reshape(value.shape) for (name, value), part in parts}
