"""Logic that runs backwards: an AND gate as the ground states of a Boltzmann machine.

A machine of three units learns the truth table. Its inputs clamped, it computes the output; its
output clamped, it proposes inputs, each possible pair as often as the others. The gate is one of
the parts of a multiplier of two-bit numbers, whose energy is zero where each gate and each sum is
right, and positive elsewhere. With the product clamped it finds the factors.
"""

from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import pm_energy as pme
from pm_energy.estimators import BoltzmannMachine

TABLE = np.array([(a, b, a & b) for a, b in product((0, 1), repeat=2)])
UNITS = ("a0", "a1", "b0", "b1", "p0", "p1", "p2", "p3", "x", "y", "z", "carry")


def multiplier(strength):
    """Energy of ``a * b = p`` over twelve units: zero for the 16 right states, else positive.

    Each gate ``z = a and b`` is ``ab - 2 (a + b) z + 3 z``, each sum the square of what is wrong.
    """
    n = len(UNITS)
    quadratic, linear = np.zeros((n, n)), np.zeros(n)  # x' Q x + l' x, with Q upper triangular

    def add(one, other, value):
        i, j = sorted((UNITS.index(one), UNITS.index(other)))
        if i == j:
            linear[i] += value  # x * x = x
        else:
            quadratic[i, j] += value

    for a, b, out in (("a0", "b0", "p0"), ("a1", "b0", "x"), ("a0", "b1", "y"), ("a1", "b1", "z")):
        add(a, b, 1)
        add(a, out, -2)
        add(b, out, -2)
        add(out, out, 3)
    for terms in (
        {"x": 1, "y": 1, "p1": -1, "carry": -2},  # x + y = p1 + 2 carry
        {"z": 1, "carry": 1, "p2": -1, "p3": -2},  # z + carry = p2 + 2 p3
    ):
        for (one, u), (other, v) in product(terms.items(), repeat=2):
            add(one, other, u * v)
    coupling = -strength * (quadratic + quadratic.T)
    return pme.BoltzmannMachine(coupling, -strength * linear)


def factors(machine, value, rng, n_draws):
    """How often each pair (a, b) is drawn with the product clamped, shape (4, 4)."""
    held = np.isin(UNITS, ("p0", "p1", "p2", "p3"))
    states = np.zeros(len(UNITS), int)
    states[held] = [value >> k & 1 for k in range(4)]
    clamped = pme.Clamped(machine, held, states)
    free = [name for name, h in zip(UNITS, held, strict=True) if not h]
    drawn = dict(zip(free, pme.exact.draw(clamped, rng, n_draws).T.astype(int), strict=True))
    share = np.zeros((4, 4))
    a, b = (drawn[f"{u}0"] + 2 * drawn[f"{u}1"] for u in "ab")
    np.add.at(share, (a, b), 1 / n_draws)
    return share


def draw(path, gate, forward, backward, shares):
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.4), layout="constrained")
    states = np.array(list(product((0, 1), repeat=3)))
    p = np.exp(gate.score_samples(states))
    right = states[:, 2] == states[:, 0] & states[:, 1]
    names = ["".join(map(str, row)) for row in states]
    axes[0].bar(names, p, color=np.where(right, "tab:blue", "tab:red"))
    axes[0].set(title="the learned gate: states a b c", ylabel="probability")
    inputs = [f"{a}{b}" for a, b, _ in TABLE]
    axes[1].bar(inputs, forward)
    axes[1].set(title="forwards: inputs clamped", xlabel="a b", ylabel="share of c = 1")
    width = 0.4
    for k, output in enumerate((0, 1)):
        at = np.arange(4) + (k - 0.5) * width
        axes[2].bar(at, backward[output], width, label=f"c = {output}")
    axes[2].set_xticks(np.arange(4), inputs)
    axes[2].set(title="backwards: output clamped", xlabel="a b", ylabel="share")
    axes[2].legend(frameon=False)
    total = sum(shares.values())
    axes[3].imshow(total, cmap="Blues", origin="lower")
    for value, share in shares.items():
        for a, b in np.argwhere(share > 0.1):
            axes[3].text(b, a, f"{value}", ha="center", va="center", color="white")
    axes[3].set(title=f"factors of {', '.join(map(str, shares))}", xlabel="b", ylabel="a")
    axes[3].set(xticks=range(4), yticks=range(4))
    for ax in axes[:3]:
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(output="demo_output", n_draws=2000, progressbar=True):
    """Learn and run the gate, save the figure, and return what was measured.

    Returns
    -------
    dict
        The "probability of right states" of the gate, the shares of c = 1 "forwards" for the inputs
        00, 01, 10, 11 and those of the inputs "backwards" for c = 0 and c = 1, the shares of
        "factors" by product, and the "least energy" of the multiplier with how many states have it.
    """
    rng = np.random.default_rng(0)
    gate = BoltzmannMachine(l2=1e-3, verbose=progressbar).fit(TABLE)
    forward = []
    for row in TABLE:
        rows = np.tile([*row[:2], 0], (n_draws, 1))
        forward.append(gate.gibbs(rows, 50, known=[True, True, False], random_state=1)[:, 2].mean())
    backward = {}
    for c in (0, 1):
        rows = np.tile([0, 0, c], (n_draws, 1))
        drawn = gate.gibbs(rows, 200, known=[False, False, True], random_state=2)
        number = (2 * drawn[:, 0] + drawn[:, 1]).astype(int)
        backward[c] = np.bincount(number, minlength=4) / n_draws
    machine = multiplier(strength=5.0)
    states, _ = pme.exact.distribution(machine)
    energies = pme.energy_values(machine, states)
    ground = np.isclose(energies, energies.min())
    shares = {value: factors(machine, value, rng, n_draws) for value in (3, 4, 6, 9)}
    draw(Path(output) / "and_gate.png", gate, forward, backward, shares)
    return {
        "probability of right states": float(np.exp(gate.score_samples(TABLE)).sum()),
        "forwards": [float(share) for share in forward],
        "backwards": {c: share.tolist() for c, share in backward.items()},
        "factors": {value: share.tolist() for value, share in shares.items()},
        "least energy": (float(energies.min()), int(ground.sum())),
    }


if __name__ == "__main__":
    measured = main()
    for name, value in measured.items():
        if name != "factors":
            print(f"{name}: {value}")
    for value, share in measured["factors"].items():
        pairs = [f"{a} x {b}: {share[a][b]:.2f}" for a, b in product(range(4), repeat=2)]
        print(value, "=", ", ".join(pair for pair in pairs if not pair.endswith("0.00")))
