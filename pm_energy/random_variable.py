"""The random variable of an energy: its graph, its log-density and its draws."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.distribution import _support_point
from pymc.logprob.abstract import _logprob
from pytensor.compile.ops import TypeCastingOp
from pytensor.gradient import grad_undefined
from pytensor.graph.basic import Apply
from pytensor.graph.replace import _vectorize_node, vectorize_graph
from pytensor.graph.traversal import ancestors, walk
from pytensor.tensor.random.op import RandomVariable, RNGConsumerOp
from pytensor.tensor.utils import safe_signature

from pm_energy import log_partition as lp
from pm_energy.draws import draw_states
from pm_energy.energy import evaluate, single_block
from pm_energy.pseudolikelihood import log_pseudolikelihood
from pm_energy.structure import flatten, leaf_specs, unflatten


class EnergyRV(RandomVariable):
    """Random variable of any energy: its structure is in the Op, its parameters are the inputs.

    ``normaliser`` says how log p is made: None (``-E``, log Z constant), a key of
    :data:`pm_energy.log_partition.METHODS`, "pseudolikelihood", a callable of the energy, or
    "exchange" (``-E``, log Z left to the exchange algorithm).
    """

    name = "boltzmann"
    _print_name = ("Boltzmann", r"\operatorname{Boltzmann}")
    __props__ = (*RandomVariable.__props__, "structure", "normaliser")

    def __init__(self, name="boltzmann", signature=None, dtype=None, inplace=False, structure=None,
                 normaliser=None):  # fmt: skip
        self.structure = structure
        self.normaliser = normaliser
        super().__init__(name=name, signature=signature, dtype=dtype, inplace=inplace)

    @classmethod
    def of(cls, energy, normaliser=None):
        """Return the Op of an energy and its inputs."""
        structure, leaves = flatten(energy)
        block = single_block(energy)
        ndims = [leaf.ndim for leaf in leaf_specs(structure)]
        op = cls(
            signature=safe_signature(ndims, [len(block.shape)]),
            dtype=block.domain.dtype,
            structure=structure,
            normaliser=normaliser,
        )
        # what is wrong with the formula shows here, not when log p is first needed
        core_logp(op, *op.core_inputs())
        return op, leaves

    def __str__(self):
        return f"{self.name}_rv{{{self.structure.cls.__name__}}}"

    def energy(self, leaves):
        """Put the energy together around its parameters."""
        return unflatten(self.structure, leaves)

    def core_inputs(self):
        """Fresh variables for one state and for each parameter, without batch axes."""
        specs = leaf_specs(self.structure)
        leaves = [pt.tensor(dtype=leaf.dtype, shape=leaf.shape) for leaf in specs]
        block = single_block(self.energy(leaves))
        return pt.tensor(dtype=self.dtype, shape=block.shape), leaves

    def _supp_shape_from_params(self, dist_params, param_shapes=None):
        shape = single_block(self.energy(dist_params)).shape
        return tuple(pt.constant(k, dtype="int64") for k in shape)

    def rng_fn(self, rng, *args):
        """Draw states for parameters with or without batch axes."""
        *leaves, size = args
        cores = self.ndims_params
        batch = [leaf.shape[: leaf.ndim - k] for leaf, k in zip(leaves, cores, strict=True)]
        size = np.broadcast_shapes(*batch) if size is None else tuple(int(s) for s in size)
        leaves = [
            np.broadcast_to(leaf, size + leaf.shape[leaf.ndim - k :])
            for leaf, k in zip(leaves, cores, strict=True)
        ]
        shape = single_block(self.energy(leaves)).shape
        if all(math.prod(axes) == 1 for axes in batch):  # one energy for all draws
            energy = self.energy([leaf[(0,) * len(size)] for leaf in leaves])
            return draw_states(energy, rng, int(np.prod(size))).reshape(*size, *shape)
        out = np.empty(size + shape, dtype=self.dtype)
        for i in np.ndindex(*size):
            out[i] = draw_states(self.energy([leaf[i] for leaf in leaves]), rng, 1)[0]
        return out


# Under numba, PyTensor calls rng_fn in object mode and warns of it. That is what we want: an
# implementation that is registered takes seconds to compile anew in every process.
warnings.filterwarnings("ignore", message="Numba will use object mode to run boltzmann_rv")


def random_ancestors(variables):
    """Random variables among what the given variables depend on."""
    return [v for v in ancestors(variables) if _is_random(v)]


def nearest_random(variables, also=()):
    """Random variables (or others named) that the given ones reach through deterministic nodes."""

    def stops(v):
        return v in also or _is_random(v)

    return [v for v in walk(variables, lambda v: v.owner and not stops(v) and v.owner.inputs)
            if stops(v)]  # fmt: skip


def _is_random(v):
    return v.owner is not None and isinstance(v.owner.op, RNGConsumerOp)


@dataclass(frozen=True)
class Whole:
    """Normaliser of a partly observed field: log p is that of all units, held ones included."""

    normaliser: object


def leaves_out_log_z(op):
    """Whether an EnergyRV's log p lacks a log Z that may matter: it is for the exchange algorithm.

    Such a density must not be tempered, nor differentiated or compared at other parameters.
    """
    inner = op.normaliser.normaliser if isinstance(op.normaliser, Whole) else op.normaliser
    return inner == "exchange"


def mark_exchange_parameters(variables):
    """Note on the random variables next to these that no step method but one may move them.

    For where there is no model to look at: copies of a variable keep such notes.
    """
    for v in nearest_random(variables):
        v.tag.exchange_parameter = True


def is_exchange_parameter(rv):
    """Whether a random variable carries that note."""
    return getattr(rv.tag, "exchange_parameter", False)


class LogZLeftOut(TypeCastingOp):  # not a ViewOp: PyMC simplifies those away before gradients
    """A parameter as it is, marked: the density it goes into lacks log Z.

    So the density is found wherever it is used, and its gradient in the parameter, which is not the
    gradient of log p, is refused.
    """

    def make_node(self, x):
        """Take any tensor."""
        return Apply(self, [x], [x.type()])

    def infer_shape(self, node, shapes):
        """Return the shape of the parameter."""
        return shapes

    def pullback(self, args, outputs, g_outs):
        """Refuse."""
        why = (
            "A Boltzmann variable with log_partition='exchange' has no gradient in its parameters: "
            "leave them to EnergyExchange, which pm.sample assigns by itself."
        )
        return [grad_undefined(self, 0, args[0], why)]


@_vectorize_node.register(LogZLeftOut)
def _vectorize_mark(op, node, batched):
    return op.make_node(batched)


def core_logp(op, x, leaves):
    """Log p of one state. To vectorise this formula, not to call it on batches, keeps it right.

    Parameters
    ----------
    op : EnergyRV
    x : TensorVariable, shape (*event_shape)
    leaves : list of TensorVariable
        Parameters without batch axes, as from ``op.core_inputs()``.

    Returns
    -------
    TensorVariable, shape ()

    Raises
    ------
    ValueError
        If the formula leaves axes, or looks at random variables that are no parameters.
    """
    if leaves_out_log_z(op):
        leaves = [LogZLeftOut()(leaf) for leaf in leaves]
    energy, state, normaliser = op.energy(leaves), x, op.normaliser
    domain = single_block(energy).domain
    if isinstance(normaliser, Whole):
        energy, state, normaliser = energy.energy, energy.scatter(x), normaliser.normaliser
    if normaliser == "pseudolikelihood":
        value = log_pseudolikelihood(energy, state)
    else:
        value = -evaluate(energy, state)
        if normaliser not in (None, "exchange"):
            log_z = normaliser if callable(normaliser) else lp.METHODS[normaliser]
            value = value - log_z(energy)
    if value.ndim:
        raise ValueError(
            f"the formula of {op} must sum over all its units to a number for each state, and it "
            f"(with log Z, if any) leaves {value.ndim} axes"
        )
    outside = random_ancestors([value])
    if outside:
        raise ValueError(
            f"the random variables {outside} reach the formula of {op} by closure; "
            "make them fields of the energy (or parameters of energy_from_function)"
        )
    return pt.switch(pt.all(_allowed(x, domain.states)), value, -np.inf)


def _allowed(x, states):
    """Whether each state is in the domain: others would read beyond tables."""
    if states is None:
        return pt.isfinite(x)
    first, last = int(states[0]), int(states[-1])
    allowed = pt.ge(x, first) & pt.le(x, last)
    return allowed if last - first + 1 == len(states) else allowed & pt.neq(x, 0)


@_logprob.register(EnergyRV)
def _energy_logprob(op, values, rng, size, *params, **kwargs):
    [value] = values
    x, leaves = op.core_inputs()
    lead = (None,) * (value.ndim - x.ndim)
    value = pt.specify_shape(value, (*lead, *x.type.shape))  # pm.Data may change its shape
    given = {x: value, **dict(zip(leaves, params, strict=True))}
    return vectorize_graph(core_logp(op, x, leaves), given)


@_support_point.register(EnergyRV)
def _energy_support_point(op, rv, rng, size, *params):
    energy = op.energy(params)
    if hasattr(energy, "support_point"):
        return pt.broadcast_to(pt.as_tensor(energy.support_point()), rv.shape).astype(op.dtype)
    states = single_block(energy).domain.states
    return pt.full(rv.shape, 0 if states is None else states[-1], dtype=op.dtype)
