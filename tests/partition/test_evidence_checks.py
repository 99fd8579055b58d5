"""Reasons not to trust log Z: they are given where there is one, and nowhere else."""

import numpy as np
import pytest
from scipy.stats import norm
from synthetic_runs import (
    AROUND_HALF,
    LADDER,
    autoregressive,
    first_order,
    ladders_of_chains,
    ladders_with_swaps,
    log_z_of_phases,
    populations,
    tempering_tree,
    tree,
    wanderers,
)

from pm_energy.partition import check_evidence, mbar, two_peaks
from pm_energy.partition.two_peaks import UNIMODAL_BOUND, crossings


def said(dt):
    return " | ".join(check_evidence(dt))


def test_smooth_runs_give_no_reason():
    """30 runs of parallel tempering and 10 walks: not one false alarm."""
    u, replica = ladders_with_swaps(np.random.default_rng(31), 30, draws=500)
    for run, walkers in zip(u, replica, strict=True):
        assert said(tempering_tree(run, LADDER, walkers)) == ""
    u, level, g = wanderers(np.random.default_rng(32), 10)
    for run, walk in zip(u, level, strict=True):
        dt = tree(
            "simulated_tempering",
            {
                "log_ratio": (("chain", "iteration"), run),
                "level": (("chain", "iteration"), walk),
                "beta": ("level", LADDER),
                "log_weight": ("level", g),
            },
        )
        assert said(dt) == ""


@pytest.mark.parametrize(("flips", "warns"), [(0.0, True), (0.002, True), (0.5, False)])
def test_first_order_transitions_are_found_unless_walkers_cross_them(flips, warns):
    for seed in range(5):
        u, replica = first_order(np.random.default_rng(seed), flips=flips, draws=800)
        text = said(tempering_tree(u, AROUND_HALF, replica))
        assert ("two peaks at beta = 0." in text) == warns
        if not flips:
            assert "only 0 times" in text


def test_without_the_warning_a_first_order_transition_would_be_believed():
    """The lie: swaps are accepted, and errors are small and wrong, all estimators agreeing."""
    z = []
    for seed in range(8):
        u, _ = first_order(np.random.default_rng(seed), flips=0.0, draws=800)
        fit = mbar(u, AROUND_HALF)
        z.append((fit.value - log_z_of_phases()) / fit.mcse)
        assert fit.mcse < 0.05
    assert np.max(np.abs(z)) > 4


def test_levels_too_far_apart():
    coarse = LADDER[[0, 5]]
    u = ladders_of_chains(np.random.default_rng(33), 1, rho=0.0)[0][..., [0, 5]]
    dt = tempering_tree(u, coarse)
    assert "overlap" not in said(dt)
    gap = np.array([0.0, 1.0])
    apart = np.random.default_rng(34).normal([-300.0, -20.0], 1.0, size=(4, 500, 2))
    text = said(tempering_tree(apart, gap))
    assert "Levels hardly overlap between beta = 0 and 1" in text
    assert "'stepping-stone-forward' and 'mbar' disagree" in text


def test_draws_that_are_not_of_their_levels():
    """Here of the ladder turned upside down: the mean must increase with beta."""
    u = ladders_of_chains(np.random.default_rng(35), 1, rho=0.0)[0][..., ::-1]
    assert "outside the bounds" in said(tempering_tree(u, LADDER))


def test_few_effective_draws_and_round_trips():
    u, replica = ladders_with_swaps(np.random.default_rng(36), 1, chains=2, draws=40, rho=0.9)
    text = said(tempering_tree(u[0], LADDER, replica[0]))
    assert "effective draws, so its error is a rough guess; 50 are wanted" in text
    assert "Too few round trips between base and target" in text


def test_a_chain_that_disagrees():
    u = ladders_of_chains(np.random.default_rng(37), 1, chains=4)[0]
    u[2] -= 1.5
    text = said(tempering_tree(u, LADDER))
    assert "Chain 2 disagrees with the others: it alone puts log Z 1." in text
    assert "lower" in text
    assert "Chain 1" not in text


def population_tree(seed, rho, size, chains=4):
    beta, found = populations(np.random.default_rng(seed), chains, size=size, rho=rho)
    steps = {name: (("chain", "step"), rows) for name, rows in found.items()}
    last = (("chain", "draw"), np.zeros((chains, size)))
    return tree("population", {"beta": ("step", beta), "log_ratio": last, **steps})


def test_populations():
    assert said(population_tree(1, 0.7, 2000)) == ""
    assert "too few founders: effectively" in said(population_tree(2, 0.99, 100))
    dt = population_tree(3, 0.7, 2000)
    dt["population"]["log_z"].values[0] += 1.0
    assert "Populations disagree" in said(dt)


