"""Restricted Boltzmann machines as estimators: what they learn, draw, score and keep."""

import tracemalloc
from itertools import product

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy.integrate import simpson
from scipy.sparse import csr_array
from scipy.stats import chisquare
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import pm_energy as pme
from pm_energy.partition import EvidenceWarning
from pm_energy.training.recipe import OBJECTIVES

STATES = np.array(list(product([0.0, 1.0], repeat=6)))
DIGITS = (load_digits().data >= 8).astype(np.float32)


def bars_and_stripes(side):
    """The distinct images of all rows, or all columns, black or white."""
    rows = [np.repeat(bits, side) for bits in product([0.0, 1.0], repeat=side)]
    return np.unique(
        rows + [np.tile(bits, side) for bits in product([0.0, 1.0], repeat=side)], axis=0
    )


@pytest.fixture(scope="module")
def fitted():
    """A machine that has learned six units, of which three and three agree."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.random((400, 2)) < [0.5, 0.3], 3, axis=1) ^ (rng.random((400, 6)) < 0.1)
    return pme.BernoulliRBM(3, n_iter=30, random_state=0).fit(X.astype(float))


def weights_of(machine, **arrays):
    """A machine with these numbers, without learning."""
    n_visible, n_hidden = arrays["weights"].shape
    machine.set_params(n_components=n_hidden, n_iter=1).fit(np.zeros((2, n_visible)))
    for name, value in arrays.items():
        setattr(machine, f"{name}_", value)
    machine._log_partition = None
    return machine


@pytest.mark.parametrize("coding", ["binary", "spin"])
def test_the_likelihood_sums_to_one(coding):
    rng = np.random.default_rng(1)
    states = STATES if coding == "binary" else 2 * STATES - 1
    machine = pme.BernoulliRBM(4, coding=coding, n_iter=5, random_state=0)
    machine.fit(states[rng.integers(64, size=100)])
    assert np.exp(machine.score_samples(states)).sum() == pytest.approx(1, abs=1e-10)


def test_a_gaussian_machine_is_a_normalised_density():
    rng = np.random.default_rng(2)
    X = rng.normal([[100.0], [106.0]], [[1.0], [1.0]], (2, 200)).reshape(-1, 1)
    for hidden in ("binary", "spin"):
        machine = pme.GaussianRBM(1, hidden=hidden, objective="exact", random_state=0).fit(X)
        grid = np.linspace(80, 126, 5001)
        mass = simpson(np.exp(machine.score_samples(grid[:, None])), grid)
        assert mass == pytest.approx(1, abs=1e-8)
        best = np.log(0.5) - 0.5 * np.log(2 * np.pi * np.e)  # of the two clusters, far apart
        assert machine.score(X) == pytest.approx(best, abs=0.1)  # one normal: -2.57
        assert np.sqrt(machine.variance_) == pytest.approx([1.0], abs=0.15)


def test_the_energy_goes_into_a_pymc_model(fitted):
    with pm.Model() as model:
        pme.Boltzmann("v", fitted.energy_)
    logp = model.compile_logp()
    gaps = [float(logp({"v": s.astype(np.int8)})) for s in STATES] - fitted.score_samples(STATES)
    assert np.ptp(gaps) < 1e-10  # log Z is a constant here


@pytest.mark.parametrize(("column", "is_right"), [(0, True), (3, False)])
def test_draws_follow_the_likelihood(fitted, column, is_right):
    draws = fitted.sample(20_000, random_state=1)
    wanted = np.exp(fitted.score_samples(STATES))
    draws[:, 0] = draws[:, column]  # the broken twin takes a unit for another
    seen = np.bincount(draws.astype(int) @ 2 ** np.arange(5, -1, -1), minlength=64)
    assert wanted.min() * 20_000 > 5  # no state is too rare to count
    assert (chisquare(seen, 20_000 * wanted / wanted.sum()).pvalue > 1e-6) == is_right


def test_completion_is_the_conditional_mean(fitted):
    known = np.array([True, False, False, True, False, False])
    X = np.array([[1.0, 0, 0, 0, 0, 0], [0.0, 0, 0, 1, 0, 0]])
    completed = fitted.complete(X, known, n_sweeps=5000, random_state=0)
    p = np.exp(fitted.score_samples(STATES))
    for row, given in zip(completed, X, strict=True):
        fits = (STATES[:, known] == given[known]).all(axis=1)
        exact = p[fits] @ STATES[fits] / p[fits].sum()
        # 4,000 sweeps of chains that forget within 20: sd below .5 / sqrt(200), five of them
        np.testing.assert_allclose(row, exact, atol=5 * 0.5 / np.sqrt(200))
        assert (row[known] == given[known]).all()


@pytest.mark.parametrize(("column", "is_right"), [(1, True), (4, False)])
def test_held_units_stay_and_the_others_follow_them(fitted, column, is_right):
    known = np.array([True, False, False, True, False, False])
    X = np.tile([1.0, 0, 0, 0, 0, 0], (20_000, 1))
    draws = fitted.gibbs(X, 30, known=known, random_state=2)
    assert (draws[:, known] == X[:, known]).all()
    p = np.exp(fitted.score_samples(STATES))
    fits = (STATES[:, known] == X[0, known]).all(axis=1)
    exact = p[fits] @ STATES[fits, 1] / p[fits].sum()
    error = np.sqrt(exact * (1 - exact) / len(X))
    assert (abs(draws[:, column].mean() - exact) < 5 * error) == is_right


def test_numbers_of_sweeps_and_draws_are_checked(fitted):
    X = STATES[:2]
    for call in (
        lambda: fitted.gibbs(X, 0),
        lambda: fitted.complete(X, [True] * 6, n_sweeps=-3),
        lambda: fitted.sample(0),
        lambda: fitted.log_partition(n_chains=0),
        lambda: fitted.log_partition(n_betas=0),
    ):
        with pytest.raises(ValueError, match="must be a positive integer"):
            call()
    with pytest.raises(ValueError, match="Pipeline"):
        pme.sample_deep_belief(MinMaxScaler())


def test_annealing_agrees_with_the_exact_sum_and_with_itself():
    machine = pme.BernoulliRBM(16, n_iter=10, track=None, random_state=0).fit(DIGITS[:500])
    exact, found = machine.log_partition_, machine.log_partition(200, random_state=1)
    assert exact.method == "exact"
    assert abs(found.errors_from(exact.value)) < 5  # one false alarm in a million
    machine.weights_ *= 8  # too cold for three temperatures: some 20 nats are missing
    with pytest.warns(EvidenceWarning, match="n_betas"):
        machine.log_partition(400, n_betas=2, random_state=1)


def test_the_same_log_z_for_any_number_of_processes():
    machine = pme.BernoulliRBM(4, n_iter=1, random_state=0).fit(STATES)
    serial = machine.log_partition(250, 20, random_state=3)
    assert machine.set_params(n_jobs=2).log_partition(250, 20, random_state=3) == serial


def test_a_gaussian_machine_anneals():
    rng = np.random.default_rng(3)
    X = rng.normal(rng.integers(3, size=(300, 1)) * [2.0, -1.0], 0.5)
    for hidden in ("binary", "spin"):
        machine = pme.GaussianRBM(3, hidden=hidden, n_iter=20, random_state=0).fit(X)
        found = machine.log_partition(200, random_state=1)
        assert abs(found.errors_from(machine.log_partition_.value)) < 5


def test_maximum_likelihood_learns_bars_and_stripes():
    """The best possible is -30 log 30 = -102.04; other optima lie at -106 and below."""
    X = bars_and_stripes(4)
    machine = pme.BernoulliRBM(
        16, objective="exact", weight_decay=0, n_iter=150, random_state=0, track=None
    )
    assert -103.5 < machine.fit(X).score(X) * 30 <= -102.03


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_learns_what_independent_units_cannot(objective):
    """Two blocks of units that agree: independent units stay at -6 log 2."""
    X = np.repeat(np.array(list(product([0.0, 1.0], repeat=2))), 3, axis=1)
    X = np.repeat(X, 10, axis=0)
    machine = pme.BernoulliRBM(
        3, objective=objective, weight_decay=0.003, learning_rate=0.5, n_iter=200, n_levels=4,
        n_chains=40, random_state=0,
    ).fit(X)  # fmt: skip
    assert machine.score(X) > -2.6  # the best is -2 log 2 = -1.39, independent units have -4.16
    assert set(machine.history_) <= {
        "log_likelihood", "pseudo_log_likelihood", "loss", "swap_acceptance"
    }  # fmt: skip


def test_digits_with_the_defaults():
    """Test log-likelihood of 16 units with defaults: -18.7 to -18.4 over seeds, here for a half."""
    train, test = DIGITS[:1000], DIGITS[1350:]
    machine = pme.BernoulliRBM(16, n_iter=40, random_state=0, track=None).fit(train)
    assert machine.score(test) > -19.3  # independent pixels: -24.9; scikit-learn: -19.6
    assert machine.weights_.dtype == np.float32
    assert machine.transform(test).dtype == np.float32


def test_the_curve_is_the_likelihood(fitted):
    assert fitted.history_["log_likelihood"].shape == (30,)
    assert fitted.n_iter_ == 30
    tree = fitted.to_datatree()
    assert tree["training"]["log_likelihood"].dims == ("step",)
    assert tree["parameters"]["weights"].dims == ("visible", "hidden")


@pytest.mark.parametrize(
    "track", ["log_likelihood", "pseudo_log_likelihood", "reconstruction_error"]
)
def test_what_is_tracked(track):
    machine = pme.BernoulliRBM(14, n_iter=2, track=track, random_state=0).fit(DIGITS[:50, :20])
    assert machine.history_[track].shape == (2,)


@pytest.mark.parametrize("estimator", [pme.BernoulliRBM, pme.GaussianRBM])
def test_files_keep_everything(estimator, tmp_path):
    X = DIGITS[:60, 20:28]
    machine = estimator(3, n_iter=2, random_state=0, learning_rate=0.01).fit(X)
    machine.save(tmp_path / "machine.npz")
    again = estimator.load(tmp_path / "machine.npz")
    np.testing.assert_array_equal(machine.score_samples(X), again.score_samples(X))
    assert again.get_params() == machine.get_params()
    machine.partial_fit(X), again.partial_fit(X)  # chains and generator were kept, too
    np.testing.assert_array_equal(machine.weights_, again.weights_)


def test_sparse_data_give_the_same():
    X = DIGITS[:100, :20]
    dense, sparse = (
        pme.BernoulliRBM(4, n_iter=3, random_state=0).fit(data) for data in (X, csr_array(X))
    )
    np.testing.assert_allclose(dense.weights_, sparse.weights_, atol=1e-6)
    np.testing.assert_allclose(
        dense.score_samples(X), sparse.score_samples(csr_array(X)), rtol=1e-5
    )


def test_weights_of_rows_are_repetitions():
    X = STATES[[0, 7, 56, 63]]
    options = {"objective": "exact", "random_state": 0, "n_iter": 50}
    weighted = pme.BernoulliRBM(2, **options).fit(X, sample_weight=[1, 2, 3, 0])
    repeated = pme.BernoulliRBM(2, **options).fit(X[[0, 1, 1, 2, 2, 2]])
    np.testing.assert_allclose(weighted.score_samples(X), repeated.score_samples(X), atol=1e-6)


def test_learning_goes_on():
    X = DIGITS[:100, 20:30]
    options = {"n_iter": 5, "random_state": 0, "warm_start": True}
    machine = pme.BernoulliRBM(4, **options).fit(X)
    first = machine.score(X)
    assert machine.fit(X).score(X) > first
    parts = pme.BernoulliRBM(4, random_state=0)
    for _ in range(3):
        parts.partial_fit(X)
    assert np.isfinite(parts.score(X))


@pytest.mark.parametrize("estimator", [pme.BernoulliRBM, pme.GaussianRBM])
def test_it_works_with_the_tools_of_scikit_learn(estimator):
    frame = pd.DataFrame(load_digits().data[:80, 20:30]).add_prefix("pixel ")
    pipeline = make_pipeline(MinMaxScaler(clip=True), estimator(3, n_iter=3, random_state=0))
    name = estimator.__name__.lower()
    assert np.isfinite(cross_val_score(pipeline, frame, cv=2)).all()
    search = GridSearchCV(pipeline, {f"{name}__n_components": [1, 3]}, cv=2).fit(frame)
    assert np.isfinite(search.best_score_)
    hidden = pipeline.set_output(transform="pandas").fit(frame).transform(frame)
    assert list(hidden.columns) == [f"{name}0", f"{name}1", f"{name}2"]
    assert hidden.index.equals(frame.index)


def test_learning_needs_less_memory_than_the_data():
    X = (np.random.default_rng(0).random((10_000, 784)) < 0.2).astype(np.float32)
    machine = pme.BernoulliRBM(32, n_iter=1, batch_size=100, track=None, random_state=0)
    machine.fit(X[:100])
    tracemalloc.start()
    machine.fit(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.8 * X.nbytes


def test_a_deep_belief_network_draws_from_top_down():
    blocks = np.repeat(np.eye(2), 4, axis=1)
    X = np.repeat(blocks, 50, axis=0)
    layers = [
        pme.BernoulliRBM(n, objective="exact", weight_decay=1e-3, random_state=1) for n in (3, 2)
    ]
    drawn = pme.sample_deep_belief(make_pipeline(*layers).fit(X), 200, random_state=0)
    hits = [(drawn == block).all(axis=1).mean() for block in blocks]
    # sd .035 each; the greedy fit is not exact, so the halves may differ some more
    assert sum(hits) > 0.9
    assert min(hits) > 0.25
    with pytest.raises(ValueError, match="last step"):
        pme.sample_deep_belief(make_pipeline(MinMaxScaler()).fit(X))


def test_divergence_is_seen_and_what_was_finite_is_kept():
    X = np.random.default_rng(0).normal(size=(60, 4))
    with pytest.warns(ConvergenceWarning, match="learning_rate"):
        machine = pme.GaussianRBM(3, learning_rate=1e4, n_iter=5, random_state=0).fit(X)
    assert np.isfinite(machine.weights_).all()
    with pytest.warns(ConvergenceWarning, match="learning_rate"):
        pme.BernoulliRBM(4, learning_rate=300.0, n_iter=3, random_state=0).fit(STATES)


@pytest.mark.parametrize(
    ("machine", "X", "message"),
    [
        (pme.BernoulliRBM(2), [[0.0, 1.5]], "between 0 and 1"),
        (pme.BernoulliRBM(2), [[0.0, -0.1]], "between 0 and 1"),
        (pme.BernoulliRBM(2, coding="spin"), [[-2.0, 1.0]], "between -1 and 1"),
        (pme.BernoulliRBM(2, coding="spin"), csr_array([[1.0, 0.0]]), "dense"),
        (pme.BernoulliRBM(2), [[np.nan, 1.0]], "NaN"),
        (pme.GaussianRBM(2), [[np.inf, 1.0]], "infinity"),
        (pme.BernoulliRBM(2), np.zeros((0, 3)), "0 sample"),
        (pme.BernoulliRBM(0), [[0.0]], "n_components"),
        (pme.BernoulliRBM(2, objective="magic"), [[0.0]], "objective"),
        (pme.BernoulliRBM(2, learning_rate=-1.0), [[0.0]], "learning_rate"),
    ],
)
def test_bad_input_is_refused_before_any_work(machine, X, message):
    with pytest.raises(ValueError, match=message):
        machine.fit(X)


@pytest.mark.parametrize("estimator", [pme.BernoulliRBM, pme.GaussianRBM])
@pytest.mark.parametrize("X", [np.ones((1, 3)), np.ones((20, 3)), np.zeros((20, 3))])
def test_one_row_and_constant_columns_are_learned(estimator, X):
    machine = estimator(4, n_iter=3, random_state=0).fit(X)
    assert np.isfinite(machine.score(X))
