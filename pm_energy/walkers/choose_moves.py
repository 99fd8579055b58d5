"""Which moves an energy allows: spins, another normal form, or none."""

import pytensor.tensor as pt

from pm_energy.compile import evaluate_once, numeric_leaves
from pm_energy.energy import single_block
from pm_energy.forms import Held, Layers, find_form
from pm_energy.quadratic import NotQuadratic
from pm_energy.structure import flatten
from pm_energy.walkers.moves import EvaluatedMoves, FormMoves
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
        raise ValueError(
            "the units of the energy are continuous, and these moves are for discrete ones"
        )
    numeric_leaves(flatten(energy)[1])
    try:
        form = find_form(energy)
    except NotQuadratic:
        return EvaluatedMoves(energy, weights)
    inner = form.form if isinstance(form, Held) else form
    if isinstance(inner, Layers) and inner.kind == "marginal":
        # beta times a free energy is not the free energy of the layers at beta
        return EvaluatedMoves(energy, weights)
    tensors = evaluate_once([pt.as_tensor(t) for t in form.tensors])
    if is_spins(form):
        return SpinMoves(energy, spin_graph(form, tensors, domain, weights), weights)
    return FormMoves(energy, form, tensors, weights)
