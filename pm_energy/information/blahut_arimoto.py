"""Rate-distortion: the fewest nats that say enough about a source.

References
----------
.. [1] Blahut (1972), "Computation of channel capacity and rate-distortion functions", IEEE
   Transactions on Information Theory 18, 460-473.
.. [2] Arimoto (1972), IEEE Transactions on Information Theory 18, 14-20.
"""

import math
import warnings
from typing import NamedTuple

import numpy as np
from scipy.special import entr, softmax, xlogy

from pm_energy.information.probabilities import probabilities, unit
from pm_energy.validate import numeric_array, positive_int


class RateDistortion(NamedTuple):
    """A point of a rate-distortion curve.

    Attributes
    ----------
    rate : float
        Mutual information of source and reproduction; R at this distortion lies between
        ``rate - gap`` and ``rate``.
    distortion : float
    conditional : array, shape (n, m)
        ``q(reproduction | source)``: for each source letter a Boltzmann distribution.
    gap : float
    """

    rate: float
    distortion: float
    conditional: np.ndarray
    gap: float


def rate_distortion(p, distortion, beta, *, base=None, tol=1e-5, max_iter=100_000):
    """Point of a source's rate-distortion curve with slope ``-beta``, by Blahut-Arimoto.

    Parameters
    ----------
    p : array_like, shape (n,)
        Probabilities of the source's letters.
    distortion : array_like, shape (n, m)
        Cost of each reproduction for each letter.
    beta : float
        Nats worth paying for a unit less of distortion: ``-dR/dD``. Several of them trace the
        curve.
    base : float, optional
        Of the logarithm in rate and gap: 2 for bits; nats by default.
    tol : float
        Gap to stop at, in nats.
    max_iter : int
        After which it stops with a warning; the gap says how far it came.

    Returns
    -------
    RateDistortion

    Raises
    ------
    ValueError
        If p is no distribution, shapes do not match or a number is out of range.

    References
    ----------
    .. [1] Blahut (1972), IEEE Transactions on Information Theory 18, 460-473.

    Examples
    --------
    A fair bit: R(D) = log 2 - h(D).

    >>> import numpy as np
    >>> from pm_energy import information
    >>> point = information.rate_distortion([0.5, 0.5], [[0, 1], [1, 0]], beta=2.0)
    >>> round(point.distortion, 6)  # 1 / (1 + exp(2))
    0.119203
    >>> d = point.distortion
    >>> bool(abs(point.rate - np.log(2) + information.entropy([d, 1 - d])) < 1e-9)
    True
    """
    p = probabilities("p", p)
    cost = numeric_array("distortion", distortion).astype(float)
    if p.ndim != 1 or cost.ndim != 2 or len(cost) != len(p) or cost.size == 0:
        raise ValueError(
            f"distortion must have a row for each letter of p, shape ({p.size}, m), "
            f"got {cost.shape}"
        )
    if not np.isfinite(cost).all():
        raise ValueError("distortion must be finite, got NaN or infinity")
    for name, value in (("beta", beta), ("tol", tol)):
        if not (np.isscalar(value) and math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number of at least zero, got {value!r}")
    positive_int("max_iter", max_iter)
    gain = np.exp(-beta * (cost - cost.min(axis=1, keepdims=True)))[p > 0]
    q = np.full(cost.shape[1], 1 / cost.shape[1])
    for _ in range(max_iter):
        c = (p[p > 0] / (gain @ q)) @ gain
        gap = max(float(np.log(c.max()) - q @ xlogy(c, c)), 0.0)
        if gap <= tol:
            break
        q *= c
        q /= q.sum()
    else:
        warnings.warn(
            f"the rate is known to {gap:.2g} nats after max_iter = {max_iter} steps, tol = {tol:g}",
            RuntimeWarning,
            stacklevel=2,
        )
    with np.errstate(divide="ignore"):
        conditional = softmax(np.log(q) - beta * cost, axis=1)
    rate = float(entr(p @ conditional).sum() - p @ entr(conditional).sum(axis=1))
    mean = float(p @ (conditional * cost).sum(axis=1))
    return RateDistortion(rate / unit(base), mean, conditional, gap / unit(base))
