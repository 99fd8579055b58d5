"""Replay buffers: where learning ends for real-valued units, and what the buffer keeps."""

import numpy as np
import pytensor.tensor as pt
import pytest
from energy_builders import CASES
from scipy.stats import norm, t

import pm_energy as pme
from pm_energy.testing.invariance import FALSE_ALARM
from pm_energy.training.energy_model import EnergyModel
from pm_energy.training.fit import fit
from pm_energy.training.full_batch import minimise
from pm_energy.training.likelihood import ExactLikelihood
from pm_energy.training.optimisers import Updates, make_optimiser
from pm_energy.training.replay import ReplayBuffer
from pm_energy.training.schedules import Inverse


def normal(x, mean, log_precision):
    return 0.5 * pt.exp(log_precision) * ((x - mean) ** 2).sum(-1)


GAUSSIAN = pme.energy_from_function(normal, pme.Real(), (1,), mean=0.0, log_precision=0.0)
SAMPLE = 1.5 + 0.5 * norm.ppf((np.arange(2000) + 0.5) / 2000)[:, None]


def learned(**settings):
    model = EnergyModel(GAUSSIAN)
    theta = model.initial()
    updates = Updates(make_optimiser("sgd", learning_rate=Inverse(0.3, 50)), theta)
    objective = ReplayBuffer(size=len(SAMPLE), **settings)
    rng = np.random.default_rng(2)
    batch = {"batch_size": len(SAMPLE), "n_epochs": 200}
    return fit(model, theta, objective, SAMPLE, updates, rng, **batch).theta


@pytest.mark.parametrize("settings", [{"reinit": 0.0, "n_steps": 5}, {"n_steps": 10}])
def test_a_normal_is_learned_by_maximum_likelihood(settings):
    """Rates of 15 / k end with an error of about sqrt(15 s / k), where s is the spread of a mean.

    That of 2,000 chains with an autocorrelation time of 3 is sqrt(3 / 2000) in units of the
    Fisher information, so the end is within .01 of the maximum, and six times that is allowed.
    """
    theta = learned(**settings)
    assert abs(theta["mean"] - SAMPLE.mean()) < 0.06
    assert abs(theta["log_precision"] + np.log(SAMPLE.var())) < 0.06


def test_unadjusted_steps_learn_another_normal():
    """The variance of their chains is ``1 / (p (1 - step**2 p / 4))`` where E has precision p."""
    theta, step = learned(reinit=0.0, n_steps=5, step_size=0.4), 0.4
    root = np.sqrt(1 - step**2 / SAMPLE.var())
    biased = np.log(2 * (1 - root) / step**2)
    assert abs(theta["mean"] - SAMPLE.mean()) < 0.06
    assert abs(theta["log_precision"] - biased) < 0.06
    assert abs(biased + np.log(SAMPLE.var())) > 0.15


@pytest.mark.parametrize(
    ("settings", "is_right"),
    [
        ({"reinit": 0.0, "start": "data"}, True),
        ({"reinit": 0.05, "n_steps": 25}, True),
        ({"reinit": 0.5, "n_steps": 1}, False),  # young chains are not where the model is
    ],
)
def test_the_mean_gradient_vanishes_where_the_likelihood_is_greatest(settings, is_right):
    """A double well, its likelihood by quadrature; 20 blocks of updates give a t statistic."""
    rng, truth = np.random.default_rng(3), pme.DoubleWell(barrier=1.5, tilt=0.4)
    model, x = EnergyModel(truth, learn=["barrier", "tilt"]), truth.draw(rng, 1000)
    theta = minimise(model, model.initial(), ExactLikelihood(), x, tol=1e-9).theta
    objective = ReplayBuffer(1000, **{"n_steps": 10, **settings})
    for _ in range(10):
        objective.model_statistics(model, theta, x, rng)
    found = []
    for _ in range(20):
        block = [objective.gradient(model, theta, x, None, rng)[0] for _ in range(5)]
        found.append([np.mean([g[name] for g in block]) for name in ("barrier", "tilt")])
    found = np.array(found)
    statistic = np.abs(found.mean(axis=0)) / (found.std(axis=0, ddof=1) / np.sqrt(20))
    assert (statistic.max() < t.isf(FALSE_ALARM / 4, 19)) == is_right


def test_the_buffer_keeps_its_chains_and_moves_some_of_them():
    model, rng = EnergyModel(GAUSSIAN), np.random.default_rng(4)
    objective = ReplayBuffer(50, n_chains=10, reinit=0.0, n_steps=1, step_size=0.1)
    objective.model_statistics(model, model.initial(), SAMPLE, rng)
    before = objective.state()["buffer"]["visible"].copy()
    objective.model_statistics(model, model.initial(), SAMPLE, rng)
    moved = (objective.buffer["visible"] != before).any(axis=1)
    assert moved.sum() == 10
    anew = ReplayBuffer(50, reinit=1.0, n_steps=1, step_size=1e-9, start="data")
    anew.model_statistics(model, model.initial(), SAMPLE[:1], rng)
    np.testing.assert_allclose(anew.buffer["visible"], SAMPLE[0, 0], atol=1e-6)


def test_discrete_units_and_layers_may_use_it_too():
    for name in ("potts", "rbm"):
        case, rng = CASES[name], np.random.default_rng(5)
        objective = ReplayBuffer(30, n_steps=2, reinit=0.2)
        gradient, _ = objective.gradient(case.model, case.theta, case.states, None, rng)
        assert all(np.isfinite(part).all() for part in gradient.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size"),
        ({"size": 10, "n_chains": 11}, "n_chains must be at most"),
        ({"reinit": 1.5}, "reinit"),
        ({"step_size": 0.0}, "step_size"),
        ({"start": "noise"}, "start must be one of"),
        ({"n_steps": 0}, "n_steps"),
    ],
)
def test_bad_input(settings, message):
    with pytest.raises(ValueError, match=message):
        ReplayBuffer(**settings)
