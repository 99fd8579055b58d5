"""RBMs as models to learn: equal to autodiff of the energy and to enumeration; chains are right."""

import itertools

import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor.gradient import grad
from scipy.sparse import csr_array
from scipy.special import expit, logsumexp
from scipy.stats import kstest

import pm_energy as pme
from pm_energy.compile import ONCE, compile_function
from pm_energy.testing.invariance import FALSE_ALARM, pooled_chisquare
from pm_energy.training.rbm_model import RBMModel

N_V, N_H = 4, 3
LOW = {"binary": 0.0, "spin": -1.0}
TWO_STATE = list(itertools.product(LOW, LOW))
UNITS = [*TWO_STATE, ("gaussian", "binary"), ("gaussian", "spin")]


def parameters(visible="binary", n_v=N_V, n_h=N_H, scale=1.0, dtype=float):
    rng = np.random.default_rng(20)
    shapes = {"weights": (n_v, n_h), "visible_bias": n_v, "hidden_bias": n_h}
    if visible == "gaussian":
        shapes["log_variance"] = n_v
    return {name: scale * rng.normal(size=size).astype(dtype) for name, size in shapes.items()}


def data(visible, n=30, n_v=N_V):
    """States, and numbers between them."""
    rng = np.random.default_rng(21)
    if visible == "gaussian":
        return (rng.normal(size=(n, n_v)),)
    low = LOW[visible]
    bits = (rng.random((n, n_v)) < 0.4).astype(float)
    return low + (1 - low) * bits, low + (1 - low) * rng.random((n, n_v))


def states(units, n):
    return np.array(list(itertools.product([LOW[units], 1.0], repeat=n)))


def symbolic(visible, hidden, theta):
    """The model's free energy as a graph, its row weights and its parameters."""
    named = {name: pt.tensor(name, dtype="float64", shape=v.shape) for name, v in theta.items()}
    w, a, b, *log_variance = named.values()
    variance = pt.exp(log_variance[0]) if log_variance else None
    energy = pme.RBM(w, a, b, visible=visible, hidden=hidden, variance=variance)
    return energy, list(named.values())


def assert_close(found, expected, tolerance=1e-10):
    assert set(found) == set(expected)
    for name, value in expected.items():
        scale = np.max(np.abs(value), initial=1.0)
        np.testing.assert_allclose(found[name], value, atol=tolerance * scale, err_msg=name)


@pytest.mark.parametrize(("visible", "hidden"), UNITS)
def test_statistics_are_derivatives_of_the_free_energy(visible, hidden):
    theta, model = parameters(visible), RBMModel(N_V, N_H, visible, hidden)
    x, weights = pt.dmatrix(), pt.dvector()
    energy, leaves = symbolic(visible, hidden, theta)
    rows = pme.free_energy(energy, x)
    slopes = grad(-(rows * weights).sum() / weights.sum(), leaves)
    derived = compile_function([x, weights, *leaves], [rows, *slopes], mode=ONCE)
    w = np.random.default_rng(22).random(30)
    for v in data(visible):
        free_energy, *statistics = derived(v, w, *theta.values())
        np.testing.assert_allclose(model.free_energy(theta, v), free_energy, rtol=1e-12, atol=1e-12)
        assert_close(model.statistics(theta, v, w), dict(zip(theta, statistics, strict=True)))
        assert_close(model.statistics(theta, v), model.statistics(theta, v, np.ones(30)), 1e-14)


FLIPS = {
    "pseudolikelihood": lambda delta: pt.softplus(-delta),
    "ratio-matching": lambda delta: pt.sigmoid(-delta) ** 2,
    "probability-flow": lambda delta: pt.exp(-delta / 2),
}


