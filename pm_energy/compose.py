"""Energies made from energies."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.traversal import ancestors

from pm_energy.energy import Block, blocks_of, evaluate, field, free_energy, single_block
from pm_energy.typing import TensorLike
from pm_energy.validate import is_numeric, parameter, states_in_domain


@dataclass(frozen=True, eq=False)
class Tempered:
    """``beta * E``: an energy at another inverse temperature. Of an RBM it tempers the joint.

    Parameters
    ----------
    energy : Energy
    beta : tensor_like, shape ()
        Inverse temperature, not negative.
    """

    energy: Any
    beta: TensorLike

    def __post_init__(self):
        beta = parameter("beta", self.beta, 0)
        if is_numeric(beta) and beta < 0:
            raise ValueError(f"beta must not be negative, got {beta}")
        object.__setattr__(self, "beta", beta)
        blocks_of(self.energy)

    @property
    def blocks(self):
        return blocks_of(self.energy)

    def __call__(self, *x):
        return self.beta * self.energy(*x)

    def on_states(self, *x):
        return self.beta * evaluate(self.energy, *x)


@dataclass(frozen=True, eq=False)
class Sum:
    """``E_1 + E_2 + ...`` over the same units.

    Parameters
    ----------
    terms : tuple of Energy
        All with the same domains and shapes.
    """

    terms: tuple

    def __post_init__(self):
        terms = tuple(self.terms)
        if not terms:
            raise ValueError("terms must hold at least one energy")
        blocks = [blocks_of(term) for term in terms]
        for term, other in zip(terms, blocks, strict=True):
            if other != blocks[0]:
                raise ValueError(
                    f"terms must share domain and shape: {type(term).__name__} has {other}, "
                    f"{type(terms[0]).__name__} has {blocks[0]}"
                )
        object.__setattr__(self, "terms", terms)

    @property
    def blocks(self):
        return blocks_of(self.terms[0])

    def __call__(self, *x):
        return sum(term(*x) for term in self.terms)

    def on_states(self, *x):
        return sum(evaluate(term, *x) for term in self.terms)


@dataclass(frozen=True, eq=False)
class Clamped:
    """An energy over the units that are left when the others are held at given states.

    Parameters
    ----------
    energy : Energy
        Over one block.
    mask : array_like of bool, shape (*event_shape)
        True where a unit is held.
    states : array_like, shape (*event_shape)
        The held states; what stands at free units does not matter.
    """

    energy: Any
    mask: Any
    states: Any

    def __post_init__(self):
        block = single_block(self.energy)
        mask = np.asarray(self.mask)
        if mask.shape != block.shape or mask.dtype != bool:
            raise ValueError(
                f"mask must be a bool array of shape {block.shape}, "
                f"got {mask.dtype} of shape {mask.shape}"
            )
        if mask.all():
            raise ValueError("mask holds every unit; leave at least one free")
        states = np.array(self.states)
        if states.shape != block.shape:
            raise ValueError(f"states must have shape {block.shape}, got {states.shape}")
        filler = 0 if block.domain.states is None else block.domain.states[0]
        states = states_in_domain("states", np.where(mask, states, filler), block.domain)
        if block.domain.states is not None:
            states = states.astype(np.int64)  # integers are structure, floats would be parameters
        object.__setattr__(self, "mask", mask)
        object.__setattr__(self, "states", states)

    @property
    def domain(self):
        return single_block(self.energy).domain

    @property
    def event_shape(self):
        return (int((~self.mask).sum()),)

    def scatter(self, x):
        """Return all units (..., *event_shape of the energy) around the free ones (..., n_free)."""
        x, shape = pt.as_tensor(x), single_block(self.energy).shape
        lead = [x.shape[i] for i in range(x.ndim - 1)]
        held = pt.as_tensor(self.states.ravel()).astype(x.dtype)
        full = pt.broadcast_to(held, (*lead, held.shape[0]))
        free = np.flatnonzero(~self.mask)
        return pt.set_subtensor(full[..., free], x).reshape((*lead, *shape))

    def __call__(self, x):
        domain, mask = self.domain, self.mask
        held = domain.encode(pt.as_tensor(self.states)).reshape((mask.size, *x.type.shape[x.ndim - domain.code_ndim:]))
        lead = [x.shape[i] for i in range(x.ndim - 1 - domain.code_ndim)]
        code = [x.shape[i] for i in range(x.ndim - domain.code_ndim, x.ndim)]
        full = pt.broadcast_to(held, (*lead, mask.size, *code))
        tail = (slice(None),) * domain.code_ndim
        full = pt.set_subtensor(full[(..., np.flatnonzero(~mask), *tail)], x)
        return self.energy(full.reshape((*lead, *mask.shape, *code)))

    def on_states(self, x):
        return evaluate(self.energy, self.scatter(x))


@dataclass(frozen=True, eq=False)
class Marginal:
    """Free energy of the other block once one block is summed out: ``-log sum_h exp(-E(v, h))``.

    Parameters
    ----------
    energy : Energy
        Over two blocks.
    block : int
        The block to sum out: units affine in the energy and not coupled with one another.

    Raises
    ------
    ValueError
        If the block is real-valued or its units interact.
    """

    energy: Any
    block: int = 1

    def __post_init__(self):
        blocks = blocks_of(self.energy)
        if len(blocks) != 2 or self.block not in (0, 1):
            raise ValueError(
                f"Marginal needs an energy over two blocks and block 0 or 1, "
                f"got {len(blocks)} block(s) and block={self.block!r}"
            )
        if blocks[self.block].domain.states is None:
            raise ValueError("block is real-valued; only discrete units are summed out")
        units = [pt.tensor(shape=b.code_shape, dtype="float64") for b in blocks]
        slope = field(self.energy, *units, wrt=self.block)
        if units[self.block] in _simplified_ancestors(slope):
            raise ValueError(
                f"block {self.block} of {type(self.energy).__name__} cannot be summed out: "
                "its units interact or do not enter affinely"
            )

    @property
    def blocks(self):
        return (blocks_of(self.energy)[1 - self.block],)

    def __call__(self, x):
        return free_energy(self.energy, x, wrt=self.block)


def _simplified_ancestors(expression):
    from pytensor.graph.rewriting.utils import rewrite_graph

    return set(ancestors([rewrite_graph(expression, include=("canonicalize", "stabilize"))]))


@dataclass(frozen=True, eq=False)
class Joined:
    """The blocks of an energy laid end to end as one vector of units.

    Parameters
    ----------
    energy : Energy
        Over several blocks of the same domain.
    """

    energy: Any

    def __post_init__(self):
        domains = {block.domain for block in blocks_of(self.energy)}
        if len(domains) != 1:
            raise ValueError(f"Joined needs blocks of one domain, got {domains}")

    @property
    def domain(self):
        return blocks_of(self.energy)[0].domain

    @property
    def sizes(self):
        """Number of units in each block."""
        return tuple(math.prod(block.shape) for block in blocks_of(self.energy))

    @property
    def event_shape(self):
        return (sum(self.sizes),)

    def split(self, x, code_ndim=0):
        """Cut units (..., n) into the blocks."""
        cuts = np.cumsum((0, *self.sizes))
        tail = (slice(None),) * code_ndim
        lead = [x.shape[i] for i in range(x.ndim - 1 - code_ndim)]
        code = [x.shape[i] for i in range(x.ndim - code_ndim, x.ndim)]
        return [
            x[(..., slice(a, b), *tail)].reshape((*lead, *block.shape, *code))
            for a, b, block in zip(cuts[:-1], cuts[1:], blocks_of(self.energy), strict=True)
        ]

    def __call__(self, x):
        return self.energy(*self.split(x, self.domain.code_ndim))
