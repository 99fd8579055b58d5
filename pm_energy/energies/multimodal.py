"""Two standards of the literature on log evidence, with many modes and with thin ones.

Both are a likelihood under a uniform prior on a box, so log Z is the log evidence that is quoted
for them; outside the box the energy is infinite.
"""

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
from scipy.special import gammaln

from pm_energy.domains import Real
from pm_energy.energies.landscapes import keep, positive_number
from pm_energy.energies.rejection import numbers, rejection
from pm_energy.typing import TensorLike
from pm_energy.validate import is_numeric, positive_int

EGGBOX_SIDE = 10 * np.pi


@dataclass(frozen=True, eq=False)
class Eggbox:
    r"""Eggbox likelihood, uniform prior on :math:`[0, 10\pi]^2`: 18 modes, those on the edge cut.

    .. math:: E(x, y) = 2 \log 10\pi - \left(2 + \cos\tfrac x2 \cos\tfrac y2\right)^5

    log Z = 235.8559; 235.88 is often quoted.

    References
    ----------
    .. [1] Feroz, Hobson & Bridges (2009), MNRAS 398, 1601-1614.

    Examples
    --------
    >>> import pm_energy as pme
    >>> round(float(pme.Eggbox().log_partition().eval()), 3)
    235.856
    """

    domain: ClassVar[Real] = Real()
    event_shape: ClassVar[tuple[int, ...]] = (2,)

    def __call__(self, x):  # (..., 2) -> (...)
        inside = (pt.ge(x, 0.0) & pt.le(x, EGGBOX_SIDE)).all(axis=-1)
        waves = pt.cos(0.5 * x[..., 0]) * pt.cos(0.5 * x[..., 1])
        return pt.switch(inside, 2 * np.log(EGGBOX_SIDE) - (2.0 + waves) ** 5, np.inf)

    def support_point(self):
        """The middle of the box."""
        return np.full(2, 0.5 * EGGBOX_SIDE)

    def log_partition(self):
        """Log Z, by Gauss-Chebyshev quadrature over the cosines."""
        m = 512
        wave = np.cos((np.arange(m) + 0.5) * np.pi / m)
        return pt.logsumexp((2.0 + np.outer(wave, wave)) ** 5) - 2.0 * np.log(m)

    def draw(self, rng, size):
        """Draw a mode and by rejection a point around it; three in ten proposals pass."""

        def accepted(m):
            # for p, q = (x +- y) / 2 from a mode the waves are (cos p + cos q) / 2; t^5 is below a
            # line from 1 to 3, so a product of von Mises densities bounds the likelihood
            p, q = rng.vonmises(0.0, 60.5, (2, m))
            waves = 0.5 * (np.cos(p) + np.cos(q))
            passed = rng.random(m) < np.exp((2.0 + waves) ** 5 - (122.0 + 121.0 * waves))
            p, q = p[passed], q[passed]
            row = rng.integers(10, size=p.size)
            column = 2 * rng.integers(5, size=p.size) + row % 2
            x = np.stack([p + q + 2 * np.pi * row, p - q + 2 * np.pi * column], axis=1)
            # modes of twice the box in both directions, folded into it
            return EGGBOX_SIDE - np.abs(x % (2 * EGGBOX_SIDE) - EGGBOX_SIDE)

        return rejection(accepted, size)


