"""What a fitted mixture of Gaussians answers: densities, criteria, draws and its energy."""

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from pm_energy.energies.gaussian_mixture import GaussianMixtureEnergy
from pm_energy.estimators.base import generator
from pm_energy.estimators.mixture_runs import as_rows
from pm_energy.estimators.mixture_start import PARTS
from pm_energy.training.em_coordinates import Mixture, full_covariances, mixture_coordinates
from pm_energy.training.em_mixture import roots

INPUT = {"dtype": [np.float64, np.float32], "ensure_all_finite": "allow-nan"}


class MixtureQueries:
    """Methods that need only ``weights_``, ``means_``, ``covariances_`` and their type."""

    def score_samples(self, X):
        """Return the log-density of each row's entries, shape (n_samples,)."""
        return self._posterior(X)[0]

    def score(self, X, y=None):
        """Return the mean log-density of rows."""
        return float(self.score_samples(X).mean(dtype=np.float64))

    def predict_proba(self, X):
        """Return probabilities of components given each row, shape (n_samples, n_components)."""
        return self._posterior(X)[1]

    def predict(self, X):
        """Return the most probable component of each row, shape (n_samples,)."""
        return self.predict_proba(X).argmax(axis=1)

    def bic(self, X):
        """Return Bayes' information criterion of Schwarz on X; the lower the better."""
        log_density = self.score_samples(X)
        return float(-2.0 * log_density.sum(dtype=np.float64)) + self._n_parameters() * np.log(
            len(log_density)
        )

    def aic(self, X):
        """Return Akaike's information criterion on X; the lower the better."""
        return float(-2.0 * self.score_samples(X).sum(dtype=np.float64)) + 2 * self._n_parameters()

    def sample(self, n_samples=1):
        """Draw from the mixture.

        Parameters
        ----------
        n_samples : int

        Returns
        -------
        X : ndarray, shape (n_samples, n_features)
            Sorted by component.
        y : ndarray of int, shape (n_samples,)
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1, got {n_samples}")
        mixture, rng = self._mixture(), generator(self.random_state)
        y = np.repeat(np.arange(self.n_components), rng.multinomial(n_samples, mixture.weights))
        lower = np.linalg.cholesky(full_covariances(mixture))[y]
        noise = rng.standard_normal((n_samples, mixture.means.shape[1], 1))
        X = mixture.means[y] + (lower @ noise)[:, :, 0]
        return X.astype(self.means_.dtype), y

    @property
    def precisions_cholesky_(self):
        """Upper triangular roots of ``precisions_``: root @ root.T; square roots of variances'."""
        mixture = self._mixture()
        found = roots(mixture)
        if self.covariance_type == "tied":
            found = found[0]
        elif self.covariance_type != "full":
            found = 1.0 / np.sqrt(mixture.covariances)
        return np.asarray(found, self.means_.dtype)

    @property
    def precisions_(self):
        """Inverses of ``covariances_``, of the same shape."""
        root = self.precisions_cholesky_
        matrices = self.covariance_type in ("full", "tied")
        return root @ root.swapaxes(-1, -2) if matrices else root**2

    @property
    def energy_(self):
        """Minus the log-density, as :class:`pm_energy.GaussianMixtureEnergy`."""
        check_is_fitted(self)
        mixture = self._mixture()
        covariances = mixture.covariances
        if self.covariance_type == "tied":
            covariances = full_covariances(mixture).copy()
        return GaussianMixtureEnergy(mixture.weights, mixture.means, covariances)

    def _posterior(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, **INPUT, reset=False)
        mixture = self._mixture()
        coordinates = mixture_coordinates(mixture, along_axes=bool(np.isnan(X).any()))
        rows, log_scale = as_rows(coordinates, X, np.ones(len(X)))
        log_density, posterior = rows.posterior(coordinates.into(mixture))
        return (log_density + log_scale).astype(X.dtype), posterior.astype(X.dtype)

    def _mixture(self):
        weights, means, covariances = (
            np.asarray(getattr(self, f"{part}_"), np.float64) for part in PARTS
        )
        return Mixture(self.covariance_type, weights / weights.sum(), means, covariances)

    def _n_parameters(self):
        """Number of parameters that were free in the fit."""
        k, d = self.means_.shape
        matrix = d * (d + 1) // 2
        covariances = {"full": k * matrix, "tied": matrix, "diag": k * d, "spherical": k}
        free = {
            "weights": k - 1,
            "means": k * d,
            "covariances": covariances[self.covariance_type],
        }
        return sum(count for part, count in free.items() if part not in self.fixed)
