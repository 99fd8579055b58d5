"""Minimisation over all data: the maximum, its history, and what cannot be minimised."""

import numpy as np
import pytest
from energy_builders import CASES
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.sparse import csr_array

import pm_energy as pme
from pm_energy.training.energy_model import EnergyModel
from pm_energy.training.flips import FLIP_KINDS, FlipObjective
from pm_energy.training.full_batch import minimise
from pm_energy.training.likelihood import ContrastiveDivergence, ExactLikelihood
from pm_energy.training.pair_model import PairModel
from pm_energy.training.progress import Progress
from pm_energy.training.replay import ReplayBuffer

OBJECTIVES = [ExactLikelihood(), *map(FlipObjective, FLIP_KINDS)]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=["exact", *FLIP_KINDS])
def test_the_truth_is_found_where_states_have_their_probabilities(objective):
    case = CASES["ising graph"]
    start = {name: np.zeros_like(part) for name, part in case.theta.items()}
    with Progress("learning", total=50, show=False) as progress:
        fitted = minimise(case.model, start, objective, case.states, case.probabilities(),
                          max_iter=50, tol=1e-9, progress=progress)  # fmt: skip
    for name, part in case.theta.items():
        np.testing.assert_allclose(fitted.theta[name], part, atol=1e-6)
    assert fitted.failure == ""
    assert 1 < fitted.n_epochs == len(fitted.history["loss"]) < 50
    assert (np.diff(fitted.history["loss"]) <= 1e-12).all()
    assert not start["field"].any()


def test_a_double_well_gets_what_quadrature_gives():
    """Log Z of the energy itself against an integral written here."""
    x = pme.DoubleWell(barrier=2.0, tilt=0.5).draw(np.random.default_rng(0), 300)
    model = EnergyModel(pme.DoubleWell(), learn=["barrier", "tilt"])
    fitted = minimise(model, model.initial(), ExactLikelihood(), x, tol=1e-8)

    def loss(theta):
        def energy(x):
            return theta[0] * (x**2 - 1) ** 2 + theta[1] * x

        z, _ = quad(lambda x: np.exp(-energy(x)), -4, 4, epsabs=1e-12)
        return energy(x).mean() + np.log(z)

    expected = minimize(loss, [2.0, 0.5], method="Nelder-Mead", options={"xatol": 1e-7}).x
    np.testing.assert_allclose(fitted.theta["barrier"], expected[0], atol=1e-4)
    np.testing.assert_allclose(fitted.theta["tilt"], expected[1], atol=1e-4)
    assert fitted.history["loss"][-1] == pytest.approx(loss(expected), abs=1e-9)


def test_decay_dtype_and_sparse_data():
    """One unit of bias b has mean sigmoid(b), so that sigmoid(b) - mean + decay b vanishes."""
    model = EnergyModel(pme.BoltzmannMachine(np.zeros((2, 2))), learn="bias")
    x = np.array([[1, 1], [1, 1], [0, 0], [1, 1]])
    theta = model.initial("float32")
    for rows in (x, csr_array(x)):
        fitted = minimise(model, theta, ExactLikelihood(), rows, decay=0.1, decayed=("bias",))
        bias = fitted.theta["bias"]
        assert bias.dtype == np.float32
        # the two units share the bias: the log-likelihood has a term of each
        residual = 2 / (1 + np.exp(-bias)) - 2 * 0.75 + 0.1 * bias
        np.testing.assert_allclose(residual, 0.0, atol=1e-5)


def test_parameters_that_run_away_are_reported():
    model = EnergyModel(pme.Ising(0.0, graph=[[0, 1]]), learn="coupling")
    flat = pme.energy_from_function(lambda x, a: a * 1e-5 * x.sum(-1), pme.Spin(), (1,), a=0.0)
    slow = EnergyModel(flat)
    fitted = minimise(slow, slow.initial(), ExactLikelihood(), np.ones((2, 1)), tol=1e-12)
    assert "a reached" in fitted.failure
    bad = {"coupling": np.array(np.nan)}
    assert "finite" in minimise(model, bad, ExactLikelihood(), np.ones((2, 2))).failure


@pytest.mark.parametrize(
    "objective",
    [ContrastiveDivergence(), ReplayBuffer(), ExactLikelihood(centred=True)],
    ids=["cd", "replay", "centred"],
)
def test_objectives_without_a_loss_are_refused(objective):
    case = CASES["ising graph"]
    with pytest.raises(ValueError, match=r"objective must have|centred"):
        minimise(case.model, case.theta, objective, case.states)


@pytest.mark.parametrize("strength", [0.05, 0.3])
def test_l1_holds_at_zero_what_the_gradient_does_not_pull_away(strength):
    """The conditions of Karush, Kuhn and Tucker, which hold at the optimum and nowhere else."""
    x = np.array([[1, 1, 1], [1, 1, -1], [-1, -1, 1], [-1, -1, -1], [1, -1, 1], [1, 1, 1]])
    model = PairModel(3, coding="spin")
    theta = {"couplings": np.array([0.5, -0.5, 0.1]), "bias": np.zeros(3)}
    objective, decayed = ExactLikelihood(), ("couplings",)
    fitted = minimise(model, theta, objective, x, l1=strength, decayed=decayed, tol=1e-9)
    gradient, _ = objective.gradient(model, fitted.theta, x, None, None)
    couplings, pull = fitted.theta["couplings"], gradient["couplings"]
    np.testing.assert_allclose(gradient["bias"], 0, atol=1e-7)
    free = couplings != 0
    assert free.sum() == {0.05: 3, 0.3: 1}[strength]
    np.testing.assert_allclose(pull[free], -strength * np.sign(couplings[free]), atol=1e-7)
    assert (np.abs(pull[~free]) < strength).all()
