"""How many terms has the polynomial? Log evidence by five methods, where the truth is known.

Polynomials of degree 0 to 4 with normal coefficients are fitted to noisy points of a parabola. The
evidence of each has a closed form, and every method must find it within its error bar; the largest
names the degree.
"""

import logging
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from rich.progress import track

import pm_energy as pme

NOISE, PRIOR = 0.3, 2.0


def points(n=20, seed=3):
    """Noisy points of a parabola."""
    t = np.linspace(-1, 1, n)
    rng = np.random.default_rng(seed)
    return t, 1.0 - 2.0 * t + 1.5 * t**2 + NOISE * rng.normal(size=n)


def polynomial(t, y, degree):
    """The model, and its log evidence in closed form."""
    design = np.vander(t, degree + 1, increasing=True)
    with pm.Model() as model:
        coefficients = pm.Normal("coefficients", 0, PRIOR, shape=degree + 1)
        pm.Normal("y", pm.math.dot(design, coefficients), NOISE, observed=y)
    covariance = PRIOR**2 * design @ design.T + NOISE**2 * np.eye(len(y))
    exact = pm.logp(pm.MvNormal.dist(np.zeros(len(y)), covariance), y).eval()
    return model, float(exact)


def estimate(model, draws):
    """Log evidence by every method, and the tempered run."""
    options = {"model": model, "random_seed": 1, "progressbar": False}
    tempered = pme.sample_parallel_tempering(draws, draws // 2, chains=2, **options)
    table = pme.evidence_table(tempered)
    rows = (table.sel(estimator=name) for name in table["estimator"].values)
    found = {str(row["estimator"].values): row for row in rows}
    population = pme.sample_population_annealing(draws, chains=2, **options)
    found["population annealing"] = pme.log_evidence(population)
    found["annealed importance sampling"] = pme.log_evidence(pme.ais(particles=draws, **options))
    return found, tempered


def plot(degrees, exact, found, tempered, path):
    """Estimates minus truth for each method, the evidence of each degree, and one path."""
    fig, axes = plt.subplots(2, 2, figsize=(12, 8), layout="constrained")
    best = int(np.argmax(exact))
    for i, result in enumerate(found[best].values()):
        gap, error = float(result.value) - exact[best], 2 * float(result.mcse)
        axes[0, 0].errorbar(gap, i, xerr=error, fmt="o", capsize=3)
    axes[0, 0].axvline(0, color="k", lw=1, ls=":")
    axes[0, 0].set_yticks(range(len(found[best])), list(found[best]))
    axes[0, 0].set(
        xlabel="log evidence minus truth (bars: 2 errors)", title=f"degree {degrees[best]}"
    )
    axes[0, 1].plot(degrees, exact, "k_", ms=20, label="exact")
    axes[0, 1].plot(degrees, [trusted(table) for table in found], "o", label="MBAR")
    axes[0, 1].set(xlabel="degree", ylabel="log evidence", title="which polynomial?")
    axes[0, 1].set_xticks(degrees)
    axes[0, 1].legend()
    pme.plot_energy_histograms(tempered, ax=axes[1])
    fig.savefig(path, dpi=120)
    plt.close(fig)


def trusted(table):
    """The estimate to trust first: from all levels at once."""
    return float(table["mbar"].value)


def main(output="demo_output", degrees=(0, 1, 2, 3, 4), draws=1000, progressbar=True):
    """Estimate the evidence of each degree, plot, and return how far from the truth it is."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    t, y = points()
    exact, found, runs = [], [], []
    for degree in track(degrees, "degrees", disable=not progressbar):
        model, truth = polynomial(t, y, degree)
        table, tempered = estimate(model, draws)
        exact.append(truth)
        found.append(table)
        runs.append(tempered)
    plot(degrees, exact, found, runs[int(np.argmax(exact))], output / "evidence.png")
    errors = {
        name: max(
            abs(float(table[name].value) - truth) / float(table[name].mcse)
            for table, truth in zip(found, exact, strict=True)
        )
        for name in found[0]
    }
    return {
        "degree": degrees[int(np.argmax([trusted(table) for table in found]))],
        "standard errors from the truth": errors,
    }


if __name__ == "__main__":
    logging.getLogger("pymc").setLevel(logging.WARNING)
    for name, value in main().items():
        print(f"{name}: {value}")
