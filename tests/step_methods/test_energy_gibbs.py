"""EnergyGibbs leaves the posterior of every model invariant, on every road."""

import numpy as np
import pymc as pm
import pytest
from field_models import ISING, POTTS, SHAPE, Margin, ThreeSpin, Y, build, field_of, random_point
from pymc.model.transform.conditioning import do
from scipy.special import softmax

import pm_energy as pme
from pm_energy import Road
from pm_energy.energy import single_block
from pm_energy.exact import all_states, state_number
from pm_energy.step_methods import plan, whole_density
from pm_energy.testing import check_invariance, check_step


def with_fixed_parameters(model, seed=1):
    """The model with its continuous variables fixed at random values."""
    point = random_point(model, seed)
    others = [rv for rv in model.free_RVs if rv is not field_of(model)]
    values = {}
    for rv in others:
        value, transform = point[model.rvs_to_values[rv].name], model.rvs_to_transforms[rv]
        inputs = rv.owner.inputs
        real = value if transform is None else transform.backward(value, *inputs).eval()
        values[rv.name] = np.asarray(real)
    return do(model, values) if values else model


SAMPLED = [
    "Gaussian",
    "batch",
    "layer",
    "partly observed",
    "three spins",
    "three categories",
    "total",
    "margin",
    "blurred categories",
    "looked up",
]


@pytest.mark.parametrize("name", SAMPLED)
def test_a_step_leaves_the_posterior_invariant(name):
    model = with_fixed_parameters(build(name))
    step = pme.EnergyGibbs([field_of(model)], model=model)
    check_step(step, model)


def drops_a_term(split):
    def wrong(model, rv):
        own, others, x = split(model, rv)
        others.popitem()
        return own, others, x

    return wrong


def halved(derive):
    return lambda *args: 0.5 * derive(*args)


def without_weights(read):
    def wrong(*args):
        weights, unproven = read(*args)
        return 0.0 * weights, unproven

    return wrong


@pytest.mark.parametrize(
    ("name", "module", "part", "mistake"),
    [
        ("Gaussian", plan, "model_site_log_weights", without_weights),
        ("three spins", plan, "field", halved),
        ("three spins", plan, "model_site_log_weights", without_weights),
        ("total", plan, "split_factors", drops_a_term),
        ("blurred categories", plan, "split_factors", drops_a_term),
    ],
)
def test_broken_roads_are_seen(monkeypatch, name, module, part, mistake):
    monkeypatch.setattr(module, part, mistake(getattr(module, part)))
    model = with_fixed_parameters(build(name))
    step = pme.EnergyGibbs([field_of(model)], model=model)
    with pytest.raises(AssertionError, match="invariant"):
        check_step(step, model, starts=5000)


def test_suwa_todo_and_several_sweeps():
    with pm.Model() as model:
        z = pme.Boltzmann("z", POTTS)
        pm.Normal("y", z, 1.0, observed=Y)
        step = pme.EnergyGibbs([z], update="suwa-todo", sweeps_per_draw=3)
    check_step(step, model)


def test_suwa_todo_stays_less_often():
    """What it is for: from exact starts it moves more units than the heat bath."""
    with pm.Model() as model:
        z = pme.Boltzmann("z", POTTS)
    rates = {}
    for update in ("heat-bath", "suwa-todo"):
        step = pme.EnergyGibbs([z], update=update, model=model)
        step.rng, point = np.random.default_rng(0), model.initial_point()
        rates[update] = 0.0
        for _ in range(2000):
            point, [stats] = step.step(point)
            rates[update] += stats["flip_rate"] / 2000
    assert rates["suwa-todo"] > rates["heat-bath"] + 0.05


# ---- several fields


