"""From an estimator's settings to a fit, and what to say when it fails."""

import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning

from pm_energy.training.fit import dense_rows, fit
from pm_energy.training.full_batch import minimise
from pm_energy.training.optimisers import OPTIMISERS, Updates, make_optimiser
from pm_energy.training.progress import Progress
from pm_energy.training.recipe import is_deterministic, make_schedule

SOLVERS = ("auto", "lbfgs", *OPTIMISERS)
LINEAR = ("sgd", "momentum", "nesterov")  # whose step is a multiple of gradients
INSIDE = str(Path(__file__).parent), str(Path(sklearn.__file__).parent)
WORSE = 0.05  # share of the log-likelihood lost by learning that no noise explains


def solver_of(settings):
    """The solver that "auto" stands for: L-BFGS for a loss that is a function of the parameters."""
    if settings.solver != "auto":
        return settings.solver
    return "lbfgs" if is_deterministic(settings.objective) else "sgd"


def follows_centred(settings):
    """Whether the gradient is to be centred.

    A solver that scales each entry by itself would tear the terms apart that make up a centred
    gradient, and L-BFGS needs the gradient of its loss.
    """
    return settings.centred and solver_of(settings) in LINEAR


def learn(settings, model, theta, objective, x, rng, *, weights, read, track, n_epochs, schedule):
    """Learn by L-BFGS or by minibatches, as an estimator's parameters say.

    Parameters
    ----------
    settings : estimator
        With ``objective``, ``solver``, ``learning_rate``, ``batch_size``, ``weight_decay``,
        ``tol`` and ``verbose``.
    model, theta, objective, x, rng, weights, read
        As in :func:`pm_energy.training.fit.fit`.
    track : callable
        ``track(theta)``: dict of floats for the history.
    n_epochs : int
        Or iterations of L-BFGS.
    schedule : str
        Of the learning rate.

    Returns
    -------
    Fitted
    """
    solver = solver_of(settings)
    progress = Progress(f"fit {type(settings).__name__}", n_epochs, settings.verbose)
    with progress, np.errstate(over="ignore", invalid="ignore"):  # divergence has its own warning
        common = {"weights": weights, "decay": settings.weight_decay, "progress": progress}
        if solver == "lbfgs":
            rows = (read or dense_rows)(x, np.arange(x.shape[0]))
            fitted = minimise(
                model, theta, objective, rows, max_iter=n_epochs, tol=settings.tol, **common
            )
            if fitted.n_epochs >= n_epochs and not fitted.failure:
                warn(f"learning has not converged in n_iter={n_epochs} iterations: raise it or tol")
            return fitted
        n_steps = n_epochs * -(-x.shape[0] // settings.batch_size)
        rate = make_schedule(schedule, settings.learning_rate, n_steps)
        updates = Updates(make_optimiser(solver, rate), theta)
        return fit(
            model, theta, objective, x, updates, rng,
            batch_size=settings.batch_size, n_epochs=n_epochs, read=read, monitor=track, **common,
        )  # fmt: skip


def warn_of_failure(failure, before, after):
    """Warn if a fit diverged, or made the data less likely than independent units did.

    Parameters
    ----------
    failure : str
        Of a :class:`~pm_energy.training.fit.Fitted`.
    before, after : dict of str to float
        What was tracked at the start and at the end.
    """
    if failure:
        warn(
            f"learning diverged: {failure}. The parameters are those of the epoch before. Lower "
            "learning_rate"
        )
        return
    for name in before:
        if "likelihood" in name and after[name] < before[name] - WORSE * abs(before[name]):
            warn(
                f"learning made the data less likely: the {name.replace('_', ' ')} fell from "
                f"{before[name]:.4g} to {after[name]:.4g}. Lower learning_rate"
            )


def raise_divergence(failure, remedy="Lower learning_rate"):
    """Raise a FloatingPointError if learning a network diverged.

    Its parameters are then those of before, so that scores would be finite and mean nothing: that
    must not pass for a fit.

    Parameters
    ----------
    failure : str
        How, at which step, and what is kept; or empty.
    remedy : str
    """
    if failure:
        raise FloatingPointError(f"learning diverged: {failure}. {remedy}")


def warn(text):
    """Warn of learning that failed, with the line that called fit."""
    warnings.warn(text, ConvergenceWarning, skip_file_prefixes=INSIDE)
