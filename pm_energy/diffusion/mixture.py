"""Mixtures of Gaussians under noise, in closed form: what a perfect network would say."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from pm_energy.diffusion.checks import checked_points, checked_time
from pm_energy.diffusion.predictions import convert
from pm_energy.diffusion.schedules import NoiseSchedule
from pm_energy.energies.gaussian_mixture import GaussianMixtureEnergy
from pm_energy.energies.rejection import numbers


@dataclass(frozen=True, eq=False)
class DiffusedMixture:
    r"""A mixture of Gaussians on its way to noise.

    At time t it is again a mixture, of the same weights, with means :math:`\alpha \mu_k` and
    covariances :math:`\alpha^2 \Sigma_k + \sigma^2`. So its score and all that follows from it are
    known, and samplers can be judged apart from networks.

    Parameters
    ----------
    energy : GaussianMixtureEnergy
        The data, its parameters numbers.
    schedule : NoiseSchedule

    Raises
    ------
    ValueError
        If a parameter is a PyTensor variable.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.diffusion import DiffusedMixture, StraightPath
    >>> pair = pme.GaussianMixtureEnergy([0.5, 0.5], [[-3.0], [3.0]])
    >>> mixture = DiffusedMixture(pair, StraightPath())
    >>> mixture.score(np.array([[2.0]]), 1.0)  # nothing is left of the data
    array([[-2.]])
    >>> mixture.data(np.array([[1.6]]), 1e-3).round(2)  # nearly all is left
    array([[1.6]])
    """

    energy: GaussianMixtureEnergy
    schedule: NoiseSchedule

    def __post_init__(self):
        weights, means, covariances = numbers(self.energy, "weights", "means", "covariances")
        k, d = means.shape
        if covariances.ndim == 3:
            variances, axes = np.linalg.eigh(covariances)
        else:
            by_component = covariances[:, None] if covariances.ndim == 1 else covariances
            variances = np.broadcast_to(by_component, (k, d))
            axes = np.broadcast_to(np.eye(d), (k, d, d))
        for name, value in (
            ("_log_weights", np.log(weights)),
            ("_means", np.einsum("kd,kde->ke", means, axes)),  # along the axes of each component
            ("_variances", variances),
            ("_axes", axes),
        ):
            object.__setattr__(self, name, value)

    def _components(self, x, t):
        """Log of weight times density (N, k), its gradient and the variances, along own axes."""
        x, t = checked_points("x", x), checked_time("t", t, with_zero=True)
        alpha, sigma = (value.reshape(-1, 1, 1) for value in self.schedule.path(t))
        variances = alpha**2 * self._variances + sigma**2  # (N or 1, k, d)
        delta = np.einsum("nd,kde->nke", x, self._axes) - alpha * self._means
        pull = -delta / variances
        log_det = np.log(2 * np.pi * variances).sum(axis=-1)
        return self._log_weights + 0.5 * ((pull * delta).sum(axis=-1) - log_det), pull, variances

    def log_density(self, x, t=0.0):
        """Log-density at times in [0, 1], shape (N,)."""
        return logsumexp(self._components(x, t)[0], axis=1)

    def responsibilities(self, x, t=0.0):
        """Probability of each component given a point at times in [0, 1], shape (N, k)."""
        joint = self._components(x, t)[0]
        return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))

    def score(self, x, t=0.0):
        """Gradient of the log-density at times in [0, 1], shape (N, d)."""
        joint, pull, _ = self._components(x, t)
        share = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        return np.einsum("nk,nke,kde->nd", share, pull, self._axes)

    def divergence(self, x, t=0.0):
        """Divergence of the score, the trace of the Hessian of the log-density, shape (N,)."""
        joint, pull, variances = self._components(x, t)
        share = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        inner = ((pull**2) - 1 / variances).sum(axis=-1)
        score = np.einsum("nk,nke,kde->nd", share, pull, self._axes)
        return (share * inner).sum(axis=1) - (score**2).sum(axis=1)

    def predict(self, kind):
        """The perfect predictor of a kind, a function of x and t; see ``predictions``."""
        return lambda x, t: convert(self.score(x, t), "score", kind, x, t, self.schedule)

    def data(self, x, t):
        """Mean of the data given noisy points at times in (0, 1], by Tweedie; shape (N, d)."""
        return self.predict("data")(x, t)

    def data_variance(self, x, t):
        """Variance of each feature of the data given noisy points at times in (0, 1], (N, d)."""
        t = checked_time("t", t)
        joint, pull, variances = self._components(x, t)
        share = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        alpha, sigma = (value.reshape(-1, 1, 1) for value in self.schedule.path(t))
        # mean and variance within each component, from along its axes to those of x
        means = np.einsum("nke,kde->nkd", self._means - alpha * self._variances * pull, self._axes)
        within = np.einsum("nke,kde->nkd", sigma**2 * self._variances / variances, self._axes**2)
        mean = np.einsum("nk,nkd->nd", share, means)
        between = (means - mean[:, None]) ** 2
        return np.einsum("nk,nkd->nd", share, within + between)

    def draw(self, rng, n, t=0.0):
        """Draw n independent points at one time in [0, 1], shape (n, d)."""
        t = checked_time("t", t, with_zero=True)
        return self.schedule.diffuse(self.energy.draw(rng, n), t, rng)[0]
