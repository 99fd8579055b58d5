"""Langevin moves: right scores, exact Metropolis test, the known bias of the others."""

from types import SimpleNamespace

import numpy as np
import pytensor.tensor as pt
import pytest
from numba import njit
from scipy.linalg import solve_discrete_lyapunov
from scipy.special import expit
from scipy.stats import kstest, norm

import pm_energy as pme
from pm_energy.compile import ONCE, compile_function
from pm_energy.kernels.langevin import (
    ADJUSTED,
    OVERDAMPED,
    UNDERDAMPED,
    Chains,
    accept,
    langevin_moves,
    make_buffers,
    propose,
)
from pm_energy.kernels.langevin_lanes import FUNCTIONS
from pm_energy.kernels.langevin_mixture import mixture_density, mixture_table
from pm_energy.kernels.native import evaluate as call_density

FALSE_ALARM = 1e-6
MEANS = np.array([[-1.5, 0.5], [1.0, 0.0], [0.0, -2.0]])
WEIGHTS = np.array([0.5, 0.3, 0.2])
FULL = np.array([[[1.0, 0.6], [0.6, 0.8]], [[0.5, 0.0], [0.0, 0.5]], [[2.0, -0.5], [-0.5, 0.4]]])
DIAGONAL = np.array([[1.0, 0.5], [0.3, 2.0], [0.7, 0.7]])


@njit
def _each(function, x):
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = function(x[i])
    return out


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "softplus"])
def test_functions_of_lanes_are_right(name):
    """NumPy's, at what overflows and at what is no number, too."""
    x = np.concatenate([np.linspace(-40, 40, 2001), [np.nan, np.inf, -np.inf, 0.0, 800.0, -800.0]])
    x = np.abs(x) if name == "log" else x
    exact = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "sigmoid": expit,
             "softplus": lambda x: np.logaddexp(0.0, x)}[name]  # fmt: skip
    with np.errstate(all="ignore"):
        wanted = exact(x)
    np.testing.assert_allclose(_each(FUNCTIONS[name], x), wanted, rtol=1e-15, atol=1e-15)


def mixture(covariances, n_chains, with_log_density=True, means=MEANS, weights=WEIGHTS):
    energy = pme.GaussianMixtureEnergy(weights, means, covariances)
    if covariances.ndim == 3:
        precision, log_det = np.linalg.inv(covariances), np.linalg.slogdet(covariances)[1]
    else:
        precision, log_det = 1.0 / covariances, np.log(covariances).sum(axis=1)
    log_weight = np.log(weights) - 0.5 * log_det - 0.5 * means.shape[1] * np.log(2 * np.pi)
    arrays = log_weight, means.copy(), precision
    table = mixture_table(n_chains, *arrays, with_log_density)
    native = SimpleNamespace(address=mixture_density().address, table=table, kept=arrays)
    return energy, native


def called(energy):
    """The same density, in numpy by the formula."""
    x = pt.dmatrix("x")
    fn = compile_function([x], [pme.field(energy, x), -energy(x)], ONCE)

    def density(points, beta):
        score, log_p = fn(np.ascontiguousarray(points.T))
        return beta * np.ascontiguousarray(score.T), beta * log_p

    return density


