"""Annealing finds ground states, in every coding and unit, and says what it found."""

import logging
import sys
import types

import joblib
import numpy as np
import pytest
import xarray as xr
from energy_cases import ALL, EACH_KIND

import pm_energy as pme
from pm_energy import exact
from pm_energy.energy import single_block
from pm_energy.sampling.anneal_result import Annealed
from pm_energy.sampling.annealing import anneal
from pm_energy.walkers import moves as moves_module


def quiet(energy, **kwargs):
    return anneal(energy, progressbar=False, **{"random_seed": 1} | kwargs)


def ground_energy(energy):
    states = exact.enumeration.all_states(single_block(energy))
    return pme.energy_values(energy, states).min()


def spin_glass(n, seed):
    rng = np.random.default_rng(seed)
    coupling = np.triu(rng.normal(size=(n, n)), 1)
    return pme.Ising(coupling + coupling.T, rng.normal(size=n))


def single_changes(energy, state):
    """Energies of all states that differ from a state in one unit."""
    values = single_block(energy).domain.states
    rows = np.tile(state, (state.size * len(values), *[1] * state.ndim))
    flat = rows.reshape(len(rows), -1)
    flat[np.arange(len(rows)), np.repeat(np.arange(state.size), len(values))] = np.tile(
        values, state.size
    )
    return pme.energy_values(energy, rows)


@pytest.mark.parametrize("name", EACH_KIND)
def test_all_kinds_of_energies(name):
    """Their ground states, the energy's own numbers, and minima."""
    energy = EACH_KIND[name]
    found = quiet(energy, n_sweeps=40, n_replicas=16)
    block = single_block(energy)
    assert found.states.shape == (16, *block.shape)
    assert found.states.dtype == block.domain.dtype
    np.testing.assert_array_equal(found.energies, pme.energy_values(energy, found.states))
    assert found.best_energy == pytest.approx(ground_energy(energy), abs=1e-12)
    for state, value in zip(found.states[:4], found.energies, strict=False):
        assert single_changes(energy, state).min() >= value - 1e-10


@pytest.mark.parametrize("seed", range(20))
def test_ground_states_of_spin_glasses(seed):
    """Of 14 to 20 spins, by enumeration.

    At the cold end of 200 sweeps one replica in ten at least is in the ground state (measured: one
    in three); that all of 256 miss it happens once in 0.9**-256 > 10**11.
    """
    n = 20 if seed == 0 else 14
    energy = spin_glass(n, seed)
    found = quiet(energy, n_sweeps=200, n_replicas=256, random_seed=seed)
    assert found.best_energy == pytest.approx(ground_energy(energy), abs=1e-12)
    assert (found.energies < found.best_energy + 1e-9).mean() > 0.1


@pytest.mark.parametrize(("side", "strength"), [(3, 1.0), (3, 0.37), (4, 2.0)])
def test_ground_states_of_equal_couplings(side, strength):
    """Where replicas share words, whatever the size of the couplings."""
    lattice = pme.Lattice((side, 4))
    values = strength * np.random.default_rng(side).choice([-1.0, 1.0], lattice.n_bonds)
    energy = pme.Ising(values, lattice=lattice.shape)
    found = quiet(energy, n_sweeps=100, n_replicas=200)
    assert found.best_energy == pytest.approx(ground_energy(energy), abs=1e-12)
    np.testing.assert_array_equal(found.energies, pme.energy_values(energy, found.states))


def test_both_codings_are_annealed_alike():
    """A schedule must not depend on the coding: the same numbers, the same states."""
    glass = spin_glass(24, 3)
    bits = pme.BoltzmannMachine(4.0 * glass.coupling,
                                2.0 * glass.field - 2.0 * glass.coupling.sum(axis=1))  # fmt: skip
    spins, binary = quiet(glass), quiet(bits)
    np.testing.assert_allclose(spins.schedule, binary.schedule, rtol=1e-12)
    np.testing.assert_array_equal(spins.states, 2 * binary.states - 1)
    np.testing.assert_allclose(np.ptp(spins.energies - binary.energies), 0.0, atol=1e-10)


