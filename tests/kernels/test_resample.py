"""Systematic resampling: expected counts exact, each count rounded down or up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pm_energy.kernels.resample import systematic


class Offset:
    """In place of a Generator: the offset of the comb is what we say."""

    def __init__(self, value):
        self.value = value

    def random(self):
        return self.value


def a_comb_that_never_moves(rng, weights, size):
    return systematic(Offset(0.5), weights, size)


def weights_one_off(rng, weights, size):
    return systematic(rng, np.roll(weights, 1), size)


@pytest.mark.parametrize(
    ("resample", "is_right"),
    [
        (systematic, True),
        (a_comb_that_never_moves, False),
        (weights_one_off, False),
    ],
)
@pytest.mark.parametrize("size", [4, 7])
def test_expected_counts_are_exact(resample, is_right, size):
    """For weights in parts of n the counts are constant between offsets in parts of n."""
    weights, parts = np.array([3.0, 0.0, 11.0, 1.0, 5.0]), 20
    counts = [
        np.bincount(resample(Offset((i + 0.5) / parts), weights, size), minlength=5)
        for i in range(parts)
    ]
    expected = size * weights / weights.sum()
    assert np.allclose(np.mean(counts, axis=0), expected, rtol=0, atol=1e-12) == is_right
    if is_right:
        assert np.abs(counts - expected).max() < 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1e-300, 1e-9, 0.3, 1.0, 7.0, 1e12]), min_size=1, max_size=20),
    st.sampled_from([0.0, 0.5, 1.0 - 2.0**-53]),
    st.integers(1, 30),
)
def test_nothing_of_weight_zero_is_chosen_and_order_is_kept(weights, offset, size):
    weights = np.array(weights)
    if not weights.any():
        weights[0] = 1.0
    chosen = systematic(Offset(offset), weights, size)
    assert len(chosen) == size
    assert (np.diff(chosen) >= 0).all()
    assert (weights[chosen] > 0).all()


def test_a_population_of_equals_stays_as_it_is():
    chosen = systematic(np.random.default_rng(0), np.full(1000, 0.1))
    np.testing.assert_array_equal(chosen, np.arange(1000))


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, np.nan], [1.0, -0.1], [np.inf, 1.0], []])
def test_weights_without_meaning_are_refused(weights):
    with pytest.raises(ValueError, match="weights must be finite"):
        systematic(np.random.default_rng(0), np.array(weights))
