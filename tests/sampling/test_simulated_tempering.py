"""Simulated tempering of models: known posteriors and evidences, stops and resumes, bad input."""

import numpy as np
import pymc as pm
import pytest
from scipy.special import logsumexp
from tempered_models import conjugate, everything, two_modes

import pm_energy as pme
from pm_energy.partition.mbar import mbar
from pm_energy.partition.wandering import rao_blackwell
from pm_energy.sampling import simulated_tempering
from pm_energy.sampling.simulated_tempering import sample_simulated_tempering
from pm_energy.walkers.tempering_walk import TemperingWalk

FEW = {"draws": 40, "tune": 20, "progressbar": False, "random_seed": 3, "cores": 1}


def log_evidences(tree):
    """By the draws of all levels, and by the weights."""
    group = tree["simulated_tempering"]
    log_ratio, beta, level = (group[name].values for name in ("log_ratio", "beta", "level"))
    base = group.attrs["log_z_base"]
    yield mbar(log_ratio, beta, level).log_partition(base)
    yield rao_blackwell(log_ratio, beta, group["log_weight"].values).log_partition(base)


def test_both_modes_are_visited_and_the_tree_is_whole():
    with two_modes():
        tree = sample_simulated_tempering(
            600, tune=200, chains=2, cores=1, random_seed=1, progressbar=False
        )
    x = tree.posterior["x"]
    assert (abs((x > 0).mean("draw") - 0.5) < 0.2).all()
    np.testing.assert_allclose(tree.posterior["square"], x**2)
    assert tree.observed_data["y"] == 9.0
    group = tree["simulated_tempering"]
    n_levels = group.sizes["level"]
    assert group["level"].dims == group["log_ratio"].dims == ("chain", "iteration")
    assert group["level"].shape == (2, 600 * n_levels)
    assert set(group.attrs) == {"log_z_base", "road", "base", "tempered"}
    stats = tree.sample_stats
    length = stats["excursion_length"].values
    assert (stats["base_reached"] == (stats["lowest_level"] == 0)).all()
    assert 0.7 < length.mean() / n_levels < 1.4
    # the draws are the states at beta = 1, in their order
    log_likelihood = pm.logp(pm.Normal.dist(x.values**2, 1), 9.0).eval()
    for chain in range(2):
        ends = length[chain].cumsum() - 1
        ends = ends[ends < group.sizes["iteration"]]
        assert (group["level"].values[chain, ends] == n_levels - 1).all()
        np.testing.assert_allclose(
            group["log_ratio"].values[chain, ends], log_likelihood[chain, : len(ends)]
        )
    shares = np.bincount(group["level"].values.ravel()) / group["level"].size
    assert np.abs(shares * n_levels - 1.0).max() < 0.5


TRIANGLE = pme.Ising(graph=[[0, 1], [1, 2], [0, 2]], coupling=-1.0)
CRITICAL = 0.5 * np.log(1.0 + np.sqrt(2.0))


@pytest.mark.parametrize(
    ("energy", "log_z"),
    [
        (TRIANGLE, logsumexp([1.0, -3.0], b=[6.0, 2.0])),
        (pme.Ising(lattice=(8, 8), coupling=CRITICAL), 60.141781),
    ],
    ids=["frustrated triangle", "Ising 8 x 8 at its critical point"],
)
def test_log_z_of_energies(energy, log_z):
    """Within 4 errors: a false alarm in 16,000."""
    tree = sample_simulated_tempering(
        600, tune=200, chains=2, cores=1, random_seed=5, progressbar=False, model=energy
    )
    assert tree["simulated_tempering"].attrs["base"] == "uniform"
    for found in log_evidences(tree):
        assert abs(found.errors_from(log_z)) < 4.0
        assert found.mcse < 0.2


def test_a_given_ladder_and_an_evidence():
    model, log_evidence = conjugate()
    ladder = [0.0, 0.1, 0.4, 1.0]
    step = pm.Slice([model["mu"]], model=model)
    tree = sample_simulated_tempering(
        500, tune=100, chains=2, cores=1, random_seed=7, progressbar=False, model=model,
        ladder=ladder, step=step,
    )  # fmt: skip
    np.testing.assert_array_equal(tree["simulated_tempering"]["beta"], ladder)
    for found in log_evidences(tree):
        assert abs(found.errors_from(log_evidence)) < 4.0


def test_everything_at_once_runs_through_it():
    with everything():
        tree = sample_simulated_tempering(chains=1, n_levels=3, **FEW)
    assert set(tree.posterior) == {"mu", "sd", "z", "theta", "shifted", "field", "scale"}
    assert tree.posterior["field"].dims == ("chain", "draw", "row", "col")
    assert set(np.unique(tree.posterior["field"])) == {-1, 1}


def test_the_draws_do_not_depend_on_the_number_of_processes():
    run = {**FEW, "chains": 2, "n_levels": 3, "model": two_modes()}
    serial = sample_simulated_tempering(**run)
    parallel = sample_simulated_tempering(**{**run, "cores": 2})
    np.testing.assert_array_equal(serial.posterior["x"], parallel.posterior["x"])
    for name in ("level", "log_ratio", "log_weight"):
        np.testing.assert_array_equal(
            serial["simulated_tempering"][name], parallel["simulated_tempering"][name]
        )