def test_units_do_not_matter():
    glass = spin_glass(24, 4)
    small = quiet(glass)
    large = quiet(pme.Ising(1024.0 * glass.coupling, 1024.0 * glass.field))
    np.testing.assert_allclose(large.schedule * 1024.0, small.schedule, rtol=1e-12)
    np.testing.assert_array_equal(large.states, small.states)


def test_beta_range_of_a_plain_lattice():
    """Costs are 0, 4 and 8: half of the costliest flips, and one of the cheapest in 100 sweeps."""
    schedule = quiet(pme.Ising(lattice=(16, 16)), n_sweeps=2).schedule
    np.testing.assert_allclose(schedule, [np.log(2.0) / 8.0, np.log(25600.0) / 4.0])


def test_rings_of_equal_couplings():
    """Two walls in a ring cost nothing to move, and must meet: sweeps that flip all free spins
    carry them round for ever. At the cold end 12 states with walls have weights of 1/400 of the two
    without: 1.5% of replicas are in them, and these are fewer than 5% but once in 10**9."""
    ring = quiet(pme.Ising(graph=[[0, 1], [1, 2], [2, 3], [3, 0]]), n_replicas=512)
    assert (ring.energies == -4.0).mean() > 0.95


def test_energy_without_preferences():
    found = quiet(pme.Ising(0.0, lattice=(3, 3)), n_sweeps=3, n_replicas=5)
    assert found.energies.tolist() == [0.0] * 5


def test_schedules():
    energy = spin_glass(8, 0)
    linear = quiet(energy, n_sweeps=5, beta_range=(0.0, 2.0), n_replicas=2)
    np.testing.assert_allclose(linear.schedule, [0.0, 0.5, 1.0, 1.5, 2.0])
    steps = quiet(energy, n_sweeps=3, beta_range=(0.5, 2.0), schedule="geometric", n_replicas=2)
    np.testing.assert_allclose(steps.schedule, [0.5, 1.0, 2.0])
    own = quiet(energy, schedule=[0.3, 0.1, 2.0], n_replicas=2)
    np.testing.assert_array_equal(own.schedule, [0.3, 0.1, 2.0])
    assert own.sweeps == 3


def test_a_cold_start_remembers_where_it_was():
    energy = pme.Ising(lattice=(4, 4))
    down = -np.ones((4, 4), int)
    cold = quiet(energy, initial_states=down, beta_range=(50, 60), n_sweeps=20, n_replicas=3)
    np.testing.assert_array_equal(cold.states, np.broadcast_to(down, (3, 4, 4)))
    each = np.stack([down, -down, down])
    cold = quiet(energy, initial_states=each, beta_range=(50, 60), n_sweeps=20, n_replicas=3)
    np.testing.assert_array_equal(cold.states, each)


def test_restarts_keep_the_best_of_each_replica():
    energy = spin_glass(40, 5)
    once = quiet(energy, n_sweeps=3)
    often = quiet(energy, n_sweeps=3, restarts=8)
    assert np.all(often.energies <= once.energies)  # the first anneals are the same
    assert often.sweeps == 24
    assert often.energies.mean() < once.energies.mean()
    np.testing.assert_array_equal(often.energies, pme.energy_values(energy, often.states))


def test_polish_ends_in_local_minima():
    energy = spin_glass(40, 6)
    hot = {"beta_range": (0.01, 0.02), "n_sweeps": 2}
    rough, fine = quiet(energy, polish=False, **hot), quiet(energy, **hot)
    assert fine.energies.mean() < rough.energies.mean() - 10
    for state, value in zip(fine.states, fine.energies, strict=True):
        assert single_changes(energy, state).min() >= value - 1e-10


