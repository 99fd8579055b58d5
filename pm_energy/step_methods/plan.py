"""How a variable will be swept: the ladder of roads, from the fastest that is exact to the slowest.

1. Other terms of the model are site-wise and the energy has a form: a numba kernel.
2. Other terms are site-wise and the energy is affine in each unit: conditionals from its gradient.
3. Otherwise the whole log-density is evaluated, with locally balanced moves where it is
   differentiable in two-state units, by heat bath where it is not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant
from pytensor.graph.replace import graph_replace, vectorize_graph
from pytensor.graph.traversal import ancestors

from pm_energy.compile import compile_function, evaluate_once
from pm_energy.energy import evaluate, field, single_block
from pm_energy.forms import find_form
from pm_energy.graph.factors import split_factors
from pm_energy.graph.sitewise import model_site_log_weights
from pm_energy.kernels.single_site import derived_sweeps
from pm_energy.quadratic import NotQuadratic, affine_failure
from pm_energy.roads import sweeper
from pm_energy.step_methods.whole_density import NotDifferentiable, balanced, evaluated


class Road(IntEnum):
    """How EnergyGibbs samples a variable; the integer is recorded as the statistic ``road``."""

    KERNEL = 0
    DERIVED = 1
    BALANCED = 2
    EVALUATED = 3

    @property
    def label(self):
        """The road in words."""
        return {
            Road.KERNEL: "a kernel of its normal form",
            Road.DERIVED: "conditionals derived from its gradient",
            Road.BALANCED: "locally balanced moves on the whole log-density",
            Road.EVALUATED: "heat bath on the whole log-density",
        }[self]


@dataclass(frozen=True)
class Plan:
    """A chosen road.

    Attributes
    ----------
    road : Road
    reason : str
        Why this road and no faster one.
    sweep : callable
        ``sweep(point, x, rng, n_sweeps)`` updates x in place and counts the units that changed.
    energy : callable
        ``energy(point)``: the variable's own energy.
    """

    road: Road
    reason: str
    sweep: Callable
    energy: Callable


class Reader:
    """Graphs over a model's point -> arrays, compiled once, evaluated only if they can change."""

    def __init__(self, outputs, variables, numbers, mode, data=()):
        used = set(ancestors(outputs))
        inputs = [v for v in variables if v in used]
        numbers = {v: value for v, value in numbers.items() if v in used}
        self.constant = None
        # a shared variable that is no data of the model, a temperature, is set anew between steps
        changing = any(isinstance(v, SharedVariable) and v not in data for v in used)
        if not inputs and not changing:
            given = {v: pt.constant(value) for v, value in numbers.items()}
            self.constant = evaluate_once(graph_replace(outputs, given, strict=False))
            return
        self.names, self.numbers = [v.name for v in inputs], list(numbers.values())
        self.fn = compile_function([*inputs, *numbers], outputs, mode)

    def __call__(self, point):
        """Evaluate the graphs at a point of the model."""
        if self.constant is not None:
            return self.constant
        # as arrays: some step methods leave numpy scalars in the point, some modes give others
        values = self.fn(*[np.asarray(point[name]) for name in self.names], *self.numbers)
        return [np.asarray(v) for v in values]


class _Site:
    """What all roads share: the variable's value, Op and parameters in terms of values."""

    def __init__(self, model, rv, mode):
        self.op, self.x = rv.owner.op, model.rvs_to_values[rv]
        self.variables, self.mode, self.data = model.value_vars, mode, model.data_vars
        params = model.replace_rvs_by_values(self.op.dist_params(rv.owner))
        # numbers are inputs: as constants they would be compiled in, anew for every value
        self.numbers = {p.type(): p.data for p in params if isinstance(p, Constant)}
        inputs = iter(self.numbers)
        self.params = [next(inputs) if isinstance(p, Constant) else p for p in params]
        self.core_x, self.leaves = self.op.core_inputs()
        self.core_energy = self.op.energy(self.leaves)
        self.block = single_block(self.core_energy)
        self.ndim_batch = self.x.ndim - len(self.block.shape)

    def batched(self, graphs):
        """Core graphs of the leaves (and perhaps the state) as graphs of the model's values."""
        given = dict(zip(self.leaves, self.params, strict=True)) | {self.core_x: self.x}
        return vectorize_graph(list(graphs), given) if graphs else []

    def reader(self, outputs):
        return Reader(outputs, self.variables, self.numbers, self.mode, self.data)


