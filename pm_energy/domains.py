"""What values a unit can take, and how a formula sees them.

A *state* is what PyMC stores (int8 spins, categories, floats); its *encoding* is the float array
that an energy's formula is written in: the spin itself, or one-hot vectors for categories. Formulas
never see integers, because products of int8 overflow.
"""

import numbers
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import pytensor.tensor as pt

from pm_energy.typing import Array


class Domain(Protocol):
    """The states of one unit and their encoding."""

    @property
    def dtype(self) -> str:
        """What states are stored as."""

    @property
    def states(self) -> Array | None:
        """All states of a unit in increasing order, or None for a continuous unit."""

    @property
    def code_ndim(self) -> int:
        """Number of trailing axes that the encoding adds to the state."""

    def encode(self, x):
        """Map states (...) to the floats that formulas are written in."""

    def log_trace(self, field):
        """Return the log of the sum over a unit's states of exp(field . encode(state))."""


@dataclass(frozen=True)
class Spin:
    """Units in {-1, +1}, stored as int8.

    Examples
    --------
    >>> import pm_energy as pme
    >>> pme.Spin().states
    array([-1,  1], dtype=int8)
    """

    dtype: ClassVar[str] = "int8"
    code_ndim: ClassVar[int] = 0

    @property
    def states(self) -> Array:
        """Minus one and one."""
        return np.array([-1, 1], dtype=self.dtype)

    def encode(self, x):
        """Return the spins as floats."""
        return x.astype("float64")

    def log_trace(self, field):
        """Return ``log(2 cosh(field))``."""
        return pt.softplus(2.0 * field) - field


@dataclass(frozen=True)
class Binary:
    """Units in {0, 1}, stored as int8.

    Examples
    --------
    >>> import pm_energy as pme
    >>> pme.Binary().states
    array([0, 1], dtype=int8)
    """

    dtype: ClassVar[str] = "int8"
    code_ndim: ClassVar[int] = 0

    @property
    def states(self) -> Array:
        """Zero and one."""
        return np.array([0, 1], dtype=self.dtype)

    def encode(self, x):
        """Return the units as floats."""
        return x.astype("float64")

    def log_trace(self, field):
        """Return ``log(1 + exp(field))``."""
        return pt.softplus(field)


@dataclass(frozen=True)
class Categorical:
    """Units in {0, ..., q - 1}, stored as int8, or as int16 where q is above 127.

    Formulas see them as one-hot vectors.

    Parameters
    ----------
    q : int
        Number of states, from 2 to 32767.

    Raises
    ------
    ValueError
        If q is not such a number.

    Examples
    --------
    >>> import pm_energy as pme
    >>> pme.Categorical(3).states
    array([0, 1, 2], dtype=int8)
    """

    q: int
    code_ndim: ClassVar[int] = 1

    def __post_init__(self):
        if not isinstance(self.q, numbers.Integral) or not 2 <= self.q <= np.iinfo("int16").max:
            raise ValueError(f"q must be an integer from 2 to 32767, got {self.q!r}")
        object.__setattr__(self, "q", int(self.q))

    @property
    def dtype(self) -> str:
        """What states are stored as."""
        return "int8" if self.q <= 127 else "int16"

    @property
    def states(self) -> Array:
        """Zero to q - 1."""
        return np.arange(self.q, dtype=self.dtype)

    def encode(self, x):
        """Return one-hot vectors, shape (..., q)."""
        return pt.eq(pt.shape_padright(pt.as_tensor(x)), self.states).astype("float64")

    def log_trace(self, field):
        """Return the log-sum-exp of the field over its last axis."""
        return pt.logsumexp(field, axis=-1)


@dataclass(frozen=True)
class Real:
    """Real-valued units, stored as floats."""

    dtype: ClassVar[str] = "float64"
    code_ndim: ClassVar[int] = 0
    states: ClassVar[None] = None

    def encode(self, x):
        """Return the units as they are."""
        return x

    def log_trace(self, field):
        """Raise a ValueError: the trace over a real unit needs more than its field."""
        raise ValueError("a real-valued unit cannot be summed out from its field alone")
