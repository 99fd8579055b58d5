"""What estimators of log Z must obey exactly, whatever the draws."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logsumexp
from synthetic_runs import LADDER, ladders_of_chains, wanderers

from pm_energy.partition import (
    NotAvailable,
    ais,
    ais_bridge,
    ais_reverse,
    bridge,
    mbar,
    population_annealing,
    population_integration,
    rao_blackwell,
    stepping_stone,
    stepping_stone_backward,
    stepping_stone_forward,
    thermodynamic_integration,
)
from pm_energy.partition.mbar import pool

OF_LADDERS = [
    mbar,
    bridge,
    stepping_stone,
    stepping_stone_forward,
    stepping_stone_backward,
    thermodynamic_integration,
]


@pytest.fixture(scope="module")
def draws():
    return ladders_of_chains(np.random.default_rng(5), seeds=1, chains=3, draws=200)[0]


@pytest.mark.parametrize("estimator", OF_LADDERS, ids=lambda f: f.__name__)
def test_a_constant_log_ratio_is_log_z(estimator):
    fit = estimator(np.full((2, 50, 6), -3.7), LADDER)
    assert abs(fit.value + 3.7) < 1e-12
    assert fit.mcse < 1e-12


def test_a_constant_log_ratio_is_log_z_on_other_roads_too():
    u, level = np.full((2, 60), -3.7), np.tile(np.arange(6), (2, 10))
    works, mean = np.full(50, 3.7), np.full((2, 6), -3.7)
    fits = [
        mbar(u, LADDER, level),
        rao_blackwell(u, LADDER, 3.7 * LADDER),
        ais(works),
        ais_reverse(works, exact=True),
        ais_bridge(works, works, exact=True),
        population_annealing([-3.7, -3.7], [1.0, 1.0], 100),
        population_integration(LADDER, mean, np.zeros((2, 6)), 0.0),
    ]
    for fit in fits:
        assert abs(fit.value + 3.7) < 1e-12, fit.method
        assert fit.mcse < 1e-12, fit.method


def bennett(up, down):
    """The root of Bennett's equation, the draws being log-weights up and down the step."""
    offset = np.log(up.size / down.size)

    def gap(f):
        return expit(up - f - offset).sum() - expit(f - down + offset).sum()

    return brentq(gap, -50, 50, xtol=1e-14, rtol=1e-14)


def test_mbar_of_two_levels_is_bennetts_acceptance_ratio(draws):
    step = LADDER[3] - LADDER[2]
    value = bennett(step * draws[..., 2].ravel(), step * draws[..., 3].ravel())
    assert abs(mbar(draws[..., 2:4], LADDER[2:4]).value - value) < 1e-12
    steps = [
        bennett(width * draws[..., k].ravel(), width * draws[..., k + 1].ravel())
        for k, width in enumerate(np.diff(LADDER))
    ]
    assert abs(bridge(draws, LADDER).value - sum(steps)) < 1e-12


def test_works_are_two_levels_with_unequal_numbers():
    rng = np.random.default_rng(1)
    forward, reverse = rng.normal(3, 1, 70), rng.normal(2, 1, 40)
    fit = ais_bridge(forward, reverse, exact=False)
    assert abs(fit.value - bennett(-forward, -reverse)) < 1e-12


def test_mbar_obeys_its_equations(draws):
    mixture = pool(draws, LADDER)
    log_mixture = logsumexp(
        np.multiply.outer(LADDER, draws.ravel()) - mixture.log_z[:, None], axis=0, b=600
    )
    own = logsumexp(np.multiply.outer(LADDER, draws.ravel()) - log_mixture, axis=1)
    np.testing.assert_allclose(own, mixture.log_z, atol=1e-12)


def test_mbar_does_not_know_which_level_a_draw_came_from(draws):
    """Only how many each level gave."""
    shuffled = np.random.default_rng(0).permutation(draws.ravel()).reshape(draws.shape)
    assert abs(mbar(shuffled, LADDER).value - mbar(draws, LADDER).value) < 1e-12


def test_quantiles_are_but_a_start():
    """Many draws are solved from quantiles of them first; the answer does not depend on that."""
    u = ladders_of_chains(np.random.default_rng(6), seeds=1, chains=3, draws=1500)[0]
    mixture = pool(u, LADDER)
    rows = np.multiply.outer(LADDER, u.ravel()) - mixture.log_z[:, None]
    np.testing.assert_allclose(
        logsumexp(rows - logsumexp(rows, axis=0), axis=1), np.log(4500), atol=1e-11
    )


def test_a_ladder_may_be_walked_by_one_state(draws):
    level = np.broadcast_to(np.arange(6), draws.shape)
    walk = mbar(draws.reshape(3, -1), LADDER, level.reshape(3, -1))
    assert abs(walk.value - mbar(draws, LADDER).value) < 1e-12


def test_walks_may_visit_levels_unequally():
    """Draws are taken out: what is left, with its counts, still solves the same equations."""
    u, level, _ = wanderers(np.random.default_rng(2), 1, draws=400)
    keep = ~((level[0] == 3) & (np.arange(400) % 3 > 0))
    n = keep.sum(axis=1).min()
    u, level = (
        np.stack([row[k][:n] for row, k in zip(a[0], keep, strict=True)]) for a in (u, level)
    )
    mixture = pool(u, LADDER, level)
    count = np.bincount(level.ravel())
    rows = np.multiply.outer(LADDER, u.ravel()) - mixture.log_z[:, None]
    total = logsumexp(rows - logsumexp(rows, axis=0, b=count[:, None]), axis=1)
    np.testing.assert_allclose(total, 0, atol=1e-12)