@pytest.mark.parametrize(("visible", "hidden"), TWO_STATE)
def test_flip_losses_and_their_gradients_are_derived(visible, hidden):
    theta, model = parameters(visible), RBMModel(N_V, N_H, visible, hidden)
    energy, leaves = symbolic(visible, hidden, theta)
    x, weights = pt.dmatrix(), pt.dvector()
    eye = np.eye(N_V)
    flipped = x[:, None] * (1 - eye) + (1 + LOW[visible] - x[:, None]) * eye
    delta = pme.free_energy(energy, flipped) - pme.free_energy(energy, x)[:, None]
    outputs = []
    for f in FLIPS.values():
        loss = (f(delta).sum(1) * weights).sum() / weights.sum()
        outputs += [loss, *grad(loss, leaves)]
    derived = compile_function([x, weights, *leaves], outputs, mode=ONCE)
    w = np.random.default_rng(23).random(30)
    for v in data(visible):
        values = derived(v, w, *theta.values())
        for k, kind in enumerate(FLIPS):
            loss, *slopes = values[4 * k : 4 * k + 4]
            found, gradient = model.flip_loss(theta, v, kind, w)
            assert abs(found - loss) < 1e-12 * abs(loss)
            assert_close(gradient, dict(zip(theta, slopes, strict=True)))


@pytest.mark.parametrize("size", [5.0, 60.0, 150.0])
def test_flip_losses_survive_large_weights(size):
    theta = parameters(n_v=6, n_h=150, scale=size)
    model, (v, between) = RBMModel(6, 150), data("binary", n_v=6)
    for x in (v, between):
        flipped = np.where(np.eye(6, dtype=bool), 1 - x[:, None], x[:, None])
        change = model.free_energy(theta, flipped.reshape(-1, 6)).reshape(-1, 6)
        change -= model.free_energy(theta, x)[:, None]
        loss, gradient = model.flip_loss(theta, x, "pseudolikelihood")
        expected = np.logaddexp(0, -change).sum(1).mean()
        assert abs(loss - expected) < 1e-9 * max(1, expected)  # differences of large numbers
        assert all(np.isfinite(g).all() for g in gradient.values())


@pytest.mark.parametrize(("visible", "hidden"), TWO_STATE)
def test_exact_moments_are_sums_over_states(visible, hidden):
    theta, model = parameters(visible), RBMModel(N_V, N_H, visible, hidden)
    v = states(visible, N_V)
    log_weights = -model.free_energy(theta, v)
    log_z, statistics = model.exact(theta)
    assert abs(log_z - logsumexp(log_weights)) < 1e-12
    assert_close(statistics, model.statistics(theta, v, np.exp(log_weights - log_z)), 1e-12)


def gaussian_log_z(theta, hidden):
    """Over hidden states, the visible units integrated out; for complex parameters, too."""
    w, a, b, log_variance = theta.values()
    h = states(hidden, N_H)
    mean, variance = a + h @ w.T, np.exp(log_variance)
    logs = h @ b + ((mean**2 - a**2) / (2 * variance)).sum(1)
    top = logs.real.max()
    return top + np.log(np.exp(logs - top).sum()) + np.log(2 * np.pi * variance).sum() / 2


@pytest.mark.parametrize("hidden", list(LOW))
def test_exact_moments_of_gaussian_units_are_derivatives_of_log_z(hidden):
    theta, model = parameters("gaussian"), RBMModel(N_V, N_H, "gaussian", hidden)
    log_z, statistics = model.exact(theta)
    assert abs(log_z - gaussian_log_z(theta, hidden)) < 1e-12
    expected = {name: np.empty_like(value) for name, value in theta.items()}
    for name, value in theta.items():
        for at in np.ndindex(value.shape):
            moved = value.astype(complex)
            moved[at] += 1e-30j  # a derivative without a difference
            expected[name][at] = gaussian_log_z(theta | {name: moved}, hidden).imag / 1e-30
    assert_close(statistics, expected, 1e-12)


def right(model, theta, chains, rng, beta):
    model.sweep(theta, chains, rng, beta=beta)


def hidden_not_tempered(model, theta, chains, rng, beta):
    """Broken: the temperature acts on the visible units only."""
    model.sweep(theta, chains, rng, beta=beta)
    chains["hidden"] = model.sample_hidden(theta, chains["visible"], rng)


def both_layers_at_once(model, theta, chains, rng, beta):
    """Broken: hidden units answer to the old visible ones."""
    old = chains["visible"].copy()
    model.sweep(theta, chains, rng, beta=beta)
    chains["hidden"] = model.sample_hidden(theta, old, rng)


