"""Steps back: DDPM's posterior, DDIM, the reverse-time SDE, and how fast their errors fall.

Of normal data the score is linear, so is every sampler, and its output's mean and variance are had
exactly (``diffusion_cases.moments``): no draws, no statistical error.
"""

import numpy as np
import pytest
from diffusion_cases import PLANE, SCHEDULES, moments, normal_score, oracle, orders

from pm_energy.diffusion import (
    StepwiseVP,
    VariancePreserving,
    annealed_langevin,
    convert,
    ddim,
    ddpm,
    langevin,
    posterior,
    predictor_corrector,
    reverse_drift,
    reverse_sde,
    reverse_variance,
)

every = pytest.mark.parametrize("name", SCHEDULES)
MEAN, VARIANCE = 1.5, 0.25


@every
def test_the_posterior_is_gaussian_conditioning(name):
    """(x_s, x_t) given x_0 is normal; x_s given x_t by Schur's complement."""
    schedule, s, t = SCHEDULES[name], 0.31, 0.36
    (alpha_s, alpha_t), (sigma_s, sigma_t) = schedule.alpha([s, t]), schedule.sigma([s, t])
    covariance = alpha_t / alpha_s * sigma_s**2
    slope = covariance / sigma_t**2
    of_x, of_data, small, large = posterior(schedule, s, t)
    assert of_x == pytest.approx(slope, rel=1e-12)
    assert of_data == pytest.approx(alpha_s - slope * alpha_t, rel=1e-11)
    assert small == pytest.approx(sigma_s**2 - slope * covariance, rel=1e-11)
    assert large == pytest.approx(sigma_t**2 - (alpha_t / alpha_s) ** 2 * sigma_s**2, rel=1e-12)


def test_the_posterior_is_that_of_ddpm():
    schedule = SCHEDULES["stepwise"]
    bar = np.cumprod(1 - schedule.betas)
    for i in (1, 50, 199):  # from x_{i+1} of DDPM, whose steps count from 1, to x_i
        beta = schedule.betas[i]
        found = posterior(schedule, i / 200, (i + 1) / 200)
        wanted = (
            np.sqrt(1 - beta) * (1 - bar[i - 1]) / (1 - bar[i]),
            np.sqrt(bar[i - 1]) * beta / (1 - bar[i]),
            (1 - bar[i - 1]) / (1 - bar[i]) * beta,
            beta,
        )
        assert np.allclose(found, wanted, rtol=1e-10)


def test_learned_variances_lie_between_beta_tilde_and_beta():
    assert reverse_variance(0.0, 0.01, 0.04) == pytest.approx(0.01, rel=1e-14)
    assert reverse_variance(1.0, 0.01, 0.04) == pytest.approx(0.04, rel=1e-14)
    v = np.linspace(0, 1, 5)
    wanted = np.exp(v * np.log(0.04) + (1 - v) * np.log(0.01))
    assert np.allclose(reverse_variance(v, 0.01, 0.04), wanted, rtol=1e-13)


def full_term(schedule, x, score, t):
    return reverse_drift(x, score, t, schedule)


def half_term(schedule, x, score, t):
    return schedule.f(t) * x - 0.5 * schedule.g2(t) * score


@every
@pytest.mark.parametrize(("drift", "is_right"), [(full_term, True), (half_term, False)])
def test_the_reverse_drift_has_the_whole_term_of_the_score(name, drift, is_right):
    """E[x_s | x_t] = x_t - drift (t - s) + O((t - s)^2); it follows from E[x_0 | x_t] exactly."""
    mixture, x, t = oracle(name), np.random.default_rng(0).normal(0, 2, (5, 2)), 0.5023

    def mean_drift(h):
        of_x, of_data, *_ = posterior(mixture.schedule, t - h, t)
        return (x - of_x * x - of_data * mixture.data(x, t)) / h

    limit = 2 * mean_drift(5e-5) - mean_drift(1e-4)  # without the term of first order in h
    found = drift(mixture.schedule, x, mixture.score(x, t), t)
    assert np.allclose(found, limit, rtol=1e-3, atol=1e-3) == is_right


