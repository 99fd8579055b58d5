"""What a tempered run did: its ladder, its swaps, and how its walkers travelled.

Each function takes what a tempering driver returned, or the group it wrote, and returns a Dataset;
its plot is in :mod:`~pm_energy.diagnostics.plot_ladders` or
:mod:`~pm_energy.diagnostics.plot_travel`.
"""

import numpy as np
import xarray as xr
from scipy.interpolate import PchipInterpolator

from pm_energy.index_process import completed_trips, round_trip_bound, walker_levels
from pm_energy.trust import tempered_group

POINTS = 16  # of the barrier's curve between two levels


def ladder_profile(data):
    r"""Ladder of a parallel tempering run, and how often its neighbours swap.

    The rejection rates r of swaps add up to the communication barrier :math:`\Lambda(\beta_k) =
    \sum_{j<k} r_j` between the base and level k; :math:`\Lambda(1)` hardly depends on the ladder,
    and about :math:`2 \Lambda(1) + 1` replicas serve best [1]_.

    Parameters
    ----------
    data : DataTree or Dataset
        From ``pme.sample_parallel_tempering``, or its group "tempering".

    Returns
    -------
    Dataset
        ``beta`` (chain, level); ``swap_acceptance`` and ``rejection`` (chain, pair), pair k being
        levels k and k + 1; ``barrier`` (chain, level); ``total_barrier`` (chain); and the history
        of tuning as recorded.

    Raises
    ------
    ValueError
        If there is no such group.

    References
    ----------
    .. [1] Syed, Bouchard-Cote, Deligiannidis & Doucet (2022), JRSS B 84, 321-350.

    Examples
    --------
    >>> import xarray as xr
    >>> import pm_energy as pme
    >>> run = xr.Dataset(
    ...     {
    ...         "beta": (("chain", "level"), [[0.0, 0.2, 1.0]]),
    ...         "swap_acceptance": (("chain", "pair"), [[0.5, 0.75]]),
    ...     }
    ... )
    >>> dt = xr.DataTree.from_dict({"tempering": run})
    >>> pme.diagnostics.ladder_profile(dt)["barrier"].values
    array([[0.  , 0.5 , 0.75]])
    """
    group = tempered_group(data, "tempering")
    rejection = 1 - group["swap_acceptance"]
    steps = rejection.values
    barrier = np.concatenate([np.zeros((len(steps), 1)), steps.cumsum(1)], axis=1)
    history = [name for name in ("beta_history", "rejection_history") if name in group]
    return group[["beta", "swap_acceptance", *history]].assign(
        rejection=rejection,
        barrier=group["beta"].copy(data=barrier),
        total_barrier=rejection.sum("pair"),
    )


def communication_barrier(data):
    r"""Communication barrier between the base and each beta, and its density.

    A monotone cubic through the sums of rejection rates of :func:`ladder_profile` [1]_, in the
    coordinate :math:`\sinh^{-1}(\beta / \beta_1)`, where ladders are about even. Its slope, the
    local barrier :math:`\lambda(\beta)`, is large where the density changes quickly with beta; a
    peak marks something like a phase transition.

    Parameters
    ----------
    data : DataTree or Dataset
        As for :func:`ladder_profile`.

    Returns
    -------
    Dataset
        ``barrier`` and ``local_barrier`` (chain, beta), at a fine grid of ``beta`` from 0 to 1.

    Raises
    ------
    ValueError
        If there is no group "tempering".

    References
    ----------
    .. [1] Syed, Bouchard-Cote, Deligiannidis & Doucet (2022), JRSS B 84, 321-350.
    """
    profile = ladder_profile(data)
    ladders = profile["beta"].values
    knots = np.unique(ladders)
    # the same relative grid between any two levels, which may lie orders of magnitude apart
    grid = knots[:-1, None] + np.diff(knots)[:, None] * np.linspace(0, 1, POINTS, endpoint=False)
    grid = np.append(grid, knots[-1])
    rows, slopes = [], []
    for ladder, barrier in zip(ladders, profile["barrier"].values, strict=True):
        unit = ladder[1]
        curve = PchipInterpolator(np.arcsinh(ladder / unit), barrier)
        rows.append(curve(np.arcsinh(grid / unit)))
        slopes.append(curve(np.arcsinh(grid / unit), 1) / np.hypot(grid, unit))
    values = {
        "barrier": (("chain", "beta"), np.stack(rows)),
        "local_barrier": (("chain", "beta"), np.stack(slopes)),
    }
    return xr.Dataset(values, coords={"beta": grid, **_chain_of(profile)})


