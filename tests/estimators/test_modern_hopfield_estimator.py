import itertools
import pickle

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy.integrate import quad_vec
from scipy.special import softmax
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from pm_energy.compile import energy_values
from pm_energy.distributions import Boltzmann
from pm_energy.energies import modern_hopfield as energies
from pm_energy.estimators.hopfield_network import HopfieldNetwork
from pm_energy.estimators.modern_hopfield import DENSE, ModernHopfield

MEMORIES = ["softmax", "continuous", *DENSE]


def normal_rows(seed, k, d):
    return np.random.default_rng(seed).standard_normal((k, d))


def unit_rows(seed, k, d):
    x = normal_rows(seed, k, d)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def random_spins(seed, k, n):
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(k, n))


@parametrize_with_checks(
    [
        ModernHopfield(),
        ModernHopfield(normalise=True),
        ModernHopfield("continuous", n_basis=1),
        ModernHopfield("polynomial"),
        ModernHopfield("exponential"),
    ]
)
def test_scikit_learn_s_checks(estimator, check):
    check(estimator)


# All memories


@pytest.mark.parametrize("memory", MEMORIES)
def test_energies_are_those_of_the_energy_and_never_rise(memory):
    model = ModernHopfield(memory, beta=0.7, degree=4).fit(normal_rows(1, 30, 12))
    starts = 2 * normal_rows(2, 50, 12)
    found = model.recall(starts)
    starts = np.where(starts > 0, 1, -1) if memory in DENSE else starts
    for reported, states in ((found.energies[0], starts), (found.energies[-1], found.states)):
        states = states.astype(int) if memory in DENSE else states
        expected = energy_values(model.energy_, states)
        np.testing.assert_allclose(reported, expected, rtol=0, atol=1e-12)
    assert np.diff(found.energies, axis=0).max() <= 1e-12
    assert found.converged.all()


@pytest.mark.parametrize("memory", MEMORIES)
def test_the_energy_is_a_distribution(memory):
    model = ModernHopfield(memory).fit(normal_rows(3, 12, 3))
    with pm.Model():
        x = Boltzmann("x", model.energy_)
    value = np.array([1, -1, 1])
    expected = -energy_values(model.energy_, value[None])[0]
    assert pm.logp(x, value).eval() == pytest.approx(expected, abs=1e-12)


# Attention


def test_one_update_is_attention_and_recall_is_the_energy_s():
    X, starts = normal_rows(4, 9, 5), normal_rows(5, 20, 5)
    model = ModernHopfield(beta=1.3, max_updates=1).fit(X)
    weights = softmax(1.3 * starts @ X.T, axis=1)
    np.testing.assert_allclose(model.attention(starts), weights, rtol=0, atol=1e-15)
    np.testing.assert_allclose(model.transform(starts), weights @ X, rtol=0, atol=1e-14)
    many = ModernHopfield(beta=1.3).fit(X).recall(starts)
    theirs = energies.ModernHopfield(X, 1.3).retrieve(starts)
    for name in ("states", "energies", "updates", "converged"):
        np.testing.assert_array_equal(getattr(many, name), getattr(theirs, name))


def test_values_are_read_out_by_attention():
    X, values = unit_rows(6, 30, 20), normal_rows(7, 30, 4)
    model = ModernHopfield(beta=100.0).fit(X)
    recalled = model.transform(X + 0.05 * normal_rows(8, 30, 20))
    np.testing.assert_allclose(model.attention(recalled) @ values, values, atol=1e-6)


@pytest.mark.parametrize(("beta", "patterns_come_back"), [(1.0, False), (100.0, True)])
def test_unit_patterns_need_a_large_beta(beta, patterns_come_back):
    """At beta = 1 all starts go to one state, (1 - C)^-1 mean to first order in the covariance C.

    C has eigenvalues around 1 / 20, so that this is within a fifth of the mean.
    """
    X = unit_rows(9, 500, 20)
    states = ModernHopfield(beta=beta).fit(X).transform(X)
    mean = X.mean(axis=0)
    at_the_mean = np.linalg.norm(states - mean, axis=1) < 0.2 * np.linalg.norm(mean)
    assert at_the_mean.all() != patterns_come_back
    assert (np.linalg.norm(states - X, axis=1) < 0.05).all() == patterns_come_back


