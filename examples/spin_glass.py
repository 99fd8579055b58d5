"""A spin glass: its ground state by annealing, its low-temperature phase by parallel tempering.

Spins on a cubic lattice with couplings of random sign. Gibbs sweeps alone stay in the valley where
they begin: the overlap of two independent chains is far from the symmetric distribution that it
must have. Replicas that exchange temperatures cross the barriers. Annealing many replicas finds the
lowest energy.
"""

import logging
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm

import pm_energy as pme


def spin_glass(side, temperature, seed):
    """Edwards-Anderson model with couplings +-1, in units of kT."""
    sites = pme.Lattice((side, side, side))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=len(sites.edges))
    return pme.Ising(lattice=(side, side, side), coupling=signs / temperature)


def overlaps(tree, name):
    """Overlap of the fields of pairs of chains, draw by draw."""
    spins = tree["posterior"][name].values.astype(float)
    flat = spins.reshape(*spins.shape[:2], -1)
    pairs = [(i, j) for i in range(len(flat)) for j in range(i)]
    return np.array([(flat[i] * flat[j]).mean(axis=1) for i, j in pairs])


def plot(minima, gibbs, tempered, temperature, path):
    """Energies after annealing, overlaps of chains, and free energy and energy on the way."""
    fig, axes = plt.subplots(2, 3, figsize=(14, 7.5), layout="constrained")
    for n_sweeps, energies in minima.items():
        values, counts = np.unique(energies.round(6), return_counts=True)
        axes[0, 0].plot(values, counts / counts.sum(), "o-", ms=3, label=f"{n_sweeps} sweeps")
    axes[0, 0].set(xlabel="energy per spin", ylabel="share of replicas", title="annealing")
    axes[0, 0].legend()
    bins = np.linspace(-1, 1, 41)
    for ax, name, tree in zip(
        axes[0, 1:], ("Gibbs sweeps", "parallel tempering"), (gibbs, tempered), strict=True
    ):
        for q in overlaps(tree, "x"):
            ax.hist(q, bins, density=True, histtype="step", lw=1)
        ax.set(xlabel="overlap of two chains", ylabel="density", title=f"{name}, T = {temperature}")
    for ax in axes[0]:
        ax.locator_params(axis="x", nbins=6)
    pme.plot_free_energy(tempered, ax=axes[1])
    fig.savefig(path, dpi=120)
    plt.close(fig)


def asymmetry(tree, name):
    """How far the mean overlap of pairs of chains is from zero, where symmetry puts it."""
    return float(np.abs(overlaps(tree, name).mean(axis=1)).max())


def main(
    output="demo_output", side=6, temperature=0.9, draws=4000, sweeps=(10, 100, 1000),
    progressbar=True,
):  # fmt: skip
    """Anneal, sample by Gibbs sweeps and by parallel tempering; plot and return what was found."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    glass = spin_glass(side, temperature, seed=1)
    annealed = {
        n: pme.anneal(glass, n_sweeps=n, n_replicas=512, random_seed=1, progressbar=False)
        for n in sweeps
    }
    minima = {n: run.energies * temperature / side**3 for n, run in annealed.items()}
    options = {"chains": 4, "random_seed": 1, "progressbar": progressbar}
    with pm.Model():
        pme.Boltzmann("x", glass)
        gibbs = pm.sample(
            draws, tune=draws, cores=1, compute_convergence_checks=False, quiet=True, **options
        )
    tempered = pme.sample_parallel_tempering(draws, draws, model=glass, **options)
    plot(minima, gibbs, tempered, temperature, output / "spin_glass.png")
    lowest = min(energies.min() for energies in minima.values()) + 1e-9
    return {
        "lowest energy per spin": lowest,
        "replicas that find it": {n: float((e <= lowest).mean()) for n, e in minima.items()},
        "asymmetry by Gibbs": asymmetry(gibbs, "x"),
        "asymmetry by tempering": asymmetry(tempered, "x"),
        "log Z": pme.log_evidence(tempered),
    }


if __name__ == "__main__":
    logging.getLogger("pymc").setLevel(logging.WARNING)
    for name, value in main().items():
        print(f"{name}: {value}")
