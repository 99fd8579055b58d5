"""How far states spread at each level: what compiled moves are tuned by."""

import numpy as np

from pm_energy.kernels.moments import add_moments

DENSE = 100  # dimensions up to which covariances are learned; beyond, variances
ENOUGH = 8.0  # states of a level to learn from for the first time
NARROWEST = 1e-10  # standard deviations of the base: below, walkers would be stuck for ever


class Spread:
    """Covariances of the states at each level, learned as they come.

    Parameters
    ----------
    draws : ndarray, shape (n, d)
        Of the base: the first guess for all levels.

    Attributes
    ----------
    scale : ndarray, shape (n_levels, d, d) or (n_levels, d)
        Cholesky factors of the covariances, lower triangular; in many dimensions only standard
        deviations.
    directions : tuple of (sd, axes, weights)
        As for :func:`pm_energy.kernels.tempered_slice.slice_moves`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> spread = Spread(10.0 + rng.normal(size=(100, 2)))
    >>> spread.see(3.0 * rng.normal(size=(10_000, 2)), np.zeros(10_000, dtype=int))
    >>> print(spread.learn().round())  # how much wider it became
    [3.]
    """

    def __init__(self, draws):
        d = draws.shape[1]
        finite = draws[np.isfinite(draws).all(axis=1)]  # the log of a tiny number may be infinite
        finite = finite if len(finite) else np.zeros((1, d))
        variance = finite.var(axis=0)
        variance = np.where(variance > 0.0, variance, 1.0)
        self._least = NARROWEST**2 * variance
        dense = d <= DENSE
        self._mean = finite.mean(axis=0)[None]
        self._covariance = (np.diag(variance) if dense else variance)[None]
        self.scale = np.empty_like(self._covariance)
        axes = np.empty((1, d * dense, d)), np.empty((1, d * dense))
        self.directions = np.empty((1, d)), *axes
        self._prepare(slice(None))
        self.carry(np.zeros(1, dtype=int))

    def carry(self, source):
        """Let level i begin with what is known of level ``source[i]``."""
        self._mean, self._covariance = self._mean[source], self._covariance[source]
        self.scale = self.scale[source]
        self.directions = tuple(part[source] for part in self.directions)
        self._needed = np.full(len(source), ENOUGH)
        self._sums = tuple(map(np.zeros_like, (self._needed, self._mean, self._covariance)))

    def see(self, x, levels):
        """Take note of states (n, d) at levels (n,)."""
        add_moments(x, levels, self._mean, *self._sums)

    def learn(self):
        """Learn from what was seen, at levels where it is more than the estimate rests on so far.

        Returns
        -------
        ndarray, shape (n_levels,)
            How much wider each level became: the geometric mean over directions.
        """
        d, wider = self._mean.shape[1], np.ones(len(self._mean))
        ready = np.flatnonzero(self._sums[0] >= self._needed)
        for k in ready:
            n, total, square = (part[k] for part in self._sums)
            shift = total / n
            new, old = square / n, self._covariance[k]
            if new.ndim == 1:
                new -= shift**2
                new = np.maximum(new, self._least)
            else:
                new -= np.outer(shift, shift)
                # correlations are worth as much as there are states for each dimension
                new *= np.where(np.eye(d, dtype=bool), 1.0, n / (n + d))
                new += np.diag(self._least)
            self._covariance[k] = (old + n * new) / (1.0 + n)
            self._mean[k] += shift * n / (1.0 + n)
            self._needed[k] = n
            for part in self._sums:
                part[k] = 0.0
        if ready.size:
            before = _log_width(self.scale[ready])
            self._prepare(ready)
            wider[ready] = np.exp(_log_width(self.scale[ready]) - before)
        return wider

    def _prepare(self, levels):
        """Work out what follows from the covariances of some levels."""
        covariance, (sd, axes, weights) = self._covariance[levels], self.directions
        if covariance.ndim == 2:
            self.scale[levels] = sd[levels] = np.sqrt(covariance)
            return
        self.scale[levels] = np.linalg.cholesky(covariance)
        sd[levels] = sides = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        # axes of the correlations: the units of variables should not matter
        size, vectors = np.linalg.eigh(covariance / sides[:, :, None] / sides[:, None, :])
        length = np.sqrt(np.maximum(size, 0.0))
        axes[levels] = np.swapaxes(sides[:, :, None] * vectors * length[:, None, :], 1, 2)
        weights[levels] = np.cumsum(size, axis=1) / size.shape[1]


def _log_width(scale):
    diagonal = scale if scale.ndim == 2 else np.diagonal(scale, axis1=1, axis2=2)
    return np.log(diagonal).mean(axis=1)
