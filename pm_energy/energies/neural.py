"""A small network as an energy."""

import itertools
from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar

import numpy as np
import pytensor.tensor as pt

from pm_energy.domains import Real
from pm_energy.energies.landscapes import keep
from pm_energy.typing import TensorLike
from pm_energy.validate import (
    is_numeric,
    parameter,
    positive,
    positive_int,
    shape_matches,
    static_shape,
)

ACTIVATIONS = {  # smooth ones: the score is a slope of the network and must itself have slopes
    "silu": lambda a: a * pt.sigmoid(a),
    "softplus": pt.softplus,
    "tanh": pt.tanh,
}
GAINS = {"silu": 1.6, "softplus": 1.6, "tanh": 1.0}  # that keep a signal's size from layer to layer


@dataclass(frozen=True, eq=False)
class NeuralEnergy:
    r"""Energy of real-valued units by a multilayer perceptron, in a quadratic bowl.

    .. math:: E(x) = w^\top h_L + \frac c2 |z|^2, \quad
              h_l = \phi(h_{l-1} W_l + b_l), \quad h_0 = (z, a), \quad z = \frac{x - m}{s}

    Its score :math:`-\partial E / \partial x` is that of a density: it has no curl. Far out these
    networks grow no faster than linearly, so with any bowl, :math:`c > 0`, :math:`e^{-E}` has a
    log Z. A constant in E would mean nothing, so the last layer has no bias.

    Parameters
    ----------
    weights : tuple of tensor_like, shapes (n + k, h_1), (h_1, h_2), ..., (h_L,)
        Matrices of the hidden layers, then the weights w of the sum.
    biases : tuple of tensor_like, shapes (h_1,), ..., (h_L,)
    activation : {"silu", "softplus", "tanh"}
    location : tensor_like, shape () or (n,)
        m, the centre of the bowl.
    scale : tensor_like, shape () or (n,)
        s, the unit of length of each coordinate.
    confinement : tensor_like, shape ()
        c. At 1 a network that says nothing is a normal distribution of mean m and deviation s.
    context : tensor_like, shape (k,), optional
        a, what the network is told besides x: a level of noise, say.

    Raises
    ------
    ValueError
        If shapes do not fit, ``scale`` is not positive, ``confinement`` is negative, or there is no
        such activation.

    References
    ----------
    .. [1] LeCun, Chopra, Hadsell, Ranzato & Huang (2006), A tutorial on energy-based learning.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.energies.neural import NeuralEnergy
    >>> dent = NeuralEnergy(([[1.0], [0.0]], [-2.0]), ([0.0],), activation="tanh")
    >>> pme.energy_values(dent, np.array([[1.0, 0.0]])).round(4)  # 1/2 - 2 tanh(1)
    array([-1.0232])
    >>> told = NeuralEnergy(([[1.0], [3.0]], [-2.0]), ([0.0],), activation="tanh", context=[0.5])
    >>> pme.energy_values(told, np.array([[1.0]])).round(4)  # 1/2 - 2 tanh(1 + 3 / 2)
    array([-1.4732])
    >>> NeuralEnergy.initial(np.random.default_rng(0), 2, hidden=(8, 8)).event_shape
    (2,)
    """

    weights: tuple[TensorLike, ...]
    biases: tuple[TensorLike, ...]
    _: KW_ONLY
    activation: str = "silu"
    location: TensorLike = 0.0
    scale: TensorLike = 1.0
    confinement: TensorLike = 1.0
    context: TensorLike | None = None

    domain: ClassVar[Real] = Real()

    def __post_init__(self):
        weights = tuple(parameter(f"weights[{i}]", w, (1, 2)) for i, w in enumerate(self.weights))
        biases = tuple(parameter(f"biases[{i}]", b, 1) for i, b in enumerate(self.biases))
        if not biases or len(weights) != len(biases) + 1:
            raise ValueError(
                "weights must have one entry more than biases, which has one a hidden layer, "
                f"got {len(weights)} and {len(biases)}"
            )
        context = self.context
        if context is not None:
            context = parameter("context", context, 1)
        n = _check_shapes(weights, biases, context)
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}"
            )
        location = parameter("location", self.location, (0, 1))
        scale = parameter("scale", positive("scale", self.scale), (0, 1))
        for name, value in (("location", location), ("scale", scale)):
            if value.ndim and not shape_matches(value, (n,)):
                raise ValueError(f"{name} must have shape () or ({n},), got {static_shape(value)}")
        confinement = parameter("confinement", self.confinement, 0)
        if is_numeric(confinement) and confinement < 0:
            raise ValueError(f"confinement must be at least zero, got {confinement:.4g}")
        keep(self, weights=weights, biases=biases)
        keep(self, location=location, scale=scale, confinement=confinement, context=context)

    @classmethod
    def initial(cls, rng, n, hidden=(64, 64), *, activation="silu", context=None, **settings):
        """Return a network with random hidden layers and little to say.

        Parameters
        ----------
        rng : numpy.random.Generator
        n : int
            Units.
        hidden : tuple of int
            Widths of the hidden layers.
        activation : str
        context : array_like, shape (k,), optional
        **settings
            ``location``, ``scale`` and ``confinement``.
        """
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}"
            )
        inputs = positive_int("n", n) + (0 if context is None else np.size(context))
        widths = [inputs, *(positive_int("hidden", width) for width in hidden)]
        pairs = itertools.pairwise(widths)
        gain = GAINS[activation]
        weights = [gain * rng.standard_normal(pair) / np.sqrt(pair[0]) for pair in pairs]
        last = 0.1 * rng.standard_normal(widths[-1]) / np.sqrt(widths[-1])
        biases = [0.5 * rng.standard_normal(width) for width in widths[1:]]
        settings |= {"activation": activation, "context": context}
        return cls((*weights, last), tuple(biases), **settings)

    @property
    def event_shape(self):
        told = 0 if self.context is None else static_shape(self.context)[0]
        return (static_shape(self.weights[0])[0] - told,)

    def __call__(self, x):  # (..., n) -> (...)
        plain = self.without_context()
        z = (x - self.location) / self.scale
        h = z
        for weights, bias in zip(plain.weights[:-1], plain.biases, strict=True):
            h = ACTIVATIONS[self.activation](h @ weights + bias)
        return h @ self.weights[-1] + 0.5 * self.confinement * (z**2).sum(axis=-1)

    def without_context(self):
        """Return the same energy, of which the context is part of the first biases.

        Examples
        --------
        >>> told = NeuralEnergy(([[1.0], [3.0]], [-2.0]), ([0.0],), context=[0.5])
        >>> told.without_context().biases
        (array([1.5]),)
        """
        if self.context is None:
            return self
        n = self.event_shape[0]
        (first, *weights), (bias, *biases) = self.weights, self.biases
        bias = bias + self.context @ first[n:]
        return replace(self, weights=(first[:n], *weights), biases=(bias, *biases), context=None)


def _check_shapes(weights, biases, context):
    """Return how many units there are."""
    rows = static_shape(weights[0])[0]
    told = 0 if context is None else static_shape(context)[0]
    if told is None:
        raise ValueError("context must have a known shape (k,), got (None,)")
    if not rows or rows <= told:
        raise ValueError(
            "weights[0] must have a known shape (n + k, h) with n above 0 units and k entries of "
            f"context, got ({rows}, ...) and k = {told}"
        )
    width = rows
    for i, bias in enumerate(biases):
        shape = (width, static_shape(bias)[0])
        if not shape_matches(weights[i], shape):
            raise ValueError(
                f"weights[{i}] must have shape {shape}, got {static_shape(weights[i])}"
            )
        width = shape[1]
    if not shape_matches(weights[-1], (width,)):
        raise ValueError(f"weights[-1] must have shape ({width},), got {static_shape(weights[-1])}")
    return rows - told
