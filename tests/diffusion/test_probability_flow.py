"""The probability flow: order of its solvers, there and back, and its likelihood."""

import numpy as np
import pytest
from diffusion_cases import PLANE, SCHEDULES, normal_score, oracle, orders

from pm_energy.diffusion import (
    PREDICTIONS,
    DiffusedMixture,
    VariancePreserving,
    ddim,
    ddim_inversion,
    dpm_solver,
    heun,
    log_likelihood,
    ode,
    probability_flow,
)

CONTINUOUS = ["vp", "cosine", "sub-vp", "ve", "straight"]
STEPS = np.array([41, 81, 161])  # of which all but one are in the flow


def starts(name, n=40, d=2):
    return SCHEDULES[name].prior(np.random.default_rng(1), n, d)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_solvers_of_order_two(name):
    """Distances from Heun's end at 500 steps; of a 2-D mixture, whose paths bend."""
    mixture, start = oracle(name), starts(name)
    schedule = mixture.schedule
    end = heun(mixture.score, schedule, start, n_steps=500)

    for solver in (heun, dpm_solver):
        ends = [solver(mixture.score, schedule, start, n_steps=n) for n in STEPS]
        found = [np.sqrt(np.mean((x - end) ** 2)) for x in ends]
        assert orders(found) == pytest.approx(2, abs=0.25)
        assert found[-1] < 1e-3


def test_ddim_has_order_one():
    mixture, start = oracle("vp"), starts("vp")
    end = heun(mixture.score, mixture.schedule, start, n_steps=500, spacing="time")
    errors = [
        np.abs(ddim(mixture.score, mixture.schedule, start, n_steps=n) - end).mean() for n in STEPS
    ]
    assert orders(errors) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_flow_of_normal_data_is_a_change_of_scale(name):
    schedule, mean, variance = SCHEDULES[name], 1.5, 0.25
    score, x = normal_score(schedule, mean, variance), np.array([[-1.0], [0.3], [2.0]])

    def scale(t):
        return np.sqrt(schedule.alpha(t) ** 2 * variance + schedule.sigma(t) ** 2)

    start, stop = 0.002, 0.99
    standard = (x - schedule.alpha(start) * mean) / scale(start)
    wanted = schedule.alpha(stop) * mean + scale(stop) * standard
    there = probability_flow(score, schedule, x, start=start, stop=stop)
    assert there == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    back = probability_flow(score, schedule, there, start=stop, stop=start)
    assert back == pytest.approx(x, abs=1e-3)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_inversion_returns_to_its_start(name):
    mixture = oracle(name)
    x = PLANE.draw(np.random.default_rng(2), 100)
    for refine, is_near in ((2, True), (1, True), (0, False)):
        noise = ddim_inversion(mixture.score, mixture.schedule, x, n_steps=200, refine=refine)
        back = ddim(mixture.score, mixture.schedule, noise, n_steps=200)
        assert (np.linalg.norm(back - x, axis=1).max() < 1e-2) == is_near


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("trace", ["differences", "exact"])
def test_the_likelihood_of_a_mixture_is_its_density(name, trace):
    """From the exact density at t_max; 200 points, of which the worst counts."""
    settings = {"t_min": 1e-5} if name != "ve" else {"sigma_min": 1e-3}
    schedule = type(SCHEDULES[name])(**settings)
    mixture, x = DiffusedMixture(PLANE, schedule), PLANE.draw(np.random.default_rng(3), 200)
    found = log_likelihood(
        mixture.score,
        schedule,
        x,
        terminal=lambda end: mixture.log_density(end, schedule.t_max),
        divergence=mixture.divergence if trace == "exact" else None,
    )
    assert np.abs(found - mixture.log_density(x)).max() < 1e-3


def test_the_likelihood_is_that_of_slightly_noisy_data():
    """Of x_t / alpha at t_min; here its difference from that of the data is larger than 1e-3."""
    schedule = VariancePreserving(t_min=0.01)
    mixture, x = DiffusedMixture(PLANE, schedule), PLANE.draw(np.random.default_rng(3), 50)
    found = log_likelihood(
        mixture.score, schedule, x, terminal=lambda end: mixture.log_density(end, 1.0)
    )
    alpha = schedule.alpha(0.01)
    assert np.abs(found - mixture.log_density(alpha * x, 0.01) - 2 * np.log(alpha)).max() < 1e-4
    assert np.abs(found - mixture.log_density(x)).max() > 1e-2


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_the_likelihood_is_the_same_for_all_predictions(kind):
    mixture, x = oracle("vp"), PLANE.draw(np.random.default_rng(3), 20)
    found = log_likelihood(mixture.predict(kind), mixture.schedule, x, kind=kind)
    wanted = log_likelihood(mixture.score, mixture.schedule, x)
    assert np.abs(found - wanted).max() < 1e-4


@pytest.mark.parametrize(("factor", "is_right"), [(1.0, True), (2.0, False)])
def test_random_directions_give_the_likelihood_on_average(factor, is_right, monkeypatch):
    mixture, x = oracle("vp"), np.tile(PLANE.draw(np.random.default_rng(3), 1), (400, 1))
    exact = log_likelihood(mixture.score, mixture.schedule, x[:1])
    trace = ode._along
    monkeypatch.setattr(ode, "_along", lambda *args: factor * trace(*args))
    rng = np.random.default_rng(4)
    found = log_likelihood(mixture.score, mixture.schedule, x, probes=1, rng=rng, rtol=1e-4)
    error = found.std() / np.sqrt(found.size)
    assert (np.abs(found.mean() - exact) < 5 * error + 1e-3) == is_right  # false alarm 6e-7


def test_bad_flows_are_named():
    mixture, x = oracle("vp"), np.zeros((2, 2))
    predict, schedule = mixture.score, mixture.schedule
    with pytest.raises(ValueError, match="start must be one time from t_min"):
        probability_flow(predict, schedule, x, start=1e-6, stop=1.0)
    with pytest.raises(ValueError, match=r"stop must be in .*, got nan"):
        probability_flow(predict, schedule, x, start=0.5, stop=np.nan)
    with pytest.raises(ValueError, match="rtol must be a number in"):
        probability_flow(predict, schedule, x, start=0.5, stop=0.7, rtol=0.0)
    with pytest.raises(ValueError, match="probes are random: pass rng"):
        log_likelihood(predict, schedule, x, probes=1)
    with pytest.raises(ValueError, match="pass either divergence"):
        log_likelihood(predict, schedule, x, probes=1, divergence=mixture.divergence)
    with pytest.raises(ValueError, match="refine must be an integer of at least 0"):
        ddim_inversion(predict, schedule, x, n_steps=3, refine=-1)
