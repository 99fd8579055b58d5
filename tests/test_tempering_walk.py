"""Simulated tempering of a table of states, where all that should come out is known."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import logsumexp

from pm_energy.testing import FALSE_ALARM, pooled_chisquare
from pm_energy.walkers import tempering_walk
from pm_energy.walkers.base import Walkers
from pm_energy.walkers.tempering_pilot import (
    average_energy_weights,
    first_levels,
    next_beta,
    possible_acceptance,
)
from pm_energy.walkers.tempering_walk import (
    TemperingWalk,
    WeightLearner,
    level_probabilities,
    level_transitions,
)

LADDER = np.array([0.0, 0.2, 0.5, 1.0])
LOG_BASE = np.log([0.1, 0.3, 0.2, 0.1, 0.1, 0.2])
LOG_RATIO = np.array([3.0, 1.0, -4.0, -3.0, 0.5, 4.0])  # two modes
IMPOSSIBLE = np.where(np.arange(6) < 2, -np.inf, LOG_RATIO)


class RingWalker(Walkers):
    """One walker on a ring of states, moved by Metropolis steps to either side."""

    road, size, exact_base = "ring", 1, True

    def __init__(self, log_ratio=LOG_RATIO):
        self.table, self.frozen = log_ratio, False
        self.path = SimpleNamespace(explain=lambda point: f"state {point['x']}")
        self.set_ladder([0.0, 1.0])

    @property
    def log_ratio(self):
        return self.table[[self.x]]

    def set_ladder(self, betas):
        self.ladder = np.asarray(betas)
        self._rows = np.array([kernel(beta, self.table).cumsum(axis=1) for beta in betas])

    def start(self, rng):
        self.x, self.frozen = int(rng.choice(6, p=np.exp(LOG_BASE))), False

    def move(self, rng, levels, n_sweeps=1):
        for _ in range(n_sweeps):
            row = self._rows[levels[0], self.x]
            self.x = int(np.searchsorted(row, rng.random() * row[-1], side="right"))
        return np.array([np.nan])

    def adapt(self):
        assert not self.frozen

    def freeze(self):
        self.frozen = True

    def take(self, source):
        raise NotImplementedError

    def values(self, which):
        return {"x": np.array([self.x])[which]}

    def put(self, values):
        self.x = int(values["x"][0])

    def state(self):
        return self.x, self.ladder.copy(), self.frozen

    def restore(self, state):
        self.x, ladder, self.frozen = state
        self.set_ladder(ladder)


def tempered(beta, table):
    """Unnormalised log-probabilities at a beta."""
    return LOG_BASE + beta * table if beta else LOG_BASE


def kernel(beta, table):
    """Transition matrix of the moves; draws of the base at beta = 0."""
    if beta == 0:
        return np.tile(np.exp(LOG_BASE), (6, 1))
    log_p, matrix = tempered(beta, table), np.zeros((6, 6))
    with np.errstate(invalid="ignore"):  # between impossible states: never begun there
        for x in range(6):
            for y in ((x - 1) % 6, (x + 1) % 6):
                matrix[x, y] = 0.5 * np.nan_to_num(np.exp(min(0.0, log_p[y] - log_p[x])))
            matrix[x, x] = 1.0 - matrix[x].sum()
    return matrix


def log_z(table=LOG_RATIO, ladder=LADDER):
    return np.array([logsumexp(tempered(beta, table)) for beta in ladder])


def joint(weight, table=LOG_RATIO):
    """Probabilities of states and levels, (6, n_levels)."""
    log_p = np.stack([tempered(beta, table) for beta in LADDER], axis=1) + weight
    return np.exp(log_p - logsumexp(log_p))


def move_matrix(weight, transitions=level_transitions, table=LOG_RATIO):
    """Transition matrix of a whole iteration on (state, level)."""
    n = len(LADDER)
    matrix = np.zeros((6, n, 6, n))
    kernels = [kernel(beta, table) for beta in LADDER]
    for y in range(6):
        p = level_probabilities(LADDER, weight, table[y])
        for k in range(n):
            row = np.array(transitions(p, k))
            row[k] += 1.0 - row.sum()
            matrix[:, k, y] = kernels[k][:, [y]] * row
    return matrix.reshape(6 * n, 6 * n)


def uncorrected(p, level):
    """Propose among the others, and always go."""
    out = p / (1.0 - p[level])
    out[level] = 0.0
    return out


def neighbours(p, level, corrected=True):
    """Metropolis moves to a neighbour; at the ends there is but one to propose."""
    out = np.zeros_like(p)
    last = len(p) - 1
    for j in (level - 1, level + 1):
        if 0 <= j <= last:
            there, back = (1.0 if k in (0, last) else 0.5 for k in (level, j))
            out[j] = there * min(1.0, p[j] / p[level] * (back / there if corrected else 1.0))
    return out


@pytest.mark.parametrize(
    ("transitions", "table", "is_right"),
    [
        (level_transitions, LOG_RATIO, True),
        (level_transitions, IMPOSSIBLE, True),
        (neighbours, LOG_RATIO, True),
        (uncorrected, LOG_RATIO, False),
        (lambda p, level: neighbours(p, level, corrected=False), LOG_RATIO, False),
    ],
)
def test_an_iteration_leaves_the_joint_density_invariant(transitions, table, is_right):
    """Exactly: pi T = pi for states and levels together, whatever the weights."""
    weight = np.array([0.0, 0.7, -1.0, 0.4]) - log_z(table)
    pi = joint(weight, table).ravel()
    error = np.abs(pi @ move_matrix(weight, transitions, table) - pi).max()
    assert (error < 1e-12) == is_right


def test_weights_of_the_other_sign_leave_another_density():
    weight = -log_z()
    pi = joint(weight).ravel()
    assert np.abs(pi @ move_matrix(-weight) - pi).max() > 1e-3


def test_level_moves_are_in_detailed_balance_and_beat_the_heat_bath():
    rng = np.random.default_rng(0)
    for scale in (1.0, 10.0, 300.0):
        p = level_probabilities(np.linspace(0, 1, 7), scale * rng.normal(size=7), -3.0)
        matrix = np.array([level_transitions(p, k) for k in range(7)])
        np.testing.assert_allclose(p[:, None] * matrix, (p[:, None] * matrix).T, rtol=1e-12)
        assert (matrix.sum(axis=1) < 1.0 + 1e-12).all()
        heat_bath = np.tile(p, (7, 1)) * (1.0 - np.eye(7))
        assert (matrix >= heat_bath * (1.0 - 1e-12)).all()  # Peskun's order


def walk_at(walker, rng, pi, weight, learner=None):
    """A walk at a state and level drawn from a joint density."""
    state, level = divmod(int(rng.choice(pi.size, p=pi.ravel())), len(LADDER))
    walk = TemperingWalk(walker, LADDER, weight)
    walker.x, walk.level, walk.learner = state, level, learner
    return walk


def fast_learner():
    learner = WeightLearner(len(LADDER))
    learner.gain = 1.0
    return learner


@pytest.mark.parametrize(
    ("sign", "learner", "is_right"),
    [(1, lambda: None, True), (-1, lambda: None, False), (1, fast_learner, False)],
    ids=["right", "reversed weights", "still learning"],
)
def test_walks_from_exact_starts_stay_exact(sign, learner, is_right):
    rng, weight = np.random.default_rng(1), np.array([0.0, 0.5, -0.5, 0.3]) - log_z()
    pi, found, walker = joint(weight), [], RingWalker()
    walker.set_ladder(LADDER)
    for _ in range(6_000):
        walk = walk_at(walker, rng, pi, sign * weight, learner())
        for _ in range(3):
            level, log_ratio = walk.iterate(rng)
        assert log_ratio == LOG_RATIO[walker.x]
        found.append(walker.x * len(LADDER) + level)
    assert (pooled_chisquare(np.array(found), pi.ravel()) > FALSE_ALARM) == is_right


def cut_short(walk, rng):
    """An excursion that gives up after two iterations."""
    levels = [walk.iterate(rng)[0] for _ in range(2)]
    return levels, None


@pytest.mark.parametrize(
    ("excursion", "is_right"), [(TemperingWalk.excursion, True), (cut_short, False)]
)
def test_the_chain_watched_at_the_target_leaves_it_invariant(excursion, is_right):
    """With weights that are nats off, too. Excursions take 1 / P(top) iterations (Kac)."""
    rng, weight = np.random.default_rng(2), np.array([0.0, 1.0, -1.0, -1.0]) - log_z()
    target = np.exp(tempered(1.0, LOG_RATIO) - log_z()[-1])
    walker, found, lengths = RingWalker(), [], []
    walker.set_ladder(LADDER)
    walk = TemperingWalk(walker, LADDER, weight)
    for state in rng.choice(6, size=4_000, p=target):
        walk.put({"x": np.array(state)})
        lengths.append(len(excursion(walk, rng)[0]))
        found.append(walk.point()["x"])
    assert (pooled_chisquare(np.array(found), target) > FALSE_ALARM) == is_right
    if is_right:
        error = np.std(lengths) / np.sqrt(len(lengths))
        assert abs(np.mean(lengths) - 1.0 / joint(weight)[:, -1].sum()) < 5.0 * error


def test_learned_weights_are_minus_log_z():
    """Within 5 standard errors of the optimal recursion, by the matrix of the joint chain."""
    n, iterations = len(LADDER), 20_000
    right = -(log_z() - log_z()[0])
    matrix, pi = move_matrix(right), joint(right).ravel()
    # error of a mean over the chain: f' (2 Z - I - 1 pi') f, with the fundamental matrix Z; the
    # level is drawn after p is known, so p depends on the state of the same iteration alone
    p = np.array([level_probabilities(LADDER, right, r) for r in LOG_RATIO]).repeat(n, axis=0)
    f = n * (p[:, 1:] - p[:, :1])
    assert np.abs(pi @ f).max() < 1e-12
    fundamental = np.linalg.inv(np.eye(len(pi)) - matrix + pi)
    variance = np.diag((f * pi[:, None]).T @ (2.0 * fundamental - np.eye(len(pi))) @ f)
    rng, walk = np.random.default_rng(3), TemperingWalk(RingWalker(), LADDER, np.zeros(n))
    walk.start(rng, learn=True)
    for _ in range(iterations):
        walk.iterate(rng)
    assert not walk.learner.exploring
    error = (walk.log_weight - right)[1:]
    assert (np.abs(error) < 5.0 * np.sqrt(variance / iterations)).all()
    assert np.sqrt(variance / iterations).max() < 0.1  # so this says something
    frozen = walk.log_weight.copy()
    walk.freeze()
    walk.excursion(rng)
    np.testing.assert_array_equal(walk.log_weight, frozen)


def test_the_energy_recursion_is_exact_where_log_z_is_quadratic():
    """The trapezoid rule integrates a mean that is linear in beta; the base step takes any."""
    ladder = np.array([0.0, 0.1, 0.15, 0.4, 1.0])
    base = np.array([-np.inf, -3.0, 2.0])
    draws = [base, *[np.array([5.0 * beta - 3.0]) for beta in ladder[1:]]]
    first = -np.log((np.exp(-0.3) + np.exp(0.2)) / 3.0)
    integral = 2.5 * ladder[1:] ** 2 - 3.0 * ladder[1:]
    weight = average_energy_weights(ladder, draws)
    np.testing.assert_allclose(weight, [0.0, *(first - (integral - integral[0]))], atol=1e-12)


def test_the_next_level_is_where_densities_overlap_so_far():
    draws = LOG_RATIO[np.random.default_rng(4).choice(6, size=20_000, p=np.exp(LOG_BASE))]
    beta = next_beta(0.0, draws)
    p, q = (np.exp(tempered(b, LOG_RATIO) - log_z(ladder=[b])) for b in (0.0, beta))
    assert abs(np.minimum(p, q).sum() - 0.7) < 0.02  # about 5 standard errors
    assert abs(possible_acceptance(beta, draws) - 0.7) < 1e-3
    assert next_beta(0.3, np.full(50, -7.0)) == 1.0
    impossible = np.append(draws, np.full(20_000, -np.inf))
    assert abs(next_beta(0.0, impossible) - beta) < 1e-9


@pytest.mark.parametrize("table", [LOG_RATIO, IMPOSSIBLE])
def test_a_climb_finds_ladder_and_weights(table):
    """To within a nat or two: learning does the rest."""
    walker, rng = RingWalker(table), np.random.default_rng(5)
    ladder, weight = first_levels(walker, rng, 6)
    assert ladder[0] == 0.0
    assert ladder[-1] == 1.0
    assert (np.diff(ladder) > 0).all()
    assert len(ladder) == 6
    right = -log_z(table, ladder)
    assert np.abs(weight - right + right[0])[[1, -1]].max() < 2.0
    same, weight = first_levels(walker, rng, ladder=LADDER)
    assert same is LADDER
    assert np.abs(weight + log_z(table) - log_z(table)[0]).max() < 2.0


def test_a_target_that_vanishes_everywhere_is_refused():
    with pytest.raises(ValueError, match="draws of the base in a row"):
        first_levels(RingWalker(np.full(6, -np.inf)), np.random.default_rng(0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_log_densities_that_are_no_numbers_stop_the_walk(value):
    walk = TemperingWalk(RingWalker(np.full(6, value)), LADDER, np.zeros(4))
    walk.start(np.random.default_rng(0), learn=False)
    with pytest.raises(ValueError, match=r"target is (nan|inf) at a state .*state \d"):
        walk.iterate(np.random.default_rng(0))


def test_a_walk_goes_on_with_the_same_draws():
    rng = np.random.default_rng(6)
    walk = TemperingWalk(RingWalker(), LADDER, np.zeros(4))
    walk.start(rng, learn=True)
    for _ in range(100):
        walk.iterate(rng)
    state, other = walk.state(), TemperingWalk(RingWalker(), LADDER, np.zeros(4))
    again = np.random.default_rng()
    again.bit_generator.state = rng.bit_generator.state
    expected = [walk.iterate(rng) for _ in range(100)]
    other.restore(state)
    assert [other.iterate(again) for _ in range(100)] == expected
    np.testing.assert_array_equal(other.log_weight, walk.log_weight)
    assert other.learner.gain == walk.learner.gain


def test_a_walker_that_does_not_come_back_is_told_of(monkeypatch):
    monkeypatch.setattr(tempering_walk, "LONG", 10)
    walk = TemperingWalk(RingWalker(), LADDER, np.array([0.0, 0.0, 0.0, -12.0]))
    walk.start(np.random.default_rng(0), learn=False)
    with pytest.warns(UserWarning, match="not come back to beta = 1 for 40 iterations"):
        walk.excursion(np.random.default_rng(0))
