"""Boltzmann machines as estimators: what is learned, likelihoods, samples, conventions."""

import pickle
import warnings
from itertools import product

import networkx as nx
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import scipy.sparse as sp
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

import pm_energy as pme
from pm_energy.estimators import BoltzmannMachine
from pm_energy.testing.invariance import FALSE_ALARM, pooled_chisquare

CODINGS = ("binary", "spin")
RING = [[0, 1], [1, 2], [2, 3], [3, 0]]
PARITY = np.array([bits for bits in product((0.0, 1.0), repeat=3) if sum(bits) % 2 == 0])
FAST = {"batch_size": 500, "n_iter": 15, "learning_rate": 0.1, "n_levels": 3, "random_state": 0}


def ring_data(n, coding="spin", seed=0):
    """Exact draws from a ring with a field."""
    ring = pme.Ising(np.array([0.6, -0.4, 0.5, 0.3]), 0.2, graph=RING)
    s = pme.exact.draw(ring, np.random.default_rng(seed), n).astype(float)
    return s if coding == "spin" else (s + 1) / 2


@pytest.mark.parametrize("coding", CODINGS)
def test_the_best_likelihood_has_the_moments_of_the_data(coding):
    """The theorem of exponential families, at the end of L-BFGS."""
    X = ring_data(500, coding)
    machine = BoltzmannMachine(graph=RING, coding=coding, tol=1e-9).fit(X)
    moments = pme.exact.moments(machine.energy_)
    np.testing.assert_allclose(moments.mean, X.mean(axis=0), atol=1e-8)
    a, b = np.transpose(RING)
    np.testing.assert_allclose(moments.second[a, b], (X[:, a] * X[:, b]).mean(axis=0), atol=1e-8)
    assert machine.objective_ == "exact"


