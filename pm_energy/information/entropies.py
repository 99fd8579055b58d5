"""Entropy and what it measures alone: codes, perplexity; and the softmax."""

import numpy as np
from scipy.special import entr, xlogy
from scipy.special import softmax as scipy_softmax

from pm_energy.information.probabilities import pair, probabilities, unit
from pm_energy.validate import numeric_array


def entropy(p, axis=-1, base=None):
    """Shannon entropy ``-sum p log p``.

    Parameters
    ----------
    p : array_like
        Probabilities.
    axis : int
        Along which they sum to one.
    base : float, optional
        Of the logarithm: 2 for bits; nats by default.

    Returns
    -------
    array
        One axis less than p.

    Raises
    ------
    ValueError
        If p is no distribution.

    Examples
    --------
    >>> from pm_energy import information
    >>> print(information.entropy([0.5, 0.25, 0.25], base=2))
    1.5
    """
    return entr(probabilities("p", p, axis)).sum(axis=axis) / unit(base)


def cross_entropy(p, q, axis=-1, base=None):
    """Mean length ``-sum p log q`` of a code made for q of messages from p.

    Infinite where q is zero and p is not.

    Parameters
    ----------
    p, q : array_like
        Probabilities; leading axes broadcast.
    axis, base
        As in :func:`entropy`.

    Raises
    ------
    ValueError
        If p or q is no distribution, or their shapes do not match.

    Examples
    --------
    >>> from pm_energy import information
    >>> print(information.cross_entropy([0.5, 0.5], [0.25, 0.75], base=2).round(6))
    1.207519
    """
    p, q = pair(p, q, axis)
    with np.errstate(divide="ignore"):
        return -xlogy(p, q).sum(axis=-1) / unit(base)


def perplexity(p, q=None, axis=-1):
    """Number of equally likely states with the entropy of p: ``exp(H)``, with H in nats.

    That is ``2**H`` with H in bits: the base does not matter if it is the same twice.

    Parameters
    ----------
    p : array_like
        Probabilities.
    q : array_like, optional
        A model of p, whose perplexity ``exp(cross_entropy(p, q))`` is wanted.
    axis : int

    Raises
    ------
    ValueError
        As in :func:`entropy` and :func:`cross_entropy`.

    Examples
    --------
    >>> from pm_energy import information
    >>> print(information.perplexity([0.25, 0.25, 0.25, 0.25]).round(6))
    4.0
    """
    return np.exp(entropy(p, axis) if q is None else cross_entropy(p, q, axis))


def softmax(values, temperature=1.0, axis=-1):
    """Probabilities proportional to ``exp(values / temperature)``.

    Parameters
    ----------
    values : array_like
        Minus energies, say; minus infinity for what is impossible.
    temperature : float
        Above zero.
    axis : int

    Raises
    ------
    ValueError
        If the temperature is not positive, values hold NaN or plus infinity, or all along the axis
        are minus infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy import information
    >>> information.softmax(np.log([1.0, 2.0]), temperature=0.5)
    array([0.2, 0.8])
    """
    if not (np.isscalar(temperature) and np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a finite number above zero, got {temperature!r}")
    values = numeric_array("values", values).astype(float)
    if values.ndim == 0 or values.size == 0:
        raise ValueError(f"values must have an axis and an entry, got shape {values.shape}")
    top = values.max(axis=axis, keepdims=True)
    if not np.isfinite(top).all():
        raise ValueError("values must not be NaN or plus infinity, nor all minus infinity")
    return scipy_softmax((values - top) / temperature, axis=axis)  # no overflow at low temperature
