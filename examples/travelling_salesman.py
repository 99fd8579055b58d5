"""Does Hopfield and Tank's network find short tours?

Ten cities are visited once each. Units x[c, p], "city c is the p-th", form a network whose energy
is the tour's length and a penalty on anything that is no tour. Its graded form descends a free
energy from a blank start: at one steep gain, as Hopfield and Tank ran it, or with a gain that is
raised through the transition at which the units make up their minds. Annealing the same energy is
the peer, and all tours, listed, are the judge.

A low penalty leaves cities out, a high one drowns the lengths, and no setting is free of both.
Where all answers are tours they are 1.3 to 1.5 times as long as the shortest, random tours being
1.8. Raising the gain beats a fixed one, and its best of 40 answers is within 6%. Annealing (1,000
sweeps) is better where the penalty is low, the raised gain where it is high.
"""

import itertools
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.progress import track

import pm_energy as pme

PENALTIES = (0.8, 1.2, 1.6, 2.0, 2.5, 3.0)
STEEP = 60.0  # gain; the units make up their minds between 10 and 20, at a penalty of 2
GAINS = np.geomspace(10.0, STEEP, 12)
METHODS = ("fixed gain", "raised gain", "annealing")


def tour_energy(distances, penalty):
    """Length of a tour x[c, p] plus penalty / 2 for each square of a row or column sum less one.

    References
    ----------
    .. [1] Hopfield & Tank (1985), Biological Cybernetics 52, 141-152.
    """
    n = len(distances)
    same, other = np.eye(n), 1 - np.eye(n)
    next_to = np.roll(same, 1, axis=1) + np.roll(same, -1, axis=1)
    exclusive = np.einsum("cd,pq->cpdq", same, other) + np.einsum("cd,pq->cpdq", other, same)
    coupling = -penalty * exclusive - np.einsum("cd,pq->cpdq", distances, next_to)
    coupling = coupling.reshape(n * n, n * n)
    return pme.Hopfield(coupling, threshold=-penalty, coding="binary", offset=penalty * n)


def graded_recall(energy, gains, trials, rng, max_updates):
    """Units {0, 1} (trials, n * n) that the graded network reaches, one gain after another."""
    spins = energy.to_spin()
    states = np.zeros((trials, energy.n))
    for gain in gains:
        network = pme.GradedHopfield(spins.coupling, spins.threshold, spins.external, gain=gain)
        # noise, or nothing chooses among tours that differ in where they begin
        noisy = np.clip(states + 0.01 * rng.standard_normal(states.shape), -1 + 1e-9, 1 - 1e-9)
        states = network.recall(noisy, tol=1e-9, max_updates=max_updates).states
    return (states > 0).astype(int)


def read_tours(units, distances):
    """Whether each state (..., n * n) is a tour, the cities in order, and the length if it is."""
    n = len(distances)
    units = units.reshape(-1, n, n)
    valid = (units.sum(axis=1) == 1).all(axis=1) & (units.sum(axis=2) == 1).all(axis=1)
    tours = units.argmax(axis=1)
    return valid, tours, length(tours, distances)


def length(tours, distances):
    return distances[tours, np.roll(tours, -1, axis=-1)].sum(axis=-1)


def shortest(distances):
    """The shortest of all tours."""
    rest = np.array(list(itertools.permutations(range(1, len(distances)))))
    tours = np.insert(rest, 0, 0, axis=1)
    return tours[length(tours, distances).argmin()]


def solve(energy, method, penalty, trials, rng):
    if method == "annealing":
        found = pme.anneal(
            energy, n_sweeps=1000, n_replicas=trials, random_seed=rng, progressbar=False
        )
        return found.states
    scale = 2.0 / penalty  # couplings grow with the penalty
    if method == "fixed gain":
        return graded_recall(energy, [scale * STEEP], trials, rng, max_updates=1500)
    return graded_recall(energy, scale * GAINS, trials, rng, max_updates=150)


