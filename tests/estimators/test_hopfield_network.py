import itertools
import pickle

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from pm_energy.compile import energy_values
from pm_energy.distributions import Boltzmann
from pm_energy.domains import Binary, Spin
from pm_energy.energies.hopfield import Hopfield
from pm_energy.energies.memory_rules import RULES
from pm_energy.estimators.base import generator
from pm_energy.estimators.hopfield_network import HopfieldNetwork


def random_patterns(seed, k, n):
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(k, n))


def turned(seed, patterns, share):
    flips = np.random.default_rng(seed).random(patterns.shape) < share
    return np.where(flips, -patterns, patterns)


@parametrize_with_checks(
    [
        HopfieldNetwork(),
        HopfieldNetwork("storkey", order="random", random_state=0),
        HopfieldNetwork("pseudo-inverse", coding="binary"),
        HopfieldNetwork(update="synchronous"),
    ]
)
def test_scikit_learn_s_checks(estimator, check):
    check(estimator)


# Storing


@pytest.mark.parametrize("rule", RULES)
def test_both_codings_of_the_data_give_the_couplings_of_the_rule(rule):
    patterns = random_patterns(1, 4, 12)
    expected = RULES[rule](patterns)
    for X in (patterns, (patterns + 1) / 2, 7 * patterns, patterns.astype(np.float32)):
        np.testing.assert_array_equal(HopfieldNetwork(rule).fit(X).coupling_, expected)
    grey = patterns + 3.0
    np.testing.assert_array_equal(
        HopfieldNetwork(rule, threshold=3.0).fit(grey).coupling_, expected
    )


