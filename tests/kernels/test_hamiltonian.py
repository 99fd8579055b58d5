"""Hamiltonian trajectories and coarse moves among them: reversible, and exact with their tests."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import kstest, norm

from pm_energy.kernels.hamiltonian import (
    NEVER,
    Trajectories,
    begin,
    hamiltonian_moves,
    judge,
    land,
    leap,
    make_buffers,
    take_off,
)
from pm_energy.kernels.langevin import LONGEST
from pm_energy.kernels.langevin_mixture import mixture_density, mixture_table
from pm_energy.kernels.random import LANES, seed_words

FALSE_ALARM = 1e-6
N = 20_000
WEIGHTS, MEANS, WIDTHS = np.array([[0.3, 0.7], [-1.0, 1.0], [0.2, 1.0]])
SWITCH = (-1.0, 0.3)  # the wide one lies below a log-density of -.36, the narrow one above
WORDS = np.zeros(N, np.uint64)  # with which everything possible is accepted


def density(n):
    """A narrow and a wide Gaussian on a line: scores and log-densities, in numpy."""

    def evaluate(x, beta):
        gap = x - MEANS[:, None]
        each = WEIGHTS[:, None] * np.exp(-0.5 * (gap / WIDTHS[:, None]) ** 2) / WIDTHS[:, None]
        slope = (each * -gap / WIDTHS[:, None] ** 2).sum(axis=0) / each.sum(axis=0)
        return beta * slope[None], beta * np.log(each.sum(axis=0))

    arrays = np.log(WEIGHTS / WIDTHS), MEANS[:, None].copy(), 1.0 / WIDTHS[:, None] ** 2
    table = mixture_table(n, *arrays, True)
    native = SimpleNamespace(address=mixture_density().address, table=table, kept=arrays)
    return native, CalledDensity(evaluate)


class CalledDensity:
    address = None

    def __init__(self, function):
        self.function = function

    def __call__(self, x, beta):
        return self.function(x, beta)


def cdf(x):
    return norm.cdf((np.asarray(x)[..., None] - MEANS) / WIDTHS) @ WEIGHTS


def draw(rng, n):
    which = rng.choice(2, size=n, p=WEIGHTS)
    return (MEANS[which] + WIDTHS[which] * rng.normal(size=n))[None]


def block(x, fine=0.15, coarse=1.5, switch=SWITCH, target=0.0):
    fine, coarse = np.array([[fine, 0.0, target], [coarse, 0.0, target]])
    return Trajectories(x.copy(), fine, coarse, np.array(switch))


def steps(chains, flight, evaluate, n):
    """Leapfrog steps without a test."""
    drifting = chains._replace(switch=np.array(NEVER))
    words = np.ones((4, LANES), np.uint64)  # for nothing
    for _ in range(n):
        leap(drifting, flight)
        flight.score[:], flight.log_p[:] = evaluate(flight.y, 1.0)
        land(words, make_buffers(*flight.y.shape), False, drifting, flight)


def one_move(rng, chains, tested=True, corrected=True):
    """A move of three steps; without a test, or with one that forgets the switch, if so asked."""
    _, evaluate = density(N)
    words, buffers = seed_words(rng, LANES), make_buffers(1, N)
    flight = take_off(chains.x.copy(), *evaluate(chains.x, 1.0))
    begin(words, buffers, chains, flight)
    if not corrected:
        chains = chains._replace(switch=np.array([0.0, 1e300]))  # both kinds likely everywhere
    for last in (False, False, True):
        if tested:
            leap(chains, flight)
            flight.score[:], flight.log_p[:] = evaluate(flight.y, 1.0)
            land(words, buffers, last, chains, flight)
        else:
            steps(chains, flight, evaluate, 1)
    return flight.y[0], flight.kind


@pytest.mark.parametrize(
    ("twin", "is_right"),
    [({}, True), ({"tested": False}, False), ({"corrected": False}, False)],
    ids=["exact", "untested", "uncorrected"],
)
def test_a_mixed_move_leaves_the_density_invariant(twin, is_right):
    """Exact starts, one move: without its test or its correction another density comes out."""
    rng = np.random.default_rng(1)
    x, kind = one_move(rng, block(draw(rng, N)), **twin)
    assert 0.2 < kind.mean() < 0.8
    assert (kstest(x, cdf).pvalue > FALSE_ALARM) == is_right


@pytest.mark.parametrize("switch", [SWITCH, NEVER], ids=["mixed", "hamiltonian"])
def test_the_jitted_loop_leaves_the_density_invariant(switch):
    """Twenty moves from exact starts, at another temperature than that of the numbers above."""
    native, _ = density(N)
    rng = np.random.default_rng(2)
    hot = np.linspace(-12, 12, 48_001)
    p = np.exp(0.5 * native_log_density(hot))  # beta = 1/2
    levels = np.cumsum(p) / p.sum()
    start = np.interp(rng.random(N), levels, hot)
    chains = block(start[None], fine=0.4, switch=switch)
    record, acceptance, coarse = hamiltonian_moves(rng, native, chains, 0.5, np.full(20, 4), 20)
    np.testing.assert_array_equal(record[0], chains.x)
    assert (record[0, 0] != start).mean() > 0.95
    assert 0.2 < acceptance.mean() < 0.99
    assert (coarse.mean() > 0.1) == (switch == SWITCH)
    assert kstest(record[0, 0], lambda x: np.interp(x, hot, levels)).pvalue > FALSE_ALARM
    assert kstest(record[0, 0], cdf).pvalue < FALSE_ALARM


def native_log_density(x):
    return density(1)[1](x[None], 1.0)[1]


def test_native_and_python_loops_are_the_same():
    found = []
    for way in density(20):
        rng = np.random.default_rng(3)
        chains = block(draw(rng, 20), target=0.7)
        result = hamiltonian_moves(rng, way, chains, 0.7, np.array([1, 4, 2, 3]), 2)
        found.append([*result, *chains])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_trajectories_are_reversible():
    """To rounding, of both kinds, far out where forces are cut as well."""
    _, evaluate = density(N)
    rng = np.random.default_rng(4)
    start = np.array([[-25.0, -3.0, -1.2, 0.0, 0.5, 2.0, 30.0]])
    chains = block(start, fine=0.1, coarse=0.4)
    flight = take_off(start.copy(), *evaluate(start, 1.0))
    assert np.abs(0.5 * 0.4 * flight.score).max() > LONGEST
    flight.kind[::2] = 1.0
    first = flight.velocity[:] = rng.normal(size=start.shape)
    first = first.copy()
    steps(chains, flight, evaluate, 10)
    assert (np.abs(flight.y - start) > 0.05).all()
    flight.velocity[:] *= -1.0
    steps(chains, flight, evaluate, 10)
    np.testing.assert_allclose(flight.y, start, rtol=0, atol=1e-12)
    np.testing.assert_allclose(flight.velocity, -first, rtol=0, atol=1e-12)


def test_the_test_balances_a_move_and_the_way_back():
    """p(x) w(x) exp(-v^2/2) a(x to y) is the same from the other end, for both kinds."""
    _, evaluate = density(N)
    rng = np.random.default_rng(5)
    start = draw(rng, 200)
    chains = block(start, fine=0.3)
    flight = take_off(start.copy(), *evaluate(start, 1.0))
    flight.kind[:100] = 1.0
    flight.velocity[:] = rng.normal(size=start.shape)
    flow = []
    for _ in range(2):
        place, width = SWITCH
        sign = np.where(flight.kind == 1.0, -1.0, 1.0)
        flight.kinetic[:] = 0.5 * (flight.velocity**2).sum(axis=0)
        joint = flight.log_p - flight.kinetic
        joint -= np.logaddexp(0.0, -sign * (flight.log_p - place) / width)
        steps(chains, flight, evaluate, 2)
        flight.accepted[:] = 0.0
        judge(WORDS, True, chains, flight)
        flow.append(joint + np.log(flight.accepted))
        flight.velocity[:] *= -1.0
    arrived = np.isclose(flight.y, start, rtol=0, atol=1e-12)[0]  # the others did not go
    assert arrived.sum() > 150
    np.testing.assert_allclose(flow[0][arrived], flow[1][arrived], rtol=1e-11, atol=1e-11)


def quadratic(x, beta):
    return -beta * x, -0.5 * beta * (x**2).sum(axis=0)


def quartic(x, beta):
    return -beta * 4 * x * (x**2 - 1), -beta * ((x**2 - 1) ** 2).sum(axis=0)


def test_leapfrog_keeps_the_energy_that_theory_says():
    """Of E = x^2/2 it keeps v^2/2 + (1 - h^2/4) x^2/2: an error of the energy itself of O(h^2)."""
    start, h = np.array([[0.3, -1.0, 2.0]]), 0.7
    chains = block(start, fine=h, switch=NEVER)
    flight = take_off(start.copy(), *quadratic(start, 1.0))
    flight.velocity[:] = [[1.0, -0.2, 0.4]]
    kept = flight.velocity**2 + (1 - h * h / 4) * start**2
    for n in (1, 4, 20):
        steps(chains, flight, quadratic, n)
        now = flight.velocity**2 + (1 - h * h / 4) * flight.y**2
        np.testing.assert_allclose(now, kept, rtol=1e-12)


def test_errors_of_energy_fall_with_the_square_of_the_step():
    start, errors = np.array([[0.3, -1.2, 1.5]]), []
    for h in (0.02, 0.01, 0.005):
        chains = block(start, fine=h, switch=NEVER)
        flight = take_off(start.copy(), *quartic(start, 1.0))
        flight.velocity[:] = [[1.0, -0.2, 0.4]]
        before = 0.5 * (flight.velocity**2).sum(axis=0) - flight.log_p
        steps(chains, flight, quartic, round(0.6 / h))
        errors.append(0.5 * (flight.velocity**2).sum(axis=0) - flight.log_p - before)
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 4.0, rtol=0.02)


def test_one_coarse_step_is_an_adjusted_langevin_move():
    """The density of its proposal, there and back, by the formula."""
    _, evaluate = density(N)
    rng = np.random.default_rng(6)
    start, h = draw(rng, 50), 0.4
    chains = block(start, coarse=h, switch=(0.0, 1e300))
    flight = take_off(start.copy(), *evaluate(start, 1.0))
    flight.kind[:] = 1.0
    z = flight.velocity[:] = rng.normal(size=start.shape)
    flight.kinetic[:] = 0.5 * z[0] ** 2
    z, score, log_p = z.copy(), flight.score.copy(), flight.log_p.copy()
    steps(chains, flight, evaluate, 1)
    there = flight.y.copy(), flight.score.copy(), flight.log_p.copy()
    judge(WORDS, True, chains, flight)

    def drift(score):
        return np.clip(h * score / 2, -LONGEST, LONGEST)

    np.testing.assert_allclose(there[0], start + h * (drift(score) + z), rtol=1e-13)
    back = (start - there[0]) / h - drift(there[1])
    log_ratio = (there[2] - log_p + 0.5 * (z**2 - back**2))[0]
    np.testing.assert_allclose(flight.accepted, np.exp(np.minimum(log_ratio, 0)), rtol=1e-11,
                               atol=1e-300)  # fmt: skip


def test_impossible_states_are_never_accepted():
    for log_p in (np.nan, -np.inf):
        for kind in (0.0, 1.0):
            chains = block(np.zeros((1, 3)))
            flight = take_off(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros(3))
            flight.kinetic[:], flight.velocity[:], flight.kind[:] = 0.0, np.nan, kind
            flight.y[:], flight.score[:], flight.log_p[:] = 1.0, np.nan, log_p
            judge(WORDS, True, chains, flight)
            for state in (chains.x, flight.y, flight.score, flight.log_p):
                np.testing.assert_array_equal(state, 0.0)
            np.testing.assert_allclose(flight.accepted, 0.0, atol=1e-300)


def test_steps_are_tuned_and_then_stay():
    native, _ = density(400)
    rng = np.random.default_rng(7)
    chains = block(draw(rng, 400), fine=5.0, coarse=20.0, switch=NEVER, target=0.8)
    hamiltonian_moves(rng, native, chains, 1.0, rng.integers(1, 4, size=400), 400)
    assert chains.coarse[0] == 20.0  # nobody took it
    chains.switch[:] = SWITCH
    hamiltonian_moves(rng, native, chains, 1.0, rng.integers(1, 4, size=400), 400)
    assert chains.fine[0] < chains.coarse[0] < 20.0
    chains.fine[2] = chains.coarse[2] = 0.0
    before = chains.fine.copy(), chains.coarse.copy()
    hamiltonian_moves(rng, native, chains, 1.0, rng.integers(1, 4, size=100), 1)
    np.testing.assert_array_equal(before, (chains.fine, chains.coarse))
    chains.switch[:] = NEVER
    _, acceptance, _ = hamiltonian_moves(rng, native, chains, 1.0, np.full(200, 2), 200)
    assert 0.6 < acceptance.mean() < 0.95
