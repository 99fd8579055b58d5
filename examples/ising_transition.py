"""The phase transition of the square-lattice Ising model, seen through PyMC.

Swendsen-Wang clusters sample tori of three sizes on both sides of the critical coupling. The mean
energy lies on Kaufman's exact curve; magnetisation and susceptibility show the transition, and the
Binder cumulants of all sizes cross at K_c = log(1 + sqrt 2) / 2 = .4407.
"""

import logging
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import xarray as xr
from rich.progress import Progress

import pm_energy as pme
from pm_energy.diagnostics import (
    binder_cumulant,
    magnetisation,
    mean_energy,
    plot_observables,
    susceptibility,
)
from pm_energy.exact.kaufman import CRITICAL_COUPLING, torus_energy_per_site

PANELS = {
    "energy": "energy per site (lines: exact)",
    "abs_magnetisation": "magnetisation",
    "abs_susceptibility": "susceptibility",
    "binder_cumulant": "Binder cumulant",
}


def torus(size):
    """A model of a torus alone, its coupling data: compiled once for all couplings."""
    with pm.Model() as model:
        coupling = pm.Data("coupling", CRITICAL_COUPLING)
        pme.Boltzmann("z", pme.Ising(lattice=(size, size), coupling=coupling))
    return model


def sample(model, coupling, draws, seed):
    """Draws at one coupling, by Swendsen-Wang."""
    with model:
        pm.set_data({"coupling": coupling})
        return pm.sample(
            draws,
            tune=draws // 10,
            chains=2,
            cores=1,
            step=pme.EnergyCluster([model["z"]], sweeps_per_draw=2),
            random_seed=seed,
            progressbar=False,
            compute_convergence_checks=False,
            quiet=True,
        )


def crossing(table, small, large):
    """Coupling at which the Binder cumulants of two sizes are equal, by linear interpolation."""
    u = table["value"].sel(quantity="binder_cumulant")
    gap = (u.sel(size=large) - u.sel(size=small)).values
    k = u["coupling"].values
    i = np.flatnonzero((gap[:-1] < 0) & (gap[1:] >= 0))[-1]
    return float(k[i] - gap[i] * (k[i + 1] - k[i]) / (gap[i + 1] - gap[i]))


def measure(trace, size, coupling):
    """Energy per site, magnetisation, susceptibility and Binder cumulant, with their errors."""
    found = [
        mean_energy(trace) / (coupling * size**2),
        magnetisation(trace, "z"),
        susceptibility(trace, "z"),
        binder_cumulant(trace, "z"),
    ]
    return xr.concat(found, dim="quantity")


def main(
    output="demo_output", sizes=(8, 16, 32), n_couplings=9, draws=2000, seed=7, progressbar=True
):
    """Run all sizes and couplings, plot, and return what was measured."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    side = np.linspace(-1, 1, n_couplings)
    couplings = CRITICAL_COUPLING + 0.06 * side * abs(side)  # dense where it is steep
    rows = []
    with Progress(disable=not progressbar) as progress:
        task = progress.add_task("sampling tori", total=len(sizes) * n_couplings)
        for size in sizes:
            model, columns = torus(size), []
            for k, coupling in enumerate(couplings):
                trace = sample(model, coupling, draws, seed + 1000 * size + k)
                columns.append(measure(trace, size, coupling))
                progress.advance(task)
            rows.append(xr.concat(columns, dim=xr.Variable("coupling", couplings)))
    table = xr.concat(rows, dim=xr.Variable("size", list(sizes)))
    plot(output / "ising_transition.png", table, sizes)

    energy = table.sel(quantity="energy")
    exact = [torus_energy_per_site((size, size), couplings) for size in sizes]
    deviations = (energy["value"] - exact) / energy["mcse"]
    result = {
        "largest energy deviation from Kaufman, standard errors": float(abs(deviations).max()),
        "Binder crossing": crossing(table, sizes[0], sizes[-1]),
        "critical coupling": float(CRITICAL_COUPLING),
    }
    for name, value in result.items():
        print(f"{name:56s} {value:.4f}")
    return result


def plot(path, table, sizes):
    """All observables over the coupling, a line for each size."""
    figure, axes = plt.subplots(1, len(PANELS), figsize=(15, 3.6), layout="constrained")
    plot_observables(table, "coupling", quantities=list(PANELS), ax=axes)
    fine = np.linspace(*axes[0].get_xlim(), 200)
    for size, points in zip(sizes, axes[0].containers, strict=True):
        points.lines[0].set_linestyle("none")
        colour = points.lines[0].get_color()
        axes[0].plot(fine, torus_energy_per_site((size, size), fine), color=colour, linewidth=1)
    for ax, label in zip(axes, PANELS.values(), strict=True):
        ax.axvline(CRITICAL_COUPLING, color="0.5", linestyle="--", linewidth=1, zorder=0)
        ax.set(ylabel=label, xlabel="coupling K = J / T")
        if ax is not axes[0]:
            ax.get_legend().remove()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    logging.getLogger("pymc.pm_energy").setLevel(logging.WARNING)  # one sampler, 27 times
    main()
