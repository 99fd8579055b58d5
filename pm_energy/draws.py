"""Forward sampling: independent draws from an energy with numeric parameters.

In this order: the energy's own ``draw``; a table of all states; coupling from the past, exact for
ferromagnets of any size. Where none is possible every draw is the end of a long run of its own, so
that draws are independent of each other, but only as close to the distribution as the run is long:
``GIBBS_SWEEPS`` sweeps from a random start for discrete units, ``NUTS_STEPS`` steps of NUTS, after
as many that tune it, for continuous ones. Where modes lie far apart give the energy a method
``draw(rng, size)``.

How long is long enough is measured in ``docs/forward.md``.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from pm_energy.compile import ONCE, compile_function, numeric_leaves
from pm_energy.energies.sites import Complete, neighbours
from pm_energy.energy import evaluate, single_block
from pm_energy.exact.enumeration import count_states, distribution
from pm_energy.forms import PottsPairs, SpinPairs, find_form
from pm_energy.kernels.perfect import coupling_from_the_past_ising, coupling_from_the_past_potts
from pm_energy.kernels.single_site import evaluated_sweeps
from pm_energy.quadratic import NotQuadratic
from pm_energy.roads import sweeper
from pm_energy.structure import flatten, leaf_specs, unflatten

TABLE_LIMIT = 2**16  # states
GIBBS_SWEEPS = 1000
PERFECT_SWEEPS = 2**13  # how far into the past; ordered fields of both signs may need more
NUTS_STEPS = 500


def draw_states(energy, rng, size):
    """Draw independent states.

    Parameters
    ----------
    energy : Energy
        Over one block, with numeric parameters.
    rng : numpy.random.Generator
    size : int

    Returns
    -------
    ndarray, shape (size, *event_shape), in the dtype of the domain

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.draws import draw_states
    >>> strong = pme.Ising(lattice=(64, 64), field=50.0)
    >>> draw_states(strong, np.random.default_rng(0), 2).mean(axis=(1, 2))
    array([1., 1.])
    """
    block = single_block(energy)
    if hasattr(energy, "draw"):
        return energy.draw(rng, size)
    structure, leaves = flatten(energy)
    values = numeric_leaves(leaves)
    if block.domain.states is None:
        return np.array([_end_of_nuts(structure, values, rng) for _ in range(size)])
    if count_states(block) <= TABLE_LIMIT:
        states, cumulative = _table(structure, tuple((v.shape, v.tobytes()) for v in values))
        return states[np.searchsorted(cumulative, rng.random(size), side="right")]
    sampler = sampler_of(structure)
    tensors = sampler.tensors(*values)
    if sampler.perfect is not None:
        try:
            return np.array([sampler.perfect(rng, tensors) for _ in range(size)])
        except NoExactDraw:
            pass
        except RuntimeError:
            warnings.warn(
                f"coupling from the past did not end within {PERFECT_SWEEPS} sweeps (an ordered "
                f"phase?): these draws are the ends of {GIBBS_SWEEPS} Gibbs sweeps, not exact",
                stacklevel=2,
            )
    out = rng.choice(block.domain.states, size=(size, *block.shape))
    for row in out:
        sampler.sweep(rng, row, tensors, None, GIBBS_SWEEPS)
    return out


class NoExactDraw(Exception):
    """No monotone chain is known for these parameters."""


@lru_cache(maxsize=8)  # a forward run asks for the same table draw after draw
def _table(structure, contents):
    specs = zip(contents, leaf_specs(structure), strict=True)
    leaves = [np.frombuffer(b, dtype=leaf.dtype).reshape(shape) for (shape, b), leaf in specs]
    states, p = distribution(unflatten(structure, leaves))
    cumulative = np.cumsum(p)
    return states, cumulative / cumulative[-1]


def _symbolic(structure):
    """An energy around free parameters, and these."""
    leaves = [pt.tensor(dtype=leaf.dtype, shape=leaf.shape) for leaf in leaf_specs(structure)]
    return unflatten(structure, leaves), leaves


@dataclass(frozen=True)
class Sampler:
    """What is compiled once for an energy, to draw from it at any parameters.

    Attributes
    ----------
    tensors : callable
        Parameters -> what the other two need.
    sweep : callable
        As from :func:`pm_energy.roads.sweeper`.
    perfect : callable or None
        ``(rng, tensors)`` -> one exact state. Raises NoExactDraw where these parameters have no
        monotone chain, RuntimeError where it would take too long.
    """

    tensors: Callable
    sweep: Callable
    perfect: Callable | None


@lru_cache(maxsize=128)
def sampler_of(structure):
    """Return the :class:`Sampler` of an energy that was taken apart."""
    energy, leaves = _symbolic(structure)
    try:
        form = find_form(energy)
    except NotQuadratic:
        return Sampler(lambda *values: values, _evaluated(energy, leaves), None)
    block = single_block(energy)
    tensors = compile_function(leaves, [pt.as_tensor(t) for t in form.tensors], mode=ONCE)
    return Sampler(tensors, sweeper(form, block.domain), _perfect(form, block))


def _evaluated(energy, leaves):
    """Heat bath from differences of the energy, whatever it is."""
    block = single_block(energy)
    x = pt.tensor(dtype=block.domain.dtype, shape=block.shape)
    log_p = compile_function([x, *leaves], -evaluate(energy, x))

    def sweep(rng, x, values, weights, n_sweeps):
        states = block.domain.states
        return evaluated_sweeps(
            rng, x.reshape(-1), states, lambda _: float(log_p(x, *values)), n_sweeps
        )

    return sweep


def _perfect(form, block):
    """Coupling from the past, where a form has it."""
    if isinstance(form, SpinPairs) and not isinstance(form.sites, Complete):
        sample = _perfect_spins(form.sites, block.domain)
    elif isinstance(form, PottsPairs) and not isinstance(form.sites, Complete):
        sample = _perfect_categories(form)
    else:
        return None

    def perfect(rng, tensors):
        coupling, weight = tensors
        if np.any(coupling < 0):
            raise NoExactDraw
        return sample(rng, coupling, weight).astype(block.domain.dtype).reshape(block.shape)

    return perfect


def _perfect_spins(sites, domain):
    indptr, indices, bond = neighbours(sites.edges, sites.n)

    def sample(rng, coupling, bias):
        values = coupling if coupling.ndim == 0 else coupling[bond]
        graph = indptr, indices, values
        spins = coupling_from_the_past_ising(rng, *graph, np.ravel(bias), PERFECT_SWEEPS)
        return domain.states[(spins + 1) // 2]

    return sample


def _perfect_categories(form):
    sites = form.sites
    edges = sites.edges

    def sample(rng, coupling, log_weight):
        if np.ptp(log_weight) > 0:
            raise NoExactDraw
        return coupling_from_the_past_potts(
            rng, sites.n, edges, coupling, form.q, max_sweeps=PERFECT_SWEEPS
        )

    return sample


@lru_cache(maxsize=16)
def _nuts(structure):
    """A NUTS step for an energy, where it starts, and the shared variables of its parameters."""
    from pm_energy.distributions import Boltzmann  # which draws by this module

    leaves = [
        pytensor.shared(np.ones([n or 1 for n in leaf.shape], leaf.dtype), shape=leaf.shape)
        for leaf in leaf_specs(structure)
    ]
    with pm.Model() as model:
        Boltzmann("x", unflatten(structure, leaves))
        return pm.NUTS(), model, leaves


def _end_of_nuts(structure, values, rng):
    step, model, leaves = _nuts(structure)
    for leaf, value in zip(leaves, values, strict=True):
        leaf.set_value(value)
    point = model.initial_point()
    step.reset_tuning()
    step.setup_chain(rng, NUTS_STEPS, NUTS_STEPS)
    for i in range(2 * NUTS_STEPS):
        if i == NUTS_STEPS:
            step.stop_tuning()
        point, _ = step.step(point)
    return point["x"]