@pytest.mark.parametrize("n", [5, 32, 53])  # fewer than a vector holds, as many, and some over
@pytest.mark.parametrize("covariances", [DIAGONAL, FULL], ids=["diagonal", "full"])
def test_mixture_is_the_formula(covariances, n):
    """To rounding, far out as well, where all components but one vanish."""
    x = np.random.default_rng(1).normal(size=(2, n)) * 2
    x[:, :3] = [[40.0, -900.0, 0.3], [30.0, 1e4, -1e3]]
    energy, native = mixture(covariances, n)
    score, log_p = called(energy)(x, 0.7)
    out = evaluate(native, x, 0.7)
    np.testing.assert_allclose(out[: 2 * n].reshape(2, n), score, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(out[2 * n : 3 * n], log_p, rtol=1e-12)


def shares_and_pulls(x, means, variances, weights):
    """Of components at points (n, d): shares and their log-ratios to the largest; pulls."""
    away = means - x[:, None]
    log_share = np.log(weights) - 0.5 * (away**2 / variances + np.log(variances)).sum(axis=-1)
    log_ratio = log_share - log_share.max(axis=1, keepdims=True)
    share = np.exp(log_ratio)
    return share / share.sum(axis=1, keepdims=True), log_ratio, away / variances


def single_precision(x, means, variances, weights):
    """A score that is computed in float32 throughout."""
    share, _, pull = shares_and_pulls(
        *(a.astype(np.float32) for a in (x, means, variances, weights))
    )
    return (share[..., None] * pull).sum(axis=1)


def test_shares_alone_are_of_single_precision_without_log_densities():
    """The error of a component's part in a score is 5e-7 of it, times one plus its log-ratio.

    Components overlap or lie far apart, points are 1,000 standard deviations out or at home.
    Float32 throughout, positions and all, is found out.
    """
    rng = np.random.default_rng(2)
    k, d, n = 7, 5, 600
    weights = rng.dirichlet(np.ones(k))
    means = rng.normal(size=(k, d)) * rng.choice([0.1, 1.0, 1e3], size=(k, 1))
    variances = rng.uniform(0.3, 3.0, size=(k, d))
    x = means[rng.integers(k, size=n)] + rng.normal(size=(n, d)) * rng.choice(
        [1.0, 10.0, 1e3], size=(n, 1)
    )
    _, native = mixture(variances, n, False, means, weights)
    score = evaluate(native, np.ascontiguousarray(x.T), 0.7)[: d * n].reshape(d, n).T / 0.7
    share, log_ratio, pull = shares_and_pulls(x, means, variances, weights)
    wanted = (share[..., None] * pull).sum(axis=1)
    error = 5e-7 * ((share * (1.0 - log_ratio))[..., None] * np.abs(pull)).sum(axis=1)
    assert (np.abs(score - wanted) < error).all()
    assert (np.abs(single_precision(x, means, variances, weights) - wanted) > error).any()


@pytest.mark.parametrize("with_log_density", [False, True])
def test_mixtures_far_from_the_origin_are_mixtures(with_log_density):
    """To the last bit, where neither positions nor means have digits below 2^-20."""
    n, far = 40, 2.0**20
    x = np.round(np.random.default_rng(3).normal(size=(2, n)) * 2**20) / 2**20
    here = mixture(DIAGONAL, n, with_log_density)[1]
    there = mixture(DIAGONAL, n, with_log_density, MEANS + far)[1]
    wanted = evaluate(here, x, 0.7)[: 2 * n]
    np.testing.assert_array_equal(evaluate(there, x + far, 0.7)[: 2 * n], wanted)


def evaluate(native, x, beta):
    state, out = np.zeros((1, native.table[0])), np.empty((1, 2 + native.table[0]))
    state[0, : x.size] = x.ravel()
    call_density(native.address, native.table, state, np.array([beta]), out)
    return out[0, 2:]


@pytest.mark.parametrize("method", [OVERDAMPED, ADJUSTED, UNDERDAMPED])
@pytest.mark.parametrize(("covariances", "error"), [(FULL, 1e-9), (DIAGONAL, 1e-5)])
def test_native_and_python_loops_are_the_same(method, covariances, error):
    """To rounding; unadjusted chains take shares of single precision where these are diagonal."""
    energy, native = mixture(covariances, 20, with_log_density=method == ADJUSTED)
    found = []
    for density in (native, CalledDensity(called(energy))):
        rng = np.random.default_rng(3)
        tuning = np.array([0.7, 0.0, 0.5])
        chains = Chains(rng.normal(size=(2, 20)), rng.normal(size=(2, 20)), tuning)
        record, acceptance = langevin_moves(rng, density, chains, method, 1.0, 0.5, 4, 3)
        found.append([record, acceptance, *chains])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=error, atol=error)


