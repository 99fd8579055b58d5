"""How far one distribution is from another."""

import numpy as np
from scipy.special import kl_div

from pm_energy.information.probabilities import pair, unit


def kl_divergence(p, q, axis=-1, base=None):
    """Kullback-Leibler divergence ``KL(p || q) = sum p log(p / q)``.

    Infinite where q is zero and p is not: leaving such terms out would be wrong.

    Parameters
    ----------
    p, q : array_like
        Probabilities; leading axes broadcast.
    axis : int
        Along which they sum to one.
    base : float, optional
        Of the logarithm: 2 for bits; nats by default.

    Returns
    -------
    array
        One axis less than p and q.

    Raises
    ------
    ValueError
        If p or q is no distribution, or their shapes do not match.

    References
    ----------
    .. [1] Kullback & Leibler (1951), Annals of Mathematical Statistics 22, 79-86.

    Examples
    --------
    >>> from pm_energy import information
    >>> information.kl_divergence([0.5, 0.5], [[0.25, 0.75], [1.0, 0.0]], base=2)
    array([0.20751875,        inf])
    """
    return _kl(*pair(p, q, axis)) / unit(base)


def jensen_shannon(p, q, axis=-1, base=None):
    """Jensen-Shannon divergence: the mean KL of p and of q to their middle.

    At most ``log 2``. Its root is a metric, which is what ``scipy.spatial.distance.jensenshannon``
    returns.

    Parameters
    ----------
    p, q, axis, base
        As in :func:`kl_divergence`.

    References
    ----------
    .. [1] Lin (1991), IEEE Transactions on Information Theory 37, 145-151.

    Examples
    --------
    >>> from pm_energy import information
    >>> print(information.jensen_shannon([1.0, 0.0], [0.0, 1.0], base=2))
    1.0
    """
    p, q = pair(p, q, axis)
    middle = (p + q) / 2
    return (_kl(p, middle) + _kl(q, middle)) / 2 / unit(base)


def alpha_divergence(p, q, alpha, axis=-1):
    r"""Alpha-divergence in the convention of Cichocki & Amari [1]_, which is Minka's as well.

    .. math:: D_\alpha(p \| q) = \frac{\sum p^\alpha q^{1 - \alpha} - 1}{\alpha (\alpha - 1)}

    Its limits are KL(p || q) at alpha = 1 and KL(q || p) at 0; at 1/2 it is four times the squared
    Hellinger distance ``1 - sum sqrt(p q)``, at 2 half of Pearson's chi-square. Amari's older
    parameter is ``2 alpha - 1``, with either sign.

    Parameters
    ----------
    p, q : array_like
        Probabilities; leading axes broadcast.
    alpha : float
    axis : int

    Returns
    -------
    array
        Infinite if alpha >= 1 and q is zero where p is not, or alpha <= 0 and the reverse.

    Raises
    ------
    ValueError
        If p or q is no distribution, their shapes do not match, or alpha is not finite.

    References
    ----------
    .. [1] Cichocki & Amari (2010), Entropy 12, 1532-1568.
    .. [2] Minka (2005), "Divergence measures and message passing", MSR-TR-2005-173.

    Examples
    --------
    >>> from pm_energy import information
    >>> p, q = [0.5, 0.5], [0.2, 0.8]
    >>> [float(information.alpha_divergence(p, q, a).round(6)) for a in (0, 0.5, 1, 2)]
    [0.192745, 0.205267, 0.223144, 0.28125]
    """
    if not (np.isscalar(alpha) and np.isfinite(alpha)):
        raise ValueError(f"alpha must be a finite number, got {alpha!r}")
    p, q = pair(p, q, axis)
    if alpha < 0.5:  # D_a(p || q) = D_(1 - a)(q || p)
        p, q, alpha = q, p, 1 - alpha
    if alpha == 1:
        return _kl(p, q)
    with np.errstate(divide="ignore", over="ignore"):
        ratio = np.log(p / np.where(p > 0, q, 1), out=np.zeros(p.shape), where=p > 0)
        terms = p * np.expm1((alpha - 1) * ratio)  # keeps its digits as alpha goes to 1
    return terms.sum(axis=-1) / (alpha * (alpha - 1))


def f_divergence(p, q, generator, slope=None, axis=-1):
    r"""Csiszar's divergence of a convex function f with ``f(1) = 0``: ``sum q f(p / q)``.

    Parameters
    ----------
    p, q : array_like
        Probabilities; leading axes broadcast.
    generator : callable
        f, of an array of ratios of at least zero. ``xlogy(t, t)`` gives KL(p || q), ``-log(t)``
        KL(q || p), ``abs(t - 1) / 2`` the total variation.
    slope : float, optional
        The limit of ``f(t) / t`` for large t, which weighs p where q is zero: infinity for
        KL(p || q), 0 for KL(q || p), 1/2 for the total variation. Needed only if q has such zeros.
    axis : int

    Raises
    ------
    ValueError
        If p or q is no distribution, their shapes do not match, f is not zero at one or NaN
        somewhere, or the slope is needed and missing.

    References
    ----------
    .. [1] Csiszar (1967), Studia Scientiarum Mathematicarum Hungarica 2, 299-318.

    Examples
    --------
    >>> from pm_energy import information
    >>> print(information.f_divergence([0.5, 0.5], [0.2, 0.8], lambda t: abs(t - 1) / 2).round(6))
    0.3
    """
    p, q = pair(p, q, axis)
    if abs(float(generator(np.ones(1))[0])) > 1e-12:
        raise ValueError("generator must be zero at 1: subtract its value there")
    inside = q > 0
    with np.errstate(divide="ignore", invalid="ignore"):  # NaN is asked for below
        values = np.asarray(generator(p[inside] / q[inside]))
    if np.isnan(values).any():
        raise ValueError("generator must not be NaN for ratios of zero and above: use xlogy(t, t)")
    terms = np.zeros(p.shape)
    terms[inside] = q[inside] * values
    outside = ~inside & (p > 0)
    if outside.any():
        if slope is None:
            raise ValueError(
                "q is zero where p is not: pass slope, the limit of generator(t) / t for large t"
            )
        terms[outside] = p[outside] * slope
    return terms.sum(axis=-1)


def _kl(p, q):
    """A sum of ``p log(p / q) - p + q``, each at least zero: so it cannot fall below."""
    return np.maximum(kl_div(p, q), 0).sum(axis=-1)
