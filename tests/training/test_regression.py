"""Learning networks by regression on noisy data: minima known in closed form, and what fails."""

import os
import subprocess
import sys

import numpy as np
import pytest

from pm_energy.diffusion import StraightPath, VarianceExploding
from pm_energy.networks import MLP
from pm_energy.training.regression import train
from pm_energy.training.regression_noise import NoiseLevels, path_levels, score_levels
from pm_energy.training.schedules import Cosine

PROBES = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
MODES = np.array([[2.0, 0.0], [-2.0, 0.0]])
LINE = MLP(1, 1, hidden=())


def two_modes(rng, n=20_000):
    return MODES[rng.integers(2, size=n)] + rng.normal(size=(n, 2))


def smoothed_score(x, sigma):
    """Score of the two modes with noise added."""
    variance = 1 + sigma**2
    logs = -((x[:, None] - MODES) ** 2).sum(-1) / (2 * variance)
    shares = np.exp(logs - logs.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return (shares[:, :, None] * (MODES - x[:, None])).sum(1) / variance


def largest_error(network, theta):
    return np.abs(network.apply(theta, PROBES) - smoothed_score(PROBES, 0.5)).max()


def test_denoising_score_matching_finds_the_smoothed_score():
    rng = np.random.default_rng(0)
    x, network = two_modes(rng), MLP(2, 2)
    levels = score_levels(0.5, weight=1.0)
    start = network.init(rng)
    short = train(network, start, x, levels, rng, n_steps=1_000)
    assert largest_error(network, short.average) <= 0.45
    found = train(network, start, x, levels, rng, n_steps=5_000, rates=Cosine(3e-3, 5_000))
    assert largest_error(network, found.theta) <= 0.20
    # d / sigma^2 - E|s|^2 = 6.69; a step's loss has a standard deviation of about .6
    assert abs(found.losses[-2_000:].mean() - 6.69) < 0.1
    unsmoothed = np.abs(network.apply(found.theta, PROBES) - smoothed_score(PROBES, 0.0)).max()
    assert unsmoothed > 0.20  # it is not the score of the data themselves


# The best line for data of variance v at (alpha, sigma): slope = cov(target, x_t) / var(x_t).
# Averaged over the last thousand steps at a rate of .01 it is found to within .02; five times that
# is not reached by chance, and each slope is further than that from those of the other predictions.
SLOPES = {  # v = 4, alpha = .6, sigma = .4 (straight path at t = .4): var(x_t) = 1.6
    "score": -1 / 1.6,
    "noise": 0.4 / 1.6,
    "data": 0.6 * 4 / 1.6,
    "velocity": (-0.6 * 4 + 0.4) / 1.6,
    "v": (0.6 * 0.4 - 0.4 * 0.6 * 4) / 1.6,
}


@pytest.mark.parametrize("prediction", SLOPES)
def test_each_prediction_has_its_best_line(prediction):
    rng = np.random.default_rng(1)
    x = rng.normal(0, 2, (20_000, 1))
    x *= 2 / x.std()
    levels = path_levels(StraightPath(t_min=0.4, t_max=0.4001), prediction, n_levels=1)
    found = train(LINE, LINE.init(rng), x, levels, rng, n_steps=2_000, rates=0.01)
    assert found.average["weights_0"].item() == pytest.approx(SLOPES[prediction], abs=0.1)
    wrong = [v for k, v in SLOPES.items() if k != prediction]
    assert min(abs(v - SLOPES[prediction]) for v in wrong) > 0.15


def test_labels_weights_and_scaled_inputs_are_used():
    """Means of classes: with huge noise, what is said of the data is the mean given the label."""
    rng = np.random.default_rng(2)
    labels = rng.integers(2, size=4_000)
    x = (2.0 * labels - 1.0)[:, None] + rng.normal(0, 0.1, (4_000, 1))
    network = MLP(1, 1, hidden=(), n_classes=2)
    levels = path_levels(VarianceExploding(49.9, 50.0), "data", n_levels=10, scaled=True)
    assert levels.scale == pytest.approx(0.02, rel=0.01)
    weights = np.where(labels == 1, 3.0, 1.0)
    found = train(
        network, network.init(rng), x, levels, rng, n_steps=3_000, rates=0.01, labels=labels,
        drop_label=0.3, weights=weights,
    )  # fmt: skip
    said = network.apply(found.average, np.zeros((3, 1)), label=[0, 1, -1])[:, 0]
    np.testing.assert_allclose(said, [-1, 1, 0.5], atol=0.1)  # no label: the weighted mean


def test_optimal_coupling_straightens_paths():
    """Shifted noise as data: the best pairing is the shift itself, whose velocity is constant."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2_000, 1)) + 4.0
    levels = path_levels(StraightPath(), "velocity")
    start = LINE.init(rng)
    losses = {}
    for coupling in ("independent", "optimal"):
        found = train(
            LINE, start, x, levels, rng, n_steps=600, rates=0.05, batch_size=64, coupling=coupling
        )
        losses[coupling] = found.losses[-100:].mean()
    assert found.average["bias_0"].item() == pytest.approx(-4, abs=0.3)
    # var(e - x0) = 2 at any pairing that is independent, of order 1 / batch at the best
    assert losses["independent"] > 0.9
    assert losses["optimal"] < 0.2


def test_a_run_can_be_continued():
    """Not to the same bits, as streams are seeded anew; but the optimiser goes on where it was."""
    rng = np.random.default_rng(4)
    x, network = two_modes(rng, 1_000), MLP(2, 2, hidden=(8,), time_features=4, time_range=(-3, 2))
    levels = score_levels(np.geomspace(0.1, 5, 7))
    first = train(network, network.init(rng), x, levels, rng, n_steps=30, rates=Cosine(0.01, 50))
    before = {name: value.copy() for name, value in first.theta.items()}
    second = train(network, first, x, levels, rng, n_steps=20, rates=Cosine(0.01, 50))
    assert second.n_steps == 50
    assert second.losses.shape == (50,)
    np.testing.assert_array_equal(second.losses[:30], first.losses)
    for name, value in before.items():
        np.testing.assert_array_equal(first.theta[name], value)
        assert np.abs(second.theta[name] - value).max() > 0
    still = train(network, second, x, levels, rng, n_steps=5, rates=Cosine(0.01, 50))
    for name, value in second.theta.items():  # the schedule has ended: rates are zero
        np.testing.assert_array_equal(still.theta[name], value)


@pytest.mark.parametrize("coupling", ["independent", "optimal"])
def test_the_result_does_not_depend_on_the_size_of_calls(coupling, monkeypatch):
    x, levels = two_modes(np.random.default_rng(5), 500), score_levels(0.5)
    network = MLP(2, 2, hidden=(8,))
    found = []
    for flops in (1.0, 1e10):  # one step to a call, and many
        monkeypatch.setattr("pm_energy.training.regression.FLOPS", flops)
        rng = np.random.default_rng(6)
        run = train(
            network, network.init(rng), x, levels, rng, n_steps=40, batch_size=8, coupling=coupling
        )
        found.append(run.losses)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("flops", [1.0, 1e10])
def test_a_diverging_loss_stops_with_the_last_good_parameters(flops, monkeypatch):
    monkeypatch.setattr("pm_energy.training.regression.FLOPS", flops)
    rng = np.random.default_rng(7)
    x = rng.normal(size=(100, 1))
    rates = np.r_[np.full(30, 1e-3), np.full(20, 1e30)]
    run = train(LINE, LINE.init(rng), x, score_levels(0.5), rng, n_steps=50, rates=rates)
    assert "the loss was not finite at step 32" in run.failure
    assert run.losses.shape == (31,)
    assert np.isfinite(run.losses).all()
    assert run.n_steps == (30 if flops == 1.0 else 0)
    assert all(np.abs(value).max() < 10 for value in run.theta.values())
    assert f"after step {run.n_steps}" in run.failure
    last = train(LINE, LINE.init(rng), x, score_levels(0.5), rng, n_steps=1, rates=1e38, decay=1e9)
    assert "not finite" in last.failure  # parameters that overflow in the very last step


def test_gradients_are_clipped():
    """With rates of zero there is nothing to see; with Adam's division, only its second moment."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(100, 1)) * 100
    run = train(LINE, LINE.init(rng), x, score_levels(0.5), rng, n_steps=1, max_norm=1e-3)
    np.testing.assert_allclose(np.sqrt((run.moments[0] ** 2).sum()), 1e-4, rtol=1e-2)


def test_more_rows_than_data_and_a_progress_bar():
    rng = np.random.default_rng(9)
    run = train(
        LINE, LINE.init(rng), np.zeros((3, 1)), score_levels(1.0), rng, n_steps=20, progress=True
    )
    assert not run.failure


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((5, 2))}, r"x must have shape \(N, 1\)"),
        ({"x": np.zeros((0, 1))}, r"N > 0"),
        ({"x": np.full((5, 1), np.nan)}, "x must be finite"),
        ({"network": MLP(1, 2)}, "as many outputs as inputs"),
        ({"labels": np.zeros(5, int)}, "labels must be left out"),
        ({"weights": np.zeros(5)}, "weights must not all be zero"),
        ({"weights": np.ones(4)}, "weights must be 5 finite numbers"),
        ({"weights": -np.ones(5)}, "none of them negative"),
        ({"rates": np.ones(3)}, "rates must be a schedule, a number or 10 numbers"),
        ({"rates": -1.0}, "rates must be"),
        ({"batch_size": 0}, "batch_size must be a positive integer"),
        ({"n_steps": 0}, "n_steps must be a positive integer"),
        ({"keep": 1.0}, "keep must be at least 0 and below 1"),
        ({"decay": -1.0}, "decay must be at least 0"),
        ({"drop_label": 1.5}, "drop_label"),
        ({"max_norm": 0.0}, "max_norm must be positive"),
        ({"coupling": "none"}, "coupling must be one of independent, optimal"),
    ],
)
def test_arguments_that_make_no_sense(change, message):
    rng = np.random.default_rng(0)
    arguments = {
        "network": LINE, "start": LINE.init(rng), "x": np.zeros((5, 1)),
        "levels": score_levels(0.5), "rng": rng, "n_steps": 10,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        train(**(arguments | change))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: score_levels(0.0), "sigma must be positive"),
        (lambda: score_levels([1.0, np.nan]), "sigma must be finite"),
        (lambda: score_levels(1.0, weight=-1.0), "weight must be positive"),
        (lambda: path_levels(StraightPath(), "nothing"), "prediction must be one of"),
        (lambda: path_levels(StraightPath(), n_levels=0), "n_levels must be a positive integer"),
        (lambda: path_levels(StraightPath(), weight=[1.0]), "weight must have one entry"),
        (lambda: NoiseLevels(*[[1.0]] * 4, [-1.0], [1.0], [0.0]), "weight must not be negative"),
    ],
)
def test_levels_that_make_no_sense(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_labels_of_unknown_classes():
    network, rng = MLP(1, 1, n_classes=2), np.random.default_rng(0)
    common = network, network.init(rng), np.zeros((5, 1)), score_levels(0.5), rng
    with pytest.raises(ValueError, match="label must be from 0 to 1"):
        train(*common, n_steps=1, labels=[0, 1, 2, 0, 1])
    with pytest.raises(ValueError, match=r"labels must have shape \(5,\)"):
        train(*common, n_steps=1, labels=[0, 1])


LEARN = """
import numpy as np
from pm_energy.networks import MLP
from pm_energy.training.regression import train
from pm_energy.training.regression_noise import score_levels
rng, network = np.random.default_rng(0), MLP(2, 2, hidden=(16, 16))
x, levels = rng.normal(size=(500, 2)), score_levels([0.1, 0.5, 2.0])
run = train(network, network.init(rng), x, levels, rng, n_steps=100, max_norm=10.0, decay=0.01)
print(*(network.flatten(part).tobytes().hex() for part in (run.theta, run.average)))
"""


def test_what_is_learned_does_not_depend_on_the_compilers_cache(tmp_path):
    """Of a function that is compiled alone and within another one, either code may be called."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", LEARN]
    cold, warm = (
        subprocess.run(command, env=environment, check=True, capture_output=True).stdout
        for _ in range(2)
    )
    assert cold == warm
