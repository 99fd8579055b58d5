"""Correlations against the transfer matrix of a ring, direct sums and enumeration."""

import math

import numpy as np
import pytest
import xarray as xr

import pm_energy as pme
from pm_energy.diagnostics import correlation_function, correlation_length

LOG2 = math.log(2)


def ring_correlation(n, t, q=2):
    """Correlation on a ring, from the two eigenvalues of the transfer matrix of ratio t."""
    r = np.arange(n)
    return (t**r + t ** (n - r) + (q - 2) * t**n) / (1 + (q - 1) * t**n)


def test_a_ring_of_spins(every_state):
    draws, _, _ = every_state(pme.Ising(LOG2 / 2, lattice=(8,)))
    found = correlation_function(draws)["value"].sel(axis="axis0")
    np.testing.assert_allclose(found, ring_correlation(8, 1 / 3)[:5], rtol=1e-12)


def test_a_ring_of_categories(every_state):
    draws, _, _ = every_state(pme.Potts(3, LOG2, lattice=(6,)))
    found = correlation_function(draws, q=3)["value"].sel(axis="axis0")
    np.testing.assert_allclose(found, ring_correlation(6, 1 / 4, 3)[:4], rtol=1e-12)


@pytest.mark.parametrize("q", [None, 3])
@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("periodic", [True, False, (False, True)])
def test_sums_over_pairs_of_sites(q, connected, periodic):
    rng = np.random.default_rng(8)
    mean = rng.random((5, 4))
    x = rng.random((2, 30, 5, 4)) < mean
    x = 2 * x - 1 if q is None else x.astype(int) + (rng.random(x.shape) < 0.3)
    draws = xr.DataArray(x, dims=("chain", "draw", "row", "col"))
    found = correlation_function(draws, periodic=periodic, connected=connected, q=q)["value"]
    flags = (periodic, periodic) if isinstance(periodic, bool) else periodic
    flat = x.reshape(60, 5, 4)
    code = flat[..., None] if q is None else np.eye(q)[flat]
    scale, shift = (1, 0) if q is None else (q / (q - 1), 1 / (q - 1))
    for axis, (side, wraps) in enumerate(zip((5, 4), flags, strict=True)):
        for r in range(side // 2 + 1):
            here = np.arange(side if wraps else side - r)
            a = code.take(here, axis=axis + 1)
            b = code.take((here + r) % side, axis=axis + 1)
            expected = scale * (a * b).sum(-1).mean() - shift
            if connected:
                expected = scale * ((a * b).mean(0) - a.mean(0) * b.mean(0)).sum(-1).mean()
            np.testing.assert_allclose(found[axis, r], expected, atol=1e-13)
    assert found.isel(axis=1, distance=slice(3, None)).isnull().all()


def test_two_categories_agree_with_spins(every_state):
    draws, _, _ = every_state(pme.Ising(LOG2 / 2, LOG2 / 2, lattice=(2, 3)))
    for connected in (True, False):
        spins = correlation_function(draws, connected=connected)
        states = correlation_function((draws + 1) // 2, connected=connected, q=2)
        xr.testing.assert_allclose(spins, states, rtol=1e-11)
    xr.testing.assert_allclose(
        correlation_length(draws), correlation_length((draws + 1) // 2, q=2), rtol=1e-11
    )


@pytest.mark.parametrize(("n", "t", "q"), [(8, 1 / 3, None), (6, 1 / 4, 3)])
def test_the_correlation_length_of_a_ring(every_state, n, t, q):
    lattice = {"lattice": (n,)}
    energy = pme.Ising(LOG2 / 2, **lattice) if q is None else pme.Potts(q, LOG2, **lattice)
    draws, _, _ = every_state(energy)
    g = ring_correlation(n, t, q or 2)
    s0, s1 = g.sum(), g @ np.cos(2 * np.pi * np.arange(n) / n)
    expected = np.sqrt(s0 / s1 - 1) / (2 * np.sin(np.pi / n))
    found = correlation_length(draws, q=q)["value"]
    np.testing.assert_allclose(found, [[expected]], rtol=1e-12)


def test_an_open_chain_decays_exponentially():
    t, n = 0.6, 64
    rng = np.random.default_rng(9)
    same = rng.random((4, 2_000, n - 1)) < (1 + t) / 2
    start = rng.choice([-1, 1], size=(4, 2_000, 1))
    z = np.cumprod(np.concatenate([start, np.where(same, 1, -1)], axis=-1), axis=-1)
    g = correlation_function(xr.DataArray(z, dims=("chain", "draw", "site")), periodic=False)
    error = (g["value"] - t ** g["distance"]) / g["mcse"]
    assert abs(error.isel(distance=slice(1, 12))).max() < 5  # false alarm 6e-6


def test_errors_are_calibrated(lazy_spins):
    x = lazy_spins(np.random.default_rng(10), 9)
    fit = correlation_function(x, site_dims="site").isel(axis=0, distance=[1, 3])
    z = fit["value"] / fit["mcse"]
    assert ((z.std("repeat") > 0.85) & (z.std("repeat") < 1.15)).all()


def test_draws_are_taken_in_blocks(every_state, monkeypatch):
    draws, _, _ = every_state(pme.Ising(LOG2 / 2, lattice=(2, 3)))
    whole = correlation_function(draws)
    monkeypatch.setattr("pm_energy.diagnostics.correlations.BLOCK", 100)
    xr.testing.assert_allclose(correlation_function(draws), whole, rtol=1e-12)


def test_no_correlation_has_no_length():
    z = np.random.default_rng(12).choice([-1, 1], size=(1, 100, 4, 2))
    z[0, 50:] = -z[0, :50]  # a staggered field: S(0) = 0
    z[..., ::2, :] = -z[..., 1::2, :]
    fit = correlation_length(xr.DataArray(z, dims=("chain", "draw", "row", "col")))
    assert fit["value"].isnull().all()
    assert fit["mcse"].isnull().all()


@pytest.mark.parametrize("periodic", [(True,), "yes", (1, 0), None])
def test_periodic_is_checked(periodic):
    z = xr.DataArray(np.ones((1, 4, 3, 3)), dims=("chain", "draw", "row", "col"))
    with pytest.raises(ValueError, match="periodic must be a bool or 2 of them"):
        correlation_function(z, periodic=periodic)
