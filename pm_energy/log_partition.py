"""Exact log Z as a differentiable PyTensor expression, wherever the energy allows it."""

import itertools
from functools import singledispatch

import numpy as np
import pytensor.tensor as pt

from pm_energy.compose import Joined, Marginal, Tempered
from pm_energy.energies.ising import Ising
from pm_energy.energies.sites import Lattice
from pm_energy.energy import blocks_of, evaluate, free_energy
from pm_energy.exact.enumeration import all_states, count_states
from pm_energy.exact.kaufman import log_partition_torus
from pm_energy.exact.transfer import log_partition_strip
from pm_energy.validate import is_numeric

ENUMERATION_LIMIT = 2**16  # states in a graph; its gradient holds several arrays of that length
STRIP_LIMIT = 2**8  # states of a column


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
    total = np.prod([count_states(block) for block in blocks])
    if total > ENUMERATION_LIMIT:
        raise NotTractable(f"{total:.3g} states are more than {ENUMERATION_LIMIT}")
    tables = [all_states(block) for block in blocks]
    product = itertools.product(*[range(len(t)) for t in tables]) if len(tables) > 1 else None
    if product is not None:
        index = np.array(list(product))
        tables = [t[index[:, i]] for i, t in enumerate(tables)]
    return pt.logsumexp(-evaluate(energy, *[pt.as_tensor(t) for t in tables]))


def layer(energy):
    """Log Z of a two-layer energy: a sum over the smaller layer, the other one summed out."""
    match energy:
        case Tempered(energy=Marginal()) | Tempered(energy=Joined()):
            raise NotTractable("a tempered marginal is not the marginal of a tempered energy")
        case Marginal(energy=inner) | Joined(energy=inner):
            joint = inner
        case _:
            joint = energy
    blocks = blocks_of(joint)
    if len(blocks) != 2:
        raise NotTractable(f"{type(energy).__name__} has no two layers")
    sizes = [count_states(block) for block in blocks]
    kept = int(np.argmin(sizes))
    if sizes[kept] > ENUMERATION_LIMIT or not np.isfinite(sizes[kept]):
        raise NotTractable(
            f"the smaller layer has {sizes[kept]:.3g} states, more than {ENUMERATION_LIMIT}"
        )
    if blocks[1 - kept].domain.states is None:
        raise NotTractable("the larger layer is real-valued")
    block = blocks[kept]
    states = block.domain.encode(pt.as_tensor(all_states(block)))
    return pt.logsumexp(-free_energy(joint, states, wrt=1 - kept))


@singledispatch
def _uniform_ising(energy):
    raise NotTractable(f"{type(energy).__name__} is not an Ising model on a lattice")


@_uniform_ising.register
def _(energy: Ising):
    if not isinstance(energy.sites, Lattice) or energy.sites.triangular:
        raise NotTractable("the sites are not a square lattice")
    return energy.sites, energy.coupling, energy.field


@_uniform_ising.register
def _(energy: Tempered):
    sites, coupling, field = _uniform_ising(energy.energy)
    return sites, energy.beta * coupling, energy.beta * field


def torus(energy):
    """Kaufman's closed form for the uniform periodic square lattice without a field."""
    sites, coupling, field = _uniform_ising(energy)
    if len(sites.shape) != 2 or not all(sites.periodic):
        raise NotTractable("the lattice is not a two-dimensional torus")
    if coupling.ndim:
        raise NotTractable("the coupling is not uniform")
    if is_numeric(field) and np.any(field != 0):
        raise NotTractable("there is a field")
    return log_partition_torus(sites.shape, coupling)


def strip(energy):
    """Transfer matrix for a narrow two-dimensional lattice."""
    sites, coupling, field = _uniform_ising(energy)
    if len(sites.shape) != 2:
        raise NotTractable("the lattice is not two-dimensional")
    if 2 ** min(sites.shape) > STRIP_LIMIT:
        raise NotTractable(f"the lattice is wider than {int(np.log2(STRIP_LIMIT))} sites")
    return log_partition_strip(sites.shape, sites.periodic, coupling, field)


METHODS = {
    "closed form": closed_form,
    "torus": torus,
    "enumeration": enumeration,
    "layer": layer,
    "strip": strip,
}