@dataclass(frozen=True, eq=False)
class GaussianShells:
    r"""Two thin spherical shells, uniform prior on a box :math:`[-B, B]^n`.

    .. math:: E(x) = n \log 2B - \log \sum_{c = \pm d e_1}
              \frac{1}{\sqrt{2\pi} w} \exp\left(-\frac{(|x - c| - r)^2}{2 w^2}\right)

    With the defaults log Z is -1.746, -5.674 and -14.590 in 2, 5 and 10 dimensions.

    Parameters
    ----------
    n : int
        Dimensions.
    radius, width : tensor_like, shape ()
        r and w; the radius is at least 8 widths.
    distance : tensor_like, shape ()
        d, how far the centres are from the origin along the first axis.
    box : tensor_like, shape ()
        B, at least d + r + 5w: log Z counts the mass outside, then less than 3e-7 of all.

    Raises
    ------
    ValueError
        If a number is not positive, or radius or box are too small.

    References
    ----------
    .. [1] Feroz, Hobson & Bridges (2009), MNRAS 398, 1601-1614.

    Examples
    --------
    >>> import pm_energy as pme
    >>> round(float(pme.GaussianShells(2).log_partition().eval()), 3)
    -1.746
    """

    n: int = 2
    _: KW_ONLY
    radius: TensorLike = 2.0
    width: TensorLike = 0.1
    distance: TensorLike = 3.5
    box: TensorLike = 6.0

    domain: ClassVar[Real] = Real()

    def __post_init__(self):
        names = ("radius", "width", "distance", "box")
        values = {name: positive_number(name, getattr(self, name)) for name in names}
        keep(self, n=positive_int("n", self.n), **values)
        if not all(is_numeric(value) for value in values.values()):
            return
        if self.radius < 8 * self.width:
            raise ValueError(
                f"radius must be at least 8 widths, got {self.radius / self.width:.3g}"
            )
        least = self.distance + self.radius + 5 * self.width
        if self.box < least * (1 - 1e-12):
            raise ValueError(
                f"box must be at least distance + radius + 5 width, {least:.4g}; got {self.box:.4g}"
            )

    @property
    def event_shape(self):
        return (self.n,)

    def __call__(self, x):  # (..., n) -> (...)
        first, others = x[..., 0], (x[..., 1:] ** 2).sum(axis=-1)
        logs = []
        for centre in (self.distance, -self.distance):
            r = pt.sqrt((first - centre) ** 2 + others)
            logs.append(-0.5 * ((r - self.radius) / self.width) ** 2)
        log_density = pt.logaddexp(*logs) - pt.log(np.sqrt(2 * np.pi) * self.width)
        inside = (abs(x) <= self.box).all(axis=-1)
        return pt.switch(inside, self.n * pt.log(2.0 * self.box) - log_density, np.inf)

    def support_point(self):
        """A point of a shell."""
        return self.distance * np.eye(self.n)[0] + self.radius * np.eye(self.n)[-1]

    def log_partition(self):
        """Log Z in closed form: area of the sphere times the (n-1)-th moment of a normal radius."""
        order = self.n - 1
        k = np.arange(0, order + 1, 2)  # odd moments vanish
        log_binomial = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
        log_moment = gammaln(k + 1) - gammaln(k / 2 + 1) - k / 2 * np.log(2.0)  # (k - 1)!!
        log_area = np.log(2.0) + 0.5 * self.n * np.log(np.pi) - math.lgamma(0.5 * self.n)
        powers = (order - k) * pt.log(self.radius) + k * pt.log(self.width)
        log_shell = log_area + pt.logsumexp(log_binomial + log_moment + powers)
        return np.log(2.0) + log_shell - self.n * pt.log(2.0 * self.box)

    def draw(self, rng, size):
        """Draw a shell, a direction, and a radius by rejection from a normal around its mode."""
        radius, width, distance, box = numbers(self, "radius", "width", "distance", "box")
        order = self.n - 1
        mode = 0.5 * (radius + np.sqrt(radius**2 + 4 * order * width**2))

        def accepted(m):
            # log r^order lies below its tangent at the mode, and with that the bound is this normal
            r = mode + width * rng.standard_normal(m)
            r = r[r > 0]
            slack = order * (np.log(r / mode) - (r / mode - 1.0))
            r = r[rng.random(r.size) < np.exp(slack)]
            x = rng.standard_normal((r.size, self.n))
            x *= (r / np.linalg.norm(x, axis=1))[:, None]
            x[:, 0] += rng.choice([-distance, distance], size=r.size)
            return x[(np.abs(x) <= box).all(axis=1)]

        return rejection(accepted, size)
