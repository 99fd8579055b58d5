"""Transfer matrices against enumeration, Kaufman's torus, and limits."""

import itertools

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from pytensor.graph.replace import vectorize_graph
from scipy.special import logsumexp

from pm_energy.exact.kaufman import log_partition_torus, torus_energy_per_site
from pm_energy.exact.transfer import log_partition_potts_strip, log_partition_strip

QUICK = Mode(linker="py", optimizer=None)
SPIN = np.array([-1.0, 1.0])
BOTH = [(True, True), (True, False), (False, True), (False, False)]
SHAPES = [(1, 1), (1, 5), (2, 2), (2, 5), (3, 4), (4, 3), (5, 2)]


def bonds(shape, periodic):
    """Pairs of flat site numbers, along the first axis and then along the second."""
    number = np.arange(np.prod(shape)).reshape(shape)
    out = [np.empty((0, 2), int)]
    for axis in (0, 1):
        wraps = periodic[axis] and shape[axis] >= 3
        kept = range(shape[axis] if wraps else shape[axis] - 1)
        ends = [number.take(kept, axis), np.roll(number, -1, axis).take(kept, axis)]
        out.append(np.stack([end.ravel() for end in ends], axis=1))
    return np.concatenate(out)


def enumerate_all(shape, periodic, pair, coupling, site):
    """Log Z, mean of each bond's pair term, and marginals (*shape, q), summed over all states."""
    q = len(pair)
    states = np.array(list(itertools.product(range(q), repeat=int(np.prod(shape)))))
    a, b = bonds(shape, periodic).T
    terms = pair[states[:, a], states[:, b]]
    one_hot = np.eye(q)[states]  # (states, n, q)
    log_p = terms @ coupling + (one_hot * site.reshape(-1, q)).sum((1, 2))
    log_z = logsumexp(log_p)
    p = np.exp(log_p - log_z)
    return log_z, p @ terms, np.einsum("s,snq->nq", p, one_hot).reshape(*shape, q)


def gradient(log_z, variables, values):
    return pytensor.function(variables, [log_z, *pt.grad(log_z, variables)], mode=QUICK)(*values)