class Killed(Exception):
    pass


def stop_after(monkeypatch, calls, error):
    """Let the excursion of that number fail."""
    excursion, made = TemperingWalk.excursion, []

    def counted(self, rng):
        made.append(self)
        if len(made) == calls:
            raise error
        return excursion(self, rng)

    monkeypatch.setattr(TemperingWalk, "excursion", counted)


@pytest.mark.parametrize("calls", [1, 62])
def test_a_run_that_was_stopped_goes_on_with_the_same_draws(tmp_path, monkeypatch, calls):
    """Before the first draw, and among those of the second chain."""
    run = {**FEW, "chains": 2, "n_levels": 3, "model": two_modes()}
    resumable = {**run, "checkpoint": tmp_path / "run", "checkpoint_every": 10}
    with monkeypatch.context() as patch:
        stop_after(patch, calls, Killed)
        with pytest.raises(Killed):
            sample_simulated_tempering(**resumable)
    resumed, whole = sample_simulated_tempering(**resumable), sample_simulated_tempering(**run)
    np.testing.assert_array_equal(resumed.posterior["x"], whole.posterior["x"])
    for name in ("level", "log_ratio", "log_weight"):
        np.testing.assert_array_equal(
            resumed["simulated_tempering"][name], whole["simulated_tempering"][name]
        )
    with pytest.raises(ValueError, match="differs in \\['draws'\\]"):
        sample_simulated_tempering(**{**resumable, "draws": 50})


@pytest.mark.parametrize(("calls", "chains"), [(30, 1), (71, 2)])
def test_ctrl_c_returns_what_was_drawn(monkeypatch, calls, chains):
    """In the first of three chains, and in the second."""
    run = {**FEW, "chains": 3, "n_levels": 3, "model": two_modes()}
    whole = sample_simulated_tempering(**run)
    stop_after(monkeypatch, calls, KeyboardInterrupt)
    tree = sample_simulated_tempering(**run)
    sizes = tree.posterior.sizes
    assert sizes["chain"] == chains
    assert 0 < sizes["draw"] < 30
    seen = whole.posterior["x"].isel(chain=slice(chains), draw=slice(sizes["draw"]))
    np.testing.assert_array_equal(tree.posterior["x"], seen)


def test_ctrl_c_before_any_draw_is_an_interrupt(monkeypatch):
    stop_after(monkeypatch, 1, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        sample_simulated_tempering(model=two_modes(), chains=2, n_levels=3, **FEW)


def test_a_run_not_to_be_trusted_says_so(monkeypatch):
    """A ladder without overlap, and hardly any tuning."""
    said = []
    monkeypatch.setattr(simulated_tempering._log, "warning", said.append)
    sample_simulated_tempering(model=two_modes(), chains=1, ladder=[0.0, 1.0], **FEW)
    assert any("Too few round trips" in reason for reason in said)


def nothing_observed():
    with pm.Model() as model:
        pm.Normal("x")
    return model


def improper():
    with pm.Model() as model:
        pm.Normal("y", pm.Flat("x"), 1.0, observed=0.0)
    return model


def impossible():
    with pm.Model() as model:
        pm.Uniform("y", 0.0, pm.Uniform("x", 0.0, 1.0), observed=2.0)
    return model


def undefined():
    with pm.Model() as model:
        pm.Potential("y", pm.math.log(pm.Uniform("x", -2.0, -1.0)))
    return model


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (two_modes, {"draws": 0}, "draws must be a positive integer"),
        (two_modes, {"tune": 0}, "tune must be a positive integer"),
        (two_modes, {"chains": 0}, "chains must be a positive integer"),
        (two_modes, {"n_levels": 1}, "n_levels must be at least 2"),
        (two_modes, {"ladder": [0.1, 1.0]}, "ladder must be inverse temperatures from 0 to 1"),
        (two_modes, {"ladder": [0.0, 0.5, 0.5, 1.0]}, "ladder must increase"),
        (two_modes, {"ladder": [0.0, 0.5, 1.0], "n_levels": 4}, "the ladder has 3"),
        (two_modes, {"step": "nuts"}, "step must be a PyMC step method"),
        (nothing_observed, {}, "nothing to temper"),
        (improper, {}, "improper"),
        (impossible, {}, "the target vanishes at"),
        (undefined, {}, "not a number at any of 1 draws of the base: .*y = nan"),
    ],
)
def test_bad_input_is_refused(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_simulated_tempering(**{**FEW, "chains": 1, **arguments}, model=model())


@pytest.mark.slow
def test_errors_of_log_z_are_calibrated():
    """The sd of 60 z-scores is within .7-1.35 but for 1e-3, if their errors are right."""
    model, log_evidence = conjugate()
    scores = []
    for seed in range(60):
        tree = sample_simulated_tempering(
            200, tune=100, chains=2, cores=1, random_seed=seed, progressbar=False, model=model
        )
        scores.append([found.errors_from(log_evidence) for found in log_evidences(tree)])
    spread = np.std(scores, axis=0)
    assert ((spread > 0.7) & (spread < 1.35)).all(), spread
