"""Sparse couplings: a deterministic objective with an l1 penalty on some of its parameters."""

import numpy as np
from scipy.optimize import minimize

from pm_energy.training.fit import Fitted, divergence


def minimise_l1(
    model,
    theta,
    objective,
    x,
    weights=None,
    *,
    l1,
    decay=0.0,
    penalised=("couplings",),
    max_iter=500,
    tol=1e-6,
    progress=None,
):
    """Minimise a loss plus ``l1 * sum |theta|`` of some parameters.

    Each penalised parameter is the difference of two that are not negative, of which the penalty is
    linear; the smooth loss in them is minimised by L-BFGS within these bounds [1]_. Parameters
    that the penalty holds at zero are exactly zero.

    Parameters
    ----------
    model : Model
    theta : dict of str to array
        Where to start; not changed.
    objective : ExactLikelihood or FlipObjective
    x, weights
        As of :func:`pm_energy.training.full_batch.minimise`.
    l1, decay : float
        Strengths of ``l1 * sum |theta|`` and ``decay / 2 * sum theta**2``.
    penalised : tuple of str
        Names of the parameters that have both penalties.
    max_iter : int
    tol : float
        Largest entry of the projected gradient at which to stop.
    progress : Progress, optional

    Returns
    -------
    Fitted
        As of :func:`pm_energy.training.full_batch.minimise`.

    References
    ----------
    .. [1] Byrd, Lu, Nocedal & Zhu (1995), SIAM Journal on Scientific Computing 16, 1190-1208.
    .. [2] Ravikumar, Wainwright & Lafferty (2010), Annals of Statistics 38, 1287-1319.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.likelihood import ExactLikelihood
    >>> from pm_energy.training.pair_lasso import minimise_l1
    >>> from pm_energy.training.pair_model import PairModel
    >>> model = PairModel(3, coding="spin")
    >>> x = np.array([[1, 1, 1], [1, 1, -1], [-1, -1, 1], [-1, -1, -1], [1, -1, 1], [1, 1, 1]])
    >>> theta = {"couplings": np.zeros(3), "bias": np.zeros(3)}
    >>> fitted = minimise_l1(model, theta, ExactLikelihood(), x, l1=0.3)
    >>> fitted.theta["couplings"].round(3)  # units 0 and 1 agree in five rows of six
    array([0.45, 0.  , 0.  ])
    """
    names = list(theta)
    parts = [np.ravel(theta[name]).astype(float) for name in names]
    start = np.concatenate(parts)
    cuts = np.cumsum([part.size for part in parts])[:-1]
    is_sparse = np.concatenate(
        [np.full(part.size, name in penalised) for name, part in zip(names, parts, strict=True)]
    )
    sparse = np.flatnonzero(is_sparse)

    def joined(z):
        """Parameters of the positive parts and, behind them, the negative ones."""
        flat = z[: start.size].copy()
        flat[sparse] -= z[start.size :]
        return flat

    def named(flat):
        split = np.split(flat, cuts)
        return {k: part.reshape(theta[k].shape) for k, part in zip(names, split, strict=True)}

    def loss(z):
        flat = joined(z)
        gradient, info = objective.gradient(model, named(flat), x, weights, None)
        value = info["loss"] if "loss" in info else -info["log_likelihood"]
        value += 0.5 * decay * float(flat[sparse] @ flat[sparse])
        value += l1 * (z[sparse].sum() + z[start.size :].sum())
        slope = np.concatenate([np.ravel(gradient[name]) for name in names]).astype(float)
        slope[sparse] += decay * flat[sparse]
        if not np.isfinite(value) or not np.isfinite(slope).all():
            return np.inf, np.zeros_like(z)  # the line search turns back
        down = l1 - slope[sparse]
        slope[sparse] += l1
        return value, np.concatenate([slope, down])

    history = []

    def watch(intermediate_result):
        history.append(float(intermediate_result.fun))
        if progress is not None:
            progress.advance(f"loss {history[-1]:.6g}")

    positive_part = np.where(is_sparse, np.maximum(start, 0), start)
    found = minimize(
        loss,
        np.concatenate([positive_part, np.maximum(-start[sparse], 0)]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0 if s else None, None) for s in is_sparse] + [(0, None)] * sparse.size,
        callback=watch,
        options={"maxiter": max_iter, "maxfun": 20 * max_iter, "gtol": tol, "ftol": 0.0},
    )
    end = named(joined(found.x))
    failure = divergence(end) if np.isfinite(found.fun) else "the loss was not finite at the start"
    end = {name: value.astype(theta[name].dtype) for name, value in end.items()}
    return Fitted(end, {"loss": np.array(history)}, int(found.nit), failure)
