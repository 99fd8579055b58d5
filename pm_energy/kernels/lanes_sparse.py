"""Kernels of replicas in lanes for sparse couplings: each site looks up its neighbours.

The loops over neighbours stand in the kernels themselves: in a function with a loop, each call
would count the references of its arrays, at the price of the whole update.
"""

import numpy as np
from numba import float32, njit, uint32, uint64

from pm_energy.kernels.inner import inner
from pm_energy.kernels.lanes_draw import LOG2_E, SIGN, WORDS, draw, is_below
from pm_energy.kernels.lanes_graph import LANES
from pm_energy.kernels.lanes_vector import (
    any_bit,
    bits,
    floats_of_bits,
    fused,
    load,
    splat,
    store,
    to_doubles,
    words,
)
from pm_energy.kernels.random import next_word


@njit(cache=True, error_model="numpy")
def sweep_sparse(random_words, state, graph, betas, hot, n_sweeps):
    """Sweep, in place; also for use in other jitted loops.

    Parameters
    ----------
    random_words : ndarray of uint64, shape (n_columns, 2, 4, 8)
        States of the random streams, from
        :func:`pm_energy.kernels.lanes_draw.seed_lanes`; advanced.
    state : ndarray of float32, shape (n_columns, n, 32)
    graph : LanesGraph
        Trusted: a site that is not there corrupts memory.
    betas : ndarray of float32, shape (32 * n_columns,)
    hot : float32
        From :func:`pm_energy.kernels.lanes_draw.hot_below`.
    n_sweeps : int
    """
    streams, first, order = random_words.reshape(-1), graph.first, graph.order
    neighbors, coupling, bias = graph.neighbors, graph.coupling, graph.bias
    half, word = uint64(LANES // 2), uint64(WORDS)
    for column in range(uint64(state.shape[0])):
        spins = state[column].reshape(-1)
        scale_a = load(betas, column * uint64(LANES))
        scale_b = load(betas, column * uint64(LANES) + half)
        heat_a, heat_b = is_below(scale_a, hot), is_below(scale_b, hot)
        scale_a, scale_b = scale_a * float32(LOG2_E), scale_b * float32(LOG2_E)
        at = column * uint64(8 * WORDS)
        a0, a1 = load(streams, at), load(streams, at + word)
        a2, a3 = load(streams, at + 2 * word), load(streams, at + 3 * word)
        b0, b1 = load(streams, at + 4 * word), load(streams, at + 5 * word)
        b2, b3 = load(streams, at + 6 * word), load(streams, at + 7 * word)
        for _ in range(n_sweeps):
            for i in order:
                field_a = field_b = splat(bias[i])
                for k in range(first[i], first[i + uint64(1)]):
                    field_a, field_b = _add_neighbor(
                        spins, neighbors, coupling, k, field_a, field_b
                    )
                place = i * uint64(LANES)
                old_a, old_b = load(spins, place), load(spins, place + half)
                r, a0, a1, a2, a3 = next_word(a0, a1, a2, a3)
                store(spins, place, draw(bits(r), scale_a * field_a, old_a, heat_a))
                r, b0, b1, b2, b3 = next_word(b0, b1, b2, b3)
                store(spins, place + half, draw(bits(r), scale_b * field_b, old_b, heat_b))
        store(streams, at, a0)
        store(streams, at + word, a1)
        store(streams, at + 2 * word, a2)
        store(streams, at + 3 * word, a3)
        store(streams, at + 4 * word, b0)
        store(streams, at + 5 * word, b1)
        store(streams, at + 6 * word, b2)
        store(streams, at + 7 * word, b3)


@inner(forceinline=True)
def _add_neighbor(spins, neighbors, coupling, k, field_a, field_b):
    """Add what neighbour k contributes to the log-odds of both vectors of lanes."""
    place, strength = neighbors[k], coupling[k]
    field_a = fused(strength, load(spins, place), field_a)
    return field_a, fused(strength, load(spins, place + uint64(LANES // 2)), field_b)


@njit(cache=True, error_model="numpy")
def sum_sparse(energy, state, graph):
    """Overwrite ``energy``, float64 of shape (32 * n_columns,), in float64 throughout."""
    left, right, coupling = graph.left, graph.right, graph.bond_coupling
    bias = graph.site_bias
    biased = np.any(bias != 0.0)
    for column in range(state.shape[0]):
        spins = state[column].reshape(-1)
        # Two sums for each vector: a sum waits for its last term.
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = splat(0.0)
        for k in range(uint64(1), uint64(coupling.size), uint64(2)):
            before = k - uint64(1)
            a0, a1, a2, a3 = _add_bond(spins, left, right, coupling, before, a0, a1, a2, a3)
            b0, b1, b2, b3 = _add_bond(spins, left, right, coupling, k, b0, b1, b2, b3)
        if coupling.size % 2:
            last = uint64(coupling.size - 1)
            a0, a1, a2, a3 = _add_bond(spins, left, right, coupling, last, a0, a1, a2, a3)
        if biased:
            for i in range(uint64(bias.size)):
                place = i * uint64(LANES)
                first, second = load(spins, place), load(spins, place + uint64(LANES // 2))
                b0, b1, b2, b3 = _add(bias[i], first, second, b0, b1, b2, b3)
        place = column * LANES
        store(energy, place, (a0 + b0) * -0.5)
        store(energy, place + 8, (a1 + b1) * -0.5)
        store(energy, place + 16, (a2 + b2) * -0.5)
        store(energy, place + 24, (a3 + b3) * -0.5)


@inner(forceinline=True)
def _add_bond(spins, left, right, coupling, k, s0, s1, s2, s3):
    i, j, half = left[k], right[k], uint64(LANES // 2)
    first = load(spins, i) * load(spins, j)
    return _add(coupling[k], first, load(spins, i + half) * load(spins, j + half), s0, s1, s2, s3)


@inner(forceinline=True)
def _add(weight, first, second, s0, s1, s2, s3):
    """Add ``weight`` times two vectors of float32 to four sums in float64."""
    s0 = fused(weight, to_doubles(first, False), s0)
    s1 = fused(weight, to_doubles(first, True), s1)
    s2 = fused(weight, to_doubles(second, False), s2)
    return s0, s1, s2, fused(weight, to_doubles(second, True), s3)


@njit(cache=True, error_model="numpy")
def descend_sparse(state, graph):
    """Flip spins against their fields until none is left; return the number of sweeps."""
    first, order, slack = graph.first, graph.order, graph.slack
    neighbors, coupling, bias = graph.neighbors, graph.coupling, graph.bias
    half = uint64(LANES // 2)
    most = 0
    for column in range(state.shape[0]):
        spins = state[column].reshape(-1)
        n_sweeps, moving = 0, True
        while moving:  # each flip lowers an energy by more than rounding can hide: it ends
            changed = words(splat(float32(0)))
            n_sweeps += 1
            for i in order:
                field_a = field_b = splat(bias[i])
                for k in range(first[i], first[i + uint64(1)]):
                    field_a, field_b = _add_neighbor(
                        spins, neighbors, coupling, k, field_a, field_b
                    )
                place = i * uint64(LANES)
                old_a, old_b = load(spins, place), load(spins, place + half)
                # The sign of this sum is set where the field is against the spin, beyond slack.
                turn_a = bits(old_a * field_a + slack[i]) & uint32(SIGN)
                turn_b = bits(old_b * field_b + slack[i]) & uint32(SIGN)
                store(spins, place, floats_of_bits(bits(old_a) ^ turn_a))
                store(spins, place + half, floats_of_bits(bits(old_b) ^ turn_b))
                changed = changed | words(turn_a) | words(turn_b)
            moving = any_bit(changed)
        most = max(most, n_sweeps)
    return most
