"""Deterministic objectives on all the data at once, by a quasi-Newton method."""

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from pm_energy.training.fit import Fitted, divergence, names_that_decay
from pm_energy.validate import positive, positive_int


def minimise(
    model,
    theta,
    objective,
    x,
    weights=None,
    *,
    decay=0.0,
    l1=0.0,
    decayed=("weights",),
    max_iter=500,
    tol=1e-6,
    progress=None,
):
    """Minimise a loss over all parameters by L-BFGS [1]_.

    With an l1 penalty each penalised parameter is the difference of two that are not negative, of
    which the penalty is linear; so those that it holds at zero are exactly zero.

    Parameters
    ----------
    model : Model
    theta : dict of str to array
        Where to start; not changed. The loss is evaluated at float64 parameters.
    objective : ExactLikelihood, FlipObjective or ExplicitScoreMatching
        Those whose loss is a function of the parameters, and that say so: ``deterministic``.
    x : array or sparse matrix, shape (N, n)
    weights : array, shape (N,), optional
        Of the rows.
    decay, l1 : float
        Strengths of the penalties ``decay / 2 * sum(theta**2)`` and ``l1 * sum(|theta|)`` of the
        parameters named in ``decayed``.
    decayed : tuple of str
    max_iter : int
    tol : float
        Largest entry of the gradient (what bounds leave of it) at which to stop.
    progress : Progress, optional
        Advanced by an iteration at a time.

    Returns
    -------
    Fitted
        With the loss, penalty included, after each iteration as ``history["loss"]`` and
        parameters in the dtype of theta. ``n_epochs == max_iter`` says that it may go on.

    Raises
    ------
    ValueError
        If the objective draws chains or is centred, a number is out of its range, or ``decayed``
        names no parameter.

    References
    ----------
    .. [1] Byrd, Lu, Nocedal & Zhu (1995), SIAM Journal on Scientific Computing 16, 1190-1208.
    .. [2] Ravikumar, Wainwright & Lafferty (2010), Annals of Statistics 38, 1287-1319: l1.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.training.energy_model import EnergyModel
    >>> from pm_energy.training.full_batch import minimise
    >>> from pm_energy.training.likelihood import ExactLikelihood
    >>> model = EnergyModel(pme.Ising(graph=[[0, 1]], coupling=0.0), learn="coupling")
    >>> x = np.array([[1, 1], [1, 1], [-1, -1], [1, -1]])  # mean product 1/2 = tanh J
    >>> fitted = minimise(model, model.initial(), ExactLikelihood(), x)
    >>> print(fitted.theta["coupling"].round(4), np.arctanh(0.5).round(4))
    0.5493 0.5493
    """
    if not getattr(objective, "deterministic", False):
        raise ValueError(
            "objective must have a loss that is a function of the parameters, as ExactLikelihood, "
            f"FlipObjective and ExplicitScoreMatching do; {type(objective).__name__} is estimated "
            "from random numbers: use fit"
        )
    if getattr(objective, "centred", False):
        raise ValueError("a centred gradient is not that of the loss: use centred=False here")
    positive("tol", tol)
    decayed = names_that_decay(theta, decay or l1, decayed)
    names = list(theta)
    parts = [np.ravel(theta[name]).astype(float) for name in names]
    start = np.concatenate(parts)
    cuts = np.cumsum([part.size for part in parts])[:-1]
    shrinks = [np.full(p.size, name in decayed) for name, p in zip(names, parts, strict=True)]
    shrunk = np.flatnonzero(np.concatenate(shrinks))
    split = shrunk if l1 else shrunk[:0]  # parameters that have a negative part of their own

    def joined(z):
        """Parameters from the positive parts and, behind them, the negative ones."""
        flat = z[: start.size].copy()
        flat[split] -= z[start.size :]
        return flat

    def named(flat):
        pieces = zip(names, np.split(flat, cuts), strict=True)
        return {name: piece.reshape(theta[name].shape) for name, piece in pieces}

    def loss(z):
        flat = joined(z)
        gradient, info = objective.gradient(model, named(flat), x, weights, None)
        value = info["loss"] if "loss" in info else -info["log_likelihood"]
        value += 0.5 * decay * float(flat[shrunk] @ flat[shrunk])
        value += l1 * float(z[split].sum() + z[start.size :].sum())
        slope = np.concatenate([np.ravel(gradient[name]) for name in names]).astype(float)
        slope[shrunk] += decay * flat[shrunk]
        if not np.isfinite(value) or not np.isfinite(slope).all():
            return np.inf, np.zeros_like(z)  # the line search turns back
        down = l1 - slope[split]
        slope[split] += l1
        return value, np.concatenate([slope, down])

    history = []

    def watch(intermediate_result):
        history.append(float(intermediate_result.fun))
        if progress is not None:
            progress.advance(f"loss {history[-1]:.6g}")

    first = start.copy()
    first[split] = np.maximum(start[split], 0)
    bounds = np.full((start.size, 2), (-np.inf, np.inf))
    bounds[split, 0] = 0
    with threadpool_limits(1, user_api="blas"):  # threads take longer over its tiny matrices
        found = minimize(
            loss,
            np.concatenate([first, np.maximum(-start[split], 0)]),
            jac=True,
            method="L-BFGS-B",
            bounds=[*bounds, *[(0, np.inf)] * split.size] if l1 else None,
            callback=watch,
            options={
                "maxiter": positive_int("max_iter", max_iter),
                "maxfun": 20 * max_iter,
                "gtol": tol,
                "ftol": np.finfo(float).eps,
            },
        )
    end = named(joined(found.x))
    failure = divergence(end) if np.isfinite(found.fun) else "the loss was not finite at the start"
    end = {name: value.astype(theta[name].dtype) for name, value in end.items()}
    return Fitted(end, {"loss": np.array(history)}, int(found.nit), failure)