def test_works():
    rng = np.random.default_rng(4)
    wide = {"forward": ("particle", rng.normal(8, 4, 50))}
    assert "forward runs only" in said(tree("work", wide))
    apart = {
        "forward": ("particle", rng.normal(3, 0.3, 500)),
        "reverse": ("particle_reverse", rng.normal(1, 0.3, 500)),
    }
    assert "Forward and reverse runs disagree" in said(tree("work", apart, reverse_exact=0))
    fine = {
        "forward": ("particle", rng.normal(3, 1, 500)),
        "reverse": ("particle_reverse", rng.normal(2, 1, 500)),
    }
    assert said(tree("work", fine, reverse_exact=1)) == ""


def statistic(moments):
    """Kurtosis - skewness^2 of raw moments 1 to 4."""
    a, b, c, d = moments
    variance, third = b - a**2, c - 3 * a * b + 2 * a**3
    return (d - 4 * a * c + 6 * a**2 * b - 3 * a**4) / variance**2 - third**2 / variance**3


def test_no_unimodal_distribution_is_below_the_bound():
    """Khinchine: a variable with mode 0 is uniform times another one, here of up to 3 values."""
    rng = np.random.default_rng(5)
    values, weights = rng.normal(size=(100_000, 3)), rng.dirichlet([0.5] * 3, 100_000)
    moments = [(weights * values**k).sum(axis=1) / (k + 1) for k in (1, 2, 3, 4)]
    least = statistic(moments).min()
    assert UNIMODAL_BOUND - 1e-9 < least < UNIMODAL_BOUND + 0.01  # and it is attained


UNIMODAL = {
    "normal": lambda x: x,
    "uniform": norm.cdf,
    "minus chi-square": lambda x: -(x**2),
    "exponential": lambda x: -np.log(norm.cdf(x)),
    "minus the square of a Cauchy number": lambda x: -(np.tan(np.pi * (norm.cdf(x) - 0.5)) ** 2),
    "a peak with a shoulder": lambda x: np.where(x < 0, x, 8 * x),
}


@pytest.mark.parametrize("shape", UNIMODAL)
def test_one_peak_gives_no_alarm(shape):
    for rho in (0.0, 0.9, 0.98):
        x = autoregressive(np.random.default_rng(6), (400, 4, 60), rho)
        for k in range(60):
            assert two_peaks(UNIMODAL[shape](x[:, :, k].T)) is None


def phases(rng, flip, apart, weight=0.5, chains=4, draws=800):
    """Two normal peaks, changed by a Markov chain."""
    up = np.empty((draws, chains), dtype=bool)
    up[0] = rng.random(chains) < weight
    for t in range(1, draws):
        up[t] = np.where(rng.random(chains) < flip, rng.random(chains) < weight, up[t - 1])
    return (rng.normal(size=up.shape) + apart * up).T


@pytest.mark.parametrize(
    ("apart", "weight", "found"), [(8, 0.5, True), (12, 0.35, True), (3, 0.5, False)]
)
def test_two_peaks_are_found_if_they_are_apart(apart, weight, found):
    """Even where the series changes peak only every 25 draws."""
    for seed in range(20):
        x = phases(np.random.default_rng(seed), 0.1, apart, weight)
        peaks = two_peaks(x)
        assert (peaks is not None) == found
        if found:
            assert abs(peaks.low) < 1
            assert abs(peaks.high - apart) < 1
            assert peaks.errors > 4


def test_peaks_of_weighted_draws():
    """Three peaks, one of which has no weight."""
    rng = np.random.default_rng(7)
    peak = rng.integers(3, size=(2, 500))
    x = rng.normal(size=(2, 500)) + 10.0 * peak
    weight = np.array([1.0, 0.0, 3.0])[peak]
    peaks = two_peaks(x, weight)
    assert abs(peaks.low) < 1
    assert abs(peaks.high - 20) < 1
    assert two_peaks(x, (peak == 1).astype(float)) is None


def test_peaks_of_nothing():
    assert two_peaks(np.full((2, 50), -np.inf)) is None
    assert two_peaks(np.ones((2, 50))) is None
    stuck = np.repeat([[0.0], [0.0], [5.0], [5.0]], 100, axis=1)
    stuck = stuck + 0.1 * np.random.default_rng(0).normal(size=stuck.shape)
    assert two_peaks(stuck) is None  # chains that never move are another matter


def test_crossings_count_walkers_that_arrive():
    walk = np.array(
        [[5.0, 0.0, 5.0, 1.0, 9.0, 5.0, 9.0, 0.0], [9.0, 9.0, 5.0, 5.0, 9.0, 9.0, 5.0, 5.0]]
    )
    assert crossings(walk, 1.0, 8.0) == 2
    assert crossings(np.stack([walk, walk], axis=-1), 1.0, 8.0) == 4
    assert crossings(np.full((1, 5), 5.0), 1.0, 8.0) == 0
