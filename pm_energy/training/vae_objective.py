"""The bound of a variational autoencoder as an objective, and its estimates for rows."""

import numpy as np
from scipy.special import ndtri
from scipy.stats.qmc import Sobol
from threadpoolctl import threadpool_limits

PART = 2**22  # numbers in the largest array that an estimate makes


class Bound:
    """Minus the evidence lower bound, its KL weighted by beta; followed by minibatches.

    Parameters
    ----------
    beta : float
        Weight of the KL [1]_; 1 is the bound itself.
    fixed_noise : bool
        Whether the noise variance stays as it is.
    offset : float
        Added to the reconstruction that is reported, for data that were rescaled.

    References
    ----------
    .. [1] Higgins et al. (2017), beta-VAE, ICLR.
    """

    def __init__(self, beta=1.0, fixed_noise=False, offset=0.0):
        self.beta = beta
        self.fixed_noise = fixed_noise
        self.offset = offset

    def gradient(self, model, theta, x, weights, rng):
        """Gradient of the loss of a batch, and the terms of its bound."""
        flat = theta["parameters"]
        noise = [rng.standard_normal((len(x), k), dtype=flat.dtype) for k in model.latents]
        terms, gradient = model.gradient(flat, x, noise, self.beta)
        if self.fixed_noise:
            gradient[-1] = 0.0
        reconstruction, kl = terms.reconstruction.mean() + self.offset, terms.kl.mean()
        info = {"bound": reconstruction - kl, "reconstruction": reconstruction, "kl": kl}
        return {"parameters": gradient}, info


def bound_rows(chain, flat, x, n_draws, seed):
    """Evidence lower bound of rows, over the same quasi-random latents for all of them.

    Common draws make the value of a row independent of the rows beside it; scrambled Sobol points
    keep it unbiased, with an error far below that of random draws.

    Returns
    -------
    array, shape (N,)
    """
    sobol = Sobol(sum(chain.latents), seed=np.random.default_rng(seed))
    points = sobol.random_base2(int(n_draws - 1).bit_length())[:n_draws]
    normal = ndtri(np.clip(points, 1e-12, 1 - 1e-12)).astype(flat.dtype)
    total = np.zeros(len(x))
    with threadpool_limits(1, user_api="blas"):  # threads take longer over small matrices
        for draw in normal:
            noise = [np.broadcast_to(z, (len(x), len(z))) for z in chain.layers_of(draw)]
            terms = chain.terms(flat, x, noise)
            total += terms.reconstruction - terms.kl
    return total / n_draws


def importance_rows(chain, flat, x, n_draws, rng):
    """Log-likelihood of rows by importance sampling from the encoder [1]_, and standard errors.

    The log of a mean is too low, on average by half the squared error.

    Returns
    -------
    values, errors : array, shape (N,)

    References
    ----------
    .. [1] Burda, Grosse & Salakhutdinov (2016), Importance weighted autoencoders, ICLR.
    """
    values, errors = np.empty(len(x)), np.empty(len(x))
    rows = max(1, PART // (n_draws * max(*chain.sizes, *chain.hidden)))
    for first in range(0, len(x), rows):
        part = slice(first, first + rows)
        repeated = np.repeat(x[part], n_draws, axis=0)
        noise = [rng.standard_normal((len(repeated), k), dtype=flat.dtype) for k in chain.latents]
        logs = chain.log_weights(flat, repeated, noise).astype(np.float64).reshape(-1, n_draws)
        top = logs.max(axis=1)
        weights = np.exp(logs - top[:, None])
        mean = weights.mean(axis=1)
        values[part] = top + np.log(mean)
        errors[part] = weights.std(axis=1, ddof=1) / np.sqrt(n_draws) / mean
    return values, errors
