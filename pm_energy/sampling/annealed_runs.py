"""Runs between the base and the target without resampling, and the work they take.

The work of a run is ``W = -sum_k (beta_k - beta_(k-1)) log_ratio(x_k)``: a forward run is moved
after each step in beta, so x_k belongs to the lower end; a reverse run to the upper end. Then
``<exp(-W)>`` over forward runs is Z_1 / Z_0, and ``<exp(W)>`` over reverse runs from the target is
Z_0 / Z_1 [1]_ [2]_. Both hold for any moves that leave each density invariant. Crooks' relation
between the two histograms [3]_ holds, too, if moves are reversible; a sweep through units in a
fixed order is not.

Where the target vanishes on a part of the base, forward runs that begin there have no weight, and
reverse runs never come there: ``<exp(W)>`` then lacks the rest of the base as a factor. Crooks'
relation, and that ``-log <exp(W)>`` is above log(Z_1 / Z_0), are not touched by it.

References
----------
.. [1] Jarzynski (1997), Phys. Rev. Lett. 78, 2690-2693.
.. [2] Neal (2001), Stat. Comput. 11, 125-139.
.. [3] Crooks (1999), Phys. Rev. E 60, 2721-2726.
"""

from dataclasses import dataclass, field

import numpy as np

from pm_energy.sampling.starts import begin_at_base, check_numbers, put_states


@dataclass
class Runs:
    """Some runs.

    Attributes
    ----------
    work : ndarray, shape (n,)
        In the forward sign: minus log weight of forward runs, log weight of reverse runs. Infinite
        for a forward run that began where the target vanishes.
    values : dict of str to ndarray, shape (n, ...)
        Where they ended. Meaningless where the work is infinite.
    interrupted : bool
        Then there is nothing.
    """

    work: np.ndarray = field(default_factory=lambda: np.empty(0))
    values: dict = field(default_factory=dict)
    interrupted: bool = False


def run_forward(walkers, path, plan, size, rng, report=lambda n: None):
    """Take independent draws of the base to the target.

    Parameters
    ----------
    walkers : Walkers
        With the ladder of the plan, tuned and frozen.
    path : Path
    plan : Plan
    size : int
        How many runs.
    rng : numpy.random.Generator
    report : callable
        ``report(1)`` after each step.

    Returns
    -------
    Runs
    """
    begin_at_base(walkers, path, plan, size, rng)
    # no move can start from probability zero: other states go on in the place of such ones
    possible = np.isfinite(walkers.log_ratio)
    work = np.where(possible, 0.0, np.inf)
    if possible.any():
        stand_in = np.resize(np.flatnonzero(possible), size)
        walkers.take(np.where(possible, np.arange(size), stand_in))
        for k in range(1, len(plan.beta)):
            work -= (plan.beta[k] - plan.beta[k - 1]) * walkers.log_ratio
            walkers.move(rng, np.full(size, k), plan.n_sweeps[k])
            check_numbers(walkers, path)
            report(1)
    return Runs(work, walkers.values(np.arange(size)))


def run_reverse(walkers, path, plan, starts, rng, report=lambda n: None):
    """Take states of the target to the base.

    Parameters
    ----------
    walkers, path, plan, rng, report
        As for :func:`run_forward`.
    starts : dict of str to ndarray, shape (n, ...)
        Draws of the target, of the value variables.

    Returns
    -------
    Runs

    Raises
    ------
    ValueError
        If the target vanishes at a start, or a log-density is not a number.
    """
    put_states(walkers, starts, rng)
    impossible = np.flatnonzero(walkers.log_ratio == -np.inf)
    if impossible.size:
        raise ValueError(f"the target vanishes at draw {impossible[0]} of target_draws")
    work = np.zeros(walkers.size)
    for k in range(len(plan.beta) - 1, 0, -1):
        check_numbers(walkers, path)
        work -= (plan.beta[k] - plan.beta[k - 1]) * walkers.log_ratio
        if k > 1:
            walkers.move(rng, np.full(walkers.size, k - 1), plan.n_sweeps[k - 1])
        report(1)
    return Runs(work, walkers.values(np.arange(walkers.size)))
