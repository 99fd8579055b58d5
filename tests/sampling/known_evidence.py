"""Models whose evidence is known, and how far apart their modes are."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

import pm_energy as pme

GALAXIES = np.array(
    """9172 9350 9483 9558 9775 10227 10406 16084 16170 18419 18552 18600 18927 19052 19070 19330
    19343 19349 19440 19473 19529 19541 19547 19663 19846 19856 19863 19914 19918 19973 19989 20166
    20175 20179 20196 20215 20221 20415 20629 20795 20821 20846 20875 20986 21137 21492 21701 21814
    21921 21960 22185 22209 22242 22249 22314 22374 22495 22746 22747 22888 22914 23206 23241 23263
    23484 23538 23542 23666 23706 23711 24129 24285 24289 24366 24717 24990 25633 26960 26995 32065
    32789 34279""".split(),
    dtype=float,
)  # km/s; Roeder (1990), JASA 85, 617-624


def eggbox():
    with pm.Model() as model:
        x = pm.Uniform("x", 0, 10 * np.pi, shape=2)
        pm.Potential("likelihood", (2.0 + pt.cos(0.5 * x[0]) * pt.cos(0.5 * x[1])) ** 5)
    return model, 235.8559


def shells(n):
    """Of an energy of ours: its box is the prior."""
    energy = pme.GaussianShells(n)
    with pm.Model() as model:
        x = pm.Uniform("x", -6, 6, shape=n)
        pm.Potential("likelihood", n * np.log(12.0) - energy(x))
    return model, float(energy.log_partition().eval())


def two_modes(n=20, apart=10.0):
    """Weights 1/3 and 2/3, ``apart`` standard deviations from each other."""
    centre = 0.5 * apart / np.sqrt(n)
    with pm.Model() as model:
        x = pm.Uniform("x", -10, 10, shape=n)
        minus = np.log(1 / 3) - 0.5 * ((x + centre) ** 2).sum()
        plus = np.log(2 / 3) - 0.5 * ((x - centre) ** 2).sum()
        pm.Potential("likelihood", pt.logaddexp(minus, plus) - 0.5 * n * np.log(2 * np.pi))
    return model, -n * np.log(20.0)


def regression(degree=2, n=20):
    """Polynomial regression with normal priors and known noise."""
    t = np.linspace(-1, 1, n)
    y = 1.0 - 2.0 * t + 1.5 * t**2 + 0.3 * np.random.default_rng(3).normal(size=n)
    design = np.vander(t, degree + 1, increasing=True)
    with pm.Model() as model:
        weights = pm.Normal("weights", 0, 2, shape=degree + 1)
        pm.Normal("y", pt.dot(design, weights), 0.3, observed=y)
    cov = 4.0 * design @ design.T + 0.09 * np.eye(n)
    return model, float(pm.logp(pm.MvNormal.dist(np.zeros(n), cov), y).eval())


def galaxies(k=3):
    """Normal mixture with labels that may be exchanged: k! equal modes."""
    with pm.Model() as model:
        mean = pm.Uniform("mean", 5, 40, shape=k)
        log_sd = pm.Uniform("log_sd", -1.5, 2, shape=k)
        weight = pm.Dirichlet("weight", np.ones(k))
        pm.NormalMixture("v", weight, mean, pm.math.exp(log_sd), observed=GALAXIES / 1000)
    return model, None
