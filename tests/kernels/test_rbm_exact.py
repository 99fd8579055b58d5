"""Exact log Z and moments of RBMs: against all states, derivatives and quadrature."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp

import pm_energy as pme
from pm_energy.kernels import rbm_exact
from pm_energy.kernels.gaussian_rbm_exact import (
    gaussian_rbm_exact_moments,
    gaussian_rbm_log_partition,
)
from pm_energy.kernels.rbm_exact import rbm_exact_moments, rbm_log_partition
from pm_energy.kernels.softplus import add_softplus_change, softplus_sum


def machine(n_v, n_h, scale, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(scale * rng.normal(size=shape) for shape in ((n_v, n_h), n_v, n_h))


def states(n):
    return np.array(list(itertools.product([0.0, 1.0], repeat=n)))


def by_all_joint_states(weights, a, b):
    """Log Z, E[v h^T], E[v] and E[h] from the energy of every (v, h)."""
    v, h = (states(n) for n in weights.shape)
    log_p = -pme.RBM(weights, a, b)(v[:, None], h[None])
    log_z = logsumexp(log_p)
    p = np.exp(log_p - log_z)
    return log_z, v.T @ p @ h, p.sum(1) @ v, p.sum(0) @ h


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (4, 9), (10, 9)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e3, 1e6])
def test_log_partition_and_moments_are_those_of_all_states(shape, scale):
    """Up to where e^y overflows; 9 units make high bits, large weights leave few low ones."""
    parameters = machine(*shape, scale)
    exact = by_all_joint_states(*parameters)
    assert rbm_log_partition(*parameters) == pytest.approx(exact[0], rel=1e-12, abs=1e-12)
    # log p is a difference of numbers of the size of log Z, and rounds as they do
    atol = 1e-12 + 1e-15 * abs(exact[0])
    for ours, theirs in zip(rbm_exact_moments(*parameters), exact, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=atol)


def by_hidden_states(weights, a, b):
    h = states(len(b))
    return logsumexp(h @ b + np.logaddexp(0, h @ weights.T + a).sum(1))


@pytest.mark.parametrize(
    ("scale", "n_low", "n_segments"), [(0.05, 7, 1), (3.0, 7, 3), (100.0, 2, 50), (1e3, 0, 1)]
)
def test_products_are_cut_where_a_float_would_not_hold_them(scale, n_low, n_segments):
    """Every way of planning the sum occurs, and all give log Z to 1e-12."""
    parameters = machine(390, 9, scale)
    plan = rbm_exact._sum_over_smaller(*parameters)
    assert len(plan.low_bias) == 2**n_low
    assert plan.segments.size - 1 >= n_segments
    exact = by_hidden_states(*parameters)
    assert rbm_log_partition(*parameters) == pytest.approx(exact, rel=1e-12)


def test_moments_are_the_derivatives_of_log_z():
    weights, a, b = machine(11, 8, 0.7, seed=1)
    _, cross, visible, hidden = rbm_exact_moments(weights, a, b)
    step = 1e-5  # errors: step^2 from the third derivative, 1e-14 / step from rounding

    def slope(change):
        up = rbm_log_partition(
            *(x + step * d for x, d in zip((weights, a, b), change, strict=True))
        )
        down = rbm_log_partition(
            *(x - step * d for x, d in zip((weights, a, b), change, strict=True))
        )
        return (up - down) / (2 * step)

    for seed in range(5):
        d = machine(11, 8, 1.0, seed)
        expected = (d[0] * cross).sum() + d[1] @ visible + d[2] @ hidden
        assert slope(d) == pytest.approx(expected, abs=1e-7)


def test_a_machine_without_weights_factorises():
    _, a, b = machine(784, 20, 1.0)
    log_z, cross, visible, hidden = rbm_exact_moments(np.zeros((784, 20)), a, b)
    p, q = 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-b))
    assert log_z == pytest.approx(np.logaddexp(0, a).sum() + np.logaddexp(0, b).sum(), rel=1e-13)
    for ours, theirs in ((cross, np.outer(p, q)), (visible, p), (hidden, q)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def by_quadrature(weights, a, b, variance):
    """Log Z, E[v h^T], E[v], E[h] and E[v^2] of two Gaussian units, by the trapezoidal rule.

    For Gaussians of unit width it converges faster than any power: at spacing 0.2, to rounding.
    """
    line = np.arange(-14, 14, 0.2)
    v, h = np.array(list(itertools.product(line, line))), states(len(b))
    energy = pme.RBM(weights, a, b, visible="gaussian", variance=variance)
    log_p = -energy(v[:, None], h[None]) + 2 * np.log(0.2)
    log_z = logsumexp(log_p)
    p = np.exp(log_p - log_z)
    return log_z, v.T @ p @ h, p.sum(1) @ v, p.sum(0) @ h, p.sum(1) @ v**2


def test_gaussian_units_agree_with_quadrature():
    weights, a, b = machine(2, 3, 0.8, seed=3)
    parameters = weights, a, b, np.array([0.7, 1.6])
    ours, exact = gaussian_rbm_exact_moments(*parameters), by_quadrature(*parameters)
    assert gaussian_rbm_log_partition(*parameters) == ours[0]
    for value, expected in zip(ours, exact, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n_h", [1, 6, 17])
def test_gaussian_moments_give_the_derivatives_of_log_z(n_h):
    """As the docstring says, with 17 hidden units in blocks of states."""
    weights, a, b = machine(5, n_h, 0.3, seed=4)
    variance = np.linspace(0.5, 2, 5)
    log_z, cross, visible, hidden, square = gaussian_rbm_exact_moments(weights, a, b, variance)
    gradient = (
        cross / variance[:, None],
        (visible - a) / variance,
        hidden,
        (square - 2 * a * visible + a**2) / (2 * variance**2)
        - (weights * cross).sum(1) / variance**2,
    )
    step, at = 1e-5, (weights, a, b, variance)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        d = [rng.normal(size=x.shape) for x in at]
        up, down = (
            gaussian_rbm_log_partition(*(x + s * y for x, y in zip(at, d, strict=True)))
            for s in (step, -step)
        )
        expected = sum((x * y).sum() for x, y in zip(gradient, d, strict=True))
        assert (up - down) / (2 * step) == pytest.approx(expected, abs=1e-6, rel=1e-6)
    assert gaussian_rbm_log_partition(*at) == log_z


@pytest.mark.parametrize("size", [1, 63, 64, 513, 2000])
def test_sums_of_softplus(size):
    y = np.random.default_rng(size).normal(0, 10, size)
    y[0] = -1e300
    assert softplus_sum(y) == pytest.approx(np.logaddexp(0, y).sum(), rel=1e-14)
    assert softplus_sum(-y) == pytest.approx(np.logaddexp(0, -y).sum(), rel=1e-14)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 1e-6)])
def test_changes_of_softplus(dtype, tolerance):
    """Two states of 700 units, in rows; the relative error of a factor is the dtype's."""
    y = np.random.default_rng(1).normal(0, 3, (2, 700)).astype(dtype)
    totals = np.array([1.0, 2.0])
    add_softplus_change(totals, y.reshape(-1), 700, 64, 64, 700, 0.25, 0.75)
    exact = y.astype(float)
    change = (np.logaddexp(0, 0.75 * exact) - np.logaddexp(0, 0.25 * exact)).sum(1)
    np.testing.assert_allclose(totals, change + np.array([1.0, 2.0]), rtol=10 * tolerance)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((25, 30)), np.zeros(25), np.zeros(30)), "at most 24 units"),
        ((np.zeros((2, 3)), np.zeros(3), np.zeros(3)), r"visible_bias must have shape \(2\)"),
        ((np.zeros((2, 3)), np.zeros(2), 0.0), r"hidden_bias must have shape \(3\)"),
        ((np.zeros(3), np.zeros(2), np.zeros(3)), r"weights must have shape \(n, n\)"),
        ((np.zeros((0, 3)), np.zeros(0), np.zeros(3)), r"weights must have shape \(n, n\)"),
        ((np.full((2, 3), np.nan), np.zeros(2), np.zeros(3)), "weights must be finite"),
    ],
)
@pytest.mark.parametrize("function", [rbm_log_partition, rbm_exact_moments])
def test_bad_input(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


def test_bad_input_with_gaussian_units():
    zeros = np.zeros((30, 25)), np.zeros(30), np.zeros(25)
    with pytest.raises(ValueError, match="hidden layer must have at most 24 units"):
        gaussian_rbm_log_partition(*zeros, np.ones(30))
    with pytest.raises(ValueError, match="variance must be positive"):
        gaussian_rbm_exact_moments(*machine(2, 3, 1.0), np.array([1.0, 0.0]))
