"""Learning by a number of steps on random rows, with an eye on divergence."""

from collections import defaultdict

import numpy as np
from threadpoolctl import threadpool_limits

from pm_energy.training.fit import Fitted, divergence
from pm_energy.validate import positive_int

BLOCK = 50  # steps between two looks
FAR = 100.0  # times the size of a loss in the first block: no minimum is there


def fit_steps(
    model,
    theta,
    objective,
    x,
    updates,
    rng,
    *,
    batch_size=128,
    n_steps=1000,
    history=None,
    progress=None,
):
    """Learn parameters by updates on batches of rows drawn with replacement.

    Parameters
    ----------
    model, theta, objective, x, updates, rng
        As in :func:`pm_energy.training.fit.fit`; the objective says what there is to watch: its
        loss or, where it follows none, another number that shows divergence.
    batch_size, n_steps : int
    history : dict of str to array, optional
        Of an earlier run, which this one goes on from.
    progress : Progress, optional
        Advanced by a block of 50 steps at a time.

    Returns
    -------
    Fitted
        With the mean over each block of all that was watched as ``history``, and steps as
        ``n_epochs``. If one of these or a parameter leaves all bounds, ``failure`` names the step
        and theta is what it was at the end of the last good block.

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
    curves = {name: list(values) for name, values in (history or {}).items()}
    good, watched, done, failure = theta, defaultdict(list), 0, ""
    with threadpool_limits(1, user_api="blas"), np.errstate(over="ignore", invalid="ignore"):
        for step in range(1, n_steps + 1):
            gradient, info = objective.gradient(
                model, theta, x[rng.integers(n, size=size)], None, rng
            )
            for name, value in info.items():
                watched[name].append(value)
            failure = _not_finite(info, step)
            if failure:
                break
            theta = updates(theta, gradient)
            if step % BLOCK and step < n_steps:
                continue
            means = {name: float(np.mean(values)) for name, values in watched.items()}
            failure = _failure(theta, means, curves, step)
            if failure:
                break
            good, watched, done = theta, defaultdict(list), step
            for name, mean in means.items():
                curves.setdefault(name, []).append(mean)
            if progress is not None:
                said = (f"{name.replace('_', ' ')} {mean:.4g}" for name, mean in means.items())
                progress.advance(", ".join(said))
    return Fitted(good, {k: np.array(v) for k, v in curves.items()}, done, failure)


def _not_finite(info, step):
    for name, value in info.items():
        if not np.isfinite(value):
            return f"the {name.replace('_', ' ')} was {value} at step {step}"
    return ""


def _failure(theta, means, curves, step):
    found = divergence(theta)
    if found:
        return f"{found} by step {step}"
    for name, mean in means.items():
        first = curves.get(name, [mean])[0]
        if abs(mean) > FAR * (1.0 + abs(first)):
            return (
                f"the {name.replace('_', ' ')} went from {first:.4g} to {mean:.4g} by step {step}"
            )
    return ""
