"""Annealed importance sampling: Jarzynski's and Crooks' relations; bounds; what is read."""

import joblib
import numpy as np
import pymc as pm
import pytest
import xarray as xr
from known_evidence import regression, shells
from known_walkers import GaussianWalkers, TableWalkers
from tempered_models import two_modes

import pm_energy as pme
import pm_energy.sampling.ais as ais_module
from pm_energy.partition import ais as log_mean
from pm_energy.partition import ais_reverse as log_mean_reverse
from pm_energy.paths import make_path
from pm_energy.paths.ladder import equal_rejection_ladder
from pm_energy.paths.schedule import effective_fraction
from pm_energy.record import to_datatree
from pm_energy.sampling.annealed_runs import run_forward, run_reverse
from pm_energy.sampling.pilot import Plan, send_pilot
from pm_energy.sampling.target_draws import exact_draws, read_draws

FEW = {"particles": 40, "n_betas": 6, "random_seed": 3, "progressbar": False}
FALSE_ALARM = 4.9  # standard errors, two-sided: one in a million
PLAN = Plan(np.array([0.0, 0.2, 0.45, 0.7, 1.0]), np.array([0, 1, 1, 1, 1]))
TABLE = np.array([0.0, 2.0, 4.0, 0.0, -1.0, 3.0])
RUNS = 40_000
TRIANGLE = pme.Ising(graph=[[0, 1], [1, 2], [2, 0]], coupling=-1.0)


def table_walkers(ratio=TABLE, size=RUNS):
    walkers = TableWalkers(np.log([4, 1, 1, 4, 4, 2]), ratio, size)
    walkers.set_ladder(PLAN.beta)
    return walkers


def forward(walkers, rng):
    runs = run_forward(walkers, walkers.path, PLAN, RUNS, rng)
    return runs.work, runs.values["x"]


def forward_moved_before_it_is_weighted(walkers, rng):
    walkers.put(walkers.path.draw_base(rng, RUNS))
    work = np.zeros(RUNS)
    for k in range(1, len(PLAN.beta)):
        walkers.move(rng, np.full(RUNS, k))
        work -= (PLAN.beta[k] - PLAN.beta[k - 1]) * walkers.log_ratio
    return work, walkers.x


def forward_with_a_stale_log_ratio(walkers, rng):
    walkers.put(walkers.path.draw_base(rng, RUNS))
    work, stale = np.zeros(RUNS), walkers.log_ratio
    for k in range(1, len(PLAN.beta)):
        work -= (PLAN.beta[k] - PLAN.beta[k - 1]) * stale
        stale = walkers.log_ratio
        walkers.move(rng, np.full(RUNS, k))
    return work, walkers.x


@pytest.mark.parametrize(
    ("anneal", "is_right"),
    [
        (forward, True),
        (forward_moved_before_it_is_weighted, False),
        (forward_with_a_stale_log_ratio, False),
    ],
)
def test_weights_make_forward_ends_a_sample_of_the_target(anneal, is_right):
    """E[exp(-W), end in x] = p(x) Z_1 / Z_0, for each of six states and their sum: Jarzynski."""
    walkers = table_walkers()
    work, x = anneal(walkers, np.random.default_rng(0))
    weights = np.exp(-work - walkers.log_z())
    shares = weights[:, None] * (x[:, None] == np.arange(6))
    excess = np.column_stack([shares - walkers.probabilities(1.0), weights - 1.0])
    z = excess.mean(0) / (excess.std(0, ddof=1) / np.sqrt(RUNS))
    assert (np.abs(z) < FALSE_ALARM).all() == is_right, z


def reverse(walkers, rng):
    starts = {"x": walkers.draw(rng, 1.0, RUNS)}
    return run_reverse(walkers, walkers.path, PLAN, starts, rng).work


def reverse_from_elsewhere(walkers, rng):
    starts = {"x": walkers.draw(rng, 0.8, RUNS)}
    return run_reverse(walkers, walkers.path, PLAN, starts, rng).work


