"""Expectation-maximisation of Gaussian mixtures, plain or annealed.

Each step maximises a lower bound of the log-likelihood that touches it at the step's start, so the
likelihood never falls. With deterministic annealing [1]_ responsibilities are taken at an inverse
temperature beta < 1, proportional to (weight x density)^beta, and beta is raised to 1 by stages:
each stage climbs (1 / beta) log sum_k (weight_k density_k)^beta, which has fewer local maxima.

References
----------
.. [1] Ueda & Nakano (1998), Deterministic annealing EM algorithm, Neural Networks 11, 271-282.
"""

from dataclasses import dataclass

import numpy as np

from pm_energy.kernels.mixture_em import mixture_moments, mixture_posterior, mixture_terms
from pm_energy.training.em_coordinates import Mixture, full_covariances

SMALLEST_SHARE = 1e-14  # of all rows: a component with less holds none
_NUDGE = 0.1  # in standard deviations: components that melted into one can part again


class CollapsedError(ValueError):
    """A covariance is not positive definite."""


@dataclass(frozen=True)
class Trace:
    """What a run of EM found.

    Parameters
    ----------
    mixture : Mixture
    bounds, betas : ndarray, shape (n_steps,)
        Mean log-likelihood of the rows before each step, at the step's beta.
    converged : bool
        Whether the last stage gained less than ``tol`` in its last step.
    """

    mixture: Mixture
    bounds: np.ndarray
    betas: np.ndarray
    converged: bool


class CompleteRows:
    """Rows without missing entries, for :func:`run_em`.

    Parameters
    ----------
    z : ndarray, shape (d, n)
        One column a row of data, near mean 0 and variance 1.
    weights : ndarray, shape (n,)
    """

    def __init__(self, z, weights):
        self.z, self.weights = np.ascontiguousarray(z), weights
        self.total = weights.sum()
        self._scatter = None

    def expect(self, mixture, beta, careful=None):
        """Return what :func:`pm_energy.kernels.mixture_em.mixture_moments` does."""
        terms = mixture_terms(*mixture[:3], roots(mixture), beta, careful)
        *rest, second = mixture_moments(self.z, self.weights, terms)
        if second is None:
            if self._scatter is None:  # the same at every step
                self._scatter = (self.z * self.weights) @ self.z.T
            second = self._scatter
        return *rest, second

    def posterior(self, mixture):
        """Return log-densities (n,) and responsibilities (n, k)."""
        return mixture_posterior(self.z, mixture_terms(*mixture[:3], roots(mixture)))


def roots(mixture):
    """Return upper triangular matrices with ``root @ root.T`` the precision of each component.

    Raises
    ------
    CollapsedError
        If a covariance is not positive definite.
    """
    kind, _, means, covariances = mixture
    k, d = means.shape
    if kind in ("diag", "spherical"):
        if not (covariances > 0.0).all():
            raise CollapsedError(f"a variance is {covariances.min():.3g}")
        return 1.0 / np.sqrt(full_covariances(mixture) + 1.0 - np.eye(d)) * np.eye(d)
    try:
        lower = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError as error:
        raise CollapsedError("a covariance matrix is not positive definite") from error
    found = np.linalg.inv(lower).swapaxes(-1, -2)
    return np.broadcast_to(found, (k, d, d))


def run_em(
    rows,
    mixture,
    *,
    ridge,
    tol,
    max_iter,
    fixed=(),
    betas=(1.0,),
    bound=-np.inf,
    rng=None,
    on_step=None,
):
    """Raise the likelihood of a mixture until a step gains less than ``tol``.

    Parameters
    ----------
    rows : CompleteRows or MissingRows
    mixture : Mixture
        Where to start.
    ridge : float or ndarray
        Added to each covariance, of its shape.
    tol : float
        Of the mean log-likelihood of rows.
    max_iter : int
        Most steps of a stage.
    fixed : collection of {"weights", "means", "covariances"}
        What stays as it is.
    betas : sequence of float
        Stages of annealing; the last is 1.
    bound : float
        That of a run which this one continues.
    rng : numpy.random.Generator, optional
        Parts components that melted into one at a stage; not needed for a single stage.
    on_step : callable, optional
        Called with the bound after each step.

    Returns
    -------
    Trace

    Raises
    ------
    CollapsedError
        If a component shrinks to where its covariance is singular.
    """
    bounds, steps, converged = [], [], False
    for stage, beta in enumerate(betas):
        if stage and "means" not in fixed:
            mixture = _nudge(mixture, rng)
        converged, before = False, bound if beta == betas[0] else -np.inf
        for _ in range(max_iter):
            bound, mixture = em_step(rows, mixture, beta, ridge, fixed)
            bounds.append(bound)
            steps.append(beta)
            if on_step:
                on_step(bound)
            converged = abs(bound - before) < tol
            before = bound
            if converged:
                break
    return Trace(mixture, np.array(bounds), np.array(steps, dtype=float), converged)


