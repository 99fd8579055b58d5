"""Hidden units summed out exactly."""

from dataclasses import dataclass
from typing import Any

import pytensor.tensor as pt
from pytensor.gradient import grad
from pytensor.graph.rewriting.utils import rewrite_graph

from pm_energy.energy import blocks_of, free_energy
from pm_energy.polynomial import NotQuadratic, as_polynomial, nodes_after, values_read


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

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> rbm = pme.RBM(np.zeros((3, 2)))
    >>> pme.energy_values(pme.Marginal(rbm), np.ones((1, 3))).round(6)  # -2 log(1 + exp(0))
    array([-1.386294])
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
        failure = _interaction(self.energy, blocks, self.block)
        if failure is not None:
            raise ValueError(
                f"block {self.block} of {type(self.energy).__name__} cannot be summed out: "
                f"{failure}"
            )

    @property
    def blocks(self):
        """The block that is left."""
        return (blocks_of(self.energy)[1 - self.block],)

    def __call__(self, x):
        """Free energy of encoded units."""
        return free_energy(self.energy, x, wrt=self.block)


def _interaction(energy, blocks, which):
    """Why the units of a block are not independent given the other one, or None if they are."""
    units = [pt.tensor(shape=b.code_shape, dtype="float64") for b in blocks]
    x = units[which]
    try:
        polynomial, _ = as_polynomial(energy(*units), x)
    except NotQuadratic as why:
        return str(why)
    slope = grad(polynomial, x, disconnected_inputs="ignore", return_disconnected="zero")
    slope = rewrite_graph(slope, include=("canonicalize", "stabilize"))
    varying = {x}
    for node in nodes_after(slope, [x]):
        if varying.intersection(values_read(node)):  # its shape alone says nothing
            varying.update(node.outputs)
    return "its units interact or do not enter affinely" if slope in varying else None