def test_same_seed_same_states_on_any_number_of_cores():
    for energy in (spin_glass(20, 7), ALL["potts states"], ALL["cubic"]):
        task = {"n_sweeps": 20, "n_replicas": 70, "restarts": 2, "beta_range": (0.1, 0.5),
                "polish": False}  # fmt: skip
        here = quiet(energy, **task)
        with joblib.parallel_config(backend="threading", n_jobs=2):
            there = quiet(energy, **task)
        np.testing.assert_array_equal(here.states, there.states)
        assert not np.array_equal(here.states, quiet(energy, random_seed=2, **task).states)


def test_minima_are_counted():
    energy = pme.Ising(lattice=(3, 3))
    found = quiet(energy, n_replicas=50).minima
    assert found.counts.sum() == 50
    assert np.all(np.diff(found.energies) >= 0)
    assert len(np.unique(found.states.reshape(len(found.counts), -1), axis=0)) == len(found.counts)
    assert found.energies[0] == -18.0
    assert abs(found.states[0].sum()) == 9


def test_repr_and_datatree():
    found = quiet(pme.Ising(lattice=(3, 3)), n_replicas=50, n_sweeps=30)
    assert "50 replicas of 9 units, 1 x 30 sweeps" in repr(found)
    assert "-18: 50 replicas, 2 states" in repr(found)
    tree = found.to_datatree(dims=["row", "column"])
    assert isinstance(tree, xr.DataTree)
    assert tree["annealing"]["state"].dims == ("replica", "row", "column")
    np.testing.assert_array_equal(tree["annealing"]["energy"], found.energies)
    np.testing.assert_array_equal(tree["annealing"]["beta"], found.schedule)
    with pytest.raises(ValueError, match="dims must name the 2 axes"):
        found.to_datatree(dims=["row"])


DOMAINS = [
    (pme.Ising(lattice=(2, 3)), "SPIN", [(i, j) for i in range(2) for j in range(3)]),
    (pme.BoltzmannMachine([[0.0, 1.0], [1.0, 0.0]], 0.5), "BINARY", [0, 1]),
    (pme.Potts(3, graph=[[0, 1], [1, 2]]), "INTEGER", [0, 1, 2]),
]


@pytest.mark.parametrize(("energy", "kind", "labels"), DOMAINS)
def test_to_dimod_hands_over_samples(energy, kind, labels, monkeypatch):
    """What dimod is told, by a stand-in; with dimod itself below."""

    class SampleSet:
        @staticmethod
        def from_samples(samples_like, vartype, energy, info):
            return types.SimpleNamespace(
                samples=samples_like[0], labels=samples_like[1], vartype=vartype, energy=energy,
                info=info,
            )  # fmt: skip

    monkeypatch.setitem(sys.modules, "dimod", types.SimpleNamespace(SampleSet=SampleSet))
    found = quiet(energy, n_replicas=7, n_sweeps=10)
    told = found.to_dimod()
    assert told.vartype == kind
    assert told.labels == labels
    np.testing.assert_array_equal(told.samples, found.states.reshape(7, -1))
    np.testing.assert_array_equal(told.energy, found.energies)
    assert told.info["num_sweeps"] == 10


@pytest.mark.parametrize(("energy", "kind", "labels"), DOMAINS)
def test_to_dimod(energy, kind, labels):
    dimod = pytest.importorskip("dimod")
    found = quiet(energy, n_replicas=7, n_sweeps=10)
    told = found.to_dimod()
    assert isinstance(told, dimod.SampleSet)
    assert told.vartype.name == kind
    assert set(told.variables) == set(labels)
    assert told.first.energy == found.best_energy
    for row, state in zip(told.samples(sorted_by=None), found.states, strict=True):
        assert [row[label] for label in labels] == state.ravel().tolist()


def test_to_dimod_without_dimod(monkeypatch):
    monkeypatch.setitem(sys.modules, "dimod", None)
    with pytest.raises(ImportError, match=r"pip install 'pm_energy\[dimod\]'"):
        quiet(pme.Ising(lattice=(3, 3)), n_sweeps=2).to_dimod()


