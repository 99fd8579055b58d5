"""Observables of draws in which every state occurs as often as it should, against enumeration."""

import math

import numpy as np
import pymc as pm
import pytest
import xarray as xr

import pm_energy as pme
from pm_energy import diagnostics, exact
from pm_energy.compile import energy_values
from pm_energy.diagnostics import (
    binder_cumulant,
    energy_draws,
    heat_capacity,
    magnetisation,
    mean_energy,
    susceptibility,
)

LOG2 = math.log(2)
# weights exp(-E) are powers of 2 for all states, up to a constant
ISING = pme.Ising(LOG2 / 2, lattice=(2, 3))
MAGNET = pme.Ising(LOG2 / 2, LOG2 / 2, lattice=(2, 3))
POTTS = pme.Potts(3, LOG2, lattice=(5,))


def value(fit, quantity=None):
    return fit["value"].sel(quantity=quantity).item() if quantity else fit["value"].item()


@pytest.mark.parametrize("energy", [ISING, MAGNET])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_spin_observables_equal_enumeration(every_state, energy, temperature):
    draws, states, p = every_state(energy)
    m = states.reshape(len(p), -1).mean(axis=1)
    scale = 6 / temperature
    found = magnetisation(draws)
    np.testing.assert_allclose(value(found, "magnetisation"), p @ m, atol=1e-12)
    np.testing.assert_allclose(value(found, "abs_magnetisation"), p @ np.abs(m), rtol=1e-12)
    chi = susceptibility(draws, "z", temperature=temperature)
    variance, abs_variance = p @ m**2 - (p @ m) ** 2, p @ m**2 - (p @ np.abs(m)) ** 2
    np.testing.assert_allclose(value(chi, "susceptibility"), scale * variance, rtol=1e-12)
    np.testing.assert_allclose(value(chi, "abs_susceptibility"), scale * abs_variance, rtol=1e-11)
    binder = 1 - p @ m**4 / (3 * (p @ m**2) ** 2)
    np.testing.assert_allclose(value(binder_cumulant(draws)), binder, rtol=1e-12)


def test_potts_observables_equal_enumeration(every_state):
    draws, states, p = every_state(POTTS)
    largest = np.max([(states == k).mean(axis=1) for k in range(3)], axis=0)
    m = (3 * largest - 1) / 2
    np.testing.assert_allclose(value(magnetisation(draws, q=3)), p @ m, rtol=1e-12)
    chi = value(susceptibility(draws, q=3, temperature=0.5))
    np.testing.assert_allclose(chi, 10 * (p @ m**2 - (p @ m) ** 2), rtol=1e-12)
    binder = 1 - p @ m**4 / (3 * (p @ m**2) ** 2)
    np.testing.assert_allclose(value(binder_cumulant(draws, q=3)), binder, rtol=1e-12)


def test_the_order_parameter_of_two_states_is_the_absolute_magnetisation(every_state):
    draws, _, _ = every_state(MAGNET)
    spins = magnetisation(draws).sel(quantity="abs_magnetisation", drop=True)
    states = magnetisation((draws + 1) // 2, q=2).sel(quantity="order_parameter", drop=True)
    xr.testing.assert_allclose(spins, states, rtol=1e-12)


def test_the_order_parameter_is_1_where_sites_agree_and_0_where_states_are_equally_frequent():
    x = np.array([[[2, 2, 2], [0, 1, 2]] * 2])
    series = magnetisation(xr.DataArray(x, dims=("chain", "draw", "site")), q=3)
    assert value(series) == 0.5


def test_the_susceptibility_is_the_response_to_a_field(every_state):
    draws, _, _ = every_state(MAGNET)

    def mean_spin(h):
        states, p = exact.distribution(pme.Ising(LOG2 / 2, LOG2 / 2 + h, lattice=(2, 3)))
        return p @ states.reshape(len(p), -1).mean(axis=1)

    response = (mean_spin(1e-5) - mean_spin(-1e-5)) / 2e-5
    np.testing.assert_allclose(value(susceptibility(draws), "susceptibility"), response, rtol=1e-8)


@pytest.mark.parametrize("energy", [ISING, MAGNET, POTTS])
def test_energy_and_heat_capacity_equal_enumeration(every_state, energy):
    draws, states, p = every_state(energy)
    e = energy_values(energy, states)
    np.testing.assert_allclose(value(mean_energy(draws, energy)), p @ e, rtol=1e-12)
    c = value(heat_capacity(draws, energy, "z"))
    np.testing.assert_allclose(c, p @ e**2 - (p @ e) ** 2, rtol=1e-11)


def test_the_heat_capacity_is_the_response_to_temperature(every_state):
    # at temperature T the energy T * E has the same draws
    hot = pme.Ising(1.5 * LOG2 / 2, lattice=(2, 3))
    draws, states, _ = every_state(ISING)
    e = energy_values(hot, states)

    def energy_at(t):
        w = np.exp(-e / t)
        return w @ e / w.sum()

    response = (energy_at(1.5 + 1e-5) - energy_at(1.5 - 1e-5)) / 2e-5
    found = value(heat_capacity(draws, hot, temperature=1.5))
    np.testing.assert_allclose(found, response, rtol=1e-8)


def test_the_recorded_energy_is_read_by_default():
    stat = np.random.default_rng(3).normal(-10, 2, size=(2, 50))
    dt = xr.DataTree.from_dict(
        {"sample_stats": xr.Dataset({"boltzmann_energy": (("chain", "draw"), stat)})}
    )
    np.testing.assert_allclose(value(mean_energy(dt)), stat.mean())
    np.testing.assert_allclose(value(heat_capacity(dt)), stat.var())
    with pytest.raises(ValueError, match="E / T already"):
        heat_capacity(dt, temperature=2.0)


def test_an_energy_over_two_blocks_reads_two_variables():
    rng = np.random.default_rng(4)
    rbm = pme.RBM(rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=2))
    v, h = rng.integers(0, 2, size=(2, 5, 3)), rng.integers(0, 2, size=(2, 5, 2))
    dims = ("chain", "draw")
    draws = xr.Dataset({"h": ((*dims, "j"), h), "v": ((*dims, "i"), v)})
    found = energy_draws(draws, rbm, ["v", "h"])
    expected = energy_values(rbm, v.reshape(-1, 3), h.reshape(-1, 2)).reshape(2, 5)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    with pytest.raises(ValueError, match="has 2 blocks"):
        energy_draws(draws, rbm, "v")


