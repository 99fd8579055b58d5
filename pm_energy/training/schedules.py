"""Learning rates as functions of the step: of a number, or of a counter in a PyTensor graph.

A step counts the updates made so far, so the first one is step 0. Each formula is written once, for
numpy and PyTensor.

References
----------
.. [1] Robbins & Monro (1951), Annals of Mathematical Statistics 22, 400-407.
.. [2] Loshchilov & Hutter (2017), "SGDR: stochastic gradient descent with warm restarts", ICLR.
.. [3] Hu et al. (2024), "MiniCPM", arXiv:2404.06395: warm-up, stable, decay.
"""

import math
import numbers
from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from pm_energy.validate import parameter, positive, positive_int


@dataclass(frozen=True)
class Constant:
    """The same rate at all steps.

    Parameters
    ----------
    rate : float

    Examples
    --------
    >>> from pm_energy.training.schedules import Constant
    >>> Constant(0.1)(7)
    0.1
    """

    rate: float

    def __post_init__(self):
        _check_rate(self.rate)

    def __call__(self, step):
        """Rate at a step."""
        return self.rate


@dataclass(frozen=True)
class Inverse:
    """A rate that falls as one over the step: ``rate / (1 + step / delay)``.

    Its sum is infinite and that of its squares finite, as stochastic approximation asks for [1]_.

    Parameters
    ----------
    rate : float
        At the first step.
    delay : int
        Steps until the rate has halved.

    Examples
    --------
    >>> from pm_energy.training.schedules import Inverse
    >>> print(Inverse(0.1, delay=100)(100))
    0.05

    References
    ----------
    .. [1] Robbins & Monro (1951), Annals of Mathematical Statistics 22, 400-407.
    """

    rate: float
    delay: int

    def __post_init__(self):
        _check_rate(self.rate)
        positive_int("delay", self.delay)

    def __call__(self, step):
        """Rate at a step."""
        return self.rate / (1 + step / self.delay)


@dataclass(frozen=True)
class Cosine:
    """A linear warm-up, then half a cosine from ``rate`` to ``final`` [1]_.

    Parameters
    ----------
    rate : float
        The highest rate.
    n_steps : int
        Steps in all; the rate is ``final`` from there on.
    warm_up : int
        Steps of the warm-up, the last of which has the full rate.
    final : float

    Examples
    --------
    >>> from pm_energy.training.schedules import Cosine
    >>> schedule = Cosine(0.1, n_steps=1_000, warm_up=100)
    >>> print([round(float(schedule(step)), 4) for step in (0, 99, 100, 550, 1_000)])
    [0.001, 0.1, 0.1, 0.05, 0.0]

    References
    ----------
    .. [1] Loshchilov & Hutter (2017), "SGDR: stochastic gradient descent with warm restarts", ICLR.
    """

    rate: float
    n_steps: int
    warm_up: int = 0
    final: float = 0.0

    def __post_init__(self):
        _check_rate(self.rate)
        _check_phases(self.n_steps, self.final, warm_up=self.warm_up)

    def __call__(self, step):
        """Rate at a step."""
        xp = _library(step)
        done = xp.clip((step - self.warm_up) / max(self.n_steps - self.warm_up, 1), 0.0, 1.0)
        down = self.final + (self.rate - self.final) * (1 + xp.cos(math.pi * done)) / 2
        return _warmed_up(xp, step, self.warm_up, self.rate, down)


@dataclass(frozen=True)
class WarmUpStableDecay:
    """A linear warm-up, a constant rate, and a linear decay to ``final`` at the end [1]_.

    Only the last phase needs to know when learning ends, so a run can be prolonged from before it.

    Parameters
    ----------
    rate : float
        The highest rate.
    n_steps : int
        Steps in all; the rate is ``final`` from there on.
    warm_up, decay : int
        Steps of the first and of the last phase.
    final : float

    Examples
    --------
    >>> from pm_energy.training.schedules import WarmUpStableDecay
    >>> schedule = WarmUpStableDecay(0.1, n_steps=1_000, warm_up=100, decay=200)
    >>> print([round(float(schedule(step)), 4) for step in (0, 99, 800, 900, 1_000)])
    [0.001, 0.1, 0.1, 0.05, 0.0]

    References
    ----------
    .. [1] Hu et al. (2024), "MiniCPM", arXiv:2404.06395.
    """

    rate: float
    n_steps: int
    warm_up: int
    decay: int
    final: float = 0.0

    def __post_init__(self):
        _check_rate(self.rate)
        _check_phases(self.n_steps, self.final, warm_up=self.warm_up, decay=self.decay)

    def __call__(self, step):
        """Rate at a step."""
        xp = _library(step)
        left = xp.clip((self.n_steps - step) / max(self.decay, 1), 0.0, 1.0)
        down = self.final + (self.rate - self.final) * left
        return _warmed_up(xp, step, self.warm_up, self.rate, down)


Schedule = Constant | Inverse | Cosine | WarmUpStableDecay


def _library(step):
    return pt if isinstance(step, Variable) else np


def _warmed_up(xp, step, warm_up, rate, later):
    """A rate that rises in equal steps, none of which is zero, before it is what it is later."""
    return xp.where(step < warm_up, rate * (step + 1) / max(warm_up, 1), later)


def _check_rate(rate):
    parameter("rate", rate, ndim=0)
    positive("rate", rate)


def _check_phases(n_steps, final, **phases):
    positive_int("n_steps", n_steps)
    if parameter("final", final, ndim=0) < 0:
        raise ValueError(f"final must be a rate of at least zero, got {final!r}")
    for name, steps in phases.items():
        if isinstance(steps, bool) or not isinstance(steps, numbers.Integral) or steps < 0:
            raise ValueError(f"{name} must be an integer of at least zero, got {steps!r}")
    if sum(phases.values()) > n_steps:
        named = " + ".join(phases)
        raise ValueError(f"{named} must be at most n_steps = {n_steps}, got {sum(phases.values())}")
