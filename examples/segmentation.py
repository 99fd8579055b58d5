"""Segment a noisy photograph with a hidden Potts field, inside an ordinary PyMC model.

The photograph ships with scikit-learn. Its intensity terciles are the classes, the truth to score
against. The model sees only the noisy picture: a 3-state Potts field with free boundaries and a
stated coupling, ordered class means, unknown noise. PyMC assigns EnergyGibbs to the field and NUTS
to the rest.
"""

import time
from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from matplotlib.colors import ListedColormap
from sklearn.datasets import load_sample_image

import pm_energy as pme

CLASSES = 3
COUPLING = 0.8  # smooth, but below the ordering point of the infinite lattice, 1.005
NOISE = 0.25  # standard deviation, where the photograph spans 0 to 1


def photograph(name="china.jpg", step=5):
    """Read a grey photograph, averaged over step x step pixels, scaled to [0, 1]."""
    grey = load_sample_image(name).mean(axis=2)
    rows, columns = (side // step for side in grey.shape)
    blocks = grey[: rows * step, : columns * step].reshape(rows, step, columns, step)
    small = blocks.mean(axis=(1, 3))
    return (small - small.min()) / np.ptp(small)


def terciles(picture):
    """Classes 0, 1, 2 of equal size, by intensity."""
    return np.digitize(picture, np.quantile(picture, [1 / 3, 2 / 3])).astype(np.int8)


def build_model(noisy):
    """Hidden Potts field, ordered means, unknown noise."""
    rows, columns = noisy.shape
    with pm.Model(
        coords={"row": range(rows), "column": range(columns), "class": range(CLASSES)}
    ) as model:
        field = pme.Potts(CLASSES, lattice=noisy.shape, periodic=False, coupling=COUPLING)
        z = pme.Boltzmann("z", field, dims=("row", "column"))
        mean = pm.Normal(
            "mean",
            mu=0.5,
            sigma=0.5,
            dims="class",
            transform=pm.distributions.transforms.ordered,
            initval=np.quantile(noisy, [1 / 6, 1 / 2, 5 / 6]),
        )
        noise = pm.HalfNormal("noise", 0.5)
        pm.Normal("pixel", mean[z], noise, observed=noisy, dims=("row", "column"))
    return model


def stock_pymc_sweep_seconds(noisy, mean, noise, sites=300, seed=0):
    """Seconds that PyMC's own CategoricalGibbsMetropolis needs for a sweep of the same field.

    The same likelihood and coupling as a ``Potential``; timed on a few rows of sites and scaled up,
    as a whole sweep takes minutes.
    """
    from pymc.step_methods.metropolis import CategoricalGibbsMetropolis

    with pm.Model() as model:
        z = pm.Categorical("z", p=np.full(CLASSES, 1 / CLASSES), shape=noisy.shape)
        agree = pm.math.eq(z[1:], z[:-1]).sum() + pm.math.eq(z[:, 1:], z[:, :-1]).sum()
        pm.Potential("potts", COUPLING * agree)
        pm.Normal("pixel", pm.math.constant(mean)[z], noise, observed=noisy)
        step = CategoricalGibbsMetropolis([z], rng=seed)
        point = model.initial_point()
    step.dimcats = step.dimcats[:2]
    step.step(point)  # compiles
    step.dimcats = [(i, CLASSES) for i in range(sites)]
    start = time.perf_counter()
    step.step(point)
    return (time.perf_counter() - start) / sites * noisy.size


def plot_pictures(path, clean, noisy, truth, mode, entropy):
    """Photograph, noisy, truth, posterior mode and uncertainty side by side."""
    colours = ListedColormap(["#30123b", "#1ae4b6", "#faba39"][:CLASSES])
    panels = [
        ("photograph", clean, "gray", None),
        ("observed: noise added", noisy, "gray", None),
        ("classes of the photograph", truth, colours, None),
        ("posterior mode", mode, colours, None),
        ("uncertainty (entropy, nats)", entropy, "magma", (0, np.log(CLASSES))),
    ]
    figure, axes = plt.subplots(1, len(panels), figsize=(18, 3.1), layout="constrained")
    for ax, (title, picture, cmap, limits) in zip(axes, panels, strict=True):
        low, high = limits or (None, None)
        image = ax.imshow(picture, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
        ax.set_title(title)
        ax.set_xticks([])
        ax.set_yticks([])
    figure.colorbar(image, ax=axes[-1], shrink=0.8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(
    output="demo_output", step=5, draws=3000, tune=500, seed=2026, progressbar=True, compare=True
):
    """Run the segmentation and return what was measured."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    clean = photograph(step=step)
    truth = terciles(clean)
    noisy = clean + np.random.default_rng(seed).normal(0, NOISE, clean.shape)
    model = build_model(noisy)
    with model:
        start = time.perf_counter()
        trace = pm.sample(
            draws,
            tune=tune,
            chains=2,
            cores=2,
            random_seed=seed,
            progressbar=progressbar,
            compute_convergence_checks=False,  # of every pixel; the scalars are checked below
        )
        seconds = time.perf_counter() - start
    scalars = az.summary(pme.diagnostics.field_summaries(trace, "z"))
    print(scalars)

    mode = pme.diagnostics.posterior_mode(trace, "z")
    entropy = pme.diagnostics.site_entropy(trace, "z")
    naive = terciles(noisy)
    result = {
        "pixels": clean.size,
        "accuracy": float(np.mean(mode.values == truth)),
        "accuracy without a field": float(np.mean(naive == truth)),
        "draws per second": 2 * (draws + tune) / seconds,
        "seconds of sampling": seconds,
        "largest R-hat": float(scalars["r_hat"].astype(float).max()),
        "smallest bulk ESS": float(scalars["ess_bulk"].astype(float).min()),
    }
    if compare:
        mean = trace["posterior"]["mean"].mean(("chain", "draw")).values
        noise = float(trace["posterior"]["noise"].mean())
        stock = stock_pymc_sweep_seconds(noisy, mean, noise)
        result["draws per second, stock PyMC"] = 1 / stock
        result["times faster"] = result["draws per second"] * stock
    for name, value in result.items():
        print(f"{name:32s} {value:,.4g}")

    plot_pictures(output / "segmentation.png", clean, noisy, truth, mode.values, entropy.values)
    pc = az.plot_trace_dist(trace, var_names=["mean", "noise"])
    pc.savefig(output / "traces.png", bbox_inches="tight")
    plt.close("all")
    trace.to_netcdf(output / "segmentation.nc")
    print(f"figures and draws are in {output}/")
    return result


if __name__ == "__main__":
    main()
