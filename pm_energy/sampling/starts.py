"""Where runs begin, and whether they can."""

import numpy as np


def begin_at_base(walkers, path, plan, size, rng):
    """Put draws of the base everywhere, and move them where these are not exact.

    Parameters
    ----------
    walkers : Walkers
        Tuned and frozen.
    path : Path
    plan : Plan
    size : int
        How many.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (size,)
        Acceptance of the moves.

    Raises
    ------
    ValueError
        If a log-density is not a number.
    """
    put_states(walkers, path.draw_base(rng, size), rng)
    accepted = np.ones(size)
    if plan.n_sweeps[0]:
        accepted = walkers.move(rng, np.zeros(size, dtype=int), plan.n_sweeps[0])
    check_numbers(walkers, path)
    return accepted


def put_states(walkers, values, rng):
    """Give walkers, as many as there are values, states to go on from with fresh randomness.

    Parameters
    ----------
    walkers : Walkers
        Tuned and frozen.
    values : dict of str to ndarray, shape (n, ...)
    rng : numpy.random.Generator
    """
    n = len(next(iter(values.values())))
    if n != walkers.size:
        walkers.take(np.resize(np.arange(walkers.size), n))
    walkers.reseed(rng)
    walkers.put(values)


def check_numbers(walkers, path):
    """Stop where the log-density is not a number.

    Raises
    ------
    ValueError
        Naming the terms of the model.
    """
    bad = np.flatnonzero(~(walkers.log_ratio < np.inf))
    if bad.size:
        raise ValueError(
            f"the log-density of the target is not a number: {_explain(walkers, path, bad[0])}. "
            "It should be finite, or minus infinity, wherever the prior allows"
        )


def check_possible(walkers, path):
    """Stop where the target vanishes at every state.

    Raises
    ------
    ValueError
        Naming the terms of the model.
    """
    if (walkers.log_ratio == -np.inf).all():
        raise ValueError(
            f"the target vanishes at all {walkers.size} draws of the base: "
            f"{_explain(walkers, path, 0)}. Is the data possible under the model? If so, take more "
            "draws, or a base nearer to the target"
        )


def _explain(walkers, path, which):
    return path.explain({name: x[0] for name, x in walkers.values([which]).items()})
