"""Simulated annealing of 64 replicas a word, and descent to the local minima at its end."""

import numpy as np
from numba import int64, njit, uint64

from pm_energy.kernels.lanes_vector import any_bit, load, splat, store
from pm_energy.kernels.multispin_energies import multispin_energies
from pm_energy.kernels.multispin_graph import place_graph
from pm_energy.kernels.multispin_sweeps import (
    fill_rates,
    hot_below,
    majority,
    multispin_rates,
    seed_columns,
    sweep_rows,
)
from pm_energy.kernels.multispin_words import COLUMN, check_words, n_columns, to_rows


def multispin_anneal(rng, words, graph, betas, descend=True):
    """Sweep once by Metropolis at each beta of a schedule, then descend to local minima; in place.

    Parameters
    ----------
    rng : numpy.random.Generator
    words : ndarray of uint64, shape (n, n_words)
        From :func:`pm_energy.kernels.multispin_words.pack_spins`; overwritten. Fastest with a
        multiple of 8 words, 512 replicas: fewer take as long.
    graph : MultispinGraph
    betas : ndarray of float64, shape (n_sweeps,)
        Inverse temperatures times the strength of a bond, for all replicas.
    descend : bool
        Whether to end by :func:`multispin_descent`.

    Returns
    -------
    bond_sums : ndarray of int64, shape (64 * n_words,)
        Of the final states, see :func:`pm_energy.kernels.multispin_energies.multispin_energies`.

    Raises
    ------
    ValueError
        If an array has another type or shape, or a beta is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.kernels.multispin_graph import multispin_graph
    >>> i = np.arange(20)
    >>> ring = np.stack([(i - 1) % 20, (i + 1) % 20], axis=1)
    >>> graph = multispin_graph(2 * np.arange(21), ring.ravel(), np.ones(40, int))
    >>> rng = np.random.default_rng(0)
    >>> words = rng.integers(0, 2**64, (20, 1), dtype=np.uint64)
    >>> multispin_anneal(rng, words, graph, np.linspace(0.1, 3, 500)).max()
    np.int64(20)
    """
    check_words(words, graph.n)
    betas = np.array(betas, dtype=np.float64)
    if betas.ndim != 1 or not ((betas >= 0) & np.isfinite(betas)).all():
        raise ValueError(f"betas must be a vector of finite numbers >= 0; got {betas}")
    n_words = words.shape[1]
    rows = to_rows(words)
    placed, hot = place_graph(graph, rows), hot_below(graph, "metropolis")
    rates = multispin_rates(np.zeros(n_words), graph, "metropolis")
    _anneal_rows(seed_columns(rng, n_words), rows, placed, rates, betas, hot)
    if descend:
        _descend_rows(rows, placed, n_columns(n_words))
    words[...] = rows[:, :n_words]
    return multispin_energies(words, graph)


def multispin_descent(words, graph):
    """Flip spins that lower the energy, site after site, until no replica has any; in place.

    Parameters
    ----------
    words : ndarray of uint64, shape (n, n_words)
        Overwritten.
    graph : MultispinGraph

    Returns
    -------
    n_sweeps : int
        How often all sites were visited.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.kernels.multispin_graph import multispin_graph
    >>> chain = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1])
    >>> graph = multispin_graph(*chain, signs=np.ones(4, int))
    >>> words = np.array([[1], [0], [0]], dtype=np.uint64)  # one end of the first replica is up
    >>> multispin_descent(words, graph), words.ravel()
    (2, array([0, 0, 0], dtype=uint64))
    """
    check_words(words, graph.n)
    rows = to_rows(words)
    n_sweeps = _descend_rows(rows, place_graph(graph, rows), n_columns(words.shape[1]))
    words[...] = rows[:, : words.shape[1]]
    return n_sweeps


@njit(cache=True)
def _anneal_rows(lanes, rows, graph, rates, betas, hot):
    for beta in betas:
        fill_rates(rates, np.full(rates.heat_bath.size, beta), hot)
        sweep_rows(lanes, rows, graph, rates, int64(1))


@njit(cache=True)
def _descend_rows(rows, graph, columns):
    words, stride = rows.reshape(-1), uint64(rows.shape[1])
    n_sweeps, moving = 0, True
    while moving:  # each flip lowers an energy by 2 at least: it ends
        moving = False
        n_sweeps += 1
        for at in range(uint64(0), uint64(columns * COLUMN), uint64(COLUMN)):
            changed = splat(uint64(0))
            for i in graph.order:
                begin, end = graph.first[i], graph.first[i + uint64(1)]
                up, tie, _, _ = majority(words, at, graph, begin, end)
                old = load(words, i * stride + at)
                change = (up ^ old) & ~tie
                store(words, i * stride + at, old ^ change)
                changed = changed | change
            moving |= any_bit(changed)
    return n_sweeps
