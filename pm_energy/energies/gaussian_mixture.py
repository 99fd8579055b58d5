"""Mixture of Gaussians as an energy."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytensor.tensor as pt

from pm_energy.domains import Real
from pm_energy.energies.landscapes import keep
from pm_energy.energies.rejection import numbers
from pm_energy.typing import TensorLike
from pm_energy.validate import is_numeric, parameter, positive, shape_matches, static_shape


@dataclass(frozen=True, eq=False)
class GaussianMixtureEnergy:
    r"""Minus the log-density of a mixture of Gaussians.

    .. math:: E(x) = -\log \sum_k w_k N(x; \mu_k, \Sigma_k)

    Normalised: log Z = 0.

    Parameters
    ----------
    weights : tensor_like, shape (k,)
        Positive, summing to 1.
    means : tensor_like, shape (k, n)
    covariances : tensor_like, shape (), (k,), (k, n) or (k, n, n)
        One variance for all, one for each component, one for each coordinate of each component, or
        covariance matrices.

    Raises
    ------
    ValueError
        If shapes do not fit, weights are not positive or do not sum to 1, or a covariance is not
        positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> pair = pme.GaussianMixtureEnergy([0.5, 0.5], [[-3.0, 0.0], [3.0, 0.0]])
    >>> pme.energy_values(pair, np.array([[3.0, 0.0]])).round(6)  # log(2 pi) + log(2)
    array([2.531024])
    >>> pair.draw(np.random.default_rng(1), 4).shape
    (4, 2)
    """

    weights: TensorLike
    means: TensorLike
    covariances: TensorLike = 1.0
    shape: tuple[int, int] = dataclasses.field(init=False)

    domain: ClassVar[Real] = Real()

    def __post_init__(self):
        weights = parameter("weights", positive("weights", self.weights), 1)
        means = parameter("means", self.means, 2)
        covariances = parameter("covariances", self.covariances, (0, 1, 2, 3))
        if is_numeric(weights) and abs(weights.sum() - 1.0) > 1e-8:
            raise ValueError(f"weights must sum to 1, got {weights.sum():.8g}. Divide by the sum")
        k, n = static_shape(means)
        if not k or not n:
            raise ValueError(f"means must have a known shape (k, n) above 0, got ({k}, {n})")
        if not shape_matches(weights, (k,)):
            raise ValueError(f"weights must have shape ({k},), got {static_shape(weights)}")
        shape = (k, n, n)[: covariances.ndim]
        if not shape_matches(covariances, shape):
            raise ValueError(
                f"covariances must have shape {shape}, got {static_shape(covariances)}"
            )
        if covariances.ndim < 3:
            positive("covariances", covariances)
        elif is_numeric(covariances):
            _check_definite(covariances)
        keep(self, weights=weights, means=means, covariances=covariances, shape=(k, n))

    @property
    def event_shape(self):
        return self.shape[1:]

    def __call__(self, x):  # (..., n) -> (...)
        n = self.shape[1]
        delta = x[..., None, :] - self.means  # (..., k, n)
        if self.covariances.ndim == 3:
            chol = pt.linalg.cholesky(self.covariances)
            whiten = pt.linalg.solve_triangular(chol, np.eye(n), lower=True)
            squares = ((whiten @ delta[..., None])[..., 0] ** 2).sum(axis=-1)
            log_det = 2.0 * pt.log(pt.diagonal(chol, axis1=-2, axis2=-1)).sum(axis=-1)
        else:
            variance = self.covariances
            variance = variance[:, None] if variance.ndim == 1 else variance
            squares = (delta**2 / variance).sum(axis=-1)
            log_det = (pt.log(variance) * np.ones(n)).sum(axis=-1)
        log_density = -0.5 * (squares + log_det + n * np.log(2 * np.pi))
        return -pt.logsumexp(pt.log(self.weights) + log_density, axis=-1)

    def log_partition(self):
        """Log Z, zero."""
        return pt.zeros(())

    def draw(self, rng, size):
        """Draw a component, then a point of it."""
        weights, means, covariances = numbers(self, "weights", "means", "covariances")
        k = rng.choice(len(weights), size=size, p=weights / weights.sum())
        z = rng.standard_normal((size, means.shape[1]))
        if covariances.ndim == 3:
            z = (np.linalg.cholesky(covariances)[k] @ z[..., None])[..., 0]
        else:
            scale = np.sqrt(covariances)
            z *= scale if scale.ndim == 0 else scale[k].reshape(size, -1)
        return means[k] + z


def _check_definite(covariances):
    if np.abs(covariances - covariances.swapaxes(1, 2)).max() > 1e-8 * np.abs(covariances).max():
        raise ValueError("covariances must be symmetric")
    smallest = np.linalg.eigvalsh(covariances).min(axis=1)
    if (smallest <= 0).any():
        raise ValueError(
            f"covariances must be positive definite; component {smallest.argmin()} has eigenvalue "
            f"{smallest.min():.3g}"
        )
