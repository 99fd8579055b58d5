"""How many patterns does an associative memory hold?

A Hopfield network with Hebbian couplings forgets all at once, near .138 random patterns a unit, the
sharper the larger it is; other learning rules go further. A modern Hopfield network in 20
dimensions holds thousands, if its inverse temperature is high enough: at beta = 1 it answers with
the mean of all patterns of unit length, whatever it is asked.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.progress import track
from scipy.optimize import brentq
from scipy.special import erf

from pm_energy.estimators import HopfieldNetwork, ModernHopfield

LOADS = (0.02, 0.05, 0.08, 0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, 0.2, 0.22, 0.25)
RULES = ("hebbian", "storkey", "pseudo-inverse")
RULE_LOADS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
COUNTS = (10, 30, 100, 300, 1000, 3000, 5000)
BETAS = (1.0, 2.0, 4.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 20.0)
DIM = 20
NEAR = 0.1  # what counts as the same point


def theory():
    """Loads and overlaps of retrieval in an infinite network, up to where it ends.

    References
    ----------
    .. [1] Amit, Gutfreund & Sompolinsky (1985), Physical Review Letters 55, 1530-1533.
    """
    y = np.linspace(0.5, 5.0, 10_000)  # signal over noise; retrieval is the branch of large y
    loads = (erf(y) / y - 2 / np.sqrt(np.pi) * np.exp(-(y**2))) ** 2 / 2
    branch = slice(loads.argmax(), None)
    return loads[branch], erf(y[branch])


def overlap(rng, n, load, rule="hebbian", noise=0.0, starts=50):
    """Mean overlap of stored patterns with what is recalled from (noisy) copies of them."""
    patterns = rng.choice([-1.0, 1.0], size=(max(1, round(load * n)), n))
    memory = HopfieldNetwork(rule, order="random", random_state=int(rng.integers(2**31)))
    stored = patterns[:starts]
    copies = np.where(rng.random(stored.shape) < noise, -stored, stored)
    return float((memory.fit(patterns).transform(copies) * stored).mean())


def unit_rows(rng, k):
    x = rng.standard_normal((k, DIM))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def retrieval(rng, k, beta, starts=200):
    """Shares of noisy patterns from which the pattern, and the mean of all, is retrieved."""
    patterns = unit_rows(rng, k)
    stored = patterns[:starts]
    noisy = stored + 0.2 * unit_rows(rng, len(stored))
    states = ModernHopfield(beta=beta, tol=1e-4).fit(patterns).transform(noisy)
    there = np.linalg.norm(states - stored, axis=1) < NEAR
    at_the_mean = np.linalg.norm(states - patterns.mean(axis=0), axis=1) < NEAR
    return float(there.mean()), float(at_the_mean.mean())


def needed_beta(rng, k, starts=200):
    """Beta at which the others have a tenth of a typical pattern's own weight at the pattern."""
    patterns = unit_rows(rng, k)
    gaps = 1 - patterns[:starts] @ patterns.T

    def excess(beta):
        others = np.exp(-beta * gaps).sum(axis=1) - 1
        return np.median(others) - NEAR

    return float(brentq(excess, 1e-3, 1e4))


def first_beta(shares):
    """The smallest of ``BETAS`` at which half of the patterns are retrieved, else NaN."""
    return next(
        (beta for beta, (there, _) in zip(BETAS, shares, strict=True) if there >= 0.5), np.nan
    )


