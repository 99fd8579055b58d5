"""Which moves an energy allows: spins, another normal form, or none."""

from functools import lru_cache

import pytensor.tensor as pt

from pm_energy.compile import ONCE, compile_function, numeric_leaves
from pm_energy.energy import single_block
from pm_energy.forms import Held, Layers, find_form
from pm_energy.quadratic import NotQuadratic
from pm_energy.structure import flatten, leaf_specs, unflatten
from pm_energy.walkers.dense_moves import DenseMoves
from pm_energy.walkers.moves import EvaluatedMoves, FormMoves
from pm_energy.walkers.multispin_moves import MultispinMoves, common_unit
from pm_energy.walkers.spin_graph import is_spins, spin_graph
from pm_energy.walkers.spin_moves import SpinMoves


def moves_of(energy, weights=None):
    """Return the fastest exact moves for many states of a discrete energy.

    Parameters
    ----------
    energy : Energy
        Over one block of discrete units, with numeric parameters.
    weights : ndarray, shape (n_states, *event_shape), optional
        Finite log-weights of each state at each site, which are tempered with the energy.

    Returns
    -------
    Moves

    Raises
    ------
    ValueError
        If a parameter is not a number, or the units are continuous or in several blocks.

    Examples
    --------
    >>> import pm_energy as pme
    >>> moves_of(pme.Potts(3, lattice=(4, 4))).road
    'a kernel of its normal form: 3-state couplings on a 4 x 4 lattice'
    """
    domain = single_block(energy).domain
    if domain.states is None:
        raise ValueError("these moves are for discrete units, and the energy has continuous ones")
    structure, leaves = flatten(energy)
    numbers = numeric_leaves(leaves)
    form, tensors = _form(structure)
    if form is None:
        return EvaluatedMoves(energy, weights)
    if not is_spins(form):
        return FormMoves(energy, form, tensors(*numbers), weights)
    graph = spin_graph(form, tensors(*numbers), domain, weights)
    unit = common_unit(graph)
    if unit is not None:
        return MultispinMoves(energy, graph, unit, weights)
    return (DenseMoves if graph.is_dense else SpinMoves)(energy, graph, weights)


@lru_cache(maxsize=64)
def _form(structure):
    """The form of all energies of a structure, and its tensors as a function of parameters."""
    leaves = [pt.tensor(dtype=leaf.dtype, shape=leaf.shape) for leaf in leaf_specs(structure)]
    energy = unflatten(structure, leaves)
    try:
        form = find_form(energy)
    except NotQuadratic:
        return None, None
    inner = form.form if isinstance(form, Held) else form
    if isinstance(inner, Layers) and inner.kind == "marginal":
        # beta times a free energy is not the free energy of the layers at beta
        return None, None
    return form, compile_function(leaves, [pt.as_tensor(t) for t in form.tensors], mode=ONCE)
