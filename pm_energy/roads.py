"""Normal form -> kernel: a function that sweeps over one state, given the numbers of the form."""

from functools import singledispatch
from types import SimpleNamespace

import numpy as np

from pm_energy.domains import Spin
from pm_energy.energies.sites import Complete, Lattice, neighbours
from pm_energy.forms import Held, Layers, PottsPairs, SpinPairs
from pm_energy.kernels.coloring import color_order
from pm_energy.kernels.gibbs_dense import dense_sweeps
from pm_energy.kernels.gibbs_lattice import lattice_sweeps
from pm_energy.kernels.gibbs_sparse import sparse_sweeps
from pm_energy.kernels.potts import potts_sweeps
from pm_energy.kernels.potts_lattice import potts_lattice_sweeps
from pm_energy.kernels.rbm import rbm_sweeps, tile_rbm


@singledispatch
def sweeper(form, domain, update="heat-bath"):
    """Return ``sweep(rng, x, tensors, weights, n_sweeps) -> changes`` for a form.

    Parameters
    ----------
    form : SpinPairs, PottsPairs, Layers or Held
    domain : Domain
        The coding of the states x.
    update : {"heat-bath", "suwa-todo"}
        How a site with more than two states is resampled.

    Returns
    -------
    callable
        Updates x, shape (*event_shape), in place. ``tensors`` are the numeric values of
        ``form.tensors``; ``weights`` are log-weights of each state at each site from other terms of
        a model, shape (n_states, *event_shape), or None. Counts the units that changed.
    """
    raise TypeError(f"no kernel for {type(form).__name__}")


def is_plain_lattice(form):
    """Whether neighbours come from index arithmetic and all couplings are one number."""
    return isinstance(form.sites, Lattice) and not form.sites.triangular and form.coupling.ndim == 0


def _bond_matrix(sites):
    """CSR lists of any sites and a function from coupling values to CSR values."""
    indptr, indices, bond = neighbours(sites.edges, sites.n)
    if isinstance(sites, Complete):
        rows = np.repeat(np.arange(sites.n), np.diff(indptr))
        return indptr, indices, lambda c: np.ascontiguousarray(c[rows, indices])
    return indptr, indices, lambda c: np.full(bond.size, c) if np.ndim(c) == 0 else c[bond]


def _through_spins(sweep, domain):
    """Run a spin kernel on states of another two-state coding."""
    if isinstance(domain, Spin):
        return sweep

    def converted(rng, x, tensors, weights, n_sweeps):
        spins = 2 * x - 1
        changes = sweep(rng, spins, tensors, weights, n_sweeps)
        np.floor_divide(spins + 1, 2, out=x)
        return changes

    return converted


@sweeper.register
def _(form: SpinPairs, domain, update="heat-bath"):
    sites = form.sites

    def log_odds(bias, weights):  # shape (1,) or (n,)
        return np.ravel(bias if weights is None else bias + (weights[1] - weights[0]))

    if isinstance(sites, Lattice) and is_plain_lattice(form):

        def sweep(rng, x, tensors, weights, n_sweeps):
            coupling, bias = tensors
            odds = log_odds(bias, weights)
            return lattice_sweeps(
                rng, x.reshape(-1), sites.shape, sites.periodic, odds, float(coupling), n_sweeps
            )

    elif isinstance(sites, Complete):

        def sweep(rng, x, tensors, weights, n_sweeps):
            coupling, bias = tensors
            spins = x.reshape(-1)
            field = log_odds(bias, weights) + coupling @ spins.astype(coupling.dtype)
            return dense_sweeps(rng, spins, field, np.ascontiguousarray(coupling), n_sweeps)

    else:
        indptr, indices, csr_values = _bond_matrix(sites)
        order = color_order(indptr, indices)

        def sweep(rng, x, tensors, weights, n_sweeps):
            coupling, bias = tensors
            odds = np.broadcast_to(log_odds(bias, weights), (sites.n,))
            return sparse_sweeps(
                rng, x.reshape(-1), indptr, indices, csr_values(coupling), odds, order, n_sweeps
            )

    return _through_spins(sweep, domain)


@sweeper.register
def _(form: PottsPairs, domain, update="heat-bath"):
    sites, q = form.sites, form.q

    def site_weights(log_weight, weights, shape):
        table = np.broadcast_to(log_weight, (*shape, q)).reshape(-1, q)
        if weights is not None:
            table = table + weights.reshape(q, -1).T
        return np.ascontiguousarray(table)

    # by index arithmetic the counts of all states share a word, which many states do not
    if (
        isinstance(sites, Lattice)
        and is_plain_lattice(form)
        and 2 * len(sites.shape) < 2 ** (64 // q)
    ):

        def lattice_sweep(rng, x, tensors, weights, n_sweeps):
            coupling, log_weight = tensors
            table = site_weights(log_weight, weights, x.shape)
            return potts_lattice_sweeps(
                rng,
                x.reshape(-1),
                sites.shape,
                sites.periodic,
                float(coupling),
                table,
                n_sweeps,
                update,
            )

        return lattice_sweep
    indptr, indices, csr_values = _bond_matrix(sites)
    order = color_order(indptr, indices)

    def sweep(rng, x, tensors, weights, n_sweeps):
        coupling, log_weight = tensors
        table = site_weights(log_weight, weights, x.shape)
        values = coupling if np.ndim(coupling) == 0 else csr_values(coupling)
        return potts_sweeps(
            rng, x.reshape(-1), indptr, indices, values, table, order, n_sweeps, update
        )

    return sweep


@sweeper.register
def _(form: Layers, domain, update="heat-bath"):
    n_visible, n_hidden = form.shape
    joined = form.kind == "joined"
    tiles = SimpleNamespace(source=None, weights=None)  # laid out once where weights stay the same
    scale = 2 if isinstance(domain, Spin) else 1

    def sweep(rng, x, tensors, weights, n_sweeps):
        coupling, a, b = tensors
        bits = ((x.reshape(-1) + scale - 1) // scale).astype(coupling.dtype)  # {0, 1}
        bias = np.concatenate([a, b])
        if weights is not None:
            extra = (weights[1] - weights[0]).ravel()
            bias[: extra.size] += extra
        if coupling is not tiles.source:
            tiles.source, tiles.weights = coupling, tile_rbm(coupling)
        v = np.ascontiguousarray(bits[None, :n_visible])
        h = np.zeros((1, n_hidden), coupling.dtype)
        if joined:
            h[0] = bits[n_visible:]
        rbm_sweeps(rng, v, h, tiles.weights, bias[:n_visible], bias[n_visible:], n_sweeps)
        after = np.concatenate([v[0], h[0]]) if joined else v[0]
        new = (scale * after - (scale - 1)).astype(x.dtype).reshape(x.shape)
        changes = np.count_nonzero(new != x)
        x[...] = new
        return changes

    return sweep


@sweeper.register
def _(form: Held, domain, update="heat-bath"):
    return hold(sweeper(form.form, domain, update), form, domain)


def hold(inner, form, domain):
    """Run a sweep over all units with some held: log-weight -inf for every state but their own."""
    mask, states = form.mask, domain.states
    free = ~mask
    held = np.where(np.equal.outer(states, form.states) | free, 0.0, -np.inf)

    def sweep(rng, x, tensors, weights, n_sweeps):
        full = form.states.astype(x.dtype)
        full[free] = x
        table = held
        if weights is not None:
            table = held.copy()
            table[:, free] = weights
        changes = inner(rng, full, tensors, table, n_sweeps)
        x[...] = full[free]
        return changes

    return sweep
