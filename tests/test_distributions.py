"""Boltzmann as a PyMC distribution: shapes, observed data, log p, log Z, and what is refused."""

import arviz as az
import cloudpickle
import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.model.transform.conditioning import do, observe
from pytensor.graph.replace import vectorize_graph
from scipy.special import logsumexp

import pm_energy as pme
from pm_energy import exact
from pm_energy.compile import energy_values

RNG = np.random.default_rng(7)
ISING = pme.Ising(lattice=(3, 3), coupling=0.4, field=0.1)
STATE = RNG.choice([-1, 1], size=(3, 3))
FREE = {"mode": "FAST_COMPILE"}


def value(graph):
    return graph.eval(mode="FAST_COMPILE")


def logp(model, point=None):
    return float(model.compile_logp(**FREE)(model.initial_point() | (point or {})))


def symmetric(n):
    matrix = RNG.normal(size=(n, n))
    return (matrix + matrix.T) * (1 - np.eye(n)) / 2


# ---- states and shapes


@pytest.mark.parametrize(
    ("energy", "dtype", "shape"),
    [
        (ISING, "int8", (3, 3)),
        (pme.Potts(3, lattice=(2, 4)), "int8", (2, 4)),
        (pme.Potts(200, lattice=(4,)), "int16", (4,)),
        (pme.BoltzmannMachine(symmetric(4)), "int8", (4,)),
        (pme.RBM(np.ones((4, 2))), "int8", (4,)),
        (pme.RBM(np.ones((4, 2)), visible="gaussian"), "float64", (4,)),
        (pme.DoubleWell(), "float64", pme.DoubleWell().event_shape),
    ],
)
def test_states_have_the_dtype_and_shape_of_the_energy(energy, dtype, shape):
    with pm.Model() as model:
        z = pme.Boltzmann("z", energy)
    assert (z.dtype, z.type.shape) == (dtype, shape)
    start = model.initial_point()["z"]
    assert start.dtype == dtype
    assert start.shape == shape
    assert np.isfinite(logp(model))


def test_dims_and_batch_axes_lead():
    coords = {"row": range(3), "col": "abc", "picture": range(2)}
    with pm.Model(coords=coords) as model:
        z = pme.Boltzmann("z", ISING, dims=("picture", "row", "col"))
    assert model.named_vars_to_dims["z"] == ("picture", "row", "col")
    assert model.initial_point()["z"].shape == (2, 3, 3)
    assert model.compile_logp(z, sum=False, **FREE)(model.initial_point())[0].shape == (2,)


@pytest.mark.parametrize("kwargs", [{"shape": (2, 3, 3)}, {"size": 2}, {"size": (2,)}])
def test_batches(kwargs):
    z = pme.Boltzmann.dist(ISING, **kwargs)
    assert z.type.shape == (2, 3, 3)
    both = np.stack([STATE, -STATE])
    np.testing.assert_allclose(value(pm.logp(z, both)), -energy_values(ISING, both), atol=1e-12)
    assert pm.draw(z, 3, random_seed=1).shape == (3, 2, 3, 3)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"shape": (4, 4)},
        {"shape": (3, 3, 2)},
        {"shape": 3},
        {"dims": ("row", "picture")},
        {"dims": ("row",)},
        {"dims": ("row", "picture"), "observed": STATE},
        {"shape": (4, 4), "observed": np.where(np.eye(3), np.nan, STATE)},
        {"dims": ("picture", "row"), "observed": np.where(np.eye(3), np.nan, STATE)},
    ],
)
def test_shapes_that_contradict_the_energy(kwargs):
    with (
        pm.Model(coords={"row": range(3), "picture": range(2)}),
        pytest.raises(ValueError, match=r"must end with the energy's own shape \(3, 3\)"),
    ):
        pme.Boltzmann("z", ISING, **kwargs)


