"""The fit loop: what an epoch adds up to, seeds, sparse data, divergence."""

import numpy as np
import pymc as pm
import pytest
from energy_builders import CASES
from scipy.sparse import csr_array

import pm_energy as pme
from pm_energy.training.energy_model import EnergyModel
from pm_energy.training.fit import fit
from pm_energy.training.full_batch import minimise
from pm_energy.training.likelihood import ContrastiveDivergence, ExactLikelihood, PersistentCD
from pm_energy.training.optimisers import Updates
from pm_energy.training.progress import Progress

RNG = np.random.default_rng(12)
RATE = 1e-7
MACHINE = pme.BoltzmannMachine(np.zeros((3, 3)), np.zeros(3))


def data(n):
    return RNG.integers(0, 2, size=(n, 3)) * (RNG.random((n, 3)) < [0.9, 0.5, 0.7])


@pytest.mark.parametrize("batch_size", [7, 10, 100])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_epoch_gives_each_row_its_weight(weighted, batch_size):
    """Where the rate is tiny, steps add up to the gradient on all data, also if batches differ."""
    model, x = EnergyModel(MACHINE), data(25)
    weights = RNG.random(25) * (RNG.random(25) < 0.8) if weighted else None
    theta = model.initial()
    fitted = fit(
        model, theta, ExactLikelihood(), x, Updates(pm.sgd(learning_rate=RATE), theta),
        np.random.default_rng(0), weights=weights, batch_size=batch_size,
    )  # fmt: skip
    n_batches = 25 / min(batch_size, 25)
    whole, _ = ExactLikelihood().gradient(model, theta, x, weights, None)
    equal, _ = ExactLikelihood().gradient(model, theta, x, None, None)
    for name in ("coupling", "bias"):
        moved = (theta[name] - fitted.theta[name]) / (RATE * n_batches)
        np.testing.assert_allclose(moved, whole[name], atol=1e-6)
        assert weighted == (np.abs(whole[name] - equal[name]).max() > 1e-3)  # weights matter


def test_weight_decay_is_added_to_the_gradient():
    model, x = EnergyModel(MACHINE), data(20)
    theta = model.initial() | {"bias": np.ones(3)}
    ends = [
        fit(model, theta, ExactLikelihood(), x, Updates(pm.sgd(learning_rate=0.1), theta),
            np.random.default_rng(0), decay=decay, decayed=("bias",)).theta["bias"]
        for decay in (0.0, 0.5)
    ]  # fmt: skip
    np.testing.assert_allclose(ends[0] - ends[1], 0.1 * 0.5 * np.ones(3), rtol=1e-12)


@pytest.mark.parametrize("learn", [fit, minimise])
def test_decay_of_a_parameter_that_is_not_there(learn):
    model = EnergyModel(MACHINE)
    rest = () if learn is minimise else (None, None)
    with pytest.raises(ValueError, match="decayed must name parameters"):
        learn(model, model.initial(), ExactLikelihood(), data(5), *rest, decay=0.1)


def test_a_rate_too_large_gives_back_the_last_parameters_that_were_good():
    """With decay 1 and rate 2.5 each step turns parameters over and stretches them by a half."""
    model, x = EnergyModel(MACHINE), data(40)
    theta = model.initial()
    fitted = fit(
        model, theta, ContrastiveDivergence(), x, Updates(pm.sgd(learning_rate=2.5), theta),
        np.random.default_rng(0), n_epochs=30, batch_size=20, decay=1.0, decayed=("bias",),
    )  # fmt: skip
    assert fitted.failure.startswith("bias reached")
    assert fitted.failure.endswith(f"in epoch {fitted.n_epochs + 1}")
    assert 5 < fitted.n_epochs < 30
    assert 1e3 < np.abs(fitted.theta["bias"]).max() < 1e4


def test_parameters_that_are_no_numbers_end_the_fit():
    model, x = EnergyModel(MACHINE), data(40)
    theta = model.initial()

    def broken(theta, gradient):
        return {name: part * np.nan for name, part in theta.items()}

    fitted = fit(model, theta, PersistentCD(5), x, broken, np.random.default_rng(0), n_epochs=3,
                 batch_size=10)  # fmt: skip
    assert "reached nan in epoch 1" in fitted.failure
    assert fitted.theta is theta


def learned(x, seed, n_epochs=3):
    model = EnergyModel(MACHINE)
    theta = model.initial("float32")
    return fit(
        model, theta, PersistentCD(20), x, Updates("adam", theta), np.random.default_rng(seed),
        n_epochs=n_epochs, batch_size=8,
    )  # fmt: skip


def test_sparse_data_and_seeds():
    x = data(30)
    first, same, sparse, other = (
        learned(x, 1),
        learned(x, 1),
        learned(csr_array(x), 1),
        learned(x, 2),
    )
    for name, part in first.theta.items():
        assert part.dtype == np.float32
        np.testing.assert_array_equal(part, same.theta[name])
        np.testing.assert_array_equal(part, sparse.theta[name])
    assert np.abs(first.theta["bias"] - other.theta["bias"]).max() > 0


def test_history_monitor_and_progress():
    case = CASES["ising graph"]
    theta, seen = case.model.initial(), []
    with Progress("learning", total=4, show=False) as progress:
        fitted = fit(
            case.model, theta, ExactLikelihood(), case.states, Updates("sgd", theta),
            np.random.default_rng(0), weights=case.probabilities(), n_epochs=4,
            monitor=lambda theta: {"size": float(len(seen))} if seen.append(1) is None else {},
            progress=progress,
        )  # fmt: skip
    assert fitted.n_epochs == len(fitted.history["log_likelihood"]) == 4
    np.testing.assert_array_equal(fitted.history["size"], [1, 2, 3, 4])
    assert fitted.failure == ""
    assert np.isfinite(fitted.history["log_likelihood"]).all()
