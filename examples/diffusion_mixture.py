"""How does noise become data, and how many looks at the score does it take?

The score of a mixture of Gaussians under noise is known, so samplers can be seen apart from any
network. Three modes on a line: the reverse-time SDE and the probability flow take different paths
through the same marginals, and samplers differ in how many evaluations of the score they need. Five
modes in the plane: paths again. Langevin dynamics from far away, on the line and in the plane,
finds the mode nearest to where it started unless it is annealed.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.progress import Progress
from scipy.stats import norm

import pm_energy as pme
from pm_energy.diffusion import (
    DiffusedMixture,
    VarianceExploding,
    VariancePreserving,
    annealed_langevin,
    langevin,
    log_likelihood,
    sample,
    time_grid,
)

SCHEDULE = VariancePreserving()
WEIGHTS, MEANS, WIDTHS = np.array([[0.2, 0.5, 0.3], [-4.0, 0.0, 3.0], [0.5, 0.4, 0.7]])
LINE = DiffusedMixture(pme.GaussianMixtureEnergy(WEIGHTS, MEANS[:, None], WIDTHS**2), SCHEDULE)
CALLS = {  # of the score, for n steps
    "ddpm": lambda n: n,
    "residual": lambda n: n,
    "sde": lambda n: n,
    "pc": lambda n: 2 * n - 1,
    "ddim": lambda n: n,
    "ode": lambda n: 2 * n - 1,
    "dpm++": lambda n: n,
}
NAMES = {
    "ddpm": "DDPM",
    "residual": "DDPM, best variance",
    "sde": "Euler-Maruyama",
    "pc": "predictor-corrector",
    "ddim": "DDIM",
    "ode": "Heun",
    "dpm++": "DPM-Solver++ 2M",
}


def petals(schedule):
    """Five long modes around the origin, of unequal weights."""
    angle = 2 * np.pi * np.arange(5) / 5 + np.pi / 2
    out = np.column_stack([np.cos(angle), np.sin(angle)])
    across = np.column_stack([-np.sin(angle), np.cos(angle)])
    shapes = [np.outer(a, a) + 0.06 * np.outer(b, b) for a, b in zip(out, across, strict=True)]
    weights = np.array([0.1, 0.15, 0.2, 0.25, 0.3])
    return DiffusedMixture(pme.GaussianMixtureEnergy(weights, 5 * out, shapes), schedule)


def distance(x):
    """Largest difference of the distribution functions of draws and of the three modes."""
    u = np.sort((WEIGHTS * norm.cdf((x - MEANS) / WIDTHS)).sum(axis=1))
    n = len(u)
    return max((np.arange(1, n + 1) / n - u).max(), (u - np.arange(n) / n).max())


def compare(draws, steps, seed, progressbar):
    """Distance to the target by sampler and number of steps."""
    errors = {method: [] for method in CALLS}
    with Progress(disable=not progressbar) as progress:
        task = progress.add_task("samplers", total=len(errors) * len(steps))
        for method, found in errors.items():
            options = {"method": method}
            if method == "residual":
                options = {"method": "ddpm", "residual": LINE.data_variance}
            for n_steps in steps:
                rng = np.random.default_rng((seed, n_steps))
                x = sample(LINE.score, SCHEDULE, draws, 1, rng=rng, n_steps=n_steps, **options)
                found.append(distance(x))
                progress.advance(task)
    return errors


def walk_from_afar(energy, start, step, chains, levels, steps_per_level, seed, progressbar):
    """Share of chains in each mode, by plain and by annealed Langevin, and where they ended."""
    schedule = VarianceExploding(0.05, 20.0)
    mixture = DiffusedMixture(energy, schedule)
    start = np.tile(start, (chains, 1))
    rng = np.random.default_rng(seed)
    ends = {
        "plain": langevin(
            mixture.score, start, step=step, n_steps=levels * steps_per_level, rng=rng,
            progressbar=progressbar,
        ),
        "annealed": annealed_langevin(
            mixture.score, schedule, start, n_steps=levels, steps_per_level=steps_per_level,
            rng=rng, progressbar=progressbar,
        ),
    }  # fmt: skip
    return {way: mixture.responsibilities(x).mean(axis=0) for way, x in ends.items()}, ends


def main(
    output="demo_output",
    draws=10_000,
    steps=(4, 6, 10, 16, 25, 40, 64, 100, 160, 256),
    chains=2_000,
    levels=15,
    steps_per_level=100,
    path_steps=400,
    seed=0,
    progressbar=True,
):
    """Sample, plot, and return distances by sampler, weights of modes and a likelihood's error."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    errors = compare(draws, steps, seed, progressbar)
    paths = {}
    flower = petals(SCHEDULE)
    walk = chains, levels, steps_per_level, seed, progressbar
    shares, ends = walk_from_afar(flower.energy, [0.0, 20.0], 0.03, *walk)  # beyond the first petal
    line_shares, _ = walk_from_afar(LINE.energy, [-12.0], 0.05, *walk)
    weights = flower.energy.weights
    for method in ("sde", "ode"):
        rng = np.random.default_rng(seed)
        settings = {"method": method, "n_steps": path_steps, "spacing": "time", "path": True}
        paths[method] = (
            sample(LINE.score, SCHEDULE, min(draws, 3_000), 1, rng=rng, **settings)[..., 0],
            sample(flower.score, SCHEDULE, 60, 2, rng=rng, **settings),
        )
    x = LINE.draw(np.random.default_rng(seed), 200)
    likelihood = log_likelihood(
        LINE.score, VariancePreserving(t_min=1e-5), x,
        terminal=lambda end: LINE.log_density(end, 1.0), divergence=LINE.divergence,
    )  # fmt: skip
    worst = np.abs(likelihood - LINE.log_density(x)).max()
    plot(output / "diffusion_mixture.png", paths, (steps, errors, draws), shares, line_shares,
         ends)  # fmt: skip
    print(f"log-density by the probability flow: largest error {worst:.1e} nats")
    for method, found in errors.items():
        print(
            f"{NAMES[method]:20s} distance {found[-1]:.3f} with {CALLS[method](steps[-1])} scores"
        )
    for way, share in shares.items():
        print(f"{way:8s} Langevin: petals {share.round(2)}, true {weights}")
        print(f"{way:8s} Langevin: on the line {line_shares[way].round(3)}, true {WEIGHTS}")
    return {
        "errors": errors, "shares": shares, "weights": weights, "line shares": line_shares,
        "likelihood error": worst,
    }  # fmt: skip


