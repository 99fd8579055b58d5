"""Energies made from energies."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt

from pm_energy.energy import blocks_of, evaluate, single_block
from pm_energy.marginal import Marginal
from pm_energy.typing import TensorLike
from pm_energy.validate import is_numeric, parameter, states_in_domain

__all__ = ["Clamped", "Joined", "Marginal", "Sum", "Tempered"]


@dataclass(frozen=True, eq=False)
class Tempered:
    """``beta * E``: an energy at another inverse temperature.

    Temper an energy with hidden units before they are summed out:
    ``Marginal(Tempered(rbm, beta))``. ``beta`` times the free energy is not the free energy at
    ``beta``.

    Parameters
    ----------
    energy : Energy
    beta : tensor_like, shape ()
        Inverse temperature, not negative.

    Raises
    ------
    ValueError
        If beta is negative, not finite or not a scalar.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> float(pme.Tempered(pme.Ising(lattice=(3, 3)), 0.5)(np.ones((3, 3))))
    -9.0
    """

    energy: Any
    beta: TensorLike

    def __post_init__(self):
        beta = parameter("beta", self.beta, 0)
        if is_numeric(beta) and beta < 0:
            raise ValueError(f"beta must not be negative, got {beta}")
        object.__setattr__(self, "beta", beta)
        blocks_of(self.energy)  # refuse what is no energy

    @property
    def blocks(self):
        """Blocks of the energy."""
        return blocks_of(self.energy)

    def __call__(self, *x):
        """Energy of encoded units."""
        return self.beta * self.energy(*x)

    def on_states(self, *x):
        """Energy of states."""
        return self.beta * evaluate(self.energy, *x)


@dataclass(frozen=True, eq=False)
class Sum:
    """``E_1 + E_2 + ...`` over the same units.

    Parameters
    ----------
    terms : tuple of Energy
        All with the same domains and shapes.

    Raises
    ------
    ValueError
        If there are none or they differ in their units.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> rows = pme.Ising(lattice=(3, 3), periodic=(False, True))
    >>> total = pme.Sum((rows, pme.Ising(lattice=(3, 3), coupling=0.0, field=1.0)))
    >>> float(total(np.ones((3, 3))))
    -24.0
    """

    terms: tuple

    def __post_init__(self):
        if not isinstance(self.terms, tuple | list):
            raise ValueError(f"terms must be a tuple of energies, got {self.terms!r}")
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
        """Blocks that the terms share."""
        return blocks_of(self.terms[0])

    def __call__(self, *x):
        """Energy of encoded units."""
        return sum(term(*x) for term in self.terms)

    def on_states(self, *x):
        """Energy of states."""
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

    Raises
    ------
    ValueError
        If mask or states do not fit the units, a held state lies outside the domain or no unit is
        free.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> chain = pme.Ising(graph=[[0, 1], [1, 2]])
    >>> held = pme.Clamped(chain, mask=[True, False, True], states=[1, 0, 1])
    >>> held.event_shape, pme.energy_values(held, [[1], [-1]])
    ((1,), array([-2.,  2.]))
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
        """Domain of the energy."""
        return single_block(self.energy).domain

    @property
    def event_shape(self):
        """Number of free units."""
        return (int((~self.mask).sum()),)

    def scatter(self, x):
        """Return all units (..., *event_shape of the energy) around the free ones (..., n_free)."""
        x = pt.as_tensor(x)
        return self._place(x, pt.as_tensor(self.states).astype(x.dtype), ())

    def _place(self, x, held, code):
        """Write free units (..., n_free, *code) into the held ones (*event_shape, *code)."""
        lead = [x.shape[i] for i in range(x.ndim - 1 - len(code))]
        full = pt.broadcast_to(
            held.reshape((self.mask.size, *code)), (*lead, self.mask.size, *code)
        )
        free = (..., np.flatnonzero(~self.mask), *[slice(None) for _ in code])
        return pt.set_subtensor(full[free], x).reshape((*lead, *self.mask.shape, *code))

    def __call__(self, x):
        """Energy of encoded free units, (..., n_free, *code) -> (...)."""
        block = single_block(self.energy)
        held = block.domain.encode(pt.as_tensor(self.states))
        code = block.code_shape[len(block.shape) :]
        return self.energy(self._place(pt.as_tensor(x), held, code))

    def on_states(self, x):
        """Energy of free states, (..., n_free) -> (...)."""
        return evaluate(self.energy, self.scatter(x))


@dataclass(frozen=True, eq=False)
class Joined:
    """The blocks of an energy laid end to end as one vector of units.

    Parameters
    ----------
    energy : Energy
        Over several blocks of the same domain.

    Raises
    ------
    ValueError
        If their domains differ.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> pme.Joined(pme.RBM(np.zeros((3, 2)))).event_shape
    (5,)
    """

    energy: Any

    def __post_init__(self):
        domains = {block.domain for block in blocks_of(self.energy)}
        if len(domains) != 1:
            raise ValueError(f"Joined needs blocks of one domain, got {domains}")

    @property
    def domain(self):
        """Domain of the blocks."""
        return blocks_of(self.energy)[0].domain

    @property
    def sizes(self):
        """Number of units in each block."""
        return tuple(math.prod(block.shape) for block in blocks_of(self.energy))

    @property
    def event_shape(self):
        """Number of units in all blocks."""
        return (sum(self.sizes),)

    def split(self, x, code_ndim=0):
        """Cut units (..., n, *code) into the blocks."""
        cuts = np.cumsum((0, *self.sizes))
        tail = (slice(None),) * code_ndim
        lead = [x.shape[i] for i in range(x.ndim - 1 - code_ndim)]
        code = [x.shape[i] for i in range(x.ndim - code_ndim, x.ndim)]
        return [
            x[(..., slice(a, b), *tail)].reshape((*lead, *block.shape, *code))
            for a, b, block in zip(cuts[:-1], cuts[1:], blocks_of(self.energy), strict=True)
        ]

    def __call__(self, x):
        """Energy of encoded units, (..., n, *code) -> (...)."""
        return self.energy(*self.split(x, self.domain.code_ndim))
