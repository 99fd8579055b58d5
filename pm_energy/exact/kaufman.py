r"""The square-lattice Ising model without a field: log Z of a torus, and what follows from it.

Kaufman's four products over momenta, for a torus of n x m sites and :math:`a = |K|`, are

.. math:: 2^{1-nm} Z = A (1 + R_{1/2}) + C (1 - R_0),

    A = \prod_k (y_k / 2)^{m/2} (1 + r_k^m), \quad
    R_{1/2} = \prod_k \frac{1 - r_k^m}{1 + r_k^m}

over the odd momenta :math:`\phi = (2k + 1) \pi / n`; C and :math:`R_0` are the same over the even
ones, :math:`2 k \pi / n`. Here :math:`s = \sinh 2a`, :math:`x = 1 + s^2 - s \cos\phi`,
:math:`y = x + \sqrt{x^2 - s^2}` and :math:`r = s / y`. The factor of momentum 0 in :math:`R_0`
changes sign at the critical point; its closed form, :math:`r_0 = e^{2a} \tanh a`, does so smoothly.
C / A is the ratio :math:`R_{1/2}` of the torus turned by a right angle.

A negative K is a positive one with antiperiodic sides wherever a length is odd. That exchanges
signs: :math:`A (1 - R_{1/2}) + C (1 + R_0)` for n odd, and for both
:math:`-A (1 - R_{1/2}) + C (1 + R_0)`. What is small is computed as such (``expm1``), so only the
last of the three forms cancels.
"""

import functools

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode

from pm_energy.validate import parameter, positive_int

CRITICAL_COUPLING = np.log1p(np.sqrt(2.0)) / 2  # K = J / T = 0.4407 of the infinite lattice

_TINY = 1e-30  # stands for K = 0 in logarithms: its third power is nothing beside one
_LARGE = 40.0  # |K| from which on log Z is its ground-state line to the last digit
_DEEP = 230.0  # where r^m < exp(-_DEEP), 1 - R is its leading term to the last digit
_FLOOR = 1e-130  # below exp(-_DEEP); its inverse square, in second derivatives, is still finite
_LEAST_REMAINDER = 1e-9  # of the two terms that cancel where both sides are odd


def log_partition_torus(shape, coupling):
    """Log Z of the uniform Ising model on a torus, without a field.

    Parameters
    ----------
    shape : tuple of two int
        Sides, at least 3 each: on a shorter one a pair would be joined twice.
    coupling : tensor_like, any shape
        K = J / T, of either sign; energy over temperature is ``-K sum s_i s_j``, each pair of
        neighbours once.

    Returns
    -------
    TensorVariable, shape of ``coupling``
        Differentiable everywhere, K = 0 and the critical point included. NaN where both sides are
        odd, K is negative and frustration so strong that fewer than seven digits would be left:
        below K = -4 on 3 x 3, -1.7 on 9 x 9, -0.8 on 33 x 33.

    Raises
    ------
    ValueError
        If ``shape`` is not a pair of integers of at least 3.

    References
    ----------
    .. [1] Kaufman (1949), Physical Review 76, 1232-1243.
    .. [2] Ferdinand & Fisher (1969), Physical Review 185, 832-846.

    Examples
    --------
    >>> round(float(log_partition_torus((32, 32), CRITICAL_COUPLING).eval()), 6)
    952.64808
    """
    n, m = _read_shape(shape)
    k = pt.as_tensor(parameter("coupling", coupling))
    size = pt.switch(k < 0, -k, k)  # unlike |k|, this has a second derivative at 0
    a = pt.minimum(size, _LARGE)
    log_y, r_half = _modes(a, np.arange(1, 2 * n, 2) * np.pi / n)
    log_y_zero, r_zero = _modes(a, np.arange(2, 2 * n, 2) * np.pi / n)
    _, r_across = _modes(a, np.arange(1, 2 * m, 2) * np.pi / m)
    log_a = (m / 2 * (log_y - np.log(2.0)) + pt.log1p(r_half**m)).sum(-1)
    log_ratio_half = _log_ratio(r_half, m)
    from_one = pt.expm1(_log_ratio(r_zero, m))
    c = pt.exp(_log_ratio(r_across, n))  # C / A, the ratio for the other direction
    log_r = 2 * a + pt.log(pt.tanh(pt.maximum(a, _TINY)))  # of momentum 0; R_0 has -tanh(z)
    z = m * log_r / 2

    bracket = 1 + pt.exp(log_ratio_half) + c * (2 * pt.sigmoid(2 * z) + pt.tanh(z) * from_one)
    log_bracket = pt.log(bracket) + 2 * n * m * (size - a)
    if n % 2:
        sign, wall = (-1, n + m) if m % 2 else (1, m)
        positive = c * (2 * pt.sigmoid(-2 * z) - pt.tanh(z) * from_one)
        bracket = sign * -pt.expm1(log_ratio_half) + positive
        # the same divided by r_0^-m, in the limit where that underflows
        log_ratio = log_r + pt.log(pt.maximum(pt.sinh(2 * a), _TINY))
        half, zero = (
            pt.exp(m * (log_ratio[..., None] - log)).sum(-1) for log in (log_y, log_y_zero)
        )
        deep_positive = 2 * c * (1 + zero)
        deep = sign * 2 * half + deep_positive
        is_deep = m * log_r > _DEEP
        lost = pt.switch(
            is_deep,
            deep < _LEAST_REMAINDER * deep_positive,
            bracket < _LEAST_REMAINDER * positive,
        )
        frustrated = pt.switch(
            is_deep,
            pt.log(pt.maximum(deep, _TINY)) - m * log_r,
            pt.log(pt.maximum(bracket, _FLOOR)),
        )
        frustrated += (2 * n * m - 2 * wall) * (size - a)
        frustrated = pt.switch(lost, np.nan, frustrated)
        log_bracket = pt.switch(k < 0, frustrated, log_bracket)
    return (n * m - 1) * np.log(2.0) + log_a + log_bracket


