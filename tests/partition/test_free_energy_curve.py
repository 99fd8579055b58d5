"""Log Z, mean and variance between base and target."""

import numpy as np
import pytest
from synthetic_runs import (
    LADDER,
    ladders_with_swaps,
    log_z,
    mean_u,
    populations,
    tempering_tree,
    tree,
    var_u,
    wanderers,
    works,
)

from pm_energy.partition import free_energy_curve, log_evidence, second_law

BETA = np.array([0.0, 0.1, 0.4, 0.83, 1.0])
QUANTITIES = {"log_z": log_z, "mean_log_ratio": mean_u, "var_log_ratio": var_u}


def walk_tree(u, level, g):
    variables = {
        "log_ratio": (("chain", "iteration"), u),
        "level": (("chain", "iteration"), level),
        "beta": ("level", LADDER),
        "log_weight": ("level", g),
    }
    return tree("simulated_tempering", variables)


@pytest.fixture(scope="module")
def ladders():
    u, replica = ladders_with_swaps(np.random.default_rng(41), 100, draws=400)
    return [tempering_tree(*run) for run in zip(u, [LADDER] * 100, replica, strict=True)]


@pytest.fixture(scope="module")
def walks():
    u, level, g = wanderers(np.random.default_rng(42), 100, draws=1500)
    return [walk_tree(*run, g) for run in zip(u, level, strict=True)]


@pytest.mark.parametrize("kind", ["ladders", "walks"])
def test_all_errors_are_calibrated(kind, request):
    """The standard deviation of 100 z-scores is within .8 and 1.25, for 14 of them."""
    curves = [free_energy_curve(dt, BETA) for dt in request.getfixturevalue(kind)]
    for name, exact in QUANTITIES.items():
        z = np.array([(c[name] - exact(BETA)) / c[f"{name}_mcse"] for c in curves])
        z = z[:, 1:] if name == "log_z" else z  # it is exact at the base
        assert (np.abs(z.mean(axis=0)) < 0.6).all(), name
        assert (z.std(axis=0) > 0.8).all(), name
        assert (z.std(axis=0) < 1.25).all(), name


def test_its_ends_are_the_evidence_and_its_default_covers_all_levels(ladders):
    dt = ladders[0]
    curve, fit = free_energy_curve(dt), log_evidence(dt)
    assert curve.sizes["beta"] >= 100
    assert np.isin(LADDER, curve["beta"]).all()
    assert abs(curve["log_z"][-1] - fit.value) < 1e-9
    assert abs(curve["log_z_mcse"][-1] / fit.mcse - 1) < 1e-6
    assert curve["log_z"][0] == curve["log_z_mcse"][0] == 0
    np.testing.assert_allclose(curve["heat_capacity"], curve["beta"] ** 2 * curve["var_log_ratio"])


def test_mean_and_variance_are_derivatives(ladders):
    """Of the curve itself, to the error of central differences."""
    step = 1e-3
    beta = np.arange(0.3, 0.32, step)
    curve = free_energy_curve(ladders[0], beta)
    np.testing.assert_allclose(
        np.gradient(curve["log_z"], step)[1:-1], curve["mean_log_ratio"][1:-1], rtol=1e-4
    )
    np.testing.assert_allclose(
        np.gradient(curve["mean_log_ratio"], step)[1:-1], curve["var_log_ratio"][1:-1], rtol=1e-3
    )


def test_log_z_of_the_base_is_included():
    u, replica = ladders_with_swaps(np.random.default_rng(43), 1, draws=50)
    curves = [
        free_energy_curve(tempering_tree(u[0], LADDER, replica[0], log_z_base=z))
        for z in (0.0, 2.0)
    ]
    np.testing.assert_allclose(curves[1]["log_z"], curves[0]["log_z"] + 2)


def test_many_draws_are_counted_in_blocks():
    """Blocks only shorten the series that errors come from."""
    u, replica = ladders_with_swaps(np.random.default_rng(44), 1, draws=1201)
    dt = tempering_tree(u[0], LADDER, replica[0])
    fit = log_evidence(dt)
    assert abs(free_energy_curve(dt, 1.0)["log_z_mcse"][0] / fit.mcse - 1) < 0.2


