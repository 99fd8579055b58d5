"""Objectives that climb the likelihood: their gradients, and what their chains leave alone."""

import numpy as np
import pytest
from energy_builders import CASES
from scipy.special import expit, stdtrit

import pm_energy as pme
from pm_energy.exact.enumeration import all_states, state_number
from pm_energy.testing.invariance import FALSE_ALARM, pooled_chisquare
from pm_energy.training.energy_model import EnergyModel
from pm_energy.training.likelihood import (
    ContrastiveDivergence,
    ExactLikelihood,
    PersistentCD,
    TemperedCD,
)
from pm_energy.training.rbm_model import RBMModel

RBM = CASES["rbm"]
PAIRS = CASES["ising graph"]


def expected_gradient(theta, x):
    """CD-1 of an RBM without sampling: the mean over all hidden and reconstructed states."""
    w, a, b = theta.values()
    hidden, visible = all_states(pme.RBM(w).blocks[1]), all_states(pme.RBM(w).blocks[0])

    def p_of(states, fields):  # rows of fields -> probabilities of all states
        on = expit(fields)[:, None, :]
        return np.where(states == 1, on, 1 - on).prod(axis=-1)

    p = p_of(hidden, x @ w + b) @ p_of(visible, hidden @ w.T + a)  # (N, states)
    p = p.mean(axis=0)

    def statistics(v, share):
        on = share[:, None] * expit(v @ w + b)
        return {"weights": v.T @ on, "visible_bias": share @ v, "hidden_bias": on.sum(axis=0)}

    data = statistics(x, np.full(len(x), 1 / len(x)))
    model = statistics(visible, p)
    return {k: model[k] - data[k] for k in data}


@pytest.mark.parametrize(("n_sweeps", "is_right"), [(1, True), (2, False)])
@pytest.mark.parametrize("kind", ["derived", "rbm"])
def test_contrastive_divergence_is_that_of_one_reconstruction(kind, n_sweeps, is_right):
    """False alarms below 1e-6: 14 means of 8,000 rows, each within 5.5 standard errors."""
    model = RBM.model if kind == "derived" else RBMModel(4, 2)
    theta = {k: 2 * v for k, v in RBM.theta.items()}
    x = np.tile([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0]], (4_000, 1))
    objective, rng = ContrastiveDivergence(n_sweeps), np.random.default_rng(4)
    found, _ = objective.gradient(model, theta, x, None, rng)
    expected = expected_gradient(theta, x[:2])
    worst = max(np.abs(found[k] - expected[k]).max() for k in expected)
    error = 0.5 / np.sqrt(len(x))  # no statistic spreads more than a fair coin
    assert (worst < 5.5 * error) == is_right


class Reversed(TemperedCD):
    """Swaps with the wrong sign in the exponent."""

    def _swap(self, k, energies, rng):
        return super()._swap(k, [-energy for energy in energies], rng)


@pytest.mark.parametrize(("objective", "is_right"), [(TemperedCD, True), (Reversed, False)])
@pytest.mark.parametrize("kind", ["derived", "rbm"])
def test_exchange_leaves_the_distribution_of_all_levels_invariant(kind, objective, is_right):
    """From exact starts at both levels; the pair of states has the product of their densities."""
    rng = np.random.default_rng(6)
    rbm = pme.RBM(np.array([[1.5], [-2.0]]), [0.5, -0.5], [0.3])
    model = EnergyModel(rbm) if kind == "derived" else RBMModel(2, 1)
    theta = EnergyModel(rbm).initial()
    tempered = objective(n_chains=8_000, betas=[0.2, 1.0])
    joint = [pme.exact.distribution(pme.Tempered(pme.Joined(rbm), b)) for b in tempered.betas]
    dtype = model.start(theta, rng, n=1)["visible"].dtype
    tempered.levels = []
    for states, p in joint:
        units = states[rng.choice(len(p), 8_000, p=p)].astype(dtype)
        tempered.levels.append({"visible": units[:, :2].copy(), "hidden": units[:, 2:].copy()})
    _, info = tempered.model_statistics(model, theta, None, rng)
    assert 0.1 < info["swap_acceptance"] < 1
    numbers = [
        state_number(np.hstack([c["visible"], c["hidden"]]), pme.Binary()) for c in tempered.levels
    ]
    p = np.outer(joint[0][1], joint[1][1]).ravel()
    assert (pooled_chisquare(8 * numbers[0] + numbers[1], p) > FALSE_ALARM) == is_right


def test_levels_do_not_share_their_states():
    model = PAIRS.model
    objective, rng = TemperedCD(n_chains=20, betas=[0.0, 0.5, 1.0]), np.random.default_rng(0)
    for _ in range(3):
        objective.model_statistics(model, PAIRS.theta, None, rng)
    parts = [level["visible"] for level in objective.levels]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(parts) for b in parts[:i])


class Hot(PersistentCD):
    """Chains at another temperature than the model's."""

    def model_statistics(self, model, theta, x, rng):
        super().model_statistics(model, theta, x, rng)
        model.sweep(theta, self.chains, rng, 3, beta=0.8)
        return model.chain_statistics(theta, self.chains), {}


@pytest.mark.parametrize(
    ("objective", "is_right"),
    [(PersistentCD(50), True), (TemperedCD(50, [0.3, 1.0]), True), (Hot(50), False)],
    ids=["pcd", "tempered", "hot"],
)
def test_the_mean_gradient_vanishes_where_the_likelihood_is_greatest(objective, is_right):
    """Data are all states with their probabilities; 20 blocks of calls give a t statistic."""
    rng, p = np.random.default_rng(7), PAIRS.probabilities()
    for _ in range(10):
        objective.model_statistics(PAIRS.model, PAIRS.theta, None, rng)  # forget the start
    found = []
    for _ in range(20):
        block = [
            objective.gradient(PAIRS.model, PAIRS.theta, PAIRS.states, p, rng)[0]["coupling"]
            for _ in range(10)
        ]
        found.append(np.mean(block, axis=0))
    found = np.array(found)
    t = np.abs(found.mean(axis=0)) / (found.std(axis=0, ddof=1) / np.sqrt(20))
    limit = stdtrit(19, 1 - FALSE_ALARM / (2 * t.size))
    assert (t.max() < limit) == is_right


def test_persistent_chains_go_on_from_where_they_were():
    rng, objective = np.random.default_rng(0), PersistentCD(50)
    strong = {"coupling": np.zeros(5), "field": np.full(4, 20.0)}
    objective.model_statistics(PAIRS.model, strong, None, rng)
    kept = objective.state()
    assert (kept["chains"]["visible"] == 1).all()
    again = PersistentCD(50)
    again.restore(kept)
    frozen = {"coupling": np.full(5, 20.0), "field": np.zeros(4)}  # no chain leaves all up
    again.model_statistics(PAIRS.model, frozen, None, rng)
    assert (again.chains["visible"] == 1).all()


def test_the_exact_gradient_vanishes_at_the_truth():
    p = PAIRS.probabilities()
    gradient, info = ExactLikelihood().gradient(PAIRS.model, PAIRS.theta, PAIRS.states, p, None)
    assert max(np.abs(part).max() for part in gradient.values()) < 1e-14
    assert info["log_likelihood"] == pytest.approx((p * np.log(p)).sum(), abs=1e-12)


@pytest.mark.parametrize("betas", [[1.0], [0.0, 0.5], [0.5, 0.5, 1.0], [-0.1, 1.0], [[0.0, 1.0]]])
def test_a_ladder_must_rise_to_one(betas):
    with pytest.raises(ValueError, match="betas must"):
        TemperedCD(betas=betas)
