"""One PyMC distribution for every energy."""

from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.distribution import Distribution, _support_point
from pymc.logprob.abstract import _logprob
from pytensor.graph.basic import Variable
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.op import RandomVariable, RNGConsumerOp
from pytensor.tensor.utils import safe_signature

from pm_energy import log_partition as lp
from pm_energy.compile import draw_in_object_mode
from pm_energy.compose import Clamped, Marginal, Tempered
from pm_energy.draws import draw_states
from pm_energy.energy import blocks_of, evaluate, single_block
from pm_energy.pseudolikelihood import log_pseudolikelihood
from pm_energy.structure import flatten, leaf_specs, unflatten
from pm_energy.validate import is_numeric, parameter, positive, states_in_domain


class EnergyRV(RandomVariable):
    """Random variable of any energy: its structure is in the Op, its parameters are the inputs.

    ``normaliser`` says how log p is made: None (``-E``, log Z constant), a key of
    :data:`pm_energy.log_partition.METHODS`, "pseudolikelihood", or a callable of the energy.
    """

    name = "boltzmann"
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
        dtype = block.domain.dtype
        signature = safe_signature(ndims, [len(block.shape)])
        return cls(signature=signature, dtype=dtype, structure=structure, normaliser=normaliser), leaves

    def __str__(self):
        return f"{self.name}_rv{{{self.structure.cls.__name__}}}"

    def energy(self, leaves):
        """Put the energy together around its parameters."""
        return unflatten(self.structure, leaves)

    def core_inputs(self):
        """Fresh variables for one state and for each parameter, without batch axes."""
        leaves = [
            pt.tensor(dtype=leaf.dtype, shape=(None,) * leaf.ndim) for leaf in leaf_specs(self.structure)
        ]
        block = single_block(self.energy(leaves))
        return pt.tensor(dtype=self.dtype, shape=block.shape), leaves

    def _supp_shape_from_params(self, dist_params, param_shapes=None):
        return tuple(pt.constant(k, dtype="int64") for k in single_block(self.energy(dist_params)).shape)

    def rng_fn(self, rng, *args):
        *leaves, size = args
        cores = self.ndims_params
        batch = [leaf.shape[: leaf.ndim - k] for leaf, k in zip(leaves, cores, strict=True)]
        size = np.broadcast_shapes(*batch) if size is None else tuple(int(s) for s in size)
        leaves = [
            np.broadcast_to(leaf, size + leaf.shape[leaf.ndim - k :])
            for leaf, k in zip(leaves, cores, strict=True)
        ]
        shape = single_block(self.energy(leaves)).shape
        if not any(batch):  # one energy for all draws
            energy = self.energy([leaf[(0,) * len(size)] for leaf in leaves])
            return draw_states(energy, rng, int(np.prod(size))).reshape(*size, *shape)
        out = np.empty(size + shape, dtype=self.dtype)
        for i in np.ndindex(*size):
            out[i] = draw_states(self.energy([leaf[i] for leaf in leaves]), rng, 1)[0]
        return out


draw_in_object_mode(EnergyRV, lambda op, rng, params: draw_states(op.energy(params), rng, 1)[0])


@dataclass(frozen=True)
class Whole:
    """Normaliser of a partly observed field: log p is that of all units, held ones included."""

    normaliser: object


@_logprob.register(EnergyRV)
def _energy_logprob(op, values, rng, size, *params, **kwargs):
    [value] = values
    x, leaves = op.core_inputs()
    return vectorize_graph(core_logp(op, x, leaves), {x: value, **dict(zip(leaves, params, strict=True))})


def core_logp(op, x, leaves):
    """Log p of one state. Vectorising this formula, not calling it on batches, keeps any formula right."""
    energy, state, normaliser = op.energy(leaves), x, op.normaliser
    domain = single_block(energy).domain
    if isinstance(normaliser, Whole):
        energy, state, normaliser = energy.energy, energy.scatter(x), normaliser.normaliser
    if normaliser == "pseudolikelihood":
        value = log_pseudolikelihood(energy, state)
    else:
        value = -evaluate(energy, state)
        if normaliser is not None:
            log_z = normaliser if callable(normaliser) else lp.METHODS[normaliser]
            value = value - log_z(energy)
    if domain.states is None:
        allowed = pt.isfinite(x)
    else:
        # out-of-range states would read beyond tables
        first, last = int(domain.states[0]), int(domain.states[-1])
        allowed = pt.ge(x, first) & pt.le(x, last)
        if last - first + 1 != len(domain.states):
            allowed &= pt.neq(x, 0)
    outside = [v for v in ancestors([value]) if v.owner and isinstance(v.owner.op, RNGConsumerOp)]
    if outside:
        raise ValueError(
            f"the random variables {outside} reach the formula of {op} by closure; "
            "make them fields of the energy (or parameters of energy_from_function)"
        )
    return pt.switch(pt.all(allowed), value, -np.inf)


