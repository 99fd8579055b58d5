r"""Parallel tempering of 64 ladders at once: word w holds the replicas at level w of each.

Bit b of all words is one ladder. After some sweeps the bonds are counted; neighbouring levels of a
ladder then exchange their replicas with probability :math:`\min(1, e^{\Delta\beta \Delta B})`, B
the bond sums: a mask of accepted ladders swaps the bits of two words, 64 ladders an operation.
Pairs with an even and with an odd lower level take turns, which is not reversible and carries
replicas through the ladder faster than random pairs (Syed et al. 2022).
"""

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.inner import inner
from pm_energy.kernels.lanes_vector import load, store, swap_neighbors
from pm_energy.kernels.multispin_energies import count_space, count_unsatisfied
from pm_energy.kernels.multispin_graph import place_graph
from pm_energy.kernels.multispin_sweeps import multispin_rates, seed_columns, sweep_rows
from pm_energy.kernels.multispin_words import COLUMN, WORD, check_words, per_word, to_rows
from pm_energy.kernels.random import next_word, seed_words, to_unit

_TABULATED = 1024  # differences of bond counts whose acceptance is looked up


class MultispinTempering(NamedTuple):
    """What :func:`multispin_tempering` observed."""

    bond_sums: np.ndarray | None  # (n_iterations, n_levels, 64)
    replica: np.ndarray | None  # (n_iterations, n_levels, 64)
    swap_acceptance: np.ndarray  # (n_levels - 1,)


def multispin_tempering(
    rng,
    words,
    graph,
    betas,
    n_iterations,
    sweeps_per_swap=1,
    offset=0,
    replica=None,
    record=True,
    update="metropolis",
):
    r"""Sweep and swap, ``n_iterations`` times, in place.

    Each ladder keeps the joint density :math:`\prod_w \exp(\beta_w B(s_w))`, B the bond sum.

    Parameters
    ----------
    rng : numpy.random.Generator
    words : ndarray of uint64, shape (n, n_levels)
        From :func:`pm_energy.kernels.multispin_words.pack_spins`; overwritten. After the run, too,
        word w holds what is at level w. Fastest with a multiple of 8 levels.
    graph : MultispinGraph
    betas : ndarray of float64, shape (n_levels,)
        Inverse temperatures times the strength of a bond, increasing (dimensionless).
    n_iterations : int
    sweeps_per_swap : int
    offset : int
        Even: pairs (0, 1), (2, 3), .. swap first; odd: pairs (1, 2), (3, 4), .. To go on where n
        iterations ended, add n.
    replica : ndarray of int16, shape (n_levels, 64), optional
        Which replica sits at each level of each ladder: swapped along, in place.
    record : bool
        Whether to return what sat where after each iteration.
    update : {"metropolis", "heat-bath"}
        As for :func:`pm_energy.kernels.multispin_sweeps.multispin_sweeps`.

    Returns
    -------
    MultispinTempering
        ``bond_sums``, int32, of shape (n_iterations, n_levels, 64): after each iteration's swaps,
        of the replica at each level of each ladder; None without ``record``. ``replica``, int16, of
        the same shape, likewise; None unless a start is given. ``swap_acceptance``, shape
        (n_levels - 1,): mean of min(1, ratio) over ladders and those iterations in which the pair
        took its turn; NaN if it never did.

    Raises
    ------
    ValueError
        If an array has another type or shape, or the betas do not increase.

    References
    ----------
    .. [1] Syed, Bouchard-Cote, Deligiannidis & Doucet (2022), Journal of the Royal Statistical
       Society B 84, 321-350.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.kernels.multispin_graph import multispin_graph
    >>> triangle = np.array([0, 2, 4, 6]), np.array([1, 2, 0, 2, 0, 1])
    >>> graph = multispin_graph(*triangle, signs=-np.ones(6, int))
    >>> rng, words = np.random.default_rng(0), np.zeros((3, 2), np.uint64)
    >>> run = multispin_tempering(rng, words, graph, np.array([0.0, 9.0]), n_iterations=100)
    >>> run.bond_sums.shape
    (100, 2, 64)
    >>> np.unique(run.bond_sums[-1, 1])  # frustrated: two of three bonds satisfied at best
    array([1], dtype=int32)
    """
    check_words(words, graph.n)
    n_levels = words.shape[1]
    betas = per_word("betas", betas, n_levels)
    if (np.diff(betas) < 0).any():
        raise ValueError(f"betas must increase with the level; got {betas}")
    if replica is not None and (
        getattr(replica, "dtype", None) != np.int16 or replica.shape != (n_levels, WORD)
    ):
        raise ValueError(f"replica must be an int16 array of shape ({n_levels}, {WORD})")
    n_kept = n_iterations if record else 0
    sums = np.empty((n_kept, n_levels, WORD), np.int32)
    places = np.empty((n_kept if replica is not None else 0, n_levels, WORD), np.int16)
    at = np.zeros((n_levels, WORD), np.int16) if replica is None else replica
    rows = to_rows(words)
    accepted, tried = tempering_loop(
        seed_words(rng), seed_columns(rng, n_levels), rows, place_graph(graph, rows),
        multispin_rates(betas, graph, update), betas, n_iterations, sweeps_per_swap, offset, at,
        sums, places, count_space(n_levels),
    )  # fmt: skip
    words[...] = rows[:, :n_levels]
    with np.errstate(invalid="ignore"):
        acceptance = accepted / (WORD * tried)
    return MultispinTempering(
        sums if record else None, places if record and replica is not None else None, acceptance
    )


