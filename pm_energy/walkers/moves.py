"""Many states of one energy, each moved at an inverse temperature of its own.

What annealing and tempering of discrete energies stand on. By the fastest way that an energy
allows: spins with pair couplings all states at once (:mod:`pm_energy.walkers.spin_moves`); other
normal forms state by state, by the kernel of the form with scaled numbers; whatever has no normal
form by heat bath on differences of the energy itself, a unit at a time in all states together.
"""

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from threading import Lock

import numpy as np

from pm_energy.compile import energy_function
from pm_energy.energy import single_block
from pm_energy.forms import Held, Layers
from pm_energy.roads import sweeper
from pm_energy.walkers.tempering import temper

PROBED = 64  # units whose costs are evaluated, where each takes an evaluation of the energy
MANY_ROWS = 2**16  # evaluations enough for a compiler to pay
AT_ONCE = 2**16  # numbers: half a megabyte stays in the cache
_ONE_AT_A_TIME = Lock()  # compiled functions are shared, and no two threads may be in one
ROUNDING = 1e-12  # of the largest energy


class Moves(ABC):
    """Moves that leave ``exp(beta * log_ratio)`` invariant, for rows of states.

    Attributes
    ----------
    block : Block
        The units of a state.
    road : str
        How they are moved, in words.
    batch : int
        How many states to move together.
    updates_a_part : int
        How many updates of units to make, about, before one looks at the clock.
    """

    road: str
    batch = 64
    updates_a_part = 2**17

    def __init__(self, energy, weights=None):
        self.energy, self.block = energy, single_block(energy)
        self.states = self.block.domain.states
        self.weights = weights
        self._energies = energy_function(energy, MANY_ROWS)

    def __reduce__(self):
        return type(self), (self.energy, self.weights)

    def draw(self, rng, size):
        """Return independent uniform states, shape (size, *event_shape)."""
        numbers = rng.integers(len(self.states), size=(size, *self.block.shape), dtype=np.int16)
        return self.states[numbers]

    def energies(self, x):
        """Energies of states (B, *event_shape): the very numbers of the formula."""
        step = max(1, AT_ONCE // max(1, math.prod(self.block.code_shape)))
        out = np.empty(len(x))
        for i in range(0, len(x), step):
            with _ONE_AT_A_TIME:
                out[i : i + step] = self._energies(x[i : i + step])
        return out

    def log_ratio(self, x):
        """Minus the energy, plus the weights, of states (B, *event_shape)."""
        value = -self.energies(x)
        if self.weights is not None:
            number = np.searchsorted(self.states, x.reshape(len(x), -1))
            table = self.weights.reshape(len(self.states), -1)
            value += np.take_along_axis(table, number, axis=0).sum(axis=1)
        return value

    @abstractmethod
    def sweep(self, rng, x, betas, n_sweeps=1):
        """Sweep each row of x, shape (B, *event_shape), in place, at its own of the betas."""

    def anneal(self, rng, x, schedule):
        """Sweep all rows once at each inverse temperature of a schedule."""
        for beta in schedule:
            self.sweep(rng, x, np.full(len(x), beta))

    def temper(self, rng, x, betas, replica, n_iterations, **how):
        """Run parallel tempering; see :func:`pm_energy.walkers.tempering.temper`."""
        return temper(self, rng, x, betas, replica, n_iterations, **how)

    def descend(self, x):
        """Change units one by one, in place, until no change of one unit lowers the energy."""
        n, value, still = x[0].size, -self.log_ratio(x), np.zeros(len(x), dtype=int)
        i = 0
        while still.min() < n:  # each row has seen all units since its last change
            choice, cost = self._alternatives(x, i, value)
            best = cost.argmin(axis=0)
            lower = cost.min(axis=0) < value - ROUNDING * np.abs(value)
            best = np.where(lower, best, 0)
            self._put(x, i, np.take_along_axis(choice, best[None], axis=0)[0])
            value = np.take_along_axis(cost, best[None], axis=0)[0]
            still = np.where(lower, 0, still + 1)
            i = (i + 1) % n

    def costs(self, x):
        """Changes of the energy by changes of one unit, shape (B, some)."""
        value = -self.log_ratio(x)
        n = x[0].size
        sites = np.unique(np.linspace(0, n - 1, PROBED).astype(int))
        with np.errstate(invalid="ignore"):
            found = [self._alternatives(x, i, value)[1][1:] - value for i in sites]
        return np.concatenate(found).T

    def _alternatives(self, x, i, value):
        """States of unit i, that of each row first, shape (q, B), and the energies with them."""
        q = len(self.states)
        now = np.searchsorted(self.states, x.reshape(len(x), -1)[:, i])
        choice = self.states[(now + np.arange(q)[:, None]) % q]
        trial = np.repeat(x[None], q - 1, axis=0)
        trial.reshape(q - 1, len(x), -1)[:, :, i] = choice[1:]
        others = -self.log_ratio(trial.reshape(-1, *self.block.shape)).reshape(q - 1, len(x))
        others[np.isnan(others)] = np.inf  # never accepted, as in PyMC's Metropolis
        return choice, np.concatenate([value[None], others])

    @staticmethod
    def _put(x, i, column):
        x.reshape(len(x), -1)[:, i] = column


class EvaluatedMoves(Moves):
    """Heat bath on differences of the energy, whatever it is."""

    road = "heat bath on differences of the energy"

    def sweep(self, rng, x, betas, n_sweeps=1):
        """Sweep, a unit at a time in all rows together."""
        value = -self.log_ratio(x)
        value[np.isnan(value)] = np.inf
        for i in np.tile(np.arange(x[0].size), n_sweeps):
            choice, cost = self._alternatives(x, i, value)
            least = cost.min(axis=0)
            # rows at beta = 0 choose among all, states of infinite energy included
            with np.errstate(invalid="ignore"):
                logit = np.where((betas == 0) | np.isinf(least), 0.0, -betas * (cost - least))
            cumulative = np.cumsum(np.exp(logit), axis=0)
            chosen = (cumulative <= rng.random(len(x)) * cumulative[-1]).sum(axis=0)[None]
            self._put(x, i, np.take_along_axis(choice, chosen, axis=0)[0])
            value = np.take_along_axis(cost, chosen, axis=0)[0]


class FormMoves(Moves):
    """The kernel of a normal form, with scaled numbers, state by state."""

    def __init__(self, energy, form, tensors, weights=None):
        super().__init__(energy, weights)
        self.form, self.tensors = form, tensors
        self.road = f"a kernel of its normal form: {form.label}"
        layers = isinstance(form.form if isinstance(form, Held) else form, Layers)
        kernel = sweeper(form, self.block.domain)

        @lru_cache(maxsize=64)
        def at(beta):
            # the kernel for layers keeps its weights in a layout of its own, one for each beta
            here = sweeper(form, self.block.domain) if layers else kernel
            scaled = [beta * tensor for tensor in tensors]
            return here, scaled, None if weights is None else beta * weights

        self._at = at

    def __reduce__(self):
        return type(self), (self.energy, self.form, self.tensors, self.weights)

    def sweep(self, rng, x, betas, n_sweeps=1):
        """Sweep row by row."""
        for row, beta in zip(x, betas, strict=True):
            kernel, tensors, weights = self._at(float(beta))
            kernel(rng, row, tensors, weights, n_sweeps)