def plot(path, paths, comparison, shares, line_shares, ends):
    """Paths and marginals on the line and in the plane, costs, and Langevin from afar."""
    figure, axes = plt.subplots(2, 4, figsize=(18, 8.6), layout="constrained")
    times = time_grid(SCHEDULE, len(paths["ode"][0]) - 1)
    names = {"sde": "reverse-time SDE", "ode": "probability flow"}
    flower = petals(SCHEDULE)
    for ax, (method, (line, _)) in zip(axes[0], paths.items(), strict=False):
        draw_line(ax, times, line)
        ax.set(title=f"{names[method]}: three modes", xlabel="time t", ylabel="x")
    for ax, (method, (_, plane)) in zip(axes[1], paths.items(), strict=False):
        draw_plane(ax, flower, plane)
        ax.set(title=f"{names[method]}: five modes")
    draw_marginals(axes[0, 2], times, {names[m]: line for m, (line, _) in paths.items()})
    draw_costs(axes[0, 3], *comparison)
    draw_ends(axes[1, 2], flower, ends)
    draw_shares(axes[1, 3], shares, line_shares, flower.energy.weights)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_line(ax, times, states):
    """Paths over the marginal densities, from noise on the left to data on the right."""
    grid = np.linspace(-6.5, 6.5, 300)
    shown = np.linspace(1e-3, 1.0, 160)
    density = [np.exp(LINE.log_density(grid[:, None], t)) for t in shown]
    density = np.array([row / row.max() for row in density]).T
    ax.pcolormesh(shown, grid, density, cmap="Blues", shading="auto", vmax=1.6, rasterized=True)
    ends = states[-1, :40]
    nearest = np.abs(ends[:, None] - MEANS).argmin(axis=1)
    for i, mode in enumerate(nearest):
        ax.plot(times, states[:, i], lw=0.6, color=("tab:red", "k", "tab:green")[mode], alpha=0.75)
    ax.set(xlim=(1, 0), ylim=(-6.5, 6.5))