def reverse_a_level_late(walkers, rng):
    walkers.put({"x": walkers.draw(rng, 1.0, RUNS)})
    work = np.zeros(RUNS)
    for k in range(len(PLAN.beta) - 1, 0, -1):
        work -= (PLAN.beta[k] - PLAN.beta[k - 1]) * walkers.log_ratio
        walkers.move(rng, np.full(RUNS, k))
    return work


@pytest.mark.parametrize(
    ("anneal", "is_right"),
    [(reverse, True), (reverse_from_elsewhere, False), (reverse_a_level_late, False)],
)
def test_forward_and_reverse_work_obey_crooks(anneal, is_right):
    """P_f(W) exp(Delta F - W) = P_r(W) in each of 12 bins, and summed over them."""
    walkers = table_walkers()
    rng = np.random.default_rng(2)
    work_f, work_r = forward(walkers, rng)[0].round(9), anneal(walkers, rng).round(9)
    bins = np.quantile(work_r, np.linspace(0, 1, 13)[1:-1])
    weights = np.exp(-walkers.log_z() - work_f)
    f = weights[:, None] * (np.searchsorted(bins, work_f)[:, None] == np.arange(12))
    r = 1.0 * (np.searchsorted(bins, work_r)[:, None] == np.arange(12))
    error = np.hypot(f.std(0, ddof=1), r.std(0, ddof=1)) / np.sqrt(RUNS)
    assert (np.abs(f.mean(0) - r.mean(0)) <= FALSE_ALARM * error).all() == is_right
    jarzynski = np.exp(work_r + walkers.log_z())
    z = (jarzynski.mean() - 1.0) / (jarzynski.std(ddof=1) / np.sqrt(RUNS))
    assert (abs(z) < FALSE_ALARM) == is_right, z
    if is_right:  # the second law
        assert work_f.mean() > -walkers.log_z() > work_r.mean()


def test_starts_at_which_the_target_vanishes_have_no_weight():
    walkers = table_walkers(np.array([0.0, 2.0, 4.0, -np.inf, -np.inf, 3.0]))
    work, x = forward(walkers, np.random.default_rng(0))
    dead = work == np.inf
    assert abs(dead.mean() - 0.5) < 0.02
    weights = np.exp(-work - walkers.log_z())
    assert abs(weights.mean() - 1) < FALSE_ALARM * weights.std() / np.sqrt(RUNS)
    assert set(x[~dead]) <= {0, 1, 2, 5}
    nowhere = table_walkers(np.full(6, -np.inf))
    assert (forward(nowhere, np.random.default_rng(0))[0] == np.inf).all()


@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_the_work_varies_as_its_length_says_and_less_than_on_other_ladders(memory):
    walkers, rng, n = GaussianWalkers(1000, memory=memory), np.random.default_rng(0), 200
    survey = send_pilot(
        walkers, walkers.path, rng, sweeps="auto", target=0.8, measure=effective_fraction
    )
    best = equal_rejection_ladder(survey.plan.beta, survey.lengths, n)
    others = [np.linspace(0, 1, n), np.append(0, np.geomspace(1e-6, 1, n - 1))]
    variance = []
    for ladder in [best, *others]:
        walkers.set_ladder(ladder)
        plan = Plan(ladder, np.ones(n, dtype=int))
        variance.append(run_forward(walkers, walkers.path, plan, 1000, rng).work.var())
    assert variance[0] < 0.7 * min(variance[1:])
    assert variance[0] == pytest.approx(survey.lengths.sum() ** 2 / (n - 1), rel=0.35)


def known():
    exact = np.log(6 * np.e + 2 * np.exp(-3))
    yield "triangle", TRIANGLE, exact, {"particles": 500, "reverse": 500}
    for coupling in (0.3, 0.4406867935):
        exact = float(pme.exact.log_partition_torus((8, 8), coupling).eval())
        yield (
            f"torus {coupling}",
            pme.Ising(lattice=(8, 8), coupling=coupling),
            exact,
            {"particles": 200},
        )
    yield "shells", *shells(2), {"particles": 150, "n_betas": 40}
    yield "regression", *regression(), {"particles": 100, "n_betas": 100}


