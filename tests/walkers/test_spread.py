"""Covariances learned level by level: what compiled moves are tuned by."""

import numpy as np
import pytest

from pm_energy.walkers import spread
from pm_energy.walkers.spread import Spread

COVARIANCE = np.array([[4.0, 1.8, 0.0], [1.8, 1.0, 0.0], [0.0, 0.0, 1e-6]])


def draws(n, seed=0):
    return np.random.default_rng(seed).multivariate_normal([1e3, 0.0, 5.0], COVARIANCE, n)


def learned(n, levels=0):
    """Spread of two levels after n states of the same law at each of the levels."""
    found = Spread(10.0 * np.random.default_rng(1).normal(size=(64, 3)))
    found.carry(np.array([0, 0]))
    for level in np.atleast_1d(levels):
        found.see(draws(n), np.full(n, level))
    found.learn()
    return found


def test_covariance_of_a_level_is_learned_and_that_of_others_kept():
    found = learned(20_000, levels=1)
    before, after = found.scale @ np.swapaxes(found.scale, 1, 2)
    np.testing.assert_allclose(np.sqrt(np.diag(before)), 10.0, rtol=0.3)
    # the estimate before counts for one state in 20,001
    np.testing.assert_allclose(after[:2, :2], COVARIANCE[:2, :2], rtol=0.2)


def test_a_second_look_forgets_the_first():
    found = learned(1000)
    for _ in range(3):
        found.see(draws(1000, seed=2), np.zeros(1000, dtype=int))
        found.learn()
    [found, _] = found.scale @ np.swapaxes(found.scale, 1, 2)
    np.testing.assert_allclose(np.diag(found), np.diag(COVARIANCE), rtol=0.2)


def test_axes_are_conjugate_and_as_long_as_the_density_is_wide():
    found = learned(1000)
    sd, axes, weights = (part[0] for part in found.directions)
    covariance = found.scale[0] @ found.scale[0].T
    np.testing.assert_allclose(axes.T @ axes, covariance, rtol=1e-10, atol=1e-10 * sd.max() ** 2)
    np.testing.assert_allclose(sd**2, np.diag(covariance), rtol=1e-12)
    shares = np.diff(weights, prepend=0.0)
    assert (np.diff(shares) >= 0).all()
    np.testing.assert_allclose(weights[-1], 1.0)


def test_nothing_is_learned_from_too_few_states():
    """Nor from fewer than an estimate rests on already."""
    found = learned(1000)
    scale = found.scale.copy()
    found.see(draws(999, seed=3), np.zeros(999, dtype=int))
    np.testing.assert_array_equal(found.learn(), 1.0)
    np.testing.assert_array_equal(found.scale, scale)
    found.see(draws(1, seed=4), np.zeros(1, dtype=int))
    assert (found.learn() != [1.0, 1.0]).tolist() == [True, False]
    few = learned(7)
    np.testing.assert_array_equal(few.scale[0], few.scale[1])


def test_how_much_wider_is_a_geometric_mean():
    found = learned(1000)
    before = np.linalg.det(found.scale[0])
    found.see(2.0 * draws(5000, seed=5), np.zeros(5000, dtype=int))
    wider = found.learn()
    np.testing.assert_allclose(wider[0] ** 3, np.linalg.det(found.scale[0]) / before, rtol=1e-12)
    assert wider[1] == 1.0


def test_walkers_that_do_not_move_keep_some_width():
    found = Spread(np.zeros((5, 2)))
    for _ in range(40):
        found.see(np.full((1000, 2), 3.0), np.zeros(1000, dtype=int))
        found.learn()
    assert (np.diagonal(found.scale[0]) >= spread.NARROWEST).all()


def test_infinite_states_are_left_out():
    """Logs of numbers so small that they are zero, among draws of a prior."""
    finite, holes = draws(500), draws(500)
    holes = np.concatenate([holes, np.where(np.eye(3, dtype=bool), -np.inf, 1.0)])
    found, expected = Spread(holes), Spread(finite)
    np.testing.assert_array_equal(found.scale, expected.scale)
    found.see(holes, np.zeros(503, dtype=int))
    expected.see(finite, np.zeros(500, dtype=int))
    np.testing.assert_array_equal(found.learn(), expected.learn())
    assert np.isfinite(Spread(np.full((4, 2), np.inf)).scale).all()


def test_many_dimensions_have_variances_only(monkeypatch):
    monkeypatch.setattr(spread, "DENSE", 2)
    found = learned(2000)
    assert found.scale.shape == (2, 3)
    np.testing.assert_allclose(found.scale[0][:2], np.sqrt(np.diag(COVARIANCE))[:2], rtol=1.5)
    sd, axes, weights = found.directions
    assert sd.shape == (2, 3)
    assert axes.shape == (2, 0, 3)
    assert weights.shape == (2, 0)


@pytest.mark.parametrize("source", [[1, 0, 1], [0]])
def test_levels_begin_with_what_was_known_of_another(source):
    found = learned(500, levels=1)
    scale = found.scale.copy()
    found.see(draws(500), np.zeros(500, dtype=int))  # forgotten
    found.carry(np.array(source))
    np.testing.assert_array_equal(found.scale, scale[source])
    np.testing.assert_array_equal(found.learn(), 1.0)
