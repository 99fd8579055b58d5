"""One population, from the base to the target by a plan that it had no part in."""

from dataclasses import dataclass, field

import numpy as np

from pm_energy.kernels.resample import systematic
from pm_energy.paths.schedule import effective_fraction
from pm_energy.sampling.starts import begin_at_base, check_numbers, check_possible

PER_STEP = (
    "log_z", "ess", "mean_log_ratio", "var_log_ratio", "family_entropy", "rho_t", "acceptance"
)  # fmt: skip


@dataclass
class Population:
    """A population at the target.

    Attributes
    ----------
    values : dict of str to ndarray, shape (size, ...)
    log_ratio : ndarray, shape (size,)
    family : ndarray of int, shape (size,)
        Which founder, at the base, each member descends from.
    per_step : dict of str to ndarray, shape (n,)
        By the names in PER_STEP.
    interrupted : bool
        Then there is nothing.
    """

    values: dict = field(default_factory=dict)
    log_ratio: np.ndarray | None = None
    family: np.ndarray | None = None
    per_step: dict = field(default_factory=dict)
    interrupted: bool = False


def anneal_population(walkers, path, plan, size, rng, report=lambda n: None):
    """Weigh, resample and move a population at each beta of a plan.

    Parameters
    ----------
    walkers : Walkers
        With the ladder of the plan, tuned and frozen.
    path : Path
    plan : Plan
    size : int
        Members.
    rng : numpy.random.Generator
    report : callable
        ``report(1)`` after each step.

    Returns
    -------
    Population

    Raises
    ------
    ValueError
        If the target vanishes at all members, or a log-density is not a number.
    """
    accepted = begin_at_base(walkers, path, plan, size, rng)
    check_possible(walkers, path)
    family = np.arange(size)
    log_z, rows = 0.0, [(0.0, 1.0, *_state_of(walkers, family, accepted))]
    for k in range(1, len(plan.beta)):
        log_w = (plan.beta[k] - plan.beta[k - 1]) * walkers.log_ratio
        weights = np.exp(log_w - log_w.max())
        log_z += np.log(weights.mean()) + log_w.max()
        source = systematic(rng, weights)
        walkers.take(source)
        family = family[source]
        accepted = walkers.move(rng, np.full(size, k), plan.n_sweeps[k])
        check_numbers(walkers, path)
        rows.append((log_z, effective_fraction(log_w), *_state_of(walkers, family, accepted)))
        report(1)
    per_step = dict(zip(PER_STEP, np.array(rows).T, strict=True))
    values = walkers.values(np.arange(size))
    return Population(values, walkers.log_ratio.copy(), family, per_step)


def _state_of(walkers, family, accepted):
    """Moments of log_ratio, family entropy, mean square family size, acceptance."""
    mean = walkers.log_ratio.mean()  # minus infinity where the target vanishes at a member
    variance = walkers.log_ratio.var() if np.isfinite(mean) else np.nan
    share = np.bincount(family) / family.size
    share = share[share > 0]
    entropy = -(share * np.log(share)).sum()
    counted = accepted[~np.isnan(accepted)]
    acceptance = counted.mean() if counted.size else np.nan
    return mean, variance, entropy, family.size * (share**2).sum(), acceptance
