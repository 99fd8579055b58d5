"""Models whose posteriors have several modes, or everything at once."""

import numpy as np
import pymc as pm

import pm_energy as pme


def two_modes():
    """x is near 3 or near -3."""
    with pm.Model() as model:
        x = pm.Normal("x", 0, 5)
        pm.Deterministic("square", x**2)
        pm.Normal("y", x**2, 1, observed=9.0)
    return model


def conjugate():
    """Normal mean with a normal prior: the evidence is known."""
    y = np.array([1.0, 2.0, 0.5])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, shape=1)
        pm.Normal("y", mu, 1, observed=y)
    cov = np.eye(3) + 4.0
    sign_log = np.linalg.slogdet(cov)[1]
    log_evidence = -0.5 * (3 * np.log(2 * np.pi) + sign_log + y @ np.linalg.solve(cov, y))
    return model, log_evidence


def everything(n=6):
    """Hierarchical and non-centred, with an indicator and a Boltzmann field."""
    rng = np.random.default_rng(0)
    coords = {"row": range(n), "col": range(n), "group": range(3)}
    with pm.Model(coords=coords) as model:
        mu = pm.Normal("mu", 0, 1)
        sd = pm.HalfNormal("sd", 1)
        z = pm.Normal("z", 0, 1, dims="group")
        theta = pm.Deterministic("theta", mu + sd * z, dims="group")
        shifted = pm.Bernoulli("shifted", 0.5)
        field = pme.Boltzmann("field", pme.Ising(lattice=(n, n), coupling=0.3), dims=("row", "col"))
        scale = pm.HalfNormal("scale", 1)
        pm.Normal("groups", theta, 1, observed=np.array([1.0, 2.0, 0.0]), dims="group")
        pm.Normal("pixels", scale * field + shifted, 1, observed=rng.normal(size=(n, n)))
    return model
