"""Boltzmann machines as models to learn: against enumeration, autodiff and one another."""

from itertools import product

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.special import expit, logsumexp

import pm_energy as pme
from pm_energy.compile import ONCE, compile_function
from pm_energy.energies.sites import neighbours
from pm_energy.exact.enumeration import state_number
from pm_energy.kernels.lanes_graph import lanes_graph, pack_lanes, unpack_lanes
from pm_energy.kernels.lanes_sweeps import lanes_sweeps
from pm_energy.testing import check_invariance
from pm_energy.training.likelihood import ContrastiveDivergence, ExactLikelihood
from pm_energy.training.pair_coding import coded_theta, spin_theta
from pm_energy.training.pair_exact import enumerate_spins
from pm_energy.training.pair_model import PairModel

CODINGS = ("binary", "spin")
GRAPHS = {  # visible, hidden, edges: fully visible, all pairs, and two clusters of hidden units
    "visible": (5, 0, [[0, 1], [1, 2], [3, 1], [4, 2]]),
    "pairs": (3, 2, None),
    "clusters": (3, 4, [[0, 3], [1, 3], [3, 4], [1, 5], [6, 2], [0, 1], [5, 0], [6, 5]]),
    "uncoupled": (3, 2, None),
}


def case(graph, coding, positive="exact", scale=0.7):
    """A model with random parameters."""
    n_visible, n_hidden, edges = GRAPHS[graph]
    rng = np.random.default_rng(7)
    model = PairModel(n_visible, n_hidden, edges, coding, positive, rng=np.random.default_rng(8))
    theta = {"couplings": rng.normal(0, scale, len(model.edges)), "bias": rng.normal(0, 1, model.n)}
    if graph == "uncoupled":
        theta["couplings"][:] = 0
    return model, theta


def data(model, rng, n=40, means=False):
    bits = rng.random((n, model.n_visible)) if means else rng.integers(2, size=(n, model.n_visible))
    return bits.astype(float) if model.coding == "binary" else 2.0 * bits - 1


def joint_energies(model, theta, x):
    """Energies (N, 2**n_hidden) from the formula, all hidden states."""
    digits = np.array(list(product((0.0, 1.0), repeat=model.n_hidden)))
    hidden = digits if model.coding == "binary" else 2 * digits - 1
    states = np.concatenate(
        [np.repeat(x, len(hidden), axis=0), np.tile(hidden, (len(x), 1))], axis=1
    )
    a, b = model.edges.T
    energy = -(states[:, a] * states[:, b]) @ theta["couplings"] - states @ theta["bias"]
    return energy.reshape(len(x), -1), states.reshape(len(x), -1, model.n)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("graph", GRAPHS)
def test_free_energy_and_statistics_sum_over_hidden_states(graph, coding):
    model, theta = case(graph, coding)
    rng = np.random.default_rng(1)
    x, weights = data(model, rng, means=True), rng.random(40)
    energy, states = joint_energies(model, theta, x)
    np.testing.assert_allclose(model.free_energy(theta, x), -logsumexp(-energy, axis=1), rtol=1e-12)
    p = np.exp(-energy - logsumexp(-energy, axis=1, keepdims=True))
    p *= (weights / weights.sum())[:, None]
    found = model.statistics(theta, x, weights)
    a, b = model.edges.T
    pairs = np.einsum("nk,nke->e", p, states[..., a] * states[..., b])
    np.testing.assert_allclose(found["couplings"], pairs, atol=1e-13)
    np.testing.assert_allclose(found["bias"], np.einsum("nk,nki->i", p, states), atol=1e-13)
    if model.n_hidden:
        means = np.einsum("nk,nki->ni", p, states)[:, model.n_visible :] / p.sum(1)[:, None]
        np.testing.assert_allclose(model.hidden_means(theta, x), means, atol=1e-13)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("graph", ["visible", "clusters"])
