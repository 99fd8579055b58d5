"""How much noise do associative memories take away?

Ten handwritten digits are stored, as black and white pixels, in a Hopfield network with each of
three learning rules and in a modern Hopfield network. Digits are alike, which the Hebbian rule does
not forgive: it remembers a blend.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.progress import track
from sklearn.datasets import load_digits

import pm_energy as pme

MEMORIES = ("hebbian", "storkey", "pseudo-inverse", "modern")
NOISE = np.arange(0.0, 0.41, 0.05)
SHOWN = 0.15
BETA = 0.5


def stored_digits():
    """One digit of each class in {-1, +1}, shape (10, 64): the one nearest to its class's mean."""
    data = load_digits()
    spins = np.where(data.data >= 8, 1, -1)
    picks = []
    for k in range(10):
        ours = np.flatnonzero(data.target == k)
        distance = ((spins[ours] - spins[ours].mean(axis=0)) ** 2).sum(axis=1)
        picks.append(ours[distance.argmin()])
    return spins[picks]


def flip(rng, patterns, share, copies):
    """Copies of patterns with a share of the pixels turned over, shape (copies, k, n)."""
    noisy = np.tile(patterns, (copies, 1, 1))
    count = round(share * patterns.shape[1])
    pixels = rng.random(noisy.shape).argsort(axis=-1)[..., :count]
    turned = np.take_along_axis(noisy, pixels, axis=-1)
    np.put_along_axis(noisy, pixels, -turned, axis=-1)
    return noisy


def recall(memory, states, rng):
    """Recalled pixels in {-1, +1}."""
    if isinstance(memory, pme.ModernHopfield):
        return np.where(memory.retrieve(states).states > 0, 1, -1)
    return memory.recall(states, random_seed=rng).states


def draw(path, patterns, noisy, recalled, shares):
    rows = {"stored": patterns, f"{SHOWN:.0%} turned": noisy, **recalled}
    figure = plt.figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.25, 1])
    axes = left.subplots(len(rows), 10)
    for line, (name, digits) in zip(axes, rows.items(), strict=True):
        for k, (ax, digit) in enumerate(zip(line, digits, strict=True)):
            wrong = name in recalled and (digit != patterns[k]).any()
            ax.imshow(digit.reshape(8, 8), cmap="gray_r", vmin=-1, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_color("tab:red" if wrong else "0.8")
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    left.suptitle("recall of ten digits (red frame: not the stored one)", fontsize=10)
    ax = right.subplots()
    for name, marker in zip(MEMORIES, "ov^s", strict=True):
        ax.plot(NOISE, shares[name], marker=marker, label=name, clip_on=False, zorder=3)
    ax.set(xlabel="share of pixels turned", ylabel="recalled without an error", ylim=(0, 1))
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(output="demo_output", progressbar=True):
    """Measure recall, save the figure, and return what was measured.

    Returns
    -------
    dict
        For each memory the share of digits recalled without an error at each level of noise, the
        levels as "noise", and the largest overlap of two stored digits.
    """
    rng = np.random.default_rng(1)
    patterns = stored_digits()
    memories = {rule: pme.Hopfield.from_patterns(patterns, rule=rule) for rule in MEMORIES[:3]}
    memories["modern"] = pme.ModernHopfield(patterns, beta=BETA)
    shares = {name: [] for name in MEMORIES}
    for share in track(NOISE, "noise levels", disable=not progressbar):
        noisy = flip(rng, patterns, share, copies=100)
        for name, memory in memories.items():
            right = (recall(memory, noisy, rng) == patterns).all(axis=-1)
            shares[name].append(float(right.mean()))
    noisy = flip(rng, patterns, SHOWN, copies=1)[0]
    recalled = {name: recall(memory, noisy, rng) for name, memory in memories.items()}
    draw(Path(output) / "hopfield_recall.png", patterns, noisy, recalled, shares)
    overlaps = patterns @ patterns.T / patterns.shape[1] - np.eye(10)
    return {**shares, "noise": NOISE.tolist(), "largest_overlap": float(np.abs(overlaps).max())}


if __name__ == "__main__":
    measured = main()
    for name in MEMORIES:
        print(f"{name:15}", *(f"{share:5.2f}" for share in measured[name]))
    print("noise          ", *(f"{share:5.2f}" for share in measured["noise"]))
    print(f"largest overlap of two stored digits: {measured['largest_overlap']:.2f}")
