"""Exact log Z as a differentiable PyTensor expression, wherever the energy allows it."""

import math

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable

from pm_energy.compose import Joined, Marginal, Tempered
from pm_energy.energies.ising import Ising
from pm_energy.energies.potts import Potts
from pm_energy.energies.sites import Lattice
from pm_energy.energy import blocks_of, evaluate
from pm_energy.exact.enumeration import all_states, count_states
from pm_energy.exact.kaufman import log_partition_torus
from pm_energy.exact.transfer import (
    MAX_RING_STATES,
    log_partition_potts_strip,
    log_partition_strip,
)
from pm_energy.validate import is_numeric

ENUMERATION_LIMIT = 2**16  # states in a graph; its gradient holds several arrays of that length


class NotTractable(ValueError):
    """Log Z is not available by this method; the message says why."""


def closed_form(energy):
    """Log Z that the energy itself knows: its ``log_partition`` method."""
    if isinstance(energy, Tempered) or not hasattr(energy, "log_partition"):
        raise NotTractable(f"{type(energy).__name__} has no closed form")
    return pt.as_tensor(energy.log_partition())


def enumeration(energy):
    """Log Z as a sum over all states."""
    blocks = blocks_of(energy)
    if any(block.domain.states is None for block in blocks):
        raise NotTractable("there are real-valued units")
    total = math.prod(count_states(block) for block in blocks)
    if total > ENUMERATION_LIMIT:
        raise NotTractable(f"{total:.3g} states are more than {ENUMERATION_LIMIT}")
    tables = [all_states(block) for block in blocks]
    rows = np.indices([len(table) for table in tables]).reshape(len(tables), -1)
    states = [pt.as_tensor(table[row]) for table, row in zip(tables, rows, strict=True)]
    return pt.logsumexp(-evaluate(energy, *states))


def layer(energy):
    """Log Z of a two-layer energy: a sum over one layer, the other one summed out."""
    match energy:
        case Tempered(energy=Marginal()):
            raise NotTractable("a tempered marginal is not the marginal of a tempered energy")
        case Tempered(energy=Joined(energy=inner), beta=beta):
            joint = Tempered(inner, beta)
        case Marginal(energy=inner) | Joined(energy=inner):
            joint = inner
        case _:
            joint = energy
    blocks = blocks_of(joint)
    if len(blocks) != 2:
        raise NotTractable(f"{type(energy).__name__} has no two layers")
    reasons = []
    for kept in np.argsort([count_states(block) for block in blocks]):
        reason = _why_not_listed(blocks[kept])
        if reason is None:
            try:
                return _sum_over(Marginal(joint, block=1 - int(kept)))
            except ValueError as why:
                reason = str(why)
        reasons.append(f"layer {kept}: {reason}")
    raise NotTractable("; ".join(reasons))


def _why_not_listed(block):
    if block.domain.states is None:
        return "its units are real-valued"
    if count_states(block) > ENUMERATION_LIMIT:
        return f"its {count_states(block):.3g} states are more than {ENUMERATION_LIMIT}"
    return None


def _sum_over(marginal):
    (block,) = marginal.blocks
    return pt.logsumexp(-evaluate(marginal, pt.as_tensor(all_states(block))))


def torus(energy):
    """Kaufman's closed form for the uniform periodic square lattice without a field."""
    ising, beta = _on_lattice(energy, Ising)
    shape, coupling, field = ising.sites.shape, ising.coupling, ising.field
    if len(shape) != 2 or not all(ising.sites.periodic):
        raise NotTractable("the lattice is not a two-dimensional torus")
    if coupling.ndim:
        raise NotTractable("the coupling is not uniform")
    if all(side % 2 for side in shape) and 2 ** min(shape) <= MAX_RING_STATES:
        raise NotTractable("where both sides are odd it loses digits; the strip does not")
    log_z = log_partition_torus(shape, beta * coupling)
    if is_numeric(field):
        if np.any(field != 0):
            raise NotTractable("there is a field")
        return log_z
    if field.owner is not None or isinstance(field, SharedVariable):
        raise NotTractable("there is a field that may change")
    # an input, to be replaced by a value: a wrong one must not go unnoticed
    return pt.switch(pt.all(pt.eq(field, 0.0)), log_z, np.nan)


def strip(energy):
    """Transfer matrix for an Ising or Potts model on a chain or a narrow lattice."""
    model, beta = _on_lattice(energy, Ising | Potts)
    shape, periodic, field = model.sites.shape, model.sites.periodic, beta * model.field
    if len(shape) == 1:  # a lattice of one column
        shape, periodic = (*shape, 1), (*periodic, False)
        if field.ndim > isinstance(model, Potts):
            field = pt.expand_dims(field, 1)
    if len(shape) != 2:
        raise NotTractable("the lattice has more than two dimensions")
    try:
        if isinstance(model, Potts):
            return log_partition_potts_strip(shape, periodic, model.q, beta * model.coupling, field)
        return log_partition_strip(shape, periodic, beta * model.coupling, field)
    except ValueError as why:
        raise NotTractable(str(why)) from why


def _on_lattice(energy, kind):
    """Return the model on a square lattice inside an energy, and its inverse temperature."""
    beta = 1.0
    while isinstance(energy, Tempered):
        energy, beta = energy.energy, beta * energy.beta
    if not isinstance(energy, kind):
        raise NotTractable(f"{type(energy).__name__} is another model")
    if not isinstance(energy.sites, Lattice) or energy.sites.triangular:
        raise NotTractable("the sites are not a square lattice")
    return energy, beta


METHODS = {  # the fastest first
    "closed form": closed_form,
    "torus": torus,
    "strip": strip,
    "enumeration": enumeration,
    "layer": layer,
}