def drawable():
    with pm.Model() as two:
        pme.Boltzmann("a", TRIANGLE)
        pme.Boltzmann("b", pme.Ising(lattice=(5, 5)))
    with pm.Model() as batch:
        pme.Boltzmann("a", pme.Ising(lattice=(5, 5)), shape=(2, 5, 5))
    glass = np.random.default_rng(0).choice([-1.0, 1.0], size=50)
    yield "a table", TRIANGLE, True
    yield "a ferromagnet", pme.Ising(lattice=(5, 5), coupling=0.4), True
    yield "a spin glass", pme.Ising(lattice=(5, 5), coupling=glass), False
    yield "not quadratic", pme.Marginal(pme.RBM(np.ones((20, 3)))), False
    yield "two fields", two, False
    yield "a batch", batch, False
    yield "observed", two_modes(), False


@pytest.mark.parametrize(
    ("model", "is_drawn"), [pytest.param(*rest, id=name) for name, *rest in drawable()]
)
def test_the_target_is_drawn_where_that_can_be_done_exactly(model, is_drawn):
    path = make_path(model)
    drawn = exact_draws(path, np.random.default_rng(0), 3)
    assert (drawn is not None) == is_drawn
    if is_drawn:
        [x] = drawn.values()
        assert x.shape == (3, *path.model.initial_point()["x"].shape)
        assert set(np.unique(x)) <= {-1, 1}


@pytest.mark.parametrize(
    ("model", "log_z", "run"), [pytest.param(*rest, id=name) for name, *rest in known()]
)
def test_log_z_is_right_within_four_errors(model, log_z, run):
    group = pme.ais(model=model, random_seed=1, progressbar=False, **run)["work"]
    found = log_mean(group["forward"]).log_partition()
    assert found.mcse < 0.4
    assert abs(found.value + group.attrs["log_z_base"] - log_z) < 4 * found.mcse
    if "reverse" in run:
        assert group.attrs["reverse_exact"] == 1
        above = log_mean_reverse(group["reverse"], exact=True).log_partition()
        assert abs(above.value + group.attrs["log_z_base"] - log_z) < 4 * above.mcse


def test_the_tree_has_the_work_and_the_ends():
    tree = pme.ais(model=two_modes(), reverse=15, **FEW)
    group = tree["work"]
    assert dict(group.sizes) == {"step": 6, "particle": 40, "particle_reverse": 15}
    assert group.attrs["reverse_exact"] == 0
    assert set(group.attrs) >= {"log_z_base", "road", "base", "tempered"}
    ends = tree["annealed"]
    np.testing.assert_array_equal(ends["log_weight"], -group["forward"])
    np.testing.assert_allclose(ends["square"], ends["x"] ** 2)
    assert "posterior" not in tree.children
    assert tree.observed_data["y"] == 9.0
    assert "reverse" not in pme.ais(model=two_modes(), **FEW)["work"]


def transformed():
    with pm.Model(coords={"k": range(3)}) as model:
        a = pm.Normal("a")
        pm.Uniform("b", a, a + 1)
        pm.Dirichlet("s", np.ones(3), dims="k")
        z = pm.Bernoulli("z", 0.3, shape=2)
        pm.Normal("y", model["b"] + z.sum(), 1, observed=1.0)
    return model


def test_draws_are_read_as_the_values_that_samplers_see():
    path = make_path(transformed())
    values = path.draw_base(np.random.default_rng(0), 8)
    tree = to_datatree(path.model, {k: v.reshape(2, 4, *v.shape[1:]) for k, v in values.items()})
    own = {name: tree.posterior[name].values.reshape(8, *tree.posterior[name].shape[2:])
           for name in ("a", "b", "s", "z")}  # fmt: skip
    for draws in (tree, own):
        again = read_draws(path, draws)
        assert set(again) == set(values)
        for name, x in values.items():
            np.testing.assert_allclose(again[name], x, rtol=1e-9)


