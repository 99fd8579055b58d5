"""Deep latent Gaussian models: networks from the data up to noise and back, and their bound.

A chain of latent layers ``z_1, ..., z_L`` over the data x. Upwards each layer is inferred from the
one below, ``q(z_l | z_{l-1})`` with ``z_0 = x``; downwards it is generated from the one above,
``p(z_{l-1} | z_l)``, and ``z_L`` is standard normal. All are normals with independent coordinates
whose means and log variances are what networks say, but for ``p(x | z_1)``, which is normal with
one variance, or Bernoulli. One layer is the variational autoencoder [1]_; a chain whose way up is
fixed is a diffusion model [2]_.

References
----------
.. [1] Kingma & Welling (2014), Auto-encoding variational Bayes, ICLR.
.. [2] Sohl-Dickstein, Weiss, Maheswaranathan & Ganguli (2015), ICML, 2256-2265.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from pm_energy.networks import MLP
from pm_energy.training.vae_network import backward, forward

LIKELIHOODS = ("gaussian", "bernoulli")
LOG_2PI = float(np.log(2 * np.pi))


class Terms(NamedTuple):
    """Parts of the bound for each row, shape (N,): ``bound = reconstruction - kl``."""

    reconstruction: np.ndarray
    kl: np.ndarray


class Ascent(NamedTuple):
    """What the way up has drawn: layers, x first, and the means and log variances of the others.

    ``memories`` are those of the encoders, for the way back.
    """

    layers: list
    means: list
    log_variances: list
    memories: list


@dataclass(frozen=True)
class LatentChain:
    """The networks of a chain of latent layers, and the bound on its log-likelihood.

    Parameters are one flat vector: encoder and decoder of each layer, from the data upwards, then
    the log of the noise variance (without effect on Bernoulli data).

    Parameters
    ----------
    n_visible : int
    latents : tuple of int
        Sizes of the layers, from the data upwards.
    hidden : tuple of int
        Units of the hidden layers of each network.
    activation : str
        As of :class:`pm_energy.networks.MLP`.
    likelihood : {"gaussian", "bernoulli"}

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.vae_chain import LatentChain
    >>> chain = LatentChain(4, (2,), hidden=(3,))
    >>> theta = chain.init(np.random.default_rng(0), "float64")
    >>> terms = chain.terms(theta, np.zeros((5, 4)), [np.zeros((5, 2))])
    >>> terms.kl.shape
    (5,)
    """

    n_visible: int
    latents: tuple
    hidden: tuple = (128,)
    activation: str = "silu"
    likelihood: str = "gaussian"

    @cached_property
    def sizes(self):
        """Units of each layer, those of the data first."""
        return (self.n_visible, *self.latents)

    @cached_property
    def encoders(self):
        """Networks up: to means and log variances of the layer above."""
        pairs = pairwise(self.sizes)
        return [MLP(low, 2 * high, self.hidden, self.activation) for low, high in pairs]

    @cached_property
    def decoders(self):
        """Networks down: to means (or log-odds) of the data, means and log variances of others."""
        return [
            MLP(high, low if level == 0 else 2 * low, self.hidden, self.activation)
            for level, (low, high) in enumerate(pairwise(self.sizes))
        ]

    def init(self, rng, dtype):
        """Parameters to start from: small log variances, noise of variance 1."""
        parts = []
        for encoder, decoder, size in zip(self.encoders, self.decoders, self.latents, strict=True):
            theta = encoder.init(rng, dtype)
            theta[f"weights_{len(self.hidden)}"][:, size:] *= 0.01  # variances near 1 for all rows
            parts += [encoder.flatten(theta), decoder.flatten(decoder.init(rng, dtype))]
        return np.concatenate([*parts, np.zeros(1, dtype)])

    def split(self, flat):
        """Return the parameters of the encoders and decoders, dicts by name, and the log noise.

        ``flat`` may be an array or a PyTensor vector.
        """
        encoders, decoders, at = [], [], 0
        for encoder, decoder in zip(self.encoders, self.decoders, strict=True):
            for network, parts in ((encoder, encoders), (decoder, decoders)):
                named = {}
                for name, shape in network.shapes.items():
                    size = int(np.prod(shape))
                    named[name] = flat[at : at + size].reshape(shape)
                    at += size
                parts.append(named)
        return encoders, decoders, flat[at]

    def ascend(self, encoders, x, noise):
        """Draw all layers from the bottom up with the given standard normal numbers."""
        up = Ascent([x], [], [], [])
        for network, theta, eps in zip(self.encoders, encoders, noise, strict=True):
            out, memory = forward(network, theta, up.layers[-1])
            mean, log_variance = np.split(out, 2, axis=1)
            up.means.append(mean)
            up.log_variances.append(log_variance)
            up.memories.append(memory)
            up.layers.append(mean + np.exp(0.5 * log_variance) * eps)
        return up

    def descend(self, decoders, up):
        """What each layer above says of the one below it, and the memories of the decoders."""
        networks = zip(self.decoders, decoders, up.layers[1:], strict=True)
        return zip(*[forward(network, theta, z) for network, theta, z in networks], strict=True)

    def decode(self, flat, u):
        """What the lowest decoder says for rows of noise coordinates, shape (N, all latents).

        As :func:`pm_energy.training.vae_energy.decoder_output`, on arrays.
        """
        decoders, noise = self.split(flat)[1], self.layers_of(u)
        z = noise[-1]
        for level in reversed(range(len(noise))):
            out, _ = forward(self.decoders[level], decoders[level], z)
            if level:
                mean, log_variance = np.split(out, 2, axis=1)
                z = mean + np.exp(0.5 * log_variance) * noise[level - 1]
        return out

    def layers_of(self, u):
        """Parts of the last axis that belong to the latent layers, the lowest first."""
        ends = np.cumsum((0, *self.latents))
        return [u[..., first:last] for first, last in pairwise(ends)]

    def terms(self, flat, x, noise):
        """Reconstruction and KL of the bound for each row, for one draw of the latents.

        Parameters
        ----------
        flat : array
        x : array, shape (N, n_visible)
        noise : list of array, shapes (N, size) of each latent layer
            Standard normal numbers.

        Returns
        -------
        Terms
            In nats. The KL is exact for one layer, and an estimate without bias for chains.
        """
        encoders, decoders, log_noise = self.split(flat)
        up = self.ascend(encoders, x, noise)
        down, _ = self.descend(decoders, up)
        return self._terms(up, down, log_noise)

    def log_weights(self, flat, x, noise):
        """Log of ``p(x, z) / q(z | x)`` for each row, for one draw of the latents.

        The mean of the weights over draws is p(x), without bias.
        """
        encoders, decoders, log_noise = self.split(flat)
        up = self.ascend(encoders, x, noise)
        down, _ = self.descend(decoders, up)
        terms = self._terms(up, down, log_noise)
        # what the bound integrates over q in closed form, at the draw in place of its mean
        excess = sum(0.5 * (eps**2 - 1).sum(axis=1) for eps in noise)
        top, mean, variance = up.layers[-1], up.means[-1], np.exp(up.log_variances[-1])
        excess = excess - 0.5 * (top**2 - mean**2 - variance).sum(axis=1)
        return terms.reconstruction - terms.kl + excess

    def gradient(self, flat, x, noise, beta=1.0):
        """Terms of the bound, and the gradient of the mean of ``beta kl - reconstruction``.

        By reparameterisation: the latents move with the parameters while their noise stays.

        Returns
        -------
        terms : Terms
        gradient : array of the shape of ``flat``
        """
        encoders, decoders, log_noise = self.split(flat)
        up = self.ascend(encoders, x, noise)
        down, memories = self.descend(decoders, up)
        n = len(x)
        slopes = [np.zeros_like(layer) for layer in up.layers]
        gradients = [None] * (2 * len(self.latents))
        noise_slope = 0.0
        for level, (network, theta) in enumerate(zip(self.decoders, decoders, strict=True)):
            if level:
                cotangent, below = _normal_slopes(up.layers[level], down[level], beta / n)
                slopes[level] += below
            elif self.likelihood == "bernoulli":
                cotangent = (expit(down[0]) - x) / n
            else:
                precision = np.exp(-log_noise)
                cotangent = (down[0] - x) * (precision / n)
                squares = ((down[0] - x) ** 2).sum() * precision / n
                noise_slope = 0.5 * (self.n_visible - squares)
            gradients[2 * level + 1], slope = backward(network, theta, memories[level], cotangent)
            slopes[level + 1] += slope
        for level in reversed(range(len(self.latents))):
            log_variance = up.log_variances[level]
            on_mean = slopes[level + 1]
            on_log = 0.5 * on_mean * np.exp(0.5 * log_variance) * noise[level] - 0.5 * beta / n
            if level == len(self.latents) - 1:
                on_mean = on_mean + beta / n * up.means[level]
                on_log = on_log + 0.5 * beta / n * np.exp(log_variance)
            cotangent = np.concatenate([on_mean, on_log], axis=1)
            network, theta = self.encoders[level], encoders[level]
            gradients[2 * level], slope = backward(network, theta, up.memories[level], cotangent)
            slopes[level] += slope
        gradient = np.concatenate([*gradients, np.array([noise_slope], flat.dtype)])
        return self._terms(up, down, log_noise), gradient.astype(flat.dtype, copy=False)

    def log_likelihood(self, x, out, log_noise):
        """Log of ``p(x | z_1)`` of rows, given what the decoder says."""
        if self.likelihood == "bernoulli":
            return (x * out - np.logaddexp(0, out)).sum(axis=1)
        squares = ((x - out) ** 2).sum(axis=1)
        return -0.5 * (squares * np.exp(-log_noise) + self.n_visible * (LOG_2PI + log_noise))

    def _terms(self, up, down, log_noise):
        mean, log_variance = up.means[-1], up.log_variances[-1]
        kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=1)
        for z, out, inferred in zip(up.layers[1:], down[1:], up.log_variances, strict=False):
            expected, log_spread = np.split(out, 2, axis=1)
            squares = (z - expected) ** 2 * np.exp(-log_spread)
            kl = kl + 0.5 * (log_spread - inferred + squares - 1).sum(axis=1)
        return Terms(self.log_likelihood(up.layers[0], down[0], log_noise), kl)


def _normal_slopes(z, out, factor):
    """Gradients of ``-factor log N(z; mean, exp(log variance))`` in both of these, and in z."""
    mean, log_variance = np.split(out, 2, axis=1)
    precision = np.exp(-log_variance)
    scaled = (z - mean) * precision
    on_log = 0.5 * factor * (1 - (z - mean) * scaled)
    return np.concatenate([-factor * scaled, on_log], axis=1), factor * scaled