@_support_point.register(EnergyRV)
def _energy_support_point(op, rv, rng, size, *params):
    energy = op.energy(params)
    if hasattr(energy, "support_point"):
        return pt.broadcast_to(pt.as_tensor(energy.support_point()), rv.shape).astype(op.dtype)
    states = single_block(energy).domain.states
    return pt.full(rv.shape, 0 if states is None else states[-1], dtype=op.dtype)


def _random_parents(params):
    return [
        v
        for v in ancestors([p for p in params if isinstance(p, Variable)])
        if v.owner and isinstance(v.owner.op, RNGConsumerOp)
    ]


def _choose_normaliser(energy, log_partition):
    """Return how log p is normalised, or raise an error that lists the choices."""
    _, leaves = flatten(energy)
    if log_partition is not None:
        if log_partition == "pseudolikelihood" or callable(log_partition):
            if log_partition == "pseudolikelihood":
                _check_pseudolikelihood(energy)
            return log_partition
        if log_partition != "exact":
            raise ValueError(
                "log_partition must be None, 'exact', 'pseudolikelihood' or a callable, "
                f"got {log_partition!r}"
            )
    elif not _random_parents(leaves):
        return None  # a constant log Z matters to nobody
    reasons = []
    for name, method in lp.METHODS.items():
        try:
            method(energy)
        except lp.NotTractable as why:
            reasons.append(f"  - {name}: {why}")
        else:
            return name
    raise ValueError(
        f"the parameters of {type(energy).__name__} depend on random variables, so its log Z matters, "
        "and it is not available exactly:\n" + "\n".join(reasons) + "\nYour choices:\n"
        "  - a smaller or simpler energy, for which it is exact;\n"
        "  - log_partition='pseudolikelihood', an approximation (Besag 1975);\n"
        "  - log_partition=f, a callable that returns log Z (or an approximation) as a PyTensor\n"
        "    expression of the energy;\n"
        "  - parameters that are constants or pm.Data."
    )


def _check_pseudolikelihood(energy):
    if single_block(energy).domain.states is None:
        raise ValueError("log_partition='pseudolikelihood' is for discrete units")


def _prepare(energy, temperature):
    """One block, tempered. Temperature acts on the joint of an energy with hidden units."""
    temperature = positive("temperature", parameter("temperature", temperature, 0))
    if len(blocks_of(energy)) == 2:
        energy = Marginal(energy)
    if is_numeric(temperature) and temperature == 1:
        return energy
    beta = 1.0 / temperature
    if isinstance(energy, Marginal):
        return Marginal(Tempered(energy.energy, beta), energy.block)
    return Tempered(energy, beta)