class CalledDensity:
    address = None

    def __init__(self, function):
        self.function = function

    def __call__(self, x, beta):
        return self.function(x, beta)


def one_adjusted_move(rng, native, x, step, asymmetry=True):
    """A move made of its stages; without the asymmetry of the proposal if so asked."""
    d, n = x.shape
    noise, uniform = rng.normal(size=d * n), rng.integers(2**64, size=n, dtype=np.uint64)
    out = evaluate(native, x, 1.0)
    score, log_p = out[: d * n].reshape(d, n).copy(), out[d * n : (d + 1) * n].copy()
    y, score_y = x.copy(), score.copy()
    propose(ADJUSTED, y.ravel(), np.zeros(d * n), score_y.ravel(), noise, step, 1.0)
    out = evaluate(native, y, 1.0)
    new, log_p_new = out[: d * n].reshape(d, n).copy(), out[d * n : (d + 1) * n].copy()
    scale = 1.0 if asymmetry else 0.0
    accept(
        x.ravel(), scale * score.ravel(), log_p, y.ravel(), scale * new.ravel(), log_p_new, noise,
        uniform, np.array([step, 0.0, 0.0]), np.zeros(n),
    )  # fmt: skip
    return x


@pytest.mark.parametrize(("asymmetry", "is_right"), [(True, True), (False, False)])
def test_adjusted_moves_leave_a_mixture_invariant(asymmetry, is_right):
    """Exact starts, one move: both coordinates and their sum."""
    n = 20_000
    energy, native = mixture(FULL, n)
    rng = np.random.default_rng(5)
    x = one_adjusted_move(rng, native, energy.draw(rng, n).T.copy(), 1.3, asymmetry)
    assert (smallest_p_value(x) > FALSE_ALARM / 3) == is_right


def smallest_p_value(x):
    """Of Kolmogorov-Smirnov tests of three projections of the mixture."""

    def p_value(a):
        sd = np.sqrt(np.einsum("i,kij,j->k", a, FULL, a))
        return kstest(a @ x, lambda t: norm.cdf((t[:, None] - MEANS @ a) / sd) @ WEIGHTS).pvalue

    return min(p_value(a) for a in np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))


def test_the_jitted_loop_leaves_a_mixture_invariant():
    """Thirty moves from exact starts, by words of the kernel's own."""
    n = 20_000
    energy, native = mixture(FULL, n)
    rng = np.random.default_rng(6)
    start = energy.draw(rng, n).T.copy()
    chains = Chains(start.copy(), np.zeros((2, n)), np.array([1.0, 0.0, 0.0]))
    record, acceptance = langevin_moves(rng, native, chains, ADJUSTED, 1.0, 1.0, 1, 30)
    assert 0.2 < acceptance.mean() < 0.95
    assert (record[0] != start).any(axis=0).mean() > 0.99
    np.testing.assert_array_equal(record[0], chains.x)
    assert smallest_p_value(record[0]) > FALSE_ALARM / 3


def normal_density(stiffness, n):
    """A Gaussian as a mixture of two that are the same."""
    arrays = np.log([0.3, 0.7]), np.zeros((2, 1)), np.full((2, 1), stiffness)
    table = mixture_table(n, *arrays, False)
    return SimpleNamespace(address=mixture_density().address, table=table, kept=arrays)


@pytest.mark.parametrize(("claim", "is_right"), [("1 / (1 - h^2 / 4)", True), ("1", False)])
def test_unadjusted_moves_have_the_wrong_variance(claim, is_right):
    """x' = (1 - h^2 / 2) x + h z has variance 1 / (1 - h^2 / 4)."""
    h, n = 0.8, 20_000
    variance = 1.0 / (1.0 - h * h / 4.0) if is_right else 1.0
    rng = np.random.default_rng(7)
    x = rng.normal(size=(1, n)) * np.sqrt(variance)
    chains = Chains(x, np.zeros((1, n)), np.array([h, 0.0, 0.0]))
    langevin_moves(rng, normal_density(1.0, n), chains, OVERDAMPED, 1.0, 1.0, 1, 20)
    assert (kstest(x[0] / np.sqrt(variance), "norm").pvalue > FALSE_ALARM) == is_right


