"""Do networks that learned a score find all of a density, in the right proportions?

Eight Gaussians, a checkerboard, two moons and a Swiss roll, each in eight parts (moons: two) of
equal probability. A diffusion model, a noise-conditional score with annealed Langevin dynamics, and
flow matching learn from 20,000 points and draw 2,000. A classifier (C2ST) tells hardly better than
by chance which are drawn and which are fresh data; 1/2 is chance. It does not see everything: a
look at the checkerboard shows edges that are not sharp. The last columns are the density that the
probability flow of the diffusion gives, and how it carries noise to data.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.progress import track
from scipy.spatial import KDTree

import pm_energy as pme
from pm_energy.diffusion import sample
from pm_energy.estimators.diffusion_model import DiffusionModel
from pm_energy.estimators.flow_matching import FlowMatching
from pm_energy.estimators.noise_conditional_score import NoiseConditionalScore

MODELS = {
    "diffusion": DiffusionModel,
    "annealed Langevin": NoiseConditionalScore,
    "flow matching": FlowMatching,
}


def eight_gaussians(rng, n):
    """Narrow ones on a circle of radius 2."""
    part = rng.integers(8, size=n)
    place = 2 * np.stack([np.cos(part * np.pi / 4), np.sin(part * np.pi / 4)], axis=1)
    return place + 0.1 * rng.standard_normal((n, 2)), part


def checkerboard(rng, n):
    """Eight of sixteen unit squares."""
    column, upper = rng.integers(4, size=n), rng.integers(2, size=n)
    square = np.stack([column, 2 * upper + column % 2], axis=1)
    return square - 2.0 + rng.random((n, 2)), 2 * column + upper


def two_moons(rng, n):
    """Interleaved half circles."""
    angle, lower = rng.uniform(0, np.pi, n), rng.integers(2, size=n)
    arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    arc = np.where(lower[:, None], [1.0, 0.5] - arc, arc)
    return arc + 0.05 * rng.standard_normal((n, 2)), lower


def swiss_roll(rng, n):
    """A spiral of one and a half turns; its parts are turned through at equal pace."""
    share = rng.random(n)
    angle = 1.5 * np.pi * (1 + 2 * share)
    roll = angle[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) / 7
    return roll + 0.04 * rng.standard_normal((n, 2)), (8 * share).astype(int)


DENSITIES = {
    "eight Gaussians": eight_gaussians,
    "checkerboard": checkerboard,
    "two moons": two_moons,
    "Swiss roll": swiss_roll,
}


def measure(draws, data, part, fresh, other, seed):
    """Largest error of a share, in parts of what it should be; accuracies of C2ST."""
    of_draws = part[KDTree(data).query(draws)[1]]
    n_parts = part.max() + 1
    shares = np.bincount(of_draws, minlength=n_parts) / len(draws)
    accuracy = pme.diagnostics.c2st(draws, fresh, random_state=seed)
    chance = pme.diagnostics.c2st(other, fresh, random_state=seed)
    return {
        "largest error of a share": float(np.abs(shares * n_parts - 1).max()),
        "smallest share": float(shares.min() * n_parts),
        "C2ST": accuracy.value,
        "C2ST of fresh data": chance.value,
        "error of C2ST": accuracy.error,
    }


def paths(model, n, seed):
    """How the diffusion carries n points from noise to data, (n, steps, 2), in units of X."""
    network = model.score_field
    schedule, rng = model.schedule_, np.random.default_rng(seed)

    def score(x, t):
        """Of x_t in units of ``scale_``: what ``score_field`` gives is that of x_t / alpha."""
        alpha = float(schedule.alpha(t))
        return network(model.mean_ + model.scale_ * x / alpha, t) * model.scale_ / alpha

    path = sample(score, schedule, n, 2, rng=rng, method="ode", n_steps=60, path=True)
    return model.mean_ + model.scale_ * path.transpose(1, 0, 2)


def main(
    output="demo_output",
    densities=tuple(DENSITIES),
    models=tuple(MODELS),
    n_data=20_000,
    n_draws=2000,
    n_iter=8_000,
    hidden=(128, 128),
    grid=48,
    seed=0,
    progressbar=True,
):
    """Learn, draw, measure, plot; return measures by density and model."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    result, pictures = {}, {}
    for name in track(densities, description="densities", disable=not progressbar):
        rng = np.random.default_rng(seed)
        data, part = DENSITIES[name](rng, n_data)
        fresh, other = (DENSITIES[name](rng, n_draws)[0] for _ in range(2))
        result[name], pictures[name] = {}, {"data": fresh}
        for kind in models:
            model = MODELS[kind](n_iter=n_iter, hidden=hidden, random_state=seed).fit(data)
            draws = model.sample(n_draws, random_state=seed)
            result[name][kind] = measure(draws, data, part, fresh, other, seed)
            pictures[name][kind] = draws
            if kind == "diffusion":
                pictures[name]["density"] = density(model, data, grid)
                pictures[name]["paths"] = paths(model, 60, seed)
    plot(output / "toy_densities.png", pictures, result)
    if progressbar:
        for name, found in result.items():
            for kind, values in found.items():
                print(
                    f"{name:16s} {kind:18s} C2ST {values['C2ST']:.3f} (fresh data "
                    f"{values['C2ST of fresh data']:.3f}), largest error of a share "
                    f"{values['largest error of a share']:.0%}"
                )
    return result


def density(model, data, grid):
    """Density on a square around the data, and the square."""
    reach = 1.15 * np.abs(data - data.mean(axis=0)).max()
    middle = data.mean(axis=0)
    sides = [np.linspace(m - reach, m + reach, grid) for m in middle]
    points = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
    extent = [sides[0][0], sides[0][-1], sides[1][0], sides[1][-1]]
    return np.exp(model.score_samples(points)).reshape(grid, grid), extent


def plot(path, pictures, result):
    """A row a density: data, draws of each model, the learned density, and paths."""
    columns = sorted(next(iter(pictures.values())), key=lambda name: name in ("density", "paths"))
    shape = len(pictures), len(columns)
    figure, axes = plt.subplots(
        *shape, figsize=(2.3 * shape[1], 2.35 * shape[0]), layout="constrained", squeeze=False
    )
    for row, (name, found) in zip(axes, pictures.items(), strict=True):
        reach = 1.15 * np.abs(found["data"] - found["data"].mean(axis=0)).max()
        middle = found["data"].mean(axis=0)
        for ax, column in zip(row, columns, strict=True):
            shown = found[column]
            if column == "density":
                values, extent = shown
                ax.imshow(
                    values, extent=extent, origin="lower", cmap="Blues", interpolation="bilinear",
                    vmax=np.quantile(values, 0.995),
                )  # fmt: skip
            elif column == "paths":
                ax.plot(*shown.transpose(2, 1, 0), color="tab:orange", linewidth=0.6, alpha=0.7)
                ax.plot(*shown[:, -1].T, "k.", markersize=3)
            else:
                colour = "0.4" if column == "data" else "tab:blue"
                ax.plot(*shown.T, ".", color=colour, markersize=1.2, rasterized=True)
            ax.set(
                xticks=[], yticks=[], aspect="equal", title=column if row[0] is axes[0, 0] else "",
                xlim=(middle[0] - reach, middle[0] + reach),
                ylim=(middle[1] - reach, middle[1] + reach),
            )  # fmt: skip
            if column in result[name]:
                ax.set_xlabel(f"C2ST {result[name][column]['C2ST']:.3f}", fontsize=8)
        row[0].set_ylabel(name)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
