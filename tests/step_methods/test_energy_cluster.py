"""EnergyCluster: the same posterior as EnergyGibbs, where there are clusters."""

import numpy as np
import pymc as pm
import pytest
from field_models import ISING, LEVELS, SHAPE, Y, build

import pm_energy as pme
from pm_energy import Road
from pm_energy.step_methods import cluster
from pm_energy.testing import check_step

ALGORITHMS = ("swendsen-wang", "wolff")
POTTS = pme.Potts(3, lattice=SHAPE, coupling=0.6, field=[0.3, 0.0, -0.4])
HELD = np.where(np.eye(2, 3), 1.0, np.nan)


def hidden_ising():
    z = pme.Boltzmann("z", ISING)
    pm.Normal("y", 0.5 * z, 1.0, observed=Y)


def hidden_potts():
    z = pme.Boltzmann("z", POTTS, temperature=1.3)
    pm.Normal("y", LEVELS[z], 1.0, observed=Y)


def machine():
    pme.Boltzmann("z", pme.BoltzmannMachine(np.abs(np.subtract.outer(range(5), range(5))) / 5.0))


def partly_observed():
    z = pme.Boltzmann("z", pme.Ising(lattice=SHAPE, coupling=0.5), observed=HELD)
    pm.Normal("y", 0.5 * z, 1.0, observed=Y)


def batch():
    z = pme.Boltzmann("z", pme.Ising(lattice=(3,), coupling=0.7), shape=SHAPE)
    pm.Normal("y", z, 1.0, observed=Y)


def model_of(function):
    with pm.Model() as model:
        function()
    return model


@pytest.mark.parametrize(
    ("function", "algorithm"),
    [
        (hidden_ising, "swendsen-wang"),
        (hidden_ising, "wolff"),
        (hidden_potts, "swendsen-wang"),
        (hidden_potts, "wolff"),
        (machine, "swendsen-wang"),
        (partly_observed, "wolff"),
        (batch, "swendsen-wang"),
    ],
)
def test_clusters_leave_the_posterior_invariant(function, algorithm):
    model = model_of(function)
    step = pme.EnergyCluster(model.free_RVs, algorithm=algorithm, model=model)
    assert step.road is Road.KERNEL
    check_step(step, model)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_broken_clusters_are_seen(monkeypatch, algorithm):
    """Clusters that are grown without a look at the data."""

    def blind(form, domain, algorithm):
        sweep = cluster_sweeper(form, domain, algorithm)
        return lambda rng, x, tensors, weights, n: sweep(rng, x, tensors, None, n)

    cluster_sweeper = cluster.cluster_sweeper
    monkeypatch.setattr(cluster, "cluster_sweeper", blind)
    model = model_of(hidden_ising)
    step = pme.EnergyCluster(model.free_RVs, algorithm=algorithm, model=model)
    with pytest.raises(AssertionError, match="invariant"):
        check_step(step, model, starts=5000)


def test_clusters_cross_an_ordered_phase():
    """In zero field both signs are equally likely: clusters see it, single spins do not."""
    with pm.Model() as model:
        z = pme.Boltzmann("z", pme.Ising(lattice=(16, 16), coupling=0.6))
    means = {}
    for make in (pme.EnergyCluster, pme.EnergyGibbs):
        step = make([z], model=model)
        step.rng, point, signs = np.random.default_rng(1), model.initial_point(), []
        for _ in range(400):
            point, _ = step.step(point)
            signs.append(np.sign(point["z"].mean()))
        means[make] = np.mean(signs)
    # Swendsen-Wang draws the sign anew each time: 6 standard errors of 400 tosses
    assert abs(means[pme.EnergyCluster]) < 0.3
    assert means[pme.EnergyGibbs] == 1.0


def test_clusters_inside_a_run():
    with model_of(hidden_potts):
        trace = pm.sample(
            30, tune=10, chains=1, step=pme.EnergyCluster(), random_seed=1,
            progressbar=False, quiet=True,
        )  # fmt: skip
    stats = trace["sample_stats"]
    assert set(stats.data_vars) >= {"boltzmann_energy", "flip_rate", "road"}
    assert trace["posterior"]["z"].dtype == np.int8


@pytest.mark.parametrize(
    ("name", "why"),
    [("layer", "Layers"), ("total", "there are no cluster updates of z.*not site-wise")],
)
def test_fields_without_clusters(name, why):
    model = build(name)
    with pytest.raises(ValueError, match=why):
        pme.EnergyCluster([model["z"]], model=model)


def test_antiferromagnets_and_bad_arguments():
    with pm.Model():
        z = pme.Boltzmann("z", pme.Ising(lattice=SHAPE, coupling=-0.1))
        with pytest.raises(ValueError, match="couplings >= 0"):
            pme.EnergyCluster([z])
        with pytest.raises(ValueError, match="algorithm must be one of"):
            pme.EnergyCluster([z], algorithm="worm")
        with pytest.raises(ValueError, match="sweeps_per_draw"):
            pme.EnergyCluster([z], sweeps_per_draw=-1)
