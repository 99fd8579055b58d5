"""Walkers known in every number, targets and kernels: a table of states, and a Gaussian."""

from types import SimpleNamespace

import numpy as np
from scipy.special import logsumexp

from pm_energy.walkers.base import Walkers


class TableWalkers(Walkers):
    """States 0, 1, ..., n - 1 with weights in a table, moved by Metropolis steps to neighbours.

    Reversible, and slow enough that annealing leaves the populations out of equilibrium.
    """

    road = "table"

    def __init__(self, log_base, log_ratio, size, exact_base=True):
        self.log_base, self.table = np.asarray(log_base, float), np.asarray(log_ratio, float)
        self.size, self.exact_base = size, exact_base
        self.ladder, self.frozen = np.array([0.0, 1.0]), False
        self.x = np.zeros(size, dtype=int)
        self.path = SimpleNamespace(
            draw_base=lambda rng, n: {"x": self.draw(rng, 0.0, n)},
            explain=lambda point: f"log_ratio = {self.table[point['x']]}",
            exact_base=exact_base,
            log_z_base=logsumexp(self.log_base),
            base="prior",
            tempered="likelihood of y",
        )

    @property
    def log_ratio(self):
        return self.table[self.x]

    def probabilities(self, beta):
        tempered = beta * self.table if beta else 0.0  # 0 * -inf
        return np.exp(self.log_base + tempered - logsumexp(self.log_base + tempered))

    def log_z(self, beta=1.0):
        """Log Z_beta / Z_0."""
        return logsumexp(self.log_base + beta * self.table) - logsumexp(self.log_base)

    def draw(self, rng, beta, n):
        return rng.choice(len(self.table), size=n, p=self.probabilities(beta))

    def start(self, rng):
        self.put(self.path.draw_base(rng, self.size))
        self.frozen = False

    def put(self, values):
        self.x = np.array(values["x"])

    def set_ladder(self, betas):
        self.ladder = np.asarray(betas)

    def move(self, rng, levels, n_sweeps=1):
        beta, took = self.ladder[levels], np.zeros(self.size)
        if self.exact_base and (beta == 0).all():
            self.x = self.draw(rng, 0.0, self.size)
            return np.ones(self.size)
        for _ in range(n_sweeps):
            new = (self.x + rng.choice([-1, 1], size=self.size)) % len(self.table)
            with np.errstate(invalid="ignore"):
                log_a = self.log_base[new] - self.log_base[self.x]
                log_a = log_a + beta * (self.table[new] - self.table[self.x])
            accepted = np.log(rng.random(self.size)) < log_a
            self.x = np.where(accepted, new, self.x)
            took += accepted / n_sweeps
        return took

    def adapt(self):
        assert not self.frozen

    def freeze(self):
        self.frozen = True

    def take(self, source):
        self.x = self.x[source]
        self.size = len(source)

    def values(self, which):
        return {"x": self.x[which]}

    def state(self):
        return self.x.copy(), self.ladder.copy(), self.frozen

    def restore(self, state):
        self.x, self.ladder, self.frozen = state


class GaussianWalkers(TableWalkers):
    """A standard normal base, ``log_ratio = -k/2 |x - m|^2``; moves that keep ``memory`` of x."""

    road = "Gaussian"

    def __init__(self, size, dimensions=3, k=100.0, m=1.0, memory=0.3):
        self.size, self.d, self.k, self.m, self.memory = size, dimensions, k, m, memory
        self.exact_base = True
        self.path = SimpleNamespace(
            draw_base=lambda rng, n: {"x": rng.normal(size=(n, dimensions))},
            explain=lambda point: f"x = {point['x']}",
            exact_base=True,
            log_z_base=0.0,
            base="prior",
            tempered="likelihood of y",
        )
        self.x = np.zeros((size, dimensions))
        self.ladder, self.frozen = np.array([0.0, 1.0]), False

    @property
    def log_ratio(self):
        return -0.5 * self.k * ((self.x - self.m) ** 2).sum(-1)

    def log_z(self, beta=1.0):
        k = beta * self.k
        return -0.5 * self.d * (np.log1p(k) + k * self.m**2 / (1 + k))

    def draw(self, rng, beta, n):
        precision = 1 + beta * self.k
        mean = beta * self.k * self.m / precision
        return mean + rng.normal(size=(n, self.d)) / np.sqrt(precision)

    def move(self, rng, levels, n_sweeps=1):
        assert (levels == levels[0]).all()
        beta = self.ladder[levels[0]]
        precision = 1 + beta * self.k
        mean = beta * self.k * self.m / precision
        for _ in range(n_sweeps):
            fresh = self.draw(rng, beta, self.size) - mean
            self.x = mean + self.memory * (self.x - mean) + np.sqrt(1 - self.memory**2) * fresh
        return np.full(self.size, np.nan)
