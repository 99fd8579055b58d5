"""Binary units as spins: ``x = (1 + s) / 2``, and what that does to parameters and gradients."""

import numpy as np

NUMBERS = 2**15  # of a block of samples: a quarter of a megabyte stays in the cache


def spins_of(x, coding):
    """States, or means, as spins."""
    return x if coding == "spin" else 2 * x - 1


def coded(spins, coding):
    """Spins, or their means, as states of the coding."""
    if coding == "spin":
        return spins
    return (spins + 1) // 2 if spins.dtype.kind == "i" else (spins + 1) / 2


def blocks(x, weights, n, coding):
    """Yield rows of x, some at a time, as columns of spins, and their shares of all weights.

    Parameters
    ----------
    x : ndarray, shape (N, n_visible)
    weights : ndarray, shape (N,), or None
    n : int
        Units of the machine, which say how many rows are handled at a time.
    coding : {"binary", "spin"}

    Yields
    ------
    units : ndarray of float64, shape (n_visible, rows)
    share : ndarray of float64, shape (rows,)

    Raises
    ------
    ValueError
        If weights have another shape or no positive sum.
    """
    share = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    total = share.sum()
    if share.shape != (len(x),) or not total > 0:
        raise ValueError(f"weights must have shape ({len(x)},) and a positive sum, got {weights}")
    size = int(np.clip(NUMBERS // n, 32, 512))
    for at in range(0, len(x), size):
        units = spins_of(np.asarray(x[at : at + size].T, np.float64), coding)
        yield np.ascontiguousarray(units), share[at : at + size] / total


def spin_theta(theta, edges, coding):
    """Return couplings, biases and constant of the same energies of spins, in float64.

    Examples
    --------
    >>> import numpy as np
    >>> theta = {"couplings": np.array([4.0]), "bias": np.zeros(2)}
    >>> spin_theta(theta, np.array([[0, 1]]), "binary")  # -4 x y = -(1 + s)(1 + t)
    (array([1.]), array([1., 1.]), -1.0)
    """
    coupling, bias = (theta[name].astype(np.float64) for name in ("couplings", "bias"))
    if coding == "spin":
        return coupling, bias, 0.0
    row = np.bincount(edges.ravel(), np.repeat(coupling, 2), len(bias))
    return coupling / 4, bias / 2 + row / 4, float(-bias.sum() / 2 - coupling.sum() / 4)


def coded_theta(coupling, bias, edges, coding):
    """Return parameters of the coding from those of spins: the other way round."""
    if coding == "spin":
        return {"couplings": coupling, "bias": bias}
    row = np.bincount(edges.ravel(), np.repeat(coupling, 2), len(bias)).astype(bias.dtype)
    return {"couplings": 4 * coupling, "bias": 2 * bias - 2 * row}


def chain_rule(pairs, means, edges, coding, dtype, constant=0.0):
    """From derivatives in the parameters of spins to those in the coding's.

    Parameters
    ----------
    pairs, means : ndarray, shape (m,) and (n,)
        Derivatives in the couplings and the biases of spins.
    edges : ndarray of int, shape (m, 2)
    coding : {"binary", "spin"}
    dtype : dtype
    constant : float
        The derivative in the constant of the energy, with the sign of the others.
    """
    if coding == "binary":
        first, second = edges.T
        pairs = (pairs + means[first] + means[second] + constant) / 4
        means = (means + constant) / 2
    return {"couplings": pairs.astype(dtype), "bias": means.astype(dtype)}
