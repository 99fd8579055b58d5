"""Simulated tempering inside pm.sample: right where NUTS is wrong, exact, resumable."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pm_energy as pme
from pm_energy.step_methods.simulated_tempering import SimulatedTempering
from pm_energy.testing import check_step
from pm_energy.walkers.tempering_walk import TemperingWalk

QUIET = {"progressbar": False, "quiet": True, "compute_convergence_checks": False}
LADDER, WEIGHT = [0.0, 0.3, 1.0], [0.0, 2.0, 6.0]


def far_modes():
    """One third at -4, two thirds at 4, sixteen standard deviations apart."""
    with pm.Model() as model:
        x = pm.Uniform("x", -10, 10, shape=2)
        heights = [np.log(w) - 2.0 * ((x - m) ** 2).sum() for w, m in ((1 / 3, -4), (2 / 3, 4))]
        pm.Potential("y", pt.logaddexp(*heights))
    return model


def share_of_the_right_mode(trace):
    return (trace["posterior"]["x"].values[..., 0] > 0).mean(axis=1)


def test_it_finds_the_weights_of_modes_where_nuts_stays_in_one():
    run = {"draws": 500, "tune": 100, "chains": 2, "cores": 1, "random_seed": 4, **QUIET}
    with far_modes():
        step = SimulatedTempering()
        trace = pm.sample(step=step, **run)
        stuck = pm.sample(**{**run, "draws": 100, "tune": 100}, nuts_sampler="pymc")
    assert set(share_of_the_right_mode(stuck)) <= {0.0, 1.0}
    inside = trace["posterior"]["x"].values[..., 0] > 0
    visits = (inside[:, 1:] != inside[:, :-1]).sum()
    # each stay in a mode is a draw of its weight
    assert abs(inside.mean() - 2 / 3) < 5.0 * np.sqrt(2 / 9 / (visits / 2))
    assert visits > 60
    stats = trace["sample_stats"]
    n_levels = len(step.walk.ladder)
    assert 0.6 < stats["excursion_length"].mean() / n_levels < 1.6
    assert (stats["base_reached"] == (stats["lowest_level"] == 0)).all()
    assert stats["base_reached"].any(dim="draw").all()


def small_field():
    with pm.Model() as model:
        z = pme.Boltzmann("z", pme.Ising(lattice=(2, 2), coupling=0.3))
        pm.Normal("y", z, 1.0, observed=[[0.5, -1.0], [0.1, 2.0]])
    return model


def cut_short(walk, rng):
    """An excursion that gives up after two iterations, wherever it is."""
    levels, log_ratios = zip(*[walk.iterate(rng) for _ in range(2)], strict=True)
    return list(levels), list(log_ratios)


@pytest.mark.parametrize(
    ("excursion", "is_right"), [(TemperingWalk.excursion, True), (cut_short, False)]
)
def test_a_step_leaves_the_posterior_invariant(excursion, is_right, monkeypatch):
    """With weights that are a nat or two off."""
    monkeypatch.setattr(TemperingWalk, "excursion", excursion)
    with small_field() as model:
        step = SimulatedTempering(ladder=LADDER, log_weight=WEIGHT)
    step.setup_chain(np.random.default_rng(1), tune=0, draws=1)
    if is_right:
        check_step(step, model, starts=2_000)
        return
    with pytest.raises(AssertionError, match="does not leave the target invariant"):
        check_step(step, model, starts=2_000)


def test_draws_are_the_same_in_one_process_and_in_two():
    run = {"draws": 40, "tune": 20, "chains": 2, "random_seed": 5, **QUIET}
    traces = []
    for cores in (1, 2):
        with far_modes():
            trace = pm.sample(step=SimulatedTempering(n_levels=4), cores=cores, **run)
        traces.append(trace)
    np.testing.assert_array_equal(*[trace["posterior"]["x"] for trace in traces])
    np.testing.assert_array_equal(*[trace["sample_stats"]["lowest_level"] for trace in traces])


def test_without_tuning_weights_can_be_given():
    with small_field():
        step = SimulatedTempering(ladder=LADDER, log_weight=WEIGHT)
        trace = pm.sample(
            100, tune=0, step=step, chains=1, cores=1, random_seed=6, discard_tuned_samples=False,
            **QUIET,
        )  # fmt: skip
    assert trace["posterior"]["z"].shape == (1, 100, 2, 2)
    np.testing.assert_array_equal(step.walk.log_weight, WEIGHT)


@pytest.mark.parametrize("tuned", [10, 25])
def test_a_step_goes_on_from_its_sampling_state(tuned):
    """Stopped while tuning, and after."""
    with far_modes() as model:
        first, second = SimulatedTempering(n_levels=4), SimulatedTempering(n_levels=4)
    point = model.initial_point()
    first.setup_chain(np.random.default_rng(7), tune=20, draws=20)
    for i in range(tuned):
        if i == 20:
            first.stop_tuning()
        point, _ = first.step(point)
    state = first.sampling_state
    second.setup_chain(np.random.default_rng(8), tune=20, draws=20)
    second.sampling_state = state
    expected, found = [], []
    for step, out in ((first, expected), (second, found)):
        here = point
        for i in range(tuned, 40):
            if i == 20:
                step.stop_tuning()
            here, stats = step.step(here)
            out.append((here["x_interval__"].tolist(), stats))
    assert found == expected


def test_the_point_keeps_its_order_and_types():
    with pm.Model() as model:
        on = pm.Bernoulli("on", 0.5)
        x = pm.Normal("x")
        pm.Normal("y", x + on, 1.0, observed=1.0)
        step = SimulatedTempering(n_levels=3)
    step.setup_chain(np.random.default_rng(0), tune=5, draws=5)
    point = model.initial_point()
    before = {name: value.copy() for name, value in point.items()}
    for i in range(10):
        if i == 5:
            step.stop_tuning()
        new, _ = step.step(point)
        assert list(new) == list(point)
        assert [v.dtype for v in new.values()] == [v.dtype for v in point.values()]
        assert point == before
        assert (step.walk.learner is None) == (i >= 5)


def observed_data():
    with pm.Model() as model:
        data = pm.Data("data", 1.0)
        pm.Normal("y", pm.Normal("x"), 1.0, observed=data)
    return model


def test_data_that_were_set_anew_are_refused():
    with observed_data():
        step = SimulatedTempering()
        pm.set_data({"data": 2.0})
    with pytest.raises(ValueError, match=r"\['data'\] were set anew"):
        step.setup_chain(np.random.default_rng(0), tune=10, draws=10)


def test_weights_need_tuning():
    with observed_data():
        step = SimulatedTempering()
    with pytest.raises(ValueError, match="pass tune > 0, or ladder and log_weight"):
        step.setup_chain(np.random.default_rng(0), tune=0, draws=10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_levels": 1}, "n_levels must be at least 2"),
        ({"ladder": [0.0, 0.5]}, "from 0 to 1"),
        ({"log_weight": [0.0, 1.0]}, "one number for each level of a given ladder"),
        ({"ladder": LADDER, "log_weight": [0.0, 1.0]}, "one number for each level"),
        ({"temper": "potentials"}, "the model has none"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with observed_data(), pytest.raises(ValueError, match=message):
        SimulatedTempering(**arguments)


def test_it_is_for_all_variables():
    with observed_data() as model:
        pm.Normal("z")
        with pytest.raises(ValueError, match=r"vars lacks \['z'\]"):
            SimulatedTempering([model["x"]])
        assert {v.name for v in SimulatedTempering(model.free_RVs).vars} == {"x", "z"}
