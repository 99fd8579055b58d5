"""Whole runs of the exchange algorithm: against known log Z, tuning, seeds, resuming."""

import cloudpickle
import numpy as np
import pymc as pm
import pytest
from exchange_models import build, glass, mean_and_error, sample, torus
from pymc.sampling.mcmc import assign_step_methods

import pm_energy as pme
from pm_energy.step_methods import EnergyExchange


@pytest.mark.slow
@pytest.mark.parametrize("make", [torus, glass])
def test_posteriors_are_those_of_nuts_with_log_z(make):
    exchange = sample(make("exchange"), draws=4000, energy_exchange={"moves_per_draw": 2})
    nuts = sample(make("exact"))
    assert exchange["sample_stats"]["inner_exact"].all()
    for name in exchange["posterior"].data_vars:
        (a, error), (b, other) = mean_and_error(exchange, name), mean_and_error(nuts, name)
        # of 4 entries, 4 errors are exceeded by chance with probability 3e-4
        assert (np.abs(a - b) < 4 * np.hypot(error, other)).all()
        sd, wanted = (t["posterior"][name].std(dim=("chain", "draw")) for t in (exchange, nuts))
        np.testing.assert_allclose(sd, wanted, rtol=0.2)


def test_a_run_against_kaufmans_log_z():
    """Coupling from the past inside, tuning and all, beside the exact posterior on a grid."""
    trace = sample(torus("exchange"), discard_tuned_samples=False)
    grid = np.linspace(-4.0, 0.5, 1000)
    log_p = torus("exact").compile_logp()
    log_p = np.array([log_p({"J_log__": x}) for x in grid])
    p = np.exp(log_p - log_p.max())
    wanted = np.exp(grid) @ p / p.sum()
    mean, error = mean_and_error(trace, "J")
    assert abs(mean - wanted) < 4 * error < 0.02
    late, warm = trace["sample_stats"], trace["warmup_sample_stats"]["exchange_scale"].values
    assert late["inner_exact"].all()
    assert 0.3 < float(late["exchange_accept"].mean()) < 0.6
    assert (late["exchange_scale"] == late["exchange_scale"][:, :1]).all()  # frozen
    assert (np.diff(warm) != 0).all()
    assert (warm[0] != warm[1]).any()


def test_a_latent_field_beside_other_variables():
    with pm.Model() as model:
        J, mu = pm.HalfNormal("J"), pm.Normal("mu")
        z = pme.Boltzmann("z", pme.Ising(lattice=(3, 3), coupling=J), log_partition="exchange")
        pm.Normal("y", mu * z, 0.5, observed=np.linspace(-1, 2, 9).reshape(3, 3))
        _, assigned = assign_step_methods(model)
    found = {step.__name__: [v.name for v in values] for step, values in assigned.items()}
    assert found == {"EnergyExchange": ["J_log__"], "EnergyGibbs": ["z"], "NUTS": ["mu"]}
    trace = sample(model, draws=20, tune=20)
    assert set(np.unique(trace["posterior"]["z"])) == {-1, 1}


def test_draws_do_not_depend_on_the_number_of_processes():
    model = build("latent")
    one, two = (sample(model, draws=15, tune=15, cores=n)["posterior"].dataset for n in (1, 2))
    assert one.equals(two)
    assert (one["J"][0] != one["J"][1]).any()


def run(step, point, n):
    out = []
    for _ in range(n):
        point, [stats] = step.step(point)
        out.append([stats, *point.values()])
    return point, out


def same(runs, others):
    for (stats, *values), (other_stats, *others_) in zip(runs, others, strict=True):
        assert stats == other_stats
        for a, b in zip(values, others_, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_run_resumes_bit_by_bit_and_survives_a_pickle():
    model = build("coupling and field")
    step = EnergyExchange(model=model)
    step.setup_chain(np.random.default_rng(1), 20, 20)
    point, _ = run(step, model.initial_point(), 10)
    copy = cloudpickle.loads(cloudpickle.dumps(step))
    fresh = EnergyExchange(model=build("coupling and field"))
    fresh.sampling_state = step.sampling_state
    _, wanted = run(step, point, 15)
    same(run(copy, point, 15)[1], wanted)
    same(run(fresh, point, 15)[1], wanted)
    other = EnergyExchange(model=model, moves_per_draw=2)
    with pytest.raises(ValueError, match="frozen"):
        other.sampling_state = step.sampling_state
    step.setup_chain(np.random.default_rng(1), 20, 20)  # another chain starts from nothing
    assert step.tune
    assert (step.factor == np.diag(np.diag(step.factor))).all()


def test_points_are_neither_changed_nor_reordered():
    model = build("latent")
    step = EnergyExchange(model=model)
    step.rng, point = np.random.default_rng(0), model.initial_point()
    before = {name: np.array(x) for name, x in point.items()}
    for _ in range(20):
        after, _ = step.step(point)
        assert list(after) == list(point)
        assert after["z"] is point["z"]
    for name, x in before.items():
        np.testing.assert_array_equal(point[name], x)
