"""Batches for regression on noisy data: rows, noise and what a network is to say of them."""

import numpy as np

from pm_energy.kernels.mlp_training import make_batches
from pm_energy.kernels.random import LANES, seed_words

COUPLINGS = ("independent", "optimal")
NUMBERS = 2**22  # of all batches made at a time
STEPS = {"independent": 1_000, "optimal": 50}


class Batches:
    """A stream of batches, some steps at a time: the same ones however many at a time.

    Parameters
    ----------
    network : MLP
    data : tuple of array
        Rows (N, d), labels and weights as
        :func:`~pm_energy.kernels.mlp_training.make_batches` reads them.
    levels : NoiseLevels
    rng : numpy.random.Generator
    n_steps, batch_size : int
        Steps at a time, at most; fewer if their batches would fill the memory.
    coupling : {"independent", "optimal"}
    drop_label : float

    Attributes
    ----------
    size : int
        Steps at a time.
    """

    def __init__(self, network, data, levels, rng, n_steps, batch_size, coupling, drop_label):
        n_in, d = network.sizes[0], network.n_in
        self.size = min(n_steps, STEPS[coupling], NUMBERS // (batch_size * (n_in + d + 1)) + 1)
        self._data, self._rng, self._coupling, self._drop = data, rng, coupling, drop_label
        self._schedule = levels.table(), _features(network, levels)
        self._streams = seed_words(rng), seed_words(rng, LANES)
        shapes = (batch_size, n_in), (batch_size, d), (batch_size,)
        self._arrays = tuple(np.zeros((self.size, *shape), np.float32) for shape in shapes)

    def make(self, n_steps):
        """Return inputs, targets and weights, of ``size`` steps of which the first are new.

        They are overwritten by the next call.
        """
        pairs = self._pairs(n_steps)
        parts = (array[:n_steps] for array in self._arrays)
        make_batches(self._data, self._schedule, self._streams, pairs, self._drop, *parts)
        return self._arrays

    def _pairs(self, n_steps):
        """Rows and noise, paired by optimal transport; empty if the kernel draws them."""
        x = self._data[0]
        _, batch_size, d = self._arrays[1].shape
        if self._coupling == "independent":
            return np.empty((0, batch_size), np.int64), np.empty((0, batch_size, d), np.float32)
        from scipy.optimize import linear_sum_assignment  # takes .15 s, and few want it

        rows = np.empty((n_steps, batch_size), np.int64)
        noise = np.empty((n_steps, batch_size, d), np.float32)
        for step in range(n_steps):  # one by one: the stream does not depend on n_steps
            rows[step] = self._rng.integers(len(x), size=batch_size)
            partners = self._rng.standard_normal((batch_size, d), np.float32)
            # the least sum of squared distances is the largest sum of products
            _, order = linear_sum_assignment(x[rows[step]] @ partners.T, maximize=True)
            noise[step] = partners[order]
        return rows, noise


def _features(network, levels):
    """What the network is told of the time at each level."""
    n = network.n_in
    if not network.time_features:
        return np.empty((len(levels.time), 0), np.float32)
    rows = network.inputs(np.zeros((len(levels.time), n)), levels.time)
    return np.ascontiguousarray(rows[:, n : n + network.time_features])
