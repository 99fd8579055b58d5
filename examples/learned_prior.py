"""Can a density that was learned from data be a prior?

A network energy is learned from points on two moons in two ways: by denoising score matching, and
by energy matching. Each becomes ``pme.Boltzmann`` in a PyMC model in which a new point is seen
through noise, in one coordinate only. What is seen fits both moons, so the posterior has several
modes that only the prior knows of. NUTS draws from it; a fine grid over the plane adds up the
posterior of the same energy, and says whether the draws are right.
"""

from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from sklearn.datasets import make_moons

import pm_energy as pme
from pm_energy.estimators.energy_matching import EnergyMatching
from pm_energy.estimators.score_matching import ScoreMatching

SEEN, NOISE = 0.5, 0.3  # of the first coordinate
BINS = 25
REACH = (-2.5, 3.5), (-2.0, 2.5)


def on_grid(model, points):
    """Axes of a grid, the log-prior on it and the posterior's probabilities."""
    sides = [np.linspace(low, high, points) for low, high in REACH]
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1)
    log_prior = model.score_samples(grid.reshape(-1, 2)).reshape(points, points)
    log_p = log_prior - 0.5 * ((SEEN - grid[..., 0]) / NOISE) ** 2
    p = np.exp(log_p - log_p.max())
    return sides, log_prior, p / p.sum()


def draw(model, draws, tune, chains, seed, progressbar):
    """Posterior draws (chain, draw, 2) by NUTS, and how many independent ones they are worth."""
    starts = model.sample(chains, random_state=seed)  # modes far apart: start all over the prior
    with pm.Model():
        x = pme.Boltzmann("x", model.energy_)
        pm.Normal("y", x[0], NOISE, observed=SEEN)
        dt = pm.sample(
            draws=draws,
            tune=tune,
            chains=chains,
            cores=1,
            initvals=[{"x": start} for start in starts],
            target_accept=0.9,
            random_seed=seed,
            progressbar=progressbar,
            compute_convergence_checks=False,
            quiet=True,
        )
    ess = float(az.ess(dt, var_names=["x"])["x"].min())
    return dt["posterior"]["x"].values, ess


def compare(x, sides, p):
    """Total variation between draws and grid over bins of the second coordinate, and both."""
    low, high = REACH[1]
    least, most = x[..., 1].min() - 0.05, x[..., 1].max() + 0.05
    edges = np.linspace(max(low, least), min(high, most), BINS + 1)
    found = np.histogram(x[..., 1], bins=edges)[0] / x[..., 1].size
    # a bin has the share of the grid's distribution function between its edges
    step = sides[1][1] - sides[1][0]
    cdf = np.concatenate([[0.0], np.cumsum(p.sum(axis=0))])
    ends = np.append(sides[1] - step / 2, sides[1][-1] + step / 2)
    wanted = np.diff(np.interp(edges, ends, cdf))
    rest = 1.0 - wanted.sum()  # outside all bins
    return 0.5 * (np.abs(found - wanted).sum() + rest), edges, found, wanted


def main(
    output="demo_output",
    n_rows=2000,
    n_iter=3000,
    draws=12_000,
    tune=1000,
    chains=8,
    points=600,
    priors=("denoising", "energy matching"),
    seed=0,
    progressbar=True,
):
    """Learn, sample, plot, and return distances, effective draws and fits of held-out data."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    train = make_moons(n_rows, noise=0.1, random_state=seed)[0]
    test = make_moons(n_rows, noise=0.1, random_state=seed + 1)[0]
    models = {
        "denoising": ScoreMatching(sigma=0.1, n_iter=n_iter, random_state=seed),
        "energy matching": EnergyMatching(n_iter=n_iter // 3, random_state=seed),
    }
    result, panels = {}, {}
    for name in priors:
        model = models[name].fit(train)
        x, ess = draw(model, draws, tune, chains, seed, progressbar)
        sides, log_prior, p = on_grid(model, points)
        distance, *bins = compare(x, sides, p)
        result[name] = {
            "distance": float(distance),
            "effective draws": ess,
            "log-density of new data": model.score(test),
        }
        panels[name] = sides, log_prior, x, bins
        print(
            f"{name:16s} total variation {distance:.3f} from the grid, {ess:.0f} effective draws, "
            f"mean log-density of new data {model.score(test):.3f}"
        )
    plot(output / "learned_prior.png", panels, train)
    return result


def plot(path, panels, train):
    """Each prior with posterior draws in it, and the second coordinate by draws and by grid."""
    figure, axes = plt.subplots(
        len(panels), 3, figsize=(13, 3.9 * len(panels)), layout="constrained", squeeze=False
    )
    for row, (name, (sides, log_prior, x, (edges, found, wanted))) in zip(
        axes, panels.items(), strict=True
    ):
        for ax in row[:2]:
            image = ax.pcolormesh(
                *sides, np.exp(log_prior).T, cmap="Blues", rasterized=True, shading="nearest"
            )
            ax.set(xlabel="$x_1$", ylabel="$x_2$", xlim=(-1.6, 2.6), ylim=(-1.2, 1.7))
            ax.set_aspect("equal")
        figure.colorbar(image, ax=row[1], label="density", shrink=0.8)
        row[0].plot(*train[:500].T, ".", color="0.25", ms=2)
        row[0].set_title(f"prior by {name}, and data")
        row[1].axvspan(SEEN - NOISE, SEEN + NOISE, color="tab:orange", alpha=0.2, lw=0)
        shown = x.reshape(-1, 2)[:: max(1, x[..., 0].size // 800)]
        row[1].plot(*shown.T, ".", color="tab:red", ms=2)
        row[1].set_title(f"posterior draws, $x_1$ seen as {SEEN} $\\pm$ {NOISE}")
        row[2].stairs(found, edges, fill=True, color="tab:red", alpha=0.35, label="NUTS")
        row[2].stairs(wanted, edges, color="k", lw=1.2, label="grid")
        row[2].set(title="what is known of $x_2$", xlabel="$x_2$", ylabel="probability of a bin")
        row[2].legend(frameon=False)
        row[2].spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
