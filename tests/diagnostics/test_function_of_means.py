"""Errors of functions of means must be right for dependent draws."""

import numpy as np
import pytest
import xarray as xr

from pm_energy.diagnostics import function_of_means, means

RHO, REPEATS, DRAWS = 0.8, 400, 500


@pytest.fixture(scope="module")
def chains():
    """Stationary AR(1) chains of unit variance: two correlated series, many independent repeats."""
    rng = np.random.default_rng(11)
    noise = rng.normal(size=(2, 4, DRAWS, REPEATS))
    x = noise.copy()
    for t in range(1, DRAWS):
        x[:, :, t] = RHO * x[:, :, t - 1] + np.sqrt(1 - RHO**2) * noise[:, :, t]
    a, shared = 2 + x[0], 1 + 0.8 * x[0] + 0.6 * x[1]
    return [xr.DataArray(v, dims=("chain", "draw", "repeat")) for v in (a, shared)]


def delta(function, *series):
    return function_of_means(function, *series)


def as_if_independent(function, *series):
    """The same, with draws taken for independent."""
    shuffled = np.random.default_rng(1).permutation(series[0].sizes["draw"])
    return function_of_means(function, *[a.isel(draw=shuffled) for a in series])


def without_covariance(function, *series):
    """Errors of the means added in quadrature."""
    fit = function_of_means(function, *series)
    at = [a.mean(("chain", "draw")) for a in series]
    parts = []
    for k, a in enumerate(series):
        one = [m if j != k else a for j, m in enumerate(at)]
        parts.append(
            function_of_means(lambda m, one=one, k=k: function(*one[:k], m, *one[k + 1 :]), a)
        )
    return fit.assign(mcse=np.sqrt(sum(part["mcse"] ** 2 for part in parts)))


def z_spread(fit, truth):
    return float(((fit["value"] - truth) / fit["mcse"]).std())


@pytest.mark.parametrize(
    ("estimate", "is_right"),
    [(delta, True), (as_if_independent, False), (without_covariance, False)],
)
def test_the_error_of_a_ratio_is_calibrated(chains, estimate, is_right):
    # the sd of 400 z-scores has a standard error of .035
    spread = z_spread(estimate(lambda a, b: a / b, *chains), 2.0)
    assert (0.85 < spread < 1.15) == is_right


@pytest.mark.parametrize(
    ("function", "powers", "truth"),
    [
        (lambda a, a2: np.sqrt(a2 - a**2), (1, 2), 1.0),
        (lambda a, a2: a2 - a**2, (1, 2), 1.0),
        (lambda a2: np.log(a2), (2,), np.log(5.0)),
        (lambda a2, a4: 1 - a4 / (3 * a2**2), (2, 4), 1 - 43 / 75),  # E(2 + x)^4 = 16 + 24 + 3
    ],
)
def test_errors_of_nonlinear_functions_are_calibrated(chains, function, powers, truth):
    series = [chains[0] ** power for power in powers]
    assert 0.85 < z_spread(function_of_means(function, *series), truth) < 1.15


def test_a_single_chain_and_the_mean_agree_with_arviz(chains):
    import arviz as az

    one = chains[0].isel(chain=[0], repeat=0)
    fit = function_of_means(lambda a: a, one)
    np.testing.assert_allclose(fit["value"], one.mean())
    np.testing.assert_allclose(
        fit["mcse"], az.mcse(one.values, chain_axis=0, draw_axis=1), rtol=1e-12
    )


def test_the_error_does_not_depend_on_the_unit(chains):
    one = chains[0].isel(repeat=0)
    small = function_of_means(lambda a: a, 1e-20 * one)  # ArviZ alone takes this for a constant
    large = function_of_means(lambda a: a, one)
    np.testing.assert_allclose(1e20 * small["mcse"], large["mcse"], rtol=1e-9)


def test_chains_that_disagree_have_a_large_error_and_frozen_ones_an_unknown_error():
    spins = np.ones((4, 100, 2))
    spins[:2, :, 0] = -1
    fit = function_of_means(lambda m: m, xr.DataArray(spins, dims=("chain", "draw", "site")))
    assert fit["mcse"][0] > 0.4
    assert np.isnan(fit["mcse"][1])
    np.testing.assert_array_equal(fit["value"], [0, 1])


def test_an_undefined_value_has_an_undefined_error():
    x = xr.DataArray(np.random.default_rng(2).normal(size=(2, 50)), dims=("chain", "draw"))
    fit = function_of_means(lambda m2: np.sqrt(m2 - 100), x**2)
    assert np.isnan(fit["value"])
    assert np.isnan(fit["mcse"])


def test_too_few_draws_are_refused():
    x = xr.DataArray(np.zeros((2, 3)), dims=("chain", "draw"), name="m")
    with pytest.raises(ValueError, match=r"m has 3 draws a chain.* at least 4"):
        function_of_means(lambda m: m, x)


def test_the_mean_over_draws_has_no_extra_dimensions(chains):
    assert means.mcse_of_mean(chains[0].transpose("repeat", "draw", "chain")).dims == ("repeat",)