class Boltzmann(Distribution):
    r"""The distribution :math:`p(x) = \exp(-E(x) / T) / Z` of an energy.

    Discrete energies give integer states, sampled by :class:`~pm_energy.EnergyGibbs` by itself;
    continuous ones are sampled by NUTS. An energy with a visible and a hidden layer gives the visible
    layer, the hidden one summed out; temperature acts on both.

    Parameters
    ----------
    energy : Energy
        What :mod:`pm_energy` offers, a dataclass of your own, or
        :func:`~pm_energy.energy_from_function`. Its parameters may be random variables.
    temperature : tensor_like, shape ()
        T, in the units of the energy.
    log_partition : None, "exact", "pseudolikelihood" or callable
        How log Z is found where it matters: where a parameter depends on a random variable. By
        default it is exact or an error lists the choices. "exact" asks for it also where it is a
        constant. "pseudolikelihood" replaces the likelihood by the product of the conditionals
        [1]_, an approximation. A callable takes the energy and returns log Z.
    **kwargs
        ``dims``, ``shape``, ``observed``, ``initval`` and so on, as for any PyMC distribution.
        Missing (masked or NaN) entries of ``observed`` are imputed by Gibbs sampling.

    Raises
    ------
    ValueError
        If the shape contradicts the energy's, observed states lie outside the domain, or log Z matters
        and is not available.

    References
    ----------
    .. [1] Besag (1975), The Statistician 24, 179-195.

    Examples
    --------
    >>> import pymc as pm
    >>> import pm_energy as pme
    >>> with pm.Model():
    ...     z = pme.Boltzmann("z", pme.Ising(lattice=(8, 8), coupling=0.3))
    >>> z.type.shape, z.dtype
    ((8, 8), 'int8')
    """

    rv_type = EnergyRV

    def __new__(cls, name, energy, *, temperature=1.0, log_partition=None, observed=None, **kwargs):
        """Add the variable to the model."""
        prepared = _prepare(energy, temperature)
        if observed is not None and not isinstance(observed, Variable):
            observed, missing = _read_observed(observed, prepared)
            if missing is not None:
                normaliser = Whole(_choose_normaliser(prepared, log_partition))
                return _impute(name, prepared, observed, missing, normaliser, **kwargs)
        return super().__new__(
            cls, name, prepared, log_partition=log_partition, observed=observed, **kwargs
        )

    @staticmethod
    def rv_op(energy, normaliser=None, *, size=None, rng=None, dtype=None, return_next_rng=False):
        """Build the variable's graph."""
        op, leaves = EnergyRV.of(energy, normaliser)
        return op(*leaves, size=size, rng=rng, return_next_rng=return_next_rng)

    @classmethod
    def dist(cls, energy, *, temperature=1.0, log_partition=None, shape=None, **kwargs):
        """Return the variable without adding it to a model."""
        energy = _prepare(energy, temperature)
        block = single_block(energy)
        _check_shape(shape, block.shape)
        normaliser = _choose_normaliser(energy, log_partition)
        return super().dist([energy, normaliser], shape=shape, **kwargs)


def _check_shape(shape, event_shape):
    if shape is None or shape is Ellipsis:
        return
    shape = (shape,) if not isinstance(shape, tuple | list) else tuple(shape)
    tail = shape[len(shape) - len(event_shape) :]
    known = [(a, b) for a, b in zip(tail, event_shape, strict=False) if isinstance(a, int | np.integer)]
    if len(shape) < len(event_shape) or any(a != b for a, b in known):
        raise ValueError(
            f"shape must end with the energy's own shape {event_shape} (batch axes lead), got {shape}"
        )


def _read_observed(observed, energy):
    """Return observed states in the domain's dtype and a mask of missing ones, or None."""
    block = single_block(energy)
    values = np.ma.asarray(observed) if np.ma.isMaskedArray(observed) else np.asarray(observed)
    missing = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else np.zeros(values.shape, bool)
    values = np.ma.getdata(values)
    if values.dtype.kind == "f":
        missing = missing | np.isnan(values)
    if values.shape[values.ndim - len(block.shape) :] != block.shape or values.ndim < len(block.shape):
        raise ValueError(f"observed must end with the energy's shape {block.shape}, got {values.shape}")
    filler = 0 if block.domain.states is None else block.domain.states[0]
    states = states_in_domain("observed", np.where(missing, filler, values), block.domain)
    return states, missing if missing.any() else None


def _impute(name, energy, observed, missing, normaliser, dims=None, shape=None, **kwargs):
    """Add the missing entries as a free variable and the whole field as a Deterministic."""
    event_shape = single_block(energy).shape
    if missing.shape != event_shape:
        raise ValueError(
            f"observed has batch axes {missing.shape} and missing entries; "
            "make one variable for each field"
        )
    if missing.all():
        raise ValueError("observed has no observed entry; leave it out")
    clamped = Clamped(energy, ~missing, observed)
    model = pm.modelcontext(None)
    rv = super(Boltzmann, Boltzmann).dist([clamped, normaliser])
    free = model.register_rv(rv, model.name_for(f"{name}_unobserved"), **kwargs)
    return pm.Deterministic(name, clamped.scatter(free), dims=dims)