@pytest.mark.parametrize("periodic", BOTH)
@pytest.mark.parametrize("shape", SHAPES)
def test_ising_strip_and_its_means_equal_enumeration(shape, periodic):
    rng = np.random.default_rng(20)
    coupling = rng.normal(size=len(bonds(shape, periodic)))
    field = rng.normal(size=shape)
    exact = enumerate_all(shape, periodic, np.outer(SPIN, SPIN), coupling, field[..., None] * SPIN)
    j, h = pt.dvector(), pt.dmatrix()
    out = gradient(log_partition_strip(shape, periodic, j, h), [j, h], [coupling, field])
    np.testing.assert_allclose(out[0], exact[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(out[1], exact[1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(out[2], exact[2] @ SPIN, rtol=0, atol=1e-12)


@pytest.mark.parametrize("periodic", BOTH)
@pytest.mark.parametrize("shape", [(1, 4), (2, 3), (3, 2), (3, 3)])
def test_potts_strip_and_its_means_equal_enumeration(shape, periodic):
    rng = np.random.default_rng(21)
    coupling = rng.normal(size=len(bonds(shape, periodic)))
    field = rng.normal(size=(*shape, 3))
    exact = enumerate_all(shape, periodic, np.eye(3), coupling, field)
    j, h = pt.dvector(), pt.dtensor3()
    out = gradient(log_partition_potts_strip(shape, periodic, 3, j, h), [j, h], [coupling, field])
    for value, wanted in zip(out, exact, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("periodic", BOTH)
def test_scalars_stand_for_equal_values_everywhere(periodic):
    n = len(bonds((4, 5), periodic))
    one = log_partition_strip((4, 5), periodic, 0.3, -0.2).eval(mode=QUICK)
    all_of_them = log_partition_strip((4, 5), periodic, np.full(n, 0.3), np.full((4, 5), -0.2))
    np.testing.assert_allclose(one, all_of_them.eval(mode=QUICK), rtol=1e-14)
    states = np.array([0.1, -0.4, 0.6])
    one = log_partition_potts_strip((4, 5), periodic, 3, 0.3, states).eval(mode=QUICK)
    all_of_them = log_partition_potts_strip(
        (4, 5), periodic, 3, np.full(n, 0.3), np.tile(states, (4, 5, 1))
    )
    np.testing.assert_allclose(one, all_of_them.eval(mode=QUICK), rtol=1e-14)


@pytest.mark.parametrize("shape", [(4, 4), (5, 4), (5, 9), (6, 8), (8, 6)])
@pytest.mark.parametrize("coupling", [-0.9, -0.3, 0.44, 0.7])
def test_a_torus_is_kaufmans(shape, coupling):
    k = pt.dscalar()
    out, slope = gradient(log_partition_strip(shape, True, k), [k], [coupling])
    np.testing.assert_allclose(
        out, log_partition_torus(shape, coupling).eval(mode=QUICK), rtol=1e-13
    )
    energy = torus_energy_per_site(shape, coupling)
    np.testing.assert_allclose(-slope / np.prod(shape), energy, atol=1e-10)


def test_a_chain_of_spins_has_its_textbook_values():
    rng = np.random.default_rng(22)
    coupling = rng.normal(size=999)
    out = log_partition_strip((1000, 1), False, coupling).eval(mode=QUICK)
    np.testing.assert_allclose(out, np.log(2) + np.log(2 * np.cosh(coupling)).sum(), rtol=1e-13)
    h, k, n = 0.3, -0.8, 501  # ring: the sum of the powers of two eigenvalues
    root = np.sqrt(np.exp(2 * k) * np.sinh(h) ** 2 + np.exp(-2 * k))
    eigenvalues = np.exp(k) * np.cosh(h) + np.array([root, -root])
    exact = n * np.log(eigenvalues[0]) + np.log1p((eigenvalues[1] / eigenvalues[0]) ** n)
    out = log_partition_strip((1, n), True, k, h).eval(mode=QUICK)
    np.testing.assert_allclose(out, exact, rtol=1e-13)


def test_strong_couplings_and_long_strips_neither_overflow_nor_underflow():
    out = log_partition_strip((8, 400), False, 20.0).eval(mode=QUICK)
    np.testing.assert_allclose(out, 20 * (7 * 400 + 8 * 399) + np.log(2), rtol=1e-14)
    field = np.where(np.arange(4)[:, None] % 2, 40.0, -40.0) * np.ones(50)
    out = log_partition_strip((4, 50), (True, False), -15.0, field).eval(mode=QUICK)
    np.testing.assert_allclose(out, 15 * 4 * (50 - 49) + 40 * 200, rtol=1e-14)


def test_gradients_work_in_compiled_and_in_batched_graphs():
    j, h = pt.dscalar(), pt.dscalar()
    log_z = log_partition_strip((3, 7), (False, True), j, h)
    slow = gradient(log_z, [j, h], [0.4, 0.1])
    fast = pytensor.function([j, h], [log_z, *pt.grad(log_z, [j, h])])(0.4, 0.1)
    np.testing.assert_allclose(fast, slow, rtol=1e-13)
    batch = pt.dvector()
    out = pytensor.function([batch, h], vectorize_graph(log_z, {j: batch}), mode=QUICK)(
        [0.4, 0.5], 0.1
    )
    np.testing.assert_allclose(out[0], slow[0])
    assert out[1] > out[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_partition_strip((11, 11), False, 0.1), "too wide"),
        (lambda: log_partition_strip((9, 9), True, 0.1), "too wide"),
        (
            lambda: log_partition_potts_strip((5, 6), True, 4, 0.1),
            "4\\^w must be at most 1024, or 256",
        ),
        (lambda: log_partition_strip((3, 3, 3), True, 0.1), "shape must be two sides"),
        (lambda: log_partition_strip((3, 3), True, np.ones(17)), "each of the 18 bonds"),
        (lambda: log_partition_strip((3, 3), True, 0.1, np.ones((3, 4))), "field must be a scalar"),
        (
            lambda: log_partition_potts_strip((3, 3), True, 3, 0.1, np.ones(2)),
            "field must be a scalar",
        ),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_second_derivative_is_refused():
    k = pt.dscalar()
    slope = pt.grad(log_partition_strip((3, 3), True, k), k)
    with pytest.raises(pytensor.gradient.NullTypeGradError, match="differentiable once"):
        pt.grad(slope, k)
