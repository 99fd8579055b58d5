"""Pseudolikelihood: the product of each unit's conditional, an approximation of p (Besag 1975)."""

from pm_energy.energy import field, single_block


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

    References
    ----------
    .. [1] Besag (1975), The Statistician 24, 179-195.
    """
    domain = single_block(energy).domain
    code = domain.encode(x)
    slope = field(energy, code)
    chosen = code * slope
    if domain.code_ndim:
        chosen = chosen.sum(axis=-1)
    return (chosen - domain.log_trace(slope)).sum()
