"""The slower roads' kernels, on tables of arbitrary numbers."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from pm_energy.kernels import single_site
from pm_energy.kernels.single_site import balanced_moves, derived_sweeps, evaluated_sweeps
from pm_energy.testing import FALSE_ALARM, check_invariance

RNG = np.random.default_rng(5)
SPINS = np.array([-1, 1], dtype=np.int8)
BITS = np.array([0, 1], dtype=np.int8)
LEVELS = np.arange(3, dtype=np.int8)


def grid(states, n):
    return np.array(list(itertools.product(states, repeat=n)), dtype=np.int8)


def table_density(states, n, spread=2.0):
    """Any density at all: a table of random numbers, a lookup into it, and its states."""
    listed = grid(states, n)
    log_p = RNG.normal(scale=spread, size=len(listed))
    weights = len(states) ** np.arange(n - 1, -1, -1)

    def number(x):
        return np.searchsorted(states, x) @ weights

    return listed, softmax(log_p), number, lambda x: log_p[number(x)]


def multilinear(n=4):
    """A three-spin energy: affine in each spin, not quadratic."""
    coupling = RNG.normal(size=(n, n, n))
    i, j, k = np.indices(coupling.shape)
    coupling[~((i < j) & (j < k))] = 0.0
    field = RNG.normal(size=n)

    def log_density(s):
        return np.einsum("ijk,i,j,k", coupling, s, s, s) + field @ s

    def slope(s):
        parts = [
            np.einsum("ijk,j,k->i", coupling, s, s),
            np.einsum("ijk,i,k->j", coupling, s, s),
            np.einsum("ijk,i,j->k", coupling, s, s),
        ]
        return (sum(parts) + field)[:, None]

    return log_density, slope


def outcomes(monkeypatch, run):
    """All outcomes of a sweep with their probabilities, by making its choices for it."""
    pending = [()]
    while pending:
        script, made, probability = pending.pop(), [], [1.0]

        def choose(rng, logits, script=script, made=made, probability=probability):
            k = script[len(made)] if len(made) < len(script) else 0
            made.append((k, len(logits)))
            probability.append(softmax(logits)[k])
            return k

        monkeypatch.setattr(single_site, "_choose", choose)
        yield run(), np.prod(probability)
        for depth in range(len(script), len(made)):
            for other in range(1, made[depth][1]):
                pending.append((*[k for k, _ in made[:depth]], other))


def transition(monkeypatch, states, number, sweep):
    matrix = np.zeros((len(states), len(states)))
    for row, start in zip(matrix, states, strict=True):

        def run(start=start):
            x = start.copy()
            sweep(x)
            return number(x)

        for to, probability in outcomes(monkeypatch, run):
            row[to] += probability
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-13)
    return matrix


def test_choices_have_their_probabilities():
    logits = np.array([-np.inf, 0.3, -1.0, -np.inf, 2.0, -np.inf])

    class Scripted:
        def random(self):
            return self.u

    rng, edges = Scripted(), np.concatenate([[0.0], np.cumsum(softmax(logits))])
    for k in np.flatnonzero(np.isfinite(logits)):
        for rng.u in (edges[k] + 1e-12, edges[k + 1] - 1e-12):
            assert single_site._choose(rng, logits) == k
    rng.u = 0.0  # never a state of probability zero
    assert single_site._choose(rng, logits) == 1


@pytest.mark.parametrize("is_right", [True, False], ids=["fresh", "stale"])
def test_derived_sweep_keeps_the_target_exactly(monkeypatch, is_right):
    log_density, slope = multilinear()
    states = grid(SPINS, 4)
    weights = RNG.normal(size=(2, 4))  # of other terms, site by site
    log_p = np.array([log_density(s) + weights[(s + 1) // 2, range(4)].sum() for s in states])

    def number(s):
        return (s > 0) @ (8, 4, 2, 1)

    def sweep(x):
        at = slope(x)
        field = slope if is_right else lambda _: at
        derived_sweeps(None, x, SPINS, SPINS[:, None].astype(float), field, weights)

    pi = softmax(log_p)
    moved = pi @ transition(monkeypatch, states, number, sweep)
    assert (np.abs(moved - pi).max() < 1e-12) == is_right


@pytest.mark.parametrize("is_right", [True, False], ids=["right", "without one site"])
def test_derived_sweep_of_categories_keeps_the_target_exactly(monkeypatch, is_right):
    coupling = RNG.normal(size=(3, 3))  # log p = coupling[x_0, x_1]
    eye, states = np.eye(3), grid(LEVELS, 2)

    def slope(x):
        other = coupling[x[0]] if is_right else np.zeros(3)
        return np.stack([coupling[:, x[1]], other])

    def sweep(x):
        derived_sweeps(None, x, LEVELS, eye, slope, None)

    pi = softmax(coupling[states[:, 0], states[:, 1]])
    moved = pi @ transition(monkeypatch, states, lambda x: 3 * x[0] + x[1], sweep)
    assert (np.abs(moved - pi).max() < 1e-12) == is_right


@pytest.mark.parametrize("is_right", [True, False], ids=["right", "off by a constant"])
def test_evaluated_sweep_keeps_any_density_exactly(monkeypatch, is_right):
    states, pi, number, log_density = table_density(LEVELS, 3)

    def sweep(x):
        calls = itertools.count()  # the first call is for the present state

        def density(y):
            return log_density(y) + (0.0 if is_right or next(calls) else 0.5)

        evaluated_sweeps(None, x, LEVELS, density)

    moved = pi @ transition(monkeypatch, states, number, sweep)
    assert (np.abs(moved - pi).max() < 1e-12) == is_right


def test_evaluated_sweep_never_accepts_nan():
    x = np.zeros(3, dtype=np.int8)
    evaluated_sweeps(np.random.default_rng(0), x, BITS, lambda x: np.nan if x.any() else 0.0, 20)
    assert not x.any()


class OneMove:
    """A generator that gives the two numbers of one balanced move; the coin asks for the move."""

    def __init__(self, which, accept):
        self.numbers = iter((0.9, which, accept))

    def random(self):
        return next(self.numbers)


def length_of(inside, where):
    """Length of the interval of [0, 1) around ``where`` on which ``inside`` is true."""

    def edge(true, false):
        for _ in range(60):
            middle = 0.5 * (true + false)
            true, false = (middle, false) if inside(middle) else (true, middle)
        return false

    low = 0.0 if inside(0.0) else edge(where, 0.0)
    return (1.0 if inside(1.0 - 2**-53) else edge(where, 1.0)) - low


def balanced_transition(states, number, value_and_slope, moves):
    """Matrix of one move, from nothing but the kernel's answers to uniform numbers."""
    matrix = np.zeros((len(states), len(states)))

    def flipped(start, which, accept):
        x = start.copy()
        moves(OneMove(which, accept), x, BITS, value_and_slope, 1)
        return np.flatnonzero(x != start)

    for row, start in zip(matrix, states, strict=True):
        for site in range(start.size):

            def proposes(u, site=site, start=start):
                return flipped(start, u, 1e-300).tolist() == [site]

            grid_points = (np.arange(20_000) + 0.5) / 20_000
            low, high = 0, len(grid_points)  # proposals are in the order of the sites
            while low < high:
                middle = (low + high) // 2
                [found] = flipped(start, grid_points[middle], 1e-300)
                low, high = (middle + 1, high) if found < site else (low, middle)
            where = grid_points[low]
            chosen = length_of(proposes, where)

            def accepts(u, where=where, start=start):
                return u == 0.0 or flipped(start, where, u).size == 1

            accepted = length_of(accepts, 0.0)
            to = start.copy()
            to[site] = 1 - to[site]
            row[number(to)] += chosen * accepted
        row[number(start)] += 1.0 - row.sum()
    return matrix


