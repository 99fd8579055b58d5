"""Plots of what an estimator has learned: training curves, weights, samples, couplings."""

from collections.abc import Mapping

import numpy as np

from pm_energy.diagnostics.axes import panels, tidy
from pm_energy.diagnostics.learning import (
    coupling_recovery,
    image_shape,
    learned_couplings,
    receptive_fields,
    training_curves,
)
from pm_energy.diagnostics.plots import PALETTE, new_axes, whole_ticks

FEW_STEPS = 40  # so many can be marked one by one
GAP = 1  # pixels between images
BETWEEN = "#E3E0D8"  # colour of the lines between images: none of the scales has it
SIGNED = "RdBu_r"


def plot_training(data, names=None, *, ax=None):
    """Plot the training curves of an estimator, a panel for each.

    Parameters
    ----------
    data, names
        As for :func:`training_curves`.
    ax : sequence of Axes, optional
        One for each curve.

    Returns
    -------
    array of Axes

    Raises
    ------
    ValueError
        As for :func:`training_curves`, or if the number of axes is another.

    Examples
    --------
    >>> import xarray as xr
    >>> import pm_energy as pme
    >>> fit = {"loss": ("step", [0.7, 0.2]), "log_likelihood": ("step", [-9.0, -4.0])}
    >>> axes = pme.diagnostics.plot_training(xr.Dataset(fit))
    >>> [panel.get_ylabel() for panel in axes]
    ['loss', 'log likelihood']
    """
    curves = training_curves(data, names)
    axes = panels(ax, len(curves.data_vars))
    for i, (panel, (name, curve)) in enumerate(zip(axes, curves.items(), strict=True)):
        step = curve["step"].values
        seen = ~np.isnan(curve.values)  # what is costly is not measured at every step
        marker = "o" if seen.sum() <= FEW_STEPS else None
        style = {"color": PALETTE[i % len(PALETTE)], "linewidth": 1.3, "markersize": 3}
        panel.plot(step[seen], curve.values[seen], marker=marker, **style)
        panel.set(xlabel="step", ylabel=name.replace("_", " "))
        whole_ticks(panel.xaxis)
    tidy(*axes)
    return axes


def plot_weights(data, shape, *, n=100, ax=None):
    """Picture of the receptive fields of hidden units, those with the largest norms first.

    All share one colour scale, symmetric about zero.

    Parameters
    ----------
    data, shape, n
        As for :func:`receptive_fields`.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        As for :func:`receptive_fields`.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> weights = np.random.default_rng(0).normal(size=(12, 5))  # 12 visible and 5 hidden units
    >>> ax = pme.diagnostics.plot_weights(weights, (4, 3))
    >>> ax.images[0].get_array().shape  # two rows of up to three images, with lines between them
    (11, 13)
    """
    images = receptive_fields(data, shape, n).values
    top = np.abs(images).max() or 1.0
    ax = _tiles(images, _columns(images), ax, SIGNED, (-top, top))
    _colourbar(ax, ax.images[0], "weight")
    return ax


