"""Parallel tempering: exact on enumerable targets, right on known posteriors, safe to stop."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import pymc as pm
import pytest
from tempered_models import conjugate, everything, two_modes

import pm_energy as pme
from pm_energy.sampling import parallel_tempering
from pm_energy.walkers import replicas

FEW = {"draws": 60, "tune": 60, "progressbar": False, "random_seed": 3}


def test_both_modes_are_visited_and_the_tree_is_whole():
    with two_modes():
        tree = pme.sample_parallel_tempering(
            500, tune=300, chains=2, random_seed=1, progressbar=False
        )
    share = (tree.posterior["x"] > 0).mean("draw")
    assert (abs(share - 0.5) < 0.2).all()
    np.testing.assert_allclose(tree.posterior["square"], tree.posterior["x"] ** 2)
    assert tree.observed_data["y"] == 9.0
    group = tree["tempering"]
    assert group["log_ratio"].dims == ("chain", "draw", "level")
    np.testing.assert_array_equal(np.sort(group["replica"], axis=-1)[0, 0], group["level"])
    log_likelihood = pm.logp(pm.Normal.dist(tree.posterior["square"].values, 1), 9.0).eval()
    np.testing.assert_allclose(group["log_ratio"][..., -1], log_likelihood)
    np.testing.assert_array_equal(group["beta"][:, [0, -1]], [[0, 1], [0, 1]])
    assert (group["swap_acceptance"] > 0.3).all()


def test_everything_at_once_runs_through_it():
    """Priors in a hierarchy, an indicator, a Boltzmann field: nothing is left out or changed."""
    with everything():
        tree = pme.sample_parallel_tempering(chains=1, n_replicas=3, **FEW)
    assert set(tree.posterior) == {"mu", "sd", "z", "theta", "shifted", "field", "scale"}
    assert tree.posterior["field"].dims == ("chain", "draw", "row", "col")
    assert set(np.unique(tree.posterior["field"])) == {-1, 1}


@pytest.mark.parametrize("step", [pm.Metropolis, pm.Slice])
def test_steps_of_the_user_are_built_at_each_temperature(step):
    with two_modes() as model:
        tree = pme.sample_parallel_tempering(step=step([model["x"]]), chains=1, n_replicas=3, **FEW)
    assert "road" in tree["tempering"].attrs
    assert ("nstep_in" in tree.sample_stats) == (step is pm.Slice)


def test_the_draws_do_not_depend_on_where_they_are_made():
    from distributed import Client, LocalCluster

    model = two_modes()
    run = {"chains": 2, "n_replicas": 3, "model": model, **FEW}
    serial = pme.sample_parallel_tempering(cores=1, **run).posterior["x"]
    parallel = pme.sample_parallel_tempering(cores=2, **run).posterior["x"]
    np.testing.assert_array_equal(serial, parallel)
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster), joblib.parallel_config(backend="dask"):
        spread = pme.sample_parallel_tempering(**run).posterior["x"]
    np.testing.assert_array_equal(serial, spread)


RUN = """
import sys
sys.path.insert(0, {here!r})
from tempered_models import two_modes
import pm_energy as pme
pme.sample_parallel_tempering(
    400, tune=60, chains=2, n_replicas=3, cores=1, random_seed=3, progressbar=False,
    model=two_modes(), checkpoint={folder!r}, checkpoint_every=20,
)
"""


def test_a_run_that_was_killed_goes_on_with_the_same_draws(tmp_path):
    run = {"chains": 2, "n_replicas": 3, "model": two_modes(), "cores": 1, "tune": 60,
           "draws": 400, "random_seed": 3, "progressbar": False}  # fmt: skip
    folder = tmp_path / "run"
    code = RUN.format(here=os.path.dirname(__file__), folder=str(folder))
    process = subprocess.Popen([sys.executable, "-c", code])
    while len(list(folder.glob("chain-0/segment-*.pkl"))) < 3:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(folder.glob("chain-*/segment-*.pkl"))) < 40, "nothing was left to do"
    newest = sorted(folder.glob("chain-0/segment-*.pkl"))[-1]
    newest.write_bytes(newest.read_bytes()[:-100])  # as if the disk had been full, too
    again = {**run, "checkpoint": folder, "checkpoint_every": 20}
    with pytest.warns(UserWarning, match="incomplete"):
        resumed = pme.sample_parallel_tempering(**again)
    whole = pme.sample_parallel_tempering(checkpoint_every=20, **run)
    np.testing.assert_array_equal(resumed.posterior["x"], whole.posterior["x"])
    np.testing.assert_array_equal(resumed["tempering"]["replica"], whole["tempering"]["replica"])
    np.testing.assert_array_equal(
        resumed["tempering"]["swap_acceptance"], whole["tempering"]["swap_acceptance"]
    )
    with pytest.raises(ValueError, match="differs in \\['draws'\\]"):
        pme.sample_parallel_tempering(**{**again, "draws": 500})
    with pytest.raises(ValueError, match="differs in \\['path'\\]"):
        pme.sample_parallel_tempering(**{**again, "model": conjugate()[0]})


def test_ctrl_c_returns_what_was_drawn(monkeypatch):
    swap, calls = replicas.swap, {"n": 0}

    def interrupted(*args):
        calls["n"] += 1
        if calls["n"] == 32 + 64 + 128 + 60 + 60 + 60 + 31:  # in the draws of the second chain
            raise KeyboardInterrupt
        return swap(*args)

    monkeypatch.setattr(replicas, "swap", interrupted)
    with two_modes():
        tree = pme.sample_parallel_tempering(chains=3, n_replicas=3, cores=1, **FEW)
    assert dict(tree.posterior.sizes) == {"chain": 2, "draw": 30}


def impossible():
    with pm.Model() as model:
        x = pm.Uniform("x", 0, 1)
        pm.Uniform("y", x, x + 1, observed=5.0)
    return model


def undefined():
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1)
        pm.Potential("broken", pm.math.log(-pm.math.sqr(x) - 1))
    return model


def improper():
    with pm.Model() as model:
        pm.Normal("y", pm.Flat("x"), 1, observed=0.0)
    return model


def nothing_observed():
    with pm.Model() as model:
        pm.Normal("x")
    return model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": nothing_observed}, "no observed variables"),
        ({"model": improper}, "prior of 'x' is improper"),
        ({"model": impossible}, "target vanishes at all .*y = -inf"),
        ({"model": undefined}, "not a number at any .*broken = nan"),
        ({"n_replicas": 1}, "n_replicas must be at least 2"),
        ({"draws": 0}, "draws must be"),
        ({"tune": -1}, "tune must be"),
        ({"chains": 0}, "chains must be"),
        ({"base": "posterior"}, "base must be 'prior' or 'variational'"),
        ({"temper": "prior"}, "temper must be one or several"),
        ({"temper": "potentials"}, "the model has none"),
        ({"step": "nuts"}, "step must be a PyMC step method"),
        ({"checkpoint": "unused", "random_seed": np.random.default_rng(0)}, "must be an int"),
    ],
)
def test_bad_input_is_refused_before_any_work(change, message, tmp_path):
    change = {key: v() if key == "model" else v for key, v in change.items()}
    if "checkpoint" in change:
        change["checkpoint"] = tmp_path / "run"
    with pytest.raises(ValueError, match=message):
        pme.sample_parallel_tempering(**{"model": two_modes(), "chains": 1, **FEW, **change})


def test_processes_only_where_they_pay():
    assert parallel_tempering.workers_for(4, None, seconds=1.0) == 1
    assert parallel_tempering.workers_for(4, None, seconds=1e4) == min(
        4, multiprocessing.cpu_count()
    )
    assert parallel_tempering.workers_for(4, 2, seconds=1.0) == 2
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert parallel_tempering.workers_for(4, None, seconds=1.0) is None