def test_batched_parameters():
    """One field for each coupling: the log-density and the draws are vectorised over both."""
    couplings = np.array([0.1, 0.9])
    z = pme.Boltzmann.dist(
        pme.Ising(lattice=(3, 3), coupling=pt.dscalar("J")), log_partition="exact"
    )
    (J,) = [v for v in z.owner.inputs if v.name == "J"]
    batched = vectorize_graph(z, {J: pt.as_tensor(couplings)})
    assert batched.type.shape == (2, 3, 3)
    both = np.stack([STATE, STATE])
    energies = [pme.Ising(lattice=(3, 3), coupling=c) for c in couplings]
    wanted = [-energy_values(e, STATE[None])[0] - exact.log_partition(e) for e in energies]
    np.testing.assert_allclose(value(pm.logp(batched, both)), wanted, rtol=1e-12)
    draws = pm.draw(batched, 2000, random_seed=2)
    aligned = (draws * np.roll(draws, 1, -1)).mean((0, 2, 3))
    moments = [exact.moments(e).second[0, 1] for e in energies]
    # 9 bonds of 2,000 independent draws each; 5 standard errors as if fully correlated
    np.testing.assert_allclose(aligned, moments, atol=5 / np.sqrt(2000))


# ---- log p


def test_log_p_is_minus_energy_inside_and_minus_infinity_outside():
    z = pme.Boltzmann.dist(ISING)
    np.testing.assert_allclose(
        value(pm.logp(z, STATE)), -energy_values(ISING, STATE[None])[0], rtol=1e-14
    )
    for bad in (0, 2, -2):
        wrong = STATE.copy()
        wrong[1, 1] = bad
        assert value(pm.logp(z, wrong)) == -np.inf
    potts = pme.Boltzmann.dist(pme.Potts(3, lattice=(3,)))
    assert value(pm.logp(potts, np.array([0, 1, 3]))) == -np.inf
    assert value(pm.logp(potts, np.array([0, 1, -1]))) == -np.inf
    real = pme.Boltzmann.dist(pme.DoubleWell())
    assert value(pm.logp(real, np.full(pme.DoubleWell().event_shape, np.inf))) == -np.inf


NORMALISED = {
    "enumeration": ISING,
    "torus": pme.Ising(lattice=(4, 4), coupling=0.3),
    "machine": pme.BoltzmannMachine(symmetric(6), 0.3, offset=1.0),
    "Potts": pme.Potts(3, lattice=(2, 3), field=RNG.normal(size=3)),
    "layers": pme.RBM(RNG.normal(size=(8, 3)), RNG.normal(size=8)),
    "spin layers": pme.RBM(RNG.normal(size=(3, 8)), visible="spin", hidden="spin"),
}


@pytest.mark.parametrize("name", NORMALISED)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_exact_log_partition_normalises(name, temperature):
    energy = NORMALISED[name]
    z = pme.Boltzmann.dist(energy, temperature=temperature, log_partition="exact")
    single = pme.Marginal(energy) if isinstance(energy, pme.RBM) else energy
    states = exact.all_states(pme.energy.single_block(single))
    x = pt.tensor(dtype=z.dtype, shape=(None, *states.shape[1:]))
    log_p = pm.logp(z, x).eval({x: states}, mode="FAST_COMPILE")
    assert abs(logsumexp(log_p)) < 1e-11


def test_temperature_divides_the_energy():
    cold, hot = (pme.Boltzmann.dist(ISING, temperature=t) for t in (1.0, 4.0))
    np.testing.assert_allclose(
        4 * value(pm.logp(hot, STATE)), value(pm.logp(cold, STATE)), rtol=1e-14
    )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda rbm: rbm,
        lambda rbm: pme.Marginal(rbm),
        lambda rbm: pme.Sum((pme.Marginal(rbm), pme.Marginal(rbm))),
        lambda rbm: pme.Clamped(pme.Marginal(rbm), np.arange(4) < 2, np.ones(4)),
    ],
    ids=["RBM", "marginal", "sum", "clamped"],
)
def test_temperature_acts_on_hidden_units_too(wrap):
    """The free energy at T is not the free energy divided by T."""
    T, parameters = 3.0, (RNG.normal(size=(4, 3)), RNG.normal(size=4), RNG.normal(size=3))
    hot = wrap(pme.RBM(*[p / T for p in parameters]))
    tempered = pme.Boltzmann.dist(wrap(pme.RBM(*parameters)), temperature=T)
    same = pme.Boltzmann.dist(hot)
    for x in RNG.integers(0, 2, size=(5, *same.type.shape)):
        np.testing.assert_allclose(value(pm.logp(tempered, x)), value(pm.logp(same, x)), rtol=1e-12)


