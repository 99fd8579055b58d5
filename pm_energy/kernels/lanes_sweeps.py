"""Sweeps with any couplings, 16 replicas an instruction, each at a beta of its own."""

from pm_energy.kernels.lanes_draw import hot_below, seed_lanes
from pm_energy.kernels.lanes_graph import LANES, check_lanes, per_lane
from pm_energy.kernels.lanes_kinds import sweep_lanes


def lanes_sweeps(rng, state, graph, betas, n_sweeps=1, update="heat-bath"):
    r"""Resample the spins of all replicas ``n_sweeps`` times, in place.

    Parameters
    ----------
    rng : numpy.random.Generator
    state : ndarray of float32, shape (n_columns, n, 32)
        From :func:`pm_energy.kernels.lanes_graph.pack_lanes`; overwritten.
    graph : LanesGraph or DenseLanes
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
