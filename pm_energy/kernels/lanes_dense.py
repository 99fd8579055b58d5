"""Kernels of replicas in lanes where nearly all sites are neighbours.

Eight sites at a time: what all others contribute to their log-odds is summed in sixteen vectors, so
that a spin, once loaded, is used eight times; then one site after the other is drawn, and its
change passed on to those of the eight that follow. The cost of a visit is the same whether a spin
flips or not.
"""

import numpy as np
from numba import float32, njit, uint32, uint64

from pm_energy.kernels.inner import inner
from pm_energy.kernels.lanes_draw import LOG2_E, SIGN, WORDS, draw, is_below
from pm_energy.kernels.lanes_graph import LANES, SITES_AT_ONCE
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

_HALF = LANES // 2


@njit(cache=True, error_model="numpy")
def sweep_dense(random_words, state, graph, betas, hot, n_sweeps):
    """Sweep over all sites in turn; as :func:`pm_energy.kernels.lanes_kinds.sweep_lanes`."""
    streams, bias, coupling = random_words.reshape(-1), graph.bias, graph.coupling.reshape(-1)
    n = uint64(bias.size)
    half, word = uint64(_HALF), uint64(WORDS)
    fields = np.empty(SITES_AT_ONCE * LANES, np.float32)
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
            for start in range(uint64(0), n, uint64(SITES_AT_ONCE)):
                _sum_fields(fields, spins, coupling, n, start)
                for k in range(min(uint64(SITES_AT_ONCE), n - start)):
                    i, at_field = start + k, k * uint64(LANES)
                    field_a = load(fields, at_field) + bias[i]
                    field_b = load(fields, at_field + half) + bias[i]
                    place = i * uint64(LANES)
                    old_a, old_b = load(spins, place), load(spins, place + half)
                    r, a0, a1, a2, a3 = next_word(a0, a1, a2, a3)
                    new_a = draw(bits(r), scale_a * field_a, old_a, heat_a)
                    r, b0, b1, b2, b3 = next_word(b0, b1, b2, b3)
                    new_b = draw(bits(r), scale_b * field_b, old_b, heat_b)
                    store(spins, place, new_a)
                    store(spins, place + half, new_b)
                    own = start * n + i * uint64(SITES_AT_ONCE)
                    _pass_on(fields, coupling, own, k, new_a - old_a, new_b - old_b)
        store(streams, at, a0)
        store(streams, at + word, a1)
        store(streams, at + 2 * word, a2)
        store(streams, at + 3 * word, a3)
        store(streams, at + 4 * word, b0)
        store(streams, at + 5 * word, b1)
        store(streams, at + 6 * word, b2)
        store(streams, at + 7 * word, b3)


@inner(cache=True, error_model="numpy")
def _sum_fields(fields, spins, coupling, n, start):
    """Set ``fields`` to what all sites contribute to those from ``start`` on."""
    zero = splat(float32(0))
    first = second = (zero, zero, zero, zero, zero, zero, zero, zero)
    for j in range(n):
        at, place = start * n + j * uint64(SITES_AT_ONCE), j * uint64(LANES)
        first = _add_site(coupling, at, load(spins, place), first)
        second = _add_site(coupling, at, load(spins, place + uint64(_HALF)), second)
    _store_sums(fields, uint64(0), first)
    _store_sums(fields, uint64(_HALF), second)


@inner(forceinline=True)
def _add_site(coupling, at, spin, sums):
    s0, s1, s2, s3, s4, s5, s6, s7 = sums
    return (
        fused(coupling[at], spin, s0),
        fused(coupling[at + uint64(1)], spin, s1),
        fused(coupling[at + uint64(2)], spin, s2),
        fused(coupling[at + uint64(3)], spin, s3),
        fused(coupling[at + uint64(4)], spin, s4),
        fused(coupling[at + uint64(5)], spin, s5),
        fused(coupling[at + uint64(6)], spin, s6),
        fused(coupling[at + uint64(7)], spin, s7),
    )


@inner(forceinline=True)
def _store_sums(fields, at, sums):
    s0, s1, s2, s3, s4, s5, s6, s7 = sums
    store(fields, at, s0)
    store(fields, at + uint64(LANES), s1)
    store(fields, at + uint64(2 * LANES), s2)
    store(fields, at + uint64(3 * LANES), s3)
    store(fields, at + uint64(4 * LANES), s4)
    store(fields, at + uint64(5 * LANES), s5)
    store(fields, at + uint64(6 * LANES), s6)
    store(fields, at + uint64(7 * LANES), s7)


