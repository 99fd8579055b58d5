"""Langevin dynamics: what is its bias, what does it cost to remove it, and where does it get stuck?

A Gaussian shows the bias of unadjusted moves against the step size: their variance is
1 / (1 - h^2 / 4), that of the Metropolis-adjusted ones is right at any step, and that of
underdamped dynamics (BAOAB) is right for a Gaussian, if for nothing else. A Gaussian of ten
dimensions with variances from 1 to 25 shows effective draws per gradient of these, of Hamiltonian
trajectories (HMC) and of these with coarse Langevin moves where the energy is high (hybrid), with
NUTS beside them. A narrow Gaussian on top of a wide one is where that pays: a step that fits the
narrow one hardly moves in the wide one, which x tells; x^2 tells of the way from one to the other.
Pairs of modes at +-2 and +-4, with all chains started far to the right, show how long the left mode
takes to be found: at +-4 a chain would have to cross a barrier of 7.3 kT, and hardly one does.
"""

from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pymc as pm

import pm_energy as pme
from pm_energy.sampling.langevin import sample_langevin

METHODS = {"ula": "ULA", "mala": "MALA", "underdamped": "underdamped"}
TRAJECTORIES = {"hmc": "HMC", "hybrid": "hybrid"}
NAMES = {**METHODS, **TRAJECTORIES, "nuts": "NUTS"}
COLOURS = {"ula": "tab:orange", "mala": "tab:blue", "underdamped": "tab:green", "hmc": "tab:red",
           "hybrid": "tab:purple", "nuts": "0.4"}  # fmt: skip


def gaussian(variances):
    """Quadratic energy of independent coordinates."""
    return pme.energy_from_function(
        lambda x, precision: 0.5 * (precision * x**2).sum(-1),
        pme.Real(),
        np.shape(variances),
        precision=1.0 / np.asarray(variances),
    )


def bias(steps, chains, draws, seed):
    """Variance of each method and acceptance of MALA, against the step size."""
    variance, accepted = {method: [] for method in METHODS}, []
    for method, found in variance.items():
        for step in steps:
            tree = sample_langevin(
                gaussian(np.ones(1)), draws, 200, method=method, step_size=step, chains=chains,
                thin=5, random_seed=seed, progressbar=False,
            )  # fmt: skip
            found.append(float((tree["posterior"]["x"] ** 2).mean()))
            if method == "mala":
                accepted.append(float(tree["sample_stats"]["acceptance_rate"].mean()))
    return variance, accepted


def per_gradient(tree, values):
    """Smallest ESS over coordinates for each 1,000 gradients."""
    stats = tree["sample_stats"]
    gradients = float(stats["n_steps"].sum()) if "n_steps" in stats else values.size / len(values.T)
    return 1000 * float(az.ess(values.to_dataset(name="x"))["x"].min()) / gradients


def sample(energy, method, draws, chains, seed, **settings):
    """As many draws, or a quarter of it where each takes several gradients."""
    return sample_langevin(
        energy, draws // 4 if method in TRAJECTORIES else draws, draws // 2, method=method,
        chains=chains, random_seed=seed, progressbar=False, **settings,
    )  # fmt: skip


def efficiency(variances, draws, chains, frictions, seed):
    """ESS of each method, and of NUTS, for a Gaussian.

    Underdamped chains once for each friction; the best one counts.
    """
    energy, rates = gaussian(variances), {}
    for method in (*METHODS, *TRAJECTORIES):
        for friction in frictions if method == "underdamped" else (1.0,):
            tree = sample(energy, method, draws, chains, seed, friction=friction)
            rate = per_gradient(tree, tree["posterior"]["x"])
            rates[method] = max(rates.get(method, 0.0), rate)
    with pm.Model():
        pme.Boltzmann("x", energy)
        tree = pm.sample(
            draws // 4, tune=500, chains=4, cores=1, random_seed=seed, progressbar=False,
            quiet=True, compute_convergence_checks=False,
        )  # fmt: skip
    rates["nuts"] = per_gradient(tree, tree["posterior"]["x"])
    return rates


def two_scales(narrow, draws, chains, seed):
    """ESS of x and of x^2, by exact methods, for a narrow Gaussian on top of a wide one."""
    energy, rates = pme.GaussianMixtureEnergy([0.5, 0.5], [[0.0], [0.0]], [narrow**2, 1.0]), {}
    for method in ("mala", *TRAJECTORIES):
        tree = sample(energy, method, draws, chains, seed)
        x = tree["posterior"]["x"]
        rates[method] = [per_gradient(tree, values) for values in (x, x**2)]
    return rates


