"""What the plots of tempered runs share: axes of beta, labels of chains, legends."""

import numpy as np

from pm_energy.diagnostics.plots import new_axes

SHARP = 0.2  # with half of the levels below this, a linear axis from 0 to 1 hides them


def panels(ax, n):
    """Return n axes: those given, or those of a new figure."""
    axes = new_axes(n) if ax is None else np.atleast_1d(ax)
    if len(axes) != n:
        raise ValueError(f"ax must hold {n} axes, got {len(axes)}")
    return axes


def chain_names(dataset):
    """Return a label for each chain."""
    names = dataset["chain"].values if "chain" in dataset.coords else range(dataset.sizes["chain"])
    return [f"chain {name}" for name in names]


def is_stretched(beta):
    """Whether so many levels are near 0 that an axis of beta should be logarithmic."""
    return np.median(beta) < SHARP


def scale_beta(axis, beta):
    """Make an axis of beta logarithmic down to the first level, if many are near 0."""
    if not is_stretched(beta):
        return
    beta = np.asarray(beta)
    first = beta[beta > 0].min()
    decades = 10.0 ** np.arange(0, np.log10(first) - 1e-9, -1 - np.log10(1 / first) // 6)
    part = 0.5 + 0.1 * np.log10(1 / first)  # so that the labels of 0 and its neighbour stay apart
    name = axis.axis_name
    getattr(axis.axes, f"set_{name}scale")("symlog", linthresh=first, linscale=part)
    getattr(axis.axes, f"set_{name}lim")(-0.1 * first, 1.2)
    axis.set_ticks([0, *decades], labels=["0", *[f"{tick:g}" for tick in decades]])
    axis.set_ticks([], minor=True)


def tidy(*axes):
    """Take away the lines at the top and at the right."""
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)


def legend(ax):
    """Draw a legend if there is more than one entry."""
    if len(ax.get_legend_handles_labels()[1]) > 1:
        ax.legend(frameon=False, fontsize="small")


def legend_above(ax):
    """Draw a legend in one line above the axes, where lines fill them."""
    ax.legend(
        frameon=False,
        fontsize="small",
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        ncols=4,
        handlelength=1.2,
        columnspacing=1.2,
    )
