"""The natural gradient: a step measured by how far the distribution moves, not the parameters.

For an energy the Fisher information is the covariance of ``-dE/dtheta`` under the model, and
samples give it [1]_. With fewer samples than parameters it has a low rank, and the equations are
those of a matrix of samples by samples.

References
----------
.. [1] Amari (1998), "Natural gradient works efficiently in learning", Neural Computation 10.
.. [2] Woodbury (1950), "Inverting modified matrices", Princeton.
"""

import math

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from pm_energy.validate import numeric_array


def natural_gradient(gradient, statistics, damping=1e-3, weights=None):
    """Solve ``(F + damping I) d = gradient`` for d, with F the Fisher information.

    Parameters
    ----------
    gradient : dict of str to array
    statistics : dict of str to array, each (N, *parameter), or array, shape (k, k)
        ``-dE/dtheta`` of N samples of the model, or of all its states, for each parameter; F is
        their covariance. Or F itself, for the k entries of all parameters in order, each ravelled.
    damping : float
        Zero is allowed where F is regular.
    weights : array, shape (N,), optional
        Weights of the samples, which are divided by their sum; equal by default.

    Returns
    -------
    dict of str to array
        d, with the shapes and dtypes of the gradient. The sums are done in float64.

    Raises
    ------
    ValueError
        If shapes or names do not match, or ``F + damping I`` is singular.

    Notes
    -----
    With fewer samples than parameters, and A the centred rows scaled by the roots of the weights,
    so that ``F = A' A``, this is Woodbury's ``(g - A' (A A' + damping I)^-1 A g) / damping``: the
    cost is that of ``A A'``.

    Examples
    --------
    The mean of a normal distribution with covariance C: ``E = x' inv(C) x / 2 - theta x``, so the
    statistic is x, F is C, and a full step of the natural gradient from zero is the answer.

    >>> import numpy as np
    >>> from pm_energy.training.natural import natural_gradient
    >>> covariance = np.array([[2.0, 1.0], [1.0, 1.0]])
    >>> data_mean = np.array([3.0, 1.0])
    >>> step = natural_gradient({"theta": 0.0 - data_mean}, covariance, damping=0.0)
    >>> -step["theta"]  # inv(C) @ data_mean
    array([ 2., -1.])

    References
    ----------
    .. [1] Amari (1998), "Natural gradient works efficiently in learning", Neural Computation 10.
    """
    if not (np.isscalar(damping) and math.isfinite(damping) and damping >= 0):
        raise ValueError(f"damping must be a finite number of at least zero, got {damping!r}")
    g = {name: np.asarray(value, dtype=float) for name, value in gradient.items()}
    k = sum(value.size for value in g.values())
    if not isinstance(statistics, dict):
        if weights is not None:
            raise ValueError("weights belong to samples, but statistics is a matrix")
        fisher = numeric_array("statistics", statistics).astype(float)
        if fisher.shape != (k, k):
            raise ValueError(f"statistics must have shape ({k}, {k}), got {fisher.shape}")
        d = _split(_solve(fisher, _joined(g), damping), g)
    else:
        rows = _centred(g, statistics, weights)
        n = len(next(iter(rows.values())))
        d = (_in_sample_space if n < k and damping > 0 else _direct)(rows, g, damping)
    return {name: d[name].astype(np.asarray(value).dtype) for name, value in gradient.items()}


def _direct(rows, g, damping):
    a = np.concatenate(list(rows.values()), axis=1)
    return _split(_solve(a.T @ a, _joined(g), damping), g)


def _in_sample_space(rows, g, damping):
    gram = sum(a @ a.T for a in rows.values())
    inner = _solve(gram, sum(a @ g[name].ravel() for name, a in rows.items()), damping)
    return {
        name: (g[name] - (inner @ a).reshape(g[name].shape)) / damping for name, a in rows.items()
    }


def _centred(g, statistics, weights):
    """Rows (N, entries) for each parameter, such that ``A' A`` is the weighted covariance."""
    if statistics.keys() != g.keys():
        raise ValueError(f"statistics must have the names {list(g)}, got {list(statistics)}")
    n = len(next(iter(statistics.values())))
    if weights is None:
        weights = np.full(n, 1 / n)
    weights = numeric_array("weights", weights).astype(float)
    if weights.shape != (n,) or not np.isfinite(weights).all() or weights.min() < 0:
        raise ValueError(f"weights must be {n} finite numbers of at least zero")
    weights = weights / weights.sum()
    rows = {}
    for name, value in g.items():
        if np.shape(statistics[name]) != (n, *value.shape):
            raise ValueError(
                f"statistics[{name!r}] must have shape {(n, *value.shape)}, "
                f"got {np.shape(statistics[name])}"
            )
        a = np.array(statistics[name], dtype=float).reshape(n, -1)
        a -= weights @ a
        a *= np.sqrt(weights)[:, None]
        rows[name] = a
    return rows


def _solve(matrix, right, damping):
    matrix = matrix + damping * np.eye(len(matrix))
    try:
        return cho_solve(cho_factor(matrix, lower=True), right)
    except LinAlgError:
        raise ValueError(
            f"the Fisher information with damping = {damping:g} is not positive definite: "
            "some combination of parameters has no effect on these samples. Raise damping"
        ) from None


def _joined(g):
    return np.concatenate([value.ravel() for value in g.values()])


def _split(d, g):
    ends = np.cumsum([value.size for value in g.values()])
    parts = np.split(d, ends[:-1])
    return {name: part.reshape(g[name].shape) for name, part in zip(g, parts, strict=True)}