@pytest.mark.parametrize("coding", ["spin", "binary"])
@pytest.mark.parametrize("rule", RULES)
def test_storing_in_parts_is_storing_at_once(rule, coding):
    patterns = random_patterns(2, 7, 30)
    whole = HopfieldNetwork(rule, coding=coding).fit(patterns)
    parts = HopfieldNetwork(rule, coding=coding)
    for part in np.split(patterns, [1, 4]):
        parts.partial_fit(part)
    np.testing.assert_allclose(parts.coupling_, whole.coupling_, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(parts.patterns_, whole.patterns_)


# Recall


@pytest.mark.parametrize("coding", ["spin", "binary"])
@pytest.mark.parametrize(
    "options", [{}, {"order": "random", "random_state": 5}, {"update": "synchronous"}]
)
def test_recall_is_that_of_the_energy(options, coding):
    patterns = random_patterns(3, 9, 40)
    starts = turned(4, patterns, 0.2)
    memory = HopfieldNetwork(coding=coding, **options).fit(patterns)
    ours = memory.recall(starts)
    energy = Hopfield.from_patterns(patterns)
    theirs = energy.recall(
        starts,
        mode=memory.update,
        order=memory.order,
        random_seed=generator(memory.random_state),
    )
    states = theirs.states if coding == "spin" else (theirs.states + 1) // 2
    np.testing.assert_array_equal(ours.states, states)
    np.testing.assert_array_equal(memory.transform(starts), states)
    for name in ("energies", "sweeps", "converged", "cycles"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    last = energy_values(memory.energy_, ours.states.astype(int))
    np.testing.assert_allclose(ours.energies[-1], last, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("update", "is_right"), [("asynchronous", True), ("synchronous", False)])
@pytest.mark.parametrize("known", [None, np.arange(60) < 20])
def test_energies_never_rise_one_unit_at_a_time(update, is_right, known):
    memory = HopfieldNetwork(update=update).fit(random_patterns(5, 20, 60))
    recall = memory.recall(random_patterns(6, 200, 60), known)
    assert (np.diff(recall.energies, axis=0).max() <= 1e-12) == is_right


def test_codings_of_the_energy_can_be_used_as_distributions():
    patterns = random_patterns(7, 2, 6)
    values = {}
    for coding, domain in (("spin", Spin()), ("binary", Binary())):
        memory = HopfieldNetwork(coding=coding).fit(patterns)
        assert memory.energy_.domain == domain
        with pm.Model():
            s = Boltzmann("s", memory.energy_)
        states = np.array(list(itertools.product(domain.states, repeat=6)))
        values[coding] = pm.logp(s, states).eval()
    spins = np.array(list(itertools.product([-1, 1], repeat=6)))
    for logp in values.values():
        np.testing.assert_allclose(
            logp, (spins @ memory.coupling_ * spins).sum(1) / 2, rtol=0, atol=1e-12
        )


# Completion: known units are held


def deaf_to_the_known(memory, starts, known):
    """The unknown units among themselves."""
    free = ~known
    part = clone(memory).fit(memory.patterns_[:, free])
    states = starts.copy()
    states[:, free] = part.transform(starts[:, free])
    return states


def right(memory, starts, known):
    return memory.recall(starts, known).states


@pytest.mark.parametrize(("complete", "is_right"), [(right, True), (deaf_to_the_known, False)])
def test_completion_ends_where_no_unknown_unit_would_lower_the_energy(complete, is_right):
    patterns = random_patterns(8, 6, 40)
    memory = HopfieldNetwork().fit(patterns)
    known = np.arange(40) < 15
    starts = np.where(known, patterns, -1.0)
    states = complete(memory, starts, known)
    np.testing.assert_array_equal(states[:, known], starts[:, known])
    energies, lowest = energy_values(memory.energy_, states.astype(int)), np.inf
    for unit in np.flatnonzero(~known):
        turned_one = states.astype(int)
        turned_one[:, unit] *= -1
        change = energy_values(memory.energy_, turned_one) - energies
        lowest = min(lowest, change.min())
    assert (lowest >= -1e-12) == is_right


def test_completion_reports_the_energy_of_all_units_and_takes_a_mask_for_each_row():
    rng = np.random.default_rng(9)
    patterns = random_patterns(9, 5, 30)
    memory = HopfieldNetwork().fit(patterns)
    known = rng.random((5, 30)) < np.array([0.0, 0.2, 0.5, 0.9, 1.0])[:, None]
    starts = np.where(known, patterns, random_patterns(10, 5, 30))
    recall = memory.recall(starts, known)
    np.testing.assert_array_equal(recall.states[known], patterns[known])
    for energies, states in ((recall.energies[0], starts), (recall.energies[-1], recall.states)):
        expected = energy_values(memory.energy_, states.astype(int))
        np.testing.assert_allclose(energies, expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(recall.states[0], memory.transform(starts[:1])[0])
    assert known[4].all()
    assert recall.sweeps[4] == 0
    assert recall.converged.all()


def test_half_an_image_brings_back_the_other_half():
    patterns = random_patterns(11, 10, 200)
    half = np.arange(200) < 100
    memory = HopfieldNetwork("pseudo-inverse").fit(patterns)
    recall = memory.recall(np.where(half, patterns, -1.0), known=half)
    np.testing.assert_array_equal(recall.states, patterns)


# What is recalled


def test_predict_says_which_pattern_or_none():
    patterns = random_patterns(12, 3, 50)
    memory = HopfieldNetwork("pseudo-inverse", coding="binary").fit(np.vstack([patterns, patterns]))
    starts = np.vstack([turned(13, patterns[::-1], 0.05), -patterns[:1]])
    np.testing.assert_array_equal(memory.predict(starts), [2, 1, 0, -1])


def test_overlap_and_score_are_means_of_products_of_spins():
    patterns, starts = random_patterns(14, 4, 25), random_patterns(15, 30, 25)
    memory = HopfieldNetwork(coding="binary").fit(patterns)
    overlap = np.array([[np.mean(s * p) for p in patterns] for s in starts])
    np.testing.assert_allclose(memory.overlap(starts), overlap, rtol=0, atol=1e-15)
    states = 2 * memory.transform(starts) - 1
    expected = np.mean(
        [np.mean(s * patterns[k]) for s, k in zip(states, overlap.argmax(1), strict=True)]
    )
    assert memory.score(starts) == pytest.approx(expected, abs=1e-14)
    assert HopfieldNetwork("pseudo-inverse").fit(patterns).score(patterns) == 1.0


@pytest.mark.parametrize(("k", "holds"), [(9, True), (120, False)])
def test_capacity(k, holds):
    """A unit's field times its stored state is (n - 1 + S) / n, S a sum of (k - 1)(n - 1) signs.

    They are independent, so by Hoeffding a unit is unstable with P <= exp(-(n - 1) / 2(k - 1)),
    any of 9 patterns of 400 units with P <= 5e-8. At .3 patterns a unit, 3% of the units are
    unstable, and the states go on to a remnant of overlap (.35 for large n).
    """
    patterns = random_patterns(16, k, 400)
    score = HopfieldNetwork().fit(patterns).score(patterns)
    assert (score == 1.0) == holds
    assert holds or score < 0.7


# scikit-learn's tools


def test_grid_search_finds_the_rule_that_holds():
    patterns = random_patterns(17, 30, 100)  # .3 a unit
    X = np.vstack([patterns, turned(18, patterns, 0.02)])
    split = PredefinedSplit(np.repeat([-1, 0], 30))
    search = GridSearchCV(HopfieldNetwork(), {"rule": sorted(RULES)}, cv=split).fit(X)
    assert search.best_params_ == {"rule": "pseudo-inverse"}
    scores = dict(zip(sorted(RULES), search.cv_results_["mean_test_score"], strict=True))
    assert scores["hebbian"] < scores["storkey"]


def test_data_frames_and_pipelines():
    patterns = random_patterns(19, 3, 20)
    frame = pd.DataFrame(patterns, columns=[f"pixel {i}" for i in range(20)])
    pipeline = make_pipeline(StandardScaler(with_std=False), HopfieldNetwork())
    out = pipeline.set_output(transform="pandas").fit(frame).transform(frame)
    assert list(out.columns) == list(frame.columns)
    np.testing.assert_array_equal(
        HopfieldNetwork("pseudo-inverse")
        .fit(frame)
        .set_output(transform="pandas")
        .transform(frame),
        frame,
    )


def test_pickles_and_files(tmp_path):
    patterns = random_patterns(20, 4, 30)
    memory = HopfieldNetwork("storkey", coding="binary").fit(patterns.astype(np.float32))
    starts = turned(21, patterns, 0.1).astype(np.float32)
    memory.save(tmp_path / "memory.npz")
    for again in (
        pickle.loads(pickle.dumps(memory)),
        HopfieldNetwork.load(tmp_path / "memory.npz"),
    ):
        np.testing.assert_array_equal(again.transform(starts), memory.transform(starts))
        assert again.patterns_.dtype == again.transform(starts).dtype == np.float32
        again.partial_fit(patterns)
    parameters = memory.to_datatree()["parameters"]
    assert parameters["patterns"].dims == ("pattern", "visible")
    np.testing.assert_array_equal(parameters["coupling"], memory.coupling_)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "perceptron"}, "rule"),
        ({"update": "parallel"}, "update"),
        ({"order": "shuffled"}, "order"),
        ({"coding": "bits"}, "coding"),
        ({"threshold": np.nan}, "threshold"),
        ({"max_sweeps": 0}, "max_sweeps"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=f"'{message}' parameter"):
        HopfieldNetwork(**options).fit([[1, -1]])


@pytest.mark.parametrize(
    "known", [[1, 0, 1], [True, False], [[True] * 3] * 3, [[[True] * 3] * 2], "all"]
)
def test_bad_masks(known):
    memory = HopfieldNetwork().fit([[1, -1, 1]])
    with pytest.raises(ValueError, match="known"):
        memory.recall([[1, 1, 1], [1, -1, 1]], known)


def test_bad_data():
    with pytest.raises(ValueError, match="NaN"):
        HopfieldNetwork().fit([[1.0, np.nan]])
    memory = HopfieldNetwork().fit([[1, -1, 1]])
    for method in (memory.transform, memory.predict, memory.overlap, memory.partial_fit):
        with pytest.raises(ValueError, match="features"):
            method([[1, -1]])
