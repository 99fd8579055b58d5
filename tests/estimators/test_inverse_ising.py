"""Couplings of a lattice recovered from its states."""

import numpy as np
import pytest

import pm_energy as pme
from pm_energy.draws import draw_states
from pm_energy.estimators import BoltzmannMachine

COUPLING = 0.3
SAMPLED = {"objective": "pcd", "batch_size": 1000, "learning_rate": 0.1, "random_state": 0}


def states(lattice, n):
    ising = pme.Ising(lattice=lattice, coupling=COUPLING)
    return draw_states(ising, np.random.default_rng(0), n).reshape(n, -1)


def error(machine):
    """Relative root mean square error of the couplings."""
    return np.sqrt(np.mean((machine.couplings_ / COUPLING - 1) ** 2))


def bonds(lattice):
    """Whether two sites are neighbours, each pair once."""
    matrix = np.zeros((lattice.n, lattice.n), bool)
    matrix[tuple(lattice.edges.T)] = True
    first, second = np.triu_indices(lattice.n, 1)
    return (matrix | matrix.T)[first, second]


@pytest.fixture(scope="module")
def small():
    lattice = pme.Lattice((6, 6))
    return lattice, states(lattice, 3000)


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "pseudolikelihood"},
        {"objective": "probability-flow"},
        {**SAMPLED, "n_iter": 80},
    ],
    ids=["pseudolikelihood", "probability-flow", "pcd"],
)
@pytest.mark.parametrize(("rows", "is_right"), [("together", True), ("shuffled", False)])
def test_couplings_of_a_known_graph_are_recovered(small, settings, rows, is_right):
    """Standard errors are near 1 / sqrt(3000), 6% of the coupling; shuffled columns have none."""
    lattice, X = small
    if rows == "shuffled":
        X = np.random.default_rng(1).permuted(X, axis=0)
    machine = BoltzmannMachine(graph=lattice.edges, coding="spin", **settings).fit(X)
    assert (error(machine) < 0.1) == is_right


def test_an_unknown_graph_is_found(small):
    lattice, X = small
    machine = BoltzmannMachine(coding="spin", l1=0.04, tol=1e-4).fit(X)
    is_bond = bonds(lattice)
    found = np.abs(machine.couplings_)
    assert found[is_bond].min() > 0
    assert found[~is_bond].max() < COUPLING / 2 < found[is_bond].min()


@pytest.mark.slow
def test_the_couplings_of_a_ten_by_ten_lattice():
    """From 20,000 states drawn by coupling from the past."""
    lattice = pme.Lattice((10, 10))
    X = states(lattice, 20_000)
    for objective, most in (("pseudolikelihood", 0.05), ("probability-flow", 0.05), ("pcd", 0.08)):
        settings = {**SAMPLED, "n_iter": 20} if objective == "pcd" else {"objective": objective}
        machine = BoltzmannMachine(graph=lattice.edges, coding="spin", **settings).fit(X)
        assert error(machine) < most
    machine = BoltzmannMachine(coding="spin", l1=0.02, tol=1e-4).fit(X)
    found, is_bond = np.abs(machine.couplings_), bonds(lattice)
    assert found[is_bond].min() > COUPLING / 2 > found[~is_bond].max()
