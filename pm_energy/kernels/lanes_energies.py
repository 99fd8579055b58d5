"""Energies of replicas in lanes, summed in float64."""

import numpy as np

from pm_energy.kernels.lanes_graph import LANES, check_lanes
from pm_energy.kernels.lanes_kinds import sum_lanes


def lanes_energies(state, graph):
    r"""Energy of each replica, :math:`-\frac12 \sum_i b_i s_i - \frac12 \sum_{i<j} c_{ij} s_i s_j`.

    Parameters
    ----------
    state : ndarray of float32, shape (n_columns, n, 32)
        From :func:`pm_energy.kernels.lanes_graph.pack_lanes`.
    graph : LanesGraph or DenseLanes

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
    sum_lanes(energy, state, graph)
    return energy
