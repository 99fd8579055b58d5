"""Schedules: steps as long as the weights allow, and where small ones belong."""

import numpy as np
import pytest

from pm_energy.kernels.resample import systematic
from pm_energy.paths.ladder import equal_rejection_ladder
from pm_energy.paths.schedule import (
    effective_fraction,
    next_beta,
    overlap_fraction,
    thermodynamic_lengths,
)

DRAWS = np.random.default_rng(7).normal(-50, 10, size=2000)


@pytest.mark.parametrize("measure", [effective_fraction, overlap_fraction])
@pytest.mark.parametrize("target", [0.1, 0.5, 0.95, 0.9999])
@pytest.mark.parametrize("scale", [1e-12, 0.01, 1.0, 1e12])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_steps_are_as_long_as_the_weights_allow(measure, target, scale, beta):
    log_ratio = DRAWS * scale
    new = next_beta(log_ratio, beta, target, measure)
    reached = measure((new - beta) * log_ratio)
    if new == 1.0:
        assert reached >= target - 1e-6
    elif (new - beta) > 1e-9 * beta:  # else the difference is rounded
        assert reached == pytest.approx(target, abs=1e-4)
    assert beta < new <= 1.0


def test_weights_of_a_normal_log_ratio():
    """ESS is exp(-(step sd)^2), and the overlap 2 Phi(-step sd / 2)."""
    log_ratio = np.random.default_rng(0).normal(0, 10, size=400_000)
    assert next_beta(log_ratio, 0.0, 0.8) == pytest.approx(np.sqrt(-np.log(0.8)) / 10, rel=0.01)
    step = next_beta(log_ratio, 0.0, 0.8026, overlap_fraction)
    assert step == pytest.approx(0.5 / 10, rel=0.01)  # 2 Phi(-0.25) = 0.8026


def test_the_impossible_is_left_out():
    alive = next_beta(DRAWS, 0.0)
    assert next_beta(np.append(DRAWS, np.full(5000, -np.inf)), 0.0) == alive
    with pytest.raises(ValueError, match="log_ratio must be finite for at least one state"):
        next_beta(np.full(3, -np.inf), 0.0)


@pytest.mark.parametrize("log_ratio", [[-3.0], [-3.0, -3.0], [-3.0, -np.inf]])
def test_where_nothing_differs_the_step_is_the_last(log_ratio):
    assert next_beta(np.array(log_ratio), 0.2) == 1.0


def test_the_overlap_is_what_systematic_resampling_keeps():
    """1 - overlap is the expected fraction without a copy: sums over offsets in parts of 20."""

    class Offset:
        def random(self):
            return self.value

    weights, rng = np.array([3.0, 0.0, 11.0, 1.0, 5.0]), Offset()
    kept = []
    for i in range(20):
        rng.value = (i + 0.5) / 20
        kept.append(len(np.unique(systematic(rng, weights))) / 5)
    with np.errstate(divide="ignore"):
        assert overlap_fraction(np.log(weights)) == pytest.approx(np.mean(kept), abs=1e-12)


def test_lengths_add_up_to_the_integral_of_the_speed():
    """Gaussian base, log_ratio = -k/2 |x|^2: var log_ratio = d/2 / (beta + 1/k)^2."""
    d, k = 4, 100.0
    betas = np.append(0, np.geomspace(1e-3, 1, 100))
    mean = -0.5 * d / (betas + 1 / k)
    memory = np.full(betas.size, 4.0)
    lengths = thermodynamic_lengths(betas, mean, memory)
    whole = np.sqrt(4.0 * d / 2) * np.log1p(k)
    assert lengths.sum() == pytest.approx(whole, rel=1e-3)
    ladder = equal_rejection_ladder(betas, lengths, 11)
    steps = np.diff(np.log(ladder + 1 / k))
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.02)


def test_noise_that_makes_a_mean_fall_has_no_length():
    assert thermodynamic_lengths([0.0, 0.5, 1.0], [1.0, 0.9, 2.9], [1.0, 1.0, 1.0]).tolist() == [
        0.0,
        1.0,
    ]
