"""How many kinds of iris are there, what if entries are missing, and what does annealing find?

Gaussian mixtures are fitted by EM to the four measurements of 150 flowers of three species. The
information criterion of Schwarz weighs numbers and shapes of components. Then entries are deleted
at random, and the flowers are sorted into three kinds in three ways: by EM over what is there,
which fills in nothing; by EM after each hole got its column's mean; and from the complete rows
alone. The adjusted Rand index against the species says how well each does.

Last, a case that is hard for EM: sixteen clusters of known width, components that start at random
rows. Nearly every run of plain EM loses clusters; annealed from inverse temperature .1, every other
one finds them all.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse
from rich.progress import Progress
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score

from pm_energy.estimators import GaussianMixtureEM

KINDS = ("full", "tied", "diag", "spherical")
WAYS = {"EM over what is there": "o", "holes set to the mean": "s", "complete rows only": "^"}
WIDTH = 0.15


def criteria(x, counts, n_init, seed):
    """BIC by kind of covariance and number of components."""
    return {
        kind: [
            GaussianMixtureEM(k, covariance_type=kind, n_init=n_init, random_state=seed, tol=1e-4)
            .fit(x)
            .bic(x)
            for k in counts
        ]
        for kind in KINDS
    }


def sort_flowers(x, species, n_init, seed):
    """Adjusted Rand index of three components by each way to treat holes."""
    mixture = GaussianMixtureEM(3, covariance_type="tied", n_init=n_init, random_state=seed)
    mixture.set_params(max_iter=500)
    complete = x[~np.isnan(x).any(axis=1)]
    filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    labels = {
        "EM over what is there": mixture.fit(x).predict(x),
        "holes set to the mean": mixture.fit(filled).predict(filled),
    }
    if len(complete) > 15:  # trained on these, it can still sort the others
        labels["complete rows only"] = mixture.fit(complete).predict(x)
    return {way: adjusted_rand_score(species, found) for way, found in labels.items()}


def lost_clusters(runs, seed):
    """How many of 16 clusters on a grid have no component, plain and annealed, run by run."""
    centres = np.array([(a, b) for a in range(4) for b in range(4)], dtype=float)
    lost = {"plain": [], "annealed": []}
    for run in range(runs):
        rng = np.random.default_rng((seed, run))
        x = np.repeat(centres, 40, axis=0) + WIDTH * rng.normal(size=(640, 2))
        for way, annealing in (("plain", None), ("annealed", 0.1)):
            mixture = GaussianMixtureEM(
                16,
                covariance_type="spherical",
                covariances_init=np.full(16, WIDTH**2),
                fixed=["covariances"],
                init_params="random_from_data",
                annealing=annealing,
                max_iter=500,
                tol=1e-5,
                random_state=run,
            ).fit(x)
            away = np.linalg.norm(mixture.means_[:, None] - centres, axis=2)
            lost[way].append(int((away.min(axis=0) > 2 * WIDTH).sum()))
    return lost


def main(
    output="demo_output",
    counts=(1, 2, 3, 4, 5, 6),
    shares=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    repeats=10,
    runs=40,
    n_init=5,
    seed=0,
    progressbar=True,
):
    """Fit, plot, and return criteria, Rand indices by share of holes, and lost clusters."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    iris = load_iris()
    x, species = iris.data, iris.target
    rng = np.random.default_rng(seed)
    rand = {way: np.full((len(shares), repeats), np.nan) for way in WAYS}
    with Progress(disable=not progressbar) as progress:
        task = progress.add_task("deleting entries", total=len(shares) * repeats)
        for i, share in enumerate(shares):
            for j in range(repeats):
                holes = np.where(rng.random(x.shape) < share, np.nan, x)
                for way, index in sort_flowers(holes, species, n_init, seed).items():
                    rand[way][i, j] = index
                progress.advance(task)
    bic = criteria(x, counts, n_init, seed)
    lost = lost_clusters(runs, seed)
    mixture = GaussianMixtureEM(3, covariance_type="tied", n_init=n_init, random_state=seed).fit(x)
    plot(output / "mixture.png", iris, mixture, (counts, bic), (shares, rand), lost)
    best = min(
        (value, kind, k) for kind in KINDS for k, value in zip(counts, bic[kind], strict=True)
    )
    print(f"lowest BIC {best[0]:.1f}: {best[2]} components, {best[1]} covariances")
    for way, values in rand.items():
        print(f"{way:22s} Rand index {values.mean(axis=1).round(2)} at {shares} missing")
    for way, values in lost.items():
        print(
            f"{way:8s} EM lost {np.mean(values):.2f} of 16 clusters, none in {values.count(0)} runs"
        )
    means = {way: values.mean(axis=1) for way, values in rand.items()}
    return {"bic": bic, "best": best, "rand": means, "lost": lost}


def plot(path, iris, mixture, criteria, holes, lost):
    """Flowers and components, BIC, Rand index against holes, and lost clusters."""
    figure, axes = plt.subplots(1, 4, figsize=(16, 3.8), layout="constrained")
    colours = ["tab:blue", "tab:orange", "tab:green"]
    pair = [2, 1]  # petal length, sepal width
    labels = mixture.predict(iris.data)
    for species, marker in enumerate("o^s"):
        own = iris.target == species
        axes[0].scatter(
            *iris.data[own][:, pair].T, c=np.take(colours, labels[own]), marker=marker, s=14,
            alpha=0.7, linewidths=0, label=iris.target_names[species],
        )  # fmt: skip
    values, vectors = np.linalg.eigh(mixture.covariances_[np.ix_(pair, pair)])
    angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    for mean, colour in zip(mixture.means_, colours, strict=True):
        for n in (1, 2):
            size = 2 * n * np.sqrt(values[::-1])
            axes[0].add_patch(Ellipse(mean[pair], *size, angle=angle, fill=False, color=colour))
    axes[0].set(title="three kinds of iris", xlabel="petal length (cm)", ylabel="sepal width (cm)")
    legend = axes[0].legend(frameon=False, title="species", fontsize="small")
    for handle in legend.legend_handles:
        handle.set_color("0.4")

    counts, bic = criteria
    for kind, marker in zip(KINDS, "os^d", strict=True):
        axes[1].plot(counts, bic[kind], marker=marker, label=kind)
    axes[1].set(title="BIC: lower is better", xlabel="components", ylabel="BIC")
    axes[1].legend(frameon=False, title="covariances", fontsize="small")

    shares, rand = holes
    for way, marker in WAYS.items():
        known = ~np.isnan(rand[way]).any(axis=1)
        mean = rand[way][known].mean(axis=1)
        error = rand[way][known].std(axis=1) / np.sqrt(rand[way].shape[1])
        axes[2].errorbar(np.array(shares)[known], mean, error, marker=marker, capsize=3, label=way)
    axes[2].set(title="flowers with missing entries", xlabel="share of entries missing")
    axes[2].set(ylabel="adjusted Rand index", ylim=(0, 1.02))
    axes[2].legend(frameon=False, fontsize="small", loc="lower left")

    most = max(max(values) for values in lost.values())
    for (way, values), shift in zip(lost.items(), (-0.2, 0.2), strict=True):
        share = np.bincount(values, minlength=most + 1) / len(values)
        axes[3].bar(np.arange(most + 1) + shift, share, width=0.4, label=f"{way} EM")
    axes[3].set(title="sixteen clusters, random starts", xlabel="clusters without a component")
    axes[3].set(ylabel="share of runs", xticks=range(most + 1))
    axes[3].legend(frameon=False)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
