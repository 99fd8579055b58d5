"""Spins whose couplings are all of one size: 64 states share each word of memory.

Couplings and biases may also be small multiples of one number: a multiple is as many bonds, and a
bias is bonds with spins that are held at +1.
"""

import numpy as np

from pm_energy.energies.sites import neighbours
from pm_energy.kernels.coloring import color_order
from pm_energy.kernels.multispin_anneal import multispin_anneal, multispin_descent
from pm_energy.kernels.multispin_graph import MAX_DEGREE, multispin_graph
from pm_energy.kernels.multispin_tempering import multispin_tempering
from pm_energy.kernels.multispin_words import COLUMN, WORD, pack_spins, unpack_spins
from pm_energy.walkers.spin_moves import SpinMoves
from pm_energy.walkers.tempering import Tempering, mean_acceptance

ROUNDING = 1e-12  # of the unit, that a multiple may be off
FEWEST_CHAINS = 16  # for which 64 ladders cost less than these one by one
KEPT = ("log_ratio", "replica", "states")


def common_unit(graph):
    """Return the number of which couplings and biases are small multiples, or None.

    Parameters
    ----------
    graph : SpinGraph

    Returns
    -------
    float or None
        None, too, if a spin would have too many bonds for the bit-parallel kernels.
    """
    numbers = np.abs(np.concatenate([graph.values, graph.bias]))
    if not numbers.any():
        return None
    unit = numbers[numbers > 0].min()
    if numbers.max() > MAX_DEGREE * unit:
        return None
    if np.abs(numbers / unit - np.rint(numbers / unit)).max() > ROUNDING:
        return None
    degree = np.rint(np.abs(graph.bias) / unit)
    for end in graph.edges.T:
        degree += np.bincount(end, np.rint(np.abs(graph.values) / unit), minlength=graph.n)
    return float(unit) if degree.max() <= MAX_DEGREE else None


def bit_graph(graph, unit):
    """Return the graph of the bit-parallel kernels, held spins after the others."""
    bonds = np.rint(graph.values / unit).astype(int)
    fields = np.rint(graph.bias / unit).astype(int)
    if not fields.any() and np.all(np.abs(bonds) == 1):
        indptr, indices, values = graph.rows
        return multispin_graph(indptr, indices, np.sign(values))
    times = np.concatenate([np.abs(bonds), np.abs(fields)])
    signs = np.repeat(np.concatenate([np.sign(bonds), np.sign(fields)]), times)
    within = np.repeat(graph.edges, np.abs(bonds), axis=0)
    pulled = np.repeat(np.arange(graph.n), np.abs(fields))
    holders = graph.n + np.arange(pulled.size) // MAX_DEGREE
    edges = np.concatenate([within, np.stack([pulled, holders], axis=1)])
    n = int(holders.max(initial=graph.n - 1)) + 1
    indptr, indices, bond = neighbours(edges, n)
    order = color_order(indptr, indices)
    return multispin_graph(indptr, indices, signs[bond], order[order < graph.n])


