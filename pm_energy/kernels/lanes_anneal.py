"""Simulated annealing of replicas in lanes, and descent to the local minima at its end."""

import numpy as np
from numba import njit

from pm_energy.kernels.lanes_draw import hot_below, seed_lanes
from pm_energy.kernels.lanes_energies import lanes_energies
from pm_energy.kernels.lanes_graph import LANES, check_lanes
from pm_energy.kernels.lanes_kinds import descend_lanes, sweep_lanes


def lanes_anneal(rng, state, graph, betas, descend=True):
    """Sweep once by Metropolis at each beta of a schedule, then descend to local minima; in place.

    Parameters
    ----------
    rng : numpy.random.Generator
    state : ndarray of float32, shape (n_columns, n, 32)
        From :func:`pm_energy.kernels.lanes_graph.pack_lanes`; overwritten.
    graph : LanesGraph or DenseLanes
    betas : ndarray, shape (n_sweeps,) or (n_sweeps, 32 * n_columns)
        Inverse temperatures (dimensionless), for all replicas or for each.
    descend : bool
        Whether to end by :func:`lanes_descent`.

    Returns
    -------
    energy : ndarray of float64, shape (32 * n_columns,)
        Of the final states, see :func:`pm_energy.kernels.lanes_energies.lanes_energies`.

    Raises
    ------
    ValueError
        If an array has another type or shape, or a beta is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.kernels.lanes_graph import lanes_graph, pack_lanes
    >>> i = np.arange(20)
    >>> ring = np.stack([(i - 1) % 20, (i + 1) % 20], axis=1)
    >>> graph = lanes_graph(2 * np.arange(21), ring.ravel(), np.full(40, 2.0), bias=0.5)
    >>> rng = np.random.default_rng(0)
    >>> state = pack_lanes(np.where(rng.random((32, 20)) < 0.5, -1, 1))
    >>> lanes_anneal(rng, state, graph, np.linspace(0.1, 3, 500)).min()
    np.float64(-25.0)
    """
    check_lanes(state, graph.n)
    betas = np.asarray(betas, dtype=np.float64)
    n_lanes = len(state) * LANES
    if betas.ndim not in (1, 2) or (betas.ndim == 2 and betas.shape[1] != n_lanes):
        raise ValueError(
            f"betas must have shape (n_sweeps,) or (n_sweeps, {n_lanes}); got {betas.shape}"
        )
    if not ((betas >= 0) & np.isfinite(betas)).all():
        raise ValueError("betas must be finite and at least 0")
    schedule = np.empty((len(betas), n_lanes), np.float32)
    schedule[...] = betas.reshape(len(betas), -1)
    hot = hot_below(graph, "metropolis")
    _anneal(seed_lanes(rng, len(state)), state, graph, schedule, hot)
    if descend:
        lanes_descent(state, graph)
    return lanes_energies(state, graph)


def lanes_descent(state, graph):
    """Flip spins that lower the energy, site after site, until no replica has any; in place.

    A spin whose log-odds are zero within the rounding errors of their sum stays.

    Parameters
    ----------
    state : ndarray of float32, shape (n_columns, n, 32)
        Overwritten.
    graph : LanesGraph or DenseLanes

    Returns
    -------
    n_sweeps : int
        How often all sites were visited, in the column that needed most.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.kernels.lanes_graph import lanes_graph, pack_lanes, unpack_lanes
    >>> chain = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1])
    >>> graph = lanes_graph(*chain, coupling_csr=np.ones(4), bias=np.array([0, -3, 0]))
    >>> state = pack_lanes(np.ones((32, 3)))
    >>> lanes_descent(state, graph), unpack_lanes(state)[0]
    (3, array([-1, -1, -1], dtype=int8))
    """
    check_lanes(state, graph.n)
    return descend_lanes(state, graph)


@njit(cache=True)
def _anneal(words, state, graph, schedule, hot):
    for betas in schedule:
        sweep_lanes(words, state, graph, betas, hot, 1)