def joint_update(model, steps):
    """Sweep all fields in turn; states are the numbers of joint states."""
    names = [v.name for v in model.value_vars]
    blocks = [
        single_block(rv.owner.op.energy(rv.owner.op.core_inputs()[1])) for rv in model.free_RVs
    ]
    tables = [all_states(block) for block in blocks]
    sizes = [len(table) for table in tables]

    def point_of(number):
        index = np.unravel_index(number, sizes)
        return {n: t[i] for n, t, i in zip(names, tables, index, strict=True)}

    def update(rng, number):
        point = point_of(number)
        for step in steps:
            step.rng = rng
            point, _ = step.step(point)
        index = [
            int(state_number(point[n][None], b.domain)[0])
            for n, b in zip(names, blocks, strict=True)
        ]
        return np.ravel_multi_index(index, sizes)

    log_p = model.compile_logp(mode="FAST_COMPILE")
    states = np.arange(np.prod(sizes))
    return update, states, softmax([log_p(point_of(k)) for k in states])


def two_fields():
    with pm.Model() as model:
        z = pme.Boltzmann("z", pme.Ising(lattice=(2, 2), coupling=0.4))
        x = pme.Boltzmann("x", pme.Potts(3, lattice=(2,), coupling=0.5))
        pm.Normal("y", z[0] * (x - 1.0), 0.7, observed=[0.8, -1.1])
    return model


def field_in_a_field():
    """A field that is the external field of another one: its log Z counts."""
    with pm.Model() as model:
        z = pme.Boltzmann("z", pme.Ising(lattice=(2,), coupling=0.4))
        pme.Boltzmann("x", pme.Ising(lattice=(2,), coupling=0.3, field=0.8 * z))
    return model


@pytest.mark.parametrize("build_model", [two_fields, field_in_a_field])
@pytest.mark.parametrize("is_right", [True, False])
def test_two_fields_of_one_model(monkeypatch, build_model, is_right):
    model = build_model()
    if not is_right:
        monkeypatch.setattr(plan, "model_site_log_weights", lambda *a: (None, {}))
        monkeypatch.setattr(plan, "split_factors", drops_a_term(plan.split_factors))
    steps = [pme.EnergyGibbs([rv], model=model) for rv in model.free_RVs]
    update, states, p = joint_update(model, steps)
    if is_right:
        check_invariance(update, states, p, lambda x: x)
    else:
        with pytest.raises(AssertionError, match="invariant"):
            check_invariance(update, states, p, lambda x: x, starts=5000)


# ---- what a step does to a point, and what it says


def test_points_are_neither_changed_nor_reordered():
    model = build("Gaussian")
    step = pme.EnergyGibbs([model["z"]], model=model)
    point = random_point(model, 2)
    before = {name: np.array(x) for name, x in point.items()}
    after, _ = step.step(point)
    assert list(after) == list(point)
    for name, x in point.items():
        np.testing.assert_array_equal(x, before[name])
        if name != "z":
            assert after[name] is x
    assert after["z"] is not point["z"]


def test_numpy_scalars_in_a_point():
    """Some step methods leave them there."""
    model = build("random coupling")
    step = pme.EnergyGibbs([model["z"]], model=model)
    point = {k: np.float64(x) if np.ndim(x) == 0 else x for k, x in model.initial_point().items()}
    assert step.step(point)[0]["z"].shape == SHAPE


def test_statistics_of_a_step():
    with pm.Model() as model:
        z = pme.Boltzmann("z", ISING)
        step = pme.EnergyGibbs([z], sweeps_per_draw=1)
    step.rng, point = np.random.default_rng(3), model.initial_point()
    for _ in range(20):
        after, [stats] = step.step(point)
        assert set(stats) == set(step.stats_dtypes_shapes)
        energy = pme.energy_values(ISING, after["z"][None])[0]
        np.testing.assert_allclose(stats["boltzmann_energy"], energy, rtol=1e-13)
        assert stats["flip_rate"] == np.mean(after["z"] != point["z"])
        assert stats["road"] == Road.KERNEL
        point = after


def test_fields_that_sample_statistics_keep():
    with pm.Model() as model:
        pme.Boltzmann("one", ISING)
        pme.Boltzmann("two", ThreeSpin(0.4))
        pme.Boltzmann("three", Margin(0.4))
        pm.Normal("x")
        trace = pm.sample(
            20, tune=20, chains=2, cores=1, random_seed=1, progressbar=False, quiet=True
        )
    stats = trace["sample_stats"]
    roads = np.sort(np.unique(stats["road"].values))
    assert roads.tolist() == [Road.KERNEL, Road.DERIVED, Road.BALANCED]
    assert stats["road"].dtype == np.int64
    assert stats["boltzmann_energy"].dtype == np.float64
    assert ((stats["flip_rate"] >= 0) & (stats["flip_rate"] <= 1)).all()
    assert "energy" in stats  # of NUTS, untouched
    assert stats["energy"].dims == ("chain", "draw")
    assert trace["posterior"]["one"].dtype == np.int8
    assert model is not None