def underdamped_covariance(k, h, friction):
    """Of (x, v): the move is linear, (x, v)' = M (x, v) + s z."""
    kick = np.array([[1.0, 0.0], [-0.5 * h * k, 1.0]])
    drift = np.array([[1.0, 0.5 * h], [0.0, 1.0]])
    keep = np.exp(-friction * h)
    damp, noise = np.diag([1.0, keep]), np.array([0.0, np.sqrt(1 - keep**2)])
    move = kick @ drift @ damp @ drift @ kick
    spread = kick @ drift @ noise
    return solve_discrete_lyapunov(move, np.outer(spread, spread))


@pytest.mark.parametrize("friction", [0.3, 3.0])
def test_underdamped_moves_have_their_own_covariance(friction):
    """Positions are right for Gaussians [Leimkuhler & Matthews], velocities are not."""
    k, h, n = 2.0, 0.9, 20_000
    covariance = underdamped_covariance(k, h, friction)
    np.testing.assert_allclose(covariance, np.diag([1 / k, 1 - h * h * k / 4]), atol=1e-12)
    rng = np.random.default_rng(8)
    x, v = rng.normal(size=(2, 1, n)) * np.sqrt(np.diag(covariance))[:, None, None]
    chains = Chains(x, v, np.array([h, 0.0, 0.0]))
    langevin_moves(rng, normal_density(k, n), chains, UNDERDAMPED, 1.0, friction, 1, 5)
    for a in ([1.0, 0.0], [0.0, 1.0], [1.0, 0.5]):
        z = (a[0] * x[0] + a[1] * v[0]) / np.sqrt(a @ covariance @ np.array(a))
        assert kstest(z, "norm").pvalue > FALSE_ALARM / 3
    assert kstest(v[0], "norm").pvalue < FALSE_ALARM


def test_impossible_states_are_never_accepted():
    for log_p_new in (np.nan, -np.inf):
        x, y = np.zeros(3), np.ones(3)
        acceptance, log_p = np.zeros(3), np.full(3, log_p_new)
        accept(
            x, np.zeros(3), np.zeros(3), y, np.full(3, np.nan), log_p, np.zeros(3),
            np.zeros(3, np.uint64), np.array([1.0, 0.0, 0.0]), acceptance,
        )  # fmt: skip
        np.testing.assert_array_equal(x, 0.0)
        np.testing.assert_array_equal(y, 0.0)
        np.testing.assert_allclose(acceptance, 0.0, atol=1e-300)
        np.testing.assert_array_equal(log_p, 0.0)


def test_steps_are_tuned_to_the_acceptance_asked_for():
    n = 100
    _, native = mixture(FULL, n)
    rng = np.random.default_rng(9)
    chains = Chains(rng.normal(size=(2, n)), np.zeros((2, n)), np.array([30.0, 0.0, 0.7]))
    langevin_moves(rng, native, chains, ADJUSTED, 1.0, 1.0, 1, 1000)
    chains.tuning[2] = 0.0
    step = chains.tuning[0]
    _, acceptance = langevin_moves(rng, native, chains, ADJUSTED, 1.0, 1.0, 1, 500)
    assert chains.tuning[0] == step
    assert acceptance.mean() == pytest.approx(0.7, abs=0.03)


def test_buffers_are_long_enough():
    for d, n in ((1, 1), (3, 5), (2, 250)):
        normals, uniform = make_buffers(d, n)
        assert normals.size >= d * n
        assert normals.size % 32 == uniform.size % 16 == 0
        assert uniform.size >= n
