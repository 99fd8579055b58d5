"""Expectation step of Gaussian mixtures: a table of features and two matrix products a block.

The log of weight times density is a quadratic polynomial in the coordinates z of a row, so for a
block of rows all components together are one product ``theta @ features``, with features 1, z_a and
z_a z_b. Moments under the responsibilities are another, ``responsibilities @ features.T``. Rows are
columns here, so that each feature of a block is contiguous and everything between the products is
SIMD.

The expansion cancels: its absolute error is about eps tr(P) (1 + m^2) for a component of precision
P and mean m. Where the rows have mean 0 and covariance near 1 that is harmless but for components
much narrower than the whole. Those above ``CANCELLATION`` are *careful*: differences from their own
mean are taken first, then the square, and moments are about that mean.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from pm_energy.kernels.exponential import exp_minus

KINDS = {"full": 0, "tied": 1, "diag": 2, "spherical": 3}
CANCELLATION = 1e6  # digits lost: 6, so log-densities are good to about 1e-9
_compiled = njit(cache=True, fastmath={"contract"}, error_model="numpy", nogil=True)
_TABLE = 2**17  # numbers in the features of a block of rows: 1 MB stays in the cache


class Terms(NamedTuple):
    """A mixture's log-densities, as the kernel wants them; see :func:`mixture_terms`."""

    kind: int
    theta: np.ndarray  # (k, features)
    careful: np.ndarray  # (k,) bool
    constants: np.ndarray  # (k,)
    means: np.ndarray  # (k, d)
    roots: np.ndarray  # (k, d, d)


def mixture_terms(kind, weights, means, roots, beta=1.0, careful=None):
    """Prepare a mixture for :func:`mixture_moments` and :func:`mixture_posterior`.

    Parameters
    ----------
    kind : {"full", "tied", "diag", "spherical"}
    weights : ndarray, shape (k,)
        Positive.
    means : ndarray, shape (k, d)
    roots : ndarray, shape (k, d, d)
        Upper triangular with positive diagonal, ``roots @ roots.T`` the precision matrix.
    beta : float
        Inverse temperature of each component's weighted density.
    careful : ndarray of bool, shape (k,), optional
        Components for which the expansion is not to be used; by default, those that need it.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.kernels.mixture_em import mixture_posterior, mixture_terms
    >>> means = np.array([[-1.0], [1.0]])
    >>> terms = mixture_terms("full", np.array([0.5, 0.5]), means, np.ones((2, 1, 1)))
    >>> log_density, posterior = mixture_posterior(np.array([[0.0, 1.0]]), terms)
    >>> posterior.round(3)
    array([[0.5  , 0.5  ],
           [0.119, 0.881]])
    """
    d = means.shape[1]
    log_det = np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
    constants = beta * (np.log(weights) - 0.5 * d * np.log(2.0 * np.pi) + log_det)
    roots = np.sqrt(beta) * roots
    precision = roots @ roots.swapaxes(1, 2)
    linear = (precision @ means[:, :, None])[:, :, 0]
    square = (linear * means).sum(axis=1)
    diagonal = np.diagonal(precision, axis1=1, axis2=2)
    if careful is None:
        careful = diagonal.sum(axis=1) * (1.0 + (means**2).sum(axis=1)) > CANCELLATION
        if kind == "tied":  # one precision for all: one road for all
            careful[:] = careful.any()
    columns = [(constants - 0.5 * square)[:, None], linear]
    if kind == "full":
        a, b = np.triu_indices(d)
        columns.append(-precision[:, a, b] * np.where(a == b, 0.5, 1.0))
    elif kind == "diag":
        columns.append(-0.5 * diagonal)
    elif kind == "spherical":
        columns.append(-0.5 * diagonal[:, :1])
    theta = np.ascontiguousarray(np.concatenate(columns, axis=1))
    means, roots = np.ascontiguousarray(means), np.ascontiguousarray(roots)
    return Terms(KINDS[kind], theta, np.asarray(careful), constants, means, roots)


def mixture_moments(z, weights, terms):
    """Sum counts, coordinates and their products over rows, by responsibility.

    Parameters
    ----------
    z : ndarray, shape (d, n)
        C-contiguous: one *column* a row of data.
    weights : ndarray, shape (n,)
    terms : Terms

    Returns
    -------
    log_density : float
        Weighted sum of ``log sum_k (weight_k density_k)^beta``.
    count : ndarray, shape (k,)
    origin, first : ndarray, shape (k, d)
        Sums of ``z - origin``; the origin is zero, or the mean of a careful component.
    second : ndarray
        Sums of products of ``z - origin``: (k, d, d) for full, (k, d) for diag, (k,) for spherical.
        For tied their sum (d, d), or None unless careful: it is then the scatter of all rows.
    """
    total, sums, second = _moments(z, weights, *terms, _block(terms, z))
    d = len(z)
    careful, kind = terms.careful, terms.kind
    count, first = sums[:, 0].copy(), sums[:, 1 : d + 1].copy()
    origin = np.where(careful[:, None], terms.means, 0.0)
    squares = np.diagonal(second, axis1=1, axis2=2)
    if kind == KINDS["tied"]:
        second = second.sum(axis=0) if careful.any() else None
    elif kind == KINDS["full"]:
        a, b = np.triu_indices(d)
        wide = np.flatnonzero(~careful)[:, None]
        second[wide, a, b] = second[wide, b, a] = sums[wide[:, 0], d + 1 :]
    elif kind == KINDS["diag"]:
        second = np.where(careful[:, None], squares, sums[:, d + 1 :])
    else:
        second = np.where(careful, squares.sum(axis=1), sums[:, d + 1])
    return total, count, origin, first, second


