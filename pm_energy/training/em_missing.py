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

from pm_energy.training.em_coordinates import full_covariances

_CHUNK = 2**20  # numbers in an array over rows, components and coordinates


class MissingRows:
    """Rows of which some entries are NaN, for :func:`pm_energy.training.em_mixture.run_em`.

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
        bounds = np.cumsum(np.bincount(pattern.ravel()))[:-1]
        self.groups = list(zip(there[first], np.split(order, bounds), strict=True))

    def expect(self, mixture, beta, careful=None):
        """Return what :func:`pm_energy.kernels.mixture_em.mixture_moments` does.

        Everything is about the components' means, so there is no careful road beside.
        """
        k, d = mixture.means.shape
        log_density, count = 0.0, np.zeros(k)
        first, second = np.zeros((k, d)), np.zeros((k, d, d))
        for there, joint, away, spread, part in self._blocks(mixture, beta):
            peak, posterior = _normalise(joint)
            weights = self.weights[part]
            log_density += weights @ peak
            posterior *= weights  # (k, n)
            count += posterior.sum(axis=1)
            first += (posterior[:, None, :] @ away)[:, 0]
            second += (posterior[:, :, None] * away).swapaxes(1, 2) @ away
            lost = np.ix_(range(k), ~there, ~there)
            second[lost] += posterior.sum(axis=1)[:, None, None] * spread
        if mixture.kind == "tied":
            second = second.sum(axis=0)
        elif mixture.kind != "full":
            second = np.diagonal(second, axis1=1, axis2=2)
            second = second.copy() if mixture.kind == "diag" else second.sum(axis=1)
        return log_density, count, mixture.means, first, second

    def posterior(self, mixture):
        """Return log-densities of what is there (n,), and responsibilities (n, k)."""
        log_density = np.empty(len(self.weights))
        posterior = np.empty((len(self.weights), len(mixture.weights)))
        for _, joint, _, _, part in self._blocks(mixture, 1.0):
            log_density[part], found = _normalise(joint)
            posterior[part] = found.T
        return log_density, posterior

    def _blocks(self, mixture, beta):
        """Yield, for rows alike: entries there, log joint, x - mu filled in, spread, rows."""
        _, weights, means, _ = mixture
        covariances = full_covariances(mixture)
        k, d = means.shape
        for there, group in self.groups:
            observed = covariances[:, there][:, :, there]
            root = np.linalg.inv(np.linalg.cholesky(observed))  # lower triangular
            log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
            constant = np.log(weights) + log_det - 0.5 * there.sum() * np.log(2.0 * np.pi)
            cross = covariances[:, ~there][:, :, there] @ root.swapaxes(1, 2)
            spread = covariances[:, ~there][:, :, ~there] - cross @ cross.swapaxes(1, 2)
            size = max(_CHUNK // (k * d), 1)
            for part in (group[i : i + size] for i in range(0, len(group), size)):
                away = np.empty((k, len(part), d))
                away[:, :, there] = self.z[np.ix_(there, part)].T - means[:, None, there]
                scaled = away[:, :, there] @ root.swapaxes(1, 2)
                away[:, :, ~there] = scaled @ cross.swapaxes(1, 2)
                joint = beta * (constant[:, None] - 0.5 * (scaled**2).sum(axis=2))
                yield there, joint, away, spread, part


def _normalise(joint):
    """Log of the sum over components, and the responsibilities, from logs (k, n)."""
    peak = joint.max(axis=0)
    posterior = np.exp(joint - peak)
    total = posterior.sum(axis=0)
    return peak + np.log(total), posterior / total
