import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from pytensor.gradient import grad

import pm_energy as pme
from pm_energy.compile import ONCE, compile_function, energy_values
from pm_energy.energies.neural import NeuralEnergy
from pm_energy.structure import flatten, unflatten
from pm_energy.training.score_draws import grid_log_partition
from pm_energy.training.score_network import NetworkModel

ACTIVATIONS = ("silu", "softplus", "tanh")
W, U, B, V, C = (np.random.default_rng(0).normal(size=s) for s in [(2, 3), (3, 4), 3, 4, 4])


def formulas(a):
    return {"silu": a / (1 + np.exp(-a)), "softplus": np.log(1 + np.exp(a)), "tanh": np.tanh(a)}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_energy_is_its_formula(activation):
    settings = {"location": [1.0, -2.0], "scale": [0.5, 3.0], "confinement": 0.7}
    energy = NeuralEnergy((W, U, V), (B, C), activation=activation, **settings)
    x = np.random.default_rng(1).normal(size=(7, 2))
    z = (x - [1.0, -2.0]) / [0.5, 3.0]
    h = formulas(formulas(z @ W + B)[activation] @ U + C)[activation]
    wanted = h @ V + 0.35 * (z**2).sum(axis=1)
    np.testing.assert_allclose(energy_values(energy, x), wanted, rtol=1e-13)
    structure, leaves = flatten(energy)
    np.testing.assert_array_equal(
        energy_values(unflatten(structure, leaves), x), energy_values(energy, x)
    )


TOLD = np.array([0.3, -1.2])
W_TOLD = np.random.default_rng(4).normal(size=(4, 3))  # of two units and two entries of context


def test_a_context_is_more_inputs():
    settings = {"location": [1.0, -2.0], "scale": [0.5, 3.0], "confinement": 0.7}
    energy = NeuralEnergy((W_TOLD, U, V), (B, C), context=TOLD, **settings)
    assert energy.event_shape == (2,)
    at = np.random.default_rng(1).normal(size=(5, 7, 2))
    z = (at - [1.0, -2.0]) / [0.5, 3.0]
    inputs = np.concatenate([z, np.broadcast_to(TOLD, z.shape)], axis=-1)
    h = formulas(formulas(inputs @ W_TOLD + B)["silu"] @ U + C)["silu"]
    wanted = h @ V + 0.35 * (z**2).sum(axis=-1)
    structure, leaves = flatten(energy)
    assert len(leaves) == 5 + 3 + 1
    x = pt.dtensor3(shape=(None, None, 2))
    for same in (energy, unflatten(structure, leaves), energy.without_context()):
        np.testing.assert_allclose(compile_function([x], same(x), ONCE)(at), wanted, rtol=1e-13)
    plain = energy.without_context()
    assert plain.context is None
    assert plain.without_context() is plain