def test_mixtures_of_fields_need_and_get_log_partition():
    parts = [pme.Ising(lattice=(3,), coupling=c) for c in (0.1, 2.0)]
    components = [pme.Boltzmann.dist(e, log_partition="exact") for e in parts]
    mixture = pm.Mixture.dist(w=[0.3, 0.7], comp_dists=components)
    states = exact.all_states(pme.energy.single_block(parts[0]))
    log_p = [value(pm.logp(mixture, s)) for s in states]
    p = [exact.distribution(e)[1] for e in parts]
    np.testing.assert_allclose(np.exp(log_p), 0.3 * p[0] + 0.7 * p[1], rtol=1e-12)


# ---- log Z of random parameters


def test_random_parameters_are_normalised_without_asking():
    with pm.Model() as model:
        J = pm.HalfNormal("J", 1.0)
        pme.Boltzmann("z", pme.Ising(lattice=(3, 3), coupling=J), observed=STATE)
    for at in (0.1, 0.7, 2.0):
        energy = pme.Ising(lattice=(3, 3), coupling=at)
        wanted = -energy_values(energy, STATE[None])[0] - exact.log_partition(energy)
        prior = value(pm.logp(pm.HalfNormal.dist(1.0), at))
        found = logp(model, {"J_log__": np.log(at)}) - np.log(at)
        np.testing.assert_allclose(found, prior + wanted, rtol=1e-10)


def test_a_random_field_is_no_reason_for_the_torus_without_field():
    with pm.Model():
        h, J = pm.Normal("h"), pm.HalfNormal("J")
        z = pme.Boltzmann("z", pme.Ising(lattice=(4, 4), coupling=J, field=h))
    assert z.owner.op.normaliser != "torus"


def test_a_random_temperature_is_normalised():
    with pm.Model() as model:
        T = pm.LogNormal("T")
        pme.Boltzmann("z", ISING, temperature=T, observed=STATE)
    warm = pme.Tempered(ISING, 1 / 2.0)
    wanted = -energy_values(warm, STATE[None])[0] - exact.log_partition(warm)
    found = model.compile_logp([model["z"]], **FREE)({"T_log__": np.log(2.0)})
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_the_choices_are_listed_where_log_partition_is_out_of_reach():
    with pm.Model():
        J = pm.HalfNormal("J")
        with pytest.raises(ValueError, match="not available exactly") as error:
            pme.Boltzmann("z", pme.Ising(lattice=(20, 20), coupling=J, field=0.2))
        for choice in ("pseudolikelihood", "log_partition=f", "pm.Data", "torus: there is a field"):
            assert choice in str(error.value)
        pme.Boltzmann(
            "z",
            pme.Ising(lattice=(20, 20), coupling=J, field=0.2),
            log_partition="pseudolikelihood",
        )


def test_an_approximation_by_a_callable():
    def independent(energy):
        return 400 * pt.log(2 * pt.cosh(energy.field))

    with pm.Model() as model:
        h = pm.Normal("h")
        energy = pme.Ising(lattice=(20, 20), coupling=0.0, field=h)
        pme.Boltzmann("z", energy, log_partition=independent, observed=np.ones((20, 20)))
    found = model.compile_logp([model["z"]], **FREE)({"h": np.array(0.3)})
    np.testing.assert_allclose(found, 400 * (0.3 - np.log(2 * np.cosh(0.3))), rtol=1e-12)


