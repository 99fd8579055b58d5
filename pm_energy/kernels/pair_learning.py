"""Statistics of pairwise couplings, and losses that compare a state with its single flips.

Arrays of states have units in rows and samples in columns, so that whatever is done to a unit or a
pair is done to a run of samples, as one SIMD loop. Units are spins, or their means in [-1, 1].
"""

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.exponential import exp_double, exp_minus

KINDS = ("pseudolikelihood", "ratio-matching", "probability-flow")
FACTORS = 512  # each between 1 and 2, so their product stays far below overflow


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def sparse_fields(units, indptr, indices, coupling, bias):
    """Return ``bias_i + sum_j coupling_ij units_j``, float64 of shape (n, N).

    Parameters
    ----------
    units : ndarray of float64, shape (n, N)
    indptr, indices, coupling : ndarray, shapes (n + 1,), (2m,), (2m,)
        Symmetric couplings in CSR form.
    bias : ndarray of float64, shape (n,)
    """
    n, size = units.shape
    fields = np.empty((n, size))
    for i in range(n):
        field = fields[i]
        field[:] = bias[i]
        last = indptr[i + 1]
        four = indptr[i] + (last - indptr[i]) // 4 * 4
        for k in range(indptr[i], four, 4):  # a sum is stored once for four neighbours
            a, b = units[indices[k]], units[indices[k + 1]]
            c, d = units[indices[k + 2]], units[indices[k + 3]]
            w, x, y, z = coupling[k], coupling[k + 1], coupling[k + 2], coupling[k + 3]
            for s in range(uint64(size)):
                field[s] += w * a[s] + x * b[s] + y * c[s] + z * d[s]
        for k in range(four, last):
            strength, other = coupling[k], units[indices[k]]
            for s in range(uint64(size)):
                field[s] += strength * other[s]
    return fields


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def edge_products(left, right, edges, out):
    """Add to ``out`` (m,) the sums over samples of ``left[a] * right[b]``, edge by edge.

    Parameters
    ----------
    left, right : ndarray of float64, shape (n, N)
    edges : ndarray of int64, shape (m, 2)
    out : ndarray of float64, shape (m,)
    """
    size = uint64(left.shape[1])
    for e in range(len(edges)):
        first, second = left[edges[e, 0]], right[edges[e, 1]]
        total = 0.0
        for s in range(size):
            total += first[s] * second[s]
        out[e] += total


def flip_terms(fields, units, share, kind):
    r"""Sum over samples and units of f(Delta), with ``Delta = 2 * units * fields``.

    That is the cost of flipping a unit in its field. f is ``log(1 + exp(-Delta))`` for
    "pseudolikelihood", ``1 / (1 + exp(Delta))**2`` for "ratio-matching" and ``exp(-Delta / 2)`` for
    "probability-flow".

    Parameters
    ----------
    fields : ndarray of float64, shape (n, N), C-contiguous
        Overwritten with the derivatives of the sum in the fields.
    units : ndarray of float64, shape (n, N), C-contiguous
    share : ndarray of float64, shape (N,)
        Weights of the samples.
    kind : str

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> fields = np.zeros((3, 1))
    >>> round(flip_terms(fields, np.ones((3, 1)), np.ones(1), "pseudolikelihood"), 6)  # 3 log 2
    2.079442
    >>> fields.ravel()
    array([-1., -1., -1.])
    """
    loop = {KINDS[0]: _pseudolikelihood, KINDS[1]: _ratio_matching, KINDS[2]: _flow}[kind]
    return loop(fields, units, share)


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _pseudolikelihood(fields, units, share):
    n, size = fields.shape
    total, product = np.zeros(size), np.ones(size)
    for i in range(n):
        field, unit = fields[i], units[i]
        for s in range(uint64(size)):
            cost = 2.0 * unit[s] * field[s]
            small = exp_minus(abs(cost))
            total[s] += max(-cost, 0.0)
            product[s] *= 1.0 + small
            turn = (small if cost > 0.0 else 1.0) / (1.0 + small)  # sigmoid(-cost)
            field[s] = -2.0 * share[s] * unit[s] * turn
        if i % FACTORS == FACTORS - 1 or i == n - 1:
            total += np.log(product)
            product[:] = 1.0
    return (share * total).sum()


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _ratio_matching(fields, units, share):
    n, size = fields.shape
    loss = 0.0
    for i in range(n):
        field, unit = fields[i], units[i]
        for s in range(uint64(size)):
            cost = 2.0 * unit[s] * field[s]
            small = exp_minus(abs(cost))
            turn = (small if cost > 0.0 else 1.0) / (1.0 + small)
            stay = (1.0 if cost > 0.0 else small) / (1.0 + small)
            loss += share[s] * turn**2
            field[s] = -4.0 * share[s] * unit[s] * turn**2 * stay
    return loss


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _flow(fields, units, share):
    n, size = fields.shape
    loss = 0.0
    for i in range(n):
        field, unit = fields[i], units[i]
        for s in range(uint64(size)):
            half = unit[s] * field[s]
            grown = exp_double(min(abs(half), 700.0))
            value = 1.0 / grown if half > 0.0 else grown
            loss += share[s] * value
            field[s] = -share[s] * unit[s] * value
    return loss
