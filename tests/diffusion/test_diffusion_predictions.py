"""Predictions of data, noise, score and velocity are one thing in several words."""

import numpy as np
import pytest
from diffusion_cases import PLANE, SCHEDULES, THREE, oracle
from scipy.integrate import quad
from scipy.stats import norm

import pm_energy as pme
from pm_energy.diffusion import PREDICTIONS, DiffusedMixture, convert
from pm_energy.diffusion.predictions import predictor

every = pytest.mark.parametrize("name", SCHEDULES)
TIMES = np.array([0.07, 0.3, 0.6, 0.85])


def points(n=4, d=2, seed=0):
    return np.random.default_rng(seed).normal(0, 2, (n, d))


def minus_sigma(sigma):
    return -sigma


def minus_variance(sigma):
    return -(sigma**2)


@pytest.mark.parametrize(("factor", "is_right"), [(minus_sigma, True), (minus_variance, False)])
def test_noise_is_minus_sigma_times_the_score(factor, is_right):
    """sigma = sqrt(1 - abar) for DDPM. The expected noise by quadrature over the data."""
    mixture, t = oracle("vp", THREE), 0.4
    schedule = mixture.schedule
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    assert sigma == pytest.approx(np.sqrt(1 - alpha**2), rel=1e-12)
    for x in (-2.0, 0.1, 2.5):

        def joint(x0, x=x):
            data = np.exp(mixture.log_density(np.array([[x0]]))[0])
            return data * norm.pdf(x, alpha * x0, sigma)

        def weighted(x0, x=x):
            return (x - alpha * x0) / sigma * joint(x0)

        noise = quad(weighted, -9, 9, limit=400)[0] / quad(joint, -9, 9, limit=400)[0]
        score = mixture.score(np.array([[x]]), t)[0, 0]
        assert (noise == pytest.approx(factor(sigma) * score, abs=1e-6)) == is_right


@every
@pytest.mark.parametrize("source", PREDICTIONS)
@pytest.mark.parametrize("target", PREDICTIONS)
def test_conversions_are_inverses(name, source, target):
    schedule, x = SCHEDULES[name], points()
    prediction = points(seed=1)
    there = convert(prediction, source, target, x, TIMES, schedule)
    back = convert(there, target, source, x, TIMES, schedule)
    # digits are lost where x and the prediction are much larger than what is left of them
    scale = 1 + np.abs(x).max() + np.abs(there).max() + np.abs(prediction).max()
    assert np.abs(back - prediction).max() < 1e-12 * scale * max(1, 1 / schedule.alpha(0.85) ** 2)


@every
def test_what_a_point_was_made_of_gives_every_prediction(name):
    schedule, data, noise = SCHEDULES[name], points(seed=1), points(seed=2)
    alpha, sigma = schedule.alpha(TIMES)[:, None], schedule.sigma(TIMES)[:, None]
    alpha_rate, sigma_rate = (rate[:, None] for rate in schedule.rates(TIMES))
    x = alpha * data + sigma * noise
    true = {
        "score": -noise / sigma,
        "noise": noise,
        "data": data,
        "velocity": alpha_rate * data + sigma_rate * noise,
        "v": alpha * noise - sigma * data,
    }
    for target, wanted in true.items():
        found = convert(noise, "noise", target, x, TIMES, schedule)
        assert np.allclose(found, wanted, rtol=1e-9, atol=1e-10)


@every
def test_velocity_is_the_drift_of_the_probability_flow(name):
    schedule, x, score = SCHEDULES[name], points(), points(seed=1)
    velocity = convert(score, "score", "velocity", x, TIMES, schedule)
    drift = schedule.f(TIMES)[:, None] * x - 0.5 * schedule.g2(TIMES)[:, None] * score
    assert np.allclose(velocity, drift, rtol=1e-11, atol=1e-11)


