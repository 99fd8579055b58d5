"""Boltzmann machines, restricted or not, against sums written out."""

import itertools

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy.special import logsumexp

import pm_energy as pme
from pm_energy.compile import ONCE, compile_function, evaluate_once

RNG = np.random.default_rng(1)
COUPLING = np.triu(RNG.normal(size=(4, 4)), 1)
COUPLING = COUPLING + COUPLING.T
BIAS = RNG.normal(size=4)
BITS = np.array(list(itertools.product([0, 1], repeat=4)))
LAYERS = list(itertools.product(["binary", "spin"], repeat=2))


def rbm_of(visible, hidden, scalar_biases=False, **extra):
    rng = np.random.default_rng(2)
    weights, a, b = rng.normal(size=(3, 4)), rng.normal(size=3), rng.normal(size=4)
    if scalar_biases:
        a, b = a[0], b[0]
    return pme.RBM(weights, a, b, visible=visible, hidden=hidden, **extra)


def states_of(coding, n):
    return np.array(list(itertools.product({"binary": [0, 1], "spin": [-1, 1]}[coding], repeat=n)))


@pytest.mark.parametrize("bias", [0.7, BIAS], ids=["scalar", "vector"])
@pytest.mark.parametrize("coding", ["binary", "spin"])
def test_energy_counts_each_pair_once(coding, bias):
    machine = pme.BoltzmannMachine(COUPLING, bias, coding=coding, offset=0.3)
    x = states_of(coding, 4)
    expected = np.full(len(x), 0.3) - (np.broadcast_to(bias, 4) * x).sum(axis=1)
    for i, j in itertools.combinations(range(4), 2):
        expected -= COUPLING[i, j] * x[:, i] * x[:, j]
    np.testing.assert_allclose(pme.energy_values(machine, x), expected, atol=1e-12)
    np.testing.assert_allclose(machine(x.reshape(4, 4, 4).astype(float)).ravel(), expected)


@pytest.mark.parametrize("bias", [0.7, BIAS], ids=["scalar", "vector"])
def test_recoding_keeps_every_energy(bias):
    binary = pme.BoltzmannMachine(COUPLING, bias, offset=-2.0)
    spin = binary.to_spin()
    expected = pme.energy_values(binary, BITS)
    np.testing.assert_allclose(pme.energy_values(spin, 2 * BITS - 1), expected, atol=1e-12)
    np.testing.assert_allclose(pme.energy_values(spin.to_binary(), BITS), expected, atol=1e-12)
    other = pme.BoltzmannMachine(COUPLING, bias, coding="spin", offset=-2.0)
    expected = pme.energy_values(other, 2 * BITS - 1)
    np.testing.assert_allclose(pme.energy_values(other.to_binary(), BITS), expected, atol=1e-12)
    assert spin.to_spin() is spin
    assert binary.to_binary() is binary


def test_recoding_keeps_every_energy_of_symbolic_parameters():
    coupling, bias = pt.dmatrix(), pt.dvector()
    machine = pme.BoltzmannMachine(
        pt.specify_shape(coupling, (4, 4)), pt.specify_shape(bias, (4,)), offset=1.0
    )
    values = [machine(BITS.astype(float)), machine.to_spin()(2.0 * BITS - 1)]
    one, other = compile_function([coupling, bias], values, mode=ONCE)(COUPLING, BIAS)
    np.testing.assert_allclose(one, other, atol=1e-12)


def test_spin_machine_is_the_ising_model_of_all_pairs():
    machine = pme.BoltzmannMachine(COUPLING, BIAS, coding="spin")
    ising = pme.Ising(COUPLING, BIAS)
    s = 2 * BITS - 1
    np.testing.assert_allclose(pme.energy_values(machine, s), pme.energy_values(ising, s))


@pytest.mark.parametrize(("visible", "hidden"), LAYERS)
@pytest.mark.parametrize("scalar", [False, True])
def test_rbm_energy_couples_the_layers_only(visible, hidden, scalar):
    rbm = rbm_of(visible, hidden, scalar)
    v, h = states_of(visible, 3), states_of(hidden, 4)
    a, b = np.broadcast_to(rbm.visible_bias, 3), np.broadcast_to(rbm.hidden_bias, 4)
    for i, j in [(0, 0), (3, 9), (7, 15)]:
        expected = -sum(a[k] * v[i, k] for k in range(3)) - sum(b[k] * h[j, k] for k in range(4))
        expected -= sum(rbm.weights[k, m] * v[i, k] * h[j, m] for k in range(3) for m in range(4))
        value = pme.energy_values(rbm, v[i : i + 1], h[j : j + 1])
        np.testing.assert_allclose(value, expected, atol=1e-12)


