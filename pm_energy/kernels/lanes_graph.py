"""Any graph, any couplings and biases, laid out for kernels that update 32 replicas at once."""

from typing import NamedTuple

import numpy as np

from pm_energy.kernels.coloring import color_order
from pm_energy.kernels.lanes_vector import empty_on_cache_lines

LANES = 32  # replicas side by side: two vectors, which share the look-up of neighbours

SITES_AT_ONCE = 8  # of the dense kernels

_DENSE = 0.3  # of all pairs are neighbours: then the dense kernels are faster
_HOT = 0.4  # change of a log-odds by a bond where the heat bath is as fast as Metropolis
_EPS = float(np.finfo(np.float32).eps)


class LanesGraph(NamedTuple):
    """What the kernels know of an energy, made by :func:`lanes_graph`; at beta = 1."""

    first: np.ndarray  # (n + 1,) where the neighbours of a site start
    neighbors: np.ndarray  # (2m,) 32 times the site: its place in a column of lanes
    coupling: np.ndarray  # (2m,) float32
    bias: np.ndarray  # (n,) float32
    order: np.ndarray  # sites in the order of their visits
    left: np.ndarray  # (m,) each bond once, 32 times the site
    right: np.ndarray
    bond_coupling: np.ndarray  # (m,) float64
    site_bias: np.ndarray  # (n,) float64
    slack: np.ndarray  # (n,) float32, bound of the rounding errors of a sum over neighbours
    hot: float  # beta below which "metropolis" is the heat bath; infinite for chains and rings

    @property
    def n(self):
        """Number of sites."""
        return self.first.size - 1


class DenseLanes(NamedTuple):
    """The same where most pairs of sites are neighbours."""

    coupling: np.ndarray  # (n / 8, n, 8) float32: [block, j, i of the block], zeros beyond n
    bias: np.ndarray  # (n,) float32
    before: np.ndarray  # (n / 4, n, 4) float64, likewise, but zeros for j >= i
    site_bias: np.ndarray  # (n or a few more,) float64, zeros beyond n
    slack: np.ndarray  # (n,) float32
    hot: float

    @property
    def n(self):
        """Number of sites."""
        return self.bias.size


def lanes_graph(indptr, indices, coupling_csr, bias, order=None):
    r"""Check a graph and lay it out for the kernels.

    Each site follows :math:`P(s_i = 1 | rest) = 1 / (1 + e^{-\beta (b_i + \sum_j c_{ij} s_j)})`, so
    that the energy is :math:`-\frac12 \sum_i b_i s_i - \frac12 \sum_{i<j} c_{ij} s_i s_j`.

    Parameters
    ----------
    indptr, indices : ndarray of int, shapes (n + 1,) and (2m,)
        The graph in CSR form, each bond in both directions.
    coupling_csr : ndarray, shape (2m,)
        Change of a spin's log-odds per unit of its neighbour at beta = 1, equal in both directions.
    bias : float or ndarray, shape (n,)
        Log-odds of +1 of each spin at beta = 1, its neighbours left out.
    order : ndarray of int, optional
        Sites in the order of their visits; a site left out keeps its spins. By default all sites,
        colour by colour.

    Returns
    -------
    LanesGraph or DenseLanes
        The latter if all sites are visited and most pairs are neighbours.

    Raises
    ------
    ValueError
        If the arrays do not fit, a number is not finite, or a bond is given in one direction only.

    Examples
    --------
    >>> import numpy as np
    >>> pair = np.array([0, 1, 2]), np.array([1, 0])
    >>> graph = lanes_graph(*pair, np.array([0.5, 0.5]), bias=0.1, order=np.array([1, 0]))
    >>> graph.n, graph.bond_coupling
    (2, array([0.5]))
    """
    indptr, indices = np.asarray(indptr), np.asarray(indices)
    coupling = np.asarray(coupling_csr, dtype=np.float64)
    n = indptr.size - 1
    if indptr.ndim != 1 or n < 1 or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise ValueError("indptr must hold n + 1 growing offsets from 0")
    if indices.shape != (indptr[-1],) or coupling.shape != indices.shape:
        raise ValueError(
            f"indices and coupling_csr must have indptr[-1] = {indptr[-1]} entries each; "
            f"got {indices.shape} and {coupling.shape}"
        )
    if np.shape(bias) not in ((), (n,)):
        raise ValueError(f"bias must be a number or {n} of them, got shape {np.shape(bias)}")
    bias = np.array(np.broadcast_to(bias, (n,)), dtype=np.float64)
    for name, numbers in (("coupling_csr", coupling), ("bias", bias)):
        if not np.isfinite(numbers).all():
            raise ValueError(f"{name} must be finite: leave a held spin out of order instead")
    _check_sites("indices", indices, n)
    rows = np.repeat(np.arange(n), np.diff(indptr))
    if (rows == indices).any():
        raise ValueError("indices must not name a site as its own neighbour")
    there = np.lexsort((coupling, indices, rows))
    back = np.lexsort((coupling, rows, indices))
    if not (
        np.array_equal(rows[there], indices[back])
        and np.array_equal(indices[there], rows[back])
        and np.array_equal(coupling[there], coupling[back])
    ):
        raise ValueError(
            "indices and coupling_csr must give each bond in both directions, equal couplings"
        )
    hot = _hot_below(coupling, np.diff(indptr).max())
    size = np.abs(bias) + np.bincount(rows, np.abs(coupling), minlength=n)
    slack = (_EPS * (np.diff(indptr) + 2 * SITES_AT_ONCE) * size).astype(np.float32)
    if order is None and indices.size > _DENSE * n * n:
        return _dense(rows, indices, coupling, bias, slack, hot)
    order = color_order(indptr, indices) if order is None else np.asarray(order)
    _check_sites("order", order, n)
    once = rows < indices
    return LanesGraph(
        np.ascontiguousarray(indptr, np.uint64),
        np.ascontiguousarray(indices * LANES, np.uint64),
        coupling.astype(np.float32),
        bias.astype(np.float32),
        np.ascontiguousarray(order, np.uint64),
        *(np.ascontiguousarray(LANES * sites[once], np.uint64) for sites in (rows, indices)),
        coupling[once],
        bias,
        slack,
        hot,
    )


