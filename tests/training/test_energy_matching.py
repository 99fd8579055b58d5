"""Energy matching, and what a learned energy is good for: draws and log Z."""

import numpy as np
import pytest

import pm_energy as pme
from pm_energy.training.energy_matching import EnergyMatchingObjective, TransportMatching
from pm_energy.training.optimisers import Updates, make_optimiser
from pm_energy.training.score_draws import annealed_draws, grid_log_partition
from pm_energy.training.score_fit import fit_steps
from pm_energy.training.score_model import ScoreModel


def test_transport_learns_the_forces_of_a_shift():
    """From N(0, 1) to N(3, 1), paired by transport, every line goes right by about 3."""
    rng = np.random.default_rng(12)
    x = rng.normal(3.0, 1.0, size=(4000, 1))
    energy = pme.energy_from_function(
        lambda x, slope: -(slope * x).sum(-1), pme.Real(), (1,), slope=0.0
    )
    model = ScoreModel(energy)
    theta = model.initial()
    updates = Updates(make_optimiser("sgd", 0.05), theta)
    objective = TransportMatching(0.0, 1.0, temperature=0.5)
    fitted = fit_steps(model, theta, objective, x, updates, rng, n_steps=300, batch_size=64)
    # the mean of lines has a deviation of sqrt(2 / 64) at a step, and the rate averages 20 steps
    assert 0.5 * fitted.theta["slope"] == pytest.approx(3.0, abs=0.2)
    assert fitted.history["loss"][-1] < 0.2  # 18 between rows paired at random, mostly


def test_energy_matching_ends_at_the_likelihood():
    """Without the transport it is maximum likelihood: here the mean of a normal."""
    rng = np.random.default_rng(13)
    x = rng.normal(2.0, 1.0, size=(2000, 1))
    model = ScoreModel(pme.GaussianMixtureEnergy([1.0], [[0.0]]), learn="means")
    theta = model.initial()
    objective = EnergyMatchingObjective(TransportMatching(0.0, 1.0), weight=0.0)
    updates = Updates(make_optimiser("sgd", 0.05), theta)
    fitted = fit_steps(model, theta, objective, x, updates, rng, n_steps=150)
    # batches of 128 and chains of 256 averaged over 20 steps: deviation .025, and the data's .022
    assert fitted.theta["means"].item() == pytest.approx(2.0, abs=0.17)


def test_annealed_draws_give_modes_their_shares():
    weights, means = np.array([0.8, 0.2]), np.array([[-6.0, 0.0], [6.0, 0.0]])
    model = ScoreModel(pme.GaussianMixtureEnergy(weights, means))
    theta = model.initial()
    x = annealed_draws(
        lambda x: model.value_and_slope(theta, x), np.zeros(2), np.full(2, 6.0),
        np.random.default_rng(14), 2000, n_steps=60,
    )  # fmt: skip
    # systematic resampling leaves a deviation of about sqrt(.16 / 2000) = .009; five of twice that
    assert np.mean(x[:, 0] < 0) == pytest.approx(0.8, abs=0.09)
    left = x[x[:, 0] < 0]
    np.testing.assert_allclose(left.mean(axis=0), [-6.0, 0.0], atol=0.2)
    np.testing.assert_allclose(left.std(axis=0), 1.0, atol=0.15)


def test_grid_log_partition_is_exact_and_refuses_what_has_none():
    energy = pme.GaussianMixtureEnergy([0.5, 0.5], [[-2.0, 0.0], [20.0, 3.0]], [0.5, 2.0])
    assert grid_log_partition(
        lambda x: pme.energy_values(energy, x), np.full(2, 9.0), np.full(2, 3.0)
    ) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ValueError, match="it does not rise far out"):
        grid_log_partition(lambda x: -x[:, 0], np.zeros(1), np.ones(1))
    with pytest.raises(ValueError, match="one or two units, got 3"):
        grid_log_partition(None, np.zeros(3), np.ones(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TransportMatching(0.0, 1.0, end=0.0), "end must be above 0"),
        (lambda: TransportMatching(0.0, -1.0), "scale must be positive"),
        (lambda: EnergyMatchingObjective(None, weight=-1.0), "weight must be at least zero"),
        (lambda: EnergyMatchingObjective(None, reinit=2.0), "reinit must be from 0 to 1"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