def make_plan(model, rv, point, mode=None, make_sweep=sweeper):
    """Choose the fastest exact road for a variable of a model.

    ``make_sweep(form, domain)`` gives the kernel of a normal form.
    """
    site = _Site(model, rv, mode)
    states = site.block.domain.states
    weights, unproven = model_site_log_weights(model, rv, states, point)
    reader = site.reader(site.batched([evaluate(site.core_energy, site.core_x)]))

    def energy(point):
        return float(np.sum(reader(point)[0]))

    if unproven:
        name, why = next(iter(unproven.items()))
        road, reason, sweep = _whole_density(model, rv, site)
        return Plan(road, f"the term {name} is not site-wise ({why}); {reason}", sweep, energy)
    terms = "no other term depends on it" if weights is None else "all other terms are site-wise"
    try:
        form = find_form(site.core_energy)
    except NotQuadratic as why:
        failure = affine_failure(site.core_energy)
        if failure is None:
            reason = f"{terms}; no normal form ({why}), but the energy is affine in each unit"
            return Plan(Road.DERIVED, reason, _derived(site, weights), energy)
        road, reason, sweep = _whole_density(model, rv, site)
        return Plan(road, f"{terms}; the energy is not affine ({failure}); {reason}", sweep, energy)
    sweep = _kernel(site, form, weights, make_sweep(form, site.block.domain))
    return Plan(Road.KERNEL, f"{terms}; {form.label}", sweep, energy)


def _kernel(site, form, weights, sweep_one):
    core = [pt.as_tensor(t) for t in form.tensors]
    tensors = site.batched(core)
    outputs = [*tensors, weights] if weights is not None else tensors
    reader = site.reader(outputs)
    ranks, batch_ndim = [t.ndim for t in core], site.ndim_batch

    def sweep(point, x, rng, n_sweeps):
        values = reader(point)
        numbers = values[: len(ranks)]
        log_weights = values[-1] if weights is not None else None
        if not batch_ndim:
            return sweep_one(rng, x, numbers, log_weights, n_sweeps)
        batch = x.shape[:batch_ndim]
        full = [
            np.broadcast_to(v, batch + v.shape[v.ndim - rank :])
            for v, rank in zip(numbers, ranks, strict=True)
        ]
        changes = 0
        for i in np.ndindex(*batch):
            w = None if log_weights is None else log_weights[(slice(None), *i)]
            changes += sweep_one(rng, x[i], [v[i] for v in full], w, n_sweeps)
        return changes

    return sweep


def _derived(site, weights):
    domain = site.block.domain
    code = pt.tensor(shape=site.block.code_shape, dtype="float64")
    slope = field(site.core_energy, code)
    slope = graph_replace(slope, {code: domain.encode(site.core_x)}, strict=False)
    fields = site.reader(site.batched([slope]))
    static = site.reader([weights]) if weights is not None else None
    states, name = domain.states, site.x.name
    codes = np.eye(len(states)) if domain.code_ndim else states[:, None].astype(float)

    def sweep(point, x, rng, n_sweeps):
        flat, point = x.reshape(-1), {**point, name: x}
        w = None if static is None else static(point)[0].reshape(len(states), -1)

        def slope(_):
            return fields(point)[0].reshape(x.size, -1)

        return derived_sweeps(rng, flat, states, codes, slope, w, n_sweeps)

    return sweep


def _whole_density(model, rv, site):
    own, others, x = split_factors(model, rv)
    density = sum((term.sum() for term in others.values()), own.sum())
    states = site.block.domain.states
    reason = "categories have no gradient"
    if len(states) == 2:
        try:
            sweep = balanced(density, x, states, site.reader)
        except NotDifferentiable as why:
            reason = str(why)
        else:
            return Road.BALANCED, "its gradient informs the moves", sweep
    return Road.EVALUATED, reason, evaluated(density, x, states, site.reader)
