"""Plots of scores and of samplers that follow them: fields, trajectories, levels of noise."""

from collections.abc import Mapping

import numpy as np

from pm_energy.compile import energy_values
from pm_energy.diagnostics.axes import panels, tidy
from pm_energy.diagnostics.plot_learning import plot_samples
from pm_energy.diagnostics.plots import PALETTE, new_axes
from pm_energy.validate import numeric_array, positive_int

FINE = 150  # points a side of the density's contours
DENSITY = "Blues"
STYLES = ("arrows", "stream")


def plot_score_field(score, bounds, *, energy=None, n=20, style="arrows", ax=None):
    """Plot a score in the plane, over the contours of a density if its energy is given.

    Parameters
    ----------
    score : callable
        ``score(x)`` of points (N, 2) gives (N, 2): the gradient of log p.
    bounds : ((float, float), (float, float))
        Least and largest value of either coordinate.
    energy : Energy or callable, optional
        Its ``exp(-E)`` is drawn in shades; a callable takes points (N, 2) and gives (N,).
    n : int
        Arrows a side.
    style : {"arrows", "stream"}
        Arrows, with lengths that grow as the root of the score's, or lines that follow it.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If bounds are not such pairs, or the score has another shape or is not finite.

    Examples
    --------
    >>> import pm_energy as pme
    >>> ax = pme.diagnostics.plot_score_field(lambda x: -x, ((-2, 2), (-3, 3)), n=5)
    >>> print(*ax.get_ylim())
    -3.0 3.0
    """
    bounds = _check_bounds(bounds)
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(map(repr, STYLES))}, got {style!r}")
    axes, points = _grid(bounds, positive_int("n", n), centred=True)
    values = numeric_array("score", score(points))
    if values.shape != points.shape or not np.isfinite(values).all():
        raise ValueError(
            f"score must give finite numbers of shape {points.shape}, got shape {values.shape}"
        )
    values = values.astype(np.float64)
    ax = new_axes(width=5.0, height=4.6)[0] if ax is None else ax
    if energy is not None:
        _shade(ax, energy, bounds)
    if style == "stream":
        u, v = values.T.reshape(2, n, n)
        ax.streamplot(*axes, u, v, color="0.25", linewidth=0.7, arrowsize=0.8, density=n / 20)
    else:
        length = np.linalg.norm(values, axis=1, keepdims=True)
        # far out a score is long, near a mode short: roots leave both to be seen
        arrows = values / np.sqrt(np.where(length > 0, length, 1.0))
        longest = np.linalg.norm(arrows, axis=1).max() or 1.0
        cell = min(high - low for low, high in bounds) / n
        ax.quiver(
            *points.T, *arrows.T, color="0.2", angles="xy", scale_units="xy",
            scale=longest / (0.95 * cell), width=0.0035, pivot="middle",
        )  # fmt: skip
    ax.set(xlim=bounds[0], ylim=bounds[1], aspect="equal", xlabel="x0", ylabel="x1")
    return ax


def plot_trajectories(paths, *, times=None, ax=None):
    """Plot the paths of samplers: through the plane, or in one dimension against time.

    In the plane each path starts at a ring and ends at a disc.

    Parameters
    ----------
    paths : array_like, shape (n, steps, 2), (n, steps, 1) or (n, steps)
    times : array_like, shape (steps,), optional
        Of the steps of paths in one dimension; by default their numbers.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If paths have another shape or are not finite, or times do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> walks = np.random.default_rng(0).normal(size=(5, 100, 2)).cumsum(axis=1)
    >>> ax = pme.diagnostics.plot_trajectories(walks)
    >>> len(ax.lines)
    5
    """
    paths = numeric_array("paths", paths)
    if paths.ndim == 2:
        paths = paths[..., None]
    if paths.ndim != 3 or paths.shape[2] not in (1, 2) or 0 in paths.shape:
        raise ValueError(
            f"paths must have shape (n, steps, 2), (n, steps, 1) or (n, steps), got {paths.shape}: "
            "choose one or two coordinates"
        )
    if not np.isfinite(paths).all():
        raise ValueError("paths must be finite, got NaN or infinity: leave out what diverged")
    n, steps, dim = paths.shape
    if times is not None:
        if dim == 2:
            raise ValueError("times are for paths in one dimension; leave them out")
        times = numeric_array("times", times)
        if times.shape != (steps,):
            raise ValueError(f"times must have shape ({steps},), got {times.shape}")
    if ax is None:
        ax = new_axes(width=5.0, height=4.6)[0] if dim == 2 else new_axes()[0]
    thin = {"linewidth": 0.8, "alpha": float(np.clip(2 / np.sqrt(n), 0.15, 0.9))}
    for i, path in enumerate(paths):
        colour = PALETTE[i % 7]  # without yellow, which thin lines do not show
        across = path.T if dim == 2 else (np.arange(steps) if times is None else times, path[:, 0])
        ax.plot(*across, color=colour, **thin)
    if dim == 2:
        colours = [PALETTE[i % 7] for i in range(n)]
        starts, ends = paths[:, 0].T, paths[:, -1].T
        ax.scatter(*starts, s=22, facecolors="none", edgecolors=colours, linewidths=0.8, zorder=3)
        ax.scatter(*ends, s=16, c=colours, linewidths=0, zorder=3)
        ax.set(xlabel="x0", ylabel="x1", aspect="equal")
    else:
        ax.set(xlabel="step" if times is None else "time", ylabel="x")
        tidy(ax)
    return ax


