"""Learning by a number of steps on random rows, with an eye on the loss."""

import numpy as np
from threadpoolctl import threadpool_limits

from pm_energy.training.fit import Fitted, divergence
from pm_energy.validate import positive_int

BLOCK = 50  # steps between two looks at the loss
FAR = 100.0  # times the size of the loss in the first block: no minimum is there


def fit_steps(
    model, theta, objective, x, updates, rng, *, batch_size=128, n_steps=1000, progress=None
):
    """Learn parameters by updates on batches of rows drawn with replacement.

    Parameters
    ----------
    model, theta, objective, x, updates, rng
        As in :func:`pm_energy.training.fit.fit`; the objective says its loss.
    batch_size, n_steps : int
    progress : Progress, optional
        Advanced by a block of 50 steps at a time.

    Returns
    -------
    Fitted
        With the mean loss of each block as ``history["loss"]``, and steps as ``n_epochs``. If the
        loss or a parameter leaves all bounds, ``failure`` names the step and theta is what it was
        at the end of the last good block.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.training.optimisers import Updates, make_optimiser
    >>> from pm_energy.training.score_fit import fit_steps
    >>> from pm_energy.training.score_matching import ExplicitScoreMatching
    >>> from pm_energy.training.score_model import ScoreModel
    >>> model = ScoreModel(pme.GaussianMixtureEnergy([1.0], [[0.0]]), learn="means")
    >>> theta, rng = model.initial(), np.random.default_rng(0)
    >>> x = rng.normal(3.0, 1.0, size=(1000, 1))
    >>> updates = Updates(make_optimiser("sgd", 0.05), theta)
    >>> fitted = fit_steps(model, theta, ExplicitScoreMatching(), x, updates, rng, n_steps=200)
    >>> bool(abs(fitted.theta["means"].item() - 3.0) < 0.1)
    True
    """
    n, n_steps = len(x), positive_int("n_steps", n_steps)
    size = min(positive_int("batch_size", batch_size), n)
    good, losses, watched, done, failure = theta, [], [], 0, ""
    with threadpool_limits(1, user_api="blas"), np.errstate(over="ignore", invalid="ignore"):
        for step in range(1, n_steps + 1):
            gradient, info = objective.gradient(
                model, theta, x[rng.integers(n, size=size)], None, rng
            )
            watched.append(info["loss"])
            if not np.isfinite(watched[-1]):
                failure = f"the loss was {watched[-1]} at step {step}"
                break
            theta = updates(theta, gradient)
            if step % BLOCK and step < n_steps:
                continue
            mean = float(np.mean(watched))
            failure = _failure(theta, mean, losses, step)
            if failure:
                break
            good, watched, done = theta, [], step
            losses.append(mean)
            if progress is not None:
                progress.advance(f"loss {mean:.4g}")
    return Fitted(good, {"loss": np.array(losses)}, done, failure)


def _failure(theta, loss, losses, step):
    found = divergence(theta)
    if found:
        return f"{found} by step {step}"
    if losses and abs(loss) > FAR * (1.0 + abs(losses[0])):
        return f"the loss went from {losses[0]:.4g} to {loss:.4g} by step {step}"
    return ""
