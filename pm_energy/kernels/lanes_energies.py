"""Energies of replicas in lanes, summed in float64."""

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.lanes_graph import LANES, check_lanes
from pm_energy.kernels.lanes_vector import fused, load, splat, store, to_doubles


def lanes_energies(state, graph):
    r"""Energy of each replica, :math:`-\frac12 \sum_i b_i s_i - \frac12 \sum_{i<j} c_{ij} s_i s_j`.

    Parameters
    ----------
    state : ndarray of float32, shape (n_columns, n, 32)
        From :func:`pm_energy.kernels.lanes_graph.pack_lanes`.
    graph : LanesGraph

    Returns
    -------
    energy : ndarray of float64, shape (32 * n_columns,)
        Of the couplings and biases as they were given, in float64.

    Raises
    ------
    ValueError
        If ``state`` has another type or shape.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.kernels.lanes_graph import lanes_graph, pack_lanes
    >>> pair = np.array([0, 1, 2]), np.array([1, 0])
    >>> graph = lanes_graph(*pair, coupling_csr=np.array([2.0, 2.0]), bias=0.0)
    >>> lanes_energies(pack_lanes(np.ones((32, 2))), graph)[:3]
    array([-1., -1., -1.])
    """
    check_lanes(state, graph.n)
    energy = np.empty(state.shape[0] * LANES)
    sum_energies(energy, state, graph)
    return energy


@njit(cache=True, error_model="numpy")
def sum_energies(energy, state, graph):
    """Overwrite ``energy``, float64 of shape (32 * n_columns,); for use in other jitted loops."""
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


@njit(forceinline=True)
def _add_bond(spins, left, right, coupling, k, s0, s1, s2, s3):
    i, j, half = left[k], right[k], uint64(LANES // 2)
    first = load(spins, i) * load(spins, j)
    return _add(coupling[k], first, load(spins, i + half) * load(spins, j + half), s0, s1, s2, s3)


@njit(forceinline=True)
def _add(weight, first, second, s0, s1, s2, s3):
    """Add ``weight`` times two vectors of float32 to four sums in float64."""
    s0 = fused(weight, to_doubles(first, False), s0)
    s1 = fused(weight, to_doubles(first, True), s1)
    s2 = fused(weight, to_doubles(second, False), s2)
    return s0, s1, s2, fused(weight, to_doubles(second, True), s3)
