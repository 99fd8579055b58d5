"""Which kernel does what for which layout of couplings; in Python and in jitted loops alike."""

from numba.extending import overload

from pm_energy.kernels.lanes_dense import descend_dense, sum_dense, sweep_dense
from pm_energy.kernels.lanes_graph import DenseLanes
from pm_energy.kernels.lanes_sparse import descend_sparse, sum_sparse, sweep_sparse


def sweep_lanes(words, state, graph, betas, hot, n_sweeps):
    """Sweep over all replicas, in place.

    Parameters
    ----------
    words : ndarray of uint64, shape (n_columns, 2, 4, 8)
        States of the random streams, from :func:`pm_energy.kernels.lanes_draw.seed_lanes`;
        advanced.
    state : ndarray of float32, shape (n_columns, n, 32)
    graph : LanesGraph or DenseLanes
        Trusted: a site that is not there corrupts memory.
    betas : ndarray of float32, shape (32 * n_columns,)
    hot : float32
        From :func:`pm_energy.kernels.lanes_draw.hot_below`.
    n_sweeps : int
    """
    kernel = sweep_dense if isinstance(graph, DenseLanes) else sweep_sparse
    kernel(words, state, graph, betas, hot, n_sweeps)


def sum_lanes(energy, state, graph):
    """Overwrite ``energy``, float64 of shape (32 * n_columns,), by sums in float64."""
    kernel = sum_dense if isinstance(graph, DenseLanes) else sum_sparse
    kernel(energy, state, graph)


def descend_lanes(state, graph):
    """Flip spins against their fields until none is left; return the number of sweeps."""
    kernel = descend_dense if isinstance(graph, DenseLanes) else descend_sparse
    return kernel(state, graph)


@overload(sweep_lanes)
def _sweep_compiled(words, state, graph, betas, hot, n_sweeps):
    kernel = sweep_dense if graph.instance_class is DenseLanes else sweep_sparse

    def compiled(words, state, graph, betas, hot, n_sweeps):
        kernel(words, state, graph, betas, hot, n_sweeps)

    return compiled


@overload(sum_lanes)
def _sum_compiled(energy, state, graph):
    kernel = sum_dense if graph.instance_class is DenseLanes else sum_sparse

    def compiled(energy, state, graph):
        kernel(energy, state, graph)

    return compiled