@pytest.mark.parametrize("energy", [ISING, pme.Potts(3, lattice=(3, 3), field=[0.3, 0.0, -0.2])])
def test_pseudolikelihood_is_the_product_of_the_conditionals(energy):
    z = pme.Boltzmann.dist(energy, log_partition="pseudolikelihood")
    states = energy.domain.states
    x = RNG.choice(states, size=(3, 3))
    wanted = 0.0
    for site in np.ndindex(3, 3):
        row = np.tile(x, (len(states), 1, 1))
        row[(slice(None), *site)] = states
        cost = -energy_values(energy, row)
        wanted += cost[np.searchsorted(states, x[site])] - logsumexp(cost)
    np.testing.assert_allclose(value(pm.logp(z, x)), wanted, rtol=1e-12)


def test_gradients_in_the_parameters_are_right():
    with pm.Model() as model:
        J, h = pm.Normal("J"), pm.Normal("h")
        pme.Boltzmann("z", pme.Ising(lattice=(3, 3), coupling=J, field=h), observed=STATE)
    point = {"J": np.array(0.3), "h": np.array(-0.2)}
    found = model.compile_dlogp(**FREE)(point)
    density = model.compile_logp(**FREE)
    step = 1e-5
    for k, name in enumerate(("J", "h")):
        up, down = (density(point | {name: point[name] + d}) for d in (step, -step))
        np.testing.assert_allclose(found[k], (up - down) / (2 * step), atol=1e-8)


# ---- observed


@pytest.mark.parametrize("convert", [np.asarray, pd.DataFrame, lambda x: x.tolist(), np.float64])
def test_observed_in_many_clothes(convert):
    with pm.Model() as model:
        z = pme.Boltzmann("z", ISING, observed=convert(STATE))
    assert model.observed_RVs == [z]
    np.testing.assert_allclose(logp(model), -energy_values(ISING, STATE[None])[0], rtol=1e-14)


def test_observed_batches_are_independent_fields():
    with pm.Model() as model:
        pme.Boltzmann("z", ISING, observed=[STATE, -STATE, STATE])
    both = energy_values(ISING, np.stack([STATE, -STATE]))
    np.testing.assert_allclose(logp(model), -2 * both[0] - both[1], rtol=1e-14)


def test_observed_data_may_be_set_anew():
    with pm.Model() as model:
        data = pm.Data("data", STATE)
        pme.Boltzmann("z", ISING, observed=data)
    density = model.compile_logp(**FREE)
    for state in (STATE, -STATE):
        pm.set_data({"data": state}, model=model)
        np.testing.assert_allclose(density({}), -energy_values(ISING, state[None])[0], rtol=1e-14)
    pm.set_data({"data": 0 * STATE}, model=model)
    assert density({}) == -np.inf
    pm.set_data({"data": STATE[:2]}, model=model)
    with pytest.raises(AssertionError):  # of SpecifyShape
        density({})


@pytest.mark.parametrize(
    ("observed", "why"),
    [
        (np.full((3, 3), 257), "contains the value 257"),
        (np.zeros((3, 3)), "contains the value 0"),
        (0.5 * STATE, "allowed states are"),
        (STATE[:2], "must end with the energy's shape"),
        (np.array([["up"] * 3] * 3), "must be numeric"),
        (np.full((3, 3), np.nan), "no observed entry"),
        (np.full((2, 3, 3), np.nan), "one variable for each field"),
        (np.full((3, 3), np.inf), "contains the value inf"),
    ],
)
def test_bad_observations(observed, why):
    with pm.Model(), pytest.raises(ValueError, match=why):
        pme.Boltzmann("z", ISING, observed=observed)


@pytest.mark.parametrize(("bad", "why"), [(257 * STATE, "257"), (STATE[:2], "must end with")])
def test_bad_data(bad, why):
    with pm.Model(), pytest.raises(ValueError, match=why):
        pme.Boltzmann("z", ISING, observed=pm.Data("data", bad))


MISSING = np.eye(3, dtype=bool)


