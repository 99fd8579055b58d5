"""Plots of estimates: observables over a parameter, correlations, energy traces, site marginals.

All plots draw with matplotlib on ``ax``, or on a new figure, return the axes, show nothing and
leave matplotlib's settings alone. Colours are those of Okabe and Ito, told apart also by the
colour-blind.
"""

import numpy as np
import xarray as xr

from pm_energy.diagnostics.correlations import correlation_function
from pm_energy.diagnostics.fields import SAMPLE_DIMS, read_field
from pm_energy.diagnostics.means import mcse_of_mean
from pm_energy.diagnostics.observables import energy_draws
from pm_energy.diagnostics.site_maps import site_probabilities

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D", "#F0E442")
MARKERS = "osD^v<>P"
MANY_SITES = 100  # more points than this on one axis cannot be read


def new_axes(n=1, width=6.0, height=3.6):
    """Return the axes of a new figure of n panels side by side, an array."""
    import matplotlib.pyplot as plt

    size = (width if n == 1 else 4.2 * n, height)
    return plt.subplots(1, n, figsize=size, layout="constrained", squeeze=False)[1][0]


def plot_observables(data, parameter=None, *, quantities=None, ax=None):
    """Plot observables with their errors over a parameter, a panel for each quantity.

    Parameters
    ----------
    data : Dataset
        ``value`` and ``mcse`` over (quantity, parameter) and perhaps a third dimension, which
        becomes lines: estimates joined with ``xarray.concat``.
    parameter : str, optional
        The dimension for the horizontal axis; may be left out if there is one beside ``quantity``.
    quantities : sequence of str, optional
        Which quantities; all by default.
    ax : Axes or sequence of Axes, optional
        One for each quantity.

    Returns
    -------
    array of Axes

    Raises
    ------
    ValueError
        If ``data`` is not such a Dataset, a name is not in it, or the number of axes is another.
    """
    _check_estimate(data)
    if "quantity" not in data.dims:
        name = str(data["quantity"].item()) if "quantity" in data.coords else "value"
        data = data.drop_vars("quantity", errors="ignore").expand_dims(quantity=[name])
    known = [str(name) for name in data["quantity"].values]
    names = known if quantities is None else [str(name) for name in np.atleast_1d(quantities)]
    dims = [str(dim) for dim in data["value"].dims if dim != "quantity"]
    if parameter is None and len(dims) == 1:
        parameter = dims[0]
    if parameter not in dims:
        raise ValueError(f"parameter must be one of the dimensions {dims}, got {parameter!r}")
    lines = [dim for dim in dims if dim != parameter]
    if len(lines) > 1:
        raise ValueError(f"select until at most one of {lines} is left beside {parameter}")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"there is no quantity {unknown[0]!r}; there are {known}")
    axes = new_axes(len(names), width=4.8) if ax is None else np.atleast_1d(ax)
    if len(axes) != len(names):
        raise ValueError(f"ax must hold {len(names)} axes, one for each quantity, got {len(axes)}")
    for panel, name in zip(axes, names, strict=True):
        one = data.sel(quantity=name).sortby(parameter)
        _draw_lines(panel, one, parameter, lines[0] if lines else None)
        panel.set(xlabel=parameter, ylabel=name.replace("_", " "))
    return axes


def plot_correlation(data, var_name=None, *, log=False, ax=None, **options):
    """Plot the correlation function over distance, a line for each axis of the lattice.

    Parameters
    ----------
    data : DataTree or Dataset
        Draws, or what :func:`correlation_function` returns.
    var_name : str, optional
        Name of the field in the draws.
    log : bool
        Logarithmic ordinate, on which an exponential decay is a straight line; values that are not
        above their error are left out.
    ax : Axes, optional
    **options
        For draws, passed to :func:`correlation_function`.

    Returns
    -------
    Axes
    """
    if not (isinstance(data, xr.Dataset) and {"value", "mcse"} <= set(data.data_vars)):
        data = correlation_function(data, var_name, **options)
    elif var_name is not None or options:
        raise ValueError("data are estimates already; var_name and options are for draws")
    if not {"axis", "distance"} <= set(data.dims):
        raise ValueError(f"expected the dimensions axis and distance, got {tuple(data.dims)}")
    ax = new_axes()[0] if ax is None else ax
    if log:
        ax.set_yscale("log")
        data = data.where(data["value"] > data["mcse"].fillna(0))
    else:
        ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    _draw_lines(ax, data, "distance", "axis")
    ax.set(xlabel="distance / sites", ylabel="correlation")
    return ax


