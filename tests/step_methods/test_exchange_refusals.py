"""To what the exchange algorithm is assigned, and what it refuses."""

import numpy as np
import pymc as pm
import pytensor
import pytest
from exchange_models import MODELS, QUIET, RING, UP, build
from pymc.model.fgraph import clone_model
from pymc.sampling.mcmc import assign_step_methods
from pymc.step_methods import STEP_METHODS
from pytensor.gradient import NullTypeGradError

import pm_energy as pme
from pm_energy.step_methods import EnergyExchange, exchange_bias


def steps(model):
    """What PyMC would sample each variable with."""
    _, assigned = assign_step_methods(model)
    return {model.values_to_rvs[v].name: step.__name__ for step, vs in assigned.items() for v in vs}


def test_it_is_assigned_to_parameters_only():
    assert STEP_METHODS.count(EnergyExchange) == 1
    with pm.Model() as model:
        tau = pm.HalfNormal("tau")
        J, h = pm.Normal("J", 0.0, tau), pm.Normal("h")
        other = pm.Normal("other")
        energy = pme.Ising(graph=RING, coupling=pm.Deterministic("twice", 2 * J), field=h)
        pme.Boltzmann("x", energy, log_partition="exchange", observed=UP)
        pme.Boltzmann("exact", pme.Ising(graph=RING, coupling=other), observed=UP)
        pme.Boltzmann("numbers", pme.Ising(graph=RING), log_partition="exchange")
        inside = steps(model)
    assert {name for name, step in inside.items() if step == "EnergyExchange"} == {"J", "h"}
    assert inside["numbers"] == "EnergyGibbs"
    assert steps(model) == inside  # without a model on the stack
    assert steps(clone_model(model)) == inside
    assert "EnergyExchange" not in steps(build("coupling", "exact")).values()


def test_no_gradient_without_log_z():
    model = build("coupling and field")
    with pytest.raises(NullTypeGradError, match="leave them to EnergyExchange"), model:
        pm.NUTS([model["J"]])
    with pytest.raises(NullTypeGradError, match="no gradient in its parameters"):
        model.compile_dlogp()


def test_the_density_of_the_step_is_the_models():
    """A shared inverse temperature of another likelihood works, as in a tempered model."""
    beta = pytensor.shared(np.float64(1.0), name="beta")
    with pm.Model() as model:
        J = pm.HalfNormal("J")
        energy = pme.Ising(graph=RING, coupling=J)
        x = pme.Boltzmann("x", energy, log_partition="exchange")
        pm.Potential("likelihood", beta * pm.logp(pm.Normal.dist(x.sum() * J, 1.0), 1.3))
        step = EnergyExchange()
    here, there = ({"J_log__": np.array(a), "x": UP.astype(np.int8)} for a in (-0.3, 0.4))
    log_p, found = model.compile_logp(), []
    for value in (1.0, 0.3):
        beta.set_value(value)
        found.append(step.density(there)[0] - step.density(here)[0])
        np.testing.assert_allclose(found[-1], log_p(there) - log_p(here), rtol=1e-12)
    assert abs(found[0] - found[1]) > 0.01


def with_discrete_parameter():
    k = pm.Poisson("k", 1.0)
    pme.Boltzmann("x", pme.Ising(graph=RING, coupling=0.1 * k), log_partition="exchange")


def with_another_field():
    z = pme.Boltzmann("z", pme.Ising(graph=RING))
    pme.Boltzmann("x", pme.Ising(graph=RING, field=0.1 * z), log_partition="exchange")


def tempered():
    """A likelihood without log Z, to a power."""
    J = pm.Normal("J")
    x = pme.Boltzmann.dist(pme.Ising(graph=RING, coupling=J), log_partition="exchange")
    pm.Potential("x_tempered", 0.5 * pm.logp(x, UP.astype(np.int8)))


def mixture():
    parts = [
        pme.Boltzmann.dist(pme.Ising(graph=RING, coupling=J), log_partition="exchange")
        for J in (pm.Normal("J"), pm.Normal("K"))
    ]
    pm.Mixture("x", w=[0.5, 0.5], comp_dists=parts, observed=UP.astype(np.int8))


@pytest.mark.parametrize(
    ("fill", "why"),
    [
        (with_discrete_parameter, r"the parameters \['k'\] are discrete"),
        (with_another_field, r"the parameters \['z'\] are discrete"),
        (tempered, r"the factors \['x_tempered'\] use the density"),
        (mixture, r"the factors \['x'\] use the density"),
    ],
)
def test_models_that_are_refused(fill, why):
    with pm.Model() as model:
        fill()
        with pytest.raises(ValueError, match=why):
            EnergyExchange()
        assert "EnergyExchange" in steps(model).values()  # so that nothing else takes them


@pytest.mark.parametrize(
    ("kwargs", "why"),
    [
        ({"inner_sweeps": 0}, "inner_sweeps must be a positive integer"),
        ({"moves_per_draw": 1.5}, "moves_per_draw must be a positive integer"),
        ({"vars": ["J"]}, r"exactly the parameters of \['x'\], that is \['J', 'h'\], and got"),
        ({"vars": ["J", "h", "other"]}, "exactly the parameters"),
        ({"vars": ["J", "h"], "blocked": False}, "exactly the parameters"),
    ],
)
def test_bad_arguments(kwargs, why):
    with pm.Model() as model:
        MODELS["coupling and field"][0]("exchange")
        pm.Normal("other")
        if "vars" in kwargs:
            kwargs = kwargs | {"vars": [model[name] for name in kwargs["vars"]]}
        with pytest.raises(ValueError, match=why):
            EnergyExchange(**kwargs)


def test_a_parameter_given_to_another_step():
    with build("coupling and field") as model:
        step = pm.Metropolis([model["h"]])
        with pytest.raises(ValueError, match=r"and got \['J'\]. No other step method"):
            pm.sample(5, step=step, **QUIET)


def test_models_without_anything_to_exchange():
    with build("coupling", "exact"):
        with pytest.raises(ValueError, match="there is nothing to exchange"):
            EnergyExchange()
        with pytest.raises(ValueError, match="no Boltzmann variable of the model"):
            exchange_bias(None)


def test_bad_arguments_of_the_bias():
    model = build("coupling")
    with pytest.raises(ValueError, match="runs must be at least 4"):
        exchange_bias(None, runs=2, model=model)
    with pytest.raises(ValueError, match="inner_sweeps must be"):
        exchange_bias(None, inner_sweeps=0, model=model)
    with pytest.raises(ValueError, match=r"trace must hold the posterior of \['J'\]"):
        exchange_bias({"posterior": {}}, model=model)


def test_real_units_need_a_draw_method():
    with pytest.raises(ValueError, match="give the energy a method draw"):
        pme.Boltzmann.dist(pme.RBM(np.ones((2, 1)), visible="gaussian"), log_partition="exchange")
    pme.Boltzmann.dist(
        pme.GaussianMixtureEnergy([1.0], [[0.0]], [[[4.0]]]), log_partition="exchange"
    )
