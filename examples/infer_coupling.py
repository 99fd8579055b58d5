"""Infer the coupling of a hidden Ising field from a noisy picture of it.

The coupling, the noise and the 64 x 64 field are all unknown. On a torus log Z is known in closed form
and is differentiable, so NUTS samples the coupling while Gibbs sweeps sample the field. Leaving log Z
out, as a plain ``pm.Potential`` would, sends the coupling to where the prior lets it go.
"""

from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pymc as pm

import pm_energy as pme


def simulate(size, coupling, noise, seed):
    """Draw a field from its prior and a noisy picture of it."""
    rng = np.random.default_rng(seed)
    field = pme.Boltzmann.dist(pme.Ising(lattice=(size, size), coupling=coupling))
    spins = pm.draw(field, random_seed=rng)
    return spins, spins + rng.normal(0, noise, spins.shape)


def main(output="demo_output", size=64, coupling=0.35, draws=1000, tune=1000, seed=3, progressbar=True):
    """Simulate, infer, plot, and return the posterior of the coupling."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    spins, picture = simulate(size, coupling, 0.8, seed)
    with pm.Model():
        J = pm.HalfNormal("J", 0.5)
        z = pme.Boltzmann("z", pme.Ising(lattice=(size, size), coupling=J))
        noise = pm.HalfNormal("noise", 1.0)
        pm.Normal("picture", z, noise, observed=picture)
        trace = pm.sample(
            draws,
            tune=tune,
            chains=2,
            random_seed=seed,
            progressbar=progressbar,
            compute_convergence_checks=False,
            step=pme.EnergyGibbs([z], sweeps_per_draw=5),
        )
    summary = az.summary(trace, var_names=["J", "noise"])
    print(summary)
    result = {
        "truth": coupling,
        "mean": float(trace["posterior"]["J"].mean()),
        "sd": float(trace["posterior"]["J"].std()),
        "r_hat": float(summary.loc["J", "r_hat"]),
        "recovered spins": float(
            np.mean(pme.diagnostics.posterior_mode(trace, "z").values == spins)
        ),
    }
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    axes[0].imshow(picture, cmap="gray")
    axes[0].set_title("noisy picture")
    pme.diagnostics.plot_site_probabilities(trace, "z", ax=axes[1])
    axes[2].hist(trace["posterior"]["J"].values.ravel(), bins=40, density=True, color="#4c72b0")
    axes[2].axvline(coupling, color="k", linestyle="--", label="truth")
    axes[2].set(xlabel="coupling J", ylabel="posterior density")
    axes[2].legend(frameon=False)
    figure.savefig(output / "infer_coupling.png", dpi=110)
    plt.close(figure)
    return result


if __name__ == "__main__":
    print(main())
