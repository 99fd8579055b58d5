"""Digits out of noise: drawn by class, and found again under noise.

A diffusion model learns 8 x 8 digits with their labels. A classifier that has seen other digits
judges what is drawn of each class, with guidance and without, and by a diffusion of the codes of a
principal component analysis. Another one learns without labels, and all noise at once. Under noise
of standard deviation 0.5, pixels from 0 to 1, its mean of the digit given the noisy one is nearer
to the truth than principal components, or a denoising autoencoder that learned this noise only.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import KDTree
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPRegressor
from sklearn.svm import SVC

import pm_energy as pme
from pm_energy.diffusion import sample
from pm_energy.estimators.diffusion_model import DiffusionModel

SHAPE = (8, 8)
NOISE = 0.5
COMPONENTS = (5, 8, 10, 12, 16, 20)  # of PCA, of which the best for the test digits counts
COPIES = 30  # of each digit, with other noise, that the autoencoder learns from


def split(seed):
    """Digits to learn from, to judge by, and to test denoising on; with labels."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(X))
    return [(X[rows] / 16, y[rows]) for rows in np.split(order, [1000, 1400])]


def drawn_rightly(model, judge, n_each, seed):
    """Share of draws that a classifier takes for the class they were asked for."""
    wanted = np.repeat(np.arange(10), n_each)
    draws = model.sample(len(wanted), wanted, random_state=seed)
    return float((judge.predict(draws) == wanted).mean())


def denoised(denoiser, train, noisy, epochs, seed):
    """What each method makes of noisy digits."""
    rng = np.random.default_rng(seed)
    copies = np.tile(train, (COPIES, 1))
    autoencoder = MLPRegressor(hidden_layer_sizes=(128, 128), random_state=seed)
    blurred = copies + NOISE * rng.standard_normal(copies.shape)
    for _ in range(epochs):
        autoencoder.partial_fit(blurred, copies)
    found = {"noisy": noisy}
    for k in COMPONENTS:
        pca = PCA(k).fit(train)
        found[f"{k} components"] = pca.inverse_transform(pca.transform(noisy))
    found["autoencoder"] = autoencoder.predict(noisy)
    found["diffusion"] = denoiser.denoise(noisy, NOISE / denoiser.scale_[0])
    return {name: np.clip(images, 0, 1) for name, images in found.items()}


def fading(model, labels, seed):
    """Draws on their way from noise to digits, (time, digit, pixel): the data as predicted."""
    schedule, rng = model.schedule_, np.random.default_rng(seed)
    means = []

    def score(x, t):
        alpha = float(schedule.alpha(t))
        there = model.mean_ + model.scale_ * x / alpha
        field = model.score_field(there, t, labels)
        means.append(there + field * (model.scale_ * schedule.sigma(t) / alpha) ** 2)
        return field * model.scale_ / alpha

    sample(score, schedule, len(labels), 64, rng=rng, method="dpm++", n_steps=30)
    return np.array(means)


def main(
    output="demo_output",
    n_iter=3000,
    hidden=(256, 256),
    learning_rate=3e-3,
    n_each=50,
    epochs=30,
    seed=0,
    progressbar=True,
):
    """Learn, draw, denoise, plot; return shares of right classes and PSNR in decibels."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    (train, labels), (others, of_others), (test, _) = split(seed)
    judge = SVC(C=10).fit(others, of_others)
    settings = {
        "scaling": "common", "hidden": hidden, "learning_rate": learning_rate, "n_iter": n_iter,
        "random_state": seed, "verbose": progressbar,
    }  # fmt: skip
    model = DiffusionModel(**settings).fit(train, labels)
    latent = DiffusionModel(encoder=PCA(24), **settings).fit(train, labels)
    # without labels, or what has none would be learned from a tenth of the rows only
    denoiser = DiffusionModel(parametrization="data", **settings).fit(train)
    model.verbose = latent.verbose = False
    right = {
        "pixels": drawn_rightly(model, judge, n_each, seed),
        "codes": drawn_rightly(latent, judge, n_each, seed),
    }
    model.guidance = 2.0
    right["pixels, guided"] = drawn_rightly(model, judge, n_each, seed)
    noisy = test + NOISE * np.random.default_rng(seed).standard_normal(test.shape)
    found = denoised(denoiser, train, noisy, epochs, seed)
    psnr = {name: pme.diagnostics.psnr(test, images, 1.0) for name, images in found.items()}
    psnr["PCA"] = max(psnr.pop(f"{k} components") for k in COMPONENTS)
    model.guidance = 1.0
    draws = model.sample(len(test), np.resize(np.arange(10), len(test)), random_state=seed)
    tree = KDTree(train)
    near = [float(np.median(tree.query(images)[0])) for images in (draws, test)]
    result = {
        "right": right,
        "psnr": psnr,
        "right of digits": float(judge.score(train, labels)),
        "distance to the nearest digit learned from": near[0],
        "the same of unseen digits": near[1],
    }
    plot(output / "diffusion_digits.png", model, latent, test, found, psnr, seed)
    if progressbar:
        print("classified rightly:", {name: round(share, 3) for name, share in right.items()})
        print("PSNR / dB:", {name: round(value, 2) for name, value in psnr.items()})
        print(f"distance to the nearest digit: {near[0]:.2f}, of unseen digits {near[1]:.2f}")
    return result


def plot(path, model, latent, test, found, psnr, seed):
    """Draws by class, draws of codes, how a digit comes up, and noise taken away."""
    figure, axes = plt.subplots(
        2, 2, figsize=(9, 7), layout="constrained", height_ratios=(1.9, 1), width_ratios=(1, 1.05)
    )
    axes = axes.ravel()
    ten = np.arange(10)
    for ax, of, title in (
        (axes[0], model, "drawn by class"),
        (axes[1], latent, "drawn by class, by way of 24 components"),
    ):
        images = of.sample(100, np.tile(ten, 10), random_state=seed)
        pme.diagnostics.plot_samples(np.clip(images, 0, 1), SHAPE, ax=ax)
        ax.set_title(title)
    means = np.clip(fading(model, ten, seed), 0, 1)
    rows = {"step 0": means[0], **{f"step {i}": means[i] for i in (6, 12, 18)}, "end": means[-1]}
    pme.diagnostics.plot_samples(rows, SHAPE, ax=axes[2])
    axes[2].set_title("on the way: what is expected at the end")
    pca = [name for name in found if "components" in name]
    best = min(pca, key=lambda name: ((found[name] - test) ** 2).mean())
    names = {
        "truth": test,
        "noisy": found["noisy"],
        f"PCA {psnr['PCA']:.1f} dB": found[best],
        f"autoencoder {psnr['autoencoder']:.1f} dB": found["autoencoder"],
        f"diffusion {psnr['diffusion']:.1f} dB": found["diffusion"],
    }
    pme.diagnostics.plot_samples({k: v[:10] for k, v in names.items()}, SHAPE, ax=axes[3])
    axes[3].set_title("noise of 0.5 taken away")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
