"""Models whose evidence is known, and how far apart their modes are."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

import pm_energy as pme


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
