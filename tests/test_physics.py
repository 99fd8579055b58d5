"""Mean energies and magnetisations that theory knows, through ``pm.sample``.

Errors count autocorrelation, by ArviZ's effective sample size. A deviation of four of them has a
probability of 6e-5; under a new seed the 27 right comparisons below would all hold with a
probability of .998; the seeds are fixed. Runs at a coupling that is 2 to 5 % off must fail.
"""

import numpy as np
import pymc as pm
import pytest

import pm_energy as pme
from pm_energy.diagnostics import magnetisation, mean_energy
from pm_energy.exact.kaufman import (
    CRITICAL_COUPLING,
    spontaneous_magnetisation,
    torus_energy_per_site,
)

POTTS_CRITICAL = np.log1p(np.sqrt(3))  # of the infinite lattice, q = 3


def sample(energy, coupling, method, sweeps, *, draws=1000, chains=4, seed=1, **kwargs):
    """Draws of ``energy(coupling)`` alone in a model; a fifth as many are discarded first."""
    with pm.Model():
        # as data, so that one compiled model serves all couplings
        z = pme.Boltzmann("z", energy(pm.Data("K", coupling)), **kwargs)
        return pm.sample(
            draws,
            tune=draws // 5,
            chains=chains,
            cores=1,
            step=method([z], sweeps_per_draw=sweeps),
            random_seed=seed,
            progressbar=False,
            quiet=True,
            compute_convergence_checks=False,
        )


def torus(*sides):
    return lambda coupling: pme.Ising(lattice=sides, coupling=coupling)


def deviation(estimate, exact):
    """Difference in standard errors."""
    return float(((estimate["value"] - exact) / estimate["mcse"]).squeeze())


@pytest.mark.parametrize("coupling", [0.3, 0.4, CRITICAL_COUPLING, 0.5])
@pytest.mark.parametrize(
    ("size", "method", "sweeps", "misfit", "is_right"),
    [
        (16, pme.EnergyGibbs, 40, 1.0, True),
        (32, pme.EnergyGibbs, 40, 1.0, True),
        (16, pme.EnergyCluster, 3, 1.0, True),
        (32, pme.EnergyCluster, 3, 1.0, True),
        (32, pme.EnergyGibbs, 40, 1.02, False),
    ],
)
def test_energy_of_a_torus_is_kaufmans(coupling, size, method, sweeps, misfit, is_right):
    trace = sample(torus(size, size), misfit * coupling, method, sweeps)
    per_site = mean_energy(trace) / (misfit * coupling * size**2)
    exact = torus_energy_per_site((size, size), coupling)
    assert (abs(deviation(per_site, exact)) < 4) == is_right


@pytest.mark.parametrize("coupling", [-0.4, -CRITICAL_COUPLING])
def test_an_antiferromagnet_on_an_odd_torus_has_kaufmans_energy(coupling):
    trace = sample(torus(9, 12), coupling, pme.EnergyGibbs, 40)
    exact = torus_energy_per_site((9, 12), coupling)
    assert abs(deviation(mean_energy(trace) / (coupling * 108), exact)) < 4


def test_temperature_divides_the_coupling():
    trace = sample(torus(16, 16), 1.0, pme.EnergyGibbs, 40, temperature=2.5)
    exact = torus_energy_per_site((16, 16), 1 / 2.5)
    assert abs(deviation(2.5 * mean_energy(trace) / 256, exact)) < 4


@pytest.mark.parametrize(("method", "sweeps"), [(pme.EnergyGibbs, 40), (pme.EnergyCluster, 3)])
@pytest.mark.parametrize(("coupling", "is_right"), [(0.5, True), (0.49, False)])
def test_magnetisation_below_the_critical_temperature_is_yangs(method, sweeps, coupling, is_right):
    # The two phases of 32 x 32 spins are exp(-15) apart: |m| has no visible size correction.
    trace = sample(torus(32, 32), coupling, method, sweeps)
    found = magnetisation(trace, "z").sel(quantity="abs_magnetisation")
    assert (abs(deviation(found, spontaneous_magnetisation(0.5))) < 4) == is_right


def potts_torus_energy(side, coupling, q=3):
    """Mean energy over temperature of a torus of ``side`` squared sites, by transfer matrix.

    ``-K d log Z / dK`` by a complex step: exact to rounding.
    """
    rows = np.indices((q,) * side).reshape(side, -1)
    within = (rows == np.roll(rows, 1, axis=0)).sum(axis=0)
    between = (rows[:, :, None] == rows[:, None, :]).sum(axis=0)
    step = 1e-30j
    transfer = np.exp((coupling + step) * (between + within))
    z = np.trace(np.linalg.matrix_power(transfer, side))
    return -coupling * (z.imag / z.real) / abs(step)


def test_the_transfer_matrix_agrees_with_enumeration():
    exact = pme.exact.moments(pme.Potts(3, lattice=(3, 3), coupling=0.8)).energy
    assert potts_torus_energy(3, 0.8) == pytest.approx(exact, rel=1e-12)


def suwa_todo(vars, **kwargs):
    return pme.EnergyGibbs(vars, update="suwa-todo", **kwargs)


@pytest.mark.parametrize(
    ("coupling", "method", "sweeps", "misfit", "is_right"),
    [
        (0.7, pme.EnergyGibbs, 20, 1.0, True),
        (POTTS_CRITICAL, pme.EnergyGibbs, 20, 1.0, True),
        (1.2, pme.EnergyGibbs, 20, 1.0, True),
        (POTTS_CRITICAL, suwa_todo, 20, 1.0, True),
        (0.7, pme.EnergyCluster, 5, 1.0, True),
        (POTTS_CRITICAL, pme.EnergyCluster, 5, 1.0, True),
        (POTTS_CRITICAL, pme.EnergyGibbs, 20, 1.05, False),
    ],
)
def test_energy_of_a_small_potts_torus(coupling, method, sweeps, misfit, is_right):
    trace = sample(
        lambda k: pme.Potts(3, lattice=(6, 6), coupling=k), misfit * coupling, method, sweeps
    )
    found = mean_energy(trace) / misfit
    assert (abs(deviation(found, potts_torus_energy(6, coupling))) < 4) == is_right


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "method", "sweeps"), [(64, pme.EnergyCluster, 2), (32, pme.EnergyGibbs, 20)]
)
@pytest.mark.parametrize(("misfit", "is_right"), [(1.0, True), (1.004, False)])
def test_means_of_independent_chains_are_kaufmans_at_criticality(
    size, method, sweeps, misfit, is_right
):
    # Errors from the spread of 100 chains: no estimate of autocorrelation enters.
    coupling = misfit * CRITICAL_COUPLING
    trace = sample(torus(size, size), coupling, method, sweeps, chains=100)
    means = trace["sample_stats"]["boltzmann_energy"].mean("draw").values / (coupling * size**2)
    exact = torus_energy_per_site((size, size), CRITICAL_COUPLING)
    t = (means.mean() - exact) / (means.std(ddof=1) / np.sqrt(len(means)))
    assert (abs(t) < 4) == is_right
