"""How strongly do friends agree? The coupling of an Ising field on a real social network.

Zachary (1977) recorded the friendships of 34 members of a karate club, and which of two factions
each joined when the club split. The factions are an Ising field on the graph of friendships; its
coupling says how much a friend's side counts. Log Z of this graph is out of reach of closed forms
and of enumeration, so the exchange algorithm samples the posterior, with inner draws that are exact
by coupling from the past. Besag's pseudolikelihood, an approximation, sees only that members agree
with their friends, and not that two factions are rare where the coupling is strong: it puts the
coupling far too high, where nearly all fields have everybody on one side.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm

import pm_energy as pme

TIES = """
0-1 0-2 0-3 0-4 0-5 0-6 0-7 0-8 0-10 0-11 0-12 0-13 0-17 0-19 0-21 0-31 1-2 1-3 1-7 1-13 1-17 1-19
1-21 1-30 2-3 2-7 2-8 2-9 2-13 2-27 2-28 2-32 3-7 3-12 3-13 4-6 4-10 5-6 5-10 5-16 6-16 8-30 8-32
8-33 9-33 13-33 14-32 14-33 15-32 15-33 18-32 18-33 19-33 20-32 20-33 22-32 22-33 23-25 23-27 23-29
23-32 23-33 24-25 24-27 24-31 25-31 26-29 26-33 27-33 28-31 28-33 29-32 29-33 30-32 30-33 31-32
31-33 32-33
"""
GRAPH = np.array([[int(member) for member in tie.split("-")] for tie in TIES.split()])
SIDE = np.array([1 if c == "1" else -1 for c in "1111111110111100110101000000000000"])


def ties_across(fields):
    """How many friendships join the two sides, for fields (..., 34)."""
    return (fields[..., GRAPH[:, 0]] != fields[..., GRAPH[:, 1]]).sum(axis=-1)


def infer(log_partition, draws, tune, seed, progressbar):
    """Posterior of the coupling, and ties across sides in fields drawn from it."""
    with pm.Model():
        J = pm.HalfNormal("J", 1.0)
        network = pme.Ising(graph=GRAPH, coupling=J)
        pme.Boltzmann("side", network, log_partition=log_partition, observed=SIDE)
        trace = pm.sample(
            draws,
            tune=tune,
            chains=2,
            random_seed=seed,
            progressbar=progressbar,
            compute_convergence_checks=False,
        )
        drawn = pm.sample_posterior_predictive(
            trace.isel(draw=slice(None, None, 5)), random_seed=seed, progressbar=progressbar
        )
    return trace, ties_across(drawn["posterior_predictive"]["side"].values).ravel()


def layout():
    """Places of the members: the two slowest modes of the graph."""
    laplacian = np.zeros((len(SIDE), len(SIDE)))
    np.add.at(laplacian, tuple(GRAPH.T), -1.0)
    laplacian += laplacian.T
    np.fill_diagonal(laplacian, -laplacian.sum(axis=0))
    scale = 1 / np.sqrt(np.diag(laplacian))
    return scale[:, None] * np.linalg.eigh(scale[:, None] * laplacian * scale)[1][:, 1:3]


def main(output="demo_output", draws=4000, tune=1000, seed=5, progressbar=True):
    """Infer, plot, and return what the two posteriors say."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    found = {
        name: infer(name, draws, tune, seed, progressbar)
        for name in ("exchange", "pseudolikelihood")
    }
    figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    place = layout()
    for a, b in GRAPH:
        axes[0].plot(*place[[a, b]].T, color="0.75", linewidth=0.8, zorder=1)
    axes[0].scatter(*place.T, c=SIDE, cmap="coolwarm", s=45, zorder=2)
    axes[0].set(title="two factions among friends", xticks=[], yticks=[])
    result = {"ties across": int(ties_across(SIDE))}
    for name, (trace, across) in found.items():
        J = trace["posterior"]["J"].values.ravel()
        result[name] = {
            "mean": float(J.mean()),
            "sd": float(J.std()),
            "probability of as few ties across": float((across <= ties_across(SIDE)).mean()),
        }
        axes[1].hist(J, bins=50, density=True, histtype="step", label=name)
        axes[2].hist(across, bins=np.arange(60) - 0.5, density=True, histtype="step", label=name)
    result["inner draws are exact"] = bool(
        found["exchange"][0]["sample_stats"]["inner_exact"].all()
    )
    axes[1].set(title="coupling", xlabel="J", ylabel="posterior density")
    axes[1].legend(frameon=False)
    axes[2].axvline(ties_across(SIDE), color="k", linestyle="--")
    axes[2].set(title="friendships across factions, predicted", xlabel="ties")
    figure.savefig(output / "infer_on_a_graph.png", dpi=110)
    plt.close(figure)
    return result


if __name__ == "__main__":
    print(main())
