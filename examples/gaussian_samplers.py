"""Metropolis, HMC and NUTS on the same energies: how well do they decorrelate, and at what price?

Gaussians of 2 to 20 dimensions, variances from 1 to 25, and a mixture of two modes. Each energy is
written once and sampled by three of PyMC's step methods; ArviZ measures the effective sample size.
PyMC's Metropolis moves one coordinate at a time, so one of its draws takes as many evaluations of
the energy as there are dimensions; draws of HMC and NUTS take a gradient for each leapfrog step.

On the mixture, whose modes lie 8 standard deviations apart, no chain crosses often enough: compare
the weight that each gives to a mode with the true 1/2.
"""

from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from rich.progress import Progress

import pm_energy as pme

SAMPLERS = {"Metropolis": pm.Metropolis, "HMC": pm.HamiltonianMC, "NUTS": pm.NUTS}
CHAINS = 4


def gaussian(dim, widest=25.0):
    """Quadratic energy with variances from 1 to ``widest``."""
    precision = 1.0 / np.geomspace(1.0, widest, dim)
    return pme.energy_from_function(
        lambda x, precision: 0.5 * (precision * x**2).sum(-1),
        pme.Real(),
        (dim,),
        precision=precision,
    )


def two_modes(distance=8.0):
    """Equal mixture of two unit Gaussians in the plane, at +-distance / 2 on the first axis."""

    def energy(x, half):
        rest = 0.5 * (x**2).sum(-1) + 0.5 * half**2
        return rest - pt.logaddexp(half * x[..., 0], -half * x[..., 0]) + np.log(2)

    return pme.energy_from_function(energy, pme.Real(), (2,), half=distance / 2)


def sample(energy, method, draws, tune, seed):
    """Four chains of one step method."""
    with pm.Model():
        x = pme.Boltzmann("x", energy)
        return pm.sample(
            draws,
            tune=tune,
            chains=CHAINS,
            cores=1,
            step=method([x]),
            random_seed=seed,
            progressbar=False,
            compute_convergence_checks=False,
            quiet=True,
        )


def measure(trace):
    """Autocorrelation time of the widest direction, its ESS, and ESS per 1,000 evaluations."""
    widest = trace["posterior"]["x"].isel(x_dim_0=-1)
    ess = float(az.ess(widest))
    stats = trace["sample_stats"]
    a_draw = (
        float(stats["n_steps"].mean()) if "n_steps" in stats else trace["posterior"]["x_dim_0"].size
    )
    return {"ess": ess, "tau": widest.size / ess, "per 1,000": 1000 * ess / (widest.size * a_draw)}


def autocorrelation(trace, lags):
    """Autocorrelation of the widest direction, whose mean is known to be 0, over all chains."""
    x = trace["posterior"]["x"].isel(x_dim_0=-1).values
    products = [np.mean(x[:, : x.shape[1] - k] * x[:, k:]) for k in range(lags)]
    return np.array(products) / products[0]


def main(
    output="demo_output",
    dims=(2, 5, 10, 20),
    draws=1000,
    tune=500,
    lags=31,
    seed=5,
    progressbar=True,
):
    """Sample all, plot, and return a table of :func:`measure` and each chain's mode weight."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    table, weights, curves = {}, {}, {}
    with Progress(disable=not progressbar) as progress:
        task = progress.add_task("sampling", total=len(SAMPLERS) * (len(dims) + 1))
        for name, method in SAMPLERS.items():
            for dim in dims:
                trace = sample(gaussian(dim), method, draws, tune, seed)
                table[dim, name] = measure(trace)
                curves[dim, name] = autocorrelation(trace, lags)
                progress.advance(task)
            trace = sample(two_modes(), method, draws, tune, seed)
            weights[name] = (trace["posterior"]["x"].isel(x_dim_0=0) > 0).mean("draw").values
            progress.advance(task)
    plot(output / "gaussian_samplers.png", table, weights, curves, dims)
    for (dim, name), row in table.items():
        print(
            f"{dim:3d} dimensions  {name:11s} ESS {row['ess']:6.0f}  tau {row['tau']:5.1f}  "
            f"ESS per 1,000 evaluations {row['per 1,000']:5.0f}"
        )
    for name, weight in weights.items():
        print(
            f"two modes       {name:11s} weight of the right mode in each chain {weight.round(2)}"
        )
    return {"table": table, "weights": weights}


def plot(path, table, weights, curves, dims):
    """Autocorrelations at the lowest and highest dimension, cost, and mode weights."""
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
    colours = dict(zip(SAMPLERS, ["tab:blue", "tab:orange", "tab:green"], strict=True))
    for ax, dim in zip(axes, (dims[0], dims[-1]), strict=False):
        for name, colour in colours.items():
            ax.plot(curves[dim, name], label=name, color=colour, marker=".")
        ax.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        ax.set(title=f"Gaussian in {dim} dimensions", xlabel="lag (draws)", ylim=(-0.5, 1.03))
    axes[0].set_ylabel("autocorrelation, widest direction")
    axes[0].legend(frameon=False)
    for i, (name, colour) in enumerate(colours.items()):
        rate = [table[dim, name]["per 1,000"] for dim in dims]
        axes[2].plot(dims, rate, marker="o", color=colour, label=name)
        place = i + np.linspace(-0.15, 0.15, CHAINS)
        axes[3].scatter(place, weights[name], color=colour, clip_on=False, zorder=3)
    axes[2].set(title="ESS per 1,000 evaluations", xlabel="dimensions", xscale="log", yscale="log")
    axes[2].set_xticks(dims, dims)
    axes[2].minorticks_off()
    axes[3].axhline(0.5, color="k", linestyle="--", linewidth=0.8, label="truth")
    axes[3].legend(frameon=False, loc="center right", bbox_to_anchor=(1.0, 0.56))
    axes[3].set(title="two modes, 8 sigma apart", ylabel="weight of the right mode, each chain")
    axes[3].set(xticks=range(len(SAMPLERS)), xticklabels=SAMPLERS, ylim=(0, 1), xlim=(-0.5, 2.5))
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