@pytest.mark.parametrize(
    ("visible", "hidden", "beta", "dtype", "sweep", "is_right"),
    [
        ("binary", "binary", 1.0, np.float64, right, True),
        ("binary", "binary", 0.5, np.float32, right, True),
        ("spin", "binary", 0.5, np.float64, right, True),
        ("binary", "spin", 1.0, np.float32, right, True),
        ("spin", "spin", 0.5, np.float64, right, True),
        ("binary", "binary", 0.5, np.float64, hidden_not_tempered, False),
        ("spin", "spin", 0.5, np.float64, hidden_not_tempered, False),
        ("binary", "binary", 1.0, np.float64, both_layers_at_once, False),
    ],
)
def test_a_sweep_leaves_both_layers_together_invariant(
    visible, hidden, beta, dtype, sweep, is_right
):
    theta, model = parameters(visible), RBMModel(N_V, N_H, visible, hidden)
    v, h = states(visible, N_V), states(hidden, N_H)
    pairs = {"visible": np.repeat(v, len(h), axis=0), "hidden": np.tile(h, (len(v), 1))}
    energies = pme.energy_values(model.energy(theta), *pairs.values())
    np.testing.assert_allclose(model.chain_energy(theta, pairs), energies, atol=1e-12)
    p = np.exp(-beta * energies - logsumexp(-beta * energies))
    rng = np.random.default_rng(24)
    start = rng.choice(p.size, size=40_000, p=p)  # exact and independent, so chi-square holds
    chains = {name: layer[start].astype(dtype) for name, layer in pairs.items()}
    sweep(model, {k: value.astype(dtype) for k, value in theta.items()}, chains, rng, beta)
    bits = np.hstack([chains["visible"], chains["hidden"]]) > 0
    numbers = bits @ 2 ** np.arange(N_V + N_H)[::-1]
    assert (pooled_chisquare(numbers, p) > FALSE_ALARM) == is_right


def cold_visible(model, theta, chains, rng, beta):
    """Broken: visible units keep the variance of beta = 1."""
    model.sweep(theta, chains, rng, beta=beta)
    chains["visible"] = model.sample_visible(theta, chains["hidden"], rng)


@pytest.mark.parametrize("hidden", list(LOW))
@pytest.mark.parametrize(
    ("beta", "sweep", "is_right"), [(1.0, right, True), (0.5, right, True),
                                    (0.5, cold_visible, False), (0.5, hidden_not_tempered, False)]
)  # fmt: skip
def test_a_sweep_of_gaussian_units_leaves_both_layers_invariant(hidden, beta, sweep, is_right):
    theta, model = parameters("gaussian", scale=0.7), RBMModel(N_V, N_H, "gaussian", hidden)
    w, a, b, log_variance = theta.values()
    h, variance, rng = states(hidden, N_H), np.exp(log_variance), np.random.default_rng(25)
    mean = a + h @ w.T
    logs = beta * (h @ b + ((mean**2 - a**2) / (2 * variance)).sum(1))
    p = np.exp(logs - logsumexp(logs))
    start = rng.choice(p.size, size=20_000, p=p)
    width = np.sqrt(variance / beta)
    noise = rng.normal(size=(20_000, N_V))
    chains = {"visible": mean[start] + width * noise, "hidden": h[start]}
    sweep(model, theta, chains, rng, beta)
    numbers = (chains["hidden"] > 0) @ 2 ** np.arange(N_H)[::-1]
    residuals = (chains["visible"] - a - chains["hidden"] @ w.T) / width  # normal, given h
    hidden_p = pooled_chisquare(numbers, p)
    visible_p = kstest(residuals.reshape(-1), "norm").pvalue
    assert (min(hidden_p, visible_p) > FALSE_ALARM) == is_right


@pytest.mark.parametrize(("visible", "hidden"), UNITS)
def test_the_negative_phase_is_a_sweep_and_its_statistics(visible, hidden):
    theta, model = parameters(visible, 90, 70, 0.2), RBMModel(90, 70, visible, hidden)
    rng = np.random.default_rng(26)
    chains = model.start(theta, rng, x=data(visible, n_v=90)[0])  # contrastive divergence
    twin = {name: layer.copy() for name, layer in chains.items()}
    model.sweep(theta, twin, np.random.default_rng(27), 2)
    found = model.negative(theta, chains, np.random.default_rng(27), 2)
    for name in chains:
        np.testing.assert_array_equal(chains[name], twin[name])
    assert_close(found, model.chain_statistics(theta, twin), 1e-13)
    # by numpy, from the states
    v, w = model.visible(chains), theta["weights"]
    drive = v / np.exp(theta["log_variance"]) if visible == "gaussian" else v
    fields = drive @ w + theta["hidden_bias"]
    means = expit(fields) if hidden == "binary" else np.tanh(fields)
    np.testing.assert_allclose(found["weights"], drive.T @ means / 30, atol=1e-13)
    np.testing.assert_allclose(found["hidden_bias"], means.mean(0), atol=1e-13)


