"""The phase transition of the square-lattice Ising model, seen through PyMC.

Swendsen-Wang clusters sample tori of three sizes on both sides of the critical coupling. The mean energy
is compared with Kaufman's exact value; magnetisation, susceptibility and the Binder cumulant show the
transition, the cumulants of all sizes crossing at K_c = log(1 + sqrt 2) / 2 = .4407.
"""

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

CRITICAL = np.log1p(np.sqrt(2)) / 2


def sample_torus(size, coupling, draws, seed):
    """Draws of a torus at one coupling, by Swendsen-Wang."""
    with pm.Model():
        z = pme.Boltzmann("z", pme.Ising(lattice=(size, size), coupling=coupling))
        return pm.sample(
            draws,
            tune=draws // 10,
            chains=2,
            cores=1,
            step=pme.EnergyCluster([z], sweeps_per_draw=2),
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


def main(output="demo_output", sizes=(8, 16, 32), n_couplings=9, draws=2000, seed=7, progressbar=True):
    """Run all sizes and couplings, plot, and return what was measured."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    couplings = np.linspace(0.38, 0.50, n_couplings)
    rows, deviations = [], []
    with Progress(disable=not progressbar) as progress:
        task = progress.add_task("sampling tori", total=len(sizes) * n_couplings)
        for size in sizes:
            columns = []
            for k, coupling in enumerate(couplings):
                trace = sample_torus(size, coupling, draws, seed + 1000 * size + k)
                energy = mean_energy(trace).squeeze()
                exact = size**2 * coupling * pme.exact.torus_energy_per_site((size, size), coupling)
                deviations.append(float((energy["value"] - exact) / energy["mcse"]))
                found = [magnetisation(trace, "z"), susceptibility(trace, "z"), binder_cumulant(trace, "z")]
                columns.append(xr.concat(found, dim="quantity"))
                progress.advance(task)
            rows.append(xr.concat(columns, dim=xr.Variable("coupling", couplings)))
    table = xr.concat(rows, dim=xr.Variable("size", list(sizes)))

    axes = plot_observables(
        table, "coupling", quantities=["abs_magnetisation", "abs_susceptibility", "binder_cumulant"]
    )
    for ax in axes:
        ax.axvline(CRITICAL, color="0.5", linestyle="--", linewidth=1, label=None)
    axes[0].figure.savefig(output / "ising_transition.png", dpi=110)
    plt.close(axes[0].figure)
    result = {
        "largest energy deviation from Kaufman, standard errors": float(np.abs(deviations).max()),
        "Binder crossing": crossing(table, sizes[0], sizes[-1]),
        "critical coupling": float(CRITICAL),
    }
    for name, value in result.items():
        print(f"{name:56s} {value:.4f}")
    return result


if __name__ == "__main__":
    main()