def weight_of_the_far_mode(place, draws, chains, seed):
    """Share of chains in the left one of two equal modes at +-place, draw after draw."""
    pair = pme.GaussianMixtureEnergy([0.5, 0.5], [[-place, 0.0], [place, 0.0]])
    tree = sample_langevin(
        pair, draws, 100, chains=chains, start=[place + 2.0, 0.0], thin=10, random_seed=seed,
        progressbar=False,
    )  # fmt: skip
    return (tree["posterior"]["x"].isel(x_dim_0=0) < 0).mean("chain").values


def main(
    output="demo_output",
    steps=(0.2, 0.5, 0.8, 1.1, 1.4, 1.7),
    chains=1000,
    draws=200,
    long_draws=4000,
    places=(2.0, 4.0),
    seed=1,
    progressbar=True,
):
    """Measure, plot, and return variances, acceptance, ESS per 1,000 gradients, mode weights."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    variance, accepted = bias(steps, chains, draws, seed)
    rates = efficiency(np.geomspace(1, 25, 10), long_draws, 8, (0.1, 0.3, 1.0), seed)
    scales = two_scales(0.05, long_draws, 32, seed)
    weights = {p: weight_of_the_far_mode(p, draws, chains, seed) for p in places}
    plot(output / "langevin.png", steps, variance, accepted, rates, scales, weights)
    if progressbar:
        for method, found in variance.items():
            print(f"variance by {METHODS[method]:12s} {np.round(found, 3)}, steps {steps}")
        print("ESS per 1,000 gradients", {name: round(rate, 1) for name, rate in rates.items()})
        for method, (of_x, of_square) in scales.items():
            print(f"two scales, {NAMES[method]:7s} ESS of x {of_x:.1f} and of x^2 {of_square:.1f}")
        for place, weight in weights.items():
            print(f"modes at +-{place:g}: weight of the far one at last {weight[-1]:.3f}")
    return {
        "variance": variance, "accepted": accepted, "rates": rates, "scales": scales,
        "weights": weights,
    }  # fmt: skip


def plot(path, steps, variance, accepted, rates, scales, weights):
    """Bias, acceptance, effective draws per gradient, mode weights."""
    figure, axes = plt.subplots(1, 5, figsize=(19.5, 3.8), layout="constrained")
    fine = np.linspace(0, max(steps), 200)
    axes[0].plot(fine, 1 / (1 - fine**2 / 4), color="0.6", label=r"$1/(1 - h^2/4)$", zorder=0)
    axes[0].axhline(1, color="0.8", linewidth=0.8, zorder=0)
    for method, found in variance.items():
        axes[0].plot(
            steps, found, "o", color=COLOURS[method], label=METHODS[method], alpha=0.8,
            markerfacecolor="none" if method == "underdamped" else None, markersize=7,
        )  # fmt: skip
    axes[0].set(title="variance of a unit Gaussian", xlabel="step size h", yscale="log")
    axes[0].set_yticks([1, 2, 3], ["1", "2", "3"])
    axes[0].minorticks_off()
    axes[0].legend(frameon=False)
    axes[1].plot(steps, accepted, "o-", color=COLOURS["mala"])
    axes[1].axhline(0.574, color="0.6", linestyle="--", linewidth=0.8)
    axes[1].text(0.05, 0.58, "what steps are tuned to", color="0.4", va="bottom")
    axes[1].set(title="acceptance of MALA", xlabel="step size h", ylim=(0, 1.03), xlim=(0, None))
    names = [NAMES[method].replace("underd", "under-\nd") for method in rates]
    bars = axes[2].bar(names, rates.values(), color=[COLOURS[method] for method in rates])
    axes[2].bar_label(bars, fmt="%.1f")
    axes[2].set(title="ESS per 1,000 gradients\n10 dimensions, variances 1 to 25")
    for shift, (method, found) in zip((-0.27, 0.0, 0.27), scales.items(), strict=True):
        bars = axes[3].bar(np.arange(2) + shift, found, 0.27, color=COLOURS[method],
                           label=NAMES[method])  # fmt: skip
        axes[3].bar_label(bars, fmt="%.0f")
    axes[3].set_xticks([0, 1], ["of x", "of $x^2$"])
    axes[3].set(title="ESS per 1,000 gradients\na narrow Gaussian on a wide one")
    axes[3].legend(frameon=False)
    for place, weight in weights.items():
        moves = 10 * np.arange(1, len(weight) + 1)
        axes[4].plot(moves, weight, label=rf"modes at $\pm${place:g}")
    axes[4].axhline(0.5, color="k", linestyle="--", linewidth=0.8, label="truth")
    axes[4].set(title="MALA: chains in the far mode", xlabel="moves", ylim=(-0.02, 0.6))
    axes[4].legend(frameon=False, loc="center right")
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