def true_moments(sampler, schedule, n_steps, noises, mean=MEAN, variance=VARIANCE, **options):
    score = normal_score(schedule, mean, variance)
    # starts from the exact marginal, so only the steps err: a shift of the start by its mean
    start = schedule.alpha(schedule.t_max)
    spread = start**2 * variance + schedule.prior_variance

    def run(x, rng):
        x = x + start * mean
        return sampler(score, schedule, x, n_steps=n_steps, rng=rng, **options)

    return moments(run, spread, noises)


SDE_SAMPLERS = {
    "ddpm, smaller variance": (ddpm, {"v": 0.0}),
    "ddpm, larger variance": (ddpm, {"v": 1.0}),
    "ddpm, half-way": (ddpm, {}),
    "ddpm, learned": (ddpm, {"v": lambda x, t: np.full(x.shape, 0.2)}),
    "ddim, eta = .5": (ddim, {"eta": 0.5}),
    "reverse SDE": (reverse_sde, {}),
}


@pytest.mark.parametrize("name", ["vp", "sub-vp", "ve", "straight"])
@pytest.mark.parametrize("sampler", SDE_SAMPLERS)
def test_variances_converge(name, sampler):
    """At order one; at two where errors to either side cancel."""
    method, options = SDE_SAMPLERS[sampler]
    options = {"spacing": "log_snr"} | options
    schedule = SCHEDULES[name]
    left = schedule.alpha(schedule.t_min) ** 2 * VARIANCE
    limit = VARIANCE * left / (left + schedule.sigma(schedule.t_min) ** 2)  # of E[x_0 | x_t]
    errors = []
    for n in (101, 201, 401):
        mean, variance = true_moments(method, schedule, n, n - 1, **options)
        errors.append([abs(mean - MEAN), abs(variance - limit)])
    mean, variance = np.transpose(errors)
    assert (mean < 0.1).all()
    assert variance[-1] < 0.02
    cancels = name == "ve" and sampler in ("ddpm, half-way", "reverse SDE")
    assert orders(variance) == pytest.approx(2 if cancels else 1, abs=0.15)


def test_half_the_term_of_the_score_gives_another_variance(monkeypatch):
    def halved(x, score, t, schedule):
        return half_term(schedule, x, score, t)

    monkeypatch.setattr("pm_energy.diffusion.sde.reverse_drift", halved)
    _, variance = true_moments(reverse_sde, SCHEDULES["vp"], 400, 399)
    assert abs(variance - VARIANCE) > 0.1


def test_the_larger_variance_is_exact_for_standard_normal_data():
    """Its chain keeps the variance 1 whatever the steps; the last is alpha(t_min) x."""
    schedule = VariancePreserving()
    for n in (2, 5, 20):
        mean, variance = true_moments(ddpm, schedule, n, n - 1, mean=0.0, variance=1.0, v=1.0)
        assert mean == 0
        assert variance == pytest.approx(schedule.alpha(schedule.t_min) ** 2, rel=1e-12)


def test_the_smaller_variance_is_exact_for_data_in_one_point():
    for name in ("vp", "ve", "straight"):
        mean, variance = true_moments(ddpm, SCHEDULES[name], 5, 4, variance=0.0, v=0.0)
        assert mean == pytest.approx(MEAN, rel=1e-9)
        assert variance < 1e-18


@every
@pytest.mark.parametrize("n_steps", [2, 3, 10])
@pytest.mark.parametrize(("share", "is_right"), [(1.0, True), (0.8, False)])
def test_steps_of_any_length_are_exact_with_the_residual_of_normal_data(
    name, n_steps, share, is_right
):
    """Then p(x_s | x_t) is normal, and the chain ends in the law of E[x_0 | x_t] at t_min."""
    schedule = SCHEDULES[name]

    def residual(x, t):
        noise = (schedule.sigma(t) / schedule.alpha(t)) ** 2
        return share * VARIANCE * noise / (VARIANCE + noise)

    mean, variance = true_moments(ddpm, schedule, n_steps, n_steps - 1, residual=residual)
    left = schedule.alpha(schedule.t_min) ** 2 * VARIANCE
    limit = VARIANCE * left / (left + schedule.sigma(schedule.t_min) ** 2)
    assert mean == pytest.approx(MEAN, abs=1e-7)  # points are divided by alpha, .001 at first
    assert (variance == pytest.approx(limit, abs=1e-6)) == is_right