@inner(cache=True, error_model="numpy")
def _pass_on(fields, coupling, at, k, change_a, change_b):
    """Correct the fields after the k-th for the change of the k-th spin."""
    for other in range(k + uint64(1), uint64(SITES_AT_ONCE)):
        place, strength = other * uint64(LANES), coupling[at + other]
        store(fields, place, fused(strength, change_a, load(fields, place)))
        place += uint64(_HALF)
        store(fields, place, fused(strength, change_b, load(fields, place)))


@njit(cache=True, error_model="numpy")
def sum_dense(energy, state, graph):
    """Overwrite ``energy``, float64 of shape (32 * n_columns,), in float64 throughout.

    Four sites at a time: each needs the sum over those before it only.
    """
    coupling, bias = graph.before.reshape(-1), graph.site_bias
    n = uint64(graph.bias.size)
    last = n - uint64(1)
    for column in range(state.shape[0]):
        spins = state[column].reshape(-1)
        for part in range(2):
            half = uint64(part * _HALF)
            low = high = splat(0.0)
            for start in range(uint64(0), n, uint64(4)):
                zero = splat(0.0)
                sums = (zero, zero, zero, zero, zero, zero, zero, zero)
                for j in range(min(start + uint64(4), n)):
                    spin = load(spins, j * uint64(LANES) + half)
                    sums = _add_doubles(coupling, start * n + j * uint64(4), spin, sums)
                a0, b0, a1, b1, a2, b2, a3, b3 = sums
                low, high = _times_spin(spins, bias, start, last, half, a0, b0, low, high)
                low, high = _times_spin(
                    spins, bias, start + uint64(1), last, half, a1, b1, low, high
                )
                low, high = _times_spin(
                    spins, bias, start + uint64(2), last, half, a2, b2, low, high
                )
                low, high = _times_spin(
                    spins, bias, start + uint64(3), last, half, a3, b3, low, high
                )
            place = column * LANES + part * _HALF
            store(energy, place, low * -0.5)
            store(energy, place + 8, high * -0.5)


@inner(forceinline=True)
def _add_doubles(coupling, at, spin, sums):
    a0, b0, a1, b1, a2, b2, a3, b3 = sums
    low, high = to_doubles(spin, False), to_doubles(spin, True)
    c0, c1 = coupling[at], coupling[at + uint64(1)]
    c2, c3 = coupling[at + uint64(2)], coupling[at + uint64(3)]
    return (
        fused(c0, low, a0),
        fused(c0, high, b0),
        fused(c1, low, a1),
        fused(c1, high, b1),
        fused(c2, low, a2),
        fused(c2, high, b2),
        fused(c3, low, a3),
        fused(c3, high, b3),
    )


@inner(forceinline=True)
def _times_spin(spins, bias, i, last, half, a, b, low, high):
    """Add the spins of site i times their fields to the sums; the fields beyond the last are 0."""
    spin = load(spins, min(i, last) * uint64(LANES) + half)
    low = fused(to_doubles(spin, False), a + bias[i], low)
    return low, fused(to_doubles(spin, True), b + bias[i], high)


@njit(cache=True, error_model="numpy")
def descend_dense(state, graph):
    """Flip spins against their fields until none is left; return the number of sweeps."""
    coupling, bias, slack = graph.coupling.reshape(-1), graph.bias, graph.slack
    n, half = uint64(bias.size), uint64(_HALF)
    fields = np.empty(SITES_AT_ONCE * LANES, np.float32)
    most = 0
    for column in range(state.shape[0]):
        spins = state[column].reshape(-1)
        n_sweeps, moving = 0, True
        while moving:  # each flip lowers an energy by more than rounding can hide: it ends
            changed = words(splat(float32(0)))
            n_sweeps += 1
            for start in range(uint64(0), n, uint64(SITES_AT_ONCE)):
                _sum_fields(fields, spins, coupling, n, start)
                for k in range(min(uint64(SITES_AT_ONCE), n - start)):
                    i, at_field = start + k, k * uint64(LANES)
                    place = i * uint64(LANES)
                    old_a, old_b = load(spins, place), load(spins, place + half)
                    field_a = load(fields, at_field) + bias[i]
                    field_b = load(fields, at_field + half) + bias[i]
                    # The sign of this sum is set where the field is against the spin, beyond slack.
                    turn_a = bits(old_a * field_a + slack[i]) & uint32(SIGN)
                    turn_b = bits(old_b * field_b + slack[i]) & uint32(SIGN)
                    new_a = floats_of_bits(bits(old_a) ^ turn_a)
                    new_b = floats_of_bits(bits(old_b) ^ turn_b)
                    store(spins, place, new_a)
                    store(spins, place + half, new_b)
                    own = start * n + i * uint64(SITES_AT_ONCE)
                    _pass_on(fields, coupling, own, k, new_a - old_a, new_b - old_b)
                    changed = changed | words(turn_a) | words(turn_b)
            moving = any_bit(changed)
        most = max(most, n_sweeps)
    return most