@pytest.mark.parametrize(("visible", "hidden"), LAYERS)
@pytest.mark.parametrize("scalar", [False, True])
@pytest.mark.parametrize("summed", [0, 1])
def test_free_energy_sums_a_layer_out(visible, hidden, scalar, summed):
    rbm = rbm_of(visible, hidden, scalar)
    v, h = states_of(visible, 3), states_of(hidden, 4)
    both = rbm(v[:, None].astype(float), h[None].astype(float))  # (8, 16)
    expected = -logsumexp(-both, axis=summed)
    kept = [h, v][summed].astype(float)
    np.testing.assert_allclose(
        evaluate_once(pme.free_energy(rbm, kept, wrt=summed)), expected, atol=1e-12
    )


@pytest.mark.parametrize("hidden", ["binary", "spin"])
@pytest.mark.parametrize("variance", [None, 0.5, np.array([0.3, 1.0, 2.5])], ids=repr)
def test_gaussian_visible_units(hidden, variance):
    """By the formula, by enumeration of h, and by what v is given h: N(a + W h, variance)."""
    rbm = rbm_of("gaussian", hidden, variance=variance)
    sigma2 = np.broadcast_to(1.0 if variance is None else variance, 3)
    v, h = np.random.default_rng(3).normal(size=(6, 3)), states_of(hidden, 4)
    joint = rbm(v[:, None], h[None].astype(float))
    slope = rbm.hidden_bias + (v / sigma2) @ rbm.weights
    trace = np.logaddexp(0, slope) if hidden == "binary" else np.logaddexp(slope, -slope)
    formula = ((v - rbm.visible_bias) ** 2 / (2 * sigma2)).sum(1) - trace.sum(1)
    np.testing.assert_allclose(-logsumexp(-joint, axis=1), formula, atol=1e-12)
    np.testing.assert_allclose(pme.energy_values(pme.Marginal(rbm), v), formula, atol=1e-12)
    mean = rbm.visible_bias + h @ rbm.weights.T
    gaussian = ((v[:, None] - mean) ** 2 / (2 * sigma2)).sum(-1)
    rest = joint - gaussian
    np.testing.assert_allclose(rest, np.broadcast_to(rest[0], rest.shape), atol=1e-12)


def test_gaussian_rbm_normalises_by_quadrature():
    """One visible unit: the integral of exp(-F) is the sum over h of its Gaussian integrals."""
    rbm = pme.RBM([[0.8, -1.2]], 0.3, [0.2, -0.4], visible="gaussian", variance=0.7)
    grid = np.linspace(-25, 25, 20_001)[:, None]
    integral = np.exp(-pme.energy_values(pme.Marginal(rbm), grid)).sum() * (grid[1, 0] - grid[0, 0])
    h = states_of("binary", 2)
    shift = h @ rbm.weights[0]
    exponent = h @ rbm.hidden_bias + ((0.3 + shift) ** 2 - 0.3**2) / (2 * 0.7)
    np.testing.assert_allclose(integral, np.sqrt(2 * np.pi * 0.7) * np.exp(exponent).sum())


@pytest.mark.parametrize(("visible", "hidden"), [*LAYERS, ("gaussian", "binary")])
@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_temperature_acts_on_both_layers(visible, hidden, temperature):
    r"""F_T = E(v, 0) - T sum log-trace(field_h / T), which is not the F at T = 1."""
    rbm = rbm_of(visible, hidden)
    v = states_of("spin", 3) if visible == "gaussian" else states_of(visible, 3)
    v = v.astype(float)
    at_zero = rbm(v, np.zeros((8, 4)))
    slope = -(rbm(v[:, None], np.eye(4)) - at_zero[:, None]) / temperature
    trace = np.logaddexp(0, slope) if hidden == "binary" else np.logaddexp(slope, -slope)
    expected = at_zero - temperature * trace.sum(axis=1)
    marginal = pme.Marginal(pme.Tempered(rbm, 1 / temperature))
    value = pme.energy_values(marginal, v)
    np.testing.assert_allclose(temperature * value, expected, atol=1e-12)
    cold = pme.energy_values(pme.Marginal(rbm), v)
    assert np.allclose(temperature * value, cold) == (temperature == 1.0)


def test_the_mean_of_a_wide_gaussian_layer_follows_its_bias():
    rbm = pme.RBM(np.zeros((2, 1)), [3.0, -1.0], visible="gaussian", variance=2.0)
    slope = evaluate_once(pme.field(pme.Marginal(rbm), np.array([3.0, -1.0])))
    np.testing.assert_allclose(slope, 0.0, atol=1e-14)
