"""What do short Langevin runs cost as negatives, against exact chains?

The same network learns eight Gaussians of unequal weights, whose density is known, and two moons:
by maximum likelihood with chains that are exact, by short runs without correction that start at
noise, by denoising score matching at one level of noise and at all of them, and by energy matching.
Short runs learn to end where the data are, so their ends look right; the energy that leads them
there is far from the data's log-density. Denoising learns the data with noise. KL is from the truth
to the learned density, on a grid, and C2ST says how well a classifier tells draws of the energy
from fresh data; 1/2 is chance.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.progress import track
from sklearn.datasets import make_moons

import pm_energy as pme
from pm_energy.estimators.energy_based_model import EnergyBasedModel
from pm_energy.estimators.energy_matching import EnergyMatching
from pm_energy.estimators.score_matching import ScoreMatching
from pm_energy.training.score_network import NetworkModel

SHORT = {"step_size": 0.1, "n_steps": 30, "reinit": 1.0, "learning_rate": 3e-3}
LEVELS = {"sigma": (0.05, 4.0), "hidden": (64, 64, 64), "learning_rate": 1e-2, "n_iter": 4000}
MODELS = {
    "exact chains": (EnergyBasedModel, {}),
    "short runs": (EnergyBasedModel, SHORT),
    "score matching": (ScoreMatching, {}),
    "all levels": (ScoreMatching, LEVELS),
    "energy matching": (EnergyMatching, {}),
}
COLOURS = dict(
    zip(MODELS, ("tab:blue", "tab:red", "tab:green", "tab:olive", "tab:orange"), strict=True)
)
ANGLES = np.arange(8) * np.pi / 4
EIGHT = pme.GaussianMixtureEnergy(
    [0.30, 0.05, 0.15, 0.10, 0.05, 0.20, 0.05, 0.10],
    2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1),
    0.2**2,
)
DENSITIES = ("eight Gaussians", "two moons")


def data(name, rng, n):
    """Draw n points."""
    if name == "two moons":
        return make_moons(n, noise=0.1, random_state=int(rng.integers(2**31)))[0]
    return EIGHT.draw(rng, n)


def shares(x):
    """Share of points nearest to each of the eight means."""
    distance = ((x[:, None] - EIGHT.means) ** 2).sum(axis=-1)
    return np.bincount(distance.argmin(axis=1), minlength=8) / len(x)


def on_square(x, points):
    """A grid over a square around x, as rows, the sides and the area of a cell."""
    middle = x.mean(axis=0)
    reach = 1.2 * np.abs(x - middle).max()
    sides = [np.linspace(m - reach, m + reach, points) for m in middle]
    grid = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
    return grid, sides, (2 * reach / (points - 1)) ** 2


def short_ends(model, rng, n):
    """Where short runs end, started as they were in learning."""
    network = NetworkModel(model.energy_)
    theta = network.initial()
    chains = network.start(theta, rng, n=n)
    network.langevin(theta, chains, rng, model.n_steps, model.step_size)
    return network.visible(chains)


def measure(name, model, fresh, draws, grid, area, seed):
    """How good a density and its draws are."""
    found = {
        "log-density of fresh data": model.score(fresh),
        "C2ST": pme.diagnostics.c2st(draws, fresh, random_state=seed).value,
    }
    if name == "eight Gaussians":
        log_p = -pme.energy_values(EIGHT, grid)
        p = np.exp(log_p)
        found["KL"] = float(area * (p * (log_p - model.score_samples(grid))).sum())
        found["shares"] = shares(draws)
        found["largest error of a share"] = float(np.abs(found["shares"] - EIGHT.weights).max())
    return found


def main(
    output="demo_output",
    densities=DENSITIES,
    models=tuple(MODELS),
    n_data=4000,
    n_draws=4000,
    settings=None,
    points=240,
    seed=0,
    progressbar=True,
):
    """Learn, draw, measure, plot; return measures by density and model."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    result, pictures = {}, {}
    for name in track(densities, description="densities", disable=not progressbar):
        rng = np.random.default_rng(seed)
        x, fresh = data(name, rng, n_data), data(name, rng, n_draws)
        grid, sides, area = on_square(fresh, points)
        result[name], pictures[name] = {}, {"data": (fresh, sides)}
        for kind in models:
            make, own = MODELS[kind]
            model = make(random_state=seed, **(own | (settings or {}))).fit(x)
            draws = model.sample(n_draws, random_state=seed)
            found = measure(name, model, fresh, draws, grid, area, seed)
            ends = None
            if kind == "short runs":
                ends = short_ends(model, rng, n_draws)
                found["C2ST of short runs"] = pme.diagnostics.c2st(
                    ends, fresh, random_state=seed
                ).value
            density = np.exp(model.score_samples(grid)).reshape(points, points)
            result[name][kind], pictures[name][kind] = found, (density, ends)
    plot(output / "energy_based_model.png", pictures, result)
    if progressbar:
        for name, rows in result.items():
            for kind, found in rows.items():
                numbers = ", ".join(f"{k} {v:.3f}" for k, v in found.items() if k != "shares")
                print(f"{name:16s} {kind:16s} {numbers}")
    return result