@pytest.mark.parametrize(("visible", "hidden"), UNITS)
def test_single_precision_stays_and_is_close(visible, hidden):
    theta, model = parameters(visible, 90, 70, 0.2), RBMModel(90, 70, visible, hidden)
    single = {name: value.astype(np.float32) for name, value in theta.items()}
    for x in data(visible, n_v=90):
        found = model.statistics(single, x)
        assert all(value.dtype == np.float32 for value in found.values())
        assert_close(found, model.statistics(theta, x), 1e-5)
        np.testing.assert_allclose(model.free_energy(single, x), model.free_energy(theta, x), 1e-5)
    chains = model.start(single, np.random.default_rng(28), n=50)
    found = model.negative(single, chains, np.random.default_rng(29))
    assert all(layer.dtype == np.float32 for layer in chains.values())
    assert_close(found, model.chain_statistics(theta, chains), 1e-5)
    if visible != "gaussian":
        found = model.flip_loss(single, data(visible, n_v=90)[0], "ratio-matching")[1]
        assert all(value.dtype == np.float32 for value in found.values())


def test_spins_are_bits_under_a_change_of_parameters():
    theta = parameters("spin")
    w, a, b = theta.values()
    bits = {"weights": 4 * w, "visible_bias": 2 * (a - w.sum(1)), "hidden_bias": 2 * (b - w.sum(0))}
    spin, binary = RBMModel(N_V, N_H, "spin", "spin"), RBMModel(N_V, N_H)
    s, y = data("spin")[0], data("binary")[0]
    constant = spin.free_energy(theta, s) - binary.free_energy(bits, y)
    np.testing.assert_allclose(constant, a.sum() + b.sum() - w.sum(), atol=1e-12)
    for kind in FLIPS:
        loss, other = spin.flip_loss(theta, s, kind)[0], binary.flip_loss(bits, y, kind)[0]
        assert abs(loss - other) < 1e-12 * abs(loss)
    chains = spin.start(theta, np.random.default_rng(30), x=s)
    twin = binary.start(bits, np.random.default_rng(30), x=y)
    spin.sweep(theta, chains, np.random.default_rng(31), 5)
    binary.sweep(bits, twin, np.random.default_rng(31), 5)
    for name in chains:
        np.testing.assert_array_equal(chains[name], 2 * twin[name] - 1)


@pytest.mark.parametrize(("visible", "hidden"), UNITS)
def test_conditional_means_and_draws(visible, hidden):
    theta, model = parameters(visible), RBMModel(N_V, N_H, visible, hidden)
    rng, n = np.random.default_rng(32), 20_000
    v, h = data(visible)[0][:1], LOW[hidden] + (1 - LOW[hidden]) * np.array([[1.0, 0.0, 1.0]])
    probabilities = model.hidden_probabilities(theta, v)[0]
    drawn = model.sample_hidden(theta, np.repeat(v, n, axis=0), rng)
    error = np.sqrt(probabilities * (1 - probabilities) / n)
    assert set(np.unique(drawn)) == {LOW[hidden], 1}
    assert (abs((drawn == 1).mean(0) - probabilities) < 6 * error).all()
    push = h @ theta["weights"].T + theta["visible_bias"]
    mean = model.visible_mean(theta, h)
    by_hand = {"binary": expit, "spin": np.tanh, "gaussian": np.asarray}[visible](push)
    np.testing.assert_allclose(mean, by_hand, atol=1e-14)
    drawn = model.sample_visible(theta, np.repeat(h, n, axis=0), rng)
    if visible == "gaussian":
        variance = np.exp(theta["log_variance"])
        assert (abs(drawn.var(0) / variance - 1) < 6 * np.sqrt(2 / n)).all()
    else:
        variance = (mean - LOW[visible]) * (1 - mean)
    assert (abs(drawn.mean(0) - mean) < 6 * np.sqrt(variance / n)).all()


