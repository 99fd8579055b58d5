"""Which road a model takes, and that every road reads the model right."""

import field_models
import numpy as np
import pymc as pm
import pytest
from field_models import MODELS, build, field_of, random_point

import pm_energy as pme
from pm_energy import Road
from pm_energy.compile import ONCE
from pm_energy.energy import single_block
from pm_energy.roads import sweeper
from pm_energy.step_methods import plan, whole_density
from pm_energy.step_methods.plan import make_plan
from pm_energy.testing.form_weights import log_weights


def states_of(model, rv, size=12):
    """Random states of a field, and all that differ from the first in one unit."""
    block = single_block(rv.owner.op.energy(rv.owner.op.dist_params(rv.owner)))
    shape = model.initial_point()[model.rvs_to_values[rv].name].shape
    rng = np.random.default_rng(3)
    states = rng.choice(block.domain.states, size=(size, *shape))
    flips = np.repeat(states[:1], states[0].size, axis=0)
    for i, row in enumerate(flips.reshape(len(flips), -1)):
        row[i] = np.setdiff1d(block.domain.states, row[i])[-1]
    return np.concatenate([states, flips]).astype(block.domain.dtype), block.domain


def density(model, rv, point, states):
    log_p = model.compile_logp(mode="FAST_COMPILE")
    name = model.rvs_to_values[rv].name
    return np.array([log_p({**point, name: x}) for x in states])


@pytest.mark.parametrize("name", MODELS)
def test_the_road_and_the_reason(name):
    model = build(name)
    [(field, why)] = pme.explain_sampler(model).items()
    assert field == field_of(model).name
    assert why.startswith(MODELS[name][1].name + ": ")


KERNELS = [(name, True) for name, (_, road) in MODELS.items() if road is Road.KERNEL]


@pytest.mark.parametrize(("name", "is_right"), [*KERNELS, ("Gaussian", False), ("Poisson", False)])
def test_what_a_kernel_is_told_is_the_models_density(name, is_right):
    """Form and weights give the differences of ``model.logp`` in the field, to 1e-10."""
    model = build(name)
    rv = field_of(model)
    point, told = random_point(model, 5), []

    def spy(form, domain):
        def sweep(rng, x, tensors, weights, n_sweeps):
            told.append((form, [np.array(t) for t in tensors], weights))
            return 0

        return sweep

    made = make_plan(model, rv, point, ONCE, spy)
    states, domain = states_of(model, rv)
    made.sweep(point, states[0].copy(), None, 1)
    batch = (
        states.ndim - 1 - len(single_block(rv.owner.op.energy(rv.owner.op.core_inputs()[1])).shape)
    )
    parts = np.swapaxes(states, 0, 1) if batch else [states]
    found = 0.0
    for (form, tensors, weights), part in zip(told, parts, strict=True):
        found = found + log_weights(form, tensors, part, domain)
        if weights is not None:
            index = np.searchsorted(domain.states, part)
            chosen = np.take_along_axis(weights, index, axis=0)
            found += chosen.reshape(len(part), -1).sum(axis=1) * (1.0 if is_right else 0.999)
    wanted = density(model, rv, point, states)
    error = np.abs((found - found[0]) - (wanted - wanted[0])).max()
    assert (error < 1e-10) == is_right


@pytest.mark.parametrize("name", [n for n, (_, road) in MODELS.items() if road is Road.DERIVED])
def test_what_derived_sweeps_are_told_are_the_conditionals(monkeypatch, name):
    """Field and weights give the differences of ``model.logp`` in every unit, to 1e-10."""
    model = build(name)
    rv = field_of(model)
    point, told = random_point(model, 5), []

    def spy(rng, x, states, codes, field, weights, n_sweeps):
        told.append(field(x) @ codes.T + weights.T)
        return 0

    monkeypatch.setattr(plan, "derived_sweeps", spy)
    states, domain = states_of(model, rv, size=3)
    sweep = make_plan(model, rv, point, ONCE).sweep
    for x in states[:3]:
        sweep(point, x.copy(), None, 1)
        for unit, logits in enumerate(told.pop()):
            flips = np.tile(x, (len(domain.states), 1))
            flips[:, unit] = domain.states
            wanted = density(model, rv, point, flips)
            np.testing.assert_allclose(logits - logits[0], wanted - wanted[0], atol=1e-10)


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("total", "balanced_moves"),
        ("blurred", "balanced_moves"),
        ("margin", "balanced_moves"),
        ("blurred categories", "evaluated_sweeps"),
        ("looked up", "evaluated_sweeps"),
    ],
)
def test_what_slow_roads_are_told_is_the_models_density(monkeypatch, name, kernel):
    model = build(name)
    rv = field_of(model)
    point, told = random_point(model, 5), []

    def spy(rng, x, states, density, n):
        told.append(density(x))
        return 0

    monkeypatch.setattr(whole_density, kernel, spy)
    states, _ = states_of(model, rv)
    sweep = make_plan(model, rv, point, ONCE).sweep
    for x in states:
        sweep(point, x.copy(), None, 1)
    found = np.array([value[0] if kernel == "balanced_moves" else value for value in told])
    wanted = density(model, rv, point, states)
    np.testing.assert_allclose(found - found[0], wanted - wanted[0], atol=1e-10)