class MultispinMoves(SpinMoves):
    """Anneals and ladders with 64 states a word; states at betas of their own as other spins.

    Parameters
    ----------
    energy : Energy
    graph : SpinGraph
    unit : float
        As from :func:`common_unit`.
    weights : ndarray, shape (2, *event_shape), optional
    """

    batch = WORD * COLUMN
    updates_a_part = 2**28

    def __init__(self, energy, graph, unit, weights=None):
        super().__init__(energy, graph, weights)
        self.unit, self.bits = unit, bit_graph(graph, unit)
        self.road = f"bit-parallel sweeps of {graph.n} spins, {WORD} states a word"

    def __reduce__(self):
        return type(self), (self.energy, self.graph, self.unit, self.weights)

    def anneal(self, rng, x, schedule):
        """Sweep all rows once at each inverse temperature of a schedule."""
        words = self._pack(x)
        betas = 0.5 * self.unit * np.asarray(schedule)  # log-odds are twice beta times a field
        multispin_anneal(rng, words, self.bits, betas, descend=False)
        self._unpack(words, x)

    def descend(self, x):
        """Flip spins, in place, until no flip of one lowers the energy."""
        words = self._pack(x)
        multispin_descent(words, self.bits)
        self._unpack(words, x)

    def _pack(self, x):
        """States as words; held spins and states that are missing are all +1."""
        padded = np.ones((-(-len(x) // WORD) * WORD, self.bits.n), np.int8)
        padded[: len(x), : self.graph.n] = self.spins(x)
        return pack_spins(padded)

    def _unpack(self, words, x):
        self.store(unpack_spins(words[: self.graph.n])[: len(x)], x)

    def temper(self, rng, x, betas, replica, n_iterations, *, n_sweeps=1, thin=1, first=0):
        """Run parallel tempering, a ladder a bit, where many chains share one ladder."""
        chains = len(betas)
        if chains < FEWEST_CHAINS or np.ptp(betas, axis=0).any():
            return super().temper(
                rng, x, betas, replica, n_iterations, n_sweeps=n_sweeps, thin=thin, first=first
            )
        parts = [slice(c, min(c + WORD, chains)) for c in range(0, chains, WORD)]
        by_chain = x.reshape(chains, betas.shape[1], *x.shape[1:])
        runs = [
            self._temper_word(
                rng, by_chain[part], betas[0], replica[part], n_iterations, n_sweeps, thin, first
            )
            for part in parts
        ]
        return Tempering(
            *(np.concatenate([getattr(run, name) for run in runs], axis=1) for name in KEPT),
            np.concatenate([run.acceptance for run in runs]),
        )

    def _temper_word(self, rng, x, ladder, replica, n_iterations, n_sweeps, thin, first):
        """At most 64 ladders, x of shape (n_chains, n_levels, *event_shape)."""
        chains, levels = replica.shape
        each = np.arange(chains)[:, None]
        flat = x.reshape(chains * levels, *x.shape[2:])
        spins = self.spins(flat).reshape(chains, levels, -1)
        padded = np.ones((levels, WORD, self.bits.n), np.int8)
        padded[:, :chains, : self.graph.n] = spins[each, replica].swapaxes(0, 1)
        words = pack_spins(padded.reshape(levels * WORD, -1))
        places = np.zeros((levels, WORD), np.int16)
        places[:, :chains] = replica.T
        began, tops, sums, where = replica.copy(), [], [], []
        for start in range(0, n_iterations, thin):
            length = min(thin, n_iterations - start)
            run = multispin_tempering(
                rng, words, self.bits, 0.5 * self.unit * ladder, length, n_sweeps,
                first + start, places,
            )  # fmt: skip
            sums.append(run.bond_sums[:, :, :chains])
            where.append(run.replica[:, :, :chains])
            if length == thin:
                tops.append(unpack_spins(words[: self.graph.n, -1:])[:chains])
        replica[...] = places[:, :chains].T
        at_level = unpack_spins(words[: self.graph.n]).reshape(levels, WORD, -1)[:, :chains]
        spins = np.empty((chains, levels, self.graph.n), np.int8)
        spins[each, replica] = at_level.swapaxes(0, 1)
        self.store(spins.reshape(len(flat), -1), flat)
        sums = np.concatenate(sums).swapaxes(1, 2)
        log_ratio = 0.5 * self.unit * sums
        log_ratio += self.log_ratio(flat[:1]) - log_ratio[-1, 0, np.argmax(replica[0] == 0)]
        where = np.concatenate(where).swapaxes(1, 2).astype(np.int64)
        states = np.empty((len(tops) * chains, *x.shape[2:]), x.dtype)
        self.store(np.array(tops, np.int8).reshape(len(states), -1), states)
        return Tempering(
            log_ratio[thin - 1 :: thin],
            where[thin - 1 :: thin],
            states.reshape(len(tops), chains, *x.shape[2:]),
            mean_acceptance(ladder, log_ratio, where, began, first),
        )
