r"""Sweeps with any couplings, 16 replicas an instruction, each at a beta of its own.

* Heat bath: a spin with log-odds z takes the less likely value with probability
  :math:`1 / (1 + e^{|z|})`.
* Metropolis: a spin of the likelier value flips with probability :math:`e^{-|z|}`, one of the other
  always. Anneals end as low with two thirds of the sweeps. At high temperature nearly all spins
  flip each time, and differences between them last: there the heat bath is better.

With a 32-bit uniform t, ``t + t e^|z| - 1``, or ``t e^|z| - 1``, is negative with that probability:
the signs of that number and of z together are the sign of the spin, with no comparison. All in
float32: probabilities have a relative error of some 1e-7 (1 + \|z\|), and no spin with one below
2^-33 is ever drawn against its log-odds.
"""

import numpy as np
from numba import float32, njit, uint32, uint64

from pm_energy.kernels.lanes_graph import LANES, check_lanes, per_lane
from pm_energy.kernels.lanes_vector import (
    bits,
    empty_on_cache_lines,
    floats_of_bits,
    fused,
    load,
    smaller,
    splat,
    store,
    to_floats,
)
from pm_energy.kernels.random import next_word, seed_words

_WORDS = 8  # 64-bit words of a vector
SIGN, _ONE = 0x80000000, 0x3F800000  # of a float32
_LOG2_E = 1.4426950408889634
_MAX_POWER = 60.0  # 2^-60 is never drawn
# Adding it rounds to a whole number, which then is the low bits.
_ROUND = 12582912.0


def lanes_sweeps(rng, state, graph, betas, n_sweeps=1, update="heat-bath"):
    r"""Resample the spins of all replicas ``n_sweeps`` times, in place.

    Parameters
    ----------
    rng : numpy.random.Generator
    state : ndarray of float32, shape (n_columns, n, 32)
        From :func:`pm_energy.kernels.lanes_graph.pack_lanes`; overwritten.
    graph : LanesGraph
    betas : float or ndarray, shape (32 * n_columns,)
        Inverse temperature of each replica, at least 0 (dimensionless).
    n_sweeps : int
    update : {"heat-bath", "metropolis"}
        Metropolis is the faster in the cold. Replicas with a beta below ``graph.hot``, and all on
        chains and rings, take the heat bath in any case.

    Raises
    ------
    ValueError
        If an array has another type or shape, or a beta is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.kernels.lanes_graph import lanes_graph, pack_lanes, unpack_lanes
    >>> pair = np.array([0, 1, 2]), np.array([1, 0])
    >>> graph = lanes_graph(*pair, coupling_csr=np.array([-9.0, -9.0]), bias=np.array([9.0, 0]))
    >>> state = pack_lanes(-np.ones((32, 2), np.int8))
    >>> lanes_sweeps(np.random.default_rng(0), state, graph, betas=10.0, n_sweeps=9)
    >>> unpack_lanes(state)[3]
    array([ 1, -1], dtype=int8)
    """
    check_lanes(state, graph.n)
    betas = per_lane(betas, len(state) * LANES)
    hot = hot_below(graph, update)
    sweep_lanes(seed_lanes(rng, len(state)), state, graph, betas, hot, n_sweeps)


def hot_below(graph, update):
    """Below which beta replicas are updated by heat bath."""
    if update not in ("heat-bath", "metropolis"):
        raise ValueError(f"update must be 'heat-bath' or 'metropolis', got {update!r}")
    return np.float32(np.inf if update == "heat-bath" else graph.hot)


