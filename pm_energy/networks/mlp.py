"""A multilayer perceptron: the formula as a PyTensor graph, beside a compiled kernel."""

import numbers
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytensor.tensor as pt

from pm_energy.energies.neural import ACTIVATIONS as SMOOTH_ACTIVATIONS
from pm_energy.kernels import mlp as kernel
from pm_energy.networks.features import checked_labels, one_a_row, one_hot, time_waves
from pm_energy.validate import numeric_array, parameter, positive_int

ACTIVATIONS = {
    **{name: SMOOTH_ACTIVATIONS[name] for name in ("silu", "tanh", "softplus")},
    "relu": lambda x: pt.switch(pt.gt(x, 0), x, pt.zeros_like(x)),
}
GAINS = {"silu": 2.0, "tanh": 1.0, "softplus": 1.0, "relu": 2.0}  # variance of weights * n_in


@dataclass(frozen=True)
class MLP:
    """A network of dense layers, perhaps told a time and a label besides x.

    Parameters are a dict: ``weights_0`` (inputs, units), ``bias_0`` (units,), ``weights_1``, ... in
    one float dtype. The last layer is linear.

    Parameters
    ----------
    n_in, n_out : int
        Numbers of features of x and of the output.
    hidden : tuple of int
        Units of the hidden layers.
    activation : {"silu", "tanh", "softplus", "relu"}
        Of the hidden layers.
    time_features : int
        Sines and cosines of a time, or of a logarithm of a noise level, that are inputs, too: an
        even number. With 0 the network takes no time.
    time_range : tuple of two float
        The times that they resolve.
    n_classes : int
        Labels are 0, ..., n_classes - 1, or -1 for "no label", which classifier-free guidance needs
        [1]_. With 0 the network takes no labels.
    residual : bool
        Whether each hidden layer as wide as the one before is added to it.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.networks import MLP
    >>> network = MLP(2, 1, hidden=(16, 16), time_features=4)
    >>> theta = network.init(np.random.default_rng(0))
    >>> theta["weights_0"].shape
    (6, 16)
    >>> network.apply(theta, np.zeros((5, 2)), t=0.3).shape
    (5, 1)

    References
    ----------
    .. [1] Ho & Salimans (2022), "Classifier-free diffusion guidance", arXiv:2207.12598.
    """

    n_in: int
    n_out: int
    hidden: tuple = (64, 64)
    activation: str = "silu"
    time_features: int = 0
    time_range: tuple = (0.0, 1.0)
    n_classes: int = 0
    residual: bool = False

    def __post_init__(self):
        for name in ("n_in", "n_out"):
            positive_int(name, getattr(self, name))
        object.__setattr__(self, "hidden", tuple(self.hidden))
        for width in self.hidden:
            positive_int("each width in hidden", width)
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}"
            )
        for name in ("time_features", "n_classes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
                raise ValueError(f"{name} must be an integer of at least zero, got {value!r}")
        if self.time_features % 2:
            raise ValueError(
                f"time_features must be even, for pairs of sine and cosine, got "
                f"{self.time_features}"
            )
        low, high = parameter("time_range", self.time_range, ndim=1)
        object.__setattr__(self, "time_range", (float(low), float(high)))
        if not low < high:
            raise ValueError(f"time_range must be two rising times, got {self.time_range}")

    @property
    def sizes(self):
        """Units of each layer; those of the input with features of time and label first."""
        return (self.n_in + self.time_features + self.n_classes, *self.hidden, self.n_out)

    @property
    def shapes(self):
        """Shape of each parameter, by name and in the order of the flat vector."""
        shapes = {}
        for layer, (n_in, n_out) in enumerate(pairwise(self.sizes)):
            shapes[f"weights_{layer}"], shapes[f"bias_{layer}"] = (n_in, n_out), (n_out,)
        return shapes

    def init(self, rng, dtype="float32"):
        """Parameters to start from: normal weights that keep the size of fields, zero biases.

        Parameters
        ----------
        rng : numpy.random.Generator
        dtype : str or dtype

        Returns
        -------
        dict of str to array
        """
        theta = {}
        for layer, (n_in, n_out) in enumerate(pairwise(self.sizes)):
            is_last = layer == len(self.hidden)
            variance = (1.0 if is_last else GAINS[self.activation]) / n_in
            weights = rng.normal(0, np.sqrt(variance), (n_in, n_out))
            theta[f"weights_{layer}"] = weights.astype(dtype)
            theta[f"bias_{layer}"] = np.zeros(n_out, dtype)
        return theta

    def flatten(self, theta):
        """Return the parameters as one new vector, for kernels and for saving.

        Raises
        ------
        ValueError
            If names or shapes are not those of the network, or dtypes differ.
        """
        if theta.keys() != self.shapes.keys():
            raise ValueError(f"theta must have the names {list(self.shapes)}, got {list(theta)}")
        parts = [np.asarray(theta[name]) for name in self.shapes]
        for part, (name, shape) in zip(parts, self.shapes.items(), strict=True):
            if part.shape != shape:
                raise ValueError(f"theta[{name!r}] must have shape {shape}, got {part.shape}")
        dtypes = {part.dtype for part in parts}
        if len(dtypes) > 1 or parts[0].dtype not in (np.float32, np.float64):
            found = ", ".join(sorted(map(str, dtypes)))
            raise ValueError(f"theta must be arrays of float32, or all of float64, got {found}")
        return np.concatenate([part.reshape(-1) for part in parts])

    def unflatten(self, vector):
        """Return the parameters in a vector, by name; views, not copies."""
        theta, at = {}, 0
        for name, shape in self.shapes.items():
            theta[name] = vector[at : at + np.prod(shape)].reshape(shape)
            at += np.prod(shape)
        return theta

    def apply(self, theta, x, t=None, label=None):
        """Outputs of the network, by the kernel.

        Threads of the BLAS take longer over such small matrices: a loop around this is best within
        ``threadpoolctl.threadpool_limits(1, user_api="blas")``.

        Parameters
        ----------
        theta : dict of str to array
            Whose dtype is that of the computation.
        x : array_like, shape (N, n_in)
        t : float or array_like, shape (N,), optional
            Wanted if the network takes a time.
        label : int or array_like of int, shape (N,), optional
            If the network takes labels; by default none has one.

        Returns
        -------
        array, shape (N, n_out)

        Raises
        ------
        ValueError
            If an argument has a wrong shape, or is missing or too much.
        """
        flat = self.flatten(theta)
        inputs = self.inputs(x, t, label, flat.dtype)
        return kernel.forward(inputs, flat, self.sizes, self.activation, self.residual)

    def vector_jacobian(self, theta, x, cotangent, t=None, label=None):
        """Outputs, and the gradient of ``sum(cotangent * outputs)``, by the kernel.

        Parameters
        ----------
        theta, x, t, label
            As in :meth:`apply`.
        cotangent : array_like, shape (N, n_out)

        Returns
        -------
        outputs : array, shape (N, n_out)
        gradient : dict of str to array
            In the parameters.
        slope : array, shape (N, n_in)
            In x. With one output and ones for ``cotangent`` it is the gradient of an energy.

        Raises
        ------
        ValueError
            As :meth:`apply`.

        Examples
        --------
        >>> import numpy as np
        >>> from pm_energy.networks import MLP
        >>> line = MLP(1, 1, hidden=())
        >>> theta = {"weights_0": np.array([[3.0]]), "bias_0": np.array([1.0])}
        >>> line.vector_jacobian(theta, [[2.0]], [[1.0]])[2]
        array([[3.]])
        """
        flat = self.flatten(theta)
        inputs = self.inputs(x, t, label, flat.dtype)
        cotangent = np.ascontiguousarray(numeric_array("cotangent", cotangent), flat.dtype)
        outputs, gradient, slope = kernel.vector_jacobian(
            inputs, cotangent, flat, self.sizes, self.activation, self.residual
        )
        return outputs, self.unflatten(gradient), slope[:, : self.n_in]

    def graph(self, theta, x, t=None, label=None):
        """The same formula as a PyTensor graph.

        Parameters
        ----------
        theta : dict of str to TensorVariable
        x : TensorVariable, shape (N, n_in)
        t : TensorVariable, shape (N,), optional
        label : TensorVariable of int, shape (N,), optional

        Returns
        -------
        TensorVariable, shape (N, n_out)

        Raises
        ------
        ValueError
            If the time or the label is missing or too much.
        """
        self._check_extras(t, label)
        dtype = theta["weights_0"].dtype
        parts = [x]
        if self.time_features:
            parts.append(time_waves(t, self.time_features, self.time_range, dtype))
        if self.n_classes:
            label = pt.full(x.shape[:1], -1) if label is None else label
            parts.append(one_hot(label, self.n_classes, dtype))
        h = pt.concatenate(parts, axis=1) if len(parts) > 1 else x
        for layer in range(len(self.hidden)):
            unit = ACTIVATIONS[self.activation](
                h @ theta[f"weights_{layer}"] + theta[f"bias_{layer}"]
            )
            skips = self.residual and layer > 0 and self.hidden[layer - 1] == self.hidden[layer]
            h = h + unit if skips else unit
        return h @ theta[f"weights_{len(self.hidden)}"] + theta[f"bias_{len(self.hidden)}"]

    def inputs(self, x, t=None, label=None, dtype="float32"):
        """Return x with the features of time and label beside it, as an array (N, inputs).

        Raises
        ------
        ValueError
            If an argument has a wrong shape, or is missing or too much.
        """
        self._check_extras(t, label)
        x = numeric_array("x", x)
        if x.ndim != 2 or x.shape[1] != self.n_in:
            raise ValueError(f"x must have shape (N, {self.n_in}), got {x.shape}")
        inputs = np.zeros((len(x), self.sizes[0]), dtype)
        inputs[:, : self.n_in] = x
        if self.time_features:
            t = numeric_array("t", t)
            one_a_row("t", t, len(x))
            waves = time_waves(t.reshape(-1), self.time_features, self.time_range, dtype)
            inputs[:, self.n_in : self.n_in + self.time_features] = waves  # one for all, or each
        if label is not None:
            label = one_a_row("label", checked_labels(label, self.n_classes), len(x))
            inputs[:, self.n_in + self.time_features :] = one_hot(label, self.n_classes, dtype)
        return inputs

    def _check_extras(self, t, label):
        if t is None and self.time_features:
            raise ValueError("t is missing: the network has time_features")
        if t is not None and not self.time_features:
            raise ValueError("t must be left out: the network has no time_features")
        if label is not None and not self.n_classes:
            raise ValueError("label must be left out: the network has n_classes=0")
