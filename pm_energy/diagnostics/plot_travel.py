"""Plots of the way of walkers over the levels, in parallel and simulated tempering.

As in :mod:`pm_energy.diagnostics.plots`: on the axes given or on a new figure, nothing is shown.
"""

import numpy as np

from pm_energy.diagnostics.axes import chain_names, legend, legend_above, panels, tidy
from pm_energy.diagnostics.plots import PALETTE, whole_ticks
from pm_energy.diagnostics.tempering import level_visits, replica_levels, round_trips
from pm_energy.partition.checks import MIN_ROUND_TRIPS

SHOWN_WALKERS = 3  # more lines across each other cannot be followed
SHOWN_DRAWS = 300


def plot_round_trips(data, *, ax=None):
    """Plot the number of round trips so far, with what the swaps alone would allow (dashed).

    A line far below its dashed one means that moves within levels are slow; one with long flat
    stretches, that some way up the ladder is rarely found.

    Parameters
    ----------
    data : DataTree or Dataset
        From ``pme.sample_parallel_tempering``, or its group "tempering".
    ax : Axes, optional

    Returns
    -------
    Axes

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
    >>> pme.diagnostics.plot_round_trips(run).get_ylabel()
    'round trips of all walkers'
    """
    trips = round_trips(data)
    [ax] = panels(ax, 1)
    completed = trips["completed"].values
    n = completed.shape[1]
    for i, name in enumerate(chain_names(trips)):
        colour = PALETTE[i % len(PALETTE)]
        ax.plot(np.arange(1, n + 1), completed[i], color=colour, linewidth=1.4, label=name)
        bound = n * trips["rate_bound"].values[i]
        ax.plot([0, n], [0, bound], color=colour, linewidth=0.9, linestyle="--")
    ax.plot([], color="0.3", linewidth=0.9, linestyle="--", label="bound by swaps")
    ax.set(xlabel="draw", ylabel="round trips of all walkers", xlim=(0, n))
    ax.set_ylim(0, max(MIN_ROUND_TRIPS, ax.get_ylim()[1]))
    tidy(ax)
    ax.legend(frameon=False, fontsize="small")
    return ax


def plot_replicas(data, *, chain=0, ax=None):
    """Plot the way of a few replicas over the levels, and where all of them spent their time.

    On the left three replicas in the last 300 draws; on the right the fraction of all draws that
    each replica was at each level, which is even where replicas travel freely.

    Parameters
    ----------
    data : DataTree or Dataset
        As for :func:`plot_round_trips`.
    chain : int
        Which chain, counted as for a list.
    ax : sequence of two Axes, optional

    Returns
    -------
    array of Axes

    Raises
    ------
    ValueError
        If there is no such group or chain, or the number of axes is another.

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
    >>> way, share = pme.diagnostics.plot_replicas(run)
    >>> share.images[0].get_array().tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    travel = replica_levels(data)
    if not -travel.sizes["chain"] <= chain < travel.sizes["chain"]:
        raise ValueError(f"chain {chain} is not there: there are {travel.sizes['chain']} of them")
    travel = travel.isel(chain=chain)
    left, right = axes = panels(ax, 2)
    level, share = travel["level"].values, travel["share"].values
    first = max(0, len(level) - SHOWN_DRAWS)
    shown = np.unique(np.linspace(0, len(share) - 1, SHOWN_WALKERS).round().astype(int))
    for i, walker in enumerate(shown):
        left.plot(
            np.arange(first, len(level)),
            level[first:, walker],
            color=PALETTE[i],
            linewidth=1.1,
            label=f"replica {walker}",
        )
    left.set(xlabel="draw", ylabel="level", ylim=(-0.3, len(share) - 0.7))
    left.margins(x=0)
    image = right.imshow(share.T, cmap="cividis", vmin=0, origin="lower", aspect="auto")
    right.set(xlabel="replica", ylabel="level")
    bar = right.figure.colorbar(image, ax=right, label="fraction of draws")
    bar.outline.set_visible(False)
    for axis in (left.yaxis, right.xaxis, right.yaxis):
        whole_ticks(axis)
    tidy(left)
    legend_above(left)
    return axes


def plot_levels(data, *, ax=None):
    """Plot simulated tempering's visits to each level, its way over them, and its round trips.

    Visits should be near the dashed line, an even share; the way is that of the first chain in its
    last 300 iterations.

    Parameters
    ----------
    data : DataTree or Dataset
        From ``pme.sample_simulated_tempering``, or its group "simulated_tempering".
    ax : sequence of three Axes, optional

    Returns
    -------
    array of Axes

    Raises
    ------
    ValueError
        If there is no such group, or the number of axes is another.

    Examples
    --------
    >>> import xarray as xr
    >>> import pm_energy as pme
    >>> run = xr.Dataset(
    ...     {
    ...         "beta": ("level", [0.0, 1.0]),
    ...         "level": (("chain", "iteration"), [[0, 1, 1, 0, 0, 1, 0, 0]]),
    ...     }
    ... )
    >>> visits, way, trips = pme.diagnostics.plot_levels(run)
    >>> visits.lines[0].get_ydata()
    array([0.625, 0.375])
    """
    visits = level_visits(data)
    share, level = visits["share"].values, visits["visited"].values
    left, middle, right = axes = panels(ax, 3)
    n = level.shape[1]
    for i, name in enumerate(chain_names(visits)):
        style = {"color": PALETTE[i % len(PALETTE)], "linewidth": 1.2}
        left.plot(share[i], marker="o", markersize=3.5, label=name, **style)
        right.plot(np.arange(1, n + 1), visits["completed"].values[i], **style)
    left.axhline(1 / share.shape[1], color="0.3", linewidth=0.9, linestyle="--")
    left.set(xlabel="level", ylabel="fraction of iterations", ylim=(0, None))
    first = max(0, n - SHOWN_DRAWS)
    middle.plot(np.arange(first, n), level[0, first:], color=PALETTE[0], linewidth=0.9)
    middle.set(xlabel="iteration", ylabel="level", ylim=(-0.3, share.shape[1] - 0.7))
    middle.margins(x=0)
    right.set(xlabel="iteration", ylabel="round trips", xlim=(0, n))
    right.set_ylim(0, max(MIN_ROUND_TRIPS, right.get_ylim()[1]))
    whole_ticks(left.xaxis)
    whole_ticks(middle.yaxis)
    tidy(*axes)
    legend(left)
    return axes
