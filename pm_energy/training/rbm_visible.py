"""Visible layers of an RBM: what they drive the hidden units with, and what these drive back.

With a drive ``g(v)`` the energy is ``E(v, h) = E_0(v) - b . h - g(v) W h``.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import issparse

from pm_energy.kernels.bernoulli import draw_states
from pm_energy.kernels.two_state import unit_means


@dataclass(frozen=True)
class TwoStateUnits:
    """Units in ``low`` (0 or -1) and 1; the drive is their state."""

    low: float

    def drive(self, theta, x):
        """What the hidden units see, (N, n_v)."""
        return x

    def alone(self, theta, x):
        """Energy without hidden units, (N,), float64."""
        return -np.asarray(x @ theta["visible_bias"], float)

    def statistics(self, theta, x, row_weights, pairs):
        """Statistics of the layer's own parameters."""
        return {"visible_bias": np.asarray(row_weights @ x)}

    def mean(self, theta, push):
        """Mean of the units given the push ``h W^T`` of the hidden ones, which is overwritten."""
        return unit_means(push, theta["visible_bias"], self.low)

    def sample(self, theta, push, rng):
        """Draw the units given the push of the hidden ones."""
        return draw_states(rng, (1 - self.low) * (push + theta["visible_bias"]), self.low)

    def random(self, theta, n, rng):
        """Draw n rows at infinite temperature."""
        bias = theta["visible_bias"]
        return draw_states(rng, np.zeros((n, bias.size), bias.dtype), self.low)

    def states_at(self, x, rng):
        """Draw states of which x are the means."""
        if ((x == self.low) | (x == 1)).all():
            return x.copy()
        upper = rng.random(x.shape) < (x - self.low) / (1 - self.low)
        return np.where(upper, 1, self.low).astype(x.dtype)


@dataclass(frozen=True)
class GaussianUnits:
    """Real units with a mean and a learned variance each; the drive is ``v / variance``.

    References
    ----------
    .. [1] Cho, Ilin & Raiko (2011), ICANN, Lecture Notes in Computer Science 6791, 10-17.
    """

    def drive(self, theta, x):
        """What the hidden units see, (N, n_v)."""
        return dense(x) * np.exp(-theta["log_variance"])

    def alone(self, theta, x):
        """Energy without hidden units, (N,), float64."""
        scaled = (dense(x) - theta["visible_bias"]) * np.exp(-theta["log_variance"] / 2)
        return 0.5 * np.einsum("ni,ni->n", scaled, scaled, dtype=float)

    def statistics(self, theta, x, row_weights, pairs):
        """Statistics of the layer's own parameters.

        ``-dE/d(log variance) = ((v - a)^2 / 2 - v (W h)) / variance``, and the mean of the last
        term is known from the statistics ``pairs`` of the weights.
        """
        apart = dense(x) - theta["visible_bias"]
        precision = np.exp(-theta["log_variance"])
        spread = precision * (row_weights @ apart**2) / 2
        coupled = np.einsum("ij,ij->i", theta["weights"], pairs)
        return {"visible_bias": precision * (row_weights @ apart), "log_variance": spread - coupled}

    def mean(self, theta, push):
        """Mean of the units given the push ``h W^T`` of the hidden ones."""
        return push + theta["visible_bias"]

    def sample(self, theta, push, rng, beta=1.0):
        """Draw the units given the push of the hidden ones, at one inverse temperature."""
        noise = rng.standard_normal(push.shape, push.dtype)
        width = np.exp(theta["log_variance"] / 2) / push.dtype.type(np.sqrt(beta))
        return self.mean(theta, push) + noise * width

    def random(self, theta, n, rng):
        """Draw n rows from the units without hidden ones."""
        bias = theta["visible_bias"]
        return self.sample(theta, np.zeros((n, bias.size), bias.dtype), rng)

    def states_at(self, x, rng):
        """A copy: any numbers are states."""
        return x.copy()


def dense(x):
    """Return x, made dense if it is a sparse matrix."""
    return x.toarray() if issparse(x) else x
