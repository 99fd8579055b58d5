"""Moments of spins with any pair couplings by adding up all states, in two halves.

With the states of half of the units in rows and of the other half in columns, the couplings within
a half are a vector and those between the halves a product of three matrices: 2^n states cost as
many exponentials and little else.
"""

import numpy as np

LIMIT = 20  # units: 8 MB of probabilities


def spin_states(n):
    """All states of n spins, float64 of shape (2**n, n), the first unit the slowest."""
    numbers = np.arange(2**n)[:, None]
    return 2.0 * (numbers >> np.arange(n - 1, -1, -1) & 1) - 1


def enumerate_spins(coupling, field):
    r"""Log Z, means and mean products of spins with ``E = - s' J s / 2 - h' s``.

    Parameters
    ----------
    coupling : ndarray of float64, shape (n, n)
        Symmetric, with a zero diagonal.
    field : ndarray of float64, shape (n,)

    Returns
    -------
    log_z : float
    mean : ndarray, shape (n,)
    second : ndarray, shape (n, n)

    Raises
    ------
    ValueError
        If there are more than 20 units.

    Examples
    --------
    >>> import numpy as np
    >>> log_z, mean, second = enumerate_spins(np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros(2))
    >>> round(log_z, 6), round(float(second[0, 1]), 6)  # log(4 cosh 1), tanh 1
    (1.820075, 0.761594)
    """
    n = len(field)
    if n > LIMIT:
        raise ValueError(
            f"{n} units have too many states to add up, the limit is {LIMIT}; learn by 'pcd' or, "
            "without hidden units, by 'pseudolikelihood'"
        )
    half = n // 2
    rows, columns = spin_states(half), spin_states(n - half)
    top, bottom = slice(0, half), slice(half, n)
    log_p = rows @ coupling[top, bottom] @ columns.T
    log_p += _log_weight(rows, coupling[top, top], field[top])[:, None]
    log_p += _log_weight(columns, coupling[bottom, bottom], field[bottom])
    highest = log_p.max()
    p = np.exp(log_p - highest)
    total = p.sum()
    p /= total
    of_rows, of_columns = p.sum(axis=1), p.sum(axis=0)
    second = np.empty((n, n))
    second[top, top] = rows.T @ (of_rows[:, None] * rows)
    second[bottom, bottom] = columns.T @ (of_columns[:, None] * columns)
    second[top, bottom] = rows.T @ p @ columns
    second[bottom, top] = second[top, bottom].T
    mean = np.concatenate([of_rows @ rows, of_columns @ columns])
    return float(highest + np.log(total)), mean, second


def _log_weight(states, coupling, field):
    return states @ field + 0.5 * ((states @ coupling) * states).sum(axis=1)
