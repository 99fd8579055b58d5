"""What learning derives from an energy's formula: compiled once for each structure.

All functions take batches of the visible units, inverse temperature where it matters, and all
parameters of the energy as float64 arrays.
"""

import math
from functools import lru_cache

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import grad
from pytensor.graph.replace import vectorize_graph

from pm_energy.compile import ONCE, compile_function
from pm_energy.compose import Marginal, Tempered
from pm_energy.energy import blocks_of, evaluate, field, free_energy, single_block
from pm_energy.forms import find_form
from pm_energy.polynomial import NotQuadratic
from pm_energy.pseudolikelihood import log_pseudolikelihood
from pm_energy.quadratic import affine_failure
from pm_energy.roads import sweeper
from pm_energy.structure import leaf_specs, unflatten
from pm_energy.training.energy_parameters import constrained

COMPILER_PAYS = 2**16  # numbers in a call: a thousand such calls take as long as compiling


@lru_cache(maxsize=64)
def graphs_of(structure, places):
    """Return the :class:`EnergyGraphs` of a structure whose leaves at ``places`` are learned."""
    return EnergyGraphs(structure, places)


class EnergyGraphs:
    """Formula of an energy over visible and, perhaps, hidden units, and its derivatives.

    Parameters
    ----------
    structure : hashable
        From :func:`pm_energy.structure.flatten`.
    places : tuple of int
        Which leaves are learned.

    Raises
    ------
    ValueError
        If the energy has more than one block of units and none can be summed out.
    """

    def __init__(self, structure, places):
        self.leaves = [pt.tensor(dtype=s.dtype, shape=s.shape) for s in leaf_specs(structure)]
        self.learned = [self.leaves[i] for i in places]
        self.energy = unflatten(structure, constrained(structure, self.leaves))
        self.joint, self.hidden_place = _layers(self.energy)
        blocks = list(blocks_of(self.joint))
        self.numbers = sum(math.prod(block.code_shape) for block in blocks)
        self.hidden = None if self.hidden_place is None else blocks.pop(self.hidden_place)
        (self.block,) = blocks
        self.dtype = self.block.domain.dtype if self.block.domain.code_ndim else "float64"
        self._compiled = {}

    def call(self, name, rows, *arrays):
        """Evaluate one of the functions below; ``rows`` decides whether a compiler pays."""
        mode = None if rows * self.numbers > COMPILER_PAYS else ONCE
        if (name, mode) not in self._compiled:
            inputs, outputs = getattr(self, name)()
            self._compiled[name, mode] = compile_function([*inputs, *self.leaves], outputs, mode)
        return self._compiled[name, mode](*arrays)

    def units(self):
        """A batch of visible units: floats, or categories."""
        return pt.tensor("x", dtype=self.dtype, shape=(None, *self.block.shape))

    def free(self, x, beta=None):
        """Free energy of visible units, that of both layers at ``beta`` if given."""
        energy = self.joint if beta is None else Tempered(self.joint, beta)
        if self.hidden is None:
            return energy(x) if self.dtype == "float64" else evaluate(energy, x)
        code = x if self.dtype == "float64" else self.block.domain.encode(x)
        return free_energy(energy, code, wrt=self.hidden_place)

    def free_energy(self):
        """Units and beta -> free energy of each row."""
        x, beta = self.units(), pt.dscalar("beta")
        return [x, beta], self.free(x, beta)

    def statistics(self):
        """Units and weights -> weighted sum of ``-dF/dtheta``."""
        x, weights = self.units(), pt.dvector("weights")
        return [x, weights], _slopes(-(weights * self.free(x)).sum(), self.learned)

    def statistics_rows(self):
        """Units -> ``-dF/dtheta`` of each row."""
        x, row = self.units(), pt.tensor(dtype=self.dtype, shape=self.block.shape)
        out = []
        for slope in _slopes(-self.free(row), self.learned):
            value = vectorize_graph(slope, {row: x})
            if value.ndim == slope.ndim:  # the same for all rows
                value = pt.broadcast_to(value, (x.shape[0], *slope.shape))
            out.append(value)
        return [x], out

    def value_and_slope(self):
        """Units and beta -> free energy of each row and its gradient in the units."""
        x, beta = self.units(), pt.dscalar("beta")
        value = self.free(x, beta)
        return [x, beta], [value, *_slopes(value.sum(), [x])]

    def hidden_field(self):
        """Units -> field on the hidden units, which is the same for all of their states."""
        x = self.units()
        zero = pt.zeros((x.shape[0], *self.hidden.code_shape))
        return [x], field(self.joint, *self._layers(x, zero), wrt=self.hidden_place)

    def joint_energy(self):
        """Units and hidden states -> energy of both."""
        x = self.units()
        h = pt.tensor("h", dtype=self.hidden.domain.dtype, shape=(None, *self.hidden.shape))
        return [x, h], self.joint(*self._layers(x, self.hidden.domain.encode(h)))

    def _layers(self, x, hidden):
        code = x if self.dtype == "float64" else self.block.domain.encode(x)
        return (code, hidden) if self.hidden_place == 1 else (hidden, code)

    @property
    def sweeper(self):
        """Numbers and a sweep over one state from the package's kernels, or None without a form."""
        if "sweeper" not in self._compiled:
            beta = pt.dscalar("beta")
            target = Tempered(self.joint, beta)
            if self.hidden is not None:
                target = Marginal(target, block=self.hidden_place)
            try:
                form = find_form(target)
            except NotQuadratic:
                found = None
            else:
                tensors = [pt.as_tensor(t) for t in form.tensors]
                numbers = compile_function([beta, *self.leaves], tensors, ONCE)
                found = numbers, sweeper(form, self.block.domain)
            self._compiled["sweeper"] = found
        return self._compiled["sweeper"]

    def pseudolikelihood(self):
        """Units and weights -> minus the log-pseudolikelihood and its gradient."""
        x, weights = self.units(), pt.dvector("weights")
        state = pt.tensor(dtype=self.block.domain.dtype, shape=self.block.shape)
        energy = self.energy if self.hidden is None else Marginal(self.joint, self.hidden_place)
        each = vectorize_graph(log_pseudolikelihood(energy, state), {state: x})
        loss = -(weights * each).sum()
        return [x, weights], [loss, *_slopes(loss, self.learned)]

    @property
    def is_affine(self):
        """Whether two-state visible units enter affinely once hidden ones are summed out."""
        if "affine" not in self._compiled:
            single = self.hidden is None
            self._compiled["affine"] = single and affine_failure(self.energy) is None
        return self._compiled["affine"]

    def flips(self):
        """Units -> change of free energy by flipping each, shape (N, n)."""
        x = self.units()
        n, total = math.prod(self.block.shape), float(self.block.domain.states.sum())
        flat = x.reshape((-1, n))
        if self.is_affine:
            (slope,) = _slopes(self.free(x).sum(), [x])
            return x, slope.reshape((-1, n)) * (total - 2.0 * flat)
        here = pt.eye(n, dtype="bool")
        neighbours = pt.where(here, total - flat[:, None, :], flat[:, None, :])
        changed = self.free(neighbours.reshape((-1, *self.block.shape))).reshape((-1, n))
        return x, changed - self.free(x)[:, None]

    def flip_pseudolikelihood(self):
        """Units and weights -> weighted sum of ``softplus(-Delta)``, and its gradient."""
        return self._flip_loss(lambda delta: pt.softplus(-delta))

    def flip_ratio_matching(self):
        """Units and weights -> weighted sum of ``sigmoid(-Delta)**2``, and its gradient."""
        return self._flip_loss(lambda delta: pt.sigmoid(-delta) ** 2)

    def flip_probability_flow(self):
        """Units and weights -> weighted sum of ``exp(-Delta / 2)``, and its gradient."""
        return self._flip_loss(lambda delta: pt.exp(-0.5 * delta))

    def _flip_loss(self, cost):
        weights = pt.dvector("weights")
        x, delta = self.flips()
        loss = (weights * cost(delta).sum(axis=1)).sum()
        return [x, weights], [loss, *_slopes(loss, self.learned)]


def _layers(energy):
    """The energy of all units, and the block that is summed out, or None."""
    if isinstance(energy, Marginal):
        return energy.energy, energy.block
    if len(blocks_of(energy)) == 2:
        return energy, Marginal(energy).block  # raises where that cannot be done
    single_block(energy)
    return energy, None


def _slopes(cost, variables):
    return grad(cost, variables, disconnected_inputs="ignore", return_disconnected="zero")


def row_shares(weights, n):
    """Row weights that sum to 1."""
    if weights is None:
        return np.full(n, 1 / n)
    weights = np.asarray(weights, dtype=float)
    if weights.shape != (n,) or not weights.sum() > 0:
        raise ValueError(f"weights must have shape ({n},) and a positive sum")
    return weights / weights.sum()