@pytest.mark.parametrize(
    "observed",
    [np.ma.masked_array(STATE, mask=MISSING), np.where(MISSING, np.nan, STATE)],
    ids=["masked", "NaN"],
)
def test_missing_entries_become_a_variable(observed):
    with pm.Model(coords={"row": range(3), "col": range(3)}) as model:
        z = pme.Boltzmann("z", ISING, observed=observed, dims=("row", "col"))
    [free] = model.free_RVs
    assert (free.name, free.type.shape, free.dtype) == ("z_unobserved", (3,), "int8")
    assert model.deterministics == [z]
    for x in exact.all_states(pme.energy.Block(pme.Spin(), (3,))):
        whole = STATE.copy()
        whole[MISSING] = x
        np.testing.assert_array_equal(z.eval({free: x}), whole)
        np.testing.assert_allclose(
            logp(model, {"z_unobserved": x}), -energy_values(ISING, whole[None])[0], rtol=1e-13
        )


def test_missing_entries_do_not_change_what_log_partition_is():
    """Observed entries inform the coupling through log Z of the whole field, not of the rest."""
    with pm.Model() as model:
        J = pm.HalfNormal("J")
        observed = np.where(MISSING, np.nan, STATE)
        pme.Boltzmann("z", pme.Ising(lattice=(3, 3), coupling=J), observed=observed)
    density = model.compile_logp([model["z_unobserved"]], **FREE)
    for at in (0.2, 1.0):
        energy = pme.Ising(lattice=(3, 3), coupling=at)
        whole = STATE.copy()
        whole[MISSING] = 1
        wanted = -energy_values(energy, whole[None])[0] - exact.log_partition(energy)
        found = density({"J_log__": np.log(at), "z_unobserved": np.ones(3, dtype=np.int8)})
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


# ---- start


def test_initial_values():
    with pm.Model() as model:
        pme.Boltzmann("a", ISING, initval=-np.ones((3, 3)))
        pme.Boltzmann("b", ISING, observed=np.where(MISSING, np.nan, STATE), initval=STATE)
        pme.Boltzmann("c", ISING, observed=np.where(MISSING, np.nan, STATE), initval=[1, -1, 1])
        pme.Boltzmann("d", ISING, initval="prior")
    point = model.initial_point(random_seed=1)
    np.testing.assert_array_equal(point["a"], -1)
    np.testing.assert_array_equal(point["b_unobserved"], STATE[MISSING])
    np.testing.assert_array_equal(point["c_unobserved"], [1, -1, 1])
    assert np.isin(point["d"], (-1, 1)).all()
    with pm.Model(), pytest.raises(ValueError, match="initval contains the value 0"):
        pme.Boltzmann("z", ISING, initval=np.zeros((3, 3)))


def test_support_point_may_come_from_the_energy():
    class Anchored(pme.DoubleWell):
        def support_point(self):
            return np.full(self.event_shape, 0.25)

    with pm.Model() as model:
        pme.Boltzmann("x", Anchored(), shape=(2, *Anchored().event_shape))
    np.testing.assert_array_equal(model.initial_point()["x"], 0.25)


# ---- what is refused


@pytest.mark.parametrize(
    ("kwargs", "why"),
    [
        ({"energy": 3}, "is not an energy"),
        ({"energy": pme.Ising}, "is not an energy"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"temperature": -1}, "temperature must be positive"),
        ({"temperature": np.nan}, "temperature must be finite"),
        ({"temperature": [1.0, 2.0]}, "temperature must have 0 dim"),
        ({"log_partition": "guess"}, "log_partition must be None"),
        ({"energy": pme.DoubleWell(), "log_partition": "pseudolikelihood"}, "discrete units"),
        ({"energy": pme.Funnel(), "log_partition": "guess"}, "log_partition must be None"),
    ],
)
def test_bad_arguments(kwargs, why):
    with pm.Model(), pytest.raises(ValueError, match=why):
        pme.Boltzmann("z", **({"energy": ISING} | kwargs))