def mixture_posterior(z, terms):
    """Return log-densities and the responsibilities of components.

    Parameters
    ----------
    z, terms
        As for :func:`mixture_moments`.

    Returns
    -------
    log_density : ndarray, shape (n,)
        ``log sum_k (weight_k density_k)^beta``.
    posterior : ndarray, shape (n, k)
    """
    return _posterior(z, *terms, _block(terms, z))


def _block(terms, z):
    """Rows in a block: many for little overhead, few for their features to stay in the cache."""
    return min(max(_TABLE // terms.theta.shape[1], 64), 512, z.shape[1])


@_compiled
def _fill_features(z, start, stop, kind, phi):
    """Features of rows start to stop; the rest of the block is the row 0."""
    d, size = len(z), stop - start
    phi[0] = 1.0
    for a in range(d):
        phi[1 + a, :size] = z[a, start:stop]
        phi[1 + a, size:] = 0.0
    q = 1 + d
    if kind == 0:
        for a in range(d):
            for b in range(a, d):
                for i in range(phi.shape[1]):
                    phi[q, i] = phi[1 + a, i] * phi[1 + b, i]
                q += 1
    elif kind == 2:
        for a in range(d):
            for i in range(phi.shape[1]):
                phi[q + a, i] = phi[1 + a, i] * phi[1 + a, i]
    elif kind == 3:
        phi[q] = 0.0
        for a in range(d):
            for i in range(phi.shape[1]):
                phi[q, i] += phi[1 + a, i] * phi[1 + a, i]


@_compiled
def _squares(root, delta, away, square):
    """Squared norms of ``root.T @ delta``, by column."""
    np.dot(root.T, delta, away)
    square[:] = 0.0
    for a in range(len(away)):
        for i in range(square.size):
            square[i] += away[a, i] * away[a, i]


@_compiled
def _subtract(phi, mean, delta):
    for a in range(mean.size):
        for i in range(phi.shape[1]):
            delta[a, i] = phi[1 + a, i] - mean[a]


@_compiled
def _expect(phi, terms, joint, peak, total, square, delta, away):
    """Fill ``joint`` with exp(log of weight times density - peak), and its sum over components."""
    kind, theta, careful, constants, means, roots = terms
    np.dot(theta, phi, joint)
    n_components, size = joint.shape
    for k in range(n_components):
        if careful[k]:
            _subtract(phi, means[k], delta)
            _squares(roots[k], delta, away, square)
            for i in range(size):
                joint[k, i] = constants[k] - 0.5 * square[i]
    peak[:] = joint[0]
    for k in range(1, n_components):
        for i in range(size):
            peak[i] = joint[k, i] if joint[k, i] > peak[i] else peak[i]
    total[:] = 0.0
    for k in range(n_components):
        for i in range(size):
            joint[k, i] = exp_minus(peak[i] - joint[k, i])
            total[i] += joint[k, i]
    if kind == 1 and not careful[0]:  # the part that all share; it leaves responsibilities alone
        delta[:] = phi[1:]
        _squares(roots[0], delta, away, square)
        for i in range(size):
            peak[i] -= 0.5 * square[i]


@_compiled
def _moments(z, weights, kind, theta, careful, constants, means, roots, block):
    d, n = z.shape
    k = len(theta)
    phi, joint = np.empty((theta.shape[1], block)), np.empty((k, block))
    peak, total, scale = np.empty(block), np.empty(block), np.empty(block)
    delta, away = np.empty((d, block)), np.empty((d, block))
    sums, product = np.zeros((k, theta.shape[1])), np.empty((k, theta.shape[1]))
    second, outer = np.zeros((k, d, d)), np.empty((d, d))
    log_density = 0.0
    for start in range(0, n, block):
        stop = min(start + block, n)
        _fill_features(z, start, stop, kind, phi)
        terms = kind, theta, careful, constants, means, roots
        _expect(phi, terms, joint, peak, total, scale, delta, away)
        for i in range(stop - start):
            log_density += weights[start + i] * (peak[i] + np.log(total[i]))
            scale[i] = weights[start + i] / total[i]
        scale[stop - start :] = 0.0
        for c in range(k):
            for i in range(block):
                joint[c, i] *= scale[i]
        np.dot(joint, phi.T, product)
        for c in range(k):
            if careful[c]:
                _subtract(phi, means[c], delta)
                for a in range(d):
                    first = 0.0
                    for i in range(block):
                        away[a, i] = joint[c, i] * delta[a, i]
                        first += away[a, i]
                    product[c, 1 + a] = first
                np.dot(away, delta.T, outer)
                second[c] += outer
        sums += product
    return log_density, sums, second


@_compiled
def _posterior(z, kind, theta, careful, constants, means, roots, block):
    d, n = z.shape
    k = len(theta)
    phi, joint = np.empty((theta.shape[1], block)), np.empty((k, block))
    peak, total, square = np.empty(block), np.empty(block), np.empty(block)
    delta, away = np.empty((d, block)), np.empty((d, block))
    log_density, posterior = np.empty(n), np.empty((n, k))
    for start in range(0, n, block):
        stop = min(start + block, n)
        _fill_features(z, start, stop, kind, phi)
        terms = kind, theta, careful, constants, means, roots
        _expect(phi, terms, joint, peak, total, square, delta, away)
        for i in range(stop - start):
            log_density[start + i] = peak[i] + np.log(total[i])
            for c in range(k):
                posterior[start + i, c] = joint[c, i] / total[i]
    return log_density, posterior
