"""Langevin moves of many chains of real-valued units at once.

The drift is cut where it is long beside the noise [1]_: where an energy rises faster than a square,
the gradient far out would lead over to the other side, and a chain that starts there never move.

References
----------
.. [1] Roberts & Tweedie (1996), Bernoulli 2, 341-363: the truncated algorithm.
.. [2] Roberts & Rosenthal (1998), Journal of the Royal Statistical Society B 60, 255-268.
.. [3] Roberts & Rosenthal (2007), Journal of Applied Probability 44, 458-475.
"""

import numpy as np

TARGET = 0.574  # share of accepted moves at which MALA is fastest in many dimensions [2]_
LONGEST = 2.0  # drift, in units of the noise, which has a length of about sqrt(n)


class StepSize:
    """A step size that learns the acceptance rate, by steps that shrink [3]_.

    Attributes
    ----------
    value : float
    acceptance : float
        Share of accepted moves in the last call.
    """

    def __init__(self, n):
        self.value, self.acceptance = n ** (-1 / 6), np.nan
        self._count = 0

    def learn(self, acceptance):
        """Take the acceptance of one move of all chains into account."""
        self._count += 1
        self.value *= np.exp((acceptance - TARGET) * self._count**-0.6)

    def freeze(self):
        """Learn no more, so that moves are the same for all chains and times."""
        self._count = np.inf

    def state(self):
        """Return what it takes to go on, a dict of numbers."""
        return {"value": float(self.value), "count": self._count}

    def restore(self, state):
        """Go on from what :meth:`state` returned."""
        self.value, self._count = state["value"], state["count"]


def mala(x, value_and_slope, step_size, rng, n_moves):
    """Metropolis-adjusted Langevin moves, which leave ``exp(-value)`` invariant, in place.

    Parameters
    ----------
    x : array, shape (N, *block)
        Chains.
    value_and_slope : callable
        ``value_and_slope(x)``: minus the log-density of each row, and its gradient. Infinite values
        are never moved to.
    step_size : StepSize
        Tuned on the way.
    rng : numpy.random.Generator
    n_moves : int

    Examples
    --------
    >>> import numpy as np
    >>> x, step_size = np.zeros((500, 1)), StepSize(1)
    >>> def normal(x):
    ...     return 0.5 * (x**2).sum(axis=1), x
    >>> mala(x, normal, step_size, np.random.default_rng(0), 50)
    >>> bool(abs(x.std() - 1) < 0.1), round(step_size.acceptance, 1)
    (True, 0.6)
    """
    axes = tuple(range(1, x.ndim))
    value, slope = _at(x, value_and_slope)
    accepted = []
    for _ in range(n_moves):
        step = step_size.value
        noise = rng.standard_normal(x.shape)
        drift = _drift(slope, step)
        new = x + step * (noise - drift)
        new_value, new_slope = _at(new, value_and_slope)
        back = noise - drift - _drift(new_slope, step)  # minus the noise that would lead back
        with np.errstate(invalid="ignore"):
            log_ratio = value - new_value + 0.5 * (noise**2 - back**2).sum(axis=axes)
        chosen = np.log(rng.random(len(x))) < log_ratio  # never where it is NaN
        x[chosen], value[chosen], slope[chosen] = new[chosen], new_value[chosen], new_slope[chosen]
        accepted.append(np.exp(np.minimum(np.nan_to_num(log_ratio, nan=-np.inf), 0.0)).mean())
        step_size.learn(accepted[-1])
    step_size.acceptance = float(np.mean(accepted))


def langevin(x, value_and_slope, step_size, rng, n_moves):
    """Langevin moves that nothing corrects, in place.

    Their chains go to another distribution than ``exp(-value)``, the further the larger the step.

    Parameters
    ----------
    x, value_and_slope, rng, n_moves
        As for :func:`mala`.
    step_size : float
    """
    for _ in range(n_moves):
        _, slope = _at(x, value_and_slope)
        x += step_size * (rng.standard_normal(x.shape) - _drift(slope, step_size))


def _drift(slope, step):
    """Half the gradient in units of the noise, cut to a length that noise has, too."""
    drift = 0.5 * step * slope
    axes = tuple(range(1, drift.ndim))
    length = np.sqrt((drift**2).sum(axis=axes, keepdims=True))
    longest = LONGEST * np.sqrt(drift[0].size)
    return drift * (longest / np.maximum(length, longest))


def starts(n, shape, energies, rng):
    """Draw n starts from a standard normal, pulled towards zero until their energy is finite."""
    x = rng.standard_normal((n, *shape))
    for _ in range(60):
        outside = ~np.isfinite(energies(x))
        if not outside.any():
            break
        x[outside] *= 0.5
    return x


def _at(x, value_and_slope):
    value, slope = value_and_slope(x)
    return np.array(value), np.where(np.isfinite(slope), slope, 0.0)  # outside there is no slope
