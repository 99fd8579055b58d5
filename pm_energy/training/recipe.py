"""Objectives and schedules by name, as estimators take them."""

from pm_energy.training.flips import FLIP_KINDS, FlipObjective
from pm_energy.training.likelihood import (
    ContrastiveDivergence,
    ExactLikelihood,
    PersistentCD,
    TemperedCD,
)
from pm_energy.training.schedules import Constant, Cosine, WarmUpStableDecay

LIKELIHOODS = ("pcd", "cd", "tempered", "exact")
OBJECTIVES = (*LIKELIHOODS, *FLIP_KINDS)
SCHEDULES = ("linear", "cosine", "constant")


def is_deterministic(name):
    """Whether an objective has a loss that a quasi-Newton method can follow."""
    return name == "exact" or name in FLIP_KINDS


def make_objective(name, *, n_chains=100, n_sweeps=1, betas=None, centred=False):
    """Return the objective of that name.

    Parameters
    ----------
    name : str
        "pcd", "cd", "tempered", "exact", "pseudolikelihood", "ratio-matching" or
        "probability-flow".
    n_chains, n_sweeps : int
        Of the sampled ones.
    betas : array_like, optional
        Ladder of "tempered".
    centred : bool
        Whether likelihood gradients are centred.

    Examples
    --------
    >>> from pm_energy.training.recipe import make_objective
    >>> make_objective("pcd", n_chains=10).n_chains
    10
    """
    match name:
        case "pcd":
            return PersistentCD(n_chains, n_sweeps, centred=centred)
        case "cd":
            return ContrastiveDivergence(n_sweeps, centred=centred)
        case "tempered":
            return TemperedCD(n_chains, betas, n_sweeps, centred=centred)
        case "exact":
            return ExactLikelihood(centred=centred)
    if name not in FLIP_KINDS:
        raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, got {name!r}")
    return FlipObjective(name)


def make_schedule(name, rate, n_steps):
    """Return a schedule over so many updates: constant, or falling to zero.

    Examples
    --------
    >>> from pm_energy.training.recipe import make_schedule
    >>> float(make_schedule("linear", 0.1, 10)(5))
    0.05
    """
    match name:
        case "linear":
            return WarmUpStableDecay(rate, n_steps, warm_up=0, decay=n_steps)
        case "cosine":
            return Cosine(rate, n_steps)
        case "constant":
            return Constant(rate)
    raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {name!r}")
