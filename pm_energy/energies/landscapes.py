"""Test beds for samplers of real-valued variables, with what is exactly known about each.

``log_partition()`` is log Z at temperature one as a PyTensor expression; ``draw(rng, size)`` gives
independent exact draws (size, n).
"""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from scipy.special import expit

from pm_energy.domains import Real
from pm_energy.energies.rejection import numbers, rejection
from pm_energy.typing import TensorLike
from pm_energy.validate import is_numeric, parameter, positive, positive_int


def positive_number(name, value):
    """Return a positive scalar parameter."""
    return parameter(name, positive(name, value), 0)


def keep(energy, **fields):
    """Set the checked fields of a frozen energy."""
    for name, value in fields.items():
        object.__setattr__(energy, name, value)


@dataclass(frozen=True, eq=False)
class DoubleWell:
    r"""Independent coordinates, each with two wells.

    .. math:: E(x) = \sum_i b \left(\frac{x_i^2}{a^2} - 1\right)^2 + t x_i

    Without a tilt there are :math:`2^n` equally likely modes. Log Z is a trapezoidal sum.

    Parameters
    ----------
    n : int
        Coordinates.
    barrier : tensor_like, shape ()
        Height b between the wells, in units of the temperature.
    position : tensor_like, shape ()
        The wells are at -a and a without a tilt.
    tilt : tensor_like, shape ()
        Slope t, at most b/a either way; positive makes the left wells deeper, by about 2at.

    Raises
    ------
    ValueError
        If n, barrier or position is not positive, or the tilt leaves one well only.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> pme.energy_values(pme.DoubleWell(2, barrier=3.0), np.array([[0.0, 0.0], [1.0, -1.0]]))
    array([6., 0.])
    """

    n: int = 1
    _: KW_ONLY
    barrier: TensorLike = 4.0
    position: TensorLike = 1.0
    tilt: TensorLike = 0.0

    domain: ClassVar[Real] = Real()

    def __post_init__(self):
        keep(
            self,
            n=positive_int("n", self.n),
            barrier=positive_number("barrier", self.barrier),
            position=positive_number("position", self.position),
            tilt=parameter("tilt", self.tilt, 0),
        )
        slope = self.tilt * self.position
        if is_numeric(slope) and is_numeric(self.barrier) and abs(slope) > self.barrier:
            raise ValueError(
                f"tilt must be at most barrier / position = {self.barrier / self.position:.4g}, "
                f"got {self.tilt:.4g}; more would take one of the wells away"
            )

    @property
    def event_shape(self):
        return (self.n,)

    def __call__(self, x):  # (..., n) -> (...)
        return self._one(x).sum(axis=-1)

    def _one(self, x):
        return self.barrier * ((x / self.position) ** 2 - 1.0) ** 2 + self.tilt * x

    def log_partition(self):
        """Log Z, for any parameters."""
        # at `reach` wells half of the quartic outgrows 80 and half of it the tilt
        slope = abs(self.tilt) * self.position
        quartic, linear = (320.0 / self.barrier) ** 0.25, (8.0 * slope / self.barrier) ** (1 / 3)
        reach = self.position * pt.maximum(np.sqrt(2.0), pt.maximum(quartic, linear))
        reach = disconnected_grad(reach)  # nothing depends on where the sum ends
        grid = np.linspace(-1.0, 1.0, 4001)
        log_sum = pt.logsumexp(-self._one(reach * grid))
        return self.n * (log_sum + pt.log(reach * (grid[1] - grid[0])))

    def draw(self, rng, size):
        """Draw by rejection from a normal in each well: (x^2 - a^2)^2 >= a^2 (x - a)^2, x >= 0."""
        b, a, t = numbers(self, "barrier", "position", "tilt")
        width = a / np.sqrt(2.0 * b)
        centre = a - np.array([t, -t]) * width**2  # right well; left well mirrored
        p_left = expit((centre[1] ** 2 - centre[0] ** 2) / (2.0 * width**2))

        def accepted(m):
            left = (rng.random(m) < p_left).astype(int)
            y = centre[left] + width * rng.standard_normal(m)
            excess = b * ((y / a) ** 2 - 1.0) ** 2 - b * (y / a - 1.0) ** 2
            passed = (y >= 0) & (rng.random(m) < np.exp(-np.maximum(excess, 0.0)))
            return np.where(left, -y, y)[passed]

        return rejection(accepted, size * self.n).reshape(size, self.n)


