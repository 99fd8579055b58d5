"""Single-site updates of Potts models on hypercubic lattices, neighbours by index arithmetic.

The rules are those of :mod:`pm_energy.kernels.potts`.
"""

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.axes import lattice_axes
from pm_energy.kernels.potts import (
    accumulate_counts,
    choose,
    colour_range,
    in_logs_or_exponentiate,
    weights_and_rule,
)
from pm_energy.kernels.random import next_word, seed_words, to_unit


def potts_lattice_sweeps(
    rng, states, shape, periodic, coupling, log_weight, n_sweeps=1, update="heat-bath"
):
    """Resample every site of a hyper-cubic lattice in place, with no table of neighbours.

    Parameters
    ----------
    rng : numpy.random.Generator
    states : ndarray of int8 or int16, shape (n,)
        Values 0..q-1, sites in C order of ``shape``; overwritten.
    shape : tuple of int
        Lengths of the axes, any number of them.
    periodic : bool or sequence of bool
        Whether each axis closes on itself. An axis of length 1 or 2 is the same either way,
        because a pair of sites has one bond.
    coupling : float
        Log-weight gained by each pair of equal neighbours.
    log_weight, n_sweeps, update
        As for :func:`~pm_energy.kernels.potts.potts_sweeps`.

    Returns
    -------
    changes : int

    Raises
    ------
    ValueError
        If a shape, a state, a coupling, a log-weight or ``update`` is not as above.

    Examples
    --------
    >>> import numpy as np
    >>> states = np.zeros(6, np.int8)
    >>> only_one = np.array([-np.inf, 0.0])
    >>> potts_lattice_sweeps(np.random.default_rng(0), states, (2, 3), True, 0.4, only_one)
    6
    """
    axes = lattice_axes(shape, periodic, states.size)
    weight, suwa_todo = weights_and_rule(states, log_weight, update)
    coupling, degree, q = np.float64(coupling), 2 * len(axes[0]), weight.shape[1]
    if degree >= 2 ** (64 // q):
        raise ValueError(f"{q} states in {degree // 2} dimensions: use potts_sweeps on a graph.")
    table = coupling * np.arange(degree + 1.0)
    in_logs = in_logs_or_exponentiate(coupling, degree, table, weight)
    rule = n_sweeps, suwa_todo, in_logs, colour_range(q)
    return _lattice_sweeps(seed_words(rng), states, *axes, table, weight, *rule)


@njit(cache=True, error_model="numpy")
def _lattice_sweeps(
    words, states, lengths, strides, wraps, table, weight, n_sweeps, suwa, in_logs, colours
):
    s0, s1, s2, s3 = words
    width = uint64(64 // len(colours))
    cumulative = np.empty(len(colours))
    step = uint64(weight.shape[0] > 1)
    last = lengths.size - 1
    across = lengths[last]
    near = np.empty(2 * last, np.int64)  # first sites of the neighbouring rows
    changes = 0
    for _ in range(n_sweeps):
        for start in range(0, states.size, across):
            n_near = 0
            for a in range(last):
                at = start // strides[a] % lengths[a]
                for way in (-1, 1):
                    to = (at + way) % lengths[a]
                    if wraps[a] or to == at + way:
                        near[n_near] = start + (to - at) * strides[a]
                        n_near += 1
            # Every other site, then the rest: successive updates do not wait for each other.
            for parity in range(2):
                for x in range(parity, across, 2):
                    i = uint64(start + x)
                    packed = uint64(0)
                    for k in range(n_near):
                        packed += uint64(1) << (width * uint64(states[uint64(near[k] + x)]))
                    if x > 0 or wraps[last]:
                        left = uint64(start + (x if x > 0 else across) - 1)
                        packed += uint64(1) << (width * uint64(states[left]))
                    if x < across - 1 or wraps[last]:
                        right = uint64(start + (x + 1 if x < across - 1 else 0))
                        packed += uint64(1) << (width * uint64(states[right]))
                    total = accumulate_counts(
                        cumulative, weight, i * step, table, packed, colours, in_logs
                    )
                    word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
                    new = choose(cumulative, total, to_unit(word), states[i], colours, suwa)
                    changes += new != states[i]
                    states[i] = new
    return changes