def draw(path, hebbian, loads, rules, modern, needed):
    figure, axes = plt.subplots(2, 2, figsize=(10.5, 7.5), layout="constrained")
    ax = axes[0, 0]
    for n, values in hebbian.items():
        ax.plot(loads, values, "o-", ms=3, label=f"{n} units")
    ax.plot(*theory(), "k--", lw=1, label="infinitely many")
    ax.axvline(theory()[0].max(), color="0.8", zorder=0)
    ax.set(xlim=(0, max(loads)), ylim=(0, 1.02), title="Hebbian couplings, from the pattern itself")
    ax.set(xlabel="patterns a unit", ylabel="overlap of the recalled")
    ax = axes[0, 1]
    for rule, marker in zip(RULES, "ov^", strict=True):
        ax.plot(RULE_LOADS, rules[rule], marker=marker, ms=4, label=rule)
    ax.set(xlim=(0, 1), ylim=(0, 1.02), title="three learning rules, 5% of units turned")
    ax.set(xlabel="patterns a unit", ylabel="overlap of the recalled")
    ax = axes[1, 0]
    shown = list(modern.items())[::2]
    shades = plt.cm.viridis(np.linspace(0.85, 0, len(shown)))
    for (k, shares), shade in zip(shown, shades, strict=True):
        there, at_the_mean = np.transpose(shares)
        ax.plot(BETAS, there, "o-", ms=4, color=shade, label=f"{k} patterns")
        ax.plot(BETAS, at_the_mean, ":", color=shade)
    ax.plot([], [], ":", color="0.4", label="ends at the mean of all")
    ax.set(xlim=(0, 1.4 * max(BETAS)), xlabel="beta", ylabel="share retrieved")
    ax.set_title(f"modern network, {DIM} dimensions, unit length")
    ax = axes[1, 1]
    half = [first_beta(shares) for shares in modern.values()]
    ax.plot(list(modern), half, "o", label="half of the patterns retrieved (measured)")
    ax.plot(list(needed), list(needed.values()), "k-", lw=1, label="others weigh .1 at a pattern")
    ax.set(xscale="log", ylim=(0, None), xlabel="patterns", ylabel="beta", title="beta needed")
    for ax in axes.flat:
        ax.legend(frameon=False, fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(
    output="demo_output",
    progressbar=True,
    sizes=(100, 400, 1600),
    loads=LOADS,
    rule_size=300,
    counts=COUNTS,
):
    """Measure what memories hold, save the figure, and return what was measured.

    Parameters
    ----------
    sizes : tuple of int
        Units of the Hebbian networks.
    loads : tuple of float
        Patterns a unit.
    rule_size : int
        Units where learning rules are compared.
    counts : tuple of int
        Patterns in the modern network.

    Returns
    -------
    dict
        "critical load" of an infinite network; "hebbian", overlaps at the loads for each size;
        "rules", overlaps at ``RULE_LOADS`` for each rule; "modern", for each count the shares of
        patterns retrieved and of ends at the mean at each of ``BETAS``; "needed beta" for each
        count.
    """
    rng = np.random.default_rng(1)
    hebbian = {}
    for n in track(sizes, "Hebbian networks", disable=not progressbar):
        repeats = max(1, min(10, 2000 // n))  # small networks differ more
        values = [[overlap(rng, n, load) for _ in range(repeats)] for load in loads]
        hebbian[n] = np.mean(values, axis=1).tolist()
    rules = {
        rule: [overlap(rng, rule_size, load, rule, noise=0.05) for load in RULE_LOADS]
        for rule in track(RULES, "learning rules", disable=not progressbar)
    }
    modern = {
        k: [retrieval(rng, k, beta) for beta in BETAS]
        for k in track(counts, "modern networks", disable=not progressbar)
    }
    needed = {k: needed_beta(rng, k) for k in counts}
    draw(Path(output) / "hopfield_capacity.png", hebbian, loads, rules, modern, needed)
    return {
        "critical load": float(theory()[0].max()),
        "hebbian": hebbian,
        "rules": rules,
        "modern": modern,
        "needed beta": needed,
    }


if __name__ == "__main__":
    measured = main()
    print(f"critical load of an infinite network: {measured['critical load']:.4f}")
    print("Hebbian, patterns a unit ", *(f"{load:5.2f}" for load in LOADS))
    for n, values in measured["hebbian"].items():
        print(f"  overlap, {n:5} units   ", *(f"{value:5.2f}" for value in values))
    print("rules, patterns a unit   ", *(f"{load:5.2f}" for load in RULE_LOADS))
    for rule, values in measured["rules"].items():
        print(f"  overlap, {rule:15}", *(f"{value:5.2f}" for value in values))
    print("modern, beta             ", *(f"{beta:5g}" for beta in BETAS))
    for k, shares in measured["modern"].items():
        print(f"  retrieved, {k:5} patterns", *(f"{share:5.2f}" for share, _ in shares))
        print("     or the mean of all  ", *(f"{share:5.2f}" for _, share in shares))
        print(f"  beta needed               {measured['needed beta'][k]:.1f}")
