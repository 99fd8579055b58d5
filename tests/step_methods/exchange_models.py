"""Models whose parameters the exchange algorithm samples; each can be built with log Z, too."""

import numpy as np
import pymc as pm

import pm_energy as pme

QUIET = {"progressbar": False, "quiet": True, "compute_convergence_checks": False}
RING = [[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]]
SIGNS = np.array([1.0, -1.0, 1.0, 1.0, -1.0])
UP = np.array([1, 1, 1, -1])


def coupling(log_partition):
    J = pm.Normal("J", 0.3, 0.7)
    energy = pme.Ising(graph=RING, coupling=J)
    pme.Boltzmann("x", energy, log_partition=log_partition, observed=UP)


def coupling_and_field(log_partition):
    """A parameter with a transform, and one that another observation tells of."""
    J, h = pm.HalfNormal("J", 0.8), pm.Normal("h", 0.0, 0.5)
    pm.Normal("y", h + J, 1.0, observed=0.9)
    energy = pme.Ising(graph=RING, coupling=pm.Deterministic("bonds", J * SIGNS), field=h)
    pme.Boltzmann("x", energy, log_partition=log_partition, observed=[UP, -UP, np.ones(4)])


def potts(log_partition):
    energy = pme.Potts(3, graph=RING, coupling=pm.Normal("J", 0.5, 1.0))
    pme.Boltzmann("x", energy, log_partition=log_partition, observed=[0, 0, 0, 2], temperature=0.8)


def latent(log_partition):
    J = pm.HalfNormal("J", 1.0)
    z = pme.Boltzmann("z", pme.Ising(graph=RING[:3], coupling=J), log_partition=log_partition)
    pm.Normal("y", z, 1.0, observed=[0.3, 1.5, -0.2, 0.1])


def partly_observed(log_partition):
    energy = pme.Ising(graph=RING, coupling=pm.Normal("J", 0.5, 0.8), field=0.2)
    states = [1.0, np.nan, 1.0, np.nan]
    pme.Boltzmann("x", energy, log_partition=log_partition, observed=states)


MODELS = {  # with the ranges of the unconstrained parameters
    "coupling": (coupling, {"J": (-3.0, 3.6)}),
    "coupling and field": (coupling_and_field, {"J_log__": (-6.0, 1.2), "h": (-1.8, 2.2)}),
    "Potts": (potts, {"J": (-4.0, 5.0)}),
    "latent": (latent, {"J_log__": (-8.0, 1.6)}),
    "partly observed": (partly_observed, {"J": (-3.0, 4.2)}),
}


def build(name, log_partition="exchange"):
    with pm.Model() as model:
        MODELS[name][0](log_partition)
    return model


def mean_and_error(trace, name, n_batches=20):
    """Posterior mean and its standard error by batch means."""
    x = trace["posterior"][name].values
    batches = x.reshape(x.shape[0] * n_batches, -1, *x.shape[2:]).mean(axis=1)
    return x.mean(axis=(0, 1)), batches.std(axis=0, ddof=1) / np.sqrt(len(batches))


def sample(model, draws=1000, **kwargs):
    with model:
        settings = {"chains": 2, "cores": 1, "tune": 500, "random_seed": 3}
        return pm.sample(draws, **(QUIET | settings | kwargs))


def torus(log_partition):
    size = (8, 8)
    field = pme.Boltzmann.dist(pme.Ising(lattice=size, coupling=0.35))
    with pm.Model() as model:
        J = pm.HalfNormal("J", 0.5)
        energy = pme.Ising(lattice=size, coupling=J)
        seen = pm.draw(field, random_seed=1)
        pme.Boltzmann("x", energy, log_partition=log_partition, observed=seen)
    return model


def glass(log_partition):
    """A scale of random +-J bonds on a random graph, and a vector of two fields."""
    edges = np.array([(i, (i + k) % 12) for i in range(12) for k in (1, 3)])
    signs = np.random.default_rng(8).permutation(np.repeat([1.0, -1.0], 12))
    kind = np.arange(12) % 2
    with pm.Model() as model:
        J, h = pm.HalfNormal("J", 1.0), pm.Normal("h", 0.0, 0.5, shape=2)
        energy = pme.Ising(graph=edges, coupling=J * signs, field=h[kind])
        seen = pme.exact.draw(pme.Ising(0.6 * signs, 0.2, graph=edges), np.random.default_rng(2), 4)
        pme.Boltzmann("x", energy, log_partition=log_partition, observed=seen)
    return model
