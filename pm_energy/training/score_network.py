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

from typing import NamedTuple

import numpy as np

from pm_energy.energies.neural import NeuralEnergy
from pm_energy.training.energy_graphs import row_shares
from pm_energy.training.energy_parameters import Parameters
from pm_energy.training.score_activations import DERIVATIVES
from pm_energy.training.score_chains import ScoreChains


class Passes(NamedTuple):
    """What a backward pass needs of each hidden layer, the first one first."""

    inputs: list
    firsts: list
    seconds: list
    pulls: list
    backs: list


class NetworkModel(ScoreChains):
    """A :class:`~pm_energy.energies.neural.NeuralEnergy` as a model of scores.

    Has the methods of :class:`~pm_energy.training.score_model.ScoreModel` and, to rounding, its
    results; computes in the dtype of theta. What is learned are the network's weights and biases.

    Parameters
    ----------
    energy : NeuralEnergy
        With numeric parameters: where learning starts.
    levels : NoiseRange, optional
        Where ``energy`` is that of the least noise, and there is one for each level between two.

    Raises
    ------
    ValueError
        If it is another energy, has parameters that are not numbers, or is not that of the least
        noise.

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

    def __init__(self, energy, levels=None):
        if not isinstance(energy, NeuralEnergy):
            raise ValueError(
                f"energy must be a NeuralEnergy, got {type(energy).__name__}: use ScoreModel"
            )
        fixed = ("location", "scale", "confinement")
        names = [name for name in Parameters(energy).values if name not in (*fixed, "context")]
        self._parameters = Parameters(energy, learn=names)
        self._n = energy.event_shape[0]
        self._depth = len(energy.biases)
        self._activation = DERIVATIVES[energy.activation]
        self._fixed = [self._parameters.values[name] for name in fixed]
        self._context = self._parameters.values.get("context")
        self._levels = levels
        if levels is not None and not np.array_equal(self._context, levels.context(levels.low)[0]):
            raise ValueError(
                "energy must be that of the least noise: make it with levels.place(..., levels.low)"
            )

    def initial(self, dtype="float64"):
        """Return the parameters the energy came with, as theta."""
        return self._parameters.start(dtype)

    def energy(self, theta):
        """Return the energy with these numbers."""
        return self._parameters.energy(theta)

    def value_and_slope(self, theta, x, sigma=None):
        """Energies (N,) of rows of x (N, n), and their gradient in x.

        With ``sigma``, a number or one for each row, those of the energy at that noise.
        """
        weights, biases, inputs, z, (scale, confinement) = self._read(theta, x, sigma)
        h, firsts = inputs, []
        for w, b in zip(weights[:-1], biases, strict=True):
            h, first = self._activation(h @ w + b, 1)
            firsts.append(first)
        value = h @ weights[-1] + 0.5 * confinement * (z * z).sum(axis=1)
        back = weights[-1] * firsts[-1]
        for w, first in zip(weights[-2:0:-1], firsts[-2::-1], strict=True):
            back = back @ w.T
            back *= first
        return value, (back @ weights[0][: self._n].T + confinement * z) / scale

    def score(self, theta, x, sigma=None):
        """``-dE/dx`` at rows of x, of the shape of x."""
        return -self.value_and_slope(theta, x, sigma)[1]

    def statistics(self, theta, x, weights=None):
        """Weighted mean over rows of x of ``-dE/dtheta``."""
        layers, biases, inputs, z, _ = self._read(theta, x)
        shares = row_shares(weights, len(z)).astype(z.dtype)
        inputs, firsts = [inputs], []
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
        layers, biases, inputs, z, (scale, confinement) = self._read(theta, x)
        shares = row_shares(weights, len(z)).astype(z.dtype)
        passes = self._passes(layers, biases, inputs)
        slope = (passes.backs[0] @ layers[0][: self._n].T + confinement * z) / scale
        residual = slope + np.asarray(targets, z.dtype)  # minus (score - target)
        loss = float(shares @ (residual * residual).sum(axis=1))
        change = self._beside(2 * shares[:, None] * residual / scale)
        return loss, self._through(layers, passes, change)

    def level_regression(self, theta, x, sigma, targets, rates, weights=None):
        r"""Weighted mean of a loss on both slopes of an energy, and its gradient in theta.

        .. math:: \sigma^2 \Bigl| -\frac{\partial E}{\partial x} - target \Bigr|^2 +
                  \frac1{2n} \Bigl( -\frac{\partial E}{\partial \log\sigma} -
                  \sum_i \frac{\partial \log s_i}{\partial \log\sigma} - rate \Bigr)^2

        With :math:`\log s` of the bowl it is normalised where the network says nothing.

        Parameters
        ----------
        theta : dict of str to array
        x, targets : array, shape (N, n)
        sigma, rates : array, shape (N,)
        weights : array, shape (N,), optional

        Returns
        -------
        loss : float
        gradient : dict of str to array
        """
        layers, biases, inputs, z, (scale, confinement) = self._read(theta, x, sigma)
        shares = row_shares(weights, len(z)).astype(z.dtype)
        passes = self._passes(layers, biases, inputs)
        pull = passes.backs[0] @ layers[0].T  # of the network on all that it is told
        told, sigma = self._levels.context_slope(sigma), np.asarray(sigma, z.dtype)[:, None]
        widening = np.broadcast_to((sigma / scale) ** 2, z.shape)  # of the bowl, along log sigma
        drift = np.concatenate([-z * widening, told.astype(z.dtype)], axis=1)  # of the inputs
        slope = (pull[:, : self._n] + confinement * z) / scale
        rate = (pull * drift).sum(axis=1) + (widening * (1 - confinement * z * z)).sum(axis=1)
        residual = sigma * (slope + np.asarray(targets, z.dtype))
        missed = rate + np.asarray(rates, z.dtype)
        losses = (residual * residual).sum(axis=1) + missed * missed / (2 * self._n)
        change = self._beside(2 * shares[:, None] * sigma * residual / scale)
        change += (shares * missed / self._n)[:, None] * drift
        return float(shares @ losses), self._through(layers, passes, change)

    def _passes(self, layers, biases, inputs):
        """Forward to E, and backward to its gradient in the inputs."""
        inputs, firsts, seconds = [inputs], [], []
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
        return Passes(inputs, firsts, seconds, pulls[::-1], backs[::-1])

    def _through(self, layers, passes, change):
        """Gradient in theta of a loss whose gradient in the slopes of all inputs is ``change``."""
        inputs, firsts, seconds, pulls, backs = passes
        gradient, bends = {}, []
        for i in range(self._depth):  # a forward pass of the derivative along `change`
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
        return gradient

    def score_slices(self, theta, x, directions, weights=None, *, squared=True):
        """Weighted mean of ``(v . s)**2 / 2 + v . ds/dx v``, and its gradient in theta."""
        layers, biases, inputs, z, (scale, confinement) = self._read(theta, x)
        shares = row_shares(weights, len(z)).astype(z.dtype)
        v = np.asarray(directions, z.dtype) / scale
        n = len(z)
        # value, first and second derivative
        jets = np.concatenate([inputs, self._beside(v), np.zeros_like(inputs)])
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

    def _read(self, theta, x, sigma=None):
        """Layers, biases, inputs, scaled units, and scale and confinement, in theta's dtype."""
        layers = [theta[f"weights.{i}"] for i in range(self._depth + 1)]
        biases = [theta[f"biases.{i}"] for i in range(self._depth)]
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self._n or not len(x):
            raise ValueError(f"x must have shape (N, {self._n}) with N above 0, got {x.shape}")
        (location, scale, confinement), context = self._fixed, self._context
        if sigma is not None and self._levels is None:
            raise ValueError("the model knows one noise only: make it with levels")
        if sigma is not None:
            scale, context = self._levels.scale(scale, sigma), self._levels.context(sigma)
        dtype = layers[0].dtype
        z = ((x - location) / scale).astype(dtype)
        inputs = z
        if context is not None:
            told = np.broadcast_to(context, (len(z), context.shape[-1]))
            inputs = np.concatenate([z, told.astype(dtype)], axis=1)
        return layers, biases, inputs, z, (scale.astype(dtype), confinement.astype(dtype))

    def _beside(self, units):
        """Rows for the units, and zeros for the context."""
        if self._context is None:
            return units
        return np.pad(units, ((0, 0), (0, len(self._context))))
