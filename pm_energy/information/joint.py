"""Information in a joint table of two variables."""

import numpy as np
from scipy.special import rel_entr

from pm_energy.information.divergences import kl_divergence
from pm_energy.information.probabilities import probabilities, unit


def mutual_information(joint, base=None):
    """Mutual information of two variables: KL of their joint to the product of their marginals.

    Parameters
    ----------
    joint : array_like, shape (..., n, m)
        ``p(x, y)``, which sums to one over the last two axes.
    base : float, optional
        Of the logarithm: 2 for bits; nats by default.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    ValueError
        If the table is no distribution.

    Examples
    --------
    A bit through a channel that flips it with probability 0.11:

    >>> from pm_energy import information
    >>> joint = [[0.445, 0.055], [0.055, 0.445]]
    >>> print(information.mutual_information(joint, base=2).round(4))
    0.5001
    """
    joint = _table(joint)
    product = joint.sum(axis=-1, keepdims=True) * joint.sum(axis=-2, keepdims=True)
    flat = (*joint.shape[:-2], -1)
    return kl_divergence(joint.reshape(flat), product.reshape(flat), base=base)


def conditional_entropy(joint, given=-1, base=None):
    """Entropy that is left in one variable when the other is known.

    Parameters
    ----------
    joint : array_like, shape (..., n, m)
        ``p(x, y)``, which sums to one over the last two axes.
    given : {-1, -2}
        Axis of the variable that is known: H(x | y) by default.
    base : float, optional
        Of the logarithm: 2 for bits; nats by default.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    ValueError
        If the table is no distribution.

    Examples
    --------
    >>> from pm_energy import information
    >>> print(information.conditional_entropy([[0.5, 0.25], [0.0, 0.25]], base=2))
    0.5
    """
    if given not in (-1, -2):
        raise ValueError(f"given must be -1 or -2, an axis of the table, got {given!r}")
    joint = _table(joint)
    known = joint.sum(axis=-3 - given, keepdims=True)
    return -rel_entr(joint, known).sum(axis=(-2, -1)) / unit(base)


def _table(joint):
    if np.ndim(joint) < 2:
        raise ValueError(f"joint must have at least two axes, got {np.ndim(joint)}")
    return probabilities("joint", joint, axis=(-2, -1))