def test_a_table_of_betas_walks_ddpms_own_chain():
    schedule = StepwiseVP(np.linspace(1e-3, 0.2, 30))
    start, rng = np.ones((1, 1)), np.random.default_rng(3)
    found = ddpm(normal_score(schedule, 0.0, 1.0), schedule, start, n_steps=30, rng=rng, v=0.0)
    bar, x, rng = np.cumprod(1 - schedule.betas), start, np.random.default_rng(3)
    for i in range(29, -1, -1):  # algorithm 2 of Ho et al., noise being sqrt(1 - bar) x here
        beta = schedule.betas[i]
        x = (x - beta / np.sqrt(1 - bar[i]) * np.sqrt(1 - bar[i]) * x) / np.sqrt(1 - beta)
        if i:
            tilde = (1 - bar[i - 1]) / (1 - bar[i]) * beta
            x = x + np.sqrt(tilde) * rng.standard_normal(x.shape)
    assert found == pytest.approx(x, rel=1e-9)


@every
def test_ddim_with_full_noise_is_ddpm(name):
    mixture, n = oracle(name), 9
    start = mixture.schedule.prior(np.random.default_rng(0), 5, 2)
    runs = [
        sampler(mixture.score, mixture.schedule, start, n_steps=n, rng=rng, **options)
        for sampler, options, rng in (
            (ddpm, {"v": 0.0}, np.random.default_rng(1)),
            (ddim, {"eta": 1.0}, np.random.default_rng(1)),
        )
    ]
    assert np.allclose(*runs, rtol=1e-7, atol=1e-7)  # points are divided by alpha, .001 at first


def test_ddim_on_a_straight_path_is_eulers_rule():
    mixture = oracle("straight", PLANE)
    path, x = mixture.schedule, mixture.schedule.prior(np.random.default_rng(0), 5, 2)
    states = ddim(mixture.score, path, x, n_steps=12, path=True)
    times = np.append(np.linspace(path.t_max, path.t_min, 12), 0.0)
    for i in range(12):
        velocity = convert(mixture.score(x, times[i]), "score", "velocity", x, times[i], path)
        x = x + (times[i + 1] - times[i]) * velocity
        assert np.allclose(states[i + 1], x, rtol=1e-9)


def test_corrections_mend_what_steps_get_wrong():
    schedule, errors = SCHEDULES["vp"], []
    for corrections in (0, 1, 5):
        options = {"corrections": corrections, "snr": 0.5} if corrections else {}
        method = predictor_corrector if corrections else ddpm
        noises = 19 * (1 + corrections)
        _, variance = true_moments(method, schedule, 20, noises, **options)
        errors.append(abs(variance - VARIANCE))
    assert errors[0] > 1.2 * errors[1] > 1.4 * errors[2]


@pytest.mark.parametrize("step", [0.02, 0.3])
def test_langevin_steps_have_their_known_bias(step):
    """v' = (1 - step / v)^2 v' + 2 step, so v' = v / (1 - step / (2 v))."""

    def run(x, rng):
        return langevin(lambda x: (MEAN - x) / VARIANCE, x, step=step, n_steps=400, rng=rng)

    mean, variance = moments(run, 1.0, 400)
    assert mean == pytest.approx(MEAN, rel=1e-9)
    assert variance == pytest.approx(VARIANCE / (1 - step / (2 * VARIANCE)), rel=1e-9)


@pytest.mark.parametrize("name", ["ve", "vp"])
def test_annealed_langevin_ends_in_the_data(name):
    """It starts each level too wide, by the last one's noise, and forgets that with its steps."""
    errors = []
    for steps in (50, 100, 200):
        options = {"steps_per_level": steps, "step": 0.1}
        n_noises = 12 * steps
        mean, variance = true_moments(annealed_langevin, SCHEDULES[name], 12, n_noises, **options)
        assert mean == pytest.approx(MEAN, abs=0.01)
        errors.append(variance - VARIANCE)
    assert orders(errors) == pytest.approx(1, abs=0.2)
    assert 0 < errors[-1] < 0.02
