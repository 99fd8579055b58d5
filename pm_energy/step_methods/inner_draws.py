"""Draws of an energy at parameters that change from draw to draw, as the exchange algorithm needs.

Where they can be exact they are: by the energy's own ``draw``, from a table of all states, or by
coupling from the past where the parameters of the moment make a ferromagnet. Elsewhere a draw is
the end of a Gibbs run from a given state, the field itself. Near the posterior that state is a
draw from about the right distribution, so a run that is too short remembers it, which makes the
posterior too wide, but does not arrive from anywhere else, which would shift it: from random states
the same error takes four times as many sweeps and more (measured on spin glasses). Heating the run
and cooling it again helped nowhere by much, and hurt near a phase transition.
"""

import numpy as np
import pytensor.tensor as pt

from pm_energy.compile import compile_function
from pm_energy.draws import TABLE_LIMIT, NoExactDraw, sampler_of
from pm_energy.energy import evaluate, single_block
from pm_energy.exact.enumeration import all_states, count_states
from pm_energy.structure import flatten, leaf_specs, unflatten


class InnerDraws:
    """States of one energy at any parameters: compiled once, the numbers are inputs.

    Parameters
    ----------
    energy : Energy
        Over one block. Of its parameters only shapes and types count.
    """

    def __init__(self, energy):
        self.structure, _ = flatten(energy)
        block = single_block(energy)
        self.domain = block.domain
        if hasattr(energy, "draw"):
            self._draw = self._own
        elif count_states(block) <= TABLE_LIMIT:
            self._draw = self._from_table
            self._states = all_states(block)
            leaves = [pt.tensor(dtype=s.dtype, shape=s.shape) for s in leaf_specs(self.structure)]
            # the states are constants, so that sums over bonds are taken once
            log_weights = -evaluate(unflatten(self.structure, leaves), pt.as_tensor(self._states))
            self._log_weights = compile_function(leaves, log_weights)
        else:
            self._sampler = sampler_of(self.structure)
            self._draw = self._run if self._sampler.perfect is None else self._coupled

    def how(self, n_sweeps):
        """Say how draws are made."""
        runs = f"NOT exact: the ends of Gibbs runs of {n_sweeps} sweeps from the field itself"
        return {
            self._own: "exact, by its own draw method",
            self._from_table: "exact, from a table of all states",
            self._run: runs,
            self._coupled: "exact, by coupling from the past, while the parameters make a "
            f"ferromagnet (of categories: without fields); otherwise {runs}",
        }[self._draw]

    def __call__(self, rng, values, starts, n_sweeps):
        """Draw independent states.

        Parameters
        ----------
        rng : numpy.random.Generator
        values : list of ndarray
            The parameters, without batch axes.
        starts : ndarray, shape (size, *event_shape)
            Where runs begin that are not exact. Not changed.
        n_sweeps : int
            Length of these runs.

        Returns
        -------
        states : ndarray, shape (size, *event_shape)
        is_exact : bool
        """
        return self._draw(rng, values, starts, n_sweeps)

    def _own(self, rng, values, starts, n_sweeps):
        return unflatten(self.structure, values).draw(rng, len(starts)), True

    def _from_table(self, rng, values, starts, n_sweeps):
        log_weights = np.broadcast_to(self._log_weights(*values), len(self._states))
        cumulative = np.cumsum(np.exp(log_weights - log_weights.max()))
        u = rng.random(len(starts))
        return self._states[np.searchsorted(cumulative / cumulative[-1], u, side="right")], True

    def _coupled(self, rng, values, starts, n_sweeps):
        tensors = self._sampler.tensors(*values)
        try:
            return np.array([self._sampler.perfect(rng, tensors) for _ in starts]), True
        except (NoExactDraw, RuntimeError):  # no monotone chain here, or one that is too slow
            return self._run(rng, values, starts, n_sweeps)

    def _run(self, rng, values, starts, n_sweeps):
        tensors = self._sampler.tensors(*values)
        states = np.array(starts, order="C")
        for row in states:
            self._sampler.sweep(rng, row, tensors, None, n_sweeps)
        return states, False
