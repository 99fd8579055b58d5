"""Maps over the sites of a field."""

import warnings

import arviz as az
import numpy as np
import pytest
import xarray as xr

import pm_energy as pme
from pm_energy import exact
from pm_energy.diagnostics import posterior_mode, site_entropy, site_probabilities, site_rhat

MAGNET = pme.Ising(np.log(2) / 2, np.log(2) / 2, lattice=(2, 3))


def draws(x):
    return xr.DataArray(x, dims=("chain", "draw", "row", "col")[: np.ndim(x)], name="z")


def test_marginals_equal_enumeration(every_state):
    found, states, p = every_state(MAGNET)
    up = np.tensordot(p, states == 1, axes=1)
    q = site_probabilities(found)
    np.testing.assert_allclose(q.sel(state=1), up, rtol=1e-12)
    np.testing.assert_allclose(q.sum("state"), 1, rtol=1e-15)
    np.testing.assert_array_equal(posterior_mode(found, "z"), np.where(up > 0.5, 1, -1))
    entropy = -up * np.log(up) - (1 - up) * np.log(1 - up)
    np.testing.assert_allclose(site_entropy(found), entropy, rtol=1e-12)
    assert exact.distribution(MAGNET)[1].size == 64


def test_states_that_do_not_occur_can_be_named():
    x = draws([[[0, 2], [0, 2], [0, 3], [0, 1]]])
    p = site_probabilities(x, states=range(5))
    np.testing.assert_array_equal(p, [[1, 0, 0, 0, 0], [0, 0.25, 0.5, 0.25, 0]])
    np.testing.assert_array_equal(posterior_mode(x), [0, 2])
    np.testing.assert_allclose(site_entropy(x), [0, 1.5 * np.log(2)])
    assert site_probabilities(x).sizes["state"] == 4


@pytest.mark.parametrize("states", [(0, 1), (0, 0, 1, 2)])
def test_states_must_cover_the_draws_once(states):
    with pytest.raises(ValueError, match="states must list each state once"):
        site_probabilities(draws([[[0, 2], [1, 2]]]), states=states)


def test_values_below_zero_that_are_no_spins_need_states():
    x = draws([[[-1, 0], [0, 1]]])
    with pytest.raises(ValueError, match="pass states"):
        site_probabilities(x)
    np.testing.assert_array_equal(site_probabilities(x, states=(-1, 0, 1))[0], [0.5, 0.5, 0])


@pytest.mark.parametrize("n_draws", [60, 61])
def test_rhat_of_two_states_equals_arviz(n_draws):
    rng = np.random.default_rng(1)
    p = rng.random((4, 1, 5, 6))
    x = draws(np.where(rng.random((4, n_draws, 5, 6)) < p, 1, -1))
    found = site_rhat(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where folding leaves one value
        np.testing.assert_allclose(found["r_hat"], az.rhat(x.to_dataset())["z"], rtol=1e-12)
    assert not found["frozen"].any()


def test_rhat_of_several_states_is_that_of_the_worst():
    x = draws(np.random.default_rng(2).integers(0, 3, size=(4, 50, 3, 2)))
    one = [site_rhat((x == k).astype(int))["r_hat"] for k in range(3)]
    xr.testing.assert_allclose(
        site_rhat(x)["r_hat"], np.fmax(np.fmax(*one[:2]), one[2]), rtol=1e-12
    )


def test_frozen_sites_and_chains_that_disagree():
    x = np.random.default_rng(3).integers(0, 3, size=(4, 50, 4))
    x[..., 0] = 2
    x[..., 1] = [[0], [0], [1], [2]]
    x[:, :25, 2], x[:, 25:, 2] = 0, 1  # every chain moves once, and never back
    found = site_rhat(draws(x))
    np.testing.assert_array_equal(found["frozen"], [True, False, False, False])
    assert np.isnan(found["r_hat"][0])
    assert np.isinf(found["r_hat"][1:3]).all()
    assert found["r_hat"][3] < 1.2
    assert float(found["r_hat"].max()) == np.inf


def test_a_few_draws_give_no_rhat():
    with pytest.raises(ValueError, match="at least 4"):
        site_rhat(draws(np.ones((2, 3, 2))))