@pytest.mark.parametrize("visible", list(LOW))
def test_chains_start_at_states_with_the_data_as_means(visible):
    model, theta = RBMModel(N_V, N_H, visible), parameters(visible)
    states_, means = data(visible)
    rng, n, low = np.random.default_rng(33), 20_000, LOW[visible]
    np.testing.assert_array_equal(model.start(theta, rng, x=states_)["visible"], states_)
    chains = model.start(theta, rng, x=np.repeat(means[:1], n, axis=0))
    assert set(np.unique(chains["visible"])) == {low, 1}
    p = (means[0] - low) / (1 - low)
    assert (abs((chains["visible"] == 1).mean(0) - p) < 6 * np.sqrt(p * (1 - p) / n)).all()
    chains = model.start(theta, rng, n=n)
    assert (abs((chains["visible"] == 1).mean(0) - 0.5) < 6 * np.sqrt(0.25 / n)).all()
    q = model.hidden_probabilities(theta, chains["visible"]).mean(0)
    assert (abs(chains["hidden"].mean(0) - q) < 6 * np.sqrt(0.25 / n)).all()


@pytest.mark.parametrize("visible", ["binary", "spin", "gaussian"])
def test_sparse_data_are_as_good_as_dense_ones(visible):
    theta, model = parameters(visible), RBMModel(N_V, N_H, visible)
    x = data("binary")[0]
    sparse = csr_array(x)
    assert_close(model.statistics(theta, sparse), model.statistics(theta, x), 1e-13)
    for method in (model.free_energy, model.hidden_probabilities):
        np.testing.assert_allclose(method(theta, sparse), method(theta, x), atol=1e-13)


def test_a_centred_gradient_is_that_of_centred_units():
    theta, model = parameters(), RBMModel(N_V, N_H)
    x, y = data("binary")
    data_statistics, negative = model.statistics(theta, x), model.statistics(theta, y)
    v, h = offsets = model.offsets(data_statistics, negative)
    np.testing.assert_allclose(v, (x.mean(0) + y.mean(0)) / 2, atol=1e-14)
    gradient = {name: negative[name] - data_statistics[name] for name in theta}
    found = model.centre(gradient, offsets)
    by_hand = [(r - v).T @ (model.hidden_probabilities(theta, r) - h) / len(r) for r in (x, y)]
    np.testing.assert_allclose(found["weights"], by_hand[1] - by_hand[0], atol=1e-14)
    shifted = model.offsets(data_statistics, negative, [0 * v, 0 * h])
    np.testing.assert_allclose(shifted[0], 0.01 * v, atol=1e-14)


def test_bad_arguments_are_refused():
    theta, model, rng = parameters(), RBMModel(N_V, N_H), np.random.default_rng(34)
    x = data("binary")[0]
    for sizes, units, match in (
        ((0, 2), {}, "n_visible"),
        ((2, 2.5), {}, "n_hidden"),
        ((2, 2), {"visible": "bits"}, "visible must be one of"),
        ((2, 2), {"hidden": "gaussian"}, "hidden must be one of"),
    ):
        with pytest.raises(ValueError, match=match):
            RBMModel(*sizes, **units)
    with pytest.raises(ValueError, match="kind must be one of"):
        model.flip_loss(theta, x, "mpf")
    with pytest.raises(ValueError, match="shape"):
        model.statistics(theta, x[:, :2])
    with pytest.raises(ValueError, match="weights must"):
        model.statistics(theta, x, np.zeros(30))
    with pytest.raises(ValueError, match="n must be a positive integer"):
        model.start(theta, rng)
    with pytest.raises(ValueError, match="n_sweeps"):
        model.negative(theta, model.start(theta, rng, n=2), rng, 0)
    theta, model = parameters("gaussian"), RBMModel(N_V, N_H, "gaussian")
    with pytest.raises(ValueError, match="cannot be flipped"):
        model.flip_loss(theta, x, "pseudolikelihood")
    with pytest.raises(ValueError, match="beta must be positive"):
        model.sweep(theta, model.start(theta, rng, n=2), rng, beta=0.0)
    with pytest.raises(ValueError, match="24"):
        RBMModel(30, 30).exact(parameters(n_v=30, n_h=30))
