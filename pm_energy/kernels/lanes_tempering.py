r"""Parallel tempering of replicas in lanes: a swap exchanges the betas of two lanes.

Lane ``w * n_ladders + g`` holds replica w of ladder g, wherever it wanders: its state never moves.
After some sweeps, neighbouring levels of a ladder exchange their replicas with probability
:math:`\min(1, e^{\Delta\beta \Delta E})`. Pairs with an even and with an odd lower level take
turns, which is not reversible and carries replicas through the ladder faster than random pairs
(Syed et al. 2022).
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from pm_energy.kernels.inner import inner
from pm_energy.kernels.lanes_draw import hot_below, seed_lanes
from pm_energy.kernels.lanes_graph import LANES, check_lanes
from pm_energy.kernels.lanes_kinds import sum_lanes, sweep_lanes
from pm_energy.kernels.random import next_word, seed_words, to_unit


class LanesTempering(NamedTuple):
    """What :func:`lanes_tempering` observed."""

    energy: np.ndarray | None  # (n_iterations, n_levels, n_ladders)
    replica: np.ndarray | None  # (n_iterations, n_levels, n_ladders)
    swap_acceptance: np.ndarray  # (n_levels - 1,)


def lanes_tempering(
    rng,
    state,
    graph,
    betas,
    replica,
    n_iterations,
    sweeps_per_swap=1,
    offset=0,
    record=True,
    update="metropolis",
):
    r"""Sweep and swap, ``n_iterations`` times, in place.

    Each ladder keeps the joint density :math:`\prod_l \exp(-\beta_l E(s_l))`, with s_l the state of
    the replica at level l.

    Parameters
    ----------
    rng : numpy.random.Generator
    state : ndarray of float32, shape (n_columns, n, 32)
        From :func:`pm_energy.kernels.lanes_graph.pack_lanes`: 32 n_columns = n_levels n_ladders
        replicas; overwritten.
    graph : LanesGraph or DenseLanes
    betas : ndarray, shape (n_levels,)
        Inverse temperatures, increasing (dimensionless).
    replica : ndarray of int16, shape (n_levels, n_ladders)
        Which replica sits at each level of each ladder, in the beginning
        ``np.repeat(np.arange(n_levels), n_ladders)``; overwritten. The state at level l of ladder g
        is in lane ``replica[l, g] * n_ladders + g``.
    n_iterations : int
    sweeps_per_swap : int
    offset : int
        Even: pairs (0, 1), (2, 3), .. swap first; odd: pairs (1, 2), (3, 4), .. To go on where n
        iterations ended, add n.
    record : bool
        Whether to return what sat where after each iteration.
    update : {"metropolis", "heat-bath"}
        As for :func:`pm_energy.kernels.lanes_sweeps.lanes_sweeps`.

    Returns
    -------
    LanesTempering
        ``energy``, float64, of shape (n_iterations, n_levels, n_ladders): after each iteration's
        swaps, of the replica at each level; ``replica``, int16, likewise; both None without
        ``record``. ``swap_acceptance``, shape (n_levels - 1,): mean of min(1, ratio) over ladders
        and those iterations in which the pair took its turn; NaN if it never did.

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
    >>> from pm_energy.kernels.lanes_graph import lanes_graph, pack_lanes
    >>> pair = np.array([0, 1, 2]), np.array([1, 0])
    >>> graph = lanes_graph(*pair, coupling_csr=np.array([2.0, 2.0]), bias=0.0)
    >>> rng, state = np.random.default_rng(0), pack_lanes(np.ones((32, 2)))
    >>> replica = np.repeat(np.arange(2, dtype=np.int16)[:, None], 16, axis=1)
    >>> run = lanes_tempering(rng, state, graph, np.array([0.0, 9.0]), replica, n_iterations=50)
    >>> run.energy.shape, np.unique(run.energy[-1, 1])
    ((50, 2, 16), array([-1.]))
    """
    check_lanes(state, graph.n)
    betas = np.array(betas, dtype=np.float64)
    n_lanes = len(state) * LANES
    if betas.ndim != 1 or betas.size == 0 or n_lanes % betas.size:
        raise ValueError(
            f"betas must be a vector whose length divides the {n_lanes} lanes; got {betas.shape}"
        )
    if not (np.isfinite(betas).all() and betas[0] >= 0 and (np.diff(betas) >= 0).all()):
        raise ValueError(f"betas must be finite, at least 0, and increase with the level: {betas}")
    shape = betas.size, n_lanes // betas.size
    if getattr(replica, "dtype", None) != np.int16 or replica.shape != shape:
        raise ValueError(f"replica must be an int16 array of shape {shape}")
    if not (np.sort(replica, axis=0) == np.arange(betas.size)[:, None]).all():
        raise ValueError(f"replica must hold 0..{betas.size - 1} once in each column")
    kept = (n_iterations if record else 0, *shape)
    energy, places = np.empty(kept), np.empty(kept, np.int16)
    accepted, tried = tempering_loop(
        seed_words(rng), seed_lanes(rng, len(state)), state, graph, betas,
        hot_below(graph, update), replica, n_iterations, sweeps_per_swap, offset, energy, places,
    )  # fmt: skip
    with np.errstate(invalid="ignore"):
        acceptance = accepted / (shape[1] * tried)
    return LanesTempering(energy if record else None, places if record else None, acceptance)


@njit(cache=True, error_model="numpy")
def tempering_loop(
    stream, words, state, graph, betas, hot, replica, n_iterations, sweeps_per_swap, offset,
    energies, places,
):  # fmt: skip
    """Sweep, sum and swap; return the sums of min(1, ratio) and the number of turns per pair."""
    n_levels, n_ladders = replica.shape
    energy = np.empty(state.shape[0] * LANES)
    lane_betas = np.empty(energy.size, np.float32)
    for level in range(n_levels):
        for g in range(n_ladders):
            lane_betas[replica[level, g] * n_ladders + g] = betas[level]
    accepted, tried = np.zeros(n_levels - 1), np.zeros(n_levels - 1, np.int64)
    for t in range(n_iterations):
        sweep_lanes(words, state, graph, lane_betas, hot, sweeps_per_swap)
        sum_lanes(energy, state, graph)
        for pair in range((offset + t) % 2, n_levels - 1, 2):
            accepted[pair] += swap_levels(stream, energy, pair, betas, replica, lane_betas)
            tried[pair] += 1
        # In loops: to assign a row to a row takes two seconds more to compile.
        for level in range(n_levels if t < energies.shape[0] else 0):
            for g in range(n_ladders):
                places[t, level, g] = replica[level, g]
                energies[t, level, g] = energy[replica[level, g] * n_ladders + g]
    return accepted, tried


@inner(cache=True, error_model="numpy")
def swap_levels(stream, energy, pair, betas, replica, lane_betas):
    """Try to swap levels ``pair`` and ``pair + 1`` in all ladders; return the sum of min(1, ratio).

    Parameters
    ----------
    stream : ndarray of uint64, shape (4,)
        State of the random stream, from :func:`pm_energy.kernels.random.seed_words`; advanced.
    energy : ndarray of float64, shape (n_levels * n_ladders,)
        By lane.
    pair : int
    betas : ndarray of float64, shape (n_levels,)
    replica : ndarray of int16, shape (n_levels, n_ladders)
        Overwritten.
    lane_betas : ndarray of float32, shape (n_levels * n_ladders,)
        Overwritten.
    """
    s0, s1, s2, s3 = stream
    n_ladders = replica.shape[1]
    step, total = betas[pair + 1] - betas[pair], 0.0
    for g in range(n_ladders):
        low, high = replica[pair, g], replica[pair + 1, g]
        a, b = low * n_ladders + g, high * n_ladders + g
        gain = step * (energy[b] - energy[a])  # the colder level would get the lower energy
        ratio = 1.0 if gain >= 0.0 else np.exp(gain)
        word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        if to_unit(word) < ratio:
            replica[pair, g], replica[pair + 1, g] = high, low
            lane_betas[a], lane_betas[b] = lane_betas[b], lane_betas[a]
        total += ratio
    stream[0], stream[1], stream[2], stream[3] = s0, s1, s2, s3
    return total