def test_an_interrupt_returns_what_was_reached(monkeypatch, caplog):
    calls = []
    whole = moves_module.Moves.anneal

    def interrupted(self, rng, x, schedule):
        calls.append(len(schedule))
        if len(calls) == 5:
            raise KeyboardInterrupt
        whole(self, rng, x, schedule)

    monkeypatch.setattr(moves_module.Moves, "anneal", interrupted)
    monkeypatch.setattr(moves_module.Moves, "updates_a_part", 400)
    energy = ALL["cubic"]
    with caplog.at_level(logging.WARNING, logger="pymc"):
        found = quiet(energy, n_replicas=10, n_sweeps=100, cores=1)
    assert "interrupted" in caplog.text
    assert found.states.shape == (10, 4)
    assert found.best_energy == pytest.approx(ground_energy(energy))


GLASS = spin_glass(6, 0)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_sweeps": 0}, "n_sweeps must be a positive integer"),
        ({"n_replicas": 0}, "n_replicas must be a positive integer"),
        ({"restarts": 0}, "restarts must be a positive integer"),
        ({"restarts": 1.5}, "restarts must be a positive integer"),
        ({"schedule": "exponential"}, "schedule must be one of"),
        ({"schedule": []}, "schedule must be 'linear', 'geometric' or a vector"),
        ({"schedule": [0.1, np.nan]}, "schedule must be 'linear', 'geometric' or a vector"),
        ({"schedule": [0.1, -1.0]}, "schedule must be 'linear', 'geometric' or a vector"),
        ({"schedule": [[0.1]]}, "schedule must be 'linear', 'geometric' or a vector"),
        ({"schedule": [1.0], "beta_range": (1, 2)}, "beta_range is for named schedules"),
        ({"beta_range": (2.0, 1.0)}, "beta_range must be two inverse temperatures"),
        ({"beta_range": 1.0}, "beta_range must be two inverse temperatures"),
        ({"beta_range": (0.1, np.inf)}, "beta_range must be two inverse temperatures"),
        ({"beta_range": (0.0, 1.0), "schedule": "geometric"}, "cannot start at beta_range"),
        ({"beta_range": ("hot", "cold")}, "beta_range must be numeric"),
        ({"initial_states": np.zeros(6)}, "contains the value 0"),
        ({"initial_states": np.ones(5)}, "initial_states must have shape"),
        ({"initial_states": np.ones((3, 6))}, "initial_states must have shape"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        quiet(GLASS, **kwargs)


def test_energies_that_cannot_be_annealed():
    with pytest.raises(ValueError, match=r"continuous.*pm\.find_MAP"):
        quiet(pme.DoubleWell())
    with pytest.raises(ValueError, match="has 2 blocks of units"):
        quiet(pme.RBM(np.zeros((2, 2))))
    with pytest.raises(ValueError, match="is not an energy"):
        quiet(lambda x: x)


def test_energies_that_are_not_numbers():
    def nowhere(x, a):
        return (a - x[..., 0]) ** 0.5 - 3.0 + 0.0 * x.sum(-1)  # of a negative number

    with pytest.raises(ValueError, match="energy is not finite at random states"):
        quiet(pme.energy_from_function(nowhere, pme.Spin(), (3,), a=-2.0), n_sweeps=3)
    with pytest.raises(ValueError, match=r"energy is not a number at 64 of 64 states"):
        quiet(pme.energy_from_function(nowhere, pme.Spin(), (3,), a=-2.0), schedule=[1.0])
    # where half of the states have no energy, the others are found
    half = pme.energy_from_function(nowhere, pme.Spin(), (3,), a=0.0)
    assert quiet(half, n_sweeps=10).best_energy == -2.0


def test_result_is_public_in_shape():
    found = quiet(GLASS, n_sweeps=2, n_replicas=3)
    assert isinstance(found, Annealed)
    assert found.best_state.shape == (6,)
    assert found.energies[np.argmin(found.energies)] == found.best_energy
