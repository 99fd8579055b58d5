"""Log Z of a narrow lattice and its gradient, by one sweep of a transfer matrix each way.

The lattice has ``rows`` x ``width`` sites of q states. Going down, a vector holds the weight of all
rows so far for every one of the q^width states of the last row; site by site the bond to the next
row is summed out. Going up, its adjoint gives the gradient: the mean of every pair term and the
probability of every state of every site. If the rows close into a ring, the vector is a matrix with
a column for each state of the first row. Vectors are rescaled row by row.
"""

import numpy as np
from numba import njit

from pm_energy.kernels.inner import inner


@njit(cache=True)
def strip_partition(across, down, site, pair, closed):
    """Log Z of a strip, and its derivatives with respect to all arguments.

    Parameters
    ----------
    across : ndarray, shape (rows, width)
        Coupling of (r, j) with (r, j + 1); the last column wraps around.
    down : ndarray, shape (rows, width)
        Coupling of (r, j) with (r + 1, j); the last row is unused unless ``closed``.
    site : ndarray, shape (rows, width, q)
        Log-weight of each state at each site.
    pair : ndarray, shape (q, q)
        What a unit of coupling adds to the log-weight of two neighbouring states.
    closed : bool
        Whether the last row is joined to the first.

    Returns
    -------
    log_z : float
    mean_across, mean_down : ndarray, shape (rows, width)
        Mean of ``pair`` over each bond.
    marginal : ndarray, shape (rows, width, q)
    """
    rows, width, q = site.shape
    n = q**width
    columns = n if closed else 1
    n_steps = rows if closed else rows - 1
    states = _states(n, width, q)
    weights = np.empty((rows, n))  # of a row by itself, in units of its largest one
    step = np.empty((rows, width, q, q))  # weights of the bonds to the next row
    scale = np.ones(rows)
    after = np.zeros((rows, n, columns))  # weight of rows 0..r, by state of row r
    path = np.zeros((width + 1, n, columns))
    log_z = 0.0
    for r in range(rows):
        log_z += _row_weights(weights[r], states, across[r], site[r], pair)
        if r < n_steps:
            log_z += _bond_weights(step[r], down[r], pair)

    for x in range(n):
        after[0, x, x if closed else 0] = weights[0, x]
    for r in range(1, rows):
        _pass_row(path, after[r - 1], step[r - 1])
        scale[r] = _multiply(after[r], path[width], weights[r])
        log_z += np.log(scale[r])

    mean_across, mean_down = np.zeros((rows, width)), np.zeros((rows, width))
    marginal = np.zeros((rows, width, q))
    adjoint = np.zeros((n, columns))
    spare = np.zeros((n, columns))
    total = 0.0
    if closed:
        _pass_row(path, after[rows - 1], step[rows - 1])
        for x in range(n):
            total += path[width, x, x]
        for x in range(n):
            adjoint[x, x] = 1.0 / total
        _pull_row(adjoint, spare, path, step[rows - 1], pair, mean_down[rows - 1])
    else:
        for x in range(n):
            total += after[rows - 1, x, 0]
        for x in range(n):
            adjoint[x, 0] = 1.0 / total
    log_z += np.log(total)

    for r in range(rows - 1, -1, -1):
        _row_means(adjoint, after[r], states, pair, mean_across[r], marginal[r])
        if r > 0:
            for x in range(n):
                for c in range(columns):
                    adjoint[x, c] *= weights[r, x] / scale[r]
            _pass_row(path, after[r - 1], step[r - 1])
            _pull_row(adjoint, spare, path, step[r - 1], pair, mean_down[r - 1])
    return log_z, mean_across, mean_down, marginal


# Loops, not array expressions, throughout: each of those takes the compiler half a second.


@njit(cache=True)
def _states(n, width, q):
    """State of each site in each state of a row; the first site is the slowest digit."""
    states = np.empty((n, width), np.int64)
    for x in range(n):
        rest = x
        for j in range(width - 1, -1, -1):
            states[x, j] = rest % q
            rest //= q
    return states


@inner(cache=True)
def _row_weights(weights, states, across, site, pair):
    """Fill in the weights of a row's states, divided by the largest; return its logarithm."""
    n, width = states.shape
    top = -np.inf
    for x in range(n):
        total = 0.0
        for j in range(width):
            here, next_one = states[x, j], states[x, (j + 1) % width]
            total += site[j, here] + across[j] * pair[here, next_one]
        weights[x] = total
        top = max(top, total)
    for x in range(n):
        weights[x] = np.exp(weights[x] - top)
    return top


@inner(cache=True)
def _bond_weights(step, down, pair):
    """Fill in the weights of a row's bonds to the next, as :func:`_row_weights` does."""
    width, q, _ = step.shape
    tops = 0.0
    for j in range(width):
        top = -np.inf
        for x in range(q):
            for y in range(q):
                top = max(top, down[j] * pair[x, y])
        for x in range(q):
            for y in range(q):
                step[j, x, y] = np.exp(down[j] * pair[x, y] - top)
        tops += top
    return tops


@inner(cache=True)
def _pass_row(path, after, step):
    """Sum out a row, site by site: ``path[j + 1]`` has exchanged the first j + 1 sites."""
    _, n, columns = path.shape
    width, q, _ = step.shape
    for x in range(n):
        for c in range(columns):
            path[0, x, c] = after[x, c]
    inner = n
    for j in range(width):
        inner //= q  # row states that differ in later sites only
        for outer in range(0, n, q * inner):
            for y in range(q):
                for k in range(outer, outer + inner):
                    for c in range(columns):
                        path[j + 1, k + y * inner, c] = 0.0
                    for x in range(q):
                        for c in range(columns):
                            path[j + 1, k + y * inner, c] += (
                                step[j, x, y] * path[j, k + x * inner, c]
                            )


@inner(cache=True)
def _multiply(out, vectors, weights):
    """out = vectors x weights, divided by its largest entry, which is returned."""
    n, columns = out.shape
    top = 0.0
    for x in range(n):
        for c in range(columns):
            out[x, c] = vectors[x, c] * weights[x]
            top = max(top, out[x, c])
    for x in range(n):
        for c in range(columns):
            out[x, c] /= top
    return top


@inner(cache=True)
def _pull_row(adjoint, spare, path, step, pair, mean):
    """Turn the adjoint of ``path[width]`` into that of ``path[0]``; fill in the bonds' means."""
    _, n, columns = path.shape
    width, q, _ = step.shape
    inner = 1
    for j in range(width - 1, -1, -1):
        for x in range(n):
            for c in range(columns):
                spare[x, c] = 0.0
        for outer in range(0, n, q * inner):
            for x in range(q):
                for y in range(q):
                    overlap = 0.0
                    for k in range(outer, outer + inner):
                        for c in range(columns):
                            back = adjoint[k + y * inner, c]
                            overlap += back * path[j, k + x * inner, c]
                            spare[k + x * inner, c] += step[j, x, y] * back
                    mean[j] += overlap * step[j, x, y] * pair[x, y]
        for x in range(n):
            for c in range(columns):
                adjoint[x, c] = spare[x, c]
        inner *= q


@inner(cache=True)
def _row_means(adjoint, after, states, pair, mean_across, marginal):
    """Fill in the marginals of a row's sites and the means of its bonds."""
    n, width = states.shape
    for x in range(n):
        p = 0.0
        for c in range(adjoint.shape[1]):
            p += adjoint[x, c] * after[x, c]
        for j in range(width):
            here, next_one = states[x, j], states[x, (j + 1) % width]
            marginal[j, here] += p
            mean_across[j] += p * pair[here, next_one]
