"""Which spins interact, and how strongly? Couplings of a lattice recovered from its states.

Twenty thousand states of a 10 x 10 lattice are drawn exactly, by coupling from the past; each bond
has a coupling of its own. Given the graph, pseudo-likelihood, probability flow and persistent
contrastive divergence all recover the couplings about as well as the number of states allows. With
the graph unknown, an l1 penalty picks the 200 bonds out of 4,950 pairs.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.progress import track

import pm_energy as pme
from pm_energy.draws import draw_states
from pm_energy.estimators import BoltzmannMachine

LOW, HIGH = 0.1, 0.5  # couplings, on both sides of .3
OBJECTIVES = {
    "pseudo-likelihood": {"objective": "pseudolikelihood"},
    "probability flow": {"objective": "probability-flow"},
    "persistent CD": {
        "objective": "pcd", "batch_size": 1000, "n_iter": 20, "learning_rate": 0.1,
        "random_state": 0,
    },
}  # fmt: skip


def draw_scatter(ax, name, true, found, error):
    ax.axline((0, 0), slope=1, color="0.6", linewidth=0.9, zorder=0)
    ax.scatter(true, found, s=12, alpha=0.6, linewidths=0)
    ends = 0, 1.25 * HIGH
    ax.set(xlim=ends, ylim=ends, aspect="equal", xlabel="true coupling", ylabel="recovered")
    ax.set_title(f"{name}: {error:.1%}", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)


def draw_graph(ax, lattice, strength, is_bond):
    """All pairs with a coupling: lines between sites, those around the border cut in two."""
    side = lattice.shape[0]
    first, second = np.triu_indices(lattice.n, 1)
    for i, j, j_ij, right in zip(first, second, strength, is_bond, strict=True):
        if j_ij == 0:
            continue
        a, b = np.array(divmod(i, side)), np.array(divmod(j, side))
        style = {"color": "tab:blue" if right else "tab:red", "zorder": 1 + right}
        style["linewidth"] = 8 * abs(j_ij)
        step = (b - a + side // 2) % side - side // 2  # the shorter way round
        for start, way in ((a, step), (b, -step)) if right else ():
            ax.plot(*np.stack([start, start + way / 2])[:, ::-1].T, **style)
        if not right:
            ax.plot(*np.stack([a, b])[:, ::-1].T, **style)
    rows, columns = np.indices(lattice.shape)
    ax.scatter(columns, rows, s=10, color="0.2", zorder=3)
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    false = int(((strength != 0) & ~is_bond).sum())
    found = int(((strength != 0) & is_bond).sum())
    ax.set_title("graph unknown: l1 penalty", fontsize=10)
    ax.set_xlabel(
        f"{found} of {is_bond.sum()} bonds (blue) and {false} false ones\n"
        f"(red), the largest {np.abs(strength[~is_bond]).max():.3f}"
    )


def main(output="demo_output", side=10, n_states=20_000, l1=0.02, progressbar=True):
    """Recover couplings, save the figure, and return what was measured.

    Returns
    -------
    dict
        The relative root mean square error of each objective by its name; of the l1 penalty the
        "weakest bond" and the "strongest false bond".
    """
    rng = np.random.default_rng(3)
    lattice = pme.Lattice((side, side))
    true = rng.uniform(LOW, HIGH, lattice.n_bonds)
    field = np.zeros(lattice.n)
    field[::2] = 0.1
    ising = pme.Ising(true, field, graph=pme.Graph(lattice.n, lattice.edges))
    X = draw_states(ising, rng, n_states)
    result, found = {}, {}
    for name in track(OBJECTIVES, "objectives", disable=not progressbar):
        machine = BoltzmannMachine(graph=lattice.edges, coding="spin", **OBJECTIVES[name]).fit(X)
        found[name] = machine.couplings_
        result[name] = float(np.linalg.norm(machine.couplings_ - true) / np.linalg.norm(true))
    sparse = BoltzmannMachine(coding="spin", l1=l1, tol=1e-4).fit(X)
    strength = sparse.couplings_  # of all pairs, in the order of np.triu_indices
    bonds = np.zeros((lattice.n, lattice.n), bool)
    bonds[tuple(lattice.edges.T)] = True
    is_bond = (bonds | bonds.T)[np.triu_indices(lattice.n, 1)]
    result["weakest bond"] = float(strength[is_bond].min())
    result["strongest false bond"] = float(np.abs(strength[~is_bond]).max())
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.8), layout="constrained")
    for ax, name in zip(axes, OBJECTIVES, strict=False):
        draw_scatter(ax, name, true, found[name], result[name])
    draw_graph(axes[3], lattice, strength, is_bond)
    path = Path(output) / "inverse_ising.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return result


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:22} {value:.4f}")