def replica_levels(data):
    """Level of each replica at each kept draw, and how it shared its time between levels.

    Parameters
    ----------
    data : DataTree or Dataset
        As for :func:`ladder_profile`.

    Returns
    -------
    Dataset
        ``level`` (chain, draw, replica) and ``share`` (chain, replica, at_level), the fraction of
        draws that a replica was at a level; 1 / n_levels everywhere in a long run that mixes.

    Raises
    ------
    ValueError
        If there is no group "tempering", or its index process is not one.
    """
    group = tempered_group(data, "tempering")
    replica = group["replica"].values
    levels = walker_levels(replica)
    share = np.stack([(levels == k).mean(axis=1) for k in range(levels.shape[-1])], axis=-1)
    values = {
        "level": (("chain", "draw", "replica"), levels),
        "share": (("chain", "replica", "at_level"), share),
    }
    return xr.Dataset(values, coords=_chain_of(group))


def round_trips(data):
    r"""Round trips of walkers: from the base to the target and back.

    What comes back to the base forgets where it was, so a round trip is worth about one independent
    restart. Their rate, over all walkers, has a bound set by the swaps alone,

    .. math:: \tau = \frac{1}{2 + 2 \sum_k r_k / (1 - r_k)}

    trips a swap round with rejection rates r of alternating even and odd swaps [1]_. A rate far
    below it means that the moves within levels are slow.

    Parameters
    ----------
    data : DataTree or Dataset
        As for :func:`ladder_profile`.

    Returns
    -------
    Dataset
        ``completed`` (chain, draw), trips so far; ``count`` (chain, replica); ``rate`` (chain), in
        trips a kept draw; ``rate_bound`` (chain). A run that swaps several times between kept draws
        may exceed the bound.

    Raises
    ------
    ValueError
        If there is no group "tempering", or its index process is not one.

    References
    ----------
    .. [1] Syed, Bouchard-Cote, Deligiannidis & Doucet (2022), JRSS B 84, 321-350.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import pm_energy as pme
    >>> run = xr.Dataset(
    ...     {
    ...         "beta": (("chain", "level"), [[0.0, 1.0]]),
    ...         "swap_acceptance": (("chain", "pair"), [[1.0]]),
    ...         "replica": (("chain", "draw", "level"), np.tile([[0, 1], [1, 0]], (1, 4, 1))),
    ...     }
    ... )
    >>> dt = xr.DataTree.from_dict({"tempering": run})
    >>> pme.diagnostics.round_trips(dt)["completed"].values
    array([[0, 0, 1, 2, 3, 4, 5, 6]])
    """
    group = tempered_group(data, "tempering")
    levels = walker_levels(group["replica"].values)
    trips = completed_trips(levels, levels.shape[-1] - 1)
    acceptance = group["swap_acceptance"].values
    values = {
        "completed": (("chain", "draw"), trips.sum(-1).cumsum(1)),
        "count": (("chain", "replica"), trips.sum(1)),
        "rate": ("chain", trips.sum((1, 2)) / levels.shape[1]),
        "rate_bound": ("chain", round_trip_bound(1 - acceptance)),
    }
    return xr.Dataset(values, coords=_chain_of(group))


def level_visits(data):
    """Levels that simulated tempering visited, and its round trips.

    Parameters
    ----------
    data : DataTree or Dataset
        From ``pme.sample_simulated_tempering``, or its group "simulated_tempering".

    Returns
    -------
    Dataset
        ``share`` (chain, at_level), the fraction of iterations at a level; ``visited`` (chain,
        iteration), the level; ``completed`` (chain, iteration), round trips so far.

    Raises
    ------
    ValueError
        If there is no such group.
    """
    group = tempered_group(data, "simulated_tempering")
    level, n = group["level"].values, group["beta"].size
    values = {
        "share": (("chain", "at_level"), np.stack([(level == k).mean(1) for k in range(n)], -1)),
        "visited": (("chain", "iteration"), level),
        "completed": (("chain", "iteration"), completed_trips(level, n - 1).cumsum(1)),
        "beta": ("at_level", group["beta"].values),
    }
    return xr.Dataset(values, coords=_chain_of(group))


def _chain_of(dataset):
    """The names of chains, where they have any."""
    return {"chain": dataset["chain"]} if "chain" in dataset.coords else {}
