"""Forward sampling: independent draws from an energy with numeric parameters.

In this order: the energy's own ``draw``; a table of all states; coupling from the past, exact for
ferromagnets of any size; and where none is possible a long Gibbs run from a random start (NUTS for
continuous units), whose length is measured in ``docs/forward.md``.
"""

from functools import lru_cache

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from pm_energy.compile import ONCE, compile_function, numeric_leaves
from pm_energy.energies.sites import Complete, neighbours
from pm_energy.energy import single_block
from pm_energy.exact.enumeration import count_states, distribution
from pm_energy.forms import PottsPairs, SpinPairs, find_form
from pm_energy.kernels.perfect import coupling_from_the_past_ising, coupling_from_the_past_potts
from pm_energy.roads import sweeper
from pm_energy.structure import flatten, leaf_specs, unflatten

TABLE_LIMIT = 2**16  # states
GIBBS_SWEEPS = 1000


def draw_states(energy, rng, size):
    """Draw ``size`` independent states, shape (size, *event_shape)."""
    block = single_block(energy)
    if hasattr(energy, "draw"):
        return energy.draw(rng, size)
    if block.domain.states is None:
        return _draw_continuous(energy, rng, size)
    structure, leaves = flatten(energy)
    values = numeric_leaves(leaves)
    if count_states(block) <= TABLE_LIMIT:
        states, cumulative = _table(structure, tuple((v.shape, v.tobytes()) for v in values))
        return states[np.searchsorted(cumulative, rng.random(size), side="right")]
    fn, form, sweep = _compiled_form(structure)
    tensors = fn(*values)
    out = np.empty((size, *block.shape), dtype=block.domain.dtype)
    exact = _perfect_sampler(form, tensors)
    for row in out:
        if exact is not None:
            row[...] = exact(rng, block.domain).reshape(block.shape)
        else:
            row[...] = rng.choice(block.domain.states, size=block.shape)
            sweep(rng, row, tensors, None, GIBBS_SWEEPS)
    return out


@lru_cache(maxsize=8)  # a forward run asks for the same table draw after draw
def _table(structure, contents):
    specs = zip(contents, leaf_specs(structure), strict=True)
    leaves = [np.frombuffer(b, dtype=leaf.dtype).reshape(shape) for (shape, b), leaf in specs]
    states, p = distribution(unflatten(structure, leaves))
    cumulative = np.cumsum(p)
    return states, cumulative / cumulative[-1]


@lru_cache(maxsize=128)
def _compiled_form(structure):
    leaves = [pt.tensor(dtype=leaf.dtype, shape=(None,) * leaf.ndim) for leaf in leaf_specs(structure)]
    energy = unflatten(structure, leaves)
    form = find_form(energy)
    tensors = [pt.as_tensor(t) for t in form.tensors]
    domain = single_block(energy).domain
    return compile_function(leaves, tensors, mode=ONCE), form, sweeper(form, domain)


def _perfect_sampler(form, tensors):
    """Return an exact sampler for a ferromagnet, or None."""
    if not isinstance(form, SpinPairs | PottsPairs) or isinstance(form.sites, Complete):
        return None
    coupling, weight = tensors
    if np.any(coupling < 0):
        return None
    sites = form.sites
    if isinstance(form, PottsPairs):
        if np.any(weight != weight.flat[0]):
            return None
        return lambda rng, domain: coupling_from_the_past_potts(
            rng, sites.n, sites.edges, coupling, form.q
        ).astype(domain.dtype)
    indptr, indices, bond = neighbours(sites.edges, sites.n)
    values = np.full(bond.size, coupling) if coupling.ndim == 0 else coupling[bond]
    bias = np.broadcast_to(weight, sites.event_shape).ravel()

    def sample(rng, domain):
        spins = coupling_from_the_past_ising(rng, indptr, indices, values, bias)
        return domain.states[(spins + 1) // 2]

    return sample


def _draw_continuous(energy, rng, size, thin=10, tune=500):
    from pm_energy.distributions import Boltzmann

    with pm.Model():
        Boltzmann("x", energy)
        trace = pm.sample(
            size * thin, tune=tune, chains=1, random_seed=rng, progressbar=False, quiet=True,
            compute_convergence_checks=False, nuts_sampler="pymc",
        )  # fmt: skip
    return trace["posterior"]["x"].values[0, ::thin]
