"""Should a tempered run be trusted? Checks that answer in plain words.

Drivers log what :func:`check_tempering` says; :mod:`pm_energy.diagnostics` tabulates and draws the
same numbers.
"""

import numpy as np
import xarray as xr

from pm_energy.index_process import (
    completed_trips,
    round_trip_bound,
    swap_probability,
    walker_levels,
)
from pm_energy.partition import check_evidence, mcse_of_mean, second_law
from pm_energy.partition.checks import MIN_ROUND_TRIPS
from pm_energy.partition.groups import KINDS

MADE_BY = {name: driver for name, (_, driver) in KINDS.items()}
MIN_ACCEPTANCE = 0.05
MIN_EFFICIENCY = 0.1  # round trips seen over those that swaps allow; .3 to 1 is usual
MIN_STEP_ESS = 0.1  # of the population
MIN_SHARE = 0.1  # of the visits that a level would get if all got the same
CLEAR = 5  # errors apart; those of single chains are rough


def tempered_group(data, name):
    """Return a group that a tempering driver made.

    Parameters
    ----------
    data : DataTree or Dataset
        What the driver returned, or the group itself.
    name : str
        Name of the group.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If there is no such group, naming the driver that makes it.
    """
    if isinstance(data, xr.Dataset):
        return data
    if not isinstance(data, xr.DataTree):
        raise ValueError(f"expected a DataTree from {MADE_BY[name]}, got {type(data).__name__}")
    if name not in data.children:
        raise ValueError(
            f"there is no group {name!r}, which {MADE_BY[name]} makes; "
            f"there are {sorted(data.children)}"
        )
    return data[name].to_dataset()


def groups_of(data):
    """Names of the groups that tempering drivers made; a ValueError if there are none."""
    there = [name for name in MADE_BY if isinstance(data, xr.DataTree) and name in data.children]
    if not there:
        raise ValueError(
            f"expected a DataTree with one of the groups {list(MADE_BY)}, as "
            f"{', '.join(MADE_BY.values())} make them"
        )
    return there


def check_tempering(data):
    """Reasons not to trust a tempered run, in plain words.

    Parameters
    ----------
    data : DataTree
        As a tempering driver returns it; all groups that it has are checked.

    Returns
    -------
    list of str
        Empty if nothing speaks against the run. That is no proof: a mode that no walker ever found
        leaves no trace.

    Raises
    ------
    ValueError
        If there is no group of any tempering driver.

    Notes
    -----
    Of all runs but annealed importance sampling's, it asks how states travelled: whether swaps are
    accepted, walkers cross the ladder, levels are visited, members move. To this it adds what
    :func:`pm_energy.partition.check_evidence` says of log Z: round trips, overlaps, families,
    estimates that disagree.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import pm_energy as pme
    >>> stuck = xr.Dataset(
    ...     {
    ...         "beta": (("chain", "level"), [[0.0, 0.1, 1.0]]),
    ...         "swap_acceptance": (("chain", "pair"), [[0.5, 0.001]]),
    ...         "replica": (("chain", "draw", "level"), np.tile([1, 0, 2], (1, 60, 1))),
    ...         "log_ratio": (("chain", "draw", "level"), np.tile([-9.0, -8, -1], (1, 60, 1))),
    ...     },
    ...     attrs={"log_z_base": 0.0},
    ... )
    >>> reasons = pme.diagnostics.check_tempering(xr.DataTree.from_dict({"tempering": stuck}))
    >>> reasons[0][:72]
    'Swaps are hardly ever accepted: 0.001 between beta 0.1 and 1 in chain 0.'
    """
    checks = {
        "tempering": _check_ladder,
        "simulated_tempering": _check_levels,
        "population": _check_population,
        "work": _check_work,
    }
    found = []
    for name in groups_of(data):
        found += checks[name](data[name].to_dataset())
    try:
        return [*found, *check_evidence(data)]
    except ValueError as error:  # draws that allow no estimate: the run is not lost for that
        return [*found, f"There is no estimate of log Z: {error}"]