def plot_noise_levels(levels, *, shape=None, n=10, ax=None):
    """Plot samples at several levels of noise: images in rows, or points of the plane in panels.

    Parameters
    ----------
    levels : dict of label to array_like (k, d)
        In the order in which they are shown; labels such as a noise's standard deviation or time.
    shape : (int, int), optional
        Rows and columns, if samples are images with values in [0, 1] or in [-1, 1]; otherwise
        they are points with d = 2.
    n : int
        Images a level, at most.
    ax : Axes or sequence of Axes, optional
        One for images; for points one a level.

    Returns
    -------
    Axes or array of Axes
        As for ``ax``.

    Raises
    ------
    ValueError
        If there is no level, or samples are neither points of the plane nor images of that shape.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> x = np.random.default_rng(0).normal(size=(50, 2))
    >>> axes = pme.diagnostics.plot_noise_levels({0.1: 0.1 * x, 1.0: x})
    >>> [panel.get_title() for panel in axes]
    ['0.1', '1']
    """
    if not isinstance(levels, Mapping) or not levels:
        raise ValueError("levels must be a dict from label to samples, with at least one level")
    named = {_label(label): x for label, x in levels.items()}
    if shape is not None:
        return plot_samples(named, shape, n=n, ax=ax)
    arrays = {name: numeric_array(name, x) for name, x in named.items()}
    for name, x in arrays.items():
        if x.ndim != 2 or x.shape[1] != 2 or not len(x) or not np.isfinite(x).all():
            raise ValueError(
                f"samples at level {name} must be finite points (k, 2), got shape {x.shape}; of "
                "images give shape=(rows, columns)"
            )
    axes = panels(ax, len(arrays))
    ends = np.concatenate([[x.min(axis=0), x.max(axis=0)] for x in arrays.values()])
    low, high = ends.min(axis=0), ends.max(axis=0)
    margin = 0.05 * (high - low).max() or 1.0
    for panel, (name, x) in zip(axes, arrays.items(), strict=True):
        panel.scatter(*x.T, s=float(np.clip(2000 / len(x), 1, 12)), color=PALETTE[0], linewidths=0)
        panel.set(title=name, xlabel="x0", aspect="equal")
        panel.set(
            xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin)
        )
    axes[0].set(ylabel="x1")
    tidy(*axes)
    return axes


def _label(label):
    return f"{label:g}" if isinstance(label, int | float | np.number) else str(label)


def _check_bounds(bounds):
    array = numeric_array("bounds", bounds).astype(np.float64)
    if (
        array.shape != (2, 2)
        or not np.isfinite(array).all()
        or not (array[:, 0] < array[:, 1]).all()
    ):
        raise ValueError(
            f"bounds must be two finite pairs (least, largest), one a coordinate, got {bounds!r}"
        )
    return [(float(low), float(high)) for low, high in array]


def _grid(bounds, n, centred):
    """Coordinates of either axis, and all points (n * n, 2), rows of the second coordinate."""
    inset = 0.5 / n if centred else 0.0
    axes = [np.linspace(a + inset * (b - a), b - inset * (b - a), n) for a, b in bounds]
    return axes, np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)


def _shade(ax, energy, bounds):
    axes, points = _grid(bounds, FINE, centred=False)
    is_energy = hasattr(energy, "domain")
    values = energy_values(energy, points) if is_energy else numeric_array("energy", energy(points))
    if values.shape != (len(points),):
        raise ValueError(f"energy must give shape ({len(points)},), got {values.shape}")
    density = np.exp(np.nanmin(values) - values).reshape(FINE, FINE)
    ax.contourf(*axes, density, levels=np.linspace(0, 1, 11), cmap=DENSITY, zorder=0)