@njit(cache=True, error_model="numpy")
def tempering_loop(
    stream, lanes, rows, graph, rates, betas, n_iterations, sweeps_per_swap, offset, replica,
    sums, places, counts,
):  # fmt: skip
    """Sweep, count and swap; return the sums of min(1, ratio) and the number of turns per pair."""
    n_levels = betas.size
    acceptance = _acceptance_table(betas, min(graph.n_bonds + 1, _TABULATED))
    masks = np.zeros(counts.shape[0] + COLUMN, np.uint64)
    accepted, tried = np.zeros(n_levels - 1), np.zeros(n_levels - 1, np.int64)
    for t in range(n_iterations):
        sweep_rows(lanes, rows, graph, rates, sweeps_per_swap)
        count_unsatisfied(counts, rows, graph)
        parity = (offset + t) % 2
        masks[:] = 0
        for pair in range(parity, n_levels - 1, 2):
            mask, total = _decide(stream, counts, pair, betas, acceptance)
            masks[pair] = masks[pair + 1] = mask
            accepted[pair] += total
            tried[pair] += 1
            _exchange(counts, pair, mask)
            _exchange(replica, pair, mask)
        swap_rows(rows, masks, parity)
        # In loops: to assign a row to a row takes two seconds more to compile.
        for level in range(n_levels if t < sums.shape[0] else 0):
            for b in range(WORD):
                sums[t, level, b] = graph.n_bonds - 2 * counts[level, b]
        for level in range(n_levels if t < places.shape[0] else 0):
            for b in range(WORD):
                places[t, level, b] = replica[level, b]
    return accepted, tried


@inner(cache=True)
def _acceptance_table(betas, n_differences):
    """exp(-2 (beta' - beta) k) for all pairs of levels and differences k of bond counts."""
    table = np.empty((betas.size - 1, n_differences))
    for pair in range(betas.size - 1):
        step = betas[pair + 1] - betas[pair]
        for k in range(n_differences):
            table[pair, k] = np.exp(-2.0 * step * k)
    return table


@inner(cache=True, error_model="numpy")
def _decide(stream, unsatisfied, pair, betas, acceptance):
    """Which ladders swap levels ``pair`` and ``pair + 1``: a mask; and the sum of min(1, ratio)."""
    s0, s1, s2, s3 = stream
    mask, total = uint64(0), 0.0
    for b in range(WORD):
        # By as many bonds the colder level is better off already: swapping them is that unlikely.
        k = unsatisfied[pair, b] - unsatisfied[pair + 1, b]
        if k < acceptance.shape[1]:
            ratio = acceptance[pair, max(k, 0)]
        else:
            ratio = np.exp(-2.0 * (betas[pair + 1] - betas[pair]) * k)
        word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        mask |= uint64(to_unit(word) < ratio) << uint64(b)
        total += ratio
    stream[0], stream[1], stream[2], stream[3] = s0, s1, s2, s3
    return mask, total


@njit(cache=True)
def _exchange(table, pair, mask):
    """Exchange rows ``pair`` and ``pair + 1`` where the mask is set."""
    for b in range(WORD):
        here, there = table[pair, b], table[pair + 1, b]
        swap = (mask >> uint64(b)) & uint64(1) != 0
        table[pair, b] = there if swap else here
        table[pair + 1, b] = here if swap else there


@njit(cache=True)
def swap_rows(rows, masks, first):
    """Exchange words ``first`` and ``first + 1``, ``first + 2`` and ``first + 3``, .. of all sites.

    Parameters
    ----------
    rows : ndarray of uint64, shape (n, stride)
        Overwritten.
    masks : ndarray of uint64, shape (8 * n_columns + 8,)
        Which bits of each word change places: equal masks for both words of a pair, 0 elsewhere.
    first : {0, 1}
    """
    words = rows.reshape(-1)
    stride, end = uint64(rows.shape[1]), uint64(masks.size - COLUMN + first)
    for start in range(uint64(0), uint64(words.size), stride):
        for place in range(uint64(first), end, uint64(COLUMN)):
            here = load(words, start + place)
            change = (here ^ swap_neighbors(here)) & load(masks, place)
            store(words, start + place, here ^ change)
