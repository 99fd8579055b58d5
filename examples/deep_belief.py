"""What does a second layer of hidden units add?

A deep belief network is a pipeline of restricted Boltzmann machines, each fitted to the hidden
units of the one below, without labels. On 8 x 8 digits it is set against one machine with as many
hidden units. A classifier with few labels gains from the features of the first layer, and little
more from those of the second. Samples gain where the machines were learned by contrastive
divergence, since the second layer corrects what the first believes of its own hidden units; a
machine learned by persistent chains leaves it nothing to correct. How good samples are is how often
a classifier tells them from unseen digits: a half, if there is no difference.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

import pm_energy as pme

SHAPE = (8, 8)
N_LABELLED = (50, 100, 200)
OBJECTIVES = {"cd": "CD-1", "pcd": "persistent CD"}
COLOURS = {"pixels": "0.5", "one machine": "#E69F00", "first layer": "#56B4E9", "deep": "#0072B2"}


def make_network(layers, objective, n_iter, seed):
    return make_pipeline(
        *(
            pme.BernoulliRBM(n, objective=objective, n_iter=n_iter, track=None, random_state=seed)
            for n in layers
        )
    )


def accuracy(train, train_labels, test, test_labels, repeats):
    """Mean accuracy of a linear classifier, by the number of labelled digits, and its error."""
    result = {}
    for n in N_LABELLED:
        found = []
        for seed in range(repeats):
            few, few_labels = train_test_split(
                train, train_labels, train_size=n, stratify=train_labels, random_state=seed
            )[::2]
            classifier = SVC(kernel="linear", C=0.1).fit(few, few_labels)
            found.append(classifier.score(test, test_labels))
        result[n] = float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(repeats))
    return result


def told_apart(samples, data, n_trees, seed):
    """Share of samples and data that a classifier gets right, cross-validated.

    References
    ----------
    .. [1] Lopez-Paz & Oquab (2017), Revisiting classifier two-sample tests, ICLR.
    """
    x = np.concatenate([samples, data])
    is_data = np.repeat([0, 1], [len(samples), len(data)])
    forest = ExtraTreesClassifier(n_trees, min_samples_leaf=2, random_state=seed)
    return float(cross_val_score(forest, x, is_data, cv=5).mean())


def draw(path, accuracies, apart, pictures):
    figure = plt.figure(figsize=(14, 6.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.7))
    ax, below = left.subplots(2, 1, height_ratios=(1.25, 1))
    for name, values in accuracies.items():
        mean, error = np.transpose(list(values.values()))
        style = {"color": COLOURS[name], "label": name, "ms": 4}
        ax.errorbar(list(values), mean, 2 * error, fmt="o-", **style)
    ax.set(xscale="log", xlabel="labelled digits", ylabel="accuracy", title="a linear classifier")
    ax.set_xticks(N_LABELLED, labels=N_LABELLED)
    ax.set_xticks([], minor=True)
    ax.legend(frameon=False, title="on features of", loc="lower right")
    names = list(apart)[::-1]
    colours = [
        COLOURS[next((c for c in COLOURS if name.startswith(c)), "pixels")] for name in names
    ]
    bars = below.barh(names, [apart[name] - 0.5 for name in names], color=colours, left=0.5)
    below.bar_label(bars, [f"{apart[name]:.1%}" for name in names], padding=4)
    below.set(xlim=(0.5, 1.05), xticks=[], title="samples told from unseen digits")
    below.set_xlabel("50% if there is no difference")
    below.tick_params(length=0)
    for panel in (ax, below):
        panel.spines[["top", "right"]].set_visible(False)
    below.spines["bottom"].set_visible(False)
    panels = right.subplots(2, len(pictures) // 2).flat
    for panel, (title, images) in zip(panels, pictures.items(), strict=True):
        pme.diagnostics.plot_samples(images[:36], SHAPE, ax=panel)
        panel.set_title(title)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(
    output="demo_output", layers=(100, 100), n_iter=100, objectives=("cd", "pcd"), repeats=20,
    n_trees=100, seed=0, progressbar=True,
):  # fmt: skip
    """Learn networks, save the figure, and return what was measured.

    Parameters
    ----------
    layers : tuple of int
        Hidden units of the network. The single machine has as many in one layer.
    n_iter : int
        Passes over the data in each layer.
    objectives : tuple of {"cd", "pcd"}
        How machines learn. Features are those of the last.
    repeats : int
        Choices of the labelled digits.
    n_trees : int
        Of the forest that tells samples from digits.

    Returns
    -------
    dict
        "accuracy" of a linear classifier and its standard error, by the features and the number of
        labelled digits; "told apart", the share of samples and unseen digits that a classifier
        gets right, by where the samples are from.
    """
    data = load_digits()
    X = (data.data >= 8).astype(np.float32)
    train, test, train_labels, test_labels = train_test_split(
        X, data.target, test_size=0.5, stratify=data.target, random_state=seed
    )
    rng = np.random.default_rng(seed)
    independent = rng.random(test.shape) < train.mean(axis=0)
    samples = {"independent pixels": independent.astype(np.float32)}
    for objective in track(objectives, "networks", disable=not progressbar):
        single = make_network((sum(layers),), objective, n_iter, seed).fit(train)
        deep = make_network(layers, objective, n_iter, seed).fit(train)
        for name, network in (("one machine", single), ("deep", deep)):
            drawn = pme.sample_deep_belief(network, len(test), random_state=seed)
            samples[f"{name}, {OBJECTIVES[objective]}"] = drawn
    features = {
        "pixels": lambda x: x,
        "one machine": single.transform,
        "first layer": deep[0].transform,
        "deep": deep.transform,
    }
    result = {
        "accuracy": {
            name: accuracy(of(train), train_labels, of(test), test_labels, repeats)
            for name, of in features.items()
        },
        "told apart": {
            "training digits": told_apart(train, test, n_trees, seed),
            **{name: told_apart(drawn, test, n_trees, seed) for name, drawn in samples.items()},
        },
    }
    pictures = {"unseen digits": test, **samples}
    draw(Path(output) / "deep_belief.png", result["accuracy"], result["told apart"], pictures)
    return result


if __name__ == "__main__":
    measured = main()
    print("labelled digits     ", *(f"{n:12}" for n in N_LABELLED))
    for name, values in measured["accuracy"].items():
        print(f"{name:20}", *(f"{mean:.3f} +- {error:.3f}" for mean, error in values.values()))
    print("told from unseen digits")
    for name, value in measured["told apart"].items():
        print(f"  {name:28} {value:.3f}")
