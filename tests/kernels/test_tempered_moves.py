"""Slice sampling and Hamiltonian Monte Carlo of walkers leave their tempered densities invariant.

Starts are drawn exactly from each tempered density and moved once, so draws stay independent.
"""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
from numba import cfunc, njit, types
from scipy.stats import chisquare, kstest

from pm_energy.kernels import tempered_hmc, tempered_slice
from pm_energy.kernels.native import evaluate

FALSE_ALARM = 1e-6
BETAS = np.array([0.0, 0.3, 1.0])
STARTS = 20_000  # at each beta
REALS, INTEGERS = types.CPointer(types.float64), types.CPointer(types.int64)
SIGNATURE = types.void(REALS, types.float64, INTEGERS, REALS)
PRECISION = np.linalg.inv([[1.0, 0.9], [0.9, 1.0]])
P00, P01 = PRECISION[0]


@cfunc(SIGNATURE, cache=True)
def two_modes(x, beta, table, out):
    """From a normal distribution of sd 3 to two narrow modes of different weight."""
    far, near = 0.3 * np.exp(-2.0 * (x[0] - 2.0) ** 2), 0.7 * np.exp(-2.0 * (x[0] + 1.0) ** 2)
    out[0], out[1] = -(x[0] ** 2) / 18.0, np.log(far + near)
    slope = -4.0 * ((x[0] - 2.0) * far + (x[0] + 1.0) * near) / (far + near)
    out[2] = -x[0] / 9.0 + beta * slope


@cfunc(SIGNATURE, cache=True)
def correlated(x, beta, table, out):
    """From normal distributions of sd 2 to a correlation of .9."""
    out[0] = -(x[0] ** 2 + x[1] ** 2) / 8.0
    u, v = P00 * x[0] + P01 * x[1], P01 * x[0] + P00 * x[1]
    out[1] = -0.5 * (x[0] * u + x[1] * v)
    out[2], out[3] = -x[0] / 4.0 - beta * u, -x[1] / 4.0 - beta * v


@cfunc(SIGNATURE, cache=True)
def half_line(x, beta, table, out):
    """Impossible below 1, not a number below 0, infinite below -1."""
    out[0], out[2] = -0.5 * x[0] ** 2, -x[0]
    if x[0] >= 1.0:
        out[1] = 0.0
    else:
        out[1] = -np.inf if x[0] >= 0.0 else np.nan if x[0] >= -1.0 else np.inf


def density(function):
    return SimpleNamespace(address=function.address, table=np.zeros(1, dtype=np.int64))


def walkers_at(function, x, betas):
    """What kernels take: states, log-densities, inverse temperatures, levels."""
    out = np.empty((len(x), 2 + x.shape[1]))
    evaluate(function.address, np.zeros(1, dtype=np.int64), x, betas, out)
    base, ratio = np.ascontiguousarray(out[:, :2].T)
    return x, base, np.where(ratio < np.inf, ratio, -np.inf), betas, np.searchsorted(BETAS, betas)


def one_slice(rng, function, walkers):
    """Along one axis: moves so small that what is wrong is not forgotten, tuned badly."""
    d = walkers[0].shape[1]
    sd = np.full((3, d), 0.3)
    axes = np.tile(np.eye(d), (3, 1, 1)) + 0.4 * np.tri(d, k=-1)
    weights = np.tile(np.linspace(0, 1, d + 1)[1:], (3, 1))
    tempered_slice.slice_moves(
        rng, density(function), walkers, (sd, axes, weights), 1, in_turn=False
    )


def one_trajectory(rng, function, walkers):
    """With steps so long that about half of the ends are rejected."""
    d = walkers[0].shape[1]
    scale = np.tile(np.eye(d) + 0.4 * np.tri(d, k=-1), (3, 1, 1))
    step = np.array([2.5, 0.9, 0.7]) if d == 1 else np.array([2.4, 0.9, 0.5])
    tempered_hmc.hmc_moves(rng, density(function), walkers, scale, step, 1.5, 3)


def broken(module, name, old, new):
    """The jitted loop of a kernel with one line of it changed."""
    source = inspect.getsource(getattr(module, name).py_func)
    assert source.count(old) == 1, f"{old} should be there once"
    names = dict(vars(module))
    code = source.replace("@njit(cache=True)", "@njit").replace(old, new)
    exec(compile(code, "<broken>", "exec"), names | {"njit": njit}, names)
    return names[name]


GRADIENT = "call_native(address, y, beta, table, out)  #"
BROKEN = {
    "slice at the height of the start": ("- exponential(w)", ""),
    "slice at a height times beta": ("- exponential(w)", "- beta * exponential(w)"),
    "slice accepts all of the interval": ("there >= height and ", ""),
    "slice interval around the start": ("-LENGTH * uniform(w)", "-0.5 * LENGTH"),
    "hmc with a stale gradient": (GRADIENT, GRADIENT.replace("beta", "0.0")),
    "hmc ratio times beta": ("min(0.0, before - after)", "min(0.0, beta * (before - after))"),
    "hmc without the first half kick": (
        "_kick(p, scale[k], out, 0.5 * eps)\n            _dr",
        "_dr",
    ),
    "hmc never rejects": ("if uniform(w) < accepted[i]", "if accepted[i] > 0.0"),
}


@pytest.fixture
def kernel(request, monkeypatch):
    which = request.param
    move, module = (
        (one_slice, tempered_slice) if which[0] == "s" else (one_trajectory, tempered_hmc)
    )
    if which in BROKEN:
        name = f"_{which.split()[0]}_moves"
        monkeypatch.setattr(module, name, broken(module, name, *BROKEN[which]))
    return move, which not in BROKEN


