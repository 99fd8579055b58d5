"""Infer the coupling of a hidden Ising field from a noisy picture of it.

The coupling, the noise and the 64 x 64 field are all unknown. On a torus log Z is known in closed
form and is differentiable, so NUTS samples the coupling while Gibbs sweeps sample the field.
Leaving log Z out, as a plain ``pm.Potential`` would, sends it to where the prior lets it go.
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


def main(
    output="demo_output",
    size=64,
    coupling=0.35,
    draws=1000,
    tune=1000,
    seed=3,
    progressbar=True,
):
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
    probability = pme.diagnostics.site_probabilities(trace, "z").sel(state=1)
    pictures = {"hidden field": spins, "noisy picture": picture, "P(spin up)": probability}
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
    for ax, (title, shown) in zip(axes, pictures.items(), strict=False):
        ax.imshow(shown, cmap="gray", interpolation="nearest")
        ax.set(title=title, xticks=[], yticks=[])
    axes[3].hist(trace["posterior"]["J"].values.ravel(), bins=40, density=True, color="tab:blue")
    axes[3].axvline(coupling, color="k", linestyle="--", label="truth")
    axes[3].set(title="coupling", xlabel="J", ylabel="posterior density")
    axes[3].spines[["top", "right"]].set_visible(False)
    axes[3].legend(frameon=False)
    figure.savefig(output / "infer_coupling.png", dpi=110)
    plt.close(figure)
    return result


if __name__ == "__main__":
    print(main())
