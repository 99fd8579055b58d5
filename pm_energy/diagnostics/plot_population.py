"""Plot of population annealing: weights and moves, families, and the largest of them."""

import numpy as np

from pm_energy.diagnostics.axes import chain_names, legend, panels, scale_beta, tidy
from pm_energy.diagnostics.plots import PALETTE, whole_ticks
from pm_energy.diagnostics.population import population_profile
from pm_energy.partition.checks import MIN_FAMILIES

SHOWN_FAMILIES = 20


def plot_population(data, *, ax=None):
    """Plot weights and moves, the number of families, and the largest of them.

    On the left the effective fraction of weights (full) and the acceptance of moves (dotted) over
    beta; in the middle the effective number of families, by the mean square family size (full) and
    by the family entropy (dotted), which should end above the dashed line; on the right the shares
    of the twenty largest families at the target.

    Parameters
    ----------
    data : DataTree or Dataset
        From ``pme.sample_population_annealing``, or its group "population".
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
    >>> per_step = {name: (("chain", "step"), np.ones((1, 2))) for name in ("ess", "acceptance")}
    >>> run = xr.Dataset(
    ...     {
    ...         **per_step,
    ...         "beta": ("step", [0.0, 1.0]),
    ...         "log_z": (("chain", "step"), [[0.0, -3.0]]),
    ...         "rho_t": (("chain", "step"), [[1.0, 2.5]]),
    ...         "family_entropy": (("chain", "step"), [[np.log(4), 0.562]]),
    ...         "family": (("chain", "draw"), [[0, 3, 3, 3]]),
    ...     }
    ... )
    >>> weights, families, largest = pme.diagnostics.plot_population(run)
    >>> largest.lines[0].get_ydata()
    array([0.75, 0.25])
    """
    profile = population_profile(data)
    left, middle, right = axes = panels(ax, 3)
    beta = profile["beta"].values
    for i, name in enumerate(chain_names(profile)):
        one = profile.isel(chain=i)
        full = {"color": PALETTE[i % len(PALETTE)], "linewidth": 1.4}
        dotted = full | {"linestyle": ":"}
        left.plot(beta, one["ess"], **full, marker=".")
        left.plot(beta, one["acceptance"], **dotted)
        middle.plot(beta, one["families"], **full, marker=".")
        middle.plot(beta, one["entropic_families"], **dotted)
        share = one["family_share"].values[:SHOWN_FAMILIES]
        right.plot(
            np.arange(1, len(share) + 1), share, **full, marker="o", markersize=3, label=name
        )
    for label, line in (("weights", "-"), ("acceptance", ":")):
        left.plot([], color="0.3", linestyle=line, label=label)
    for label, line in (("from sizes", "-"), ("from entropy", ":")):
        middle.plot([], color="0.3", linestyle=line, label=label)
    middle.axhline(MIN_FAMILIES, color="0.3", linewidth=0.9, linestyle="--")
    left.set(ylabel="fraction", ylim=(0, 1.02))
    middle.set(ylabel="effective number of families", yscale="log")
    right.set(xlabel="family, by size", ylabel="share of the population", ylim=(0, None))
    whole_ticks(right.xaxis)
    for panel in (left, middle):
        scale_beta(panel.xaxis, beta)
        panel.set_xlabel("beta")
        legend(panel)
    tidy(*axes)
    legend(right)
    return axes