def _check_ladder(group):
    replica, log_ratio = group["replica"].values, group["log_ratio"].values
    beta, acceptance = group["beta"].values, group["swap_acceptance"].values
    weak = [
        f"{acceptance[chain, pair]:.2g} between beta {beta[chain, pair]:.3g} and "
        f"{beta[chain, pair + 1]:.3g} in chain {chain}"
        for chain, pair in np.argwhere(acceptance < MIN_ACCEPTANCE)
    ]
    if weak:
        yield (
            f"Swaps are hardly ever accepted: {_listing(weak)}. The ladder is cut in two there; "
            "take more replicas, or tune longer"
        )
    levels, top = walker_levels(replica), replica.shape[-1] - 1
    counts = completed_trips(levels, top).sum(axis=(1, 2))
    allowed = round_trip_bound(1 - acceptance) * replica.shape[1]
    slow = [
        f"{counts[chain]} in chain {chain}, of {allowed[chain]:.0f}"
        for chain in np.flatnonzero(counts < MIN_EFFICIENCY * allowed)
        if allowed[chain] >= MIN_ROUND_TRIPS
    ]
    if slow:
        yield (
            f"There are far fewer round trips than the swaps allow: {_listing(slow)}. What is slow "
            "are the moves within a level: take more of them between swaps, or a better step"
        )
    stays = (levels.max(axis=1) < top / 2) | (levels.min(axis=1) > top / 2)
    confined = [f"{n} of {top + 1} in chain {chain}" for chain, n in enumerate(stays.sum(-1)) if n]
    if confined:
        yield (
            f"Walkers never left their half of the ladder: {_listing(confined)}. Those near the "
            "target know of other modes only what they started with. Draw more"
        )
    yield from _check_barrier((1 - swap_probability(beta, log_ratio)).sum(-1))


def _check_barrier(barrier):
    """Compare the barriers of chains, the means of (chain, draw)."""
    mean, error = barrier.mean(1), np.array([mcse_of_mean(row[None]) for row in barrier])
    low, high = mean.argmin(), mean.argmax()
    gap = mean[high] - mean[low]
    # chains have ladders of their own, on which sums of rejections differ a little
    if gap > CLEAR * np.hypot(error[low], error[high]) and gap > 0.1 * mean[high]:
        yield (
            f"Chains disagree about the barrier between base and target: "
            f"{mean[low]:.2f} ± {error[low]:.2f} in chain {low}, "
            f"{mean[high]:.2f} ± {error[high]:.2f} in chain {high}. They saw different parts of "
            "the space; tune longer, with more replicas"
        )


def _check_levels(group):
    level, beta = group["level"].values, group["beta"].values
    fair = 1 / beta.size
    visits = np.stack([np.bincount(row, minlength=beta.size) for row in level]) / level.shape[1]
    rare = [
        f"level {k} (beta {beta[k]:.3g}) {100 * visits[chain, k]:.2g}% in chain {chain}"
        for chain, k in np.argwhere(visits < MIN_SHARE * fair)
    ]
    if rare:
        yield (
            f"Levels are hardly visited, where {100 * fair:.2g}% would be a fair share: "
            f"{_listing(rare)}. Their weights are wrong or the ladder is too coarse: tune longer"
        )


def _check_population(group):
    beta = group["beta"].values
    for name, floor, text in (
        ("ess", MIN_STEP_ESS, "Steps in beta are too long: the effective fraction of weights is"),
        ("acceptance", MIN_ACCEPTANCE, "Members hardly move: the acceptance is"),
    ):
        values = group[name].values[:, 1:]  # nothing leads to beta = 0
        low = [
            f"{values[chain, step]:.2g} at beta {beta[step + 1]:.3g} in chain {chain}"
            for chain, step in np.argwhere(values < floor)
        ]
        if low:
            yield f"{text} {_listing(low)}"


def _check_work(group):
    names = ("forward", "reverse")
    if not all(name in group and np.isfinite(group[name]).all() for name in names):
        return
    law = second_law(xr.DataTree.from_dict({"work": group}))
    if not law["holds"]:
        forward, reverse = law["mean_work"].values
        yield (
            f"The second law is broken: the mean work of forward runs, {forward:.3g}, should be "
            f"above the free energy, {float(law['free_energy']):.3g}, and that of reverse runs, "
            f"{reverse:.3g}, below. The reverse runs did not start in the target, or a move does "
            "not leave its density invariant"
        )


def _listing(parts, limit=4):
    """Join parts with commas, the first few of many."""
    more = f" and {len(parts) - limit} more" if len(parts) > limit else ""
    return ", ".join(parts[:limit]) + more
