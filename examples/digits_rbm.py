"""What does a restricted Boltzmann machine learn from digits, and what from random bits?

Machines of 10 to 200 hidden units learn 8 x 8 digits, and as many patterns of fair coins, where
nothing can be learned: no model gives unseen coins more than -64 log 2 nats. The log-likelihood of
unseen rows tells the two apart. The reconstruction error does not, since it falls for both: if the
*means* of the hidden units are handed back, which are real numbers, coins are copied through them.
If the hidden units' *states* are handed back, n bits, rate-distortion theory says how many of 64
coins at least are wrong.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.progress import track
from scipy.optimize import brentq
from scipy.special import entr
from sklearn.datasets import load_digits

import pm_energy as pme

N_TRAIN, FIRST_TEST = 1000, 1350
SHAPE = (8, 8)
N_PIXELS = 64
DIGITS, COINS = "digits", "random bits"
COLOURS = {DIGITS: "#0072B2", COINS: "#D55E00"}
BEST_OF_COINS = -N_PIXELS * np.log(2)


def datasets(seed):
    """Rows to learn from and unseen ones: digits, and as many patterns of fair coins."""
    digits = (load_digits().data >= 8).astype(np.float32)
    digits = digits[:N_TRAIN], digits[FIRST_TEST:]
    rng = np.random.default_rng(seed)
    coins = [rng.integers(2, size=part.shape).astype(np.float32) for part in digits]
    return {DIGITS: digits, COINS: coins}


def independent_pixels(train, test):
    """Mean log-likelihood of unseen rows if each pixel has its own frequency, and no more."""
    p = (train.sum(axis=0, dtype=float) + 0.5) / (len(train) + 1)
    return float((test @ np.log(p) + (1 - test) @ np.log1p(-p)).mean())


def measure(rbm, train, test, rng):
    """Log-likelihoods in nats, and errors of reconstruction as shares of the bits."""
    states = rng.random((len(test), rbm.n_components)) < rbm.transform(test)
    return {
        "train": rbm.score(train),
        "test": rbm.score(test),
        "error of log Z": rbm.log_partition_.mcse,  # 0: exact
        "wrong, train": float(((rbm.reconstruct(train) > 0.5) != train).mean()),
        "wrong": float(((rbm.reconstruct(test) > 0.5) != test).mean()),
        "wrong from states": float(((rbm.inverse_transform(states) > 0.5) != test).mean()),
        "mean absolute error": float(np.abs(rbm.reconstruct(test) - test).mean()),
    }


def least_wrong(n_bits):
    """Smallest share of fair coins that any code of so many bits gets wrong.

    References
    ----------
    .. [1] Shannon (1959), IRE National Convention Record 7, 142-163.
    """
    rate = n_bits / N_PIXELS
    if rate >= 1:
        return 0.0
    return brentq(lambda d: (entr(d) + entr(1 - d)) / np.log(2) - (1 - rate), 1e-12, 0.5)


def draw_likelihood(ax, name, curves, label, level):
    n_hidden = list(curves)
    error = [curve["error of log Z"] for curve in curves.values()]
    for part, line in (("train", "o--"), ("test", "o-")):
        values = [curve[part] for curve in curves.values()]
        ax.errorbar(n_hidden, values, error, fmt=line, ms=4, color=COLOURS[name])
        ax.annotate(
            "learned from" if part == "train" else "unseen", (n_hidden[-1], values[-1]), (0, 5),
            textcoords="offset points", ha="right", color=COLOURS[name], fontsize=9,
        )  # fmt: skip
    ax.axhline(level, color="0.5", linewidth=1, zorder=0)
    ax.annotate(
        label, (0.98, level), (0, 3), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", color="0.4", fontsize=9,
    )  # fmt: skip
    ax.margins(y=0.12)
    ax.set(ylabel="nats", title=f"{name}: log-likelihood")


def draw_errors(ax, curves):
    for name, of_one in curves.items():
        style = {"color": COLOURS[name], "ms": 4}
        for key, label, line in (("wrong", "means", "o-"), ("wrong from states", "states", "s:")):
            values = [curve[key] for curve in of_one.values()]
            ax.plot(list(of_one), values, line, **style)
            ax.annotate(
                f"{name}, by {label}", (list(of_one)[-1], values[-1]),
                (0, -12 if key == "wrong" else 5),
                textcoords="offset points", ha="right", color=COLOURS[name], fontsize=9,
            )  # fmt: skip
    bits = np.arange(N_PIXELS + 1)
    ax.plot(bits, [least_wrong(n) for n in bits], color="0.5", lw=1)
    note = "least for random bits by n states"
    ax.annotate(note, (6, 0.475), color="0.4", fontsize=9)
    ax.set(ylim=(-0.025, 0.5), ylabel="share of bits wrong", title="unseen rows, reconstructed")


def draw(path, curves, levels, pictures, machines):
    figure = plt.figure(figsize=(13, 7.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1), hspace=0.04)
    top = above.subplots(1, 3)
    for ax, name in zip(top, curves, strict=False):
        draw_likelihood(ax, name, curves[name], *levels[name])
    draw_errors(top[2], curves)
    for ax in top:
        ax.set(xlabel="hidden units")
        ax.spines[["top", "right"]].set_visible(False)
    bottom = below.subplots(1, 4)
    for ax, (title, images) in zip(bottom, pictures.items(), strict=False):
        pme.diagnostics.plot_samples(images, SHAPE, n=6, ax=ax)
        ax.set_title(title, fontsize=11)
    for ax, (name, rbm) in zip(bottom[2:], machines.items(), strict=True):
        pme.diagnostics.plot_weights(rbm, SHAPE, n=36, ax=ax)
        ax.set_title(f"weights learned from {name}", fontsize=11)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(
    output="demo_output", n_hidden=(10, 20, 50, 100, 200), n_iter=100, seed=0, progressbar=True
):
    """Learn digits and coins, save the figure, and return what was measured.

    Parameters
    ----------
    n_hidden : tuple of int
        Hidden units of the machines. Log Z is exact for up to 20, annealed beyond.
    n_iter : int
        Passes over the data.

    Returns
    -------
    dict
        For "digits" and "random bits", by the number of hidden units: mean log-likelihoods "train"
        and "test", the "error of log Z", and of the reconstruction the shares of bits "wrong,
        train", "wrong" and "wrong from states", and the "mean absolute error", the last three of
        unseen rows. Of unseen digits "independent pixels" is the log-likelihood without a machine.
    """
    rng = np.random.default_rng(seed)
    data = datasets(seed)
    curves, machines = {name: {} for name in data}, {}
    shown = n_hidden[len(n_hidden) // 2]
    jobs = [(name, n) for name in data for n in n_hidden]
    for name, n in track(jobs, "machines", disable=not progressbar):
        rbm = pme.BernoulliRBM(n, n_iter=n_iter, track=None, random_state=seed)
        rbm.fit(data[name][0])
        curves[name][n] = measure(rbm, *data[name], rng)
        if n == shown:
            machines[name] = rbm
    independent = independent_pixels(*data[DIGITS])
    levels = {
        DIGITS: ("independent pixels, unseen", independent),
        COINS: ("most there is for unseen bits", BEST_OF_COINS),
    }
    chosen = rng.permutation(len(data[DIGITS][1]))[:36]
    pictures = {
        "unseen digits": data[DIGITS][1][chosen],
        f"samples, {shown} hidden units": machines[DIGITS].sample(36, random_state=seed),
    }
    draw(Path(output) / "digits_rbm.png", curves, levels, pictures, machines)
    return {**curves, "independent pixels": independent}


if __name__ == "__main__":
    measured = main()
    print(f"independent pixels, test digits: {measured['independent pixels']:.2f} nats")
    print(f"fair coins: {BEST_OF_COINS:.2f} nats")
    for name in COLOURS:
        for n, values in measured[name].items():
            print(f"{name:12}{n:4}  ", *(f"{key} {value:.3f} " for key, value in values.items()))
