"""Schedules: alpha and sigma, the SDE that belongs to them, and the chain of DDPM."""

import numpy as np
import pytest
from diffusion_cases import SCHEDULES
from scipy.integrate import solve_ivp

from pm_energy.diffusion import (
    CosineVP,
    StepwiseVP,
    StraightPath,
    SubVP,
    VarianceExploding,
    VariancePreserving,
    time_grid,
)

T = np.array([0.003, 0.1013, 0.3217, 0.6021, 0.9018, 0.9717])  # between the knots of a table
every = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


def product_of_kept(betas):
    return 1 - np.cumprod(1 - betas)


def root_of_product(betas):
    return 1 - np.sqrt(np.cumprod(1 - betas))


@pytest.mark.parametrize(
    ("variance", "is_right"), [(product_of_kept, True), (root_of_product, False)]
)
def test_noise_of_a_chain_has_variance_one_less_the_product(variance, is_right):
    betas = SCHEDULES["stepwise"].betas
    chain, now = [], 0.0
    for beta in betas:  # x_i = sqrt(1 - beta) x_{i-1} + sqrt(beta) noise
        now = (1 - beta) * now + beta
        chain.append(now)
    times = np.arange(1, betas.size + 1) / betas.size
    assert np.allclose(SCHEDULES["stepwise"].sigma(times) ** 2, chain, rtol=1e-12)
    assert np.allclose(variance(betas), chain, rtol=1e-12) == is_right


@every
def test_rates_are_derivatives(schedule):
    h = 1e-6
    alpha, sigma = schedule.rates(T)
    assert np.allclose(alpha, (schedule.alpha(T + h) - schedule.alpha(T - h)) / (2 * h), rtol=1e-6)
    assert np.allclose(sigma, (schedule.sigma(T + h) - schedule.sigma(T - h)) / (2 * h), rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "stepwise"])
def test_the_sde_has_these_means_and_variances(name):
    """Moments of dx = f x dt + g dW: m' = f m and v' = 2 f v + g2."""
    schedule = SCHEDULES[name]

    def rates(t, state):
        return schedule.f(t) * state[0], 2 * schedule.f(t) * state[1] + schedule.g2(t)

    ends = 0.1, 0.95
    start = schedule.alpha(ends[0]), schedule.sigma(ends[0]) ** 2
    end = solve_ivp(rates, ends, start, rtol=1e-8, atol=1e-10).y[:, -1]
    wanted = schedule.alpha(ends[1]), schedule.sigma(ends[1]) ** 2
    assert np.allclose(end, wanted, rtol=1e-6)


@every
def test_signal_fades_and_times_are_found_from_it(schedule):
    log_snr = schedule.log_snr(T)
    assert (np.diff(log_snr) < 0).all()
    assert np.allclose(schedule.time_at(log_snr), T, rtol=1e-9)
    alpha, sigma = schedule.alpha(T), schedule.sigma(T)
    assert np.allclose(log_snr, np.log(alpha**2 / sigma**2), rtol=0, atol=1e-9)
    assert schedule.alpha(0.0) == 1
    assert schedule.sigma(0.0) == 0


@pytest.mark.parametrize("name", ["vp", "cosine", "stepwise"])
def test_variance_is_preserved(name):
    schedule = SCHEDULES[name]
    assert np.allclose(schedule.alpha(T) ** 2 + schedule.sigma(T) ** 2, 1, rtol=0, atol=1e-14)
    assert np.allclose(schedule.g2(T), -2 * schedule.f(T), rtol=1e-12)  # both are beta


@pytest.mark.parametrize("name", ["vp", "cosine"])
def test_little_noise_keeps_its_digits(name):
    """As t -> 0, sigma^2 is g2 t; 1 - alpha^2 would have no digits left at 1e-14."""
    schedule, t = SCHEDULES[name], 1e-14
    assert schedule.sigma(t) ** 2 == pytest.approx(schedule.g2(t) * t, rel=1e-2)


def test_forward_draws_have_the_noise_they_name():
    schedule, x = SCHEDULES["cosine"], np.ones((3, 2))
    t = np.array([0.2, 0.5, 0.8])
    noisy, noise = schedule.diffuse(x, t, np.random.default_rng(0))
    wanted = schedule.alpha(t)[:, None] * x + schedule.sigma(t)[:, None] * noise
    assert np.array_equal(noisy, wanted)


@every
@pytest.mark.parametrize("spacing", ["time", "log_snr"])
def test_grids_go_from_noise_to_data(schedule, spacing):
    times = time_grid(schedule, 7, spacing)
    assert (np.diff(times) < 0).all()
    assert times[0] == schedule.t_max
    assert times[-1] == 0
    assert times[-2] == pytest.approx(schedule.t_min, rel=1e-9)
    even = times[:-1] if spacing == "time" else schedule.log_snr(times[:-1])
    assert np.ptp(np.diff(even)) < 1e-6
    assert time_grid(schedule, 1, spacing).tolist() == [schedule.t_max, 0.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: VarianceExploding(0.0, 1.0), "sigma_min must be a number in"),
        (lambda: VarianceExploding(-1.0, 1.0), "sigma_min must be a number in"),
        (lambda: VarianceExploding(1.0, 0.5), "sigma_max must be a number in"),
        (lambda: VarianceExploding(np.nan, 1.0), "sigma_min must be a number in"),
        (lambda: VariancePreserving(0.0), "beta_min must be a number in"),
        (lambda: VariancePreserving(1.0, np.inf), "beta_max must be a number in"),
        (lambda: SubVP(2.0, 1.0), "beta_max must be a number in"),
        (lambda: CosineVP(offset=-0.1), "offset must be a number in"),
        (lambda: StraightPath(t_min=0.0), "t_min and t_max must obey"),
        (lambda: StraightPath(t_max=1.5), "t_min and t_max must obey"),
        (lambda: StepwiseVP([0.1, 1.0]), "betas must be two or more numbers"),
        (lambda: StepwiseVP([0.1, np.nan]), "betas must be two or more numbers"),
        (lambda: StraightPath().alpha(1.1), r"t must be in \[0, 1\], got 1.1"),
        (lambda: StraightPath().sigma(np.nan), r"t must be in \[0, 1\], got nan"),
        (lambda: StraightPath().log_snr(0.0), r"t must be in \(0, 1\]"),
        (lambda: StraightPath().g2([0.5, -0.1]), r"t must be in \(0, 1\]"),
        (lambda: time_grid(StraightPath(), 0), "n_steps must be a positive integer"),
        (lambda: time_grid(StraightPath(), 5, "sigma"), 'spacing must be "time" or "log_snr"'),
        (lambda: StraightPath().prior(np.random.default_rng(), 0, 2), "n must be a positive"),
    ],
)
def test_bad_schedules_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