# ---- assignment and arguments


def test_discrete_fields_are_assigned_by_themselves():
    from pymc.step_methods import STEP_METHODS

    assert STEP_METHODS.count(pme.EnergyGibbs) == 1
    kinds = {}
    with pm.Model() as model:
        for name, energy in (("ising", ISING), ("potts", POTTS), ("real", pme.DoubleWell())):
            kinds[name] = pme.Boltzmann(name, energy)
        kinds["bernoulli"] = pm.Bernoulli("bernoulli", 0.3)
    ideal = pm.step_methods.compound.Competence.IDEAL
    for name, rv in kinds.items():
        competence = pme.EnergyGibbs.competence(rv, has_grad=False)
        assert (competence == ideal) == (name in ("ising", "potts"))
        assert pme.EnergyCluster.competence(rv, has_grad=False) == 0
    assert model is not None


def test_a_step_for_each_of_several_fields():
    with pm.Model() as model:
        pm.Normal("x")
        fields = [pme.Boltzmann(name, ISING) for name in "ab"]
        for both in (
            pme.EnergyGibbs(fields, sweeps_per_draw=2),
            pme.EnergyGibbs(sweeps_per_draw=2),
        ):
            assert [step.vars for step in both.methods] == [[v] for v in model.value_vars[1:]]
            assert [step.sweeps_per_draw for step in both.methods] == [2, 2]
    with pm.Model():
        pm.Normal("x")
        with pytest.raises(ValueError, match="No free random variables"):
            pme.EnergyGibbs()


@pytest.mark.parametrize(
    ("kwargs", "why"),
    [
        ({"sweeps_per_draw": 0}, "sweeps_per_draw must be a positive integer"),
        ({"sweeps_per_draw": 2.5}, "sweeps_per_draw must be a positive integer"),
        ({"update": "metropolis"}, "update must be one of"),
        ({"vars": ["x"]}, r"must be one discrete Boltzmann variable .* got \['x'\]"),
        ({"vars": ["real"]}, "must be one discrete Boltzmann variable"),
        ({"vars": ["z", "w"], "blocked": True}, r"got \['z', 'w'\]"),
    ],
)
def test_bad_arguments(kwargs, why):
    with pm.Model() as model:
        pm.Normal("x")
        pme.Boltzmann("real", pme.DoubleWell())
        pme.Boltzmann("z", ISING)
        pme.Boltzmann("w", ISING)
        names = kwargs.pop("vars", ["z"])
        with pytest.raises(ValueError, match=why):
            pme.EnergyGibbs([model[name] for name in names], **kwargs)


def test_a_step_does_not_outlive_its_data():
    with pm.Model() as model:
        h = pm.Data("h", 0.1)
        z = pme.Boltzmann("z", pme.Ising(lattice=SHAPE, field=h))
        step = pme.EnergyGibbs([z])
        step.setup_chain(np.random.default_rng(0), 1, 1)
        pm.set_data({"h": 0.5})
        with pytest.raises(ValueError, match=r"data \['h'\] were set anew"):
            step.setup_chain(np.random.default_rng(0), 1, 1)
        pme.EnergyGibbs([z]).setup_chain(np.random.default_rng(0), 1, 1)
    assert model is not None


def test_a_slow_road_is_not_walked_when_a_step_is_built(monkeypatch):
    """Of a large field a sweep may take minutes; all that is compiled is compiled before it."""
    calls = []
    moves = whole_density.balanced_moves

    def counted(rng, x, states, value_and_slope, n_moves):
        calls.append(n_moves)
        return moves(rng, x, states, value_and_slope, n_moves)

    monkeypatch.setattr(whole_density, "balanced_moves", counted)
    model = build("total")
    pme.EnergyGibbs([model["z"]], model=model)
    assert calls == [0]
