"""Random variates from a walker's own stream, and moments of states by level."""

import numpy as np
import pytest
from numba import njit
from scipy.stats import kstest

from pm_energy.kernels.moments import add_moments
from pm_energy.kernels.variates import exponential, fill_normal, streams, uniform

FALSE_ALARM = 1e-6


@njit
def fill(words, draw, out):
    for i in range(out.size):
        out[i] = draw(words)


@pytest.mark.parametrize(
    ("draw", "law"), [(uniform, "uniform"), (exponential, "expon"), (uniform, "expon")]
)
def test_variates_follow_their_laws(draw, law):
    out = np.empty(100_000)
    fill(streams(np.random.default_rng(0), 1)[0], draw, out)
    right = (draw is uniform) == (law == "uniform")
    assert (kstest(out, law).pvalue > FALSE_ALARM) == right


@pytest.mark.parametrize("size", [2, 3])
def test_normal_vectors_are_normal_in_all_directions(size):
    words = streams(np.random.default_rng(1), 30_000)
    out = np.empty((30_000, size))
    for row, w in zip(out, words, strict=True):
        fill_normal(w, row)
    for direction in [*np.eye(size), np.ones(size), np.arange(size) - 1.0]:
        p_value = kstest(out @ direction / np.linalg.norm(direction), "norm").pvalue
        assert p_value > FALSE_ALARM / 5


def test_streams_go_on_where_they_were():
    words = streams(np.random.default_rng(2), 2)
    first, second = np.empty((2, 10))
    fill(words[0], uniform, first)
    fill(words[0], uniform, second)
    again, both = streams(np.random.default_rng(2), 2), np.empty(20)
    fill(again[0], uniform, both)
    np.testing.assert_array_equal(both, np.concatenate([first, second]))
    np.testing.assert_array_equal(again[1], words[1])


@pytest.mark.parametrize("dense", [True, False])
def test_moments_are_those_of_numpy(dense):
    rng = np.random.default_rng(3)
    x, levels = 1e6 + rng.normal(size=(500, 3)), rng.integers(2, size=500)
    center = 1e6 + rng.normal(size=(2, 3))
    count, total = np.zeros(2), np.zeros((2, 3))
    square = np.zeros((2, 3, 3) if dense else (2, 3))
    add_moments(x[:200], levels[:200], center, count, total, square)
    add_moments(x[200:], levels[200:], center, count, total, square)
    for k in range(2):
        away = x[levels == k] - center[k]
        assert count[k] == len(away)
        np.testing.assert_allclose(total[k], away.sum(axis=0), rtol=1e-12)
        expected = away.T @ away
        np.testing.assert_allclose(square[k], expected if dense else np.diag(expected), rtol=1e-12)