def test_a_random_variable_caught_by_closure():
    with pm.Model():
        J = pm.HalfNormal("J")

        def formula(x):
            return -J * (x[..., 1:] * x[..., :-1]).sum(-1)

        with pytest.raises(ValueError, match=r"\[J\] reach the formula .* by closure"):
            pme.Boltzmann("z", pme.energy_from_function(formula, pme.Spin(), (4,)))


def test_a_formula_that_does_not_sum():
    with pm.Model(), pytest.raises(ValueError, match="must sum over all its units"):
        pme.Boltzmann("z", pme.energy_from_function(lambda x: -x, pme.Spin(), (4,)))


# ---- the model around it


def chain_model():
    with pm.Model() as model:
        J = pm.HalfNormal("J", 0.5)
        z = pme.Boltzmann("z", pme.Ising(lattice=(3, 3), coupling=J, field=pm.Data("h", 0.1)))
        pm.Normal("y", z, 1.0, observed=np.where(STATE > 0, 1.5, -0.5))
    return model


def other_point(model):
    return model.initial_point() | {"z": STATE.astype(np.int8), "J_log__": np.array(-0.3)}


def test_clones_and_pickles_have_the_same_density():
    model = chain_model()
    wanted = model.compile_logp(**FREE)(other_point(model))
    for copy in (
        pm.model.fgraph.clone_model(model),
        cloudpickle.loads(cloudpickle.dumps(model)),
    ):
        np.testing.assert_allclose(copy.compile_logp(**FREE)(other_point(copy)), wanted, rtol=1e-13)


def test_parameters_of_data_may_be_set_anew():
    model = chain_model()
    density = model.compile_logp([model["z"]], **FREE)
    at = {"z": STATE.astype(np.int8), "J_log__": np.array(-0.3)}
    for h in (0.1, -0.7):
        pm.set_data({"h": h}, model=model)
        energy = pme.Ising(lattice=(3, 3), coupling=np.exp(-0.3), field=h)
        wanted = -energy_values(energy, STATE[None])[0] - exact.log_partition(energy)
        np.testing.assert_allclose(density(at), wanted, rtol=1e-11)


def test_do_and_observe():
    model = chain_model()
    fixed = do(model, {"J": np.array(0.4)})
    assert [v.name for v in fixed.free_RVs] == ["z"]
    assert np.isfinite(logp(fixed))
    seen = observe(model, {"z": STATE.astype(np.int8)})  # PyMC converts nothing here
    assert [v.name for v in seen.free_RVs] == ["J"]
    wanted = model.compile_logp(**FREE)(other_point(model))
    np.testing.assert_allclose(
        seen.compile_logp(**FREE)({"J_log__": np.array(-0.3)}), wanted, rtol=1e-12
    )


def test_equal_energies_share_an_op():
    """Competence, compilation and caches key on it."""
    one, two = (pme.Boltzmann.dist(pme.Ising(lattice=(3, 3), coupling=c)) for c in (0.3, 0.8))
    assert one.owner.op == two.owner.op
    other = pme.Boltzmann.dist(pme.Ising(lattice=(3, 3), periodic=False))
    assert one.owner.op != other.owner.op


def test_models_print():
    with pm.Model() as model:
        pme.Boltzmann("z", ISING)
    assert "z ~ Boltzmann(" in model.str_repr()


def legacy_random_state():
    return np.random.mtrand._rand.get_state()


def test_nothing_global_changes():
    plots = dict(az.rcParams)
    state = legacy_random_state()
    config = {name: getattr(pytensor.config, name) for name in ("mode", "floatX", "cxx", "linker")}
    fastmath = pytensor.config.numba__fastmath
    with pm.Model() as model:
        pme.Boltzmann("z", ISING)
    logp(model)
    pm.draw(model["z"], 5, random_seed=1)
    with model:
        pm.sample(5, tune=5, chains=1, random_seed=1, progressbar=False, quiet=True)
    assert config == {name: getattr(pytensor.config, name) for name in config}
    assert pytensor.config.numba__fastmath == fastmath
    assert plots == dict(az.rcParams)
    for before, after in zip(state, legacy_random_state(), strict=True):
        np.testing.assert_array_equal(before, after)