def _read_shape(shape):
    """Return (number of momenta, exponent): if just one side is odd, it is the first."""
    sides = sorted(positive_int("shape", side) for side in shape)
    if len(sides) != 2 or min(sides) < 3:
        raise ValueError(
            f"shape must be two sides of at least 3, got {shape}: on a shorter one, periodic "
            "neighbours would be joined twice"
        )
    return sides[::-1] if sides[1] % 2 and not sides[0] % 2 else sides


def _modes(a, momenta):
    """Return ``log y`` and ``r`` for each momentum, shapes (..., momenta)."""
    s = pt.sinh(2 * a)[..., None]
    bend = 2 * s * np.sin(momenta / 2) ** 2
    minus, plus = (1 - s) ** 2 + bend, 1 + s**2 + bend  # x - s and x + s
    y = minus + s + pt.sqrt(minus) * pt.sqrt(plus)
    return pt.log(y), s / y


def _log_ratio(r, power):
    """Log of ``prod (1 - r^power) / (1 + r^power)`` over the momenta."""
    q = r**power
    return (pt.log1p(-q) - pt.log1p(q)).sum(-1)


def torus_energy_per_site(shape, coupling):
    """Mean energy per site in units of J, ``-(1 / N) d log Z / dK``.

    Parameters
    ----------
    shape : tuple of two int
    coupling : array_like
        K = J / T.

    Returns
    -------
    ndarray, shape of ``coupling``

    Examples
    --------
    >>> round(float(torus_energy_per_site((64, 64), CRITICAL_COUPLING)), 4)
    -1.4239
    """
    return -_derivative(tuple(shape), 1)(coupling) / np.prod(shape)


def torus_heat_capacity_per_site(shape, coupling):
    """Heat capacity per site in units of the Boltzmann constant, ``(K^2 / N) d^2 log Z / dK^2``.

    Parameters
    ----------
    shape : tuple of two int
    coupling : array_like
        K = J / T.

    Returns
    -------
    ndarray, shape of ``coupling``

    Examples
    --------
    >>> round(float(torus_heat_capacity_per_site((64, 64), CRITICAL_COUPLING)), 4)
    2.1922
    """
    return np.square(coupling) * _derivative(tuple(shape), 2)(coupling) / np.prod(shape)


@functools.lru_cache(maxsize=64)
def _derivative(shape, order):
    """Compile a derivative of log Z with respect to K; for arrays of any shape."""
    k = pt.dvector("K")
    out = log_partition_torus(shape, k)
    for _ in range(order):
        out = pt.grad(out.sum(), k)
    # unoptimised: ready in .1 s, where an optimised second derivative takes 5 s; a call takes 7 ms
    compiled = pytensor.function([k], out, mode=Mode(linker="py", optimizer=None))
    return lambda values: compiled(np.ravel(values).astype(float)).reshape(np.shape(values))[()]


def spontaneous_magnetisation(coupling):
    """Magnetisation per site of the infinite lattice without a field, after Yang.

    Parameters
    ----------
    coupling : array_like
        K = J / T. Below :data:`CRITICAL_COUPLING` the answer is 0.

    Returns
    -------
    ndarray, shape of ``coupling``

    References
    ----------
    .. [1] Yang (1952), Physical Review 85, 808-816.

    Examples
    --------
    >>> round(float(spontaneous_magnetisation(0.5)), 6)
    0.911319
    """
    ordered = np.maximum(coupling, CRITICAL_COUPLING)
    return np.power(np.maximum(-np.expm1(-4 * np.log(np.sinh(2 * ordered))), 0), 1 / 8)