def plot(path, pictures, result):
    """A row a density: data and what each model learned; below, the shares of the eight modes."""
    columns = [*next(iter(pictures.values()))]
    with_shares = "eight Gaussians" in result
    heights = [2.75] * len(pictures) + [2.2] * with_shares
    figure = plt.figure(figsize=(2.6 * len(columns), sum(heights)), layout="constrained")
    frame = figure.add_gridspec(len(heights), len(columns), height_ratios=heights)
    for i, (name, found) in enumerate(pictures.items()):
        fresh, (across, up) = found["data"]
        extent = [across[0], across[-1], up[0], up[-1]]
        for j, column in enumerate(columns):
            ax = figure.add_subplot(frame[i, j])
            ax.set(xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:], aspect="equal")
            ax.set_title(column if i == 0 else "", fontsize=11)
            if column == "data":
                ax.plot(*fresh.T, ".", color="0.35", markersize=1.5, rasterized=True)
                ax.set_ylabel(name, fontsize=11)
                continue
            density, ends = found[column]
            top = np.quantile(density, 0.995)
            ax.imshow(density, extent=extent, origin="lower", cmap="Blues", vmax=top)
            said = result[name][column]
            text = f"C2ST {said['C2ST']:.2f}"
            if "KL" in said:
                text = f"KL {said['KL']:.3f}, {text}"
            if ends is not None:
                ax.plot(*ends[:800].T, ".", color="tab:red", markersize=1.2, rasterized=True)
                text += f"; its runs {said['C2ST of short runs']:.2f}"
            ax.set_xlabel(text, fontsize=9)
    if with_shares:
        plot_shares(figure.add_subplot(frame[-1, :]), result["eight Gaussians"])
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_shares(ax, found):
    """The eight modes' shares of the truth as bars, and of each model's draws as dots."""
    place, top = np.arange(8), 1.45 * EIGHT.weights.max()
    ax.bar(place, EIGHT.weights, width=0.75, color="0.85", label="truth")
    for k, (kind, said) in enumerate(found.items()):
        at = place + 0.16 * (k - (len(found) - 1) / 2)
        inside = said["shares"] < top
        ax.plot(at[inside], said["shares"][inside], "o", ms=5, color=COLOURS[kind], label=kind)
        for x, share in zip(at[~inside], said["shares"][~inside], strict=True):
            ax.plot(x, 0.97 * top, "^", ms=6, color=COLOURS[kind])
            ax.text(x + 0.08, 0.97 * top, f"{share:.2f}", color=COLOURS[kind], va="center")
    ax.set(xticks=place, xticklabels=place + 1, xlabel="mode", ylabel="share of draws")
    ax.set(ylim=(-0.01, top))
    ax.legend(frameon=False, ncols=1 + len(found), fontsize=9, loc="upper right")
    ax.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
