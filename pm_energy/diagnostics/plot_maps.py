"""Pictures of fields on two-dimensional lattices: draws, probabilities, uncertainty."""

import numpy as np
import xarray as xr

from pm_energy.diagnostics.fields import SAMPLE_DIMS, group_dataset, observed_states, variable
from pm_energy.diagnostics.plots import new_axes, state_colours, whole_ticks
from pm_energy.diagnostics.site_maps import site_entropy, site_probabilities

LONG = 5  # sides in a larger ratio are drawn with oblong pixels


def plot_field(data, var_name=None, *, chain=0, draw=-1, ax=None):
    """Picture of one draw of a field, or of any map over its sites.

    Parameters
    ----------
    data : DataTree, Dataset or DataArray
        Draws, or a map without the dimensions ``chain`` and ``draw``: an image, a
        :func:`posterior_mode`.
    var_name : str, optional
        Name of the field; may be left out if it is the only discrete one.
    chain, draw : int
        Which draw, counted as for a list; the last of the first chain by default.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the variable or the draw is not there, or there are not two site dimensions.
    """
    array = data if isinstance(data, xr.DataArray) else variable(group_dataset(data), var_name)
    # colours are for the states of all draws, so that two draws compare
    states = observed_states(array) if array.dtype.kind in "iub" else None
    for dim, index in zip(SAMPLE_DIMS, (chain, draw), strict=True):
        if dim in array.dims:
            size = array.sizes[dim]
            if not -size <= index < size:
                raise ValueError(f"{dim} {index} is not there: {array.name} has {size} of them")
            array = array.isel({dim: index}, drop=True)
    _check_map(array)
    ax = _map_axes(array) if ax is None else ax
    label = str(array.name or "state")
    if states is None:
        _colourbar(ax, _image(ax, array, cmap="viridis"), label)
        return ax
    import matplotlib as mpl

    colours = mpl.colors.ListedColormap(state_colours(len(states)))
    index = array.copy(data=np.searchsorted(states, array.values))
    image = _image(ax, index, cmap=colours, vmin=-0.5, vmax=len(states) - 0.5)
    bar = _colourbar(ax, image, label)
    shown = np.arange(0, len(states), 1 + len(states) // 16)
    bar.set_ticks(shown, labels=[str(states[k]) for k in shown])
    bar.ax.tick_params(length=0)
    return ax


def plot_site_probabilities(data, var_name=None, *, state=None, ax=None):
    """Picture of the probability of a state at each site.

    Parameters
    ----------
    data : DataTree, Dataset or DataArray
        Draws, or what :meth:`FieldAccumulator.dataset` returns.
    var_name : str, optional
        Name of the field.
    state : int, optional
        The state; may be left out if there are two, for the second.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the state is not there or has to be named, or there are not two site dimensions.
    """
    p = site_probabilities(data, var_name)
    states = p["state"].values.tolist()
    if state is None and len(states) == 2:
        state = states[1]
    if state not in states:
        raise ValueError(f"state must be one of {states}, got {state!r}")
    label = f"P({p.attrs['field']} = {state})"
    p = p.sel(state=state, drop=True)
    _check_map(p)
    ax = _map_axes(p) if ax is None else ax
    image = _image(ax, p, cmap="cividis", vmin=0, vmax=1)
    _colourbar(ax, image, label)
    return ax


def plot_site_entropy(data, var_name=None, *, ax=None):
    """Picture of the uncertainty of each site: its entropy, on a scale from 0 to log(q) nats.

    Parameters
    ----------
    data, var_name
        As for :func:`plot_site_probabilities`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    p = site_probabilities(data, var_name)
    entropy = site_entropy(p.to_dataset())
    _check_map(entropy)
    ax = _map_axes(entropy) if ax is None else ax
    image = _image(ax, entropy, cmap="magma", vmin=0, vmax=np.log(p.sizes["state"]))
    _colourbar(ax, image, "entropy / nats")
    return ax


def _check_map(array):
    if array.ndim != 2:
        raise ValueError(
            f"a picture needs two site dimensions, {array.name} has {array.dims}; select a slice "
            "with .isel, or use plot_marginals for a few sites"
        )


def _map_axes(array):
    rows, cols = array.shape
    ratio = np.clip(rows / cols, 0.3, 2.5)
    return new_axes(width=5.0, height=float(np.clip(4.0 * ratio, 2.0, 8.0)))[0]


def _image(ax, array, **options):
    rows, cols = array.shape
    image = ax.imshow(
        array.values,
        interpolation="nearest",
        aspect="equal" if max(rows / cols, cols / rows) <= LONG else "auto",
        **options,
    )
    ax.set(xlabel=array.dims[1], ylabel=array.dims[0])
    whole_ticks(ax.xaxis)
    whole_ticks(ax.yaxis)
    return image


def _colourbar(ax, image, label):
    bar = ax.figure.colorbar(image, ax=ax, label=label, shrink=0.9)
    bar.outline.set_visible(False)
    return bar
