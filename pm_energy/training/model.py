"""What learning needs of a family of energies: its statistics, its chains and its moments.

Parameters travel as ``theta``, a dict from name to array of one float dtype; statistics and
gradients have the same keys and shapes. A *statistic* is the mean of ``-dE/dtheta``, so the
gradient of the mean log-likelihood is the statistics of the data minus those of the model.
"""

from typing import Protocol

import numpy as np

Theta = dict[str, np.ndarray]


class Model(Protocol):
    """A family of energies ``E_theta`` over visible and, perhaps, hidden units.

    Chains are dicts of arrays whose leading axis counts chains. A model may lack what its units do
    not allow, and then raises a ValueError that names what to use instead.
    """

    def energy(self, theta):
        """Return the energy with these numbers, for use elsewhere in the package."""

    def statistics(self, theta, x, weights=None):
        """Weighted mean over rows of x (N, n) of ``-dF/dtheta``, hidden units summed out."""

    def free_energy(self, theta, x):
        """``-log sum_h exp(-E(x, h))`` of rows of x, shape (N,)."""

    def start(self, theta, rng, n=None, x=None):
        """Return n chains at random states, or one at each row of x."""

    def sweep(self, theta, chains, rng, n_sweeps=1, beta=1.0):
        """Move chains in place by a kernel that leaves ``exp(-beta E)`` of all units invariant."""

    def chain_energy(self, theta, chains):
        """Energy of all units of each chain, shape (n,)."""

    def chain_statistics(self, theta, chains):
        """Mean of ``-dE/dtheta`` over chains."""

    def visible(self, chains):
        """Visible units of each chain, shape (n, n_visible)."""

    def exact(self, theta):
        """Return log Z and the statistics under the model, by enumeration."""

    def flip_loss(self, theta, x, kind, weights=None):
        """Return a loss made of the cost of flipping each unit, and its gradient.

        The mean over rows of ``sum_i f(Delta_i)`` with ``Delta_i = F(x with unit i flipped) -
        F(x)``. ``kind`` is "pseudolikelihood" (``f = softplus(-Delta)``), "ratio-matching"
        (``sigmoid(-Delta)**2``) or "probability-flow" (``exp(-Delta / 2)``).
        """


def difference(first, second):
    """Return ``first - second`` of two dicts of arrays."""
    return {name: first[name] - second[name] for name in first}


def negative_phase(model, theta, chains, rng, n_sweeps):
    """Move chains and return their statistics; in one pass where the model knows how."""
    if hasattr(model, "negative"):
        return model.negative(theta, chains, rng, n_sweeps)
    model.sweep(theta, chains, rng, n_sweeps)
    return model.chain_statistics(theta, chains)
