"""The coupling of a hidden Ising torus, inferred by NUTS while Gibbs sweeps sample the field.

If truth and data are drawn from the model, the truth is one more draw from the posterior: its rank
among posterior draws is uniform (Talts, Betancourt, Simpson, Vehtari & Gelman 2018), and a chain
that draws new data at every step has the prior as its distribution (Geweke 2004). A log Z that is
left out or a few per cent off must break both.
"""

import numpy as np
import pymc as pm
import pytest
from pymc.step_methods.compound import BlockedStep
from scipy.stats import chisquare

import pm_energy as pme
from pm_energy.diagnostics import function_of_means
from pm_energy.log_partition import torus

LOW, HIGH = 0.1, 0.4  # of the coupling: below the critical one, where exact forward draws are fast
NOISE, SPREAD = 0.6, 0.2


def hidden_torus(size, factor, picture=None):
    """Add unknown coupling, field, unknown noise and a picture of the field to the model."""
    J = pm.Uniform("J", LOW, HIGH)
    log_partition = None if factor == 1 else (lambda energy: factor * torus(energy))
    energy = pme.Ising(lattice=(size, size), coupling=J)
    z = pme.Boltzmann("z", energy, log_partition=log_partition)
    noise = pm.LogNormal("noise", np.log(NOISE), SPREAD)
    return J, z, noise, pm.Normal("picture", z, noise, observed=picture)


def sample(draws, step, seed, **kwargs):
    return pm.sample(
        draws,
        step=step,
        random_seed=seed,
        cores=1,
        progressbar=False,
        quiet=True,
        compute_convergence_checks=False,
        **kwargs,
    )


class NewPicture(BlockedStep):
    """Draws the picture from its likelihood."""

    def __init__(self, picture, seed):
        self.vars = [pm.modelcontext(None).rvs_to_values[picture]]
        self.rng = np.random.default_rng(seed)

    def step(self, point):
        noise = np.exp(point["noise_log__"])
        return {**point, "picture": self.rng.normal(point["z"], noise)}, []


@pytest.mark.parametrize(("factor", "is_right"), [(1.0, True), (1.2, False)])
def test_with_a_new_picture_at_every_step_the_posterior_is_the_prior(factor, is_right):
    with pm.Model():
        J, z, noise, picture = hidden_torus(8, factor)
        step = [pm.NUTS([J, noise]), pme.EnergyGibbs([z]), NewPicture(picture, seed=1)]
        posterior = sample(5000, step, seed=2, tune=500, chains=2)["posterior"]
    place = (posterior["J"] - LOW) / (HIGH - LOW)
    score = (np.log(posterior["noise"]) - np.log(NOISE)) / SPREAD
    moments = [(place, 1 / 2), ((place - 1 / 2) ** 2, 1 / 12), (score, 0), (score**2, 1)]
    fits = [(function_of_means(lambda mean: mean, series), exact) for series, exact in moments]
    deviations = [abs(float((fit["value"] - exact) / fit["mcse"])) for fit, exact in fits]
    assert (max(deviations) < 5) == is_right  # of four: false alarm 2e-6


def ranks(size, n_pictures, factor, draws=99, thin=10, seed=1):
    """Ranks of the true coupling, noise and field energy among posterior draws, (3, pictures)."""
    with pm.Model():
        names = ["J", "noise", "z", "picture"]
        variables = dict(zip(["J", "z", "noise", "picture"], hidden_torus(size, 1.0), strict=True))
        forward = pm.draw([variables[name] for name in names], draws=n_pictures, random_seed=seed)
    out = np.empty((3, n_pictures), dtype=int)
    with pm.Model():
        data = pm.Data("data", forward[3][0])
        J, z, noise, _ = hidden_torus(size, factor, data)
        nuts = pm.NUTS([J, noise])  # compiled once
        for k, (coupling, spread, field, picture) in enumerate(zip(*forward, strict=True)):
            pm.set_data({"data": picture})
            trace = sample(draws * thin, [nuts, pme.EnergyGibbs([z])], seed + k, tune=500, chains=1)
            posterior = trace["posterior"].isel(chain=0, draw=slice(thin - 1, None, thin))
            fields = posterior["z"].values
            agreement = [bonds(x) for x in fields]
            out[:, k] = [
                (posterior["J"].values < coupling).sum(),
                (posterior["noise"].values < spread).sum(),
                rank_with_ties(agreement, bonds(field), seed + k),
            ]
    return out


def bonds(x):
    return sum(int((x * np.roll(x, 1, axis)).sum()) for axis in (0, 1))


def rank_with_ties(values, truth, seed):
    """Number of values below the truth, a random share of those equal to it included."""
    ties = np.random.default_rng(seed).integers(np.equal(values, truth).sum() + 1)
    return np.less(values, truth).sum() + ties


def p_values(ranks, n_ranks, n_bins):
    counts = [np.bincount(row * n_bins // n_ranks, minlength=n_bins) for row in ranks]
    return [chisquare(count).pvalue for count in counts]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factor", "n_pictures", "is_right"), [(1.0, 400, True), (0.0, 100, False), (1.05, 100, False)]
)
def test_true_couplings_of_64_by_64_tori_rank_uniformly(factor, n_pictures, is_right):
    found = p_values(ranks(64, n_pictures, factor), n_ranks=100, n_bins=n_pictures // 20)
    print(f"factor {factor}: p-values of coupling, noise, field energy {np.round(found, 9)}")
    assert (min(found) > 1e-6) == is_right  # of three statistics: false alarm 3e-6
