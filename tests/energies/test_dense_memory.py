"""Dense memories of spins: energies as printed, retrieval by exact flips."""

import itertools

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pm_energy as pme
from pm_energy.energies.dense_memory import ExponentialMemory, PolynomialMemory

PATTERNS = np.random.default_rng(1).choice([-1, 1], size=(5, 8))
STATES = np.array(list(itertools.product([-1, 1], repeat=8)))
CASES = {
    "square": (PolynomialMemory(PATTERNS, 2), lambda m: -8 / 2 * (m / 8) ** 2),
    "cubic": (PolynomialMemory(PATTERNS, 3), lambda m: -8 / 3 * (m / 8) ** 3),
    "exponential": (ExponentialMemory(PATTERNS, 0.6), lambda m: -np.exp(0.6 * m)),
}


@pytest.mark.parametrize("name", CASES)
def test_energies_are_those_of_the_papers(name):
    memory, term = CASES[name]
    expected = term(STATES @ PATTERNS.T).sum(axis=1)
    values = pme.energy_values(memory, STATES)
    if name == "exponential":  # the logarithm, and a constant
        values = -np.exp(-0.6 * (values - 8)) * 5
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_retrieval_reports_energies_and_ends_where_no_flip_lowers_them(name):
    memory, _ = CASES[name]
    found = memory.retrieve(STATES.reshape(16, 16, 8))
    assert found.converged.all()
    assert found.states.dtype == np.int8
    ends = found.states.reshape(-1, 8)
    for energies, states in ((found.energies[0], STATES), (found.energies[-1], ends)):
        expected = pme.energy_values(memory, states)
        np.testing.assert_allclose(energies.ravel(), expected, rtol=0, atol=1e-12)
    assert np.diff(found.energies, axis=0).max() <= 1e-12
    for unit in range(8):
        flipped = ends * np.where(np.arange(8) == unit, -1, 1)
        rise = pme.energy_values(memory, flipped) - pme.energy_values(memory, ends)
        assert rise.min() >= -1e-12


def test_the_square_is_the_hebbian_network():
    network = pme.Hopfield.from_patterns(PATTERNS)
    apart = pme.energy_values(network, STATES) - pme.energy_values(CASES["square"][0], STATES)
    np.testing.assert_allclose(apart, 5 / 2, rtol=0, atol=1e-12)


def test_bits_are_the_same_patterns_and_tensors_the_same_memory():
    memory, _ = CASES["exponential"]
    expected = pme.energy_values(memory, STATES)
    bits = ExponentialMemory((PATTERNS + 1) // 2, 0.6)
    np.testing.assert_array_equal(pme.energy_values(bits, STATES), expected)
    tensors = ExponentialMemory(pt.as_tensor(PATTERNS) * 1.0, pt.exp(np.log(0.6)))
    np.testing.assert_allclose(pme.energy_values(tensors, STATES), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="patterns is a PyTensor variable"):
        tensors.retrieve(STATES)


def test_a_memory_is_a_distribution():
    memory, _ = CASES["cubic"]
    with pm.Model():
        s = pme.Boltzmann("s", memory)
    expected = -pme.energy_values(memory, STATES[:1])[0]
    assert pm.logp(s, STATES[0]).eval() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PolynomialMemory(np.zeros((0, 3))), "non-empty"),
        (lambda: PolynomialMemory([[1, 2]]), "patterns must be in"),
        (lambda: PolynomialMemory([1, -1]), "patterns must have 2 dim"),
        (lambda: PolynomialMemory(PATTERNS, 1), "degree must be at least 2"),
        (lambda: PolynomialMemory(PATTERNS, 2.5), "degree must be a positive integer"),
        (lambda: ExponentialMemory(PATTERNS, 0.0), "beta must be positive"),
        (lambda: ExponentialMemory(pt.dmatrix()), "known number of units"),
        (lambda: CASES["cubic"][0].retrieve(np.ones(7)), "s must have shape"),
        (lambda: CASES["cubic"][0].retrieve(np.zeros(8)), "the allowed states are"),
    ],
)
def test_bad_arguments_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