@pytest.mark.parametrize(
    ("quantity", "estimate", "truth"),
    [
        # fair coins: <m^4> = (3 n - 2) / n^3
        ("magnetisation", magnetisation, 0.0),
        ("abs_magnetisation", magnetisation, None),
        ("susceptibility", susceptibility, 1.0),
        ("abs_susceptibility", susceptibility, None),
        ("binder_cumulant", binder_cumulant, 2 / 27),
    ],
)
def test_errors_are_calibrated(lazy_spins, quantity, estimate, truth):
    n = 9
    if truth is None:  # sum over the number of up spins
        mean = sum(math.comb(n, k) * abs(2 * k - n) / n for k in range(n + 1)) / 2**n
        truth = mean if quantity == "abs_magnetisation" else n * (1 / n - mean**2)
    fit = estimate(lazy_spins(np.random.default_rng(6), n), site_dims="site")
    one = fit.sel(quantity=quantity)
    z = (one["value"] - truth) / one["mcse"]
    assert 0.85 < z.std() < 1.15  # standard error .035
    assert abs(z.mean()) < 0.35


def test_batch_dimensions_are_kept_and_estimates_join(every_state):
    draws, _, _ = every_state(MAGNET)
    two, sites = xr.concat([draws["z"], -draws["z"]], "image"), ("axis0", "axis1")
    parts = [magnetisation(two, site_dims=sites), binder_cumulant(two, site_dims=sites)]
    fit = xr.concat(parts, "quantity")
    m = fit["value"].sel(quantity="magnetisation")
    np.testing.assert_allclose(m[0], -m[1], rtol=1e-12)
    assert fit["mcse"].shape == (3, 2)


def spins(shape=(2, 10, 3, 3), name="z"):
    values = np.random.default_rng(7).choice([-1, 1], size=shape)
    dims = ("chain", "draw", "row", "col")[: len(shape)]
    return xr.Dataset({name: (dims, values)})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: magnetisation(spins(), "y"), r"no variable 'y', only \['z'\]"),
        (lambda: magnetisation(xr.DataTree.from_dict({"prior": spins()})), "no group"),
        (lambda: magnetisation(np.ones((2, 10, 3))), "DataTree or a Dataset"),
        (lambda: magnetisation(spins().assign(y=spins()["z"])), r"pass var_name.*\['z', 'y'\]"),
        (lambda: magnetisation(spins(), site_dims=("row", "depth")), "no site dimension 'depth'"),
        (lambda: magnetisation(spins((2, 10)), "z"), "is a scalar"),
        (lambda: magnetisation(spins().rename(chain="walker"), "z"), "no dimension 'chain'"),
        (lambda: magnetisation(spins((2, 1, 3, 3))), "at least 4"),
        (lambda: magnetisation(spins((2, 0, 3, 3))), "holds no draws"),
        (lambda: magnetisation(spins().where(spins() > 0), "z"), "contains NaN"),
        (lambda: magnetisation((spins() + 1) // 2), "value 0.*Pass q"),
        (lambda: magnetisation(spins(), q=3), "value -1, expected the states 0, ..., 2"),
        (lambda: magnetisation(spins(), q=1), "q must be an integer of at least 2"),
        (lambda: susceptibility(spins(), temperature=0), "temperature must be positive"),
        (lambda: energy_draws(spins(), ISING), r"sites \(3, 3\), the energy has \(2, 3\)"),
        (lambda: energy_draws((spins() + 1) // 2, pme.Ising(lattice=(3, 3))), "value 0"),
        (lambda: mean_energy(xr.DataTree.from_dict({"sample_stats": spins()})), "no statistic"),
        (lambda: mean_energy(spins()), "no statistic 'boltzmann_energy'; pass energy"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_random_parameters_are_refused():
    with pm.Model():
        energy = pme.Ising(pm.HalfNormal("J"), lattice=(3, 3))
    with pytest.raises(ValueError, match="are random variables"):
        energy_draws(spins(), energy)


def test_all_public_names_exist():
    assert all(hasattr(diagnostics, name) for name in diagnostics.__all__)