def test_moves_are_informed_by_the_gradient(monkeypatch):
    """Also where the formula was written in integers: ``z.sum()`` is one."""
    with pm.Model() as model:
        z = pme.Boltzmann("z", pme.Ising(lattice=(4,), coupling=0.5, field=0.3))
        pm.Potential("sum", -0.7 * (z.sum() - 2.0) ** 2)
    told, point = [], model.initial_point()
    monkeypatch.setattr(whole_density, "balanced_moves", lambda *args: told.append(args[3]) or 0)
    made = make_plan(model, z, point, ONCE)
    for x in states_of(model, z)[0]:
        made.sweep(point, x, None, 1)
        slope = 0.5 * (np.roll(x, 1) + np.roll(x, -1)) + 0.3 - 1.4 * (x.sum() - 2.0)
        np.testing.assert_allclose(told.pop()(x)[1], slope, rtol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_the_energy_of_a_plan_is_the_energy(name):
    model = build(name)
    rv = field_of(model)
    point = random_point(model, 7)
    made = make_plan(model, rv, point, ONCE)
    states, _ = states_of(model, rv)
    own = model.compile_logp([rv], mode="FAST_COMPILE")
    value = model.rvs_to_values[rv].name
    found = [made.energy({**point, value: x}) for x in states]
    wanted = [-own({**point, value: x}) for x in states]
    np.testing.assert_allclose(np.diff(found), np.diff(wanted), atol=1e-9)


def test_reasons_name_what_stands_in_the_way():
    why = {
        name: pme.explain_sampler(build(name))["z"] for name in ("total", "margin", "three spins")
    }
    assert "the term sum is not site-wise" in why["total"]
    assert "not affine" in why["margin"]
    assert "no normal form" in why["three spins"]
    assert "affine in each unit" in why["three spins"]


def test_roads_are_said_when_a_step_is_built(caplog):
    model = build("total")
    with caplog.at_level("INFO", logger="pymc"), model:
        pme.EnergyGibbs([model["z"]])
    [record] = caplog.records
    assert "locally balanced" in record.message
    assert "[z]" in record.message


def test_a_model_without_fields_has_nothing_to_explain():
    with pm.Model() as model:
        pm.Normal("x")
        pme.Boltzmann("y", pme.DoubleWell())
    assert pme.explain_sampler(model) == {}


def test_what_cannot_change_is_read_once():
    """Constants and data are evaluated when the step is built; random parameters at each step."""
    changing = []

    def spy(form, domain):
        inner = sweeper(form, domain)

        def sweep(rng, x, tensors, weights, n_sweeps):
            changing.append(tensors[0])
            return inner(rng, x, tensors, weights, n_sweeps)

        return sweep

    for name, is_constant in (("prior", True), ("data and dims", True), ("random coupling", False)):
        model = build(name)
        point = model.initial_point()
        made = make_plan(model, model["z"], point, ONCE, spy)
        changing.clear()
        for seed in (1, 2):
            made.sweep(random_point(model, seed), point["z"].copy(), np.random.default_rng(0), 1)
        assert (changing[0] is changing[1]) == is_constant
        assert (changing[0] == changing[1]) == is_constant


def test_random_shapes_of_other_variables_do_not_stop_the_proof():
    """Dims of data have no static length; the initial point tells it."""
    coords = {"pixel": range(4), "class": range(2)}
    with pm.Model(coords=coords) as model:
        z = pme.Boltzmann("z", pme.Ising(lattice=(4,)), dims="pixel")
        mu = pm.Normal("mu", dims="class")
        pm.Normal("y", mu[(z + 1) // 2], 1.0, observed=field_models.Y.ravel()[:4], dims="pixel")
    assert pme.explain_sampler(model)["z"].startswith("KERNEL")
