"""Greedy descent: flip spins while that lowers the energy, until no single flip does."""

import numpy as np
from numba import njit

from pm_energy.kernels.gibbs_dense import dense_field
from pm_energy.kernels.gibbs_sparse import sparse_field
from pm_energy.kernels.inner import inner


@njit(cache=True, error_model="numpy")
def sparse_descent(spins, indptr, indices, coupling, bias):
    """Bring states on a graph to local minima of the energy, in place.

    Spins are visited in turn; those at no cost stay, so that the descent ends.

    Parameters
    ----------
    spins : ndarray of int8, shape (n_states, n)
        Values -1 and +1; overwritten.
    indptr, indices : ndarray of int, shapes (n + 1,) and (2m,)
        The graph in CSR form, each edge in both directions. Trusted.
    coupling : ndarray of float64, shape (2m,)
        As for :func:`pm_energy.kernels.gibbs_sparse.sparse_sweeps`.
    bias : ndarray of float64, shape (n,)

    Returns
    -------
    costs : ndarray of float64, shape (n_states, n)
        What a flip of each spin would cost at the end, in units of the log-odds: none is negative.

    Examples
    --------
    >>> import numpy as np
    >>> spins = np.array([[1, -1, 1]], dtype=np.int8)  # a chain
    >>> graph = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1])
    >>> sparse_descent(spins, *graph, np.ones(4), np.zeros(3))
    array([[1., 2., 1.]])
    >>> spins
    array([[-1, -1, -1]], dtype=int8)
    """
    costs = np.empty(spins.shape)
    for r in range(spins.shape[0]):
        state = spins[r]
        field = sparse_field(state, indptr, indices, coupling, bias)
        # costs below this are rounding: a flip back and forth would go on for ever
        least = _rounding(field)
        falling = True
        while falling:
            falling = False
            for i in range(state.size):
                if field[i] * state[i] < -least:
                    state[i] = -state[i]
                    change = 2.0 * state[i]
                    for k in range(indptr[i], indptr[i + 1]):
                        field[indices[k]] += change * coupling[k]
                    falling = True
        costs[r] = field * state
    return costs


@njit(cache=True, error_model="numpy")
def dense_descent(spins, coupling, bias):
    """Bring states of units that are all coupled to local minima of the energy, in place.

    Parameters
    ----------
    spins : ndarray of int8, shape (n_states, n)
    coupling : ndarray of float64, shape (n, n)
        Symmetric, with zero diagonal.
    bias : ndarray of float64, shape (n,)

    Returns
    -------
    costs : ndarray of float64, shape (n_states, n)

    See Also
    --------
    sparse_descent : The same on a graph.

    Examples
    --------
    >>> import numpy as np
    >>> spins = np.array([[1, -1]], dtype=np.int8)
    >>> dense_descent(spins, np.array([[0.0, 3.0], [3.0, 0.0]]), np.zeros(2)), spins
    (array([[3., 3.]]), array([[-1, -1]], dtype=int8))
    """
    costs = np.empty(spins.shape)
    for r in range(spins.shape[0]):
        state = spins[r]
        field = dense_field(state, coupling, bias)
        least = _rounding(field)
        falling = True
        while falling:
            falling = False
            for i in range(state.size):
                if field[i] * state[i] < -least:
                    state[i] = -state[i]
                    field += 2.0 * state[i] * coupling[i]
                    falling = True
        costs[r] = field * state
    return costs


@inner(cache=True)
def _rounding(field):
    return 1e-12 * np.abs(field).max() if field.size else 0.0