@pytest.mark.parametrize("estimator", OF_LADDERS, ids=lambda f: f.__name__)
def test_ladders_of_chains(estimator, draws):
    """The same ladder for each is one ladder. Of different ones, estimates are averaged."""
    fit = estimator(draws, LADDER)
    same = estimator(draws, np.tile(LADDER, (3, 1)))
    assert same.value == fit.value
    assert same.mcse == fit.mcse
    ladders = np.stack([LADDER, LADDER**1.1, LADDER])
    several = estimator(draws, ladders)
    assert np.isfinite(several.mcse)
    if estimator is not mbar:  # which pools them
        parts = estimator(draws[[0, 2]], LADDER), estimator(draws[[1]], ladders[1])
        assert abs(several.value - (2 * parts[0].value + parts[1].value) / 3) < 1e-12


def test_ladders_that_hardly_differ_are_as_good_as_one(draws):
    """Their levels are nearly the same density, which must not make equations singular."""
    fit = mbar(draws, LADDER)
    for apart in (1e-15, 1e-12, 1e-9):
        ladders = np.tile(LADDER, (3, 1))
        ladders[:, 1:-1] += apart * np.array([[-1.0], [0.0], [1.0]])
        near = mbar(draws, ladders)
        assert abs(near.value - fit.value) < 100 * apart + 1e-11
        assert abs(near.mcse - fit.mcse) < 100 * apart + 1e-11


def moments_to_draws(mean, variance):
    """Two draws a level with these moments."""
    return mean + np.array([[-1.0], [1.0]]) * np.sqrt(variance)


def corrected(u, beta):
    return thermodynamic_integration(u, beta).value


def trapezoids(u, beta):
    mean = u.mean(axis=(0, 1))
    return (np.diff(beta) * (mean[1:] + mean[:-1]) / 2).sum()


def corrected_upside_down(u, beta):
    return 2 * trapezoids(u, beta) - corrected(u, beta)


@pytest.mark.parametrize(
    ("rule", "is_right"),
    [(corrected, True), (trapezoids, False), (corrected_upside_down, False)],
)
def test_corrected_trapezoids_integrate_cubics_exactly(rule, is_right):
    """log Z = -9 b + 5 b^2 + b^3 - b^4 / 2: its derivatives are mean and variance."""
    b = LADDER
    u = moments_to_draws(-9 + 10 * b + 3 * b**2 - 2 * b**3, 10 + 6 * b - 6 * b**2)[None]
    assert (abs(rule(u, b) - (-9 + 5 + 1 - 0.5)) < 1e-12) == is_right
    fit = thermodynamic_integration(u, b)
    assert fit.lower < fit.value < fit.upper


@pytest.mark.parametrize(
    "estimator", [f for f in OF_LADDERS if f is not stepping_stone], ids=lambda f: f.__name__
)
def test_shares_are_derivatives(estimator, draws):
    """One more copy of a draw moves the value by its share, divided by the number of draws."""
    many = np.tile(draws[:1], (1, 100, 1))
    fit = estimator(many, LADDER)
    for t in (0, 17, 130):
        moved = estimator(np.append(many, many[:, t : t + 1], axis=1), LADDER).value - fit.value
        assert abs(moved * many.shape[1] - fit.shares[0][0, t]) < 1e-2  # 1 / 20,000 of them squared
    assert abs(fit.shares[0].mean()) < 1e-9


def test_shares_of_a_wandering_state_are_derivatives():
    u, level, g = wanderers(np.random.default_rng(3), 1, chains=1, draws=300)
    u, level = np.tile(u[0], 100), np.tile(level[0], 100)
    for t in (5, 40, 222):
        more = [np.append(a, a[:, t : t + 1], axis=1) for a in (u, level)]
        for estimator in (
            lambda u, k: mbar(u, LADDER, k),
            lambda u, k: rao_blackwell(u, LADDER, g),
        ):
            fit = estimator(u, level)
            moved = estimator(*more).value - fit.value
            assert abs(moved * u.size - fit.shares[0][0, t]) < 1e-2


def test_a_likelihood_that_vanishes_on_a_part_of_the_base():
    """u = -3 on a part of the base, -inf elsewhere: log Z is log of the part, minus 3."""
    u = np.full((2, 100, 4), -3.0)
    u[:, ::4, 0] = -np.inf
    beta = [0.0, 0.2, 0.5, 1.0]
    exact = np.log(0.75) - 3
    for estimator in (mbar, bridge, stepping_stone_forward):
        fit = estimator(u, beta)
        assert abs(fit.value - exact) < 1e-9, fit.method
        assert fit.mcse > 0.01, fit.method
    with pytest.raises(NotAvailable, match=r"-inf .* no mean .*'mbar'"):
        thermodynamic_integration(u, beta)


def test_levels_without_overlap_do_not_break_the_solution():
    """There is nothing to find, but no error either: the check of overlap tells."""
    u = np.random.default_rng(0).normal([-5000, -3000, -100], 1.0, size=(2, 100, 3))
    assert np.isfinite(mbar(u, [0.0, 0.5, 1.0]).value)