def seed_lanes(rng, n_columns):
    """Random streams for :func:`sweep_lanes`."""
    words = empty_on_cache_lines((n_columns, 2, 4, _WORDS), np.uint64)
    words[...] = (
        seed_words(rng, words.size // 4).reshape(4, n_columns, 2, _WORDS).transpose(1, 2, 0, 3)
    )
    return words


@njit(cache=True, error_model="numpy")
def sweep_lanes(words, state, graph, betas, hot, n_sweeps):
    """Sweep, in place; also for use in other jitted loops.

    Parameters
    ----------
    words : ndarray of uint64, shape (n_columns, 2, 4, 8)
        States of the random streams, from :func:`seed_lanes`; advanced.
    state : ndarray of float32, shape (n_columns, n, 32)
    graph : LanesGraph
        Trusted: a site that is not there corrupts memory.
    betas : ndarray of float32, shape (32 * n_columns,)
    hot : float32
        From :func:`hot_below`.
    n_sweeps : int
    """
    streams, first, order = words.reshape(-1), graph.first, graph.order
    neighbors, coupling, bias = graph.neighbors, graph.coupling, graph.bias
    half, word = uint64(LANES // 2), uint64(_WORDS)
    for column in range(uint64(state.shape[0])):
        spins = state[column].reshape(-1)
        scale_a = load(betas, column * uint64(LANES))
        scale_b = load(betas, column * uint64(LANES) + half)
        heat_a, heat_b = _is_below(scale_a, hot), _is_below(scale_b, hot)
        scale_a, scale_b = scale_a * float32(_LOG2_E), scale_b * float32(_LOG2_E)
        at = column * uint64(8 * _WORDS)
        a0, a1 = load(streams, at), load(streams, at + word)
        a2, a3 = load(streams, at + 2 * word), load(streams, at + 3 * word)
        b0, b1 = load(streams, at + 4 * word), load(streams, at + 5 * word)
        b2, b3 = load(streams, at + 6 * word), load(streams, at + 7 * word)
        for _ in range(n_sweeps):
            for i in order:
                field_a = field_b = splat(bias[i])
                for k in range(first[i], first[i + uint64(1)]):
                    field_a, field_b = add_neighbor(spins, neighbors, coupling, k, field_a, field_b)
                place = i * uint64(LANES)
                old_a, old_b = load(spins, place), load(spins, place + half)
                r, a0, a1, a2, a3 = next_word(a0, a1, a2, a3)
                store(spins, place, _draw(bits(r), scale_a * field_a, old_a, heat_a))
                r, b0, b1, b2, b3 = next_word(b0, b1, b2, b3)
                store(spins, place + half, _draw(bits(r), scale_b * field_b, old_b, heat_b))
        store(streams, at, a0)
        store(streams, at + word, a1)
        store(streams, at + 2 * word, a2)
        store(streams, at + 3 * word, a3)
        store(streams, at + 4 * word, b0)
        store(streams, at + 5 * word, b1)
        store(streams, at + 6 * word, b2)
        store(streams, at + 7 * word, b3)


# The loops over neighbours stand in the callers: in a function with a loop, each call would count
# the references of its arrays, at the price of the whole update.


@njit(forceinline=True)
def add_neighbor(spins, neighbors, coupling, k, field_a, field_b):
    """Add what neighbour k contributes to the log-odds of both vectors of lanes."""
    place, strength = neighbors[k], coupling[k]
    field_a = fused(strength, load(spins, place), field_a)
    return field_a, fused(strength, load(spins, place + uint64(LANES // 2)), field_b)


@njit(forceinline=True)
def _is_below(x, limit):
    """Words of ones where x < limit, of zeros elsewhere."""
    return splat(uint32(0)) - (bits(x - limit) >> uint32(31))


@njit(forceinline=True)
def _draw(random, z, old, heat_bath):
    """Spins with log-odds ``z * log(2)``, from 16 random words of 32 bits."""
    t = fused(to_floats(random), splat(float32(2.0**-32)), splat(float32(2.0**-33)))
    power = smaller(floats_of_bits(bits(z) & uint32(~SIGN)), splat(float32(_MAX_POWER)))
    one = floats_of_bits(heat_bath & uint32(_ONE))  # 0 for Metropolis
    against = bits(fused(t, _exp2(power), fused(t, one, splat(float32(-1)))))
    against = against & (heat_bath | ~(bits(old) ^ bits(z)))
    return floats_of_bits(((bits(z) ^ against) & uint32(SIGN)) | uint32(_ONE))


@njit(forceinline=True)
def _exp2(x):
    """2 to the power of 0 <= x <= 60, relative error 1.5e-7.

    The polynomial is the minimax one of 2^r on \\|r\\| <= 1/2.
    """
    whole = x + float32(_ROUND)
    r = x - (whole - float32(_ROUND))
    y = fused(splat(float32(1.3264727e-3)), r, splat(float32(9.6715130e-3)))
    y = fused(y, r, splat(float32(5.5507336e-2)))
    y = fused(y, r, splat(float32(2.4022242e-1)))
    y = fused(y, r, splat(float32(6.9314700e-1)))
    y = fused(y, r, splat(float32(1)))
    return floats_of_bits(bits(y) + (bits(whole) << uint32(23)))
