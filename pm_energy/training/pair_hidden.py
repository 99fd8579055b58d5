"""Hidden spins given visible ones: exactly, by mean field, or by samples.

Hidden units that are coupled with one another fall into clusters. Exact sums run over the states of
one cluster at a time, so that any number of uncoupled hidden units is easy.

References
----------
.. [1] Ackley, Hinton & Sejnowski (1985), Cognitive Science 9, 147-169.
.. [2] Peterson & Anderson (1987), Complex Systems 1, 995-1019.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import logsumexp

from pm_energy.training.pair_exact import spin_states

LIMIT = 12  # coupled hidden units whose states are listed
MEAN_FIELD_SWEEPS, MEAN_FIELD_TOL = 100, 1e-9


class Posterior(NamedTuple):
    """Moments of hidden spins in fields of their own, (n_hidden, N) for N samples."""

    means: np.ndarray  # (n_hidden, N)
    pairs: np.ndarray  # (m,) weighted sums over samples of the mean product of coupled hidden units
    log_trace: np.ndarray  # (N,) log sum_h exp(-E(h)), or a lower bound of it


class HiddenUnits:
    """Hidden spins and their couplings with one another.

    Parameters
    ----------
    n : int
    edges : ndarray of int, shape (m, 2)
    """

    def __init__(self, n, edges):
        self.n, self.edges = n, edges
        graph = coo_array((np.ones(len(edges)), tuple(edges.T)), shape=(n, n))
        _, label = connected_components(graph, directed=False)
        self.clusters = [np.flatnonzero(label == k) for k in np.unique(label)]

        self.largest = max(map(len, self.clusters))

    @property
    def is_small(self):
        """Whether all states of each cluster can be listed."""
        return self.largest <= LIMIT

    def exact(self, fields, coupling, share):
        """Sum over all states of each cluster.

        Parameters
        ----------
        fields : ndarray, shape (n, N)
            Of the visible units and the biases.
        coupling : ndarray, shape (m,)
        share : ndarray, shape (N,)
            Weights of the samples.

        Returns
        -------
        Posterior

        Raises
        ------
        ValueError
            If a cluster has too many states.
        """
        if not self.is_small:
            raise ValueError(
                f"{self.largest} hidden units are coupled, too many to sum out exactly (the limit "
                f"is {LIMIT}); use positive='mean-field' or 'gibbs'"
            )
        means, pairs = np.empty(fields.shape), np.empty(len(self.edges))
        log_trace = np.zeros(fields.shape[1])
        for units in self.clusters:
            inside = np.flatnonzero(np.isin(self.edges[:, 0], units))
            first, second = np.searchsorted(units, self.edges[inside].T)
            states = spin_states(len(units))
            products = states[:, first] * states[:, second]
            log_p = states @ fields[units] + (products @ coupling[inside])[:, None]
            trace = logsumexp(log_p, axis=0)
            p = np.exp(log_p - trace)
            means[units] = states.T @ p
            pairs[inside] = (p @ share) @ products
            log_trace += trace
        return Posterior(means, pairs, log_trace)

    def mean_field(self, fields, coupling, share):
        """Independent units nearest to the posterior, and the bound that they give.

        One unit after the other is set to its mean in the field of the others' means, which never
        lowers the bound.

        Parameters
        ----------
        fields, coupling, share
            As for :meth:`exact`.

        Returns
        -------
        Posterior
            ``log_trace`` is at most the exact one.
        """
        matrix = np.zeros((self.n, self.n))
        first, second = self.edges.T
        matrix[first, second] = matrix[second, first] = coupling
        means = np.tanh(fields)
        for _ in range(MEAN_FIELD_SWEEPS):
            change = 0.0
            for unit in range(self.n):
                new = np.tanh(fields[unit] + matrix[unit] @ means)
                change = max(change, np.max(np.abs(new - means[unit])))
                means[unit] = new
            if change < MEAN_FIELD_TOL:
                break
        products = means[first] * means[second]
        log_trace = (fields * means).sum(axis=0) + coupling @ products + _entropy(means)
        return Posterior(means, products @ share, log_trace)


def _entropy(means):
    """Entropy of independent spins, summed over the first axis."""
    up = (1 + np.clip(means, -1, 1)) / 2
    return -sum((p * np.log(np.where(p > 0, p, 1))).sum(axis=0) for p in (up, 1 - up))
