r"""Sweeps of 512 replicas an instruction, every one with random bits of its own.

Neighbours that pull a spin up are counted in binary, one bit of the count to a vector. The count
says where the majority lies and how strong it is, \|h\|, h being the sum of the neighbours.

* Heat bath: a spin is drawn against the majority with probability
  :math:`1 / (1 + e^{2 \beta |h|})`; where there is none (h = 0), by a coin.
* Metropolis: a spin with the majority flips with probability :math:`e^{-2 \beta |h|}`, one against
  it, or without any, always. In a spin glass many spins are free (h = 0), and to flip them all
  finds ground states four times as often. At high temperature nearly all spins flip each time, and
  differences between them last: there the heat bath is better.

To decide :math:`u < p` in all replicas, compare the binary digits of u, drawn one plane of bits at
a time, with those of p, which each replica picks by its \|h\|: the first digit that differs
decides. Half of the undecided are decided by each plane, so that after 13 planes few of 512
replicas are left; only for them more are drawn, up to 34. Probabilities are thus exact to
:math:`2^{-34}`: no floating-point number is involved but in the table of p.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.inner import inner
from pm_energy.kernels.lanes_vector import any_bit, empty_on_cache_lines, load, splat, store
from pm_energy.kernels.multispin_graph import place_graph
from pm_energy.kernels.multispin_words import COLUMN, check_words, n_columns, per_word, to_rows
from pm_energy.kernels.random import next_word, seed_words

# Of p. The last is always 0, so that u is not less than p where all digits agree.
_DIGITS = 34
_PAIRS_AT_LEAST = 6  # of planes, after the first: fewer cost mispredicted branches
_CLASSES = 4  # of |h|: 2, 4, 6, 8 or 1, 3, 5, 7
_HOT = 0.2  # beta below which "metropolis" is the heat bath


class MultispinRates(NamedTuple):
    """How words are updated, made by :func:`multispin_rates`."""

    digits: np.ndarray  # (n_columns, 2, 34, 4, 8): see fill_rates
    heat_bath: np.ndarray  # (8 * n_columns,): ones where a word is updated by heat bath


def multispin_sweeps(rng, words, graph, betas, n_sweeps=1, update="heat-bath"):
    r"""Resample the spins of all replicas ``n_sweeps`` times, in place.

    Replicas in word w follow :math:`p(s) \propto \exp(\beta_w \sum_{ij} \sigma_{ij} s_i s_j)`.

    Parameters
    ----------
    rng : numpy.random.Generator
    words : ndarray of uint64, shape (n, n_words)
        From :func:`pm_energy.kernels.multispin_words.pack_spins`; overwritten. Fastest with a
        multiple of 8 words, 512 replicas: fewer take as long.
    graph : MultispinGraph
    betas : float or ndarray of float64, shape (n_words,)
        Inverse temperature times the strength of a bond, at least 0 (dimensionless).
    n_sweeps : int
    update : {"heat-bath", "metropolis"}
        Metropolis is the faster in the cold. Words with a beta below 0.2, and all on chains and
        rings, take the heat bath in any case.

    Raises
    ------
    ValueError
        If an array has another type or shape, or a beta is negative.

    References
    ----------
    .. [1] Jacobs & Rebbi (1981), Journal of Computational Physics 41, 203-210.
    .. [2] Isakov, Zintchenko, Ronnow & Troyer (2015), Computer Physics Communications 192, 265-271.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.kernels.multispin_graph import multispin_graph
    >>> pair = multispin_graph(np.array([0, 1, 2]), np.array([1, 0]), np.array([-1, -1]))
    >>> words = np.zeros((2, 1), np.uint64)  # 64 pairs, both spins down
    >>> multispin_sweeps(np.random.default_rng(0), words, pair, betas=20.0)
    >>> hex(words[0, 0] ^ words[1, 0])  # all pairs of opposite spins
    '0xffffffffffffffff'
    """
    check_words(words, graph.n)
    betas = per_word("betas", betas, words.shape[1])
    rows = to_rows(words)
    lanes, rates = seed_columns(rng, words.shape[1]), multispin_rates(betas, graph, update)
    sweep_rows(lanes, rows, place_graph(graph, rows), rates, n_sweeps)
    words[...] = rows[:, : words.shape[1]]


def seed_columns(rng, n_words):
    """Random streams for :func:`sweep_rows`: two a vector, for each waits for its last word.

    All bits of a word are used. The lowest of xoshiro256+ is linear in its 256 bits of state, as
    every bit of the Mersenne twister is in its own; digits of different words are compared with it,
    which is not linear. Critical energies of replicas in the lowest bits are those of the others.
    """
    n_lanes = 2 * COLUMN * n_columns(n_words)
    words = empty_on_cache_lines((4, n_lanes), np.uint64)
    words[...] = seed_words(rng, n_lanes)
    return words


def hot_below(graph, update):
    """Below which beta words are updated by heat bath: always, if ``update`` says so.

    Also on chains and rings: there a spin is free at each wall between two domains, and to flip
    them all moves the walls side by side for ever.
    """
    if update not in ("heat-bath", "metropolis"):
        raise ValueError(f"update must be 'heat-bath' or 'metropolis', got {update!r}")
    return np.inf if update == "heat-bath" or np.diff(graph.first).max() <= 2 else _HOT


def multispin_rates(betas, graph, update):
    """Probabilities of all updates, for one beta a word: what :func:`sweep_rows` needs."""
    columns = n_columns(betas.size)
    rates = MultispinRates(
        empty_on_cache_lines((columns, 2, _DIGITS, _CLASSES, COLUMN), np.uint64),
        empty_on_cache_lines((columns * COLUMN,), np.uint64),
    )
    padded = np.zeros(columns * COLUMN)
    padded[: betas.size] = betas
    fill_rates(rates, padded, hot_below(graph, update))
    return rates


@njit(cache=True)
def fill_rates(rates, betas, hot):
    """Write the binary digits of p for all words and all |h|.

    Parameters
    ----------
    rates : MultispinRates
        Overwritten. ``digits``: by vector of words; parity of the degree; digit, the first the
        largest; class of \\|h\\|: 2, 4, 6, 8 for even degrees, 1, 3, 5, 7 for odd; word of the
        vector. Words of zeros or ones.
    betas : ndarray of float64, shape (8 * n_columns,)
    hot : float
        Words with a smaller beta are updated by heat bath.
    """
    half = 2.0 ** (_DIGITS - 1)
    for word in range(betas.size):
        rates.heat_bath[word] = ~uint64(0) if betas[word] < hot else uint64(0)
    for column in range(rates.digits.shape[0]):
        for odd in range(2):
            for k in range(_CLASSES):
                field, last, number = 2 * k + 2 - odd, -1.0, uint64(0)
                for w in range(COLUMN):
                    beta = betas[column * COLUMN + w]
                    if beta != last:
                        p = np.exp(-2.0 * beta * field)
                        if beta < hot:
                            p /= 1.0 + p
                        number = uint64(2.0 * min(np.floor(p * half + 0.5), half - 1.0))
                        last = beta
                    for digit in range(_DIGITS):
                        bit = (number >> uint64(_DIGITS - 1 - digit)) & uint64(1)
                        rates.digits[column, odd, digit, k, w] = uint64(0) - bit


@njit(cache=True, error_model="numpy")
def sweep_rows(lanes, rows, graph, rates, n_sweeps):
    """Sweep, in place; also for use in other jitted loops.

    Parameters
    ----------
    lanes : ndarray of uint64, shape (4, 16 * n_columns)
        States of the random streams, from :func:`seed_columns`; advanced.
    rows : ndarray of uint64, shape (n, stride)
        From :func:`pm_energy.kernels.multispin_words.to_rows`.
    graph : MultispinGraph
        From :func:`pm_energy.kernels.multispin_graph.place_graph`. Trusted: a site that is not
        there corrupts memory.
    rates : MultispinRates
    n_sweeps : int
    """
    n_classes = 0
    for i in graph.order:
        n_classes = max(n_classes, np.int64(graph.first[i + uint64(1)] - graph.first[i] + 1) // 2)
    # One vector after the other: the working set of each is small. The number of classes is a
    # constant to the compiler, twice: a tenth is saved with up to six neighbours.
    for column in range(uint64(rates.digits.shape[0])):
        if n_classes <= 3:
            _sweep_column(3, lanes, rows, graph, rates, column, n_sweeps)
        else:
            _sweep_column(4, lanes, rows, graph, rates, column, n_sweeps)


@inner(forceinline=True)
def _sweep_column(n_classes, lanes, rows, graph, rates, column, n_sweeps):
    stride = uint64(rows.shape[1])
    states, words, table = lanes.reshape(-1), rows.reshape(-1), rates.digits.reshape(-1)
    half, width = uint64(lanes.shape[1] // 2), uint64(lanes.shape[1])
    per_parity = uint64(_DIGITS * _CLASSES * COLUMN)
    at = column * uint64(COLUMN)
    a0, b0 = load(states, at), load(states, half + at)
    a1, b1 = load(states, width + at), load(states, width + half + at)
    a2, b2 = load(states, 2 * width + at), load(states, 2 * width + half + at)
    a3, b3 = load(states, 3 * width + at), load(states, 3 * width + half + at)
    heat_bath = load(rates.heat_bath, at)
    for _ in range(n_sweeps):
        for i in graph.order:
            begin, end = graph.first[i], graph.first[i + uint64(1)]
            up, tie, low, high = majority(words, at, graph, begin, end)
            place = (uint64(2) * column + ((end - begin) & uint64(1))) * per_parity
            old = load(words, i * stride + at)
            against, a0, a1, a2, a3, b0, b1, b2, b3 = _against(
                n_classes, heat_bath, old, tie, low, high, table, place,
                a0, a1, a2, a3, b0, b1, b2, b3,
            )  # fmt: skip
            # By Metropolis, a spin against the majority flips.
            store(words, i * stride + at, up ^ (against & (heat_bath | tie | ~(old ^ up))))
    store(states, at, a0)
    store(states, half + at, b0)
    store(states, width + at, a1)
    store(states, width + half + at, b1)
    store(states, 2 * width + at, a2)
    store(states, 2 * width + half + at, b2)
    store(states, 3 * width + at, a3)
    store(states, 3 * width + half + at, b3)


@inner(forceinline=True)
def majority(words, at, graph, begin, end):
    """Where the majority of the neighbours of a site lies.

    Returns
    -------
    up, tie : vector
        Whether most neighbours pull up; whether as many pull down.
    low, high : vector
        The binary digits of the class of |h|, 0 to 3.
    """
    # The count starts so high that 8 is the first majority: then bit 3 alone says "up".
    degree = end - begin
    start = uint64(7) - (degree >> uint64(1))
    c0 = splat(uint64(0) - (start & uint64(1)))
    c1 = splat(uint64(0) - ((start >> uint64(1)) & uint64(1)))
    c2 = splat(uint64(0) - (start >> uint64(2)))
    c3 = splat(uint64(0))
    odd = degree & uint64(1)
    for k in range(begin, end - odd, uint64(2)):  # full adders
        x = load(words, graph.neighbors[k] + at) ^ graph.flips[k]
        k1 = k + uint64(1)
        y = load(words, graph.neighbors[k1] + at) ^ graph.flips[k1]
        carry = (c0 & x) | (y & (c0 | x))
        c0 = c0 ^ x ^ y
        carry2 = c1 & carry
        c1 = c1 ^ carry
        c3 = c3 | (c2 & carry2)
        c2 = c2 ^ carry2
    if odd:
        k = end - uint64(1)
        x = load(words, graph.neighbors[k] + at) ^ graph.flips[k]
        carry = c0 & x
        c0 = c0 ^ x
        carry2 = c1 & carry
        c1 = c1 ^ carry
        c3 = c3 | (c2 & carry2)
        c2 = c2 ^ carry2
        # 8, 9, .. up and 7, 6, .. down: classes 0, 1, ..
        return c3, splat(uint64(0)), ~(c0 ^ c3), ~(c1 ^ c3)
    # 8, 9, .. up; 7 tie; 6, 5, .. down
    return c3, c0 & c1 & c2, c0, (c3 & c1) | ~(c3 | (c2 & (c0 | c1)))


@inner(forceinline=True)
def _against(
    n_classes, heat_bath, old, tie, low, high, table, place, a0, a1, a2, a3, b0, b1, b2, b3
):
    """Whether u < p, in each replica, or the new spin where there is a tie; and the streams."""
    class0, class1, class2, class3 = ~(low | high), low & ~high, high & ~low, low & high
    r, a0, a1, a2, a3 = next_word(a0, a1, a2, a3)
    d = _digit(n_classes, class0, class1, class2, class3, table, place)
    free = (heat_bath & r) | ~(heat_bath | old)
    less, open_ = (tie & free) | (d & ~tie), ~(tie | (r ^ d))
    step = uint64(_CLASSES * COLUMN)
    end = place + uint64(_DIGITS) * step
    place += step
    for _ in range(_PAIRS_AT_LEAST):
        r, b0, b1, b2, b3 = next_word(b0, b1, b2, b3)
        d = _digit(n_classes, class0, class1, class2, class3, table, place)
        less, open_ = (open_ & d) | (less & ~open_), open_ & ~(r ^ d)
        place += step
        r, a0, a1, a2, a3 = next_word(a0, a1, a2, a3)
        d = _digit(n_classes, class0, class1, class2, class3, table, place)
        less, open_ = (open_ & d) | (less & ~open_), open_ & ~(r ^ d)
        place += step
    if any_bit(open_):
        while any_bit(open_) and place < end:
            r, a0, a1, a2, a3 = next_word(a0, a1, a2, a3)
            d = _digit(n_classes, class0, class1, class2, class3, table, place)
            less, open_ = (open_ & d) | (less & ~open_), open_ & ~(r ^ d)
            place += step
    return less, a0, a1, a2, a3, b0, b1, b2, b3


@inner(forceinline=True)
def _digit(n_classes, class0, class1, class2, class3, table, place):
    """The next digit of p, that of its own class in each replica."""
    digit = (class0 & load(table, place)) | (class1 & load(table, place + uint64(COLUMN)))
    if n_classes > 2:
        digit = digit | (class2 & load(table, place + uint64(2 * COLUMN)))
    if n_classes > 3:
        digit = digit | (class3 & load(table, place + uint64(3 * COLUMN)))
    return digit
