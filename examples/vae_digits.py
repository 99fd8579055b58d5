"""How many numbers does it take to write down a digit, and what lies between the digits?

Variational autoencoders with 1 to 32 latent units learn 8 x 8 images of handwritten digits. What
they are worth is the log-likelihood of digits that they have not seen: a lower bound, and an
estimate by importance sampling. Beside them stands probabilistic principal component analysis,
whose likelihood is known exactly: it is the autoencoder without hidden layers, whose bound must
reach it. With as many latent units the curved model is worth more, because digits do not lie on a
plane: sixteen of its units are worth more than 32 components.

The pictures show a code of two numbers: where it puts the digits, which digits lie between, and
what comes back from codes of two and of sixteen numbers.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.progress import Progress
from scipy.special import ndtri
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from pm_energy.diagnostics import plot_samples
from pm_energy.estimators import VariationalAutoencoder


def autoencoder(k, hidden, n_iter, seed):
    """An autoencoder that learns slower where there is more to learn."""
    rate = 0.01 if not hidden else 0.003
    return VariationalAutoencoder(
        k, hidden=hidden, learning_rate=rate, n_iter=n_iter, random_state=seed
    )


def likelihoods(train, test, dims, hidden, n_iter, seed, advance):
    """Mean log-likelihoods of unseen digits in nats, by model and number of latent units."""
    names = "PCA", "linear autoencoder", "autoencoder", "autoencoder, importance sampling"
    found = {name: [] for name in names}
    for k in dims:
        found["PCA"].append(PCA(k).fit(train).score(test))
        found["linear autoencoder"].append(autoencoder(k, (), n_iter, seed).fit(train).score(test))
        vae = autoencoder(k, hidden, n_iter, seed).fit(train)
        found["autoencoder"].append(vae.score(test))
        better = vae.score_samples(test, estimate="importance", n_draws=200).mean()
        found["autoencoder, importance sampling"].append(better)
        advance()
    return found


def main(
    output="demo_output",
    dims=(1, 2, 4, 8, 16, 32),
    hidden=(128,),
    n_iter=200,
    seed=0,
    progressbar=True,
):
    """Learn, plot, and return log-likelihoods, errors, and how codes sort the digits."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    images, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.25, random_state=seed, stratify=labels
    )
    with Progress(disable=not progressbar) as progress:
        task = progress.add_task("learning digits", total=len(dims) + 2)

        def advance():
            progress.advance(task)

        found = likelihoods(train, test, dims, hidden, n_iter, seed, advance)
        small = autoencoder(2, hidden, n_iter, seed).fit(train)
        advance()
        large = autoencoder(16, hidden, n_iter, seed).fit(train)
        advance()
    plot(output / "vae_digits.png", small, large, (train, test, test_labels), (dims, found))
    sorted_right = {}
    for name, code in (("PCA", PCA(2).fit(train)), ("autoencoder", small)):
        neighbours = KNeighborsClassifier(10).fit(code.transform(train), train_labels)
        sorted_right[name] = neighbours.score(code.transform(test), test_labels)
    errors = {
        "PCA": _error(test, PCA(2).fit(train)),
        "autoencoder": np.sqrt(np.mean((small.reconstruct(test) - test) ** 2)),
    }
    for name, values in found.items():
        print(f"{name:34s} {np.round(values, 1)} nats at {dims} latent units")
    print(f"two numbers: sorted right {sorted_right}, errors of reconstructions {errors}")
    return {"log_likelihood": found, "sorted right": sorted_right, "errors": errors}


def _error(x, pca):
    back = pca.inverse_transform(pca.transform(x))
    return np.sqrt(np.mean((back - x) ** 2))


def plot(path, small, large, data, curves):
    """Codes of two numbers, digits between them, reconstructions, draws and likelihoods."""
    train, test, labels = data
    figure = plt.figure(figsize=(14, 8.4), layout="constrained")
    axes = figure.subplot_mosaic([["codes", "between", "curves"], ["rows", "rows", "draws"]])
    codes = small.transform(test)
    shades = plt.get_cmap("tab10")
    for digit in range(10):
        own = codes[labels == digit]
        axes["codes"].scatter(*own.T, s=9, color=shades(digit), linewidths=0, alpha=0.8)
        axes["codes"].text(
            *np.median(own, axis=0), digit, fontsize=14, weight="bold", ha="center", va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
        )  # fmt: skip
    axes["codes"].set(title="unseen digits, in a code of two numbers", xlabel="z0", ylabel="z1")
    axes["codes"].spines[["top", "right"]].set_visible(False)

    n = 13
    quantiles = ndtri((np.arange(n) + 0.5) / n)  # of the normal distribution of codes
    grid = np.stack(np.meshgrid(quantiles, quantiles[::-1]), axis=-1).reshape(-1, 2)
    plot_samples(_shades(small.inverse_transform(grid)), (8, 8), n=n, ax=axes["between"])
    axes["between"].set(title="what lies between them: decoded quantiles", xlabel="z0", ylabel="z1")

    few = np.concatenate([np.flatnonzero(labels == digit)[:1] for digit in range(10)])
    pca = PCA(2).fit(train)
    rows = {
        "data": test[few],
        "PCA, 2 numbers": pca.inverse_transform(pca.transform(test[few])),
        "autoencoder, 2": small.reconstruct(test[few]),
        "autoencoder, 16": large.reconstruct(test[few]),
    }
    rows = {name: _shades(row) for name, row in rows.items()}
    plot_samples(rows, (8, 8), n=10, ax=axes["rows"])
    axes["rows"].set_title("unseen digits, and what comes back")

    z = np.random.default_rng(0).normal(size=(64, 16))
    plot_samples(_shades(large.inverse_transform(z)), (8, 8), n=8, ax=axes["draws"])
    axes["draws"].set_title("draws of the autoencoder with 16")

    dims, found = curves
    styles = {"PCA": "o-", "linear autoencoder": "x--", "autoencoder": "s-"}
    for name, style in styles.items():
        axes["curves"].plot(dims, found[name], style, label=name)
    axes["curves"].plot(
        dims,
        found["autoencoder, importance sampling"],
        "^:",
        color="C2",
        label="importance sampling",
    )
    axes["curves"].set(
        title="log-likelihood of unseen digits", xlabel="latent units", ylabel="nats", xscale="log"
    )
    axes["curves"].set_xticks(dims, labels=[str(k) for k in dims])
    axes["curves"].minorticks_off()
    axes["curves"].legend(frameon=False)
    axes["curves"].spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _shades(images):
    """Pixels of 0 to 16 as shades of grey."""
    return np.clip(images / 16, 0, 1)


if __name__ == "__main__":
    main()
