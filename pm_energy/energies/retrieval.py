"""Retrieval from memories of real-valued units: repeat an update until the states settle."""

from dataclasses import dataclass

import numpy as np

from pm_energy.domains import Real
from pm_energy.kernels.recall import settle
from pm_energy.typing import Array
from pm_energy.validate import positive_int, states_in_domain


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What was reached from each start; the batch axes are those of the starts.

    Parameters
    ----------
    states : array, shape (..., n)
        The last states.
    energies : array, shape (n_updates + 1, ...)
        Energies of the start and after each update.
    converged : array of bool, shape (...)
        Whether the last update moved the state by at most the tolerance.
    updates : array of int, shape (...)
        Updates taken.
    """

    states: Array
    energies: Array
    converged: Array
    updates: Array


def read_starts(name, states, n, domain=None):
    """Check starting states (..., n), real ones unless there is a domain."""
    states = states_in_domain(name, states, domain or Real())
    if states.ndim < 1 or states.shape[-1] != n:
        raise ValueError(f"{name} must have shape (..., {n}), got {states.shape}")
    return states


def retrieval(update, starts, tol, max_updates, read_out=lambda x: x):
    """Repeat ``update(x) -> (new x, energies of x)`` on all starts (..., n) and report."""
    if not np.isscalar(tol) or not tol > 0:
        raise ValueError(f"tol must be a positive number, got {tol!r}")
    x = starts.reshape(-1, starts.shape[-1]).copy()
    energies, updates, converged = settle(update, x, tol, positive_int("max_updates", max_updates))
    batch = starts.shape[:-1]
    return Retrieval(
        states=read_out(x.reshape(starts.shape)),
        energies=energies.reshape(-1, *batch),
        converged=converged.reshape(batch),
        updates=updates.reshape(batch),
    )