def test_where_the_likelihood_vanishes_on_a_part_of_the_base():
    u = np.full((2, 100, 3), -3.0)
    u[:, ::4, 0] = -np.inf
    curve = free_energy_curve(tempering_tree(u, np.array([0.0, 0.5, 1.0])), [0.0, 0.25, 1.0])
    np.testing.assert_allclose(curve["mean_log_ratio"], [-np.inf, -3, -3])
    np.testing.assert_allclose(curve["var_log_ratio"], [np.nan, 0, 0], atol=1e-12)
    np.testing.assert_allclose(curve["log_z"], [0, np.log(0.75) - 0.75, np.log(0.75) - 3])
    np.testing.assert_array_equal(np.isnan(curve["mean_log_ratio_mcse"]), [True, False, False])


def test_populations_have_theirs_at_their_steps():
    z = {name: [] for name in QUANTITIES}
    beta, found = populations(np.random.default_rng(45), 400, size=300, rho=0.7)
    for run in range(100):
        rows = {k: (("chain", "step"), v[4 * run : 4 * run + 4]) for k, v in found.items()}
        last = (("chain", "draw"), np.zeros((4, 300)))
        curve = free_energy_curve(
            tree("population", {"beta": ("step", beta), "log_ratio": last, **rows})
        )
        for name, exact in QUANTITIES.items():
            with np.errstate(invalid="ignore"):
                z[name].append((curve[name] - exact(beta)) / curve[f"{name}_mcse"])
    np.testing.assert_array_equal(curve["beta"], beta)
    for name, scores in z.items():
        spread = np.std(scores, axis=0)[1:]
        assert 0.3 < np.median(spread) < 1.25, name  # families bound the error: it may be too large


def test_what_has_no_curve():
    runs = tree("work", {"forward": ("particle", [1.0, 2.0])})
    with pytest.raises(ValueError, match="keep no draws along the way: use sample_parallel"):
        free_energy_curve(runs)
    u, replica = ladders_with_swaps(np.random.default_rng(46), 1, draws=20)
    with pytest.raises(ValueError, match=r"in the range \[0.0, 1.0\]"):
        free_energy_curve(tempering_tree(u[0], LADDER, replica[0]), [0.5, 1.5])


def work_tree(forward, reverse):
    variables = {"forward": ("particle", forward), "reverse": ("particle_reverse", reverse)}
    return tree("work", variables, reverse_exact=1)


def test_the_second_law_holds_for_annealing_and_not_for_works_that_break_it():
    beta = np.append(0, np.geomspace(0.005, 1, 60))
    forward, reverse = works(np.random.default_rng(47), 1, 1000, beta, rho=0.7)
    law = second_law(work_tree(forward[0], reverse[0]))
    assert law["holds"]
    assert (law["dissipation"] > 0).all()
    assert abs(law["free_energy"] + log_z()) < 4 * law["free_energy_mcse"]
    np.testing.assert_allclose(law["mean_work"], [forward.mean(), reverse.mean()])
    np.testing.assert_allclose(
        law["mean_work"] - law["free_energy"], law["dissipation"] * [1, -1], atol=1e-12
    )
    assert not second_law(work_tree(reverse[0], forward[0]))["holds"]


def test_errors_of_dissipation_are_calibrated():
    """Normal works of variance 1 dissipate 1/2 in both directions (Crooks)."""
    rng = np.random.default_rng(48)
    z = []
    for _ in range(100):
        law = second_law(work_tree(rng.normal(3.5, 1, 400), rng.normal(2.5, 1, 300)))
        z.append((law["dissipation"] - 0.5) / law["dissipation_mcse"])
    assert (np.abs(np.std(z, axis=0) - 1) < 0.25).all()


def test_the_second_law_needs_both_directions():
    with pytest.raises(ValueError, match=r"both directions: run pme.ais with reverse"):
        second_law(tree("work", {"forward": ("particle", [1.0, 2.0])}))
