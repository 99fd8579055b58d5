"""How sure can we be of the couplings of a Boltzmann machine, given a few hundred observations?

Eight spins, all pairs perhaps coupled, eight of the 28 really. With so few units log Z is a sum
over all states, exact and differentiable in the couplings, so NUTS samples their posterior. Its
intervals cover the true couplings as often as they should, and its mean errs less than maximum
likelihood. Pseudolikelihood in the place of the likelihood counts each pair twice, once for each of
its units: its intervals are too short by a factor of sqrt(2). Without log Z each coupling would
follow its pair's correlation to wherever the prior lets it go.
"""

from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm

import pm_energy as pme

N = 8
PAIRS = np.array(list(combinations(range(N), 2)))
PRIOR_SD = 0.5
STRONG = {(0, 1): 0.6, (1, 2): -0.5, (2, 3): 0.7, (3, 4): 0.5, (4, 5): -0.6, (5, 6): 0.6,
          (6, 7): 0.5, (0, 7): -0.5}  # fmt: skip
COUPLING = np.array([STRONG.get(tuple(pair), 0.0) for pair in PAIRS.tolist()])
FIELD = np.array([0.2, 0.0, -0.3, 0.0, 0.1, 0.0, -0.2, 0.0])


def pair_products(x):
    """Products of all pairs of spins (..., 8) -> (..., 28)."""
    return x[..., PAIRS[:, 0]] * x[..., PAIRS[:, 1]]


def maximum_likelihood(data):
    """Couplings of largest likelihood, by Newton's method on the sums over all states."""

    def features(x):
        return np.concatenate([pair_products(x), x], axis=-1).astype(float)

    every = features(2 * np.indices((2,) * N).reshape(N, -1).T - 1)
    goal, theta = features(data).mean(axis=0), np.zeros(every.shape[1])
    for _ in range(30):
        log_p = every @ theta
        p = np.exp(log_p - log_p.max())
        p /= p.sum()
        centred = every - p @ every
        theta += 0.7 * np.linalg.solve(centred.T @ (p[:, None] * centred), goal - p @ every)
    return theta[: len(PAIRS)]


def infer(data, log_partition, draws, tune, seed, progressbar):
    """Posterior of couplings and fields, and pair correlations of as many rows drawn from it."""
    with pm.Model():
        J = pm.Normal("J", 0, PRIOR_SD, shape=len(PAIRS))
        h = pm.Normal("h", 0, PRIOR_SD, shape=N)
        machine = pme.Ising(graph=PAIRS, coupling=J, field=h)
        pme.Boltzmann("x", machine, log_partition=log_partition, observed=data)
        options = {"random_seed": seed, "progressbar": progressbar}
        trace = pm.sample(draws, tune=tune, chains=2, compute_convergence_checks=False, **options)
        drawn = pm.sample_posterior_predictive(trace.isel(draw=slice(None, None, 5)), **options)
    x = drawn["posterior_predictive"]["x"].values
    correlations = pair_products(x).mean(axis=-2).reshape(-1, len(PAIRS))
    return trace["posterior"]["J"].values.reshape(-1, len(PAIRS)), correlations


def rms(x):
    return float(np.sqrt(np.mean(x**2)))


def main(output="demo_output", rows=300, draws=1000, tune=1000, seed=2, progressbar=True):
    """Draw data from a known machine, infer its couplings in three ways, plot, and compare."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    truth = pme.Ising(graph=PAIRS, coupling=COUPLING, field=FIELD)
    data = pme.exact.draw(truth, np.random.default_rng(seed), rows)
    likeliest, observed = maximum_likelihood(data), pair_products(data).mean(axis=0)
    result = {
        "rms error": {"maximum likelihood": rms(likeliest - COUPLING)},
        "posterior sd": {},
        "covered by 90% intervals": {},
        # each log p is then linear in J: the posterior is normal, with this mean and the prior's sd
        "largest coupling without log Z": float(PRIOR_SD**2 * rows * np.abs(observed).max()),
    }
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(14, 4.6), width_ratios=(2, 1), layout="constrained"
    )
    place = np.argsort(np.argsort(COUPLING, kind="stable"))
    left.plot(place, COUPLING, "k_", markersize=18, label="truth")
    left.plot(place, likeliest, "kx", markersize=5, zorder=3, label="maximum likelihood")
    for i, name in enumerate(("exact", "pseudolikelihood")):
        J, correlations = infer(data, name, draws, tune, seed, progressbar)
        low, high = np.quantile(J, [0.05, 0.95], axis=0)
        result["rms error"][name] = rms(J.mean(axis=0) - COUPLING)
        result["posterior sd"][name] = float(J.std(axis=0).mean())
        inside = (low <= COUPLING) & (high >= COUPLING)
        result["covered by 90% intervals"][name] = float(inside.mean())
        left.vlines(place + 0.5 * i - 0.25, low, high, color=f"C{i}", linewidth=3, label=name)
        if name == "exact":
            low, high = np.quantile(correlations, [0.05, 0.95], axis=0)
            inside = (low <= observed) & (high >= observed)
            result["correlations inside predicted 90%"] = float(inside.mean())
            right.vlines(observed, low, high, color="C0", linewidth=3, alpha=0.6)
            right.axline((0, 0), slope=1, color="0.5", linewidth=1)
    left.set(title="couplings, 90% intervals", xlabel="pair, by true coupling", ylabel="J")
    left.legend(frameon=False)
    right.set(title="pair correlations, predicted 90%", xlabel="in the data", ylabel="in new data")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(output / "bayesian_boltzmann_machine.png", dpi=110)
    plt.close(figure)
    return result


if __name__ == "__main__":
    print(main())