def test_reverse_runs_start_where_they_are_told_to():
    draws = pme.exact.draw(TRIANGLE, np.random.default_rng(0), 12)
    run = {"model": TRIANGLE, **FEW}
    given = pme.ais(target_draws=draws, **run)["work"]
    assert given["reverse"].size == 12
    assert given.attrs["reverse_exact"] == 0
    assert pme.ais(target_draws={"x": draws}, exact=True, **run)["work"].attrs["reverse_exact"] == 1
    assert pme.ais(target_draws=draws, reverse=5, **run)["work"]["reverse"].size == 5


def test_the_runs_do_not_depend_on_where_they_are_made(monkeypatch):
    monkeypatch.setattr(ais_module, "BATCH", 15)
    run = {"model": two_modes(), "reverse": 20, **FEW}
    serial = pme.ais(cores=1, **run)["work"]
    with joblib.parallel_config(backend="threading", n_jobs=2):
        parallel = pme.ais(**run)["work"]
    for name in ("beta", "forward", "reverse"):
        np.testing.assert_array_equal(serial[name], parallel[name])
    assert np.unique(serial["forward"]).size == 40


@pytest.mark.parametrize(
    ("which", "at", "sizes"),
    [
        ("run_forward", 2, {"particle": 13}),
        ("run_reverse", 2, {"particle": 40, "particle_reverse": 10}),
        ("run_reverse", 1, {"particle": 40}),
    ],
)
def test_ctrl_c_returns_the_runs_that_were_complete(monkeypatch, which, at, sizes):
    monkeypatch.setattr(ais_module, "BATCH", 15)
    calls, run = [], getattr(ais_module, which)

    def interrupted(*args):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return run(*args)

    monkeypatch.setattr(ais_module, which, interrupted)
    tree = pme.ais(model=two_modes(), reverse=20, cores=1, **FEW)
    assert dict(tree["work"].sizes) == {"step": 6, **sizes}
    assert tree["annealed"].sizes["particle"] == sizes["particle"]


def test_ctrl_c_before_anything_was_complete(monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(ais_module, "run_forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pme.ais(model=two_modes(), cores=1, **FEW)


EMPTY = xr.DataTree.from_dict({"posterior": xr.Dataset({"y": (("chain", "draw"), [[1.0]])})})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"particles": 0}, "particles must be a positive integer"),
        ({"n_betas": 1}, "n_betas must be at least 2"),
        ({"sweeps_per_step": 0}, "sweeps_per_step must be"),
        ({"ladder": [0.0, 1.0]}, "either n_betas or a ladder"),
        ({"n_betas": "auto", "ladder": [0.0, 0.5]}, "ladder must be .* from 0 to 1"),
        ({"reverse": -1}, "reverse must be"),
        ({"target_draws": np.ones((3, 2))}, "must have the shape \\('n',\\)"),
        ({"target_draws": EMPTY}, "has no draws of \\['x'\\]"),
        ({"target_draws": np.ones(3), "reverse": 4}, "reverse=4 runs need as many"),
        ({"target_draws": [[np.nan]]}, "must have the shape"),
        ({"step": "nuts"}, "step must be a PyMC step method"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        pme.ais(**{"model": two_modes(), **FEW, **change})


def test_draws_outside_of_the_target_are_refused():
    with pm.Model() as model:
        x = pm.Normal("x")
        pm.Uniform("y", x, x + 1, observed=0.5)
    with pytest.raises(ValueError, match="target vanishes at draw 1 of target_draws"):
        pme.ais(model=model, target_draws=np.array([0.0, 3.0]), **FEW)
    with pytest.raises(ValueError, match="must be integers"):
        pme.ais(model=TRIANGLE, target_draws=np.full((2, 3), 0.5), **FEW)
