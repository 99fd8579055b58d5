"""Site log-weights against brute force: change one entry, watch the whole model's log-density."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from pymc.logprob.utils import ParameterValueError
from pytensor.compile.mode import Mode
from sitewise_factors import (
    COUNTS,
    DATA,
    FACTORS,
    REPLICAS,
    SHAPE,
    STATES,
    gathered_by_data,
    two_fields,
)

from pm_energy.graph.factors import split_factors
from pm_energy.graph.sitewise import model_site_log_weights

PLAIN = Mode(linker="py", optimizer="fast_compile")  # nothing to compile: each model runs once


def model_of(factor, shape=SHAPE, states=STATES):
    with pm.Model() as model:
        z = pm.DiscreteUniform("z", min(states), max(states), shape=shape)
        factor(z)
    return model


def random_point(model, states, seed=1):
    rng = np.random.default_rng(seed)
    point = {
        name: value + rng.normal(0, 0.3, size=value.shape) if value.dtype.kind == "f" else value
        for name, value in model.initial_point().items()
    }
    return point | {"z": rng.choice(states, size=point["z"].shape).astype(point["z"].dtype)}


def site_weights(model, states, point, mode=PLAIN):
    weights, unproven = model_site_log_weights(model, model["z"], states)
    assert not unproven
    inputs = [v for v in model.value_vars if v.name != "z"]  # compiling proves that z is not used
    fn = model.compile_fn(weights, inputs=inputs, on_unused_input="ignore", mode=mode)
    return fn({v.name: point[v.name] for v in inputs})


def brute_force_weights(model, states, point):
    _, others, _ = split_factors(model, model["z"])
    logp = model.compile_logp(vars=[model[name] for name in others], mode=PLAIN)
    table = np.empty((len(states), *point["z"].shape))
    for site in np.ndindex(point["z"].shape):
        for k, state in enumerate(states):
            z = point["z"].copy()
            z[site] = state
            table[(k, *site)] = logp(point | {"z": z})
    return table


def assert_conditionals_agree(model, states=STATES):
    point = random_point(model, states)
    found, wanted = site_weights(model, states, point), brute_force_weights(model, states, point)
    assert found.dtype == np.float64
    assert found.shape == (len(states), *point["z"].shape)
    np.testing.assert_allclose(found - found[0], wanted - wanted[0], rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore::pymc.exceptions.ImputationWarning")
@pytest.mark.parametrize("factor", FACTORS)
def test_conditionals_are_those_of_the_whole_model(factor):
    assert_conditionals_agree(model_of(factor))


def test_the_default_compiler_agrees():
    model = model_of(lambda z: (two_fields(z), gathered_by_data(z)))
    point = random_point(model, STATES)
    compiled = site_weights(model, STATES, point, mode=None)
    np.testing.assert_allclose(compiled, site_weights(model, STATES, point), rtol=1e-12)


def test_spins_index_by_their_sign():
    def factor(z):
        mu = pm.Normal("mu", shape=2)
        pm.Normal("y", mu[(z + 1) // 2] + mu[z], 1.0, observed=DATA)

    model = model_of(lambda z: factor(2 * z - 1), states=(0, 1))
    assert_conditionals_agree(model, states=(0, 1))


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3, 4)])
def test_any_number_of_axes(shape):
    def factor(z):
        mu, lead = pm.Normal("mu", shape=3), np.linspace(-1, 1, 2).reshape(2, *[1] * len(shape))
        pm.Normal("y", mu[z] * lead, 1.0, observed=np.ones((2, *shape)))

    assert_conditionals_agree(model_of(factor, shape=shape))


def test_no_data_say_nothing():
    model = model_of(lambda z: pm.Normal("y", z[:0], 1.0, observed=np.zeros((0, 4))))
    np.testing.assert_array_equal(site_weights(model, STATES, random_point(model, STATES)), 0.0)


def test_named_dims_hide_the_static_shape():
    with pm.Model(coords={"row": range(3), "column": range(4)}) as model:
        z = pm.Bernoulli("z", 0.5, dims=("row", "column"))
        mu = pm.Normal("mu", shape=2)
        pm.Normal("y", mu[z], 1.0, observed=DATA, dims=("row", "column"))
    assert_conditionals_agree(model, states=(0, 1))


def test_without_another_factor_there_are_no_weights():
    model = model_of(lambda z: pm.Normal("y", z.shape[0], 1.0, observed=DATA))
    assert model_site_log_weights(model, model["z"], STATES) == (None, {})


# -- impossible states


def test_impossible_states_stay_impossible_without_nan():
    rate = np.array([1.0, 0.0, 2.0])
    model = model_of(lambda z: pm.Poisson("y", pt.as_tensor(rate)[z], observed=COUNTS))
    point = random_point(model, STATES)
    found = site_weights(model, STATES, point)
    assert not np.isnan(found).any()
    np.testing.assert_array_equal(np.isneginf(found[1]), COUNTS > 0)


def test_a_failed_check_forbids_the_state_at_its_site_only():
    sigma = np.linspace(0.5, 3.0, 12).reshape(3, 4)
    sigma[1, 2], sigma[2] = -1.0, -1.0

    def factor(z):
        pm.Normal("y", 0.0, pt.as_tensor(sigma)[z, np.arange(4)], observed=REPLICAS)

    model = model_of(factor)
    point = random_point(model, STATES) | {"z": np.zeros(SHAPE, dtype=int)}
    found, wanted = site_weights(model, STATES, point), brute_force_weights(model, STATES, point)
    np.testing.assert_allclose(found - found[0], wanted - wanted[0], rtol=0, atol=1e-10)
    assert np.isneginf(found).sum() == 3 + 12


def test_a_failed_check_inside_a_mixture_is_an_error_not_a_wrong_number():
    sigma = pt.as_tensor(np.array([1.0, 2.0, -1.0]))

    def factor(z):
        components = [pm.Normal.dist(0.0, sigma[z]), pm.Normal.dist(1.0, 1.0, shape=SHAPE)]
        pm.Mixture("y", [0.5, 0.5], components, observed=DATA)

    model = model_of(factor)
    point = random_point(model, (0, 1))
    with pytest.raises(ParameterValueError, match="sigma > 0"):
        site_weights(model, STATES, point)
    assert_conditionals_agree(model, states=(0, 1))
