"""Learning rules of associative memories: patterns -> couplings with zero diagonal."""

import numpy as np

from pm_energy.validate import is_numeric, parameter


def hebbian(patterns):
    """Couplings ``sum_k xi_i xi_j / n`` of spin patterns (k, n), shape (n, n) [1]_.

    References
    ----------
    .. [1] Hopfield (1982), PNAS 79, 2554-2558.
    """
    return _without_diagonal(patterns.T @ patterns / patterns.shape[1])


def storkey(patterns, coupling=None):
    """Couplings of spin patterns (k, n) learnt one by one, each minding those before it.

    The patterns that ``coupling`` (n, n) was learnt from come first. With
    ``h_ij = sum_{l != i, j} J_il xi_l`` a pattern xi adds
    ``(xi_i xi_j - xi_i h_ji - h_ij xi_j) / n`` [1]_.

    References
    ----------
    .. [1] Storkey & Valabregue (1999), Neural Networks 12, 869-876.
    """
    n = patterns.shape[1]
    coupling = np.zeros((n, n)) if coupling is None else coupling
    for xi in patterns:
        # h_ij xi_j = u_i xi_j - J_ij for a zero diagonal, so n^2 steps do, not n^3
        u = coupling @ xi
        new = np.outer(xi, xi) - np.outer(xi, u) - np.outer(u, xi) + 2 * coupling
        coupling = _without_diagonal(coupling + new / n)
    return coupling


def pseudo_inverse(patterns):
    """Projection onto the span of spin patterns (k, n), shape (n, n), without its diagonal [1]_.

    References
    ----------
    .. [1] Personnaz, Guyon & Dreyfus (1985), Journal de Physique Lettres 46, L359-L365.
    """
    _, singular, rows = np.linalg.svd(patterns, full_matrices=False)
    cutoff = singular[0] * max(patterns.shape) * np.finfo(float).eps
    basis = rows[singular > cutoff]  # dependent patterns span less
    projection = basis.T @ basis
    # a unit that no other one determines has couplings of pure rounding error: it has no field
    projection[np.abs(projection) < 1e-12] = 0.0
    return _without_diagonal(projection)


RULES = {"hebbian": hebbian, "storkey": storkey, "pseudo-inverse": pseudo_inverse}


def as_spins(patterns):
    """Check patterns (k, n) in {-1, +1} or in {0, 1} and return them as floats in {-1, +1}."""
    patterns = parameter("patterns", patterns, 2)
    if not is_numeric(patterns) or not patterns.size:
        raise ValueError(f"patterns must be a non-empty array (k, n), got {patterns}")
    for low in (-1, 0):
        if np.isin(patterns, (low, 1)).all():
            return np.where(patterns == 1, 1.0, -1.0)
    raise ValueError(
        f"patterns must be in {{-1, 1}} or in {{0, 1}}, got values {np.unique(patterns)[:5]}"
    )


def _without_diagonal(matrix):
    np.fill_diagonal(matrix, 0.0)
    return matrix