def test_normalise_scales_patterns_and_starts():
    X, starts = normal_rows(10, 20, 8), normal_rows(11, 40, 8)
    unit = ModernHopfield(beta=30.0).fit(X / np.linalg.norm(X, axis=1, keepdims=True))
    scaled = ModernHopfield(beta=30.0, normalise=True).fit(1e3 * X)
    np.testing.assert_allclose(scaled.patterns_, unit.patterns_, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(scaled.predict(1e-3 * X), np.arange(20))
    there = unit.transform(starts / np.linalg.norm(starts, axis=1, keepdims=True))
    np.testing.assert_allclose(scaled.transform(starts), there, rtol=0, atol=1e-12)


# Dense memories


def test_degree_two_is_the_hebbian_network():
    patterns, starts = random_spins(12, 6, 40), random_spins(13, 100, 40)
    dense, pairs = ModernHopfield("polynomial", degree=2), HopfieldNetwork()
    ours, theirs = dense.fit(patterns).recall(starts), pairs.fit(patterns).recall(starts)
    np.testing.assert_array_equal(ours.states, theirs.states)
    np.testing.assert_allclose(ours.energies, theirs.energies - 6 / 2, rtol=0, atol=1e-12)


def printed(memory, sigma, patterns):
    """Energies as the papers print them."""
    power = {"polynomial": lambda x: x**5, "exponential": np.exp}[memory]
    return -power(sigma @ patterns.T).sum(axis=1)


@pytest.mark.parametrize("memory", DENSE)
def test_recall_ends_in_minima_of_the_printed_energy(memory):
    patterns = random_spins(14, 20, 9)
    model = ModernHopfield(memory, degree=5).fit(patterns)
    states = np.array(list(itertools.product([-1.0, 1.0], repeat=9)))
    expected = printed(memory, states, patterns)
    values = energy_values(model.energy_, states.astype(int))
    as_printed = {  # the logarithm keeps the order of energies
        "polynomial": 5 * 9**4 * values,
        "exponential": -np.exp(-(values - 9 - np.log(20))),
    }
    np.testing.assert_allclose(as_printed[memory], expected, rtol=1e-10)
    found = model.transform(states)
    assert len(np.unique(found, axis=0)) < 100
    energy = printed(memory, found, patterns)
    for unit in range(9):
        other = found * np.where(np.arange(9) == unit, -1, 1)
        assert (printed(memory, other, patterns) >= energy * (1 + 1e-10)).all()


def one_at_a_time(model, s):
    return model.set_params(max_updates=1).transform(s)


def all_at_once(model, s):
    flipped = [one_at_a_time(model, s)[:, :1]]
    for unit in range(1, s.shape[1]):  # its turn comes first if it is the first
        order = np.roll(np.arange(s.shape[1]), -unit)
        first = clone(model).fit(model.patterns_[:, order])
        flipped.append(one_at_a_time(first, s[:, order])[:, :1])
    return np.hstack(flipped)


@pytest.mark.parametrize(("sweep", "is_right"), [(one_at_a_time, True), (all_at_once, False)])
@pytest.mark.parametrize("memory", DENSE)
def test_a_sweep_never_raises_the_printed_energy(memory, sweep, is_right):
    patterns, s = random_spins(27, 40, 10), random_spins(28, 300, 10)
    after = sweep(ModernHopfield(memory, degree=5).fit(patterns), s)
    before, after = printed(memory, s, patterns), printed(memory, after, patterns)
    assert (after <= before + 1e-10 * np.abs(before)).all() == is_right


@pytest.mark.parametrize(
    ("model", "holds"),
    [
        (ModernHopfield("exponential"), True),
        (ModernHopfield("polynomial", degree=5), True),
        (ModernHopfield("polynomial", degree=2), False),
    ],
)
def test_dense_memories_hold_more_patterns_than_units(model, holds):
    patterns = random_spins(15, 200, 50)
    starts = patterns.copy()
    starts[:, :5] *= -1
    np.testing.assert_array_equal(
        (model.fit(patterns).predict(starts) == np.arange(200)).mean() > 0.97, holds
    )


# Continuous-time memories


def test_a_window_for_each_pattern_is_the_discrete_memory():
    X, starts = normal_rows(16, 25, 6), normal_rows(17, 40, 6)
    discrete = ModernHopfield(beta=2.0).fit(X)
    continuous = ModernHopfield("continuous", basis="rectangular", n_basis=25, beta=2.0).fit(X)
    ours, theirs = continuous.recall(starts), discrete.recall(starts)
    np.testing.assert_allclose(ours.states, theirs.states, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.energies, theirs.energies, rtol=0, atol=1e-12)
    np.testing.assert_allclose(continuous.attention(starts), discrete.attention(starts), atol=1e-13)


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_windows_hold_the_shrunk_means_of_their_patterns(ridge):
    X = normal_rows(18, 24, 3)
    model = ModernHopfield("continuous", basis="rectangular", n_basis=6, ridge=ridge).fit(X)
    expected = X.reshape(6, 4, 3).sum(axis=1) / (4 + ridge)
    np.testing.assert_allclose(model.coefficients_, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_coefficients_solve_the_normal_equations(ridge):
    X = normal_rows(19, 40, 3)
    model = ModernHopfield("continuous", n_basis=8, ridge=ridge).fit(X)
    t, centres = (np.arange(40) + 0.5) / 40, (np.arange(8) + 0.5) / 8
    psi = np.exp(-((t[:, None] - centres) ** 2) * 8**2 / 2)
    gram = psi.T @ psi + ridge * np.eye(8)
    np.testing.assert_allclose(gram @ model.coefficients_, psi.T @ X, rtol=0, atol=1e-10)
    if not ridge:
        again = ModernHopfield("continuous", n_basis=40).fit(X)  # as many: interpolation
        fine = np.exp(-((t[:, None] - t) ** 2) * 40**2 / 2)
        np.testing.assert_allclose(fine @ again.coefficients_, X, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("weighted", "is_right"), [(True, True), (False, False)])
def test_an_update_is_the_mean_of_the_signal_under_the_gibbs_density(weighted, is_right):
    X, q = unit_rows(20, 30, 4), unit_rows(21, 1, 4)
    model = ModernHopfield("continuous", n_basis=10, beta=20.0, max_updates=1).fit(X)
    centres = (np.arange(10) + 0.5) / 10

    def integrand(t):
        x = np.exp(-((t - centres) ** 2) * 10**2 / 2) @ model.coefficients_
        return np.exp(20.0 * x @ q[0]) * np.append(x, 1.0) if weighted else np.append(x, 1.0)

    *total, z = quad_vec(integrand, 0, 1, epsabs=0, epsrel=1e-10)[0]
    error = np.abs(model.transform(q)[0] - np.array(total) / z).max()
    # midpoint rule: h^2 / 24 = 4e-7 times the change of the integrand's slope between the ends
    assert (error < 1e-6) == is_right


# scikit-learn's tools


def test_grid_search_finds_a_beta_that_retrieves():
    X = unit_rows(22, 100, 16)
    noisy = X + 0.05 * normal_rows(23, 100, 16)
    split = PredefinedSplit(np.repeat([-1, 0], 100))
    grid = {"beta": [1.0, 10.0, 100.0]}
    search = GridSearchCV(ModernHopfield(), grid, cv=split).fit(np.vstack([X, noisy]))
    assert search.best_params_ == {"beta": 100.0}
    assert -1e-3 < search.best_score_ <= 0
    nearest = ((noisy[:, None] - X) ** 2).sum(2).argmin(1)
    states = ModernHopfield(beta=10.0).fit(X).transform(noisy)
    expected = -((states - X[nearest]) ** 2).sum(1).mean()
    assert search.cv_results_["mean_test_score"][1] == pytest.approx(expected, rel=1e-12)


def test_data_frames_and_pipelines():
    frame = pd.DataFrame(normal_rows(24, 10, 8), columns=list("abcdefgh"))
    pipeline = make_pipeline(StandardScaler(), ModernHopfield(beta=50.0, normalise=True))
    out = pipeline.set_output(transform="pandas").fit(frame).transform(frame)
    assert list(out.columns) == list("abcdefgh")
    np.testing.assert_array_equal(pipeline.predict(frame), np.arange(10))


@pytest.mark.parametrize("memory", MEMORIES)
def test_pickles_and_files(memory, tmp_path):
    X = normal_rows(25, 12, 5).astype(np.float32)
    model = ModernHopfield(memory, beta=3.0).fit(X)
    model.save(tmp_path / "memory.npz")
    for again in (
        pickle.loads(pickle.dumps(model)),
        ModernHopfield.load(tmp_path / "memory.npz"),
    ):
        np.testing.assert_array_equal(again.transform(X), model.transform(X))
        assert again.patterns_.dtype == again.transform(X).dtype == np.float32
    parameters = model.to_datatree()["parameters"]
    assert parameters["patterns"].dims == ("pattern", "visible")
    assert ("coefficients" in parameters) == (memory == "continuous")


def test_the_memory_does_not_change_with_the_data():
    X = normal_rows(26, 4, 3)
    model = ModernHopfield().fit(X)
    stored = X.copy()
    X[:] = 0.0
    np.testing.assert_array_equal(model.patterns_, stored)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memory", "hebbian"),
        ("beta", 0.0),
        ("degree", 1),
        ("n_basis", 0),
        ("basis", "fourier"),
        ("ridge", -1.0),
        ("normalise", "yes"),
        ("tol", 0.0),
        ("max_updates", 0),
    ],
)
def test_bad_settings(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        ModernHopfield(**{name: value}).fit([[1.0, -1.0]])


def test_bad_data():
    with pytest.raises(ValueError, match="n_basis=10 must be at most n_samples=3"):
        ModernHopfield("continuous").fit(np.eye(3))
    with pytest.raises(ValueError, match="NaN"):
        ModernHopfield().fit([[1.0, np.nan]])
    model = ModernHopfield().fit(np.eye(3))
    for method in (model.transform, model.predict, model.attention, model.score):
        with pytest.raises(ValueError, match="features"):
            method([[1.0, -1.0]])
    assert not hasattr(ModernHopfield("polynomial"), "attention")
