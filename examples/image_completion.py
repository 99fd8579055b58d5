"""What does the lower half of a digit look like, given the upper half?

A restricted Boltzmann machine that has learned whole digits fills in any part of them: known pixels
are held, the others sampled. Means of the completions beat the mean image and the nearest digit of
the training set, and one completion at a time is a digit, where the mean is a blur of several. The
learned energy in a PyMC model, with the image as a masked observation, gives the same answer.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from scipy.special import entr
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

import pm_energy as pme

N_TRAIN, FIRST_TEST = 1000, 1350
SHAPE = (8, 8)
KNOWN = np.repeat([True, False], 32)  # the upper four rows
COPIES = 100  # independent runs of `complete`, from which its error is known
COLOUR = "#0072B2"


def neighbours(train, test, k):
    """Means of the k images of the training set whose upper halves are nearest."""
    nearest = NearestNeighbors(n_neighbors=k).fit(train[:, KNOWN])
    rows = nearest.kneighbors(test[:, KNOWN], return_distance=False)
    return (train[rows].sum(axis=1) + 0.5) / (k + 1)  # nothing is impossible


def judge(p, test):
    """Share of wrong pixels of the lower half, and mean log-loss of one pixel in nats."""
    p, x = np.clip(p[:, ~KNOWN], 1e-3, 1 - 1e-3), test[:, ~KNOWN]
    loss = -(x * np.log(p) + (1 - x) * np.log1p(-p))
    return {"wrong": float(((p > 0.5) != x).mean()), "log-loss": float(loss.mean())}


def complete_in_pymc(rbm, image, draws, seed, progressbar):
    """Draws of the lower half of an image, (chain, draw, pixel)."""
    with pm.Model():
        seen = np.ma.masked_array(image.astype(int), mask=~KNOWN)
        pme.Boltzmann("v", rbm.energy_, observed=seen)
        trace = pm.sample(
            draws,
            tune=200,
            chains=4,
            cores=1,
            random_seed=seed,
            progressbar=progressbar,
            compute_convergence_checks=False,
        )
    return trace["posterior"]["v"].values[..., ~KNOWN]


def compare(draws, rbm, image, n_sweeps, seed):
    """Means by PyMC and by ``complete``, with their errors."""
    copies = rbm.complete(np.tile(image, (COPIES, 1)), KNOWN, n_sweeps, random_state=seed)
    copies = copies[:, ~KNOWN].astype(float)
    blocks = draws.reshape(len(draws) * 10, -1, draws.shape[-1]).mean(axis=1)
    return {
        name: (x.mean(axis=0), x.std(axis=0, ddof=1) / np.sqrt(len(x)))
        for name, x in (("PyMC", blocks), ("complete", copies))
    }


def draw_scores(ax, scores):
    names = list(scores)[::-1]
    colours = [COLOUR if name == "machine" else "0.75" for name in names]
    bars = ax.barh(names, [scores[name]["wrong"] for name in names], color=colours)
    labels = [f"{scores[n]['wrong']:.1%}  ({scores[n]['log-loss']:.3f})" for n in names]
    ax.bar_label(bars, labels, padding=4)
    ax.set(xticks=[], title="pixels wrong (log-loss of a pixel, nats)")
    ax.margins(x=0.5)
    ax.tick_params(length=0)
    ax.spines[["top", "right", "bottom"]].set_visible(False)


def draw_means(ax, means):
    (x, x_error), (y, y_error) = means["complete"], means["PyMC"]
    ax.axline((0, 0), slope=1, color="0.7", linewidth=0.9, zorder=0)
    ax.errorbar(x, y, 2 * y_error, 2 * x_error, fmt="o", ms=4, color=COLOUR, lw=1)
    ax.set(xlabel="mean by rbm.complete", ylabel="mean by PyMC", aspect="equal")
    ax.set_title("its pixels, with two standard errors")
    ax.spines[["top", "right"]].set_visible(False)


def draw(path, rows, scores, means, draws, image):
    figure = plt.figure(figsize=(13, 6.8), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.55, 1), wspace=0.03)
    above, below = left.subplots(2, 1, height_ratios=(6, 2))
    pme.diagnostics.plot_samples(rows, SHAPE, n=10, ax=above)
    above.set_title("unseen digits, the lower half filled in")
    every = draws.reshape(-1, draws.shape[-1])
    whole = np.tile(image, (20, 1))
    whole[:, ~KNOWN] = every[:: len(every) // 20][:20]
    kinds = {"draws": whole[:10], "more draws": whole[10:]}
    pme.diagnostics.plot_samples(kinds, SHAPE, n=10, ax=below)
    below.set_title("one of them, drawn in PyMC")
    above, below = right.subplots(2, 1, height_ratios=(1, 1.6))
    draw_scores(above, scores)
    draw_means(below, means)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(
    output="demo_output", n_hidden=64, n_iter=300, n_sweeps=500, draws=2000, seed=0,
    progressbar=True,
):  # fmt: skip
    """Complete digits, save the figure, and return what was measured.

    Parameters
    ----------
    n_hidden, n_iter : int
        Hidden units of the machine, and passes over the data.
    n_sweeps : int
        Sweeps of ``complete``.
    draws : int
        Of each of four chains in PyMC.

    Returns
    -------
    dict
        For each method the share of "wrong" pixels and the "log-loss" of one; of the digit
        completed in PyMC the "largest difference" of the means of a pixel by PyMC and by
        ``complete``, and "largest z", the same in standard errors of pixels whose mean is between
        .05 and .95.
    """
    data = load_digits()
    X = (data.data >= 8).astype(np.float32)
    train, test, label = X[:N_TRAIN], X[FIRST_TEST:], data.target[FIRST_TEST:]
    rbm = pme.BernoulliRBM(
        n_hidden, n_iter=n_iter, weight_decay=3e-3, track=None, verbose=progressbar,
        random_state=seed,
    ).fit(train)  # fmt: skip
    filled = {
        "mean image": np.tile(train.mean(axis=0), (len(test), 1)),
        "nearest digit": neighbours(train, test, 1),
        "20 nearest": neighbours(train, test, 20),
        "machine": rbm.complete(test, KNOWN, n_sweeps, random_state=seed),
    }
    scores = {name: judge(p, test) for name, p in filled.items()}
    chosen = [int(np.flatnonzero(label == digit)[0]) for digit in range(10)]
    p = filled["machine"][chosen]
    image = test[chosen[(entr(p) + entr(1 - p)).sum(axis=1).argmax()]]  # the least certain
    by_pymc = complete_in_pymc(rbm, image, draws, seed, progressbar)
    means = compare(by_pymc, rbm, image, n_sweeps, seed)
    rows = {"digit": test[chosen], "given": np.where(KNOWN, test[chosen], 0.5)}
    for name in ("machine", "20 nearest", "nearest digit", "mean image"):
        rows[name] = np.where(KNOWN, test[chosen], filled[name][chosen])
    rows["nearest digit"] = rows["nearest digit"] > 0.5  # the digit itself
    draw(Path(output) / "image_completion.png", rows, scores, means, by_pymc, image)
    (x, x_error), (y, y_error) = means["complete"], means["PyMC"]
    unsure = (x > 0.05) & (x < 0.95)
    z = np.abs(x - y)[unsure] / np.hypot(x_error, y_error)[unsure]
    return {
        **scores,
        "largest difference": float(np.abs(x - y).max()),
        "largest z": float(z.max()),
    }


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:20}", value)
