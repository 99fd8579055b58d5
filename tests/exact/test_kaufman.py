"""Kaufman's log Z against enumeration, published values, its own derivatives and its limits."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from scipy.integrate import quad
from scipy.special import logsumexp

from pm_energy.exact.kaufman import (
    CRITICAL_COUPLING,
    log_partition_torus,
    spontaneous_magnetisation,
    torus_energy_per_site,
    torus_heat_capacity_per_site,
)

QUICK = Mode(linker="py", optimizer=None)
# both sides of both critical points, and the points themselves
COUPLINGS = np.array([0, 1e-9, 0.1, 0.4, CRITICAL_COUPLING, 0.45, 0.8, 1.5])
COUPLINGS = np.concatenate([-COUPLINGS[:0:-1], COUPLINGS])


def levels(shape):
    """Values of sum s_i s_j over the bonds of a torus, and how many states have each."""
    n = np.prod(shape)
    spins = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.int8).reshape(
        -1, *shape
    ) * 2 - 1
    bonds = sum((spins * np.roll(spins, 1, axis)).sum((1, 2)) for axis in (1, 2))
    return np.unique(bonds, return_counts=True)


def derivatives(shape, couplings):
    k = pt.dvector()
    value = log_partition_torus(shape, k)
    first = pt.grad(value.sum(), k)
    second = pt.grad(first.sum(), k)
    return pytensor.function([k], [value, first, second], mode=QUICK)(couplings)


def evaluate(shape, coupling):
    return log_partition_torus(shape, coupling).eval(mode=QUICK)


@pytest.mark.parametrize("shape", [(3, 3), (3, 4), (4, 3), (4, 4), (3, 5), (5, 3), (3, 6)])
def test_log_z_and_two_derivatives_equal_enumeration(shape):
    bonds, count = levels(shape)
    exponent = np.outer(COUPLINGS, bonds) + np.log(count)
    log_z = logsumexp(exponent, axis=1)
    p = np.exp(exponent - log_z[:, None])
    mean = p @ bonds
    value, first, second = derivatives(shape, COUPLINGS)
    np.testing.assert_allclose(value, log_z, rtol=0, atol=1e-10)
    np.testing.assert_allclose(first, mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(second, p @ bonds**2 - mean**2, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("side", "log_z"), [(4, 15.521915), (8, 60.141781), (16, 238.642257), (32, 952.648080)]
)
def test_published_values_at_the_critical_point(side, log_z):
    value = evaluate((side, side), CRITICAL_COUPLING)
    np.testing.assert_allclose(value, log_z, rtol=0, atol=6e-7)


@pytest.mark.parametrize("shape", [(5, 7), (6, 9), (33, 12), (32, 64), (31, 33)])
def test_derivatives_equal_finite_differences(shape):
    k = np.array([-0.7, -CRITICAL_COUPLING, -0.2, 0.2, CRITICAL_COUPLING, 0.7])
    step = 1e-5
    below, at, above = np.split(
        np.array(derivatives(shape, [*(k - step), *k, *(k + step)])), 3, axis=1
    )
    slopes = (above - below) / (2 * step)
    np.testing.assert_allclose(slopes[:2] / np.prod(shape), at[1:] / np.prod(shape), atol=1e-6)
    assert np.all(at[2] > 0)  # log Z is convex


def test_a_torus_turned_by_a_right_angle_is_the_same():
    for shape in [(3, 8), (5, 6), (7, 9), (12, 40)]:
        k = np.array([-0.5, 0.3, 0.9])
        np.testing.assert_allclose(
            evaluate(shape, k),
            evaluate(shape[::-1], k),
            rtol=1e-13,
        )


@pytest.mark.parametrize(("shape", "wall"), [((512, 512), 0), ((512, 511), 512), ((3, 512), 512)])
def test_a_large_torus_goes_over_into_its_ground_states(shape, wall):
    """Every column of odd length has one bond too many; walls may run along any of its bonds."""
    n_bonds = 2 * np.prod(shape)
    k = np.array([20.0, 39.0, 41.0, 1e3])
    value, first, second = derivatives(shape, np.concatenate([k, -k]))
    assert np.all(np.isfinite(second))
    np.testing.assert_allclose(value[:4] - n_bonds * k, np.log(2), atol=1e-6)
    np.testing.assert_allclose(first[:4], n_bonds)
    excess = value[4:] - (n_bonds - 2 * wall) * k
    np.testing.assert_allclose(first[4:], -(n_bonds - 2 * wall))
    np.testing.assert_allclose(excess, excess[0], atol=1e-5)
    if wall == 0:
        np.testing.assert_allclose(excess, np.log(2), atol=1e-6)
    elif shape == (3, 512):  # the ring of three has 3 places for the wall in each of 512 rows,
        # and neighbouring rows agree for them to stay in phase: 2 x 3 states in all
        np.testing.assert_allclose(excess[0], np.log(6), atol=1e-6)


def test_energy_and_heat_capacity_tend_to_those_of_the_infinite_lattice():
    def onsager(k):  # energy per site, Onsager 1944
        kappa = 2 * np.sinh(2 * k) / np.cosh(2 * k) ** 2
        elliptic, _ = quad(lambda t: 1 / np.sqrt(1 - (kappa * np.sin(t)) ** 2), 0, np.pi / 2)
        bend = 2 * np.tanh(2 * k) ** 2 - 1
        return -(1 + 2 / np.pi * bend * elliptic) / np.tanh(2 * k)

    k = np.array([0.2, 0.3, 0.6, 1.0])
    energy = torus_energy_per_site((128, 128), k)
    np.testing.assert_allclose(energy, [onsager(x) for x in k], atol=1e-9)
    step = 1e-5
    slope = (onsager(0.3 + step) - onsager(0.3 - step)) / (2 * step)
    np.testing.assert_allclose(
        torus_heat_capacity_per_site((128, 128), 0.3), -(0.3**2) * slope, rtol=1e-6
    )


def test_critical_finite_size_corrections_are_ferdinands_and_fishers():
    sides = np.array([64, 128, 256])
    tori = [(side, side) for side in sides]
    energy = np.array([torus_energy_per_site(torus, CRITICAL_COUPLING) for torus in tori])
    np.testing.assert_allclose((energy + np.sqrt(2)) * sides, -0.6224, atol=1e-4)
    capacity = np.array([torus_heat_capacity_per_site(torus, CRITICAL_COUPLING) for torus in tori])
    amplitude = 8 / np.pi * CRITICAL_COUPLING**2
    remainder = capacity - amplitude * np.log(sides) - 0.138149
    np.testing.assert_allclose(remainder * sides, -0.1709, atol=0.001)


def test_spontaneous_magnetisation_is_yangs():
    np.testing.assert_allclose(spontaneous_magnetisation(0.5), 0.911319, atol=5e-7)
    np.testing.assert_array_equal(spontaneous_magnetisation([-1.0, 0.0, 0.44]), 0)
    above = spontaneous_magnetisation(CRITICAL_COUPLING * (1 + np.array([1e-12, 1e-6, 0.1, 9])))
    assert np.all(np.diff(above) > 0)
    assert 0 < above[0] < 0.05
    np.testing.assert_allclose(above[-1], 1, rtol=1e-14)


def test_log_z_takes_couplings_of_any_shape():
    k = np.array([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]])
    out = evaluate((5, 4), k)
    assert out.shape == (2, 3)
    np.testing.assert_allclose(out[1, 2], evaluate((5, 4), -0.3))


def test_lost_digits_are_reported_not_invented():
    value = evaluate((9, 9), np.array([-1.7, -2.0, 2.0]))
    np.testing.assert_array_equal(np.isnan(value), [False, True, False])


@pytest.mark.parametrize("shape", [(2, 8), (8,), (4, 4, 4), (8, 1)])
def test_shapes_without_a_closed_form_are_refused(shape):
    with pytest.raises(ValueError, match="shape must be two sides of at least 3"):
        log_partition_torus(shape, 0.3)