def draw_plane(ax, mixture, states):
    """Density of the data, the score halfway, and some paths with their ends."""
    draw_density(ax, mixture)
    axis = np.linspace(-9, 9, 19)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    score = mixture.score(points, 0.25)
    ax.quiver(*points.T, *score.T, color="0.55", width=0.002, scale=140)
    nearest = mixture.responsibilities(states[-1]).argmax(axis=1)
    for i, mode in enumerate(nearest):
        ax.plot(*states[:, i].T, lw=0.7, color=f"C{mode}", alpha=0.7)
        ax.plot(*states[-1, i], marker="o", ms=3.5, color=f"C{mode}")
    ax.set(xlim=(-9, 9), ylim=(-9, 9), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")


def draw_density(ax, mixture):
    axis = np.linspace(-9, 9, 150)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = np.exp(mixture.log_density(points)).reshape(150, 150)
    ax.contourf(axis, axis, density, levels=density.max() * np.linspace(0.03, 1, 7), cmap="Blues",
                vmax=2 * density.max())  # fmt: skip


def draw_marginals(ax, times, runs):
    """Histograms of both at some times, over the exact densities, one above the other."""
    grid = np.linspace(-6.5, 6.5, 400)
    for row, t in enumerate((1.0, 0.3, 0.15, 0.05, 0.0)):
        density = np.exp(LINE.log_density(grid[:, None], t))
        ax.plot(grid, row + 1.8 * density, "k", lw=1, label="exact" if row == 0 else None)
        for colour, (name, states) in zip(("tab:orange", "tab:blue"), runs.items(), strict=True):
            at = np.abs(times - t).argmin()
            height, edges = np.histogram(states[at], bins=70, range=(-6.5, 6.5), density=True)
            ax.stairs(row + 1.8 * height, edges, baseline=row, color=colour, alpha=0.8,
                      label=name if row == 0 else None)  # fmt: skip
        ax.text(-8.4, row + 0.08, f"t = {t:g}")
    ax.set(title="the same marginals", xlabel="x", yticks=[], xlim=(-8.6, 6.6), ylim=(-0.05, 5.4))
    ax.legend(frameon=False, loc="upper left", ncols=3, fontsize="small",
              handlelength=1.2, columnspacing=1.0)  # fmt: skip


def draw_costs(ax, steps, errors, draws):
    """Error against evaluations of the score."""
    for (method, found), marker in zip(errors.items(), "oXs^dvP", strict=True):
        style = "--" if method in ("ddpm", "sde", "pc") else "-"
        ax.loglog([CALLS[method](n) for n in steps], found, style, marker=marker, ms=5,
                  label=NAMES[method])  # fmt: skip
    ax.axhline(0.87 / np.sqrt(draws), color="0.5", ls=":", label="exact draws")
    ax.set(title="cost of draws", xlabel="evaluations of the score")
    ax.set(ylabel="largest difference of distribution functions")
    ax.legend(frameon=False, fontsize="small")


def draw_ends(ax, mixture, ends):
    """Where chains of Langevin dynamics ended that all began above the first petal."""
    draw_density(ax, mixture)
    for way, colour in (("annealed", "tab:orange"), ("plain", "tab:blue")):
        ax.plot(*ends[way][:400].T, ".", ms=3, color=colour, label=f"{way} Langevin", alpha=0.8)
    arrow = {"arrowstyle": "<-"}
    ax.annotate("all start at (0, 20)", (0.4, 9), (1.2, 7.8), va="top", arrowprops=arrow)
    ax.set(title="Langevin dynamics from afar", xlim=(-9, 9), ylim=(-9, 9), aspect="equal")
    ax.set(xlabel="$x_1$", ylabel="$x_2$")
    ax.legend(frameon=False, loc="lower left", markerscale=3)


def draw_shares(ax, shares, line_shares, weights):
    """Weights of the five modes in the plane and, beside them, of the three on the line."""
    at = np.concatenate([np.arange(5), np.arange(6, 9)])
    for shift, way in zip((-0.27, 0.0), shares, strict=True):
        share = np.concatenate([shares[way], line_shares[way]])
        ax.bar(at + shift, share, 0.27, label=f"{way} Langevin")
    ax.bar(at + 0.27, np.concatenate([weights, WEIGHTS]), 0.27, color="0.3", label="true weights")
    ax.set_xticks(at, [*range(1, 6), *(f"{mean:g}" for mean in MEANS)])
    ax.set(title="mode weights, all chains from one start", ylabel="share")
    ax.set(xlabel="number of the petal                 x on the line")
    ax.legend(frameon=False, fontsize="small", loc=(0.12, 0.8))


if __name__ == "__main__":
    main()
