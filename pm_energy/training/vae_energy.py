"""A learned decoder as PyTensor graphs: what PyMC models put priors and likelihoods around.

Latents are written in noise coordinates u, independent standard normal numbers for each unit of
each layer. The top layer is its own noise; a layer below it is ``mean + sd * u``, with mean and sd
from the layer above. Of an autoencoder with one layer, u is the latent vector itself.
"""

from dataclasses import dataclass

import pytensor.tensor as pt

from pm_energy.domains import Binary, Real
from pm_energy.energy import Block
from pm_energy.training.vae_chain import LOG_2PI, LatentChain
from pm_energy.typing import TensorLike


def decoder_output(chain, parameters, u):
    """What the lowest decoder says, given noise coordinates: means, or log-odds, of the data.

    Parameters
    ----------
    chain : LatentChain
    parameters : tensor_like, shape (p,)
    u : TensorVariable, shape (..., total of chain.latents)
        From the layer next to the data upwards.

    Returns
    -------
    TensorVariable, shape (..., n_visible)
    """
    _, decoders, _ = chain.split(pt.as_tensor(parameters))
    noise = chain.layers_of(u)
    z = noise[-1]
    for level in reversed(range(len(noise))):
        out = chain.decoders[level].graph(decoders[level], z)
        if level:
            size = chain.latents[level - 1]
            z = out[..., :size] + pt.exp(0.5 * out[..., size:]) * noise[level - 1]
    return out


@dataclass(frozen=True, eq=False)
class DecoderEnergy:
    r"""Minus the log-density of latents and data, in the noise coordinates of the latents.

    .. math:: E(u, x) = \tfrac12 |u|^2 - \log p(x \mid u) + \tfrac k2 \log 2\pi

    Normalised. With data ``observed`` it is an energy of u alone, whose distribution is the
    posterior of the latents and whose Z is the likelihood of these data. Otherwise it is one of the
    vector (u, x) if data are real, and of the two blocks u and x if they are bits.

    Parameters
    ----------
    chain : LatentChain
    parameters : tensor_like, shape (p,)
    shift, scale : tensor_like, shapes (n_visible,) and ()
        Real data are ``shift + scale * (what the networks model)``.
    observed : tensor_like, shape (n_visible,), optional
    """

    chain: LatentChain
    parameters: TensorLike
    shift: TensorLike
    scale: TensorLike
    observed: TensorLike | None = None

    @property
    def n_latent(self):
        """Latent units of all layers."""
        return sum(self.chain.latents)

    @property
    def blocks(self):
        """Sets of units: noise coordinates, and data if they are neither observed nor joined."""
        n, d = self.n_latent, self.chain.n_visible
        if self.observed is not None:
            return (Block(Real(), (n,)),)
        if self.chain.likelihood == "gaussian":
            return (Block(Real(), (n + d,)),)
        return Block(Real(), (n,)), Block(Binary(), (d,))

    @property
    def domain(self):
        """Of the latents, or of latents and real data."""
        return Real()

    @property
    def event_shape(self):
        """Of the first block."""
        return self.blocks[0].shape

    def __call__(self, u, x=None):
        """Energy of encoded units."""
        if self.observed is not None:
            x = self.observed
        elif x is None:
            u, x = u[..., : self.n_latent], u[..., self.n_latent :]
        prior = 0.5 * ((u**2).sum(-1) + self.n_latent * LOG_2PI)
        out = decoder_output(self.chain, self.parameters, u)
        if self.chain.likelihood == "bernoulli":
            return prior - (x * out - pt.softplus(out)).sum(-1)
        log_variance = self.parameters[-1] + 2 * pt.log(self.scale)
        squares = ((x - self.shift - self.scale * out) ** 2).sum(-1)
        d = self.chain.n_visible
        return prior + 0.5 * (squares * pt.exp(-log_variance) + d * (LOG_2PI + log_variance))

    def log_partition(self):
        """Log Z, zero; unknown once data are observed."""
        if self.observed is not None:
            raise ValueError(
                "log Z of a posterior is the log-likelihood of its data; score_samples estimates it"
            )
        return pt.zeros(())
