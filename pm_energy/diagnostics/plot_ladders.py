"""Plots of a ladder of temperatures: its levels, its swaps, its barrier.

As in :mod:`pm_energy.diagnostics.plots`: on the axes given or on a new figure, nothing is shown.
"""

import numpy as np

from pm_energy.diagnostics.axes import chain_names, is_stretched, legend, panels, scale_beta, tidy
from pm_energy.diagnostics.plots import PALETTE, whole_ticks
from pm_energy.diagnostics.tempering import communication_barrier, ladder_profile
from pm_energy.trust import MIN_ACCEPTANCE


def plot_ladder(data, *, ax=None):
    """Plot the ladder of each chain, and how often its neighbours swap.

    On the left beta over levels, with the ladders of earlier rounds of tuning in grey (of the first
    chain); on the right the acceptance of swaps, which should be even and clear of the dashed line.

    Parameters
    ----------
    data : DataTree or Dataset
        From ``pme.sample_parallel_tempering``, or its group "tempering".
    ax : sequence of two Axes, optional

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
    ...         "beta": (("chain", "level"), [[0.0, 0.2, 1.0]]),
    ...         "swap_acceptance": (("chain", "pair"), [[0.5, 0.75]]),
    ...     }
    ... )
    >>> left, right = pme.diagnostics.plot_ladder(run)
    >>> left.get_ylabel(), right.get_ylabel()
    ('beta', 'swap acceptance')
    """
    profile = ladder_profile(data)
    left, right = axes = panels(ax, 2)
    if "beta_history" in profile:
        rounds = profile["beta_history"].values[0]
        for shade, ladder in zip(np.linspace(0.85, 0.6, len(rounds)), rounds, strict=True):
            left.plot(ladder, color=str(shade), linewidth=1)
    for i, name in enumerate(chain_names(profile)):
        style = {"color": PALETTE[i % len(PALETTE)], "marker": "o", "markersize": 3.5}
        left.plot(profile["beta"].values[i], **style, linewidth=1.2)
        swaps = profile["swap_acceptance"].values[i]
        right.plot(np.arange(len(swaps)) + 0.5, swaps, **style, linewidth=1.2, label=name)
    right.axhline(MIN_ACCEPTANCE, color="0.3", linewidth=0.9, linestyle="--")
    scale_beta(left.yaxis, profile["beta"].values)
    left.set(xlabel="level", ylabel="beta")
    right.set(xlabel="pair of levels", ylabel="swap acceptance", ylim=(-0.02, 1.02))
    whole_ticks(left.xaxis)
    right.set_xlim(left.get_xlim())
    whole_ticks(right.xaxis)
    tidy(*axes)
    legend(right)
    return axes


def plot_barrier(data, *, ax=None):
    """Plot the communication barrier from the base to each beta, and its density.

    The area under the density is the barrier: it is that of beta, or of log beta where the axis is
    logarithmic.

    Parameters
    ----------
    data, ax
        As for :func:`plot_ladder`.

    Returns
    -------
    array of Axes

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
    >>> left, right = pme.diagnostics.plot_barrier(run)
    >>> left.get_legend().get_texts()[0].get_text()
    'chain 0: 0.75'
    """
    profile, curves = ladder_profile(data), communication_barrier(data)
    left, right = axes = panels(ax, 2)
    stretched = is_stretched(profile["beta"])
    for i, name in enumerate(chain_names(profile)):
        colour = PALETTE[i % len(PALETTE)]
        label = f"{name}: {profile['total_barrier'].values[i]:.2f}"
        left.plot(curves["beta"], curves["barrier"].values[i], color=colour, linewidth=1.2)
        left.plot(
            profile["beta"].values[i],
            profile["barrier"].values[i],
            "o",
            color=colour,
            markersize=3.5,
            label=label,
        )
        density = curves["local_barrier"] * (curves["beta"] if stretched else 1)
        right.plot(curves["beta"], density.values[i], color=colour, linewidth=1.2)
    for panel in axes:
        scale_beta(panel.xaxis, profile["beta"].values)
        panel.set(xlabel="beta")
    left.set(ylabel="barrier from the base", ylim=(0, None))
    right.set(ylabel="beta × local barrier" if stretched else "local barrier", ylim=(0, None))
    tidy(*axes)
    left.legend(frameon=False, fontsize="small", title="in total", title_fontsize="small")
    return axes
