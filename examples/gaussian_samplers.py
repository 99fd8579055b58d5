"""Metropolis, HMC and NUTS on the same energies: how well do they decorrelate?

Gaussians of 2 to 20 dimensions, condition number 25, and a mixture of two modes. Each energy is written
once and sampled by three of PyMC's step methods; ArviZ measures the effective sample size. On the
mixture, whose modes lie 8 standard deviations apart, Metropolis crosses now and then, HMC and NUTS all
but never: compare the weight that each chain gives to a mode with the true 1/2.
"""

from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pymc as pm

import pm_energy as pme

SAMPLERS = {"Metropolis": pm.Metropolis, "HMC": pm.HamiltonianMC, "NUTS": pm.NUTS}


def gaussian(dim, condition=25.0):
    """Quadratic energy with variances from 1 to ``condition``."""
    precision = 1.0 / np.geomspace(1.0, condition, dim)
    return pme.energy_from_function(
        lambda x, precision: 0.5 * (precision * x**2).sum(-1), pme.Real(), (dim,), precision=precision
    )


def two_modes(distance=8.0):
    """Equal mixture of two unit Gaussians in two dimensions, at +-distance / 2 on the first axis."""
    import pytensor.tensor as pt

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
            chains=4,
            cores=1,
            step=method([x]),
            random_seed=seed,
            progressbar=False,
            compute_convergence_checks=False,
            quiet=True,
        )


def measure(trace):
    """Effective sample size of the widest direction, its share of the draws, and tau."""
    widest = trace["posterior"]["x"].isel(x_dim_0=-1)
    total = widest.size
    ess = float(az.ess(widest))
    return {"ess": ess, "tau": total / ess}


def autocorrelation(trace, lags):
    """Autocorrelation of the widest direction, averaged over chains."""
    x = trace["posterior"]["x"].isel(x_dim_0=-1).values
    x = x - x.mean()
    return np.array([np.mean(x[:, : x.shape[1] - k] * x[:, k:]) for k in range(lags)]) / np.mean(x**2)


def main(output="demo_output", dims=(2, 5, 10, 20), draws=1000, tune=500, lags=40, seed=5):
    """Sample all, plot autocorrelations, and return effective sample sizes and mode weights."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    table, weights = {}, {}
    figure, axes = plt.subplots(1, len(dims) + 1, figsize=(3.4 * (len(dims) + 1), 3.2), layout="constrained")
    for ax, dim in zip(axes, dims, strict=False):
        for name, method in SAMPLERS.items():
            trace = sample(gaussian(dim), method, draws, tune, seed)
            table[dim, name] = measure(trace)
            ax.plot(autocorrelation(trace, lags), label=name)
        ax.axhline(0, color="0.7", linewidth=0.8)
        ax.set(title=f"Gaussian, {dim} dimensions", xlabel="lag", ylim=(-0.6, 1.02))
    axes[0].set_ylabel("autocorrelation, widest direction")
    axes[0].legend(frameon=False)
    for i, (name, method) in enumerate(SAMPLERS.items()):
        trace = sample(two_modes(), method, draws, tune, seed)
        weights[name] = (trace["posterior"]["x"].isel(x_dim_0=0) > 0).mean("draw").values
        axes[-1].scatter(np.full(4, i), weights[name])
    axes[-1].axhline(0.5, color="k", linestyle="--", linewidth=0.8)
    axes[-1].set(title="two modes, 8 sigma apart", ylabel="weight of the right mode, per chain")
    axes[-1].set_xticks(range(len(SAMPLERS)), SAMPLERS)
    axes[-1].set_ylim(-0.05, 1.05)
    figure.savefig(output / "gaussian_samplers.png", dpi=110)
    plt.close(figure)
    for (dim, name), row in table.items():
        print(f"{dim:3d} dimensions  {name:11s} ESS {row['ess']:7.0f}  tau {row['tau']:6.1f}")
    for name, weight in weights.items():
        print(f"two modes      {name:11s} weight of the right mode per chain {np.round(weight, 2)}")
    return {"table": table, "weights": weights}


if __name__ == "__main__":
    main()
