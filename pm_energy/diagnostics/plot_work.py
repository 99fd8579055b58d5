"""Plot of the work of annealed importance sampling, with what the second law says of it."""

import numpy as np

from pm_energy.diagnostics.axes import panels, tidy
from pm_energy.diagnostics.plots import PALETTE
from pm_energy.diagnostics.work import work_profile
from pm_energy.trust import tempered_group


def plot_work(data, *, ax=None):
    """Plot histograms of the work of forward and reverse runs, with the free-energy difference.

    The means (dotted) should lie on either side of Delta F (full line), and the histograms cross
    there (Crooks). Where they do not overlap, log Z is an extrapolation.

    Parameters
    ----------
    data : DataTree or Dataset
        From ``pme.ais``, or its group "work".
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there is no such group.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import pm_energy as pme
    >>> work = np.random.default_rng(0).normal(3.5, 1, size=5000)  # then Delta F is 3.5 - 1 / 2
    >>> ax = pme.diagnostics.plot_work(xr.Dataset({"forward": ("particle", work)}))
    >>> round(float(ax.lines[-1].get_xdata()[0]), 1)
    3.0
    """
    group, profile = tempered_group(data, "work"), work_profile(data)
    [ax] = panels(ax, 1)
    works = {str(name): group[str(name)].values for name in profile["direction"].values}
    finite = np.concatenate([w[np.isfinite(w)] for w in works.values()])
    edges = np.histogram_bin_edges(finite, bins=np.clip(int(np.sqrt(finite.size)), 10, 60))
    for colour, (name, work) in zip(PALETTE, works.items(), strict=False):
        share = np.histogram(work, edges)[0] / (work.size * np.diff(edges))
        ax.stairs(share, edges, fill=True, alpha=0.2, color=colour)
        dead = np.isinf(work).mean()
        beyond = f" ({100 * dead:.2g}% infinite)" if dead else ""
        ax.stairs(share, edges, color=colour, linewidth=1.3, label=name + beyond)
        one = profile.sel(direction=name)
        if not dead:
            mean = f"mean, {float(one['dissipation']):.3g} dissipated"
            ax.axvline(one["mean_work"], color=colour, linestyle=":", linewidth=1.5, label=mean)
    best, error = float(profile["free_energy"]), float(profile["free_energy_mcse"])
    ax.axvline(best, color="0.1", linewidth=1.3, label=f"ΔF = {best:.4g} ± {error:.2g}")
    ax.set(xlabel="work / nats", ylabel="density", ylim=(0, None))
    tidy(ax)
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return ax
