"""Which of these galaxies move together? A mixture whose labels can be exchanged.

Three normal components fit the velocities of 82 galaxies. Any permutation of the labels gives the
same likelihood, so the posterior has six equal modes. NUTS stays in the one where it starts, and
its chains disagree; parallel tempering visits all six.
"""

import logging
from itertools import permutations
from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pymc as pm

import pm_energy as pme

GALAXIES = np.array([
    9172, 9350, 9483, 9558, 9775, 10227, 10406, 16084, 16170, 18419, 18552, 18600, 18927, 19052,
    19070, 19330, 19343, 19349, 19440, 19473, 19529, 19541, 19547, 19663, 19846, 19856, 19863,
    19914, 19918, 19973, 19989, 20166, 20175, 20179, 20196, 20215, 20221, 20415, 20629, 20795,
    20821, 20846, 20875, 20986, 21137, 21492, 21701, 21814, 21921, 21960, 22185, 22209, 22242,
    22249, 22314, 22374, 22495, 22746, 22747, 22888, 22914, 23206, 23241, 23263, 23484, 23538,
    23542, 23666, 23706, 23711, 24129, 24285, 24289, 24366, 24717, 24990, 25633, 26960, 26995,
    32065, 32789, 34279,
]) / 1000  # 1,000 km/s, of the Corona Borealis region; Roeder (1990), JASA 85, 617-624  # fmt: skip


def mixture(k=3):
    """Normal mixture with k components, its labels free."""
    with pm.Model(coords={"component": range(k)}) as model:
        mean = pm.Uniform("mean", 5, 40, dims="component")
        log_sd = pm.Uniform("log_sd", -1.5, 2, dims="component")
        weight = pm.Dirichlet("weight", np.ones(k), dims="component")
        pm.NormalMixture("velocity", weight, mean, pm.math.exp(log_sd), observed=GALAXIES)
    return model


def labellings(tree):
    """Share of draws in each order of the components, shape (chain, k!)."""
    order = np.argsort(tree["posterior"]["mean"].values, axis=-1)
    k = order.shape[-1]
    return np.array(
        [(order == labels).all(axis=-1).mean(axis=1) for labels in permutations(range(k))]
    ).T


def plot(nuts, tempered, path):
    """Traces of a component's mean, the share of each labelling, and the ladder."""
    fig, axes = plt.subplots(2, 3, figsize=(14, 7), layout="constrained")
    runs = {"NUTS": nuts, "parallel tempering": tempered}
    for ax, (name, tree) in zip(axes[0], runs.items(), strict=False):
        for chain in tree["posterior"]["mean"].sel(component=0).values:
            ax.plot(chain, lw=0, marker=".", ms=1.5)
        ax.set(title=f"{name}: mean of component 0", xlabel="draw", ylabel="1,000 km/s")
    for i, (name, tree) in enumerate(runs.items()):
        share = labellings(tree).mean(0)
        axes[0, 2].bar(np.arange(share.size) + 0.4 * i - 0.2, share, width=0.4, label=name)
    axes[0, 2].axhline(1 / share.size, color="k", lw=1, ls=":", label="exact")
    axes[0, 2].set(
        xlabel="labelling", ylabel="share of draws", title="modes visited", ylim=(0, 0.8)
    )
    axes[0, 2].legend()
    pme.plot_ladder(tempered, ax=axes[1, :2])
    pme.plot_round_trips(tempered, ax=axes[1, 2])
    fig.savefig(path, dpi=120)
    plt.close(fig)


def main(output="demo_output", draws=4000, tune=2000, chains=2, progressbar=True):
    """Sample by NUTS and by parallel tempering; plot and return what was found."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    with mixture() as model:
        nuts = pm.sample(
            500, tune=500, chains=4, cores=1, random_seed=1, progressbar=progressbar,
            compute_convergence_checks=False, quiet=True,
        )  # fmt: skip
    tempered = pme.sample_parallel_tempering(
        draws, tune, chains=chains, model=model, random_seed=1, progressbar=progressbar
    )
    plot(nuts, tempered, output / "multimodal.png")
    result = {"evidence": pme.log_evidence(tempered)}
    for name, tree in (("NUTS", nuts), ("tempered", tempered)):
        share = labellings(tree).mean(0)
        result[f"{name} modes"] = int((share > 0.02).sum())
        result[f"{name} total variation"] = 0.5 * np.abs(share - 1 / share.size).sum()
        result[f"{name} r_hat"] = float(az.rhat(tree)["mean"].max())
    return result


if __name__ == "__main__":
    logging.getLogger("pymc").setLevel(logging.INFO)
    for name, value in main().items():
        print(f"{name}: {value}")
