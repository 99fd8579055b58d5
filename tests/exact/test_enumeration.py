"""Enumeration against sums written out with itertools."""

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import chisquare

import pm_energy as pme
from pm_energy import exact
from pm_energy.energy import Block, single_block
from pm_energy.exact.enumeration import LIMIT, all_states, count_states, state_number

RNG = np.random.default_rng(1)
MATRIX = np.triu(RNG.normal(size=(4, 4)), 1)
MATRIX = MATRIX + MATRIX.T
ENERGIES = {
    "spins": pme.Ising(MATRIX, RNG.normal(size=4)),
    "bits": pme.BoltzmannMachine(MATRIX, RNG.normal(size=4), offset=1000.0),
    "square": pme.Ising(0.3, RNG.normal(size=(2, 3)), lattice=(2, 3)),
    "potts": pme.Potts(3, 0.7, RNG.normal(size=(2, 2, 3)), lattice=(2, 2)),
    "marginal": pme.Marginal(pme.RBM(RNG.normal(size=(3, 2)))),
    "scalar unit": pme.energy_from_function(lambda x: -0.3 * x, pme.Spin(), ()),
}


@pytest.mark.parametrize("q", [2, 3])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)])
def test_states_are_listed_once_each_and_numbered_in_order(q, shape):
    for domain in (pme.Categorical(q), *((pme.Spin(), pme.Binary()) if q == 2 else ())):
        block = Block(domain, shape)
        states = all_states(block)
        n = int(np.prod(shape))
        expected = list(itertools.product(domain.states.tolist(), repeat=n))
        assert states.reshape(-1, n).tolist() == [list(s) for s in expected]
        assert states.shape == (q**n, *shape)
        assert states.dtype == domain.dtype
        assert count_states(block) == q**n
        np.testing.assert_array_equal(state_number(states, domain), np.arange(q**n))


@pytest.mark.parametrize("name", ENERGIES)
def test_distribution_and_log_partition(name):
    energy = ENERGIES[name]
    states, p = exact.distribution(energy)
    cost = pme.energy_values(energy, states)
    log_z = logsumexp(-cost)
    np.testing.assert_allclose(exact.log_partition(energy), log_z, rtol=1e-14)
    np.testing.assert_allclose(p, np.exp(-cost - log_z), atol=1e-15)
    np.testing.assert_allclose(p.sum(), 1.0, rtol=1e-13)


@pytest.mark.parametrize("name", ENERGIES)
def test_moments_are_sums_over_the_distribution(name):
    energy = ENERGIES[name]
    states, p = exact.distribution(energy)
    domain = single_block(energy).domain
    code = np.eye(len(domain.states))[states] if domain.code_ndim else states.astype(float)
    flat, cost = code.reshape(len(states), -1), pme.energy_values(energy, states)
    found = exact.moments(energy)
    np.testing.assert_allclose(found.log_partition, exact.log_partition(energy), rtol=1e-15)
    np.testing.assert_allclose(found.energy, p @ cost, rtol=1e-12)
    np.testing.assert_allclose(found.energy_variance, p @ (cost - p @ cost) ** 2, rtol=1e-10)
    assert found.mean.shape == single_block(energy).code_shape
    np.testing.assert_allclose(found.mean.ravel(), p @ flat, atol=1e-13)
    np.testing.assert_allclose(found.second, flat.T @ (p[:, None] * flat), atol=1e-13)


def test_mean_energy_and_heat_capacity_are_derivatives_of_log_partition():
    energy, step = ENERGIES["spins"], 1e-3
    down, here, up = (exact.log_partition(pme.Tempered(energy, 1 + k * step)) for k in (-1, 0, 1))
    found = exact.moments(energy)
    np.testing.assert_allclose(found.energy, -(up - down) / (2 * step), rtol=1e-5)
    np.testing.assert_allclose(found.energy_variance, (up - 2 * here + down) / step**2, rtol=1e-4)


def test_energy_variance_survives_a_large_offset():
    plain, lifted = (pme.BoltzmannMachine(MATRIX, offset=c) for c in (0.0, 1e8))
    a, b = exact.moments(plain), exact.moments(lifted)
    np.testing.assert_allclose(b.energy_variance, a.energy_variance, rtol=1e-6)
    np.testing.assert_allclose(b.energy - 1e8, a.energy, atol=1e-6)


def test_extreme_couplings_do_not_overflow():
    log_z = exact.log_partition(pme.Ising(2000.0, lattice=(3, 3)))
    np.testing.assert_allclose(log_z, 18 * 2000.0 + np.log(2), rtol=1e-15)
    _, p = exact.distribution(pme.Ising(2000.0, lattice=(3, 3)))
    np.testing.assert_allclose(p[[0, -1]], 0.5)


def test_draws_are_independent_draws_from_the_distribution():
    energy = ENERGIES["spins"]
    x = exact.draw(energy, np.random.default_rng(2), 20_000)
    assert x.shape == (20_000, 4)
    assert x.dtype == "int8"
    _, p = exact.distribution(energy)
    counts = np.bincount(state_number(x, pme.Spin()), minlength=16)
    rare = 20_000 * p < 20
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = 20_000 * np.append(p[~rare], p[rare].sum())
    assert chisquare(observed, expected).pvalue > 1e-6  # false alarms once in a million
    again = exact.draw(energy, np.random.default_rng(2), 20_000)
    np.testing.assert_array_equal(x, again)


def test_a_million_states_are_added_up_in_blocks_of_small_memory():
    """4 x 5 free lattice; the value is that of the transfer matrix."""
    energy = pme.Ising(0.4, lattice=(4, 5), periodic=False)
    tracemalloc.start()
    try:
        log_z = exact.log_partition(energy)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    row = np.array(list(itertools.product([-1, 1], repeat=4)))
    within = 0.4 * (row[:, 1:] * row[:, :-1]).sum(axis=1)
    log_sum = within
    for _ in range(4):
        log_sum = within + logsumexp(log_sum[:, None] + 0.4 * row @ row.T, axis=0)
    np.testing.assert_allclose(log_z, logsumexp(log_sum), rtol=1e-13)
    assert peak < 2**26  # all states at once as floats would take 170 MB


@pytest.mark.slow
def test_sixteen_million_states():
    """24 spins on a ring: log((2 cosh K)^24 + (2 sinh K)^24)."""
    log_z = exact.log_partition(pme.Ising(0.3, lattice=(24,)))
    expected = 24 * np.log(2 * np.cosh(0.3)) + np.log1p(np.tanh(0.3) ** 24)
    np.testing.assert_allclose(log_z, expected, rtol=1e-13)


@pytest.mark.parametrize("ask", [exact.log_partition, exact.moments, exact.distribution])
@pytest.mark.parametrize(
    ("energy", "reason"),
    [
        (pme.Ising(lattice=(5, 5)), r"3.36e\+07 states are too many to list; the limit is 1.68e"),
        (pme.Ising(lattice=(2000, 2000)), "inf states are too many"),
        (pme.DoubleWell(), "real-valued units have no list"),
        (pme.RBM(np.ones((2, 2))), "RBM has 2 blocks of units; use Marginal"),
    ],
)
def test_what_cannot_be_enumerated_is_refused(ask, energy, reason):
    with pytest.raises(ValueError, match=reason):
        ask(energy)


def test_the_limit_is_24_two_state_units():
    assert count_states(Block(pme.Spin(), (24,))) == LIMIT
    assert count_states(Block(pme.Spin(), (25,))) > LIMIT
    assert count_states(Block(pme.Real(), (1,))) == np.inf
