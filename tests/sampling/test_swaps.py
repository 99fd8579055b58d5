"""A swap, and a whole iteration of parallel tempering, leave the product of targets invariant."""

from itertools import product

import numpy as np
import pytest
from known_walkers import TableWalkers

from pm_energy.paths.ladder import (
    cumulative_barrier,
    equal_rejection_ladder,
    first_ladder,
    levels_for,
)
from pm_energy.testing import FALSE_ALARM, pooled_chisquare
from pm_energy.walkers.swaps import Replicas, Segment, swap_log_ratio

LOG_BASE = np.log([0.4, 0.3, 0.2, 0.1])
LOG_RATIO = np.array([0.0, -2.0, 1.5, 3.0])
BETAS = np.array([0.0, 0.4, 1.0])
STARTS = 20_000


def joint():
    """All states of three replicas, and their probabilities."""
    walkers = TableWalkers(LOG_BASE, LOG_RATIO, 1)
    one = [walkers.probabilities(beta) for beta in BETAS]
    states = np.array(list(product(range(4), repeat=3)))
    return states, np.prod([p[states[:, i]] for i, p in enumerate(one)], axis=0)


@pytest.mark.parametrize(("sign", "is_right"), [(1, True), (-1, False)])
@pytest.mark.parametrize("pair", [0, 1])
def test_the_swap_is_in_detailed_balance(pair, sign, is_right):
    """Exactly: pi T = pi to 1e-12 on all 64 joint states; with the sign reversed it is not."""
    states, p = joint()
    after = np.zeros_like(p)
    for state, weight in zip(states, p, strict=True):
        accept = np.exp(min(0.0, sign * swap_log_ratio(BETAS, LOG_RATIO[state])[pair]))
        swapped = state.copy()
        swapped[[pair, pair + 1]] = state[[pair + 1, pair]]
        after[state @ [16, 4, 1]] += weight * (1 - accept)
        after[swapped @ [16, 4, 1]] += weight * accept
    assert (np.abs(after - p).max() < 1e-12) == is_right


class Aliased(Replicas):
    """Writes one replica over the other: the oldest bug of parallel tempering."""

    def _iterate(self, rng, segment):
        before = self.order.copy()
        super()._iterate(rng, segment)
        changed = self.order != before
        if changed.any():
            self.order[changed] = self.order[np.flatnonzero(changed)[0]]


class Stale(Replicas):
    """Decides swaps by what log_ratio was before the moves."""

    def _iterate(self, rng, segment):
        walkers, move = self.walkers, self.walkers.move
        old = walkers.x.copy()

        def moved(*args):
            move(*args)
            self.new, walkers.x = walkers.x.copy(), old

        walkers.move = moved
        super()._iterate(rng, segment)
        walkers.move, walkers.x = move, self.new


@pytest.mark.parametrize(("kind", "is_right"), [(Replicas, True), (Aliased, False), (Stale, False)])
@pytest.mark.parametrize("parity", [0, 1])
def test_an_iteration_leaves_the_product_invariant(kind, is_right, parity):
    """From exact starts; one false alarm in a million. An even and an odd iteration."""
    states, p = joint()
    rng = np.random.default_rng(4)
    walkers = TableWalkers(LOG_BASE, LOG_RATIO, 3)
    walkers.set_ladder(BETAS)
    replicas = kind(walkers)
    numbers = np.empty(STARTS, dtype=int)
    for i, start in enumerate(rng.choice(len(p), size=STARTS, p=p)):
        walkers.put({"x": states[start]})
        replicas.order, replicas.count = np.arange(3), parity
        replicas._iterate(rng, Segment())
        numbers[i] = walkers.x[replicas.order] @ [16, 4, 1]
    assert (pooled_chisquare(numbers, p) > FALSE_ALARM) == is_right


def test_what_is_recorded_belongs_together():
    walkers = TableWalkers(LOG_BASE, LOG_RATIO, 3)
    rng = np.random.default_rng(0)
    walkers.start(rng)
    walkers.set_ladder(BETAS)
    segment = Segment()
    Replicas(walkers).run(rng, 50, segment, record=True)
    tops = np.array([value["x"] for value in segment.values])
    np.testing.assert_array_equal(LOG_RATIO[tops], np.array(segment.log_ratio)[:, -1])
    assert {tuple(sorted(order)) for order in segment.replica} == {(0, 1, 2)}
    assert segment.iterations == 50
    # even pairs swap at even iterations, odd ones at odd
    moved = np.diff(np.array(segment.replica), axis=0) != 0
    assert not moved[0::2, 0].any()
    assert not moved[1::2, 2].any()


def test_impossible_states_are_not_carried_up():
    log_ratio = np.array([-np.inf, -np.inf, 0.0, -1.0])
    log_r = swap_log_ratio(np.array([0.0, 0.2, 0.5, 1.0]), log_ratio)
    assert np.isneginf(log_r[0])
    np.testing.assert_allclose(log_r[1:], [-np.inf, 0.5])


def test_ladders():
    """A ladder of equal steps of its barrier is left as it is; levels follow the barrier."""
    betas = np.array([0.0, 0.3, 0.5, 1.0])
    np.testing.assert_allclose(equal_rejection_ladder(betas, np.full(3, 0.2)), betas, atol=1e-12)
    finer = equal_rejection_ladder(betas, np.array([0.6, 0.1, 0.1]))
    assert finer[1] < 0.3
    assert (np.diff(equal_rejection_ladder(betas, np.zeros(3), 9)) > 0).all()
    np.testing.assert_allclose(cumulative_barrier([0.1, 0.2]), [0, 0.1, 0.3])
    assert levels_for(0.0) == 4
    assert levels_for(1e6) == 200
    np.testing.assert_array_equal(first_ladder(2), [0, 1])