def test_noise_and_score_are_the_same_where_no_data_is_left():
    path, x, noise = SCHEDULES["straight"], points(), points(seed=1)
    assert np.array_equal(convert(noise, "noise", "score", x, 1.0, path), -noise)
    assert np.array_equal(convert(-noise, "score", "noise", x, 1.0, path), noise)
    with pytest.raises(ValueError, match="data cannot be had from noise where nothing is left"):
        convert(noise, "noise", "data", x, 1.0, path)


@pytest.mark.parametrize("covariances", [0.3, [0.3, 0.8], [[0.3, 0.1], [0.8, 2.0]], "full"])
@every
def test_a_mixture_on_its_way_is_the_smoothed_mixture(name, covariances):
    if covariances == "full":
        energy, full = PLANE, PLANE.covariances
    else:
        energy = pme.GaussianMixtureEnergy(PLANE.weights, PLANE.means, covariances)
        each = np.asarray(covariances, dtype=float)
        each = each[:, None] if each.ndim == 1 else each
        full = np.broadcast_to(each, (2, 2))[:, None] * np.eye(2)
    mixture, x = DiffusedMixture(energy, SCHEDULES[name]), points(6)
    for t in (0.05, 0.7):
        alpha, sigma = float(mixture.schedule.alpha(t)), float(mixture.schedule.sigma(t))
        smoothed = pme.GaussianMixtureEnergy(
            energy.weights, alpha * energy.means, alpha**2 * full + sigma**2 * np.eye(2)
        )
        assert np.allclose(mixture.log_density(x, t), -pme.energy_values(smoothed, x), rtol=1e-11)


@every
def test_score_and_divergence_are_derivatives(name):
    mixture, x, h = oracle(name), points(), 1e-4
    score, divergence = np.empty_like(x), np.zeros(len(x))
    for j, shift in enumerate(h * np.eye(2)):
        up, down = (mixture.log_density(x + s, TIMES) for s in (shift, -shift))
        score[:, j] = (up - down) / (2 * h)
        up, down = (mixture.score(x + s, TIMES)[:, j] for s in (shift, -shift))
        divergence += (up - down) / (2 * h)
    assert np.allclose(mixture.score(x, TIMES), score, atol=1e-4)
    assert np.allclose(mixture.divergence(x, TIMES), divergence, rtol=1e-4, atol=1e-4)
    rows = [mixture.score(row[None], t)[0] for row, t in zip(x, TIMES, strict=True)]
    assert np.allclose(mixture.score(x, TIMES), rows, rtol=1e-12)
    assert np.allclose(mixture.responsibilities(x, TIMES).sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_the_perfect_predictor_of_each_kind(kind):
    mixture, x = oracle("cosine"), points()
    same = predictor(mixture.predict(kind), kind, "score", mixture.schedule)
    assert np.allclose(same(x, 0.4), mixture.score(x, 0.4), rtol=1e-11)


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (lambda x, t: x[:, :1], r"predict must return an array of the shape of x, \(4, 2\)"),
        (lambda x, t: np.nan * x, "predict returned NaN or infinity at t = 0.5"),
    ],
)
def test_bad_predictions_are_told(predict, message):
    checked = predictor(predict, "noise", "score", SCHEDULES["vp"])
    with pytest.raises(ValueError, match=message):
        checked(points(), 0.5)


def test_bad_kinds_and_times_are_told():
    schedule, x = SCHEDULES["vp"], points()
    with pytest.raises(ValueError, match="a prediction must be one of"):
        convert(x, "epsilon", "score", x, 0.5, schedule)
    with pytest.raises(ValueError, match="a prediction must be one of"):
        predictor(lambda x, t: x, "score", "flow", schedule)
    with pytest.raises(ValueError, match="predict must be a function"):
        predictor(x, "score", "noise", schedule)
    with pytest.raises(ValueError, match=r"t must be in \(0, 1\]"):
        convert(x, "noise", "score", x, 0.0, schedule)
    with pytest.raises(ValueError, match="x must be finite"):
        oracle("vp").score(np.full((1, 2), np.nan), 0.5)
