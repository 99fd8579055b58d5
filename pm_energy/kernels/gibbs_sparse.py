"""Single-spin heat-bath sweeps on any graph (CSR), a coupling for each bond.

The log-odds of all spins are carried along and corrected at the neighbours of each spin that flips:
a visit costs one comparison, and in an anneal only one visit in ten ends in a flip.
"""

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.heat_bath import check_spins, turns_up
from pm_energy.kernels.random import next_word, seed_words

# Sweeps until the log-odds are summed afresh. Rounding errors of that many flips per neighbour stay
# near 1e-14 of the largest coupling, and the sums cost as little as 1 / 500 of the sweeps.
_REFRESH = 1_000


def sparse_sweeps(rng, spins, indptr, indices, coupling_csr, bias, order, n_sweeps=1):
    """Resample the spins of ``order``, one after another, ``n_sweeps`` times, in place.

    Parameters
    ----------
    rng : numpy.random.Generator
    spins : ndarray of int8, shape (n,)
        Values -1 and +1; overwritten.
    indptr, indices : ndarray of int, shapes (n + 1,) and (2m,)
        The graph in CSR form, each edge in both directions.
    coupling_csr : ndarray, shape (2m,)
        Change of a spin's log-odds per unit of its neighbour, equal in both directions.
    bias : ndarray, shape (n,)
        Log-odds of +1 of each spin, its neighbours left out (dimensionless); may be infinite.
    order : ndarray of int
        Sites in the order of their visits, for instance from
        :func:`pm_energy.kernels.coloring.color_order`. A site left out keeps its spin.
    n_sweeps : int

    Returns
    -------
    flips : int
        How many spins changed sign, counted in each sweep.

    Raises
    ------
    ValueError
        If an array has another type or shape, or names a site that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> spins = np.array([-1, -1, -1], dtype=np.int8)  # a chain, its first spin drawn to +1
    >>> graph = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1])
    >>> rng, coupling, bias = np.random.default_rng(0), np.full(4, 90.0), np.array([300.0, 0, 0])
    >>> sparse_sweeps(rng, spins, *graph, coupling, bias, order=np.arange(3), n_sweeps=99)
    3
    >>> spins
    array([1, 1, 1], dtype=int8)
    """
    check_spins(spins)
    n = spins.size
    indptr, indices, order = (np.ascontiguousarray(a, np.int64) for a in (indptr, indices, order))
    coupling = np.array(coupling_csr, dtype=np.float64)
    bias = np.array(bias, dtype=np.float64)
    if indptr.shape != (n + 1,) or not _grows_from_zero(indptr):
        raise ValueError(f"indptr must hold n + 1 = {n + 1} growing offsets from 0")
    if indices.shape != (indptr[-1],) or coupling.shape != indices.shape:
        raise ValueError(
            f"indices and coupling_csr must have indptr[-1] = {indptr[-1]} entries each; "
            f"got {indices.shape} and {coupling.shape}"
        )
    if bias.shape != (n,):
        raise ValueError(f"bias must have shape ({n},), got {bias.shape}")
    for name, sites in (("indices", indices), ("order", order)):
        if sites.ndim != 1 or not _are_sites(sites, n):
            raise ValueError(f"{name} must be a vector of site numbers 0..{n - 1}")
    words, flips = seed_words(rng), 0
    for done in range(0, n_sweeps, _REFRESH):
        field = sparse_field(spins, indptr, indices, coupling, bias)
        todo = min(_REFRESH, n_sweeps - done)
        flips += sparse_loop(words, spins, field, indptr, indices, coupling, order, 1.0, todo)
    return flips


@njit(cache=True)
def _grows_from_zero(offsets):
    grows = offsets[0] == 0
    for i in range(offsets.size - 1):
        grows &= offsets[i] <= offsets[i + 1]
    return grows


@njit(cache=True)
def _are_sites(sites, n):
    inside = True
    for i in sites:
        inside &= (i >= 0) & (i < n)
    return inside


@njit(cache=True, error_model="numpy")
def sparse_loop(words, spins, field, indptr, indices, coupling, order, beta, n_sweeps):
    """Sweep at inverse temperature ``beta``, in place; also for use in other jitted loops.

    Parameters
    ----------
    words : ndarray of uint64, shape (4,)
        State of the random stream, from :func:`pm_energy.kernels.random.seed_words`; advanced.
    spins, n_sweeps
        As for :func:`sparse_sweeps`.
    field : ndarray of float64, shape (n,)
        ``bias + coupling @ spins``, from :func:`sparse_field`; kept up to date.
    indptr, indices, order : ndarray of int64, C-contiguous
        Trusted: a site that is not there corrupts memory.
    coupling : ndarray of float64, shape (2m,)
        As ``field``, that of ``beta = 1``.
    beta : float

    Returns
    -------
    flips : int
    """
    # Unsigned, for a signed index is tested for Python's counting from the end: .5 ns a site.
    first, neighbors, sites = indptr.view(np.uint64), indices.view(np.uint64), order.view(np.uint64)
    s0, s1, s2, s3 = words
    flips = 0
    for _ in range(n_sweeps):
        for i in sites:
            word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
            new = np.int8(2 * np.int8(turns_up(word, beta * field[i])) - 1)
            if new != spins[i]:
                spins[i] = new
                change = 2.0 * new
                for k in range(first[i], first[i + uint64(1)]):
                    field[neighbors[k]] += change * coupling[k]
                flips += 1
    words[0], words[1], words[2], words[3] = s0, s1, s2, s3
    return flips


@njit(cache=True)
def sparse_field(spins, indptr, indices, coupling, bias):
    """Return ``bias + coupling @ spins``, float64 of shape (n,), for :func:`sparse_loop`."""
    field = np.empty(spins.size)
    for i in range(spins.size):
        total = bias[i]
        for k in range(indptr[i], indptr[i + 1]):
            total += coupling[k] * spins[indices[k]]
        field[i] = total
    return field
