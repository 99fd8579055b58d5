"""Normal work, for which the second law and Crooks's theorem hold exactly."""

import numpy as np
import pytest
import xarray as xr
from tempered_trees import annealed_work, log_z, tree

from pm_energy.diagnostics import check_tempering, plot_work, tempering_summary, work_profile

DELTA_F = 12.0


def normal_work(rng, spread, runs=2000, shift=0.0):
    """Work N(F + s^2 / 2, s^2) forward; then by Crooks N(F - s^2 / 2, s^2) in reverse."""
    forward = rng.normal(DELTA_F + spread**2 / 2, spread, runs)
    reverse = rng.normal(DELTA_F - spread**2 / 2 + shift, spread, runs)
    return tree(
        "work",
        {
            "forward": ("particle", forward),
            "reverse": ("particle_reverse", reverse),
            "beta": ("step", np.linspace(0, 1, 50)),
        },
        reverse_exact=1,
    )


def test_dissipated_work_of_normal_work():
    """Half its variance both ways; 5 standard errors, one false alarm in a million."""
    seen = work_profile(normal_work(np.random.default_rng(1), 1.5))
    np.testing.assert_array_equal(seen["runs"], 2000)
    assert abs(seen["free_energy"] - DELTA_F) < 5 * seen["free_energy_mcse"]
    error = 5 * np.hypot(seen["mean_work_mcse"], seen["free_energy_mcse"])
    assert (abs(seen["dissipation"] - 1.5**2 / 2) < error).all()
    # <w>^2 / <w^2> of lognormal weights is exp(-s^2); its own relative spread here is .2
    np.testing.assert_allclose(seen["effective_runs"], 2000 * np.exp(-(1.5**2)), rtol=0.6)


def test_annealing_with_perfect_moves_gives_the_known_free_energy():
    run = annealed_work(np.random.default_rng(2))
    seen = work_profile(run)
    assert abs(seen["free_energy"] + log_z(1.0)) < 5 * seen["free_energy_mcse"]
    assert check_tempering(run) == []
    table = tempering_summary(run)
    np.testing.assert_allclose(table["log_z"], -table["free_energy"])
    one_way = annealed_work(np.random.default_rng(3), reverse=False)
    assert work_profile(one_way)["direction"].values.tolist() == ["forward"]
    assert check_tempering(one_way) == []


def test_work_that_breaks_the_second_law_is_noticed():
    """Reverse runs that start elsewhere may cost more than forward runs."""
    broken = normal_work(np.random.default_rng(4), 1.0, shift=2.0)
    assert any("second law is broken" in reason for reason in check_tempering(broken))
    right = normal_work(np.random.default_rng(4), 1.0)
    assert not any("second law" in reason for reason in check_tempering(right))


def test_few_weights_that_count_are_noticed():
    fast = normal_work(np.random.default_rng(5), 8.0)
    assert any("2000 forward runs only" in reason for reason in check_tempering(fast))


def test_runs_without_weight_are_counted_but_not_averaged():
    run = normal_work(np.random.default_rng(8), 1.0)
    run["work"]["forward"][:200] = np.inf
    run["work"] = xr.DataTree(run["work"].to_dataset().drop_vars("reverse"))
    seen = work_profile(run)
    assert np.isinf(seen["mean_work"][0])
    assert abs(seen["free_energy"] - DELTA_F + np.log(0.9)) < 5 * seen["free_energy_mcse"]
    assert check_tempering(run) == []
    ax = plot_work(run)
    assert ax.get_legend().get_texts()[0].get_text() == "forward (10% infinite)"
    assert len(ax.lines) == 1  # no mean


def test_the_plot_shows_the_numbers():
    run = normal_work(np.random.default_rng(6), 1.5)
    ax = plot_work(run)
    seen = work_profile(run)
    for patch in ax.patches:
        values, edges, _ = patch.get_data()
        np.testing.assert_allclose((values * np.diff(edges)).sum(), 1)
    marks = [line.get_xdata()[0] for line in ax.lines]
    np.testing.assert_allclose(marks, [*seen["mean_work"].values, seen["free_energy"]])
    assert marks[0] > marks[2] > marks[1]  # the second law
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == "forward"
    assert labels[-1] == f"ΔF = {marks[2]:.4g} ± {float(seen['free_energy_mcse']):.2g}"
    ax.figure.canvas.draw()
    assert len(plot_work(annealed_work(np.random.default_rng(7), reverse=False)).patches) == 2


@pytest.mark.parametrize("function", [work_profile, plot_work])
def test_bad_input_is_named(function):
    with pytest.raises(ValueError, match=r"no group 'work', which pme\.ais makes"):
        function(xr.DataTree())
