"""Paint in the missing part of a picture: a masked observation of a Potts field.

Where ``observed`` is masked, the field is imputed by Gibbs sampling given the rest. The picture is
a photograph of scikit-learn's reduced to three tones, with a block and scattered pixels lost. The
method to beat is to take the nearest pixel that was seen.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from matplotlib.colors import ListedColormap
from scipy.ndimage import distance_transform_edt
from sklearn.datasets import load_sample_image

import pm_energy as pme


def main(output="demo_output", step=8, draws=400, seed=11, progressbar=True):
    """Mask, impute, plot, and return the accuracy on the missing pixels."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    grey = load_sample_image("flower.jpg").mean(axis=2)[::step, ::step]
    truth = np.digitize(grey, np.quantile(grey, [1 / 3, 2 / 3]))
    rng = np.random.default_rng(seed)
    missing = rng.random(truth.shape) < 0.3
    row, column = int(0.4 * truth.shape[0]), int(0.2 * truth.shape[1])
    missing[row : row + 8, column : column + 12] = True
    with pm.Model():
        energy = pme.Potts(3, lattice=truth.shape, periodic=False, coupling=1.5)
        pme.Boltzmann("z", energy, observed=np.ma.masked_array(truth, mask=missing))
        trace = pm.sample(
            draws,
            tune=100,
            chains=2,
            cores=1,
            random_seed=seed,
            progressbar=progressbar,
            compute_convergence_checks=False,
        )
    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    naive = truth[tuple(nearest)]
    mode = pme.diagnostics.posterior_mode(trace, "z").values
    entropy = pme.diagnostics.site_entropy(trace, "z").values
    result = {
        "missing": int(missing.sum()),
        "accuracy": float(np.mean(mode[missing] == truth[missing])),
        "accuracy of the nearest pixel": float(np.mean(naive[missing] == truth[missing])),
        "observed kept": bool(np.all(mode[~missing] == truth[~missing])),
    }
    plot(output / "inpainting.png", truth, missing, mode, entropy)
    return result


def plot(path, truth, missing, mode, entropy):
    """Picture, what is seen of it, what is imputed, and how sure that is."""
    colours = ListedColormap(["#30123b", "#1ae4b6", "#faba39"])
    panels = [
        ("picture", truth, colours),
        ("observed", np.ma.masked_array(truth, mask=missing), colours),
        ("imputed (mode)", mode, colours),
        ("uncertainty (entropy, nats)", entropy, "magma"),
    ]
    figure, axes = plt.subplots(2, 2, figsize=(9.5, 6.4), layout="constrained")
    for ax, (title, picture, cmap) in zip(axes.flat, panels, strict=True):
        image = ax.imshow(picture, cmap=cmap, interpolation="nearest")
        ax.set(title=title, xticks=[], yticks=[])
    figure.colorbar(image, ax=ax, shrink=0.8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    print(main())
