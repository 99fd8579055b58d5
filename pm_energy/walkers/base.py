"""What every driver asks of the states it moves along a path."""

import warnings
from abc import ABC, abstractmethod

import numpy as np


class Walkers(ABC):
    """States, each moved by a kernel that leaves ``base * exp(beta * log_ratio)`` invariant.

    A *ladder* of inverse temperatures defines *levels*. Whatever is tuned (step sizes, widths,
    PyMC step objects) belongs to a level, not to a state: a swap of parallel tempering exchanges
    the levels of two walkers and moves no state.

    Attributes
    ----------
    size : int
    log_ratio : ndarray, shape (size,)
        Log target minus log base, of each state. Minus infinity where the target vanishes.
    ladder : ndarray, shape (n_levels,)
    exact_base : bool
        Whether moves at beta = 0 are independent draws of the base.
    road : str
        How states are moved, in words.
    """

    size: int
    log_ratio: np.ndarray
    ladder: np.ndarray
    exact_base: bool
    road: str

    @abstractmethod
    def start(self, rng):
        """Put independent draws of the base everywhere, and tuning back to its beginning."""

    @abstractmethod
    def set_ladder(self, betas):
        """Set the levels. What was tuned is carried over to the level nearest in beta."""

    @abstractmethod
    def move(self, rng, levels, n_sweeps=1):
        """Move each walker at the inverse temperature of its level.

        Parameters
        ----------
        rng : numpy.random.Generator
        levels : ndarray of int, shape (size,)
        n_sweeps : int

        Returns
        -------
        ndarray, shape (size,)
            How much of its proposals each walker took, between 0 and 1; NaN where nobody counts.
        """

    @abstractmethod
    def adapt(self):
        """Improve what is tuned by what was seen since the last call, and forget that."""

    @abstractmethod
    def freeze(self):
        """Stop tuning: from here on moves leave their densities invariant exactly."""

    @abstractmethod
    def take(self, source):
        """Let walker i have a copy of the state of walker ``source[i]``: as many as sources."""

    @abstractmethod
    def values(self, which):
        """Return the states of some walkers: name of value variable -> array (len(which), ...)."""

    @abstractmethod
    def put(self, values):
        """Replace all states: name of value variable -> array (size, ...)."""

    def reseed(self, rng):
        """Give whatever draws from a random stream of its own a fresh one; here nothing does."""
        return None

    def statistics(self, walker):
        """Return what the last move of a walker has to tell, a dict for each step method."""
        return []

    @abstractmethod
    def state(self):
        """Everything that a later run needs to go on with the same draws; picklable."""

    @abstractmethod
    def restore(self, state):
        """Go on from what :meth:`state` returned."""


def checked_log_ratio(log_ratio, path, points):
    """Return starts with NaN taken for minus infinity, unless none is finite.

    Parameters
    ----------
    log_ratio : ndarray, shape (size,)
    path : Path
    points : list of dict
        The starts, to say what is wrong with them.

    Raises
    ------
    ValueError
        If there is no start at which the target does not vanish.
    """
    undefined = np.isnan(log_ratio)
    if undefined.any():
        point = points[int(np.argmax(undefined))]
        if undefined.all():
            raise ValueError(
                f"the log-density is not a number at any of {len(points)} draws of the base: "
                f"{path.explain(point)}"
            )
        warnings.warn(
            f"the log-density is not a number at {undefined.sum()} of {len(points)} draws of the "
            f"base, which are taken for impossible: {path.explain(point)}",
            stacklevel=3,
        )
    if np.any(log_ratio == np.inf):
        point = points[int(np.argmax(log_ratio))]
        raise ValueError(f"the log-density is infinite: {path.explain(point)}")
    return np.where(undefined, -np.inf, log_ratio)
