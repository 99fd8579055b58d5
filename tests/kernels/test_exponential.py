"""Exponentials of compiled code against extended precision."""

import numpy as np
import pytest
from numba import njit

from pm_energy.kernels.exponential import exp_double, exp_minus, exp_single


@njit
def _map(function, x):
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = function(x[i])
    return out


@njit
def _fall(x):
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = exp_minus(x[i])
    return out


def relative_error(values, x):
    exact = np.exp(x.astype(np.longdouble))
    return float(np.abs(values / exact - 1).max())


@pytest.mark.parametrize(
    ("function", "dtype", "low", "high", "tolerance"),
    [(exp_single, np.float32, -87, 88, 2.5e-7), (exp_double, np.float64, -708, 709, 4e-16)],
)
def test_relative_error(function, dtype, low, high, tolerance):
    x = np.linspace(low, high, 100_001).astype(dtype)
    assert relative_error(_map(function, x), x) < tolerance


@pytest.mark.parametrize(
    ("dtype", "limit", "tolerance"), [(np.float32, 87, 2.5e-7), (np.float64, 708, 4e-16)]
)
def test_falling_exponential_stops_before_it_is_subnormal(dtype, limit, tolerance):
    x = np.linspace(0, limit, 100_001).astype(dtype)
    falls = _fall(x)
    assert falls.dtype == dtype
    assert relative_error(falls, -x) < tolerance
    far = _fall(np.array([limit, 2 * limit, np.inf], dtype))
    assert (far == far[0]).all()
    assert far[0] >= np.finfo(dtype).tiny