def plot_energy_trace(data, energy=None, var_names=None, *, ax=None):
    """Plot the energy of each draw, a line for each chain, and its histogram at the side.

    Chains that ended in different basins show as levels, a burn-in that was too short as a slope.

    Parameters
    ----------
    data, energy, var_names
        As for :func:`energy_draws`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    draws = energy_draws(data, energy, var_names)
    rest = [dim for dim in draws.dims if dim not in SAMPLE_DIMS]
    if rest:
        raise ValueError(f"there are several energies along {rest}; pass energy for one of them")
    ax = new_axes(width=7.0, height=3.2)[0] if ax is None else ax
    side = ax.inset_axes([1.02, 0, 0.16, 1], sharey=ax)
    values = draws.transpose(*SAMPLE_DIMS).values
    edges = np.histogram_bin_edges(values, bins="auto" if np.ptp(values) > 0 else 1)
    edges = np.linspace(edges[0], edges[-1], min(len(edges), 41))
    names = draws["chain"].values if "chain" in draws.coords else np.arange(len(values))
    for i, (name, row) in enumerate(zip(names, values, strict=True)):
        colour = PALETTE[i % len(PALETTE)]
        ax.plot(row, color=colour, linewidth=0.8, alpha=0.8, label=str(name))
        counts, _ = np.histogram(row, bins=edges)
        side.stairs(counts, edges, orientation="horizontal", color=colour, linewidth=1.2)
    side.tick_params(labelleft=False, left=False, labelbottom=False, bottom=False)
    side.spines[["top", "right", "bottom"]].set_visible(False)
    ax.set(xlabel="draw", ylabel="energy", xlim=(0, max(1, values.shape[1] - 1)))
    above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    tight = {"ncols": min(8, len(values)), "handlelength": 1.2, "columnspacing": 1.2}
    _legend(
        ax, len(values), title="chain", title_fontsize="small", alignment="left", **above, **tight
    )
    return ax


def plot_marginals(data, var_name=None, *, exact=None, ax=None):
    """Plot the marginal distribution of each site of a small field.

    Two states: the probability of the second one, with its Monte Carlo error. More: stacked bars.

    Parameters
    ----------
    data : DataTree, Dataset or DataArray
        Draws.
    var_name : str, optional
        Name of the field.
    exact : array_like (*sites), optional
        Known probabilities of the second of two states, to compare.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there are more than 100 sites, or ``exact`` has another shape.
    """
    field, sites = read_field(data, var_name)
    p = site_probabilities(field)
    states = p["state"].values
    n = int(np.prod([field.sizes[dim] for dim in sites]))
    if n > MANY_SITES:
        raise ValueError(f"{n} sites are more than {MANY_SITES}; use plot_site_probabilities")
    if exact is not None and (np.shape(exact) != p.shape[:-1] or len(states) != 2):
        raise ValueError(
            f"exact must have the shape {p.shape[:-1]} of a two-state field, got {np.shape(exact)}"
        )
    ax = new_axes(width=max(5.0, min(12.0, 0.25 * n + 2)))[0] if ax is None else ax
    x, table = np.arange(n), p.values.reshape(n, -1)
    name = field.name or "x"
    if len(states) == 2:
        error = mcse_of_mean((field == states[1]).astype(float)).values.ravel()
        ax.errorbar(x, table[:, 1], error, fmt="o", markersize=5, capsize=2, color=PALETTE[0],
                    label="draws ± 1 mcse")  # fmt: skip
        if exact is not None:
            ax.plot(x, np.ravel(exact), "_", markersize=12, markeredgewidth=2, color=PALETTE[1],
                    label="exact")  # fmt: skip
        ax.set(ylabel=f"P({name} = {states[1]})", ylim=(-0.03, 1.03))
        _legend(ax, 2)
    else:
        base = np.cumsum(table, axis=1) - table
        for k, colour in enumerate(state_colours(len(states))):
            ax.bar(x, table[:, k], 0.9, base[:, k], color=colour, label=str(states[k]))
        ax.set(ylabel="probability", ylim=(0, 1))
        ax.legend(title="state", loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    ax.set(xlabel=" × ".join(sites), xlim=(-0.6, n - 0.4))
    whole_ticks(ax.xaxis)
    return ax


def whole_ticks(axis):
    """Put ticks at whole numbers: sites have no halves."""
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    axis.set_major_locator(locator)


def state_colours(q):
    """Return a colour for each of q states: light and dark for two, else told apart by hue."""
    import matplotlib as mpl

    if q == 2:
        return ["#F3E9D2", "#1B4965"]
    if q <= len(PALETTE):
        return list(PALETTE[:q])
    return [mpl.colors.to_hex(c) for c in mpl.colormaps["viridis"](np.linspace(0, 1, q))]


def _draw_lines(ax, data, x, line_dim):
    """Draw value and mcse over x, a line for each entry of ``line_dim``."""
    labels = [None] if line_dim is None else data[line_dim].values.tolist()
    for i, label in enumerate(labels):
        one = data if line_dim is None else data.isel({line_dim: i})
        ax.errorbar(
            one[x].values,
            one["value"].transpose(x).values,
            # unknown errors are drawn as none
            np.nan_to_num(one["mcse"].transpose(x).values),
            color=PALETTE[i % len(PALETTE)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=4,
            linewidth=1.2,
            capsize=2,
            label=None if label is None else f"{line_dim} {label}",
        )
    ax.spines[["top", "right"]].set_visible(False)
    _legend(ax, len(labels))


def _legend(ax, n_entries, **options):
    if n_entries > 1:
        ax.legend(frameon=False, fontsize="small", **options)


def _check_estimate(data):
    if not isinstance(data, xr.Dataset) or not {"value", "mcse"} <= set(data.data_vars):
        raise ValueError("data must be a Dataset with value and mcse, as the estimators return")