@dataclass(frozen=True, eq=False)
class Funnel:
    r"""Neal's funnel: :math:`v = x_1 \sim N(0, s^2)` and :math:`x_i \sim N(0, e^v)` for the others.

    .. math:: E(x) = \frac{v^2}{2 s^2} + \sum_{i=2}^n \left(\frac{x_i^2}{2 e^v} + \frac v2\right)
              + \frac n2 \log 2\pi + \log s

    Normalised: log Z = 0.

    Parameters
    ----------
    n : int
        Coordinates, v included.
    scale : tensor_like, shape ()
        Standard deviation s of v.

    Raises
    ------
    ValueError
        If n or scale is not positive.

    References
    ----------
    .. [1] Neal (2003), Annals of Statistics 31, 705-767.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> pme.energy_values(pme.Funnel(2), np.zeros((1, 2))).round(6)  # log(2 pi) + log(3)
    array([2.936489])
    >>> pme.Funnel(2).draw(np.random.default_rng(1), 5).shape
    (5, 2)
    """

    n: int = 10
    _: KW_ONLY
    scale: TensorLike = 3.0

    domain: ClassVar[Real] = Real()

    def __post_init__(self):
        keep(self, n=positive_int("n", self.n), scale=positive_number("scale", self.scale))

    @property
    def event_shape(self):
        return (self.n,)

    def __call__(self, x):  # (..., n) -> (...)
        v, others = x[..., 0], x[..., 1:]
        squares = (others**2).sum(axis=-1)
        constant = 0.5 * self.n * np.log(2 * np.pi) + pt.log(self.scale)
        neck = 0.5 * (squares * pt.exp(-v) + (self.n - 1) * v)
        return 0.5 * (v / self.scale) ** 2 + neck + constant

    def log_partition(self):
        """Log Z, zero."""
        return pt.zeros(())

    def draw(self, rng, size):
        """Draw v, then the others."""
        [scale] = numbers(self, "scale")
        x = rng.standard_normal((size, self.n))
        x[:, 0] *= scale
        x[:, 1:] *= np.exp(0.5 * x[:, :1])
        return x


@dataclass(frozen=True, eq=False)
class Rosenbrock:
    r"""Banana-shaped valley in two dimensions.

    .. math:: E(x, y) = \frac{(a - x)^2 + b (y - x^2)^2}{s}

    So :math:`x \sim N(a, s/2)`, :math:`y \mid x \sim N(x^2, s/(2b))` and
    :math:`Z = \pi s / \sqrt b`.

    Parameters
    ----------
    location : tensor_like, shape ()
        a, where the minimum (a, a^2) is.
    stiffness : tensor_like, shape ()
        b, how narrow the valley is.
    scale : tensor_like, shape ()
        s; 20 as in [1]_.

    Raises
    ------
    ValueError
        If stiffness or scale is not positive.

    References
    ----------
    .. [1] Goodman & Weare (2010), Communications in Applied Mathematics and Computational Science
       5, 65-80.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> pme.energy_values(pme.Rosenbrock(), np.array([[1.0, 1.0], [1.0, 2.0]]))
    array([0., 5.])
    """

    location: TensorLike = 1.0
    _: KW_ONLY
    stiffness: TensorLike = 100.0
    scale: TensorLike = 20.0

    domain: ClassVar[Real] = Real()
    event_shape: ClassVar[tuple[int, ...]] = (2,)

    def __post_init__(self):
        keep(
            self,
            location=parameter("location", self.location, 0),
            stiffness=positive_number("stiffness", self.stiffness),
            scale=positive_number("scale", self.scale),
        )

    def __call__(self, x):  # (..., 2) -> (...)
        x, y = x[..., 0], x[..., 1]
        return ((self.location - x) ** 2 + self.stiffness * (y - x**2) ** 2) / self.scale

    def log_partition(self):
        """Log Z, in closed form."""
        return np.log(np.pi) + pt.log(self.scale) - 0.5 * pt.log(self.stiffness)

    def draw(self, rng, size):
        """Draw x, then y."""
        a, b, s = numbers(self, "location", "stiffness", "scale")
        x = a + np.sqrt(s / 2.0) * rng.standard_normal(size)
        return np.stack([x, x**2 + np.sqrt(s / (2.0 * b)) * rng.standard_normal(size)], axis=1)


MUELLER_BROWN = np.array(  # height, a, b, c, centre x, centre y of each term
    [
        [-200.0, -1.0, 0.0, -10.0, 1.0, 0.0],
        [-100.0, -1.0, 0.0, -10.0, 0.0, 0.5],
        [-170.0, -6.5, 11.0, -6.5, -0.5, 1.5],
        [15.0, 0.7, 0.6, 0.7, -1.0, 1.0],
    ]
)


@dataclass(frozen=True, eq=False)
class MuellerBrown:
    r"""Mueller-Brown surface: three minima and two saddle points along a bent path.

    .. math:: E(x, y) = \sum_k A_k \exp\left(a_k (x - x_k)^2 + b_k (x - x_k)(y - y_k)
              + c_k (y - y_k)^2\right)

    Minima: -146.700 at (-0.558, 1.442), -108.167 at (0.623, 0.028), -80.768 at (-0.050, 0.467).
    Saddle points: -40.665 at (-0.822, 0.624), -72.249 at (0.212, 0.293).

    Large beside a temperature of 1: ``Tempered(MuellerBrown(), 0.1)`` is a usual choice.

    References
    ----------
    .. [1] Mueller & Brown (1979), Theoretica Chimica Acta 53, 75-93.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> pme.energy_values(pme.MuellerBrown(), np.array([[-0.558224, 1.441726]])).round(3)
    array([-146.7])
    """

    domain: ClassVar[Real] = Real()
    event_shape: ClassVar[tuple[int, ...]] = (2,)

    def __call__(self, x):  # (..., 2) -> (...)
        height, a, b, c, x0, y0 = MUELLER_BROWN.T
        dx, dy = x[..., 0, None] - x0, x[..., 1, None] - y0
        return (height * pt.exp(a * dx**2 + b * dx * dy + c * dy**2)).sum(axis=-1)