def plot_samples(images, shape, *, n=10, ax=None):
    """Picture of samples as a grid of images: of one kind, or a row for each of several kinds.

    Parameters
    ----------
    images : array_like (k, n_pixels), or dict of str to such
        One set fills a square; of several, each is a row with its name: data, reconstruction,
        completion. All with values in [0, 1], or all in [-1, 1].
    shape : (int, int)
        Rows and columns of an image.
    n : int
        How many of each kind in a row, at most; of one set, n rows of n at most.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there is no image, sizes do not fit, or values are neither in [0, 1] nor in [-1, 1].

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> data = np.eye(6)[:2]
    >>> rows = {"data": data, "reconstruction": 0.8 * data + 0.1}
    >>> ax = pme.diagnostics.plot_samples(rows, (2, 3))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['data', 'reconstruction']
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n must be an integer of at least 1, got {n!r}")
    named = isinstance(images, Mapping)
    kinds = images if named else {"images": images}
    if not kinds:
        raise ValueError("images must hold at least one kind")
    rows = {str(name): _read_images(name, kind, shape) for name, kind in kinds.items()}
    lengths = {name: len(row) for name, row in rows.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"images must be as many of each kind, got {lengths}")
    shown = np.concatenate([row[: n if named else n * n] for row in rows.values()])
    columns = len(shown) // len(rows) if named else _columns(shown)
    low = -1 if (shown < 0).any() else 0
    ax = _tiles(shown, columns, ax, "gray", (low, 1))
    if named:
        height = shown.shape[1] + GAP
        ax.set_yticks((np.arange(len(rows)) + 0.5) * height, labels=list(rows))
    return ax


def plot_couplings(data, truth=None, *, ax=None):
    """Picture of a coupling matrix, and beside it, if the truth is known, learned over true.

    Parameters
    ----------
    data : estimator, DataTree, Dataset, DataArray or array_like
        As for :func:`coupling_recovery`.
    truth : array_like, shape (n, n), optional
        Of the machine that made the data, in the same coding and in units of kT.
    ax : Axes or sequence of Axes, optional
        One, or two with the truth.

    Returns
    -------
    array of Axes

    Raises
    ------
    ValueError
        As for :func:`coupling_recovery`, or if the number of axes is another.

    Examples
    --------
    >>> import pm_energy as pme
    >>> true = [[0, 1, 0], [1, 0, -0.5], [0, -0.5, 0]]
    >>> learned = [[0, 1.1, 0], [1.1, 0, -0.5], [0, -0.5, 0]]
    >>> matrix, scatter = pme.diagnostics.plot_couplings(learned, true)
    >>> scatter.get_title(loc="left")
    'relative rms error 8.9%'
    """
    coupling = learned_couplings(data)
    recovery = None if truth is None else coupling_recovery(coupling, truth)
    axes = panels(ax, 1 if truth is None else 2)
    x = coupling.values
    top = np.abs(x).max() or 1.0
    image = axes[0].imshow(x, cmap=SIGNED, vmin=-top, vmax=top, interpolation="nearest")
    _colourbar(axes[0], image, "coupling")
    axes[0].set(xlabel="unit", ylabel="unit")
    whole_ticks(axes[0].xaxis)
    whole_ticks(axes[0].yaxis)
    if recovery is not None:
        _plot_recovery(axes[1], recovery)
    return axes


def _plot_recovery(ax, recovery):
    pairs = recovery["true"].values, recovery["learned"].values
    ends = [min(map(np.min, pairs)), max(map(np.max, pairs))]
    ax.axline((0, 0), slope=1, color="0.6", linewidth=0.9, zorder=0)
    ax.scatter(*pairs, s=14, color=PALETTE[0], alpha=0.6, linewidths=0)
    margin = 0.05 * (ends[1] - ends[0]) or 1.0
    ends = (ends[0] - margin, ends[1] + margin)
    ax.set(xlabel="true coupling", ylabel="learned coupling", xlim=ends, ylim=ends, aspect="equal")
    error = float(recovery["relative_error"])
    ax.set_title(f"relative rms error {100 * error:.2g}%", loc="left", fontsize="small")
    tidy(ax)


def _read_images(name, images, shape):
    """Check one set of images; return them as (k, rows, columns)."""
    images = np.asarray(images)
    if images.ndim != 2 or images.size == 0 or images.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} must be numbers of shape (k, n_pixels), got {images.dtype} of shape "
            f"{images.shape}"
        )
    images = images.astype(np.float64)
    if not (np.abs(images) <= 1).all():  # NaN is caught as well
        raise ValueError(f"{name} must have values in [0, 1] or in [-1, 1]; rescale them")
    return images.reshape(-1, *image_shape(shape, images.shape[1]))


def _columns(images):
    """How many images stand beside each other to fill a square."""
    k, height, width = images.shape
    return int(min(k, np.ceil(np.sqrt(k * height / width))))


def _tiles(images, columns, ax, cmap, limits):
    """Draw images (k, rows, columns) as tiles of one image, with lines between them."""
    import matplotlib as mpl

    k, height, width = images.shape
    rows = -(-k // columns)
    tiles = np.full((rows * columns, height + GAP, width + GAP), np.nan)
    tiles[:k, GAP:, GAP:] = images
    whole = tiles.reshape(rows, columns, *tiles.shape[1:]).swapaxes(1, 2)
    whole = whole.reshape(rows * (height + GAP), columns * (width + GAP))
    whole = np.pad(whole, ((0, GAP), (0, GAP)), constant_values=np.nan)
    if ax is None:
        ratio = np.clip(whole.shape[0] / whole.shape[1], 0.15, 2.0)
        ax = new_axes(width=6.0, height=float(max(1.2, 5.2 * ratio)))[0]
    colours = mpl.colormaps[cmap].with_extremes(bad=BETWEEN)
    ax.imshow(whole, cmap=colours, norm=mpl.colors.Normalize(*limits), interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def _colourbar(ax, image, label):
    bar = ax.figure.colorbar(image, ax=ax, label=label, shrink=0.9)
    bar.outline.set_visible(False)