def _check_sites(name, sites, n):
    if sites.ndim != 1 or (sites.size and (sites.min() < 0 or sites.max() >= n)):
        raise ValueError(f"{name} must be a vector of site numbers 0..{n - 1}")


def _dense(rows, columns, coupling, bias, slack, hot):
    n = bias.size
    width = -(-n // SITES_AT_ONCE) * SITES_AT_ONCE
    matrix = np.zeros((n, width))
    np.add.at(matrix, (rows, columns), coupling)
    return DenseLanes(
        _in_blocks(matrix, SITES_AT_ONCE, np.float32),
        bias.astype(np.float32),
        _in_blocks(np.triu(matrix, 1), 4, np.float64),
        np.pad(bias, (0, width - n)),
        slack,
        hot,
    )


def _in_blocks(matrix, size, dtype):
    """Columns in blocks, each in one piece of memory."""
    n, width = matrix.shape
    blocks = empty_on_cache_lines((width // size, n, size), dtype)
    blocks[...] = matrix.reshape(n, -1, size).swapaxes(0, 1)
    return blocks


def _hot_below(coupling, degree):
    """Metropolis would move the walls of a chain or a ring side by side for ever."""
    strength = float(np.sqrt(np.mean(coupling[coupling != 0] ** 2))) if coupling.any() else 0.0
    return _HOT / strength if strength > 0 and degree > 2 else np.inf


def pack_lanes(spins):
    """Lay spins out in lanes: 32 replicas of a site side by side.

    Parameters
    ----------
    spins : ndarray of int, shape (n_replicas, n)
        Values -1 and +1; ``n_replicas`` a multiple of 32.

    Returns
    -------
    state : ndarray of float32, shape (n_replicas / 32, n, 32)
        Starts on a cache line.

    Raises
    ------
    ValueError
        If the array has another shape or other values.

    Examples
    --------
    >>> import numpy as np
    >>> pack_lanes(np.ones((64, 5), np.int8)).shape
    (2, 5, 32)
    """
    spins = np.asarray(spins)
    if spins.ndim != 2 or spins.shape[0] == 0 or spins.shape[0] % LANES:
        raise ValueError(
            f"spins must have shape (n_replicas, n), n_replicas a multiple of {LANES}; "
            f"got {spins.shape}"
        )
    if not (np.abs(spins) == 1).all():
        raise ValueError("spins must be -1 or +1")
    n_replicas, n = spins.shape
    state = empty_on_cache_lines((n_replicas // LANES, n, LANES), np.float32)
    state[...] = spins.reshape(-1, LANES, n).transpose(0, 2, 1)
    return state


def unpack_lanes(state):
    """Turn lanes back into spins.

    Parameters
    ----------
    state : ndarray of float32, shape (n_columns, n, 32)

    Returns
    -------
    spins : ndarray of int8, shape (32 * n_columns, n)

    Examples
    --------
    >>> import numpy as np
    >>> spins = np.where(np.random.default_rng(0).random((32, 3)) < 0.5, -1, 1)
    >>> np.array_equal(unpack_lanes(pack_lanes(spins)), spins)
    True
    """
    spins = state.transpose(0, 2, 1).astype(np.int8)
    return spins.reshape(-1, state.shape[1])


def check_lanes(state, n):
    """Raise a ValueError unless ``state`` is laid out for the graph's ``n`` sites."""
    if (
        getattr(state, "dtype", None) != np.float32
        or state.ndim != 3
        or state.shape[1:] != (n, LANES)
        or len(state) == 0
        or not (state.flags.c_contiguous and state.flags.writeable)
    ):
        raise ValueError(
            f"state must be a contiguous float32 array of shape (n_columns, {n}, {LANES}); "
            "make one with pack_lanes"
        )


def per_lane(betas, n_lanes):
    """Broadcast inverse temperatures to one for each lane, float32; or raise a ValueError."""
    betas = np.asarray(betas, dtype=np.float64)
    if betas.shape not in ((), (n_lanes,)) or not ((betas >= 0) & np.isfinite(betas)).all():
        raise ValueError(
            f"betas must be one finite number >= 0, or one for each of {n_lanes} lanes; got {betas}"
        )
    return np.ascontiguousarray(np.broadcast_to(betas, (n_lanes,)), np.float32)