def em_step(rows, mixture, beta, ridge, fixed=()):
    """Return the mean log-likelihood of a mixture at ``beta``, and the mixture one step further."""
    log_density, *moments = rows.expect(mixture, beta)
    after = maximise(mixture, moments, ridge, fixed)
    try:
        roots(after)
    except CollapsedError:  # so narrow that sums about zero may have cancelled: once more with care
        careful = np.ones(len(mixture.weights), bool)
        log_density, *moments = rows.expect(mixture, beta, careful)
        after = maximise(mixture, moments, ridge, fixed)
        roots(after)
    return log_density / (beta * rows.total), after


def maximise(mixture, moments, ridge, fixed=()):
    """Return the mixture that maximises the bound, given moments of the rows by component.

    A component without rows keeps its mean and covariance.

    Parameters
    ----------
    mixture : Mixture
    moments : tuple
        ``count, origin, first, second`` of :func:`pm_energy.kernels.mixture_em.mixture_moments`.
    ridge : float or ndarray
    fixed : collection of str
    """
    kind, weights, means, covariances = mixture
    count, origin, first, second = moments
    total, d = count.sum(), means.shape[1]
    empty = count <= SMALLEST_SHARE * total
    count = np.where(empty, 1.0, count)
    shift = np.where(empty[:, None], 0.0, first / count[:, None])
    if "weights" not in fixed:
        weights = np.where(empty, SMALLEST_SHARE, count / total)
        weights = weights / weights.sum()
    if "means" not in fixed:
        means = np.where(empty[:, None], means, origin + shift)
    if "covariances" not in fixed:
        # about the new mean: the spread about the mean of the rows, and how far that is from it
        off = np.where(empty[:, None], 0.0, origin + shift - means)
        if kind in ("full", "tied"):
            square = off[:, :, None] * off[:, None, :] - shift[:, :, None] * shift[:, None, :]
        else:
            square = off**2 - shift**2
        if kind == "tied":
            found = (second + np.tensordot(np.where(empty, 0.0, count), square, 1)) / total
        elif kind == "spherical":
            found = (second / count + square.sum(axis=1)) / d
        else:
            found = second / count.reshape(-1, *[1] * (second.ndim - 1)) + square
        found = found + ridge
        lone = kind != "tied" and empty.any()
        keep = empty.reshape(-1, *[1] * (found.ndim - 1)) if lone else False
        covariances = np.where(keep, covariances, found)
    return Mixture(kind, weights, means, covariances)


def collapsed(mixture, ridge):
    """Whether each component has shrunk to the ridge in a direction in which the rows extend.

    Parameters
    ----------
    mixture : Mixture
        In coordinates in which the rows have variances near 1.
    ridge : ndarray, shape (d, d)

    Returns
    -------
    ndarray of bool, shape (k,)
    """
    values, vectors = np.linalg.eigh(full_covariances(mixture))
    thin = vectors[:, :, 0]
    floor = np.einsum("ka,ab,kb->k", thin, ridge, thin)
    return (values[:, 0] < 2.0 * floor) & (values[:, 0] < 1e-3)


def _nudge(mixture, rng):
    """Move means by a part of their standard deviations."""
    step = rng.standard_normal(mixture.means.shape)[:, None, :]
    spread = np.linalg.inv(roots(mixture))  # spread.T @ spread is the covariance
    return mixture._replace(means=mixture.means + _NUDGE * (step @ spread)[:, 0])