def two_mode_law(beta):
    """Grid, and cumulative distribution on it."""
    x = np.linspace(-15.0, 15.0, 200_001)
    far, near = 0.3 * np.exp(-2.0 * (x - 2.0) ** 2), 0.7 * np.exp(-2.0 * (x + 1.0) ** 2)
    p = np.exp(-(x**2) / 18.0) * np.where(beta > 0, (far + near) ** beta, 1.0)
    total = np.concatenate([[0.0], np.cumsum((p[1:] + p[:-1]) / 2)])
    return x, total / total[-1]


def p_value_of_two_modes(rng, move):
    betas = np.repeat(BETAS, STARTS)
    laws = [two_mode_law(beta) for beta in BETAS]
    x = np.concatenate([np.interp(rng.random(STARTS), law, grid) for grid, law in laws])
    walkers = walkers_at(two_modes, x[:, None], betas)
    move(rng, two_modes, walkers)
    after = walkers[0].reshape(len(BETAS), STARTS)
    u = [np.interp(a, grid, law) for a, (grid, law) in zip(after, laws, strict=True)]
    return min(chisquare(np.bincount((50 * v).astype(int), minlength=50)).pvalue for v in u)


def p_value_of_correlated(rng, move):
    covariances = [np.linalg.inv(np.eye(2) / 4.0 + beta * PRECISION) for beta in BETAS]
    x = np.concatenate([rng.multivariate_normal([0, 0], c, STARTS) for c in covariances])
    walkers = walkers_at(correlated, x, np.repeat(BETAS, STARTS))
    move(rng, correlated, walkers)
    found = []
    for after, c in zip(walkers[0].reshape(len(BETAS), STARTS, 2), covariances, strict=True):
        for a in np.array([[1, 0], [0, 1], [1, 1], [1, -1]]):
            found.append(kstest(after @ a / np.sqrt(a @ c @ a), "norm").pvalue)
    return min(found)


@pytest.mark.parametrize("kernel", ["slice", "hmc", *BROKEN], indirect=True)
def test_moves_leave_tempered_densities_invariant(kernel):
    """Three temperatures, two modes or four projections of two dimensions: fifteen looks."""
    move, is_right = kernel
    rng = np.random.default_rng(20)
    p_value = min(p_value_of_two_modes(rng, move), p_value_of_correlated(rng, move))
    assert (p_value > FALSE_ALARM / 15) == is_right


@pytest.mark.parametrize("move", [one_slice, one_trajectory])
def test_log_densities_follow_the_states(move):
    rng = np.random.default_rng(21)
    walkers = walkers_at(correlated, rng.normal(size=(300, 2)), np.repeat(BETAS, 100))
    before = walkers[0].copy()
    for _ in range(3):
        move(rng, correlated, walkers)
    assert (walkers[0] != before).any(axis=1).mean() > 0.9
    again = walkers_at(correlated, walkers[0], walkers[3])
    np.testing.assert_array_equal(walkers[1], again[1])
    np.testing.assert_array_equal(walkers[2], again[2])


@pytest.mark.parametrize("move", [one_slice, one_trajectory])
def test_a_walker_does_the_same_whoever_moves_beside_it(move):
    x = np.random.default_rng(22).normal(size=(50, 2))
    together = walkers_at(correlated, x.copy(), np.full(50, 0.3))
    move(np.random.default_rng(1), correlated, together)
    alone = walkers_at(correlated, x.copy(), np.full(50, 0.3))
    levels = np.where(np.arange(50) == 7, alone[4], -1)
    move(np.random.default_rng(1), correlated, (*alone[:4], levels))
    np.testing.assert_array_equal(alone[0][7], together[0][7])
    np.testing.assert_array_equal(np.delete(alone[0], 7, axis=0), np.delete(x, 7, axis=0))


@pytest.mark.parametrize("move", [one_slice, one_trajectory])
def test_walkers_enter_no_state_that_is_impossible(move):
    """Nor one whose log-density is not a number or infinite. At the base all states are open."""
    rng = np.random.default_rng(23)
    walkers = walkers_at(half_line, np.full((3000, 1), 1.2), np.repeat(BETAS, 1000))
    for _ in range(5):
        move(rng, half_line, walkers)
        x, _, ratio, betas, _ = walkers
        assert (x[betas > 0] >= 1.0).all()
        np.testing.assert_array_equal(ratio, np.where(x[:, 0] >= 1.0, 0.0, -np.inf))
    assert (x[betas == 0] < 0.0).mean() > 0.2


def test_slices_lead_out_of_where_the_target_vanishes():
    """Trajectories have no gradient to follow there."""
    rng = np.random.default_rng(24)
    walkers = walkers_at(half_line, np.full((1000, 1), 0.5), np.full(1000, 1.0))
    for _ in range(20):
        one_slice(rng, half_line, walkers)
    assert (walkers[0] >= 1.0).all()


def test_a_slice_thinner_than_rounding_ends():
    """As where two compilations of a density differ in the last bits."""
    rng = np.random.default_rng(25)
    walkers = walkers_at(correlated, np.ones((100, 2)), np.ones(100))
    walkers[1][:] += 1e-3  # higher than any point there is
    walkers[0][:] = 0.0
    one_slice(rng, correlated, walkers)
    np.testing.assert_array_equal(walkers[0][walkers[1] > 0.0], 0.0)
