"""MALA as a PyMC step: exact, tuned only while tuning, one of several steps, resumed."""

import pickle

import numpy as np
import pymc as pm
import pytest
from pymc.step_methods import STEP_METHODS
from pymc.step_methods.compound import Competence
from scipy.stats import kstest, norm

from pm_energy.kernels.langevin import langevin_moves
from pm_energy.step_methods import langevin
from pm_energy.step_methods.langevin import MALA

FALSE_ALARM = 1e-6
QUIET = {"progressbar": False, "quiet": True, "cores": 1, "compute_convergence_checks": False}


def two_modes():
    """A mixture of normals of a shape that the drift feels."""
    with pm.Model() as model:
        pm.NormalMixture("x", w=[0.6, 0.4], mu=[-1.0, 1.2], sigma=[0.5, 0.8])
    return model


def without_asymmetry(rng, density, chains, *args):
    """The broken twin: a proposal by the drift, accepted as if it were symmetric."""
    score, before = density(chains.x, 1.0)
    step = chains.tuning[0]
    y = chains.x + 0.5 * step**2 * score + step * rng.standard_normal(chains.x.shape)
    a = min(1.0, float(np.exp(density(y, 1.0)[1] - before)[0]))
    if rng.random() < a:
        chains.x[:] = y
    return None, np.full((1, 1), a)


@pytest.mark.parametrize(
    ("moves", "is_right"), [(langevin_moves, True), (without_asymmetry, False)]
)
def test_step_leaves_the_posterior_invariant(moves, is_right, monkeypatch):
    """4,000 exact starts, three moves."""
    monkeypatch.setattr(langevin, "langevin_moves", moves)
    model = two_modes()
    step = MALA(model=model, step_size=1.1, moves_per_draw=1)
    rng = np.random.default_rng(1)
    step.setup_chain(np.random.default_rng(2), tune=0, draws=1)
    left = rng.random(4000) < 0.6
    start = np.where(left, rng.normal(-1.0, 0.5, 4000), rng.normal(1.2, 0.8, 4000))
    ends = []
    for x in start:
        point = {"x": np.asarray(x)}
        for _ in range(3):
            point, _ = step.step(point)
        ends.append(float(point["x"]))

    def cdf(x):
        return 0.6 * norm.cdf(x, -1.0, 0.5) + 0.4 * norm.cdf(x, 1.2, 0.8)

    assert (np.array(ends) != start).mean() > 0.5
    assert (kstest(ends, cdf).pvalue > FALSE_ALARM) == is_right


def test_it_is_one_of_several_steps_and_finds_the_posterior():
    """sigma on its log scale, and a Bernoulli variable that another step moves."""
    with pm.Model():
        sigma = pm.HalfNormal("sigma", 1.0)
        mu = pm.Normal("mu", 0.0, 3.0, shape=2)
        k = pm.Bernoulli("k", 0.3)
        pm.Normal("y", mu + 2.0 * k, sigma, observed=np.array([[1.0, 3.0]] * 20) + 0.1)
        step = MALA([sigma, mu], moves_per_draw=10)
        tree = pm.sample(400, tune=300, step=[step], chains=2, random_seed=3, **QUIET)
    posterior, stats = tree["posterior"], tree["sample_stats"]
    assert float(posterior["mu"][..., 0].mean() + 2 * posterior["k"].mean()) == pytest.approx(
        1.1, abs=0.15
    )
    assert (posterior["sigma"] > 0).all()
    for name in ("acceptance_rate", "step_size"):
        assert stats[name].shape[:2] == (2, 400)
    assert (stats["step_size"] == stats["step_size"][:, :1]).all()  # frozen after tuning


def test_the_step_size_is_tuned_to_its_acceptance():
    step = MALA(model=two_modes(), step_size=20.0)
    step.setup_chain(np.random.default_rng(4), tune=800, draws=1)
    point, seen = {"x": np.array(0.0)}, []
    for _ in range(800):
        point, [stats] = step.step(point)
        assert stats["tune"]
    step.stop_tuning()
    frozen = step.step_size
    for _ in range(1500):
        point, [stats] = step.step(point)
        seen.append(stats["acceptance_rate"])
        assert not stats["tune"]
        assert stats["step_size"] == frozen
    assert np.mean(seen) == pytest.approx(0.574, abs=0.22)  # over seeds it varies by .044


def test_a_step_goes_on_from_its_sampling_state():
    """Twenty moves are the same whether or not there was a break, tuning included."""
    model = two_modes()

    def fresh():
        return MALA(model=model)

    def walk(step, point, n):
        for _ in range(n):
            point, _ = step.step(point)
        return point

    first = fresh()
    first.setup_chain(np.random.default_rng(5), tune=100, draws=100)
    middle = walk(first, {"x": np.array(0.0)}, 10)
    saved = pickle.dumps(first.sampling_state)
    end = walk(first, middle, 10)
    second = fresh()
    second.sampling_state = pickle.loads(saved)
    assert walk(second, middle, 10) == end
    assert second.step_size == first.step_size


def test_points_are_copied_and_keep_their_order():
    with pm.Model() as model:
        pm.Normal("a")
        pm.Normal("b")
    step = MALA([model["b"]], model=model)
    before = {"a": np.array(1.0), "b": np.array(2.0)}
    after, _ = step.step(before)
    assert list(after) == ["a", "b"]
    assert (before["a"], before["b"], after["a"]) == (1.0, 2.0, 1.0)


def test_shared_data_may_change():
    with pm.Model() as model:
        place = pm.Data("place", 0.0)
        pm.Normal("x", place, 0.01)
    step = MALA(model=model)
    pm.set_data({"place": 50.0}, model=model)
    step.setup_chain(np.random.default_rng(6), tune=500, draws=1)
    point = {"x": np.array(50.5)}
    for _ in range(500):
        point, _ = step.step(point)
    assert point["x"] == pytest.approx(50.0, abs=0.08)


def test_it_is_never_assigned_by_itself():
    assert MALA not in STEP_METHODS
    assert MALA.competence(None, True) == Competence.INCOMPATIBLE


def test_bad_arguments_are_named():
    with pm.Model() as model:
        k = pm.Bernoulli("k", 0.5)
        pm.Normal("x")
    with pytest.raises(ValueError, match=r"continuous variables, got \['k'\]"):
        MALA([k], model=model)
    for arguments in ({"step_size": 0.0}, {"target_accept": 1.0}, {"moves_per_draw": 0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            MALA(model=model, **arguments)
    with pm.Model() as model:
        pm.Bernoulli("k", 0.5)
    with pytest.raises(ValueError, match="continuous variables, got none"):
        MALA(model=model)