def draw(path, cities, tours, penalties, measured):
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    ax = axes[0]
    for (name, tour), style in zip(tours.items(), ("0.75", "tab:blue"), strict=False):
        loop = cities[np.append(tour, tour[0])]
        width = 6 if style == "0.75" else 1.5
        ax.plot(*loop.T, color=style, lw=width, label=name, solid_capstyle="round")
    ax.plot(*cities.T, "ko", ms=5)
    ax.set(aspect="equal", xticks=[], yticks=[], title="one instance")
    ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2)
    for method, marker in zip(METHODS, "ov^", strict=True):
        axes[1].plot(penalties, measured["valid"][method], marker=marker, label=method)
        axes[2].plot(penalties, measured["length"][method], marker=marker, label=method)
    axes[1].set(ylim=(-0.02, 1.02), title="share of answers that are tours")
    axes[2].axhline(measured["random length"], ls=":", color="0.5", label="random tours")
    axes[2].axhline(1.0, ls="--", color="0.5", label="shortest tour")
    axes[2].set(ylim=(0.95, 2.25), title="mean length of those, shortest = 1")
    for ax, place in zip(axes[1:], ("lower right", "upper left"), strict=True):
        ax.set(xlabel="penalty")
        ax.legend(frameon=False, fontsize=8, loc=place, ncols=len(ax.lines) // 3)
        ax.spines[["top", "right"]].set_visible(False)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(
    output="demo_output", progressbar=True, n_cities=10, instances=4, trials=40, penalties=PENALTIES
):
    """Solve instances by each method, save the figure, and return what was measured.

    Parameters
    ----------
    n_cities : int
        All tours are listed: up to 10.
    instances : int
        Sets of cities, drawn uniformly in the unit square.
    trials : int
        Answers of each method to each instance.
    penalties : tuple of float

    Returns
    -------
    dict
        For each method at each penalty: "valid", the share of answers that are tours; "length",
        their mean length over the shortest (NaN without tours); "best", the mean over instances of
        the shortest of them (NaN if an instance has none). "random length" is that of random tours.
    """
    rng = np.random.default_rng(4)
    shape = (len(METHODS), len(penalties), instances)
    valid, total, best = np.zeros(shape), np.zeros(shape), np.full(shape, np.nan)
    random_lengths = []
    for i in track(range(instances), "instances", disable=not progressbar):
        cities = rng.random((n_cities, 2))
        distances = np.linalg.norm(cities[:, None] - cities, axis=-1)
        tours = {"shortest": shortest(distances)}
        shortest_length = length(tours["shortest"], distances)
        anything = rng.permuted(np.tile(np.arange(n_cities), (1000, 1)), axis=1)
        random_lengths.append(length(anything, distances).mean() / shortest_length)
        for (m, method), (k, penalty) in itertools.product(
            enumerate(METHODS), enumerate(penalties)
        ):
            energy = tour_energy(distances, penalty)
            answers = solve(energy, method, penalty, trials, rng)
            is_tour, orders, lengths = read_tours(answers, distances)
            valid[m, k, i] = is_tour.sum()
            total[m, k, i] = lengths[is_tour].sum() / shortest_length
            if is_tour.any():
                best[m, k, i] = lengths[is_tour].min() / shortest_length
                if method == "raised gain" and k >= len(penalties) // 2 and len(tours) == 1:
                    tours[f"an answer, raised gain, penalty {penalty:g}"] = orders[is_tour][0]
    found = valid.sum(axis=2)
    mean_length = np.divide(total.sum(axis=2), found, np.full_like(found, np.nan), where=found > 0)
    share = found / (trials * instances)
    measured = {
        "valid": dict(zip(METHODS, share.tolist(), strict=True)),
        "length": dict(zip(METHODS, mean_length.tolist(), strict=True)),
        "best": dict(zip(METHODS, best.mean(axis=2).tolist(), strict=True)),
        "random length": float(np.mean(random_lengths)),
    }
    draw(Path(output) / "travelling_salesman.png", cities, tours, penalties, measured)
    return measured


if __name__ == "__main__":
    result = main()
    print(f"random tours: {result['random length']:.2f} times the shortest")
    print("penalty                  ", *(f"{penalty:5.1f}" for penalty in PENALTIES))
    for method in METHODS:
        for name in ("valid", "length", "best"):
            print(f"{method:12} {name:12}", *(f"{value:5.2f}" for value in result[name][method]))
