"""Families counted by hand, and populations whose members are drawn anew at each beta."""

import numpy as np
import pytest
import xarray as xr
from tempered_trees import log_z, population_annealing

from pm_energy.diagnostics import (
    check_tempering,
    plot_population,
    population_profile,
    tempering_summary,
)
from pm_energy.partition import EvidenceWarning


@pytest.fixture(scope="module")
def population():
    return population_annealing(np.random.default_rng(1))


@pytest.fixture
def small(population):
    """A copy to spoil."""
    return population.copy(deep=True)


def test_families_by_hand(small):
    run = small["population"].to_dataset().isel(draw=slice(6))
    run["family"][:] = [[5, 5, 5, 2, 2, 9], [7, 7, 7, 7, 7, 7]]
    run["rho_t"][:, -1] = [6 * (9 + 4 + 1) / 36, 6]
    profile = population_profile(run)
    np.testing.assert_allclose(profile["family_share"], [[1 / 2, 1 / 3, 1 / 6], [1, 0, 0]])
    np.testing.assert_allclose(profile["largest_family"], [1 / 2, 1])
    np.testing.assert_allclose(profile["families"][:, -1], [36 / 14, 1])


def test_effective_numbers_are_those_of_the_final_families(population):
    """Two ways to the same number, and the inequality of Renyi entropies."""
    profile = population_profile(population)
    final = profile.isel(step=-1)
    share = profile["family_share"]
    np.testing.assert_allclose(share.sum("rank"), 1)
    np.testing.assert_allclose(final["families"], 1 / (share**2).sum("rank"))
    positive = share.where(share > 0)
    entropy = -(positive * np.log(positive)).sum("rank")
    np.testing.assert_allclose(final["entropic_families"], np.exp(entropy))
    assert (profile["families"] <= profile["entropic_families"] * (1 + 1e-12)).all()
    assert (profile["largest_family"] <= final["families"] ** -0.5).all()
    np.testing.assert_allclose(profile["families"][:, 0], 2000)


def test_the_summary(population):
    with pytest.warns(EvidenceWarning, match="too few founders"):
        table = tempering_summary(population)
    group = population["population"]
    np.testing.assert_array_equal(table["members"], 2000)
    np.testing.assert_array_equal(table["steps"], group.sizes["step"] - 1)
    np.testing.assert_array_equal(table["min_ess"], group["ess"].min("step"))
    np.testing.assert_array_equal(table["min_acceptance"], group["acceptance"][:, -1])
    assert abs(table["log_z"] - log_z(1.0)) < 5 * table["log_z_mcse"]
    assert set(table.dims) == {"chain"}


def test_a_population_that_is_large_enough_is_trusted():
    assert check_tempering(population_annealing(np.random.default_rng(2), size=8000)) == []


def test_what_is_wrong_is_said(small):
    group = small["population"]
    families = population_profile(small)["families"].values[:, -1]
    [few] = check_tempering(small)  # 2,000 members are too few here
    assert f"too few founders: effectively {families.min():.0f}, " in few
    group["rho_t"][:] = 10.0
    assert check_tempering(small) == []
    group["ess"][0, 3] = 0.04
    [reason] = check_tempering(small)
    beta = group["beta"].values[3]
    assert (
        f"Steps in beta are too long: the effective fraction of weights is 0.04 at beta {beta:.3g}"
        in reason
    )
    group["ess"][0, 3] = 1
    group["acceptance"][1, 5:] = 0.01
    [reason] = check_tempering(small)
    assert "Members hardly move: the acceptance is 0.01 at beta" in reason
    assert "and 16 more" in reason
    group["acceptance"][:] = 0.5
    group["log_z"][:, -1] = [-20.0, -18.0]
    [reason] = check_tempering(small)
    assert "Populations disagree: log Z differs by 1.4 between them" in reason


def test_the_plot_shows_the_numbers(population):
    left, middle, right = plot_population(population)
    group, profile = population["population"], population_profile(population)
    np.testing.assert_array_equal(left.lines[0].get_ydata(), group["ess"][0])
    np.testing.assert_array_equal(left.lines[3].get_ydata(), group["acceptance"][1])
    np.testing.assert_array_equal(middle.lines[0].get_ydata(), profile["families"][0])
    np.testing.assert_array_equal(right.lines[1].get_ydata(), profile["family_share"][1, :20])
    assert middle.get_yscale() == "log"
    left.figure.canvas.draw()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: population_profile(xr.DataTree()), "which pme.sample_population_annealing makes"),
        (lambda: plot_population([1]), "pme.sample_population_annealing, got list"),
        (lambda: check_tempering([1]), "'population', 'work'"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
