"""What every driver asks of the states it moves along a path."""

from abc import ABC, abstractmethod

import numpy as np


class Walkers(ABC):
    """States, each moved by a kernel that leaves its own ``base * exp(beta * log_ratio)`` invariant.

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
        """Let walker i have a copy of the state of walker ``source[i]``."""

    @abstractmethod
    def values(self, which):
        """Return the states of some walkers: name of value variable -> array (len(which), ...)."""

    @abstractmethod
    def put(self, values):
        """Replace all states: name of value variable -> array (size, ...)."""

    @abstractmethod
    def state(self):
        """Everything that a later run needs to go on with the same draws; picklable."""

    @abstractmethod
    def restore(self, state):
        """Go on from what :meth:`state` returned."""
