"""Patterns compressed into a signal over time, for continuous-time memories."""

import numpy as np

CELLS = 32  # of the midpoint rule in the width of a Gaussian


def compress(patterns, n_basis, basis="gaussian", ridge=0.0):
    r"""Fit a signal :math:`x(t) = B^\top \psi(t)` on [0, 1] to patterns in their order.

    By (ridge) regression on the times :math:`t_k = (k - \tfrac12) / N`.

    Parameters
    ----------
    patterns : ndarray, shape (N, d)
    n_basis : int
        Number of functions psi, at most N.
    basis : {"rectangular", "gaussian"}
        Windows side by side, or Gaussians at their centres, with their width for a standard
        deviation.
    ridge : float
        What is added to the diagonal of the normal equations.

    Returns
    -------
    ndarray of float64, shape (n_basis, d)
        The coefficients B.

    References
    ----------
    .. [1] Santos, Farinhas, McNamee & Martins (2025), Modern Hopfield networks with
       continuous-time memories, arXiv 2502.10122.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.energies.continuous_memory import compress
    >>> compress(np.array([[1.0], [3.0], [5.0], [7.0]]), 2, "rectangular").round(9)
    array([[2.],
           [6.]])
    """
    functions = _basis_functions(basis, n_basis, len(patterns))
    rows = np.concatenate([functions, np.sqrt(ridge) * np.eye(n_basis)])  # that ask for zero
    targets = np.pad(patterns.astype(np.float64), ((0, n_basis), (0, 0)))
    return np.linalg.lstsq(rows, targets)[0]


def signal(coefficients, basis="gaussian"):
    """Values (cells, d) of the signal at the midpoints of equal cells of [0, 1].

    The :class:`pm_energy.ModernHopfield` energy of these as patterns is the continuous-time one:
    the integral over t by the midpoint rule, exact for windows.
    """
    n_basis = len(coefficients)
    cells = n_basis * (CELLS if basis == "gaussian" else 1)
    return _basis_functions(basis, n_basis, cells) @ coefficients


def _basis_functions(kind, n_basis, cells):
    """Values (cells, n_basis) at the midpoints of equal cells."""
    if kind == "rectangular":  # in integers: a midpoint may lie on an edge
        own = (2 * np.arange(cells) + 1) * n_basis // (2 * cells)
        return np.eye(n_basis)[own]
    t, centres = ((np.arange(count) + 0.5) / count for count in (cells, n_basis))
    return np.exp(-0.5 * (n_basis * (t[:, None] - centres)) ** 2)
