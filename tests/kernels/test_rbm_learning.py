"""Fused passes for learning RBMs: equal to numpy, in every size that tiles can have."""

import numpy as np
import pytest
from scipy.special import expit

from pm_energy.kernels import rbm_learning as kernels
from pm_energy.kernels.two_state import log_traces, unit_means

EPS = {np.float32: 1e-5, np.float64: 1e-12}  # above the rounding of sums of 300 numbers of size 1


def machine(n_v, n_h, dtype):
    rng = np.random.default_rng(n_v + n_h)
    parameters = rng.normal(0, 0.3, (n_v, n_h)), rng.normal(size=n_v), rng.normal(size=n_h)
    return [p.astype(dtype) for p in parameters]


def moments_by_numpy(v, w, b, weights):
    hidden = weights[:, None] * expit(v.astype(float) @ w + b)
    return v.T @ hidden, weights @ v, hidden.sum(0)


SIZES = [(1, 1, 1), (3, 65, 70), (100, 130, 33), (257, 33, 64)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share_on", [0.5, 0.02])  # few units that are on take the way over lists
@pytest.mark.parametrize(("n", "n_v", "n_h"), SIZES)
def test_data_moments_are_those_of_numpy(n, n_v, n_h, share_on, dtype):
    rng = np.random.default_rng(1)
    w, _, b = machine(n_v, n_h, dtype)
    x = (rng.random((n, n_v)) < share_on).astype(dtype)
    weights = (rng.random(n) / n).astype(dtype)
    expected = moments_by_numpy(x, w, b, weights)
    for low in (0, -1):
        states = low + (1 - low) * x
        found = kernels.data_moments(states, w, b, weights, low)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == dtype
            np.testing.assert_allclose(ours, theirs, atol=EPS[dtype])
    x[-1, -1] = 0.5  # a mean is no state
    assert kernels.data_moments(x, w, b, weights) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "n_v", "n_h"), SIZES)
def test_moments_of_chains_are_those_of_the_states_they_are_left_in(n, n_v, n_h, dtype):
    w, a, b = machine(n_v, n_h, dtype)
    v, h = np.zeros((n, n_v), dtype), np.zeros((n, n_h), dtype)
    other_v, other_h = v.copy(), h.copy()
    args = w, a, b, 3
    found = kernels.chain_sweeps_and_moments(np.random.default_rng(2), v, h, *args)
    expected = moments_by_numpy(v, w, b, np.full(n, 1 / n))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=EPS[dtype])
    kernels.chain_sweeps(np.random.default_rng(2), other_v, other_h, *args, beta=np.ones(n))
    np.testing.assert_array_equal(other_v, v)
    np.testing.assert_array_equal(other_h, h)


def test_each_chain_has_its_own_temperature():
    w, v, h = np.zeros((40, 30)), np.zeros((1000, 40)), -np.ones((1000, 30))
    beta = np.repeat([0.0, 0.5, 1.0, 2.0], 250)
    rng = np.random.default_rng(3)
    kernels.chain_sweeps(rng, v, h, w, np.full(40, 1.5), np.full(30, -1.0), 1, beta, (0, -1))
    for layer, field, n in ((v, 1.5, 40), ((h + 1) / 2, -1.0, 30)):
        for k, mean in enumerate(layer.reshape(4, -1).mean(1)):
            p = expit([0.0, 0.5, 1.0, 2.0][k] * field)
            assert abs(mean - p) < 5 * np.sqrt(p * (1 - p) / (250 * n))  # 1 in 200,000 for all


def test_hidden_units_are_drawn_where_states_are_given():
    w, _, b = machine(70, 40, np.float64)
    rng = np.random.default_rng(4)
    x = np.tile((rng.random((1, 70)) < 0.5).astype(float), (4000, 1))
    h = kernels.draw_hidden(rng, x, w, b)
    p = expit(x[0] @ w + b)
    assert set(np.unique(h)) == {0, 1}
    assert (abs(h.mean(0) - p) < 6 * np.sqrt(p * (1 - p) / 4000)).all()
    assert kernels.draw_hidden(rng, x + 0.1, w, b) is None


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 5e-7), (np.float64, 1e-15)])
def test_means_of_units_are_accurate(dtype, tolerance):
    fields = np.linspace(-60, 60, 4001).astype(dtype)[None]
    none = np.zeros(4001, dtype)
    p = unit_means(fields.copy(), none)
    np.testing.assert_allclose(p, expit(fields.astype(float)), rtol=4 * tolerance, atol=0)
    m = unit_means(fields.copy(), none, -1)
    np.testing.assert_allclose(m, np.tanh(fields.astype(float)), atol=tolerance)
    odd = np.array([[np.inf, -np.inf, np.nan]], dtype)
    np.testing.assert_allclose(unit_means(odd, none[:3]), [[1, 0, np.nan]], atol=1e-30)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_traces_are_sums_of_softplus(dtype):
    rng = np.random.default_rng(5)
    fields, bias = rng.normal(0, 20, (7, 1100)).astype(dtype), rng.normal(size=1100).astype(dtype)
    f = fields.astype(float) + bias
    np.testing.assert_allclose(log_traces(fields, bias), np.logaddexp(0, f).sum(1), rtol=1e-13)
    np.testing.assert_allclose(log_traces(fields, bias, -1), np.logaddexp(f, -f).sum(1), rtol=1e-13)


def test_bad_arguments_are_refused():
    w, a, b = machine(4, 3, np.float64)
    v, h, rng = np.zeros((2, 4)), np.zeros((2, 3)), np.random.default_rng(6)
    with pytest.raises(ValueError, match="shape"):
        kernels.data_moments(np.zeros((2, 5)), w, b, np.ones(2))
    with pytest.raises(ValueError, match="float64 like the weights"):
        kernels.data_moments(v.astype(np.float32), w, b, np.ones(2))
    with pytest.raises(ValueError, match="hidden_bias"):
        kernels.data_moments(v, w, a, np.ones(2))
    with pytest.raises(ValueError, match="visible_bias"):
        kernels.chain_sweeps(rng, v, h, w, b, b, 1)
    with pytest.raises(ValueError, match="h must have shape"):
        kernels.chain_sweeps(rng, v, h[:1], w, a, b, 1)
    with pytest.raises(ValueError, match="h must hold the states 0 and 1"):
        kernels.chain_sweeps(rng, v, h + 0.5, w, a, b, 1)