def test_the_exact_gradient_is_autodiff_of_the_exact_log_likelihood(graph, coding):
    model, theta = case(graph, coding)
    x = data(model, np.random.default_rng(2))
    _, states = joint_energies(model, theta, x)
    values = (0, 1) if coding == "binary" else (-1, 1)
    every = np.array(list(product(values, repeat=model.n)), dtype=float)
    couplings, bias = pt.vector("couplings", dtype="float64"), pt.vector("bias", dtype="float64")
    a, b = model.edges.T

    def log_weight(s):
        return (s[..., a] * s[..., b]) @ couplings + s @ bias

    log_p = pt.logsumexp(log_weight(states), axis=1).mean() - pt.logsumexp(log_weight(every))
    outputs = [log_p, *pytensor.grad(log_p, [couplings, bias])]
    function = compile_function([couplings, bias], outputs, mode=ONCE)
    wanted = function(theta["couplings"], theta["bias"])
    gradient, info = ExactLikelihood().gradient(model, theta, x, None, None)
    assert info["log_likelihood"] == pytest.approx(float(wanted[0]), abs=1e-10)
    np.testing.assert_allclose(gradient["couplings"], -wanted[1], atol=1e-10)
    np.testing.assert_allclose(gradient["bias"], -wanted[2], atol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_halves_add_up_to_all_states(n):
    rng = np.random.default_rng(n)
    coupling = np.triu(rng.normal(size=(n, n)), 1)
    coupling, field = coupling + coupling.T, rng.normal(size=n)
    log_z, mean, second = enumerate_spins(coupling, field)
    known = pme.exact.moments(pme.Ising(coupling, field))
    assert log_z == pytest.approx(known.log_partition, rel=1e-12)
    np.testing.assert_allclose(mean, known.mean, atol=1e-13)
    np.testing.assert_allclose(second, known.second, atol=1e-13)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("kind", ["pseudolikelihood", "ratio-matching", "probability-flow"])
def test_flip_losses_are_sums_over_flips_with_their_own_gradients(kind, coding):
    model, theta = case("visible", coding)
    rng = np.random.default_rng(3)
    x, weights = data(model, rng, means=True), rng.random(40)
    low = 0 if coding == "binary" else -1

    def loss(theta):
        f = {
            "pseudolikelihood": lambda d: np.logaddexp(0, -d),
            "ratio-matching": lambda d: expit(-d) ** 2,
            "probability-flow": lambda d: np.exp(-d / 2),
        }[kind]
        total = 0.0
        for i in range(model.n):
            other = x.copy()
            other[:, i] = 1 + low - x[:, i]
            change = joint_energies(model, theta, other)[0] - joint_energies(model, theta, x)[0]
            total += np.average(f(change[:, 0]), weights=weights)
        return total

    value, gradient = model.flip_loss(theta, x, kind, weights)
    assert value == pytest.approx(loss(theta), rel=1e-12)
    for name, parameter in theta.items():
        for i in range(len(parameter)):
            step = {name: parameter + 1e-5 * (np.arange(len(parameter)) == i)}
            back = {name: parameter - 1e-5 * (np.arange(len(parameter)) == i)}
            slope = (loss(theta | step) - loss(theta | back)) / 2e-5
            assert gradient[name][i] == pytest.approx(slope, abs=1e-8)


def test_extreme_fields_neither_overflow_nor_lose_their_signs():
    model = PairModel(2, edges=[[0, 1]], coding="spin")
    theta = {"couplings": np.array([2000.0]), "bias": np.zeros(2)}
    for x, loss in (([[1.0, -1]], 8000.0), ([[1.0, 1]], 0.0)):
        value, gradient = model.flip_loss(theta, np.array(x), "pseudolikelihood")
        assert value == pytest.approx(loss, abs=1e-12)
        assert np.isfinite(gradient["couplings"]).all()


@pytest.mark.parametrize("coding", CODINGS)
def test_mean_field_bounds_the_free_energy_and_its_statistics_are_the_bound_s_gradient(coding):
    exact, theta = case("pairs", coding)
    model = case("pairs", coding, "mean-field")[0]
    x = data(model, np.random.default_rng(4))
    gap = model.free_energy(theta, x) - exact.free_energy(theta, x)
    assert gap.min() > -1e-12
    assert gap.max() > 1e-3  # hidden units are coupled
    found = model.statistics(theta, x)
    for name, parameter in theta.items():
        for i in range(len(parameter)):
            step = 1e-5 * (np.arange(len(parameter)) == i)
            up, down = (
                model.free_energy(theta | {name: parameter + s}, x).mean() for s in (step, -step)
            )
            assert found[name][i] == pytest.approx((down - up) / 2e-5, abs=1e-7)
    uncoupled, theta = case("uncoupled", coding, "mean-field")
    sure = case("uncoupled", coding)[0]
    np.testing.assert_allclose(uncoupled.free_energy(theta, x), sure.free_energy(theta, x))


@pytest.mark.parametrize("coding", CODINGS)
def test_clamped_sampling_estimates_the_positive_phase(coding):
    exact, theta = case("clusters", coding, scale=0.4)
    model = case("clusters", coding, "gibbs", scale=0.4)[0]
    x = np.repeat(data(model, np.random.default_rng(5)), 500, axis=0)
    wanted, found = exact.statistics(theta, x), model.statistics(theta, x)
    for name in theta:  # means of 20,000 numbers between -1 and 1: errors below 1 / sqrt(20,000)
        np.testing.assert_allclose(found[name], wanted[name], atol=5 / np.sqrt(20_000))


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(("beta", "is_right"), [(1.0, True), (0.8, False)])
def test_sweeps_leave_the_joint_distribution_invariant(coding, beta, is_right):
    model, theta = case("pairs", coding)
    states, p = pme.exact.distribution(model.energy(theta))
    domain = model.energy(theta).domain

    def update(rng, x):
        return x

    def number(x):
        chains = {"units": np.ascontiguousarray(x)}
        model.sweep(theta, chains, np.random.default_rng(9), beta=beta)
        return state_number(chains["units"], domain)

    if is_right:
        check_invariance(update, states, p, number)
    else:
        with pytest.raises(AssertionError, match="invariant"):
            check_invariance(update, states, p, number)


@pytest.mark.parametrize("edges", [None, pme.Lattice((3, 5)).edges], ids=["dense", "sparse"])
def test_sweeps_are_those_of_the_kernel(edges):
    """The layout of a graph is kept: new couplings must go where they belong."""
    model, rng = PairModel(15, edges=edges, coding="spin"), np.random.default_rng(1)
    chains = model.start({}, rng, n=64)
    for _ in range(2):
        theta = {"couplings": rng.normal(size=len(model.edges)), "bias": rng.normal(size=15)}
        indptr, indices, bond = neighbours(model.edges, 15)
        graph = lanes_graph(indptr, indices, 2 * theta["couplings"][bond], 2 * theta["bias"])
        state = pack_lanes(chains["units"])
        lanes_sweeps(np.random.default_rng(2), state, graph, 0.7, 3)
        model.sweep(theta, chains, np.random.default_rng(2), n_sweeps=3, beta=0.7)
        np.testing.assert_array_equal(chains["units"], unpack_lanes(state))


@pytest.mark.parametrize("coding", CODINGS)
def test_chains_estimate_the_model_s_statistics(coding):
    model, theta = case("visible", coding)
    rng = np.random.default_rng(6)
    states, p = pme.exact.distribution(model.energy(theta))
    chains = {"units": states[rng.choice(len(states), size=20_000, p=p)]}
    log_z, wanted = model.exact(theta)
    found = model.chain_statistics(theta, chains)
    for name in theta:
        np.testing.assert_allclose(found[name], wanted[name], atol=5 / np.sqrt(20_000))
    np.testing.assert_allclose(
        model.chain_energy(theta, {"units": states}), -np.log(p) - log_z, atol=1e-12
    )
    # one chain in each state, weighted: replacing units by conditional means changes no mean
    parts = [model.chain_statistics(theta, {"units": states[i : i + 1]}) for i in range(len(p))]
    for name in theta:
        mean = sum(q * part[name] for q, part in zip(p, parts, strict=True))
        np.testing.assert_allclose(mean, wanted[name], atol=1e-12)


@pytest.mark.parametrize("coding", CODINGS)
def test_chains_start_at_the_data(coding):
    model, theta = case("clusters", coding)
    x = data(model, np.random.default_rng(7))
    rng = np.random.default_rng(8)
    np.testing.assert_array_equal(model.visible(model.start(theta, rng, x=x)), x)
    chains = model.start(theta, rng, x=np.full((4000, 3), 0.25))
    assert model.visible(chains).dtype == np.int8
    share = (model.visible(chains) == 1).mean()
    wanted = 0.25 if coding == "binary" else 0.625
    assert share == pytest.approx(wanted, abs=5 * 0.5 / np.sqrt(12_000))
    assert model.start(theta, rng, n=3)["units"].shape == (3, 7)


def test_contrastive_divergence_stands_still_at_the_truth():
    """Data from the model, sweeps that keep it: the gradient has mean zero."""
    model, theta = case("visible", "spin")
    rng = np.random.default_rng(9)
    states, p = pme.exact.distribution(model.energy(theta))
    x = states[rng.choice(len(states), size=20_000, p=p)].astype(float)
    gradient, _ = ContrastiveDivergence().gradient(model, theta, x, None, rng)
    assert max(np.abs(g).max() for g in gradient.values()) < 5 * np.sqrt(2 / 20_000)


def test_the_coding_changes_energies_by_a_constant_and_gradients_by_the_chain_rule():
    binary, theta = case("clusters", "binary")
    spin = case("clusters", "spin")[0]
    *spins, offset = spin_theta(theta, binary.edges, "binary")
    back = coded_theta(*spins, binary.edges, "binary")
    for name in theta:
        np.testing.assert_allclose(back[name], theta[name], atol=1e-14)
    same = coded_theta(*spins, binary.edges, "spin")
    x = data(binary, np.random.default_rng(1))
    np.testing.assert_allclose(
        binary.free_energy(theta, x), spin.free_energy(same, 2 * x - 1) + offset, rtol=1e-12
    )


@pytest.mark.parametrize("coding", CODINGS)
def test_the_centred_gradient_is_that_of_centred_parameters(coding):
    """In E = - sum J (x - mu)(x - mu) - sum c (x - mu), so b = c - J mu."""
    model, theta = case("visible", coding)
    rng = np.random.default_rng(10)
    gradient = {name: rng.normal(size=value.shape) for name, value in theta.items()}
    mu = rng.random(model.n)
    found = model.centre(gradient, mu)
    a, b = model.edges.T
    to_centred = np.zeros((model.n, len(model.edges)))  # c = b + J mu, linear in the couplings
    to_centred[a, np.arange(len(a))], to_centred[b, np.arange(len(a))] = mu[b], mu[a]
    # d/dJ at fixed c is d/dJ - (db/dJ)' d/db; the step in (J, c) is one in (J, b)
    pairs = gradient["couplings"] - to_centred.T @ gradient["bias"]
    np.testing.assert_allclose(found["couplings"], pairs, atol=1e-13)
    np.testing.assert_allclose(found["bias"], gradient["bias"] - to_centred @ pairs, atol=1e-13)
    first = model.offsets(gradient, gradient)
    np.testing.assert_array_equal(first, gradient["bias"])


@pytest.mark.parametrize("coding", CODINGS)
def test_float32_stays_float32(coding):
    model, theta = case("clusters", coding)
    theta = {name: value.astype(np.float32) for name, value in theta.items()}
    x = data(model, np.random.default_rng(1)).astype(np.float32)
    chains = model.start(theta, np.random.default_rng(2), x=x)
    found = [model.statistics(theta, x), model.chain_statistics(theta, chains)]
    found += [model.exact(theta)[1], model.centre(found[0], model.offsets(*found[:2]))]
    assert {value.dtype for part in found for value in part.values()} == {np.dtype(np.float32)}
    assert model.hidden_means(theta, x).dtype == np.float32


def test_what_cannot_be_done_is_said():
    model, theta = case("pairs", "binary")
    with pytest.raises(ValueError, match="without hidden units"):
        model.flip_loss(theta, np.zeros((1, 3)), "pseudolikelihood")
    big = PairModel(1, 13)
    with pytest.raises(ValueError, match="positive='mean-field'"):
        big.free_energy({"couplings": np.zeros(91), "bias": np.zeros(14)}, np.zeros((1, 1)))
    with pytest.raises(ValueError, match="learn by 'pcd'"):
        PairModel(21).exact({"couplings": np.zeros(210), "bias": np.zeros(21)})
    with pytest.raises(ValueError, match="coding must be"):
        PairModel(2, coding="potts")
    with pytest.raises(ValueError, match="positive must be"):
        PairModel(2, positive="guess")
    with pytest.raises(ValueError, match="rng must be"):
        PairModel(2, 1, positive="gibbs")
    with pytest.raises(ValueError, match="more than once"):
        PairModel(2, edges=[[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="kind must be"):
        PairModel(2).flip_loss(theta, np.zeros((1, 2)), "score")
    with pytest.raises(ValueError, match="weights must have shape"):
        model.statistics(theta, np.zeros((2, 3)), np.zeros(2))
