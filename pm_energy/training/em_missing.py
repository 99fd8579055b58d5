"""Expectation step of Gaussian mixtures where entries of rows are missing.

Rows are grouped by which of their entries are there, o. Given a component, the missing ones m of a
row are Gaussian with mean mu_m + G (x_o - mu_o) and covariance S_mm - G S_om, where
G = S_mo S_oo^-1 [1]_. Their expected products are what the maximisation step needs, so each step of
EM is exact: nothing is imputed. Entries must be missing at random, as the literature calls it:
whether an entry is missing may depend on those that are there, not on its own value.

References
----------
.. [1] Ghahramani & Jordan (1994), Supervised learning from incomplete data via an EM approach,
   Advances in Neural Information Processing Systems 6, 120-127.
"""

import numpy as np

from pm_energy.kernels.mixture_em import mixture_moments, mixture_posterior, mixture_terms
from pm_energy.training.em_coordinates import Mixture, full_covariances
from pm_energy.training.em_mixture import roots


class MissingRows:
    """Rows of which some entries are NaN, for :func:`pm_energy.training.em_mixture.run_em`.

    A group's responsibilities and moments are those of complete rows under the marginal mixture of
    what is there; moments of what is not are linear in these.

    Parameters
    ----------
    z : ndarray, shape (d, n)
        One column a row of data.
    weights : ndarray, shape (n,)
    """

    def __init__(self, z, weights):
        there = ~np.isnan(z.T)
        self.z, self.weights, self.total = z, weights, weights.sum()
        packed = np.packbits(there, axis=1)
        _, first, pattern = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(pattern.ravel(), kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(pattern.ravel()))[:-1])
        self.groups = [
            (there[i], part, np.ascontiguousarray(z[np.ix_(there[i], part)]))
            for i, part in zip(first, parts, strict=True)
        ]

    def expect(self, mixture, beta, careful=None):
        """Return what :func:`pm_energy.kernels.mixture_em.mixture_moments` does.

        The origin is the components' means. Rows without any entry are not for this.
        """
        matrices = mixture.kind in ("full", "tied")
        expand = _expand_matrices if matrices else _expand_variances
        k, d = mixture.means.shape
        log_density, count = 0.0, np.zeros(k)
        first, second = np.zeros((k, d)), np.zeros((k, d, d) if matrices else (k, d))
        for there, part, z in self.groups:
            marginal = _marginal(mixture, there)
            root = roots(marginal)
            terms = mixture_terms(*marginal[:3], root, beta, careful)
            found, *moments = mixture_moments(z, self.weights[part], terms)
            log_density += found
            count += moments[0]
            expand(first, second, mixture, marginal, there, root, moments)
        if mixture.kind == "tied":
            second = second.sum(axis=0)
        elif mixture.kind == "spherical":
            second = second.sum(axis=1)
        return log_density, count, mixture.means, first, second

    def posterior(self, mixture):
        """Return log-densities of what is there (n,), and responsibilities (n, k)."""
        log_density = np.zeros(len(self.weights))
        posterior = np.tile(mixture.weights, (len(self.weights), 1))  # without any entry
        for there, part, z in self.groups:
            if there.any():
                marginal = _marginal(mixture, there)
                terms = mixture_terms(*marginal[:3], roots(marginal))
                log_density[part], posterior[part] = mixture_posterior(z, terms)
        return log_density, posterior


def _marginal(mixture, there):
    """The mixture of some coordinates: with matrices for full and tied, else with variances."""
    kind, weights, means, _ = mixture
    covariances = full_covariances(mixture)[:, there][:, :, there]
    if kind in ("full", "tied"):
        return Mixture("full", weights, means[:, there], covariances)
    return Mixture("diag", weights, means[:, there], np.diagonal(covariances, axis1=1, axis2=2))


def _expand_variances(first, second, mixture, marginal, there, root, moments):
    """Add moments about the means; what is missing has its mean and variance."""
    count, origin, at, squares = moments
    off = marginal.means - origin
    first[:, there] += at - count[:, None] * off
    second[:, there] += squares - 2.0 * off * at + count[:, None] * off**2
    variances = np.diagonal(full_covariances(mixture), axis1=1, axis2=2)
    second[:, ~there] += count[:, None] * variances[:, ~there]


def _expand_matrices(first, second, mixture, marginal, there, root, moments):
    """Add moments about the means; what is missing follows what is there, but for a spread."""
    count, origin, at, outer = moments
    off = marginal.means - origin
    cross = off[:, :, None] * at[:, None, :]
    outer = outer - cross - cross.swapaxes(1, 2)
    outer += count[:, None, None] * off[:, :, None] * off[:, None, :]
    at = at - count[:, None] * off
    k, d = mixture.means.shape
    covariances = full_covariances(mixture)
    half = covariances[:, ~there][:, :, there] @ root
    fill = np.zeros((k, d, there.sum()))  # x - mu from its part that is there
    fill[:, there] = np.eye(there.sum())
    fill[:, ~there] = half @ root.swapaxes(1, 2)
    first += (fill @ at[:, :, None])[:, :, 0]
    second += fill @ outer @ fill.swapaxes(1, 2)
    spread = covariances[:, ~there][:, :, ~there] - half @ half.swapaxes(1, 2)
    second[np.ix_(range(k), ~there, ~there)] += count[:, None, None] * spread
