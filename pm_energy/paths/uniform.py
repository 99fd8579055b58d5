"""The energy that is zero everywhere: the base of an energy's path."""

from dataclasses import dataclass
from typing import Any

import pytensor.tensor as pt

from pm_energy.energy import single_block


@dataclass(frozen=True, eq=False)
class UniformStates:
    """All states of discrete units are equally likely.

    Parameters
    ----------
    domain : Domain
    event_shape : tuple of int
    """

    domain: Any
    event_shape: tuple

    def __call__(self, x):
        """Zero for each state, (..., *event_shape[, q]) -> (...)."""
        units = len(self.event_shape) + self.domain.code_ndim
        return pt.zeros(pt.as_tensor(x).shape[: x.ndim - units])

    def draw(self, rng, size):
        """Draw states."""
        shape = (size, *self.event_shape)
        return rng.choice(self.domain.states, size=shape).astype(self.domain.dtype)


def uniform_like(energy):
    """Return the uniform distribution over the units of an energy."""
    block = single_block(energy)
    return UniformStates(block.domain, block.shape)
