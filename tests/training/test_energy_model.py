"""Any energy as a model: its derivatives, its chains, and what the hand-written models say."""

from itertools import pairwise

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from energy_builders import CASES, DENSE, EDGES
from pytensor.gradient import grad

import pm_energy as pme
from pm_energy.compile import ONCE
from pm_energy.training.energy_exact import by_enumeration
from pm_energy.training.energy_model import EnergyModel
from pm_energy.training.likelihood import ExactLikelihood
from pm_energy.training.natural import natural_gradient
from pm_energy.training.pair_model import PairModel
from pm_energy.training.rbm_model import RBMModel

RNG = np.random.default_rng(8)
CLOSE = {"rtol": 1e-10, "atol": 1e-10}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], **CLOSE, err_msg=name)


def autodiff(case, x, weights):
    """Log-likelihood of all states written out, and its gradient: constructor, sum, derivative."""
    variables = {k: pt.tensor(k, dtype="float64", shape=v.shape) for k, v in case.theta.items()}
    energy = case.build(**variables)
    if len(pme.energy.blocks_of(energy)) == 2:
        energy = pme.Marginal(energy)
    log_z = pt.logsumexp(-pme.evaluate(energy, pt.as_tensor(case.states)))
    log_p = -pme.evaluate(energy, pt.as_tensor(x)) - log_z
    value = (weights * log_p).sum() / weights.sum()
    slopes = grad(value, list(variables.values()), disconnected_inputs="ignore",
                  return_disconnected="zero")  # fmt: skip
    out = pytensor.function(list(variables.values()), [value, *slopes], mode=ONCE)
    value, *slopes = out(*case.theta.values())
    return value, dict(zip(variables, slopes, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_exact_log_likelihood(name):
    case = CASES[name]
    x = case.states[RNG.integers(len(case.states), size=30)]
    weights = RNG.random(30)
    gradient, info = ExactLikelihood().gradient(case.model, case.theta, x, weights, None)
    value, slopes = autodiff(case, x, weights)
    np.testing.assert_allclose(info["log_likelihood"], value, **CLOSE)
    assert_same({k: -g for k, g in gradient.items()}, slopes)
    assert list(case.model.initial()) == list(case.theta)
    assert_same(case.model.initial(), case.theta)


@pytest.mark.parametrize("name", CASES)
def test_rows_have_the_statistics_of_which_the_mean_is_taken(name):
    case = CASES[name]
    rows = case.model.statistics_rows(case.theta, case.states)
    p = case.probabilities()
    mean = {k: np.tensordot(p, r, axes=1) for k, r in rows.items()}
    assert_same(mean, case.model.statistics(case.theta, case.states, p))
    assert_same(mean, case.model.exact(case.theta)[1])


def assert_agreement(derived, fast, theta, *, sum_names=lambda found: found):
    """Statistics, energies, log Z with its gradient, costs of flips."""
    x = fast.visible(fast.start(theta, np.random.default_rng(1), n=20))
    weights = RNG.random(20)
    mine = derived.initial()
    for rows in (x, 0.5 * (x + x[::-1])):  # states and means
        assert_same(sum_names(derived.statistics(mine, rows, weights)),
                    fast.statistics(theta, rows, weights))  # fmt: skip
        np.testing.assert_allclose(
            derived.free_energy(mine, rows), fast.free_energy(theta, rows), **CLOSE
        )
    (log_z, found), (expected_log_z, expected) = derived.exact(mine), fast.exact(theta)
    np.testing.assert_allclose(log_z, expected_log_z, **CLOSE)
    assert_same(sum_names(found), expected)
    for kind in ("pseudolikelihood", "ratio-matching", "probability-flow"):
        (loss, found), (expected_loss, expected) = (
            derived.flip_loss(mine, x, kind, weights),
            fast.flip_loss(theta, x, kind, weights),
        )
        np.testing.assert_allclose(loss, expected_loss, **CLOSE)
        assert_same(sum_names(found), expected)


@pytest.mark.slow  # the compiler takes a minute in all
@pytest.mark.parametrize("name", CASES)
def test_a_compiler_changes_no_digit_that_matters(name, monkeypatch):
    case, kind = CASES[name], "pseudolikelihood"
    before = case.model.exact(case.theta)[1], case.model.flip_loss(case.theta, case.states, kind)[1]
    monkeypatch.setattr("pm_energy.training.energy_graphs.COMPILER_PAYS", 0)
    after = case.model.exact(case.theta)[1], case.model.flip_loss(case.theta, case.states, kind)[1]
    for found, expected in zip(after, before, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("visible", ["binary", "spin"])
def test_it_agrees_with_the_model_of_rbms(visible):
    fast = RBMModel(4, 3, visible=visible)
    theta = {"weights": RNG.normal(size=(4, 3)), "visible_bias": RNG.normal(size=4),
             "hidden_bias": RNG.normal(size=3)}  # fmt: skip
    derived = EnergyModel(fast.energy(theta))
    assert_agreement(derived, fast, theta)
    chains = fast.start(theta, np.random.default_rng(0), n=5)
    states = {name: part.astype("int8") for name, part in chains.items()}
    np.testing.assert_allclose(
        derived.chain_energy(theta, states), fast.chain_energy(theta, chains), **CLOSE
    )


@pytest.mark.parametrize("coding", ["binary", "spin"])
def test_it_agrees_with_the_model_of_pairs(coding):
    """Whose coupling is one number where a matrix has two."""
    fast = PairModel(4, edges=EDGES, coding=coding)
    theta = {"couplings": RNG.normal(size=5), "bias": RNG.normal(size=4)}
    first, second = np.transpose(EDGES)

    def named(found):
        if coding == "spin":
            return {"couplings": found["coupling"], "bias": found["field"]}
        matrix = found["coupling"]
        return {"couplings": matrix[first, second] + matrix[second, first], "bias": found["bias"]}

    learn = {"spin": None, "binary": ["coupling", "bias"]}[coding]
    assert_agreement(EnergyModel(fast.energy(theta), learn), fast, theta, sum_names=named)


@pytest.mark.parametrize("name", ["ising dense", "machine"])
def test_a_coupling_matrix_stays_symmetric_with_a_zero_diagonal(name):
    """And the gradient in it is that of the pairs, whatever stands at the diagonal of x x'."""
    model = CASES[name].model
    slope = model.statistics(model.initial(), CASES[name].states[[1, 3, 7]])["coupling"]
    np.testing.assert_array_equal(slope, slope.T)
    np.testing.assert_array_equal(np.diag(slope), 0.0)
    assert np.abs(slope).max() > 0
    skew = model.initial() | {"coupling": DENSE + np.triu(np.ones((4, 4)))}
    kept = model.energy(skew).coupling
    np.testing.assert_array_equal(kept, DENSE + 0.5 * (1 - np.eye(4)))


def test_a_square_matrix_of_weights_or_fields_is_no_coupling():
    rbm = EnergyModel(pme.RBM(np.zeros((2, 2))), learn="weights")
    np.testing.assert_array_equal(
        rbm.statistics(rbm.initial(), [[1.0, 0.0]])["weights"], [[0.5, 0.5], [0.0, 0.0]]
    )
    lattice = EnergyModel(pme.Ising(0.0, np.zeros((2, 2)), lattice=(2, 2)), learn=["field"])
    x = np.array([[[1, -1], [1, 1]]])
    np.testing.assert_array_equal(lattice.statistics(lattice.initial(), x)["field"], x[0])


def test_float32_stays_float32():
    model = CASES["ising graph"].model
    theta, x = model.initial("float32"), np.ones((3, 4), "float32")
    gradients = [
        model.statistics(theta, x),
        model.exact(theta)[1],
        model.flip_loss(theta, x, "pseudolikelihood")[1],
        model.statistics_rows(theta, x),
    ]
    assert {part.dtype for gradient in gradients for part in gradient.values()} == {
        np.dtype("float32")
    }


def test_hidden_units_over_real_ones():
    """A Gaussian RBM by autodiff: what the model of RBMs says, whose variance is a logarithm."""
    fast = RBMModel(3, 2, visible="gaussian")
    theta = {
        "weights": RNG.normal(size=(3, 2)),
        "visible_bias": RNG.normal(size=3),
        "hidden_bias": RNG.normal(size=2),
        "log_variance": np.log([0.5, 1.0, 2.0]),
    }
    model, x = EnergyModel(fast.energy(theta)), RNG.normal(size=(10, 3))
    found, expected = model.statistics(model.initial(), x), fast.statistics(theta, x)
    found["log_variance"] = found.pop("variance") * np.exp(theta["log_variance"])
    assert_same(found, expected)
    np.testing.assert_allclose(
        model.free_energy(model.initial(), x), fast.free_energy(theta, x), **CLOSE
    )
    chains = model.start(model.initial(), np.random.default_rng(0), n=4)
    model.sweep(model.initial(), chains, np.random.default_rng(0), 3)
    assert chains["visible"].shape == (4, 3)
    assert set(np.unique(chains["hidden"])) <= {0, 1}


def test_log_z_in_closed_form_gives_the_moments(monkeypatch):
    """Of a strip, against a sum over its states."""
    monkeypatch.setattr("pm_energy.training.energy_exact.QUICK", 0)
    strip = EnergyModel(pme.Ising(0.3, 0.1, lattice=(2, 3)))
    found = strip.exact(strip.initial())
    summed = by_enumeration(strip._graphs, strip._parameters.all(strip.initial()))
    np.testing.assert_allclose(found[0], summed[0], **CLOSE)
    np.testing.assert_allclose(list(found[1].values()), summed[1], **CLOSE)


def test_a_field_that_is_learned_keeps_log_z_from_the_torus_without_field():
    wide = EnergyModel(pme.Ising(0.3, lattice=(20, 20)))
    with pytest.raises(ValueError, match="a field that may change"):
        wide.exact(wide.initial())
    fixed = EnergyModel(pme.Ising(0.3, lattice=(20, 20)), learn="coupling")
    log_z, slopes = fixed.exact(fixed.initial())
    ends = [fixed.exact({"coupling": np.array(0.3 + step)})[0] for step in (1e-4, -1e-4)]
    np.testing.assert_allclose(slopes["coupling"], (ends[0] - ends[1]) / 2e-4, rtol=1e-5)
    assert log_z == pytest.approx(np.mean(ends), rel=1e-6)


def test_natural_steps_to_the_likelihood_of_one_coupling_converge_quadratically():
    """Newton's method, for an exponential family: the error is squared at each step."""
    case = EnergyModel(pme.Ising(0.0, graph=[[0, 1], [1, 2], [2, 0]]), learn="coupling")
    states = pme.exact.all_states(case._block)
    truth = {"coupling": np.array(0.4)}
    p = np.exp(-case.free_energy(truth, states))
    theta, errors = {"coupling": np.array(0.1)}, []
    for _ in range(5):
        gradient, _ = ExactLikelihood().gradient(case, theta, states, p, None)
        now = np.exp(-case.free_energy(theta, states))
        rows = case.statistics_rows(theta, states)
        step = natural_gradient(gradient, rows, damping=0.0, weights=now)
        theta = {"coupling": theta["coupling"] - step["coupling"]}
        errors.append(abs(float(theta["coupling"]) - 0.4))
    assert all(new <= 5 * old**2 + 1e-14 for old, new in pairwise(errors))
    assert errors[-1] < 1e-12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EnergyModel(pme.Ising(lattice=(3, 3)), learn="J"), "learn must name"),
        (lambda: EnergyModel(pme.Ising(lattice=(3, 3)), learn=[]), "learn must name"),
        (lambda: EnergyModel(3), "not an energy"),
        (lambda: EnergyModel(pme.Ising(pt.dscalar(), lattice=(3, 3))), "must be numbers"),
        (lambda: spins.statistics(spins.initial(), np.ones((2, 5))), r"shape \(N, 4\)"),
        (lambda: spins.statistics(spins.initial(), np.full((2, 4), 3)), "from -1 to 1"),
        (lambda: spins.statistics(spins.initial(), np.full((2, 4), np.nan)), "from -1 to 1"),
        (lambda: spins.statistics(spins.initial(), np.ones((2, 4)), [0, 0]), "weights must"),
        (lambda: spins.statistics({"coupling": np.ones(5)}, np.ones((2, 4))), "the names"),
        (lambda: spins.flip_loss(spins.initial(), np.zeros((2, 4)), "ratio-matching"), "states"),
        (lambda: spins.flip_loss(spins.initial(), np.ones((2, 4)), "score"), "kind must be"),
        (lambda: spins.langevin(spins.initial(), {}, RNG, 1, 0.1), "discrete"),
        (lambda: well.flip_loss(well.initial(), np.ones((2, 1)), "ratio-matching"), "Replay"),
        (lambda: well.sweep(well.initial(), {"visible": np.ones((2, 1))}, RNG, beta=0), "beta"),
        (lambda: quartic.exact(quartic.initial()), "not tractable"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


spins = CASES["ising graph"].model
well = EnergyModel(pme.DoubleWell())
quartic = EnergyModel(
    pme.energy_from_function(lambda x, a: (a * x**4).sum(-1), pme.Real(), (2,), a=1.0)
)