@pytest.mark.parametrize("objective", ["pseudolikelihood", "exact", "pcd", "cd"])
def test_learning_does_not_depend_on_the_coding(objective):
    settings = {"graph": RING, "objective": objective, **FAST, "n_iter": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        spins = BoltzmannMachine(coding="spin", **settings).fit(ring_data(500))
        bits = BoltzmannMachine(**settings).fit(ring_data(500, "binary"))
    np.testing.assert_allclose(bits.couplings_, 4 * spins.couplings_, atol=1e-12)
    X = ring_data(10)
    np.testing.assert_allclose(bits.score_samples((X + 1) / 2), spins.score_samples(X), atol=1e-12)


@pytest.mark.parametrize(
    "objective", ["pseudolikelihood", "ratio-matching", "probability-flow", "pcd", "tempered"]
)
def test_objectives_agree_with_the_likelihood_on_much_data(objective):
    X = ring_data(20_000)
    best = BoltzmannMachine(graph=RING, coding="spin").fit(X)
    settings = FAST if objective in ("pcd", "tempered") else {}
    machine = BoltzmannMachine(graph=RING, coding="spin", objective=objective, **settings).fit(X)
    # a consistent estimate is off by its standard errors: near 1/sqrt(20,000) for each coupling
    np.testing.assert_allclose(machine.couplings_, best.couplings_, atol=5 / np.sqrt(20_000))
    assert best.score(X) - machine.score(X) < 1e-3


@pytest.mark.parametrize("n_hidden", [0, 1])
@pytest.mark.parametrize("coding", CODINGS)
def test_parity_needs_a_hidden_unit(coding, n_hidden):
    """All pairs of its units are independent, so that couplings alone learn nothing."""
    X = PARITY if coding == "binary" else 2 * PARITY - 1
    machine = BoltzmannMachine(n_hidden, coding=coding, l2=1e-3, random_state=0).fit(X)
    if n_hidden:
        assert machine.score(X) > -1.42  # at best -log 4 = -1.386
    else:
        assert machine.score(X) == pytest.approx(-np.log(8), abs=1e-9)


@pytest.mark.parametrize("positive", ["exact", "mean-field", "gibbs"])
def test_sampled_learning_finds_parity_with_any_positive_phase(positive):
    machine = BoltzmannMachine(
        2, objective="pcd", positive=positive, learning_rate=0.4, batch_size=4, n_iter=600, l2=1e-3,
        random_state=0,
    ).fit(PARITY)  # fmt: skip
    assert machine.score(PARITY) > -1.6
    states = np.array(list(product((0.0, 1.0), repeat=3)))
    total = np.exp(machine.score_samples(states)).sum()
    assert total <= 1 + 1e-9  # mean field bounds the likelihood from below
    assert total == pytest.approx(1, abs=0.05 if positive == "mean-field" else 1e-9)


@pytest.mark.parametrize("coding", CODINGS)
def test_the_energy_is_the_log_likelihood_but_for_a_constant(coding):
    X = ring_data(200, coding)
    machine = BoltzmannMachine(coding=coding).fit(X)
    log_z = pme.exact.log_partition(machine.energy_)
    assert machine.log_partition_.value == pytest.approx(log_z, abs=1e-12)
    np.testing.assert_allclose(
        machine.score_samples(X), -pme.energy_values(machine.energy_, X) - log_z, atol=1e-12
    )
    with pm.Model():
        v = pme.Boltzmann("v", machine.energy_)
    two = machine.sample(2, random_state=0).astype(int)
    one, other = (pm.logp(v, row).eval() for row in two)  # log Z is left out: nothing depends on it
    np.testing.assert_allclose(one - other, -np.diff(machine.score_samples(two))[0], atol=1e-9)
    hidden = BoltzmannMachine(1, coding=coding, random_state=0, l2=0.1).fit(X)
    low = 0 if coding == "binary" else -1
    both = [
        -pme.energy_values(hidden.energy_, np.column_stack([X, np.full(len(X), h)]))
        for h in (low, 1)
    ]
    np.testing.assert_allclose(np.logaddexp(*both), -hidden.free_energy(X), atol=1e-12)
    on = expit(both[1] - both[0])
    on = on if coding == "binary" else 2 * on - 1
    np.testing.assert_allclose(hidden.transform(X)[:, 0], on, atol=1e-12)


def test_log_z_by_annealing_is_within_its_error():
    machine = BoltzmannMachine(coding="spin").fit(ring_data(500))
    for found in (machine.log_partition(n_chains=500, n_betas=50, random_state=k) for k in (0, 1)):
        assert abs(found.errors_from(machine.log_partition_)) < 5
        assert 0 < found.mcse < 0.1


def test_pseudo_log_likelihood_is_a_sum_of_conditionals():
    machine = BoltzmannMachine(coding="spin").fit(ring_data(500))
    states, p = pme.exact.distribution(machine.energy_)
    table = p.reshape((2,) * 4)
    wanted = sum(np.log(table / table.sum(axis=i, keepdims=True)) for i in range(4))
    np.testing.assert_allclose(machine.pseudo_log_likelihood(states), wanted.ravel(), atol=1e-12)


def test_pseudo_log_likelihood_sums_out_hidden_units():
    machine = BoltzmannMachine(1, coding="spin", l2=0.1, random_state=0).fit(ring_data(500))
    states, _ = pme.exact.distribution(pme.Ising(0.0, graph=RING))
    table = np.exp(machine.score_samples(states)).reshape((2,) * 4)
    assert table.sum() == pytest.approx(1, abs=1e-12)
    wanted = sum(np.log(table / table.sum(axis=i, keepdims=True)) for i in range(4))
    np.testing.assert_allclose(machine.pseudo_log_likelihood(states), wanted.ravel(), atol=1e-12)


def test_sparse_rows_are_rows():
    X = ring_data(200, "binary")
    dense, sparse = (BoltzmannMachine(graph=RING).fit(x) for x in (X, sp.csr_array(X)))
    np.testing.assert_array_equal(dense.couplings_, sparse.couplings_)
    np.testing.assert_array_equal(dense.score_samples(X), dense.score_samples(sp.csr_matrix(X)))
    with pytest.raises(ValueError, match="pass a dense array"):
        BoltzmannMachine(coding="spin").fit(sp.csr_array(X))


def test_samples_follow_the_distribution():
    machine = BoltzmannMachine(coding="spin").fit(ring_data(500))
    _, p = pme.exact.distribution(machine.energy_)

    def p_value(X, p=p):
        return pooled_chisquare(((X + 1) / 2 @ [8, 4, 2, 1]).astype(int), p)

    assert p_value(machine.sample(20_000, random_state=0)) > FALSE_ALARM
    flat = np.full(16, 1 / 16)
    assert p_value(machine.sample(20_000, random_state=0), flat) < FALSE_ALARM  # it has power
    exact = pme.exact.draw(machine.energy_, np.random.default_rng(1), 20_000)
    assert p_value(machine.gibbs(exact, 3, random_state=2)) > FALSE_ALARM
    known = [True, False, False, True]
    held = machine.gibbs(exact, 30, known=known, random_state=3)
    np.testing.assert_array_equal(held[:, known], exact[:, known])
    assert p_value(held) > FALSE_ALARM


def test_large_machines_are_sampled_by_annealing():
    edges = pme.Lattice((5, 5)).edges
    X = np.where(np.random.default_rng(0).random((50, 25)) < 0.5, 1.0, -1.0)
    machine = BoltzmannMachine(graph=edges, coding="spin", l2=0.1).fit(X)
    machine.couplings_[:], machine.bias_[:] = 0.3, 0.1
    exact = pme.draws.draw_states(machine.energy_, np.random.default_rng(1), 2000)
    drawn = machine.sample(2000, random_state=0)
    for statistic in (
        lambda s: s.mean(axis=1),
        lambda s: (s[:, edges[:, 0]] * s[:, edges[:, 1]]).mean(axis=1),
    ):
        first, second = statistic(drawn), statistic(exact)
        error = np.hypot(first.std(), second.std()) / np.sqrt(2000)
        assert abs(first.mean() - second.mean()) < 5 * error


def test_unknown_units_are_completed_with_their_conditional_means():
    machine = BoltzmannMachine(coding="spin").fit(ring_data(500))
    states, p = pme.exact.distribution(machine.energy_)
    X = np.array([[1.0, 0.3, -0.2, -1], [-1, 1, 1, 0.9]])
    known = np.array([[True, False, False, True], [True, True, True, False]])
    filled = machine.complete(X, known, n_sweeps=1500, random_state=0)
    for row, mask, found in zip(X, known, filled, strict=True):
        fits = (states[:, mask] == row[mask]).all(axis=1)
        wanted = p[fits] @ states[fits] / p[fits].sum()
        np.testing.assert_array_equal(found[mask], row[mask])
        np.testing.assert_allclose(found[~mask], wanted[~mask], atol=5 / np.sqrt(1200))
    with pytest.raises(ValueError, match="known must be boolean"):
        machine.complete(X, [1, 0, 0, 1])


@pytest.mark.parametrize(
    "graph",
    [
        RING,
        np.array(RING),
        pme.Graph(4, RING),
        nx.cycle_graph(4),
        sp.csr_array(nx.to_scipy_sparse_array(nx.cycle_graph(4))),
    ],
    ids=["list", "array", "Graph", "networkx", "sparse"],
)
def test_graphs_of_all_kinds(graph):
    machine = BoltzmannMachine(graph=graph, coding="spin").fit(ring_data(500))
    wanted = BoltzmannMachine(graph=RING, coding="spin").fit(ring_data(500))
    np.testing.assert_allclose(machine.coupling_matrix_, wanted.coupling_matrix_, atol=1e-5)
    assert clone(machine).graph is not None


def test_units_without_edges_are_independent():
    X = ring_data(500)
    machine = BoltzmannMachine(graph=[], coding="spin").fit(X)
    np.testing.assert_allclose(machine.bias_, np.arctanh(X.mean(axis=0)), atol=1e-5)
    assert machine.coupling_matrix_.shape == (4, 4)
    assert not machine.coupling_matrix_.any()


def test_an_l1_penalty_leaves_couplings_at_zero_and_fulfils_its_conditions():
    X = ring_data(2000)
    machine = BoltzmannMachine(coding="spin", l1=0.1, tol=1e-9).fit(X)
    moments = pme.exact.moments(machine.energy_)
    a, b = machine.edges_.T
    slope = moments.second[a, b] - (X[:, a] * X[:, b]).mean(axis=0)
    zero = machine.couplings_ == 0
    assert 0 < zero.sum() < 6
    np.testing.assert_allclose(slope[~zero], -0.1 * np.sign(machine.couplings_[~zero]), atol=1e-7)
    assert np.abs(slope[zero]).max() <= 0.1


def test_weights_count_rows():
    X, weights = ring_data(50), np.random.default_rng(0).integers(3, size=50)
    for settings in ({}, {"objective": "pseudolikelihood"}):
        machine = BoltzmannMachine(coding="spin", l2=0.01, tol=1e-9, **settings)
        weighted = clone(machine).fit(X, sample_weight=weights)
        repeated = clone(machine).fit(np.repeat(X, weights, axis=0))
        np.testing.assert_allclose(weighted.couplings_, repeated.couplings_, atol=1e-6)


def test_probabilities_count_as_states_of_those_frequencies():
    """Only where the rest of the row is certain: a product of means is not a mean of products."""
    half = BoltzmannMachine(coding="spin", l2=0.01, tol=1e-9).fit([[1, 0.5, -1], [-1, 0, 1.0]])
    whole = BoltzmannMachine(coding="spin", l2=0.01, tol=1e-9).fit(
        [[1, 1, -1]] * 3 + [[1, -1, -1]] + [[-1, 1, 1]] * 2 + [[-1, -1, 1]] * 2
    )
    np.testing.assert_allclose(half.couplings_, whole.couplings_, atol=1e-6)


def test_learning_goes_on():
    X = ring_data(2000)
    settings = {"graph": RING, "coding": "spin", "objective": "pcd", **FAST}
    machine = BoltzmannMachine(**settings, warm_start=True).set_params(n_iter=2).fit(X)
    chains = machine._state["objective"]["chains"]["units"].copy()
    first = machine.score(X)
    machine.set_params(n_iter=30).fit(X)
    assert machine.score(X) > first
    assert machine._state["objective"]["chains"]["units"].shape == chains.shape
    online = BoltzmannMachine(**settings)
    for _ in range(40):
        online.partial_fit(X)
    assert machine.score(X) - online.score(X) < 0.01
    deterministic = BoltzmannMachine(graph=RING, coding="spin", **{**FAST, "learning_rate": 0.3})
    for _ in range(20):
        deterministic.partial_fit(X)
    assert machine.score(X) - deterministic.score(X) < 0.01
    with pytest.raises(ValueError, match="graph and n_hidden must stay"):
        machine.set_params(graph=None).fit(X)


def test_a_fit_is_reproducible_saved_and_shown(tmp_path):
    X = ring_data(200)
    settings = {"n_hidden": 1, "coding": "spin", "objective": "pcd", **FAST}
    machine = BoltzmannMachine(**settings).fit(X)
    again = BoltzmannMachine(**settings).fit(X)
    np.testing.assert_array_equal(machine.couplings_, again.couplings_)
    machine.save(tmp_path / "machine.npz")
    for other in (
        BoltzmannMachine.load(tmp_path / "machine.npz"),
        pickle.loads(pickle.dumps(machine)),
    ):
        np.testing.assert_array_equal(other.transform(X), machine.transform(X))
        other.partial_fit(X)
    tree = machine.to_datatree()
    assert tree["parameters"]["coupling_matrix"].dims == ("unit", "unit_other")
    assert tree["training"]["log_likelihood"].size == machine.n_iter_ == FAST["n_iter"]


def test_frames_and_names_and_float32():
    X = pd.DataFrame(ring_data(200), columns=list("abcd")).astype(np.float32)
    machine = BoltzmannMachine(2, coding="spin", random_state=0, l2=0.1).fit(X)
    assert machine.couplings_.dtype == machine.bias_.dtype == np.float32
    assert machine.transform(X).dtype == machine.sample(2).dtype == np.float32
    frame = machine.set_output(transform="pandas").transform(X)
    assert list(frame.columns) == ["boltzmannmachine0", "boltzmannmachine1"]
    assert not hasattr(BoltzmannMachine(), "transform")


def test_a_penalty_is_chosen_by_cross_validation():
    search = GridSearchCV(BoltzmannMachine(coding="spin"), {"l2": [0.01, 10.0]}, cv=3)
    assert search.fit(ring_data(300)).best_params_ == {"l2": 0.01}


@pytest.mark.parametrize(
    ("settings", "X", "match"),
    [
        ({}, [[0, 2.0]], "X must lie between 0 and 1"),
        ({}, [[0, -0.1]], "X must lie between 0 and 1"),
        ({"coding": "spin"}, [[0, 1.1]], "X must lie between -1 and 1"),
        ({}, [[0, np.nan]], "NaN"),
        ({"graph": [[0, 2]]}, [[0, 1], [1, 0]], "graph has 3 units"),
        ({"graph": [[0, 0]]}, [[0, 1], [1, 0]], "to itself"),
        ({"graph": [[0, 1.5]]}, [[0, 1], [1, 0]], "integers"),
        ({"n_hidden": 1, "objective": "ratio-matching"}, [[0, 1], [1, 0]], "visible"),
        ({"l1": 1.0, "objective": "pcd"}, [[0, 1], [1, 0]], "l1 is for objectives"),
        ({"n_hidden": -1}, [[0, 1], [1, 0]], "n_hidden"),
        ({"objective": "best"}, [[0, 1], [1, 0]], "objective"),
        ({"n_hidden": 13, "objective": "pcd"}, [[0, 1], [1, 0]], "positive='mean-field'"),
        ({"objective": "exact"}, np.eye(21), "too many states"),
    ],
)
def test_bad_input_is_refused(settings, X, match):
    with pytest.raises(ValueError, match=match):
        BoltzmannMachine(**settings).fit(X)


def test_constant_columns_and_single_rows_have_finite_parameters():
    for X in (np.array([[1.0, 0, 1]]), np.column_stack([np.ones(20), np.arange(20) % 2])):
        machine = BoltzmannMachine().fit(X)
        assert np.isfinite(machine.couplings_).all()
        assert np.isfinite(machine.score(X))
        drawn = machine.sample(100, random_state=0)
        assert drawn[:, 0].mean() > 0.99


@pytest.mark.parametrize("settings", [{}, {"n_hidden": 2, "positive": "gibbs", "l2": 1.0}])
@pytest.mark.parametrize("objective", ["pcd", "cd"])
def test_divergence_is_noticed_and_the_last_good_parameters_are_kept(objective, settings):
    diverging = {"learning_rate": 1e7, "n_iter": 5, "batch_size": 1, "random_state": 0}
    machine = BoltzmannMachine(objective=objective, **diverging, **settings)
    with pytest.warns(ConvergenceWarning, match="learning diverged"):
        machine.fit(ring_data(100, "binary"))
    assert np.isfinite(machine.couplings_).all()
    assert np.isfinite(machine.score(ring_data(10, "binary")))
    with pytest.warns(ConvergenceWarning, match="not converged"):
        BoltzmannMachine(n_iter=1).fit(ring_data(100, "binary"))
