"""Boltzmann machines: fully visible, and restricted with a hidden layer."""

import dataclasses
from dataclasses import KW_ONLY, dataclass

import numpy as np
import pytensor.tensor as pt

from pm_energy.energies.network import CODINGS, choice, fits, network
from pm_energy.energy import Block
from pm_energy.typing import TensorLike
from pm_energy.validate import is_numeric, parameter, positive, static_shape


@dataclass(frozen=True, eq=False)
class BoltzmannMachine:
    r"""Pairwise energy over units that are all coupled.

    .. math:: E(x) = -b^\top x - \tfrac12 x^\top J x + c

    Parameters
    ----------
    coupling : tensor_like, shape (n, n)
        Symmetric with zero diagonal; of a PyTensor variable the symmetric part without the
        diagonal is taken. Positive couplings make units agree.
    bias : tensor_like, shape () or (n,)
        Field on each unit.
    coding : {"binary", "spin"}
        Units in {0, 1} or in {-1, +1}.
    offset : tensor_like, shape ()
        Constant c; :meth:`to_spin` and :meth:`to_binary` use it to keep the energy.

    Raises
    ------
    ValueError
        If the coupling is not square, symmetric and free of self-coupling, shapes do not fit or
        values are not finite.

    References
    ----------
    .. [1] Ackley, Hinton & Sejnowski (1985), Cognitive Science 9, 147-169.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> machine = pme.BoltzmannMachine([[0.0, 2.0], [2.0, 0.0]], bias=[1.0, -1.0])
    >>> float(machine(np.array([1.0, 1.0])))
    -2.0
    >>> float(machine.to_spin()(np.array([1.0, 1.0])))
    -2.0
    """

    coupling: TensorLike
    bias: TensorLike = 0.0
    _: KW_ONLY
    coding: str = "binary"
    offset: TensorLike = 0.0
    n: int = dataclasses.field(init=False)

    def __post_init__(self):
        choice("coding", self.coding, ("binary", "spin"))
        checked = network(self.coupling, bias=self.bias)
        for name, value in {**checked, "offset": parameter("offset", self.offset, 0)}.items():
            object.__setattr__(self, name, value)

    @property
    def domain(self):
        """Coding of the units."""
        return CODINGS[self.coding]

    @property
    def event_shape(self):
        """Shape of the units."""
        return (self.n,)

    def __call__(self, x):
        """Energy of units as floats, (..., n) -> (...)."""
        linear = (self.bias * x).sum(axis=-1)
        return self.offset - linear - 0.5 * ((x @ self.coupling) * x).sum(axis=-1)

    def to_spin(self):
        """Return the same energies as a function of spins s = 2x - 1."""
        if self.coding == "spin":
            return self
        row = self.coupling.sum(axis=1)
        bias = self.bias * _ones(self.bias, self.n)
        return BoltzmannMachine(
            self.coupling / 4,
            bias / 2 + row / 4,
            coding="spin",
            offset=self.offset - bias.sum() / 2 - row.sum() / 8,
        )

    def to_binary(self):
        """Return the same energies as a function of x = (s + 1) / 2."""
        if self.coding == "binary":
            return self
        row = self.coupling.sum(axis=1)
        bias = self.bias * _ones(self.bias, self.n)
        return BoltzmannMachine(
            4 * self.coupling,
            2 * bias - 2 * row,
            coding="binary",
            offset=self.offset + bias.sum() - row.sum() / 2,
        )


def _ones(like, n):
    return np.ones(n) if is_numeric(like) else pt.ones(n)


@dataclass(frozen=True, eq=False)
class RBM:
    r"""Restricted Boltzmann machine: a visible and a hidden layer, coupled only with each other.

    .. math:: E(v, h) = -a^\top v - b^\top h - v^\top W h

    and with Gaussian visible units of variance :math:`\sigma^2` [2]_

    .. math:: E(v, h) = \sum_i \frac{(v_i - a_i)^2}{2 \sigma_i^2} - b^\top h
              - \sum_{ij} \frac{v_i}{\sigma_i^2} W_{ij} h_j .

    As a PyMC variable it is the visible layer, with the hidden units summed out analytically; a
    temperature acts on both layers together.

    Parameters
    ----------
    weights : tensor_like, shape (n_visible, n_hidden)
    visible_bias : tensor_like, shape () or (n_visible,)
        Field on the visible units, or their mean where they are Gaussian and uncoupled.
    hidden_bias : tensor_like, shape () or (n_hidden,)
    visible : {"binary", "spin", "gaussian"}
    hidden : {"binary", "spin"}
    variance : tensor_like, shape () or (n_visible,)
        Variance of Gaussian visible units; not allowed otherwise.

    Raises
    ------
    ValueError
        If shapes do not fit, values are not finite or a variance is not positive.

    References
    ----------
    .. [1] Smolensky (1986), in Parallel Distributed Processing 1, 194-281.
    .. [2] Cho, Ilin & Raiko (2011), ICANN, Lecture Notes in Computer Science 6791, 10-17.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> rbm = pme.RBM(np.array([[1.0], [-1.0]]), visible_bias=0.5)
    >>> float(rbm(np.array([1.0, 0.0]), np.array([1.0])))
    -1.5
    """

    weights: TensorLike
    visible_bias: TensorLike = 0.0
    hidden_bias: TensorLike = 0.0
    _: KW_ONLY
    visible: str = "binary"
    hidden: str = "binary"
    variance: TensorLike | None = None
    shape: tuple[int, int] = dataclasses.field(init=False)

    def __post_init__(self):
        weights = parameter("weights", self.weights, 2)
        a = parameter("visible_bias", self.visible_bias, (0, 1))
        b = parameter("hidden_bias", self.hidden_bias, (0, 1))
        choice("visible", self.visible, ("binary", "spin", "gaussian"))
        choice("hidden", self.hidden, ("binary", "spin"))
        shape = tuple(
            side or (static_shape(bias)[0] if bias.ndim else None)
            for side, bias in zip(static_shape(weights), (a, b), strict=True)
        )
        if None in shape:
            raise ValueError(f"weights must have a known shape (n_visible, n_hidden), got {shape}")
        sizes = [("visible_bias", a, shape[0]), ("hidden_bias", b, shape[1])]
        variance = self.variance
        if self.visible == "gaussian":
            variance = positive("variance", 1.0 if variance is None else variance)
            sizes.append(("variance", variance, shape[0]))
        elif variance is not None:
            raise ValueError(f"variance is for visible='gaussian', got visible={self.visible!r}")
        for name, value, n in sizes:
            fits(name, value, n)
        named = {"weights": weights, "visible_bias": a, "hidden_bias": b, "variance": variance}
        for name, value in {**named, "shape": shape}.items():
            object.__setattr__(self, name, value)

    @property
    def blocks(self):
        """The visible and the hidden layer."""
        n_visible, n_hidden = self.shape
        return (
            Block(CODINGS[self.visible], (n_visible,)),
            Block(CODINGS[self.hidden], (n_hidden,)),
        )

    def __call__(self, v, h):
        """Energy of both layers as floats, (..., n_visible), (..., n_hidden) -> (...)."""
        hidden = (self.hidden_bias * h).sum(axis=-1)
        if self.visible == "gaussian":
            confinement = ((v - self.visible_bias) ** 2 / (2 * self.variance)).sum(axis=-1)
            return confinement - hidden - (((v / self.variance) @ self.weights) * h).sum(axis=-1)
        visible = (self.visible_bias * v).sum(axis=-1)
        return -visible - hidden - ((v @ self.weights) * h).sum(axis=-1)
