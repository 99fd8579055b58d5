"""Plots of energies along a ladder: their histograms, and the free energy they add up to."""

import numpy as np
import xarray as xr

from pm_energy.diagnostics.axes import chain_names, legend, panels, scale_beta, tidy
from pm_energy.diagnostics.energy_histograms import energy_histograms
from pm_energy.diagnostics.plots import PALETTE, whole_ticks
from pm_energy.partition import free_energy_curve

SHOWN_LEVELS = 10  # more histograms on top of each other cannot be told apart


def plot_energy_histograms(data, *, bins=60, ax=None):
    """Plot histograms of the energy at each level, and how far neighbours overlap.

    On the left the draws of all chains, at up to ten levels from the base (light) to the target
    (dark); on the right the overlap of each pair of neighbours in each chain. A gap between
    histograms is one that no swap crosses.

    Parameters
    ----------
    data : DataTree or Dataset
        From ``pme.sample_parallel_tempering``, or its group "tempering".
    bins : int
        Number of bins, at most.
    ax : sequence of two Axes, optional

    Returns
    -------
    array of Axes

    Raises
    ------
    ValueError
        As for :func:`energy_histograms`, or if the number of axes is another.

    Examples
    --------
    >>> import xarray as xr
    >>> import pm_energy as pme
    >>> run = xr.Dataset(
    ...     {
    ...         "beta": (("chain", "level"), [[0.0, 1.0]]),
    ...         "log_ratio": (("chain", "draw", "level"), [[[0.0, 1], [1, 1], [0, 1], [1, 0]]]),
    ...     }
    ... )
    >>> histograms, overlap = pme.diagnostics.plot_energy_histograms(run)
    >>> overlap.lines[0].get_ydata()
    array([0.75])
    """
    seen = energy_histograms(data, bins)
    left, right = axes = panels(ax, 2)
    scale, fraction = seen.attrs["scale"], seen["fraction"].mean("chain").values
    beta = seen["beta"].mean("chain").values
    edges = np.append(seen["left"].values, seen["right"].values[-1])
    origin = edges[0] if scale else 0.0
    levels = np.linspace(0, len(beta) - 1, min(len(beta), SHOWN_LEVELS)).round().astype(int)
    infinite = seen["infinite"].mean("chain").values
    for k, colour in zip(levels, level_colours(len(levels)), strict=True):
        beyond = f" ({100 * infinite[k]:.2g}% infinite)" if infinite[k] else ""
        style = {"color": colour, "label": f"{beta[k]:.3g}{beyond}"}
        left.stairs(fraction[k], edges - origin, fill=True, alpha=0.15, color=colour)
        left.stairs(fraction[k], edges - origin, linewidth=1.3, **style)
    if scale:
        left.set_xscale("asinh", linear_width=scale)
        tens = 10.0 ** np.arange(np.ceil(np.log10(scale)), np.log10(edges[-1] - origin))
        left.set_xticks([0, *tens[:: 1 + len(tens) // 6]])
        left.set_xticks([], minor=True)
        left.set_xlabel(f"energy above {origin:.6g}")
    else:
        left.set_xlabel("energy")
    left.set(ylabel="fraction of draws in a bin", ylim=(0, None), xlim=(edges[[0, -1]] - origin))
    place = {"loc": "upper left", "bbox_to_anchor": (1, 1), "handlelength": 1.2}
    left.legend(frameon=False, fontsize="small", title="beta", title_fontsize="small", **place)
    for i, name in enumerate(chain_names(seen)):
        row = seen["overlap"].values[i]
        x = np.arange(len(row)) + 0.5
        colour = PALETTE[i % len(PALETTE)]
        right.plot(x, row, marker="o", markersize=3.5, linewidth=1.2, color=colour, label=name)
    right.set(xlabel="pair of levels", ylabel="overlap of energies", ylim=(-0.02, 1.02))
    right.set_xlim(0, len(beta) - 1)
    whole_ticks(right.xaxis)
    tidy(*axes)
    legend(right)
    return axes


def plot_free_energy(data, *, ax=None):
    """Plot log Z, the mean energy and the heat capacity against beta, with bands of 2 errors.

    The mean energy, minus the mean of ``log_ratio``, falls with beta; a step in it, a peak of the
    heat capacity, is a transition, where levels should stand close.

    Parameters
    ----------
    data : DataTree or Dataset
        From ``pme.sample_parallel_tempering``, ``pme.sample_simulated_tempering`` or
        ``pme.sample_population_annealing``; or what :func:`pm_energy.partition.free_energy_curve`
        returns.
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
    >>> import numpy as np, xarray as xr
    >>> import pm_energy as pme
    >>> beta = np.linspace(0, 1, 5)
    >>> columns = {
    ...     "log_z": -beta, "mean_log_ratio": -np.ones(5), "heat_capacity": np.zeros(5)
    ... }
    >>> curve = {name: ("beta", x) for name, x in columns.items()}
    >>> curve |= {f"{name}_mcse": ("beta", np.full(5, 0.1)) for name in columns}
    >>> axes = pme.diagnostics.plot_free_energy(xr.Dataset(curve, coords={"beta": beta}))
    >>> [ax.get_ylabel() for ax in axes]
    ['log Z', 'mean energy', 'heat capacity']
    """
    curve = data if isinstance(data, xr.Dataset) else free_energy_curve(data)
    if "log_z" not in curve or "heat_capacity" not in curve:
        raise ValueError("data must be a DataTree, or a Dataset made by free_energy_curve")
    axes = panels(ax, 3)
    beta = curve["beta"].values
    quantities = (("log_z", 1, "log Z"), ("mean_log_ratio", -1, "mean energy"),
                  ("heat_capacity", 1, "heat capacity"))  # fmt: skip
    for panel, colour, (name, sign, label) in zip(axes, PALETTE, quantities, strict=False):
        value, error = sign * curve[name].values, 2 * curve[f"{name}_mcse"].values
        panel.fill_between(
            beta, value - error, value + error, color=colour, alpha=0.25, linewidth=0
        )
        panel.plot(beta, value, color=colour, linewidth=1.4)
        scale_beta(panel.xaxis, beta)
        panel.set(xlabel="beta", ylabel=label)
    tidy(*axes)
    return axes


def level_colours(n):
    """Return a colour for each of n levels: light and warm at the base, dark at the target."""
    import matplotlib as mpl

    return [mpl.colors.to_hex(c) for c in mpl.colormaps["plasma"](np.linspace(0.88, 0, n))]
