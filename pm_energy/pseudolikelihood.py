"""Pseudolikelihood: the product of each unit's conditional, an approximation of p (Besag 1975)."""

import math

import numpy as np
import pytensor.tensor as pt

from pm_energy.energy import evaluate, field, single_block
from pm_energy.forms import Held, PottsPairs, SpinPairs, normal_form
from pm_energy.quadratic import affine_failure


def log_pseudolikelihood(energy, x):
    r"""Return :math:`\sum_i \log p(x_i \mid x_{-i})`, whose normalisation needs no log Z.

    Where the energy is affine in each unit the conditionals come from its field. Otherwise they
    come from the energies of all states that differ in one unit, in n times the memory.

    Parameters
    ----------
    energy : Energy
        Over one block of discrete units.
    x : TensorVariable, shape (*event_shape)
        One state.

    Returns
    -------
    TensorVariable, shape ()

    References
    ----------
    .. [1] Besag (1975), The Statistician 24, 179-195.

    Examples
    --------
    >>> import numpy as np
    >>> import pytensor.tensor as pt
    >>> import pm_energy as pme
    >>> pair = pme.Ising(graph=[[0, 1]], coupling=1.0)
    >>> log_pseudolikelihood(pair, pt.as_tensor([1, 1])).eval().round(6)  # -2 log(1 + exp(-2))
    np.float64(-0.253856)
    """
    if not _is_affine(energy):
        return _from_changes(energy, x)
    domain = single_block(energy).domain
    code = domain.encode(x)
    slope = field(energy, code)
    chosen = code * slope
    if domain.code_ndim:
        chosen = chosen.sum(axis=-1)
    return (chosen - domain.log_trace(slope)).sum()


def _is_affine(energy):
    has_form = isinstance(normal_form(energy), SpinPairs | PottsPairs | Held)
    return has_form or affine_failure(energy) is None


def _from_changes(energy, x):
    block = single_block(energy)
    n, states = math.prod(block.shape), block.domain.states
    here = np.eye(n, dtype=bool)[:, None, :]
    changed = pt.where(here, states[:, None], pt.as_tensor(x).ravel())  # (n, n_states, n)
    log_weight = -evaluate(energy, changed.reshape((n, len(states), *block.shape)))
    return (-evaluate(energy, x) - pt.logsumexp(log_weight, axis=1)).sum()
