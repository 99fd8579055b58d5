"""Pseudolikelihood: the product of each unit's conditional, an approximation of p (Besag 1975)."""

from pm_energy.energy import field, single_block
from pm_energy.forms import Held, PottsPairs, SpinPairs, normal_form
from pm_energy.quadratic import affine_failure


def log_pseudolikelihood(energy, x):
    r"""Return :math:`\sum_i \log p(x_i \mid x_{-i})`, whose normalisation needs no log Z.

    Parameters
    ----------
    energy : Energy
        Over one block of discrete units, affine in each.
    x : TensorVariable, shape (*event_shape)
        One state.

    Returns
    -------
    TensorVariable, shape ()

    Raises
    ------
    ValueError
        If the energy is not affine in each unit, so that its field does not give the conditionals.

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
    domain = single_block(energy).domain
    if not isinstance(normal_form(energy), SpinPairs | PottsPairs | Held):
        failure = affine_failure(energy)
        if failure is not None:
            raise ValueError(
                f"the pseudolikelihood needs the conditionals of {type(energy).__name__}, "
                f"which its field does not give: {failure}"
            )
    code = domain.encode(x)
    slope = field(energy, code)
    chosen = code * slope
    if domain.code_ndim:
        chosen = chosen.sum(axis=-1)
    return (chosen - domain.log_trace(slope)).sum()
