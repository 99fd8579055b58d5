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
from pm_energy.walkers import replicas as replicas_module
from pm_energy.walkers.replicas import Replicas
from pm_energy.walkers.tempering import swap

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


def backwards(rng, betas, log_ratio, replica, parity):
    """The sign reversed."""
    negative = -log_ratio
    accepted = swap(rng, betas, negative, replica, parity)
    log_ratio[...] = -negative
    return accepted


def aliased(rng, betas, log_ratio, replica, parity):
    """Writes one replica over the other: the oldest bug of parallel tempering."""
    before = replica.copy()
    accepted = swap(rng, betas, log_ratio, replica, parity)
    changed = replica != before
    if changed.any():
        replica[changed] = replica[changed][0]
    return accepted


class Stale(TableWalkers):
    """Tells what log_ratio was before the last move."""

    told = None

    @property
    def log_ratio(self):
        return self.table[self.x] if self.told is None else self.told

    def move(self, *args):
        before = self.table[self.x]
        super().move(*args)
        self.told = before


@pytest.mark.parametrize(
    ("rule", "kind", "is_right"),
    [
        (swap, TableWalkers, True),
        (backwards, TableWalkers, False),
        (aliased, TableWalkers, False),
        (swap, Stale, False),
    ],
)
@pytest.mark.parametrize("parity", [0, 1])
def test_an_iteration_leaves_the_product_invariant(rule, kind, is_right, parity, monkeypatch):
    """From exact starts; one false alarm in a million. An even and an odd iteration."""
    monkeypatch.setattr(replicas_module, "swap", rule)
    states, p = joint()
    rng = np.random.default_rng(4)
    walkers = kind(LOG_BASE, LOG_RATIO, 3)
    replicas = Replicas(walkers)
    replicas.begin(rng, BETAS[None])
    numbers = np.empty(STARTS, dtype=int)
    for i, start in enumerate(rng.choice(len(p), size=STARTS, p=p)):
        walkers.put({"x": states[start]})
        replicas.replica[0], replicas.count = np.arange(3), parity
        replicas.run(rng, 1)
        numbers[i] = walkers.x[replicas.replica[0]] @ [16, 4, 1]
    assert (pooled_chisquare(numbers, p) > FALSE_ALARM) == is_right


def test_swaps_alone_are_in_detailed_balance():
    """Exactly: pi T = pi to 1e-12 on all 64 joint states, for even and for odd pairs."""
    states, p = joint()
    for pair in (0, 1):
        after = np.zeros_like(p)
        for state, weight in zip(states, p, strict=True):
            rng, replica = np.random.default_rng(0), np.arange(3)[None].copy()
            accept = swap(rng, BETAS[None], LOG_RATIO[state][None].copy(), replica, pair)[0, pair]
            swapped = state.copy()
            swapped[[pair, pair + 1]] = state[[pair + 1, pair]]
            after[state @ [16, 4, 1]] += weight * (1 - accept)
            after[swapped @ [16, 4, 1]] += weight * accept
        np.testing.assert_allclose(after, p, atol=1e-12)


def test_what_is_recorded_belongs_together():
    walkers = TableWalkers(LOG_BASE, LOG_RATIO, 3)
    rng = np.random.default_rng(0)
    replicas = Replicas(walkers)
    replicas.begin(rng, BETAS[None])
    stretch = replicas.run(rng, 50, keep=1)
    tops = stretch.values["x"][:, 0]
    np.testing.assert_array_equal(LOG_RATIO[tops], stretch.log_ratio[:, 0, -1])
    np.testing.assert_array_equal(np.sort(stretch.replica[:, 0]), np.tile(np.arange(3), (50, 1)))
    assert stretch.iterations == 50
    assert len(replicas.run(rng, 50, keep=5).log_ratio) == 10
    # even pairs swap at even iterations, odd ones at odd
    moved = np.diff(stretch.replica[:, 0], axis=0) != 0
    assert not moved[0::2, 0].any()
    assert not moved[1::2, 2].any()


def test_impossible_states_are_not_carried_up():
    log_ratio = np.array([[-np.inf, -np.inf, 0.0, -1.0]])
    betas, replica = np.array([[0.0, 0.2, 0.5, 1.0]]), np.arange(4)[None].copy()
    accepted = swap(np.random.default_rng(0), betas, log_ratio, replica, 0)
    np.testing.assert_allclose(accepted, [[0.0, 0.0, 1.0]])


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