def without_hastings(rng, x, states, value_and_slope, n_moves):
    """Metropolis that forgets that proposals back and forth differ."""
    rng.random()
    value, slope = value_and_slope(x)
    log_choice = single_site.proposal_log_probabilities(slope, x, 1.0)
    i = single_site._choose(rng, log_choice)
    x[i] = 1 - x[i]
    if np.log(rng.random()) >= value_and_slope(x)[0] - value:
        x[i] = 1 - x[i]


@pytest.mark.parametrize(
    ("moves", "is_right"),
    [(balanced_moves, True), (without_hastings, False)],
    ids=["right", "broken"],
)
def test_balanced_moves_keep_any_density_exactly(moves, is_right):
    """Whatever the gradient: here it is noise, a different vector at each state."""
    states, pi, number, log_density = table_density(BITS, 4, spread=1.0)
    slopes = RNG.normal(size=(len(states), 4))
    matrix = balanced_transition(
        states, number, lambda x: (log_density(x), slopes[number(x)]), moves
    )
    assert (np.abs(pi @ matrix - pi).max() < 1e-12) == is_right
    if is_right:  # detailed balance, of a chain that moves
        flow = pi[:, None] * matrix
        np.testing.assert_allclose(flow, flow.T, rtol=0, atol=1e-13)
        assert np.diag(matrix).max() < 1.0


