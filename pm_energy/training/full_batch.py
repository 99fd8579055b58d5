"""Deterministic objectives on all the data at once, by a quasi-Newton method."""

import numpy as np
from scipy.optimize import minimize

from pm_energy.training.fit import Fitted, divergence, names_that_decay
from pm_energy.training.flips import FlipObjective
from pm_energy.training.likelihood import ExactLikelihood
from pm_energy.validate import positive, positive_int


def minimise(
    model,
    theta,
    objective,
    x,
    weights=None,
    *,
    decay=0.0,
    decayed=("weights",),
    max_iter=500,
    tol=1e-6,
    progress=None,
):
    """Minimise a loss over all parameters by L-BFGS [1]_.

    Parameters
    ----------
    model : Model
    theta : dict of str to array
        Where to start; not changed. The loss is evaluated at float64 parameters.
    objective : ExactLikelihood or FlipObjective
        Those whose loss is a function of the parameters.
    x : array or sparse matrix, shape (N, n)
    weights : array, shape (N,), optional
        Of the rows.
    decay : float
        Weight decay: adds ``decay / 2 * theta**2`` of the parameters named in ``decayed``.
    decayed : tuple of str
    max_iter : int
    tol : float
        Largest entry of the gradient at which to stop.
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
    .. [1] Liu & Nocedal (1989), Mathematical Programming 45, 503-528.

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
    if not isinstance(objective, ExactLikelihood | FlipObjective):
        raise ValueError(
            f"objective must be ExactLikelihood or FlipObjective, got "
            f"{type(objective).__name__}, whose gradient is estimated from chains: use fit"
        )
    if getattr(objective, "centred", False):
        raise ValueError("a centred gradient is not that of the loss: use centred=False here")
    positive("tol", tol)
    decayed = names_that_decay(theta, decay, decayed)
    names = list(theta)
    cuts = np.cumsum([theta[name].size for name in names])[:-1]

    def unpacked(flat):
        parts = np.split(flat, cuts)
        return {k: p.reshape(theta[k].shape) for k, p in zip(names, parts, strict=True)}

    def loss(flat):
        at = unpacked(flat)
        gradient, info = objective.gradient(model, at, x, weights, None)
        value = info["loss"] if "loss" in info else -info["log_likelihood"]
        for name in decayed:
            value += 0.5 * decay * float((at[name] ** 2).sum())
            gradient[name] = gradient[name] + decay * at[name]
        slope = np.concatenate([np.ravel(gradient[name]) for name in names])
        if not np.isfinite(value) or not np.isfinite(slope).all():
            return np.inf, np.zeros_like(slope)  # the line search turns back
        return value, slope

    history = []

    def watch(intermediate_result):
        history.append(float(intermediate_result.fun))
        if progress is not None:
            progress.advance(f"loss {history[-1]:.6g}")

    found = minimize(
        loss,
        np.concatenate([np.ravel(theta[name]).astype(float) for name in names]),
        jac=True,
        method="L-BFGS-B",
        callback=watch,
        options={
            "maxiter": positive_int("max_iter", max_iter),
            "maxfun": 20 * max_iter,
            "gtol": tol,
            "ftol": np.finfo(float).eps,
        },
    )
    end = unpacked(found.x)
    failure = divergence(end) if np.isfinite(found.fun) else "the loss was not finite at the start"
    end = {name: value.astype(theta[name].dtype) for name, value in end.items()}
    return Fitted(end, {"loss": np.array(history)}, int(found.nit), failure)