@pytest.mark.parametrize("told", [TOLD, pt.dvector(shape=(2,))], ids=["told", "unknown"])
@pytest.mark.parametrize("first", [W_TOLD, pt.dmatrix(shape=(4, 3))], ids=["learned", "free"])
def test_contexts_and_weights_may_be_variables(told, first):
    energy = NeuralEnergy((first, U, V), (B, C), context=told)
    x, at = pt.dmatrix(shape=(None, 2)), np.random.default_rng(1).normal(size=(7, 2))
    given = {x: at} | {
        v: value for v, value in ((told, TOLD), (first, W_TOLD)) if not isinstance(v, np.ndarray)
    }
    found = compile_function([*given], energy(x), ONCE)(*given.values())
    numbers = NeuralEnergy((W_TOLD, U, V), (B, C), context=TOLD)
    np.testing.assert_allclose(found, energy_values(numbers, at), rtol=1e-13)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_scores_have_no_curl(activation):
    """The Jacobian of a gradient is symmetric; that of a free network would not be."""
    x = pt.dvector(shape=(3,))
    energy = NeuralEnergy.initial(np.random.default_rng(2), 3, hidden=(5, 4), activation=activation)
    score = pme.field(energy, x)
    rows = compile_function([x], [grad(score[i], x) for i in range(3)], mode=ONCE)
    at = np.stack(rows(np.array([0.3, -0.7, 1.1])))
    np.testing.assert_allclose(at, at.T, atol=1e-14)
    assert np.abs(at - np.diag(np.diag(at))).max() > 1e-3


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_bowl_makes_it_a_density(activation):
    energy = NeuralEnergy.initial(np.random.default_rng(3), 2, activation=activation)
    wide = NeuralEnergy(
        tuple(3.0 * w for w in energy.weights), energy.biases, activation=activation
    )
    model = NetworkModel(wide)
    theta = model.initial()
    grid_log_partition(lambda x: model.value_and_slope(theta, x)[0], np.zeros(2), np.ones(2), 201)
    flat = NeuralEnergy(energy.weights, energy.biases, activation=activation, confinement=0.0)
    angles = np.linspace(0, 2 * np.pi, 50)
    far = 1e4 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert energy_values(wide, far).min() > 1e6
    assert np.abs(energy_values(flat, far)).max() < 1e6


def test_without_a_network_it_is_the_normal_density_under_nuts():
    energy = NeuralEnergy(([[0.0], [0.0]], [0.0]), ([0.0],), location=[1.0, -2.0], scale=[0.5, 3.0])
    with pm.Model():
        pme.Boltzmann("x", energy)
        dt = pm.sample(
            draws=500, tune=300, chains=2, cores=1, random_seed=5, progressbar=False,
            compute_convergence_checks=False,
        )  # fmt: skip
    x = dt["posterior"]["x"].values.reshape(-1, 2)
    # NUTS on a normal: at least a third of the draws are worth an independent one; 5 deviations
    error = 5 * np.array([0.5, 3.0]) / np.sqrt(len(x) / 3)
    assert (np.abs(x.mean(axis=0) - [1.0, -2.0]) < error).all()
    np.testing.assert_allclose(x.std(axis=0), [0.5, 3.0], rtol=5 / np.sqrt(2 * len(x) / 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NeuralEnergy((W, V), (B, C)), "weights must have one entry more than biases"),
        (lambda: NeuralEnergy((V,), ()), "weights must have one entry more than biases"),
        (lambda: NeuralEnergy((W, V), (B,)), r"weights\[-1\] must have shape \(3,\), got \(4,\)"),
        (lambda: NeuralEnergy((W, W, V), (B, C)), r"weights\[1\] must have shape \(3, 4\)"),
        (lambda: NeuralEnergy((W, U, V), (B, C), activation="relu"), "one of silu, softplus, tanh"),
        (lambda: NeuralEnergy((W, U, V), (B, C), scale=0.0), "scale must be positive"),
        (lambda: NeuralEnergy((W, U, V), (B, C), scale=[1.0] * 3), r"shape \(\) or \(2,\)"),
        (lambda: NeuralEnergy((W, U, V), (B, C), confinement=-1.0), "confinement must be at least"),
        (lambda: NeuralEnergy((W, U, np.nan * V), (B, C)), r"weights\[2\] must be finite"),
        (lambda: NeuralEnergy((W, U, V), (B, C), context=[[1.0]]), "context must have 1 dimension"),
        (lambda: NeuralEnergy((W, U, V), (B, C), context=[1.0, 2.0]), "n above 0 units and k"),
        (
            lambda: NeuralEnergy((W, U, V), (B, C), context=pt.dvector()),
            "context must have a known",
        ),
        (
            lambda: NeuralEnergy.initial(np.random.default_rng(0), 2, context=0.5),
            "context must have",
        ),
        (lambda: NeuralEnergy.initial(np.random.default_rng(0), 0), "n must be a positive integer"),
        (lambda: NeuralEnergy.initial(np.random.default_rng(0), 2, (0,)), "hidden must be"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
