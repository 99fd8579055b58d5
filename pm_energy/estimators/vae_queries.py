"""What a learned variational autoencoder answers: codes, reconstructions, draws, likelihoods."""

import numpy as np
import pytensor.tensor as pt
from scipy.special import expit
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from pm_energy.estimators.base import generator
from pm_energy.training.vae_energy import DecoderEnergy, decoder_output
from pm_energy.training.vae_network import forward
from pm_energy.training.vae_objective import bound_rows, importance_rows
from pm_energy.validate import positive_int


class AutoencoderQueries(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Methods of a fitted autoencoder."""

    def transform(self, X):
        """Means of the latents of each row, as the encoder guesses them.

        Of a chain, those of its top layer, given means of the layers below.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_components)
        """
        return self._means_up(X)[-1]

    def inverse_transform(self, Z):
        """Means of the data, given latents.

        Parameters
        ----------
        Z : array_like, shape (n_samples, n_components)
            Of the top layer; layers below are at their means.

        Returns
        -------
        ndarray, shape (n_samples, n_features)
            Probabilities with a Bernoulli likelihood.
        """
        check_is_fitted(self)
        Z = check_array(Z, dtype=self.parameters_.dtype)
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z must have {self._n_features_out} columns, one for each latent unit, got "
                f"{Z.shape[1]}"
            )
        lower = np.zeros((len(Z), sum(self._chain.latents[:-1])), Z.dtype)
        return self._decode(np.concatenate([lower, Z], axis=1))

    def reconstruct(self, X):
        """Means of the data, given the encoder's mean for the latents next to them.

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        z = self._means_up(X)[0]
        decoders = self._chain.split(self.parameters_)[1]
        return self._in_units(forward(self._chain.decoders[0], decoders[0], z)[0])

    def sample(self, n_samples=1, random_state=None):
        """Draw rows: latents, data given these, and their noise.

        ``inverse_transform`` of standard normal latents gives rows without noise.

        Parameters
        ----------
        n_samples : int
        random_state : int, RandomState or None

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        check_is_fitted(self)
        rng = generator(random_state)
        shape = positive_int("n_samples", n_samples), sum(self._chain.latents)
        mean = self._decode(rng.standard_normal(shape).astype(self.parameters_.dtype))
        if self.likelihood == "bernoulli":
            return (rng.random(mean.shape) < mean).astype(mean.dtype)
        noise = np.sqrt(self.noise_variance_) * rng.standard_normal(mean.shape)
        return (mean + noise).astype(mean.dtype)

    def score_samples(self, X, *, estimate="bound", n_draws=None, return_error=False):
        """Log-likelihood of each row: a lower bound, or an estimate by importance sampling.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
        estimate : {"bound", "importance"}
            The evidence lower bound, or the log of the mean of ``p(x, z) / q(z | x)`` over draws
            of the encoder, which rises to the log-likelihood with their number.
        n_draws : int, optional
            Latents a row: by default 32 for the bound, which are the same for all rows, and 1,000
            for importance sampling.
        return_error : bool
            Whether to return standard errors as well, of importance sampling.

        Returns
        -------
        ndarray, shape (n_samples,), or two of them
            In nats; of real data, per unit of X.
        """
        check_is_fitted(self)
        if estimate not in ("bound", "importance"):
            raise ValueError(f"estimate must be 'bound' or 'importance', got {estimate!r}")
        if n_draws is not None:
            positive_int("n_draws", n_draws)
        x = self._inner(self._validated(X))
        flat, volume = self.parameters_.astype(np.float64), self._log_volume()
        if estimate == "bound":
            if return_error:
                raise ValueError("return_error is for estimate='importance': the bound has none")
            return bound_rows(self._chain, flat, x, n_draws or 32, self._seed) + volume
        if n_draws == 1:
            raise ValueError("n_draws must be at least 2 for estimate='importance'")
        rng = np.random.default_rng(self._seed)
        values, errors = importance_rows(self._chain, flat, x, n_draws or 1000, rng)
        return (values + volume, errors) if return_error else values + volume

    def score(self, X, y=None):
        """Mean of the evidence lower bound over rows."""
        return float(np.mean(self.score_samples(X)))

    @property
    def noise_variance_(self):
        """Variance of the noise of Gaussian data, in squared units of X."""
        check_is_fitted(self)
        if self.likelihood == "bernoulli":
            raise AttributeError("bits have no noise variance")
        return float(np.exp(self.parameters_[-1]) * self.scale_**2)

    @property
    def energy_(self):
        """Minus the log-density of latents and data, a :class:`DecoderEnergy`."""
        check_is_fitted(self)
        return self._energy()

    def posterior_energy(self, x):
        """Energy of the latents given one row: minus the log of their joint density with it.

        As ``pme.Boltzmann("z", vae.posterior_energy(x))`` it is the exact posterior that the
        encoder approximates.

        Parameters
        ----------
        x : array_like, shape (n_features,)

        Returns
        -------
        DecoderEnergy
        """
        check_is_fitted(self)
        x = np.asarray(x)
        if x.ndim != 1:
            raise ValueError(f"x must be one row of shape ({self.n_features_in_},), got {x.shape}")
        return self._energy(self._validated(x[None])[0].astype(np.float64))

    def decoder_graph(self, z):
        """Means of the data as a PyTensor expression of latents, for use in a PyMC model.

        Parameters
        ----------
        z : TensorVariable, shape (..., n_components)
            With a standard normal prior, they make x what was learned. Of a chain, standard normal
            numbers for the units of all layers, the layer next to the data first.

        Returns
        -------
        TensorVariable, shape (..., n_features)
            Probabilities with a Bernoulli likelihood.

        Examples
        --------
        >>> import numpy as np
        >>> import pymc as pm
        >>> from pm_energy.estimators import VariationalAutoencoder
        >>> X = np.random.default_rng(0).normal(size=(200, 3)).cumsum(axis=1)
        >>> vae = VariationalAutoencoder(2, hidden=(), n_iter=5, random_state=0).fit(X)
        >>> with pm.Model():
        ...     z = pm.Normal("z", shape=2)
        ...     x = pm.Deterministic("x", vae.decoder_graph(z))
        ...     y = pm.Normal("y", x[:2], 0.1, observed=[1.0, 2.0])  # the third is not seen
        >>> x.type.shape
        (3,)
        """
        check_is_fitted(self)
        out = decoder_output(self._chain, self.parameters_.astype(np.float64), z)
        if self.likelihood == "bernoulli":
            return pt.sigmoid(out)
        return self.mean_ + self.scale_ * out

    def _energy(self, observed=None):
        parameters = self.parameters_.astype(np.float64)
        return DecoderEnergy(self._chain, parameters, self.mean_, self.scale_, observed)

    def _log_volume(self):
        return -self.n_features_in_ * np.log(self.scale_)

    def _read(self, X, rows):
        return self._inner(X[rows])

    def _inner(self, X):
        return ((X - self.mean_) / self.scale_).astype(X.dtype, copy=False)

    def _in_units(self, out):
        if self.likelihood == "bernoulli":
            return expit(out)
        return (self.mean_ + self.scale_ * out).astype(out.dtype)

    def _means_up(self, X):
        check_is_fitted(self)
        X = self._validated(X)
        chain = self._chain
        encoders = chain.split(self.parameters_.astype(X.dtype))[0]
        still = [np.zeros((len(X), k), X.dtype) for k in chain.latents]
        return chain.ascend(encoders, self._inner(X), still).means

    def _decode(self, u):
        return self._in_units(self._chain.decode(self.parameters_, u))
