"""Normal form -> cluster updates, for ferromagnets."""

from functools import singledispatch

import numpy as np

from pm_energy.domains import Categorical, Spin
from pm_energy.energies.sites import neighbours
from pm_energy.forms import Held, PottsPairs, SpinPairs
from pm_energy.kernels.cluster import swendsen_wang
from pm_energy.kernels.cluster_lattice import swendsen_wang_lattice
from pm_energy.kernels.wolff import wolff
from pm_energy.roads import hold, is_plain_lattice


@singledispatch
def cluster_sweeper(form, domain, algorithm="swendsen-wang"):
    """Return a sweep as :func:`~pm_energy.roads.sweeper` does, of cluster updates.

    Raises
    ------
    ValueError
        If the form has no clusters; the sweep raises it where a coupling is negative.
    """
    raise ValueError(
        f"cluster updates are for Ising and Potts energies, not for {type(form).__name__}; "
        "use EnergyGibbs"
    )


@cluster_sweeper.register(SpinPairs)
@cluster_sweeper.register(PottsPairs)
def _(form, domain, algorithm="swendsen-wang"):
    sites, q = form.sites, len(domain.states)
    shift = 1 if isinstance(domain, Spin) else 0  # spins -1, +1 are states 0, 1
    # Swendsen-Wang reads an edge list, and on a lattice without weights not even that
    lists = neighbours(sites.edges, sites.n) if algorithm == "wolff" else None

    def log_weights(bias, weights, shape):
        if weights is None and not np.any(bias):
            return None
        if isinstance(domain, Categorical):
            table = np.broadcast_to(bias, (*shape, q)).reshape(-1, q)
        else:
            up = np.broadcast_to(bias, shape).ravel()
            table = np.stack([np.zeros_like(up), up], axis=1)
        return table if weights is None else table + weights.reshape(q, -1).T

    def sweep(rng, x, tensors, weights, n_sweeps):
        coupling, bias = tensors
        if np.any(coupling < 0):
            raise ValueError(
                "cluster updates need couplings >= 0 (a ferromagnet), and the smallest here is "
                f"{np.min(coupling):.4g}; use EnergyGibbs"
            )
        states = (x.reshape(-1) + shift) // (1 + shift)
        table = log_weights(bias, weights, x.shape)
        values = coupling[tuple(sites.edges.T)] if coupling.ndim == 2 else coupling
        if lists is not None:
            indptr, indices, bond = lists
            values = values[bond] if values.ndim else values
            changes = wolff(rng, states, indptr, indices, values, table, q, n_sweeps)
        elif table is None and is_plain_lattice(form):
            changes = swendsen_wang_lattice(
                rng, states, sites.shape, sites.periodic, float(values), q, n_sweeps
            )
        else:
            changes = swendsen_wang(rng, states, sites.edges, values, table, q, n_sweeps)
        x[...] = ((1 + shift) * states - shift).reshape(x.shape)
        return changes

    return sweep


@cluster_sweeper.register
def _(form: Held, domain, algorithm="swendsen-wang"):
    return hold(cluster_sweeper(form.form, domain, algorithm), form, domain)
