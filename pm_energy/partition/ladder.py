"""Draws of the log-ratio on a ladder of inverse temperatures: checks, and ladders by chain."""

import functools

import numpy as np

from pm_energy.partition.result import Estimate


def check_ladder(log_ratio, beta):
    """Return draws (chain, draw, level) and ladders (chain, level) as checked float arrays.

    Raises
    ------
    ValueError
        If shapes do not fit, a ladder does not increase, or a draw is NaN or infinite where it
        must not be. -inf is a value at beta = 0 alone: elsewhere such a state has no density.
    """
    log_ratio = np.asarray(log_ratio, dtype=float)
    beta = np.asarray(beta, dtype=float)
    if log_ratio.ndim != 3 or log_ratio.size == 0 or log_ratio.shape[2] < 2:
        raise ValueError(
            "log_ratio must have shape (chain, draw, level) with draws and at least 2 levels, got "
            f"{log_ratio.shape}"
        )
    chains, _, levels = log_ratio.shape
    if beta.shape not in {(levels,), (chains, levels)}:
        raise ValueError(
            f"beta must have shape ({levels},) or ({chains}, {levels}) to fit log_ratio, got "
            f"{beta.shape}"
        )
    beta = np.broadcast_to(beta, (chains, levels))
    check_increasing(beta)
    check_log_ratio(log_ratio, np.broadcast_to(beta[:, None], log_ratio.shape))
    return log_ratio, beta


def check_wandering(log_ratio, beta, level):
    """Return the draws of one state that wanders over levels, checked.

    Raises
    ------
    ValueError
        If shapes do not fit, the ladder does not increase, a level does not exist, or a draw is NaN
        or infinite where it must not be.
    """
    log_ratio, beta = np.asarray(log_ratio, dtype=float), np.asarray(beta, dtype=float)
    level = np.asarray(level)
    if log_ratio.ndim != 2 or log_ratio.size == 0 or level.shape != log_ratio.shape:
        raise ValueError(
            "log_ratio and level must both have shape (chain, draw) with draws, got "
            f"{log_ratio.shape} and {level.shape}"
        )
    check_levels(beta)
    if level.dtype.kind not in "iu" or level.min() < 0 or level.max() >= beta.size:
        raise ValueError(f"level must hold integers from 0 to {beta.size - 1}, got {level}")
    check_log_ratio(log_ratio, beta[level])
    return log_ratio, beta, level


def check_levels(beta):
    """Raise a ValueError unless a single ladder has two levels and increases."""
    if beta.ndim != 1 or beta.size < 2:
        raise ValueError(f"beta must have shape (level,) with at least 2 levels, got {beta.shape}")
    check_increasing(beta)


def check_increasing(beta):
    """Raise a ValueError unless inverse temperatures increase along the last axis."""
    if not np.isfinite(beta).all() or (np.diff(beta) <= 0).any():
        raise ValueError(f"beta must be finite and increase from level to level, got {beta}")


def check_log_ratio(log_ratio, beta):
    """Raise a ValueError for draws of the log-ratio that cannot be; ``beta`` of each draw."""
    if np.isnan(log_ratio).any():
        raise ValueError(
            f"log_ratio is NaN in {np.isnan(log_ratio).sum()} of {log_ratio.size} draws: the "
            "log-density of the base or the target is NaN there. Find that state, mend the model "
            "and sample again"
        )
    if np.isposinf(log_ratio).any() or (np.isneginf(log_ratio) & (beta != 0)).any():
        raise ValueError(
            "log_ratio is infinite at beta > 0: a walker sits where base or target have no "
            "density. Mend the model and sample again"
        )


def by_ladder(estimator):
    """Let an estimator for one ladder take one for each chain.

    Chains with the same ladder are pooled. Estimates on different ladders are averaged with their
    numbers of chains for weights.
    """

    @functools.wraps(estimator)
    def estimate(log_ratio, beta):
        log_ratio, beta = check_ladder(log_ratio, beta)
        return average_alike(lambda chains, row: estimator(log_ratio[chains], row), beta)

    return estimate


def average_alike(estimator, rows):
    """Pool chains that are alike, and average over kinds of chains by their numbers.

    Parameters
    ----------
    estimator : callable
        Takes a mask of chains and their common row, and returns an Estimate from their draws.
    rows : ndarray (chain, ...)
        What chains may have in common.

    Returns
    -------
    Estimate
    """
    kinds, which = np.unique(rows, axis=0, return_inverse=True)
    masks = [which.ravel() == k for k in range(len(kinds))]
    parts = [estimator(mask, row) for mask, row in zip(masks, kinds, strict=True)]
    size = np.array([mask.mean() for mask in masks])
    shares = np.empty((len(rows), parts[0].shares[0].shape[1]))
    for mask, part in zip(masks, parts, strict=True):
        shares[mask] = part.shares[0]
    return Estimate(
        value=float(size @ [part.value for part in parts]),
        method=parts[0].method,
        shares=(shares,),
        lower=float(size @ [part.lower for part in parts]),
        upper=float(size @ [part.upper for part in parts]),
    )
