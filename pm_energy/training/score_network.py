"""The score of a network and the gradients of its losses, by hand: nothing to compile, all BLAS.

Reverse passes are those of automatic differentiation, written out. Of a loss on the score it is the
*double* backward pass: forward to E, backward to dE/dx, and back through both. Of second
derivatives along directions it is a forward pass of Taylor coefficients (h, h', h'') [1]_, which
share each matrix product, and back through that.

References
----------
.. [1] Bettencourt, Johnson & Duvenaud (2019), Taylor-mode automatic differentiation for
   higher-order derivatives in JAX.
"""

import numpy as np

from pm_energy.energies.neural import NeuralEnergy
from pm_energy.training.energy_graphs import row_shares
from pm_energy.training.energy_parameters import Parameters
from pm_energy.training.score_activations import DERIVATIVES
from pm_energy.training.score_chains import ScoreChains


class NetworkModel(ScoreChains):
    """A :class:`~pm_energy.energies.neural.NeuralEnergy` as a model of scores.

    Has the methods of :class:`~pm_energy.training.score_model.ScoreModel` and, to rounding, its
    results; computes in the dtype of theta. What is learned are the network's weights and biases.

    Parameters
    ----------
    energy : NeuralEnergy
        With numeric parameters: where learning starts.

    Raises
    ------
    ValueError
        If it is another energy, or has parameters that are not numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.energies.neural import NeuralEnergy
    >>> from pm_energy.training.score_network import NetworkModel
    >>> model = NetworkModel(NeuralEnergy.initial(np.random.default_rng(0), 2, hidden=(8,)))
    >>> theta = model.initial("float32")
    >>> {name: value.shape for name, value in theta.items()}
    {'weights.0': (2, 8), 'weights.1': (8,), 'biases.0': (8,)}
    >>> model.score(theta, np.zeros((5, 2))).dtype
    dtype('float32')
    """

    def __init__(self, energy):
        if not isinstance(energy, NeuralEnergy):
            raise ValueError(
                f"energy must be a NeuralEnergy, got {type(energy).__name__}: use ScoreModel"
            )
        fixed = ("location", "scale", "confinement")
        names = [name for name in Parameters(energy).values if name not in fixed]
        self._parameters = Parameters(energy, learn=names)
        self._n = energy.event_shape[0]
        self._depth = len(energy.biases)
        self._activation = DERIVATIVES[energy.activation]
        self._fixed = [self._parameters.values[name] for name in fixed]

    def initial(self, dtype="float64"):
        """Return the parameters the energy came with, as theta."""
        return self._parameters.start(dtype)

    def energy(self, theta):
        """Return the energy with these numbers."""
        return self._parameters.energy(theta)

    def value_and_slope(self, theta, x):
        """Energies (N,) of rows of x (N, n), and their gradient in x."""
        weights, biases, z, (scale, confinement) = self._read(theta, x)
        h, firsts = z, []
        for w, b in zip(weights[:-1], biases, strict=True):
            h, first = self._activation(h @ w + b, 1)
            firsts.append(first)
        value = h @ weights[-1] + 0.5 * confinement * (z * z).sum(axis=1)
        back = weights[-1] * firsts[-1]
        for w, first in zip(weights[-2:0:-1], firsts[-2::-1], strict=True):
            back = back @ w.T
            back *= first
        return value, (back @ weights[0].T + confinement * z) / scale

    def score(self, theta, x):
        """``-dE/dx`` at rows of x, of the shape of x."""
        return -self.value_and_slope(theta, x)[1]

    def statistics(self, theta, x, weights=None):
        """Weighted mean over rows of x of ``-dE/dtheta``."""
        layers, biases, z, _ = self._read(theta, x)
        shares = row_shares(weights, len(z)).astype(z.dtype)
        inputs, firsts = [z], []
        for w, b in zip(layers[:-1], biases, strict=True):
            h, first = self._activation(inputs[-1] @ w + b, 1)
            inputs.append(h)
            firsts.append(first)
        gradient = {f"weights.{self._depth}": -(shares @ inputs[-1])}
        back = -shares[:, None] * layers[-1]
        for i in range(self._depth - 1, -1, -1):
            back = back * firsts[i]
            gradient |= {f"weights.{i}": inputs[i].T @ back, f"biases.{i}": back.sum(axis=0)}
            if i:
                back = back @ layers[i].T
        return gradient

    def score_regression(self, theta, x, targets, weights=None):
        """Weighted mean of ``|score(x) - target|**2`` over rows, and its gradient in theta."""
        layers, biases, z, (scale, confinement) = self._read(theta, x)
        shares = row_shares(weights, len(z)).astype(z.dtype)
        inputs, firsts, seconds = [z], [], []
        for w, b in zip(layers[:-1], biases, strict=True):
            h, first, second = self._activation(inputs[-1] @ w + b, 2)
            inputs.append(h)
            firsts.append(first)
            seconds.append(second)
        pulls = [layers[-1]]  # dE/dh of each hidden layer, from the last
        backs = [layers[-1] * firsts[-1]]  # and dE/da, before the activation
        for w, first in zip(layers[-2:0:-1], firsts[-2::-1], strict=True):
            pulls.append(backs[-1] @ w.T)
            backs.append(pulls[-1] * first)
        pulls.reverse()
        backs.reverse()
        slope = (backs[0] @ layers[0].T + confinement * z) / scale
        residual = slope + np.asarray(targets, z.dtype)  # minus (score - target)
        loss = float(shares @ (residual * residual).sum(axis=1))

        # back through dE/dx, which is a forward pass of the derivative along `change`
        change = 2 * shares[:, None] * residual / scale
        gradient, bends = {}, []
        for i in range(self._depth):
            gradient[f"weights.{i}"] = change.T @ backs[i]
            change = change @ layers[i]
            bends.append(change * pulls[i] * seconds[i])
            change *= firsts[i]
        gradient[f"weights.{self._depth}"] = change.sum(axis=0)
        back = bends[-1]
        for i in range(self._depth - 1, -1, -1):  # back through the forward pass
            gradient[f"weights.{i}"] += inputs[i].T @ back
            gradient[f"biases.{i}"] = back.sum(axis=0)
            if i:
                back = back @ layers[i].T
                back *= firsts[i - 1]
                back += bends[i - 1]
        return loss, gradient

    def score_slices(self, theta, x, directions, weights=None, *, squared=True):
        """Weighted mean of ``(v . s)**2 / 2 + v . ds/dx v``, and its gradient in theta."""
        layers, biases, z, (scale, confinement) = self._read(theta, x)
        shares = row_shares(weights, len(z)).astype(z.dtype)
        v = np.asarray(directions, z.dtype) / scale
        n = len(z)
        jets = np.concatenate([z, v, np.zeros_like(z)])  # value, first and second derivative
        inputs, locals_ = [jets], []
        for w, b in zip(layers[:-1], biases, strict=True):
            a = inputs[-1] @ w
            a[:n] += b
            value, *derivatives = self._activation(a[:n], 3)
            first, second, _ = derivatives
            a1, a2 = a[n : 2 * n], a[2 * n :]
            inputs.append(np.concatenate([value, first * a1, second * a1 * a1 + first * a2]))
            locals_.append((a1, a2, *derivatives))
        out = inputs[-1] @ layers[-1]
        along = out[n : 2 * n] + confinement * (z * v).sum(axis=1)
        bent = out[2 * n :] + confinement * (v * v).sum(axis=1)
        loss = -float(shares @ bent)
        pull = np.zeros_like(out)
        pull[2 * n :] = -shares
        if squared:
            loss += 0.5 * float(shares @ (along * along))
            pull[n : 2 * n] = shares * along
        gradient = {f"weights.{self._depth}": pull @ inputs[-1]}
        back = pull[:, None] * layers[-1]
        for i in range(self._depth - 1, -1, -1):
            a1, a2, first, second, third = locals_[i]
            b0, b1, b2 = back[:n], back[n : 2 * n], back[2 * n :]
            back = np.concatenate([
                b0 * first + b1 * second * a1 + b2 * (third * a1 * a1 + second * a2),
                b1 * first + 2 * b2 * second * a1,
                b2 * first,
            ])  # fmt: skip
            gradient[f"weights.{i}"] = inputs[i].T @ back
            gradient[f"biases.{i}"] = back[:n].sum(axis=0)
            if i:
                back = back @ layers[i].T
        return loss, gradient

    def _units(self):
        location, scale, _ = self._fixed
        return location, scale, (self._n,)

    def _read(self, theta, x):
        """Layers, biases, scaled units, and scale and confinement in the dtype of theta."""
        layers = [theta[f"weights.{i}"] for i in range(self._depth + 1)]
        biases = [theta[f"biases.{i}"] for i in range(self._depth)]
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self._n or not len(x):
            raise ValueError(f"x must have shape (N, {self._n}) with N above 0, got {x.shape}")
        location, scale, confinement = self._fixed
        dtype = layers[0].dtype
        z = ((x - location) / scale).astype(dtype)
        return layers, biases, z, (scale.astype(dtype), confinement.astype(dtype))