def test_balanced_moves_need_no_finite_gradient():
    states, pi, number, log_density = table_density(BITS, 3)
    wild = np.array([np.nan, np.inf, -np.inf])

    def move(rng, x):
        balanced_moves(rng, x, BITS, lambda x: (log_density(x), wild), 3)
        return x

    check_invariance(move, states, pi, number)


@pytest.mark.parametrize("n", [4, 5])
def test_balanced_moves_of_a_flat_density_do_not_keep_the_parity(n):
    """Every flip is accepted; only the coin decides between even and odd numbers of them."""
    rng, odd, runs = np.random.default_rng(1), 0, 2000
    for _ in range(runs):
        x = np.zeros(n, dtype=np.int8)
        balanced_moves(rng, x, BITS, lambda x: (0.0, np.zeros(x.size)), n)
        odd += x.sum() % 2
    # Hoeffding: P(|odd - runs / 2| > runs t) <= 2 exp(-2 runs t^2)
    assert abs(odd / runs - 0.5) < np.sqrt(np.log(2 / FALSE_ALARM) / (2 * runs))


@pytest.mark.parametrize("is_right", [True, False])
def test_sweeps_leave_their_targets_invariant(is_right):
    states, pi, number, log_density = table_density(LEVELS, 3)
    wrong = RNG.normal(size=len(states))

    def density(x):
        return log_density(x) if is_right else log_density(x) + wrong[number(x)]

    def sweep(rng, x):
        evaluated_sweeps(rng, x, LEVELS, density)
        return x

    if is_right:
        check_invariance(sweep, states, pi, number)
    else:
        with pytest.raises(AssertionError, match="invariant"):
            check_invariance(sweep, states, pi, number, starts=5000)


def test_counts_are_of_changes():
    rng, x = np.random.default_rng(3), np.zeros(50, dtype=np.int8)
    before, total = x.copy(), 0
    for _ in range(5):
        changed = evaluated_sweeps(rng, x, BITS, lambda x: 0.0)
        assert changed == np.count_nonzero(x != before)
        before, total = x.copy(), total + changed
    assert 0 < total < 250


def test_proposals_sum_to_one_and_none_is_impossible():
    p = single_site.proposal_log_probabilities(np.array([1e9, -1e9, 0.0]), np.zeros(3), 1.0)
    np.testing.assert_allclose(logsumexp(p), 0.0, atol=1e-12)
    assert p.min() > -45.0
