"""The fit loop: minibatches, penalties, updates, and an eye on divergence."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.sparse import issparse

LIMIT = 1e4  # of a parameter, in kT: an odds ratio of exp(LIMIT) is no estimate of anything


@dataclass
class Fitted:
    """What a fit leaves behind.

    Attributes
    ----------
    theta : dict of str to array
        The parameters; the last finite ones if the fit diverged.
    history : dict of str to array, shape (n_epochs,)
    n_epochs : int
        Passes over the data that were finished, or iterations.
    failure : str
        Empty, or how the fit diverged.
    """

    theta: dict
    history: dict
    n_epochs: int
    failure: str = ""


def fit(
    model,
    theta,
    objective,
    x,
    updates,
    rng,
    *,
    weights=None,
    batch_size=100,
    n_epochs=1,
    decay=0.0,
    decayed=("weights",),
    read=None,
    monitor=None,
    progress=None,
):
    """Learn parameters from data.

    Parameters
    ----------
    model : Model
    theta : dict of str to array
        Where to start; not changed.
    objective : object
        With ``gradient(model, theta, x, weights, rng)``, such as
        :class:`~pm_energy.training.likelihood.PersistentCD`.
    x : array or sparse matrix, shape (N, n)
    updates : callable
        ``theta = updates(theta, gradient)``, such as
        :class:`~pm_energy.training.optimisers.Updates`.
    rng : numpy.random.Generator
    weights : array, shape (N,), optional
        Of the rows.
    batch_size, n_epochs : int
    decay : float
        Weight decay: adds ``decay / 2 * theta**2`` of the parameters named in ``decayed``.
    decayed : tuple of str
    read : callable, optional
        ``read(x, rows)`` returns a batch as a dense array; by default the rows as they are, those
        of a sparse matrix made dense.
    monitor : callable, optional
        ``monitor(theta)`` after each epoch: dict of floats for the history.
    progress : Progress, optional
        Advanced by an epoch at a time.

    Returns
    -------
    Fitted

    Raises
    ------
    ValueError
        If ``decayed`` names no parameter.
    """
    n = x.shape[0]
    decayed = names_that_decay(theta, decay, decayed)
    read = read or dense_rows
    history = defaultdict(list)
    failure, finished = "", 0
    full = min(batch_size, n)
    scale = None if weights is None else 1.0 / np.mean(weights)
    for epoch in range(n_epochs):
        good, watched = theta, defaultdict(list)
        order = rng.permutation(n)
        for first in range(0, n, batch_size):
            rows = order[first : first + batch_size]
            batch = read(x, rows)
            share = None if weights is None else weights[rows]
            if share is not None and not share.any():
                continue
            gradient, info = objective.gradient(model, theta, batch, share, rng)
            for name in decayed:
                gradient[name] = gradient[name] + decay * theta[name]
            part = len(rows) / full  # so that an epoch gives each row its weight
            part *= 1.0 if share is None else scale * np.mean(share)
            if part != 1.0:
                gradient = {k: (part * g).astype(g.dtype, copy=False) for k, g in gradient.items()}
            theta = updates(theta, gradient)
            for name, value in info.items():
                watched[name].append(value)
        failure = divergence(theta)
        if failure:
            failure += f" in epoch {epoch + 1}"
            theta = good
            break
        finished += 1
        found = {name: float(np.mean(values)) for name, values in watched.items()}
        found |= monitor(theta) if monitor is not None else {}
        for name, value in found.items():
            history[name].append(value)
        if progress is not None:
            progress.advance(", ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in found.items()))
    return Fitted(theta, {k: np.array(v) for k, v in history.items()}, finished, failure)


def dense_rows(x, rows):
    """Return rows of an array or a sparse matrix as an array."""
    return x[rows].toarray() if issparse(x) else x[rows]


def names_that_decay(theta, decay, decayed):
    """Return the names, none without decay, or raise a ValueError where theta lacks one."""
    unknown = sorted(set(decayed) - set(theta))
    if decay and unknown:
        raise ValueError(f"decayed must name parameters of {list(theta)}, got {unknown}")
    return tuple(decayed) if decay else ()


def divergence(theta):
    """Say which parameter is not finite or far too large, or return an empty text."""
    for name, value in theta.items():
        worst = np.max(np.abs(value)) if value.size else 0.0
        if not worst < LIMIT:  # NaN, too
            return f"{name} reached {worst:.3g}"
    return ""
