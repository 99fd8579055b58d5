"""States of units and their encodings."""

import itertools

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy.special import logsumexp

from pm_energy.compile import evaluate_once
from pm_energy.domains import Binary, Categorical, Real, Spin
from pm_energy.validate import states_in_domain

DISCRETE = [Spin(), Binary(), Categorical(2), Categorical(5), Categorical(127), Categorical(300)]


@pytest.mark.parametrize("domain", DISCRETE, ids=repr)
def test_states_are_in_order_and_fit_their_dtype(domain):
    states = domain.states
    assert states.dtype == domain.dtype
    assert (np.diff(states.astype(int)) > 0).all()
    assert getattr(domain, "q", 2) == len(states)


@pytest.mark.parametrize("domain", DISCRETE, ids=repr)
def test_encodings_of_all_states_are_affinely_independent(domain):
    """So an energy affine in the encoding can give each state any value."""
    code = evaluate_once(domain.encode(pt.as_tensor(domain.states)))
    assert code.dtype == "float64"
    rows = code.reshape(len(domain.states), -1)
    if domain.code_ndim:
        np.testing.assert_array_equal(rows, np.eye(len(rows)))
    else:
        np.testing.assert_array_equal(rows[:, 0], domain.states)


@pytest.mark.parametrize("domain", [Spin(), Binary(), Categorical(4)], ids=repr)
def test_log_trace_adds_up_all_states(domain):
    rng = np.random.default_rng(1)
    shape = (3, 7, *(len(domain.states),) * domain.code_ndim)
    field = rng.normal(0, 3, size=shape)
    field.flat[:2] = [-800.0, 800.0]  # no overflow
    codes = np.eye(shape[-1]) if domain.code_ndim else domain.states[:, None].astype(float)
    expected = logsumexp((field if domain.code_ndim else field[..., None]) @ codes.T, axis=-1)
    trace = evaluate_once(domain.log_trace(pt.as_tensor(field)))
    np.testing.assert_allclose(trace, expected, rtol=1e-14)


def test_a_real_unit_has_no_states_and_no_trace():
    x = pt.dvector("x")
    assert Real().states is None
    assert Real().encode(x) is x
    with pytest.raises(ValueError, match="real-valued"):
        Real().log_trace(x)


@pytest.mark.parametrize("q", [1, 0, -3, 2.0, "3", None, True, 2**15, 10**9])
def test_a_number_of_states_that_does_not_fit_is_refused(q):
    with pytest.raises(ValueError, match=r"^q must be an integer from 2 to 32767"):
        Categorical(q)


def test_equal_domains_compare_and_hash_equal():
    domains = [Spin(), Binary(), Real(), Categorical(3), Categorical(4)]
    for (i, a), (j, b) in itertools.product(enumerate(domains), repeat=2):
        assert (a == b) == (i == j)
    assert hash(Categorical(np.int64(3))) == hash(Categorical(3))


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Spin(), [0]),
        (Spin(), [255]),  # -1 after a cast to int8
        (Spin(), [1, np.nan]),
        (Spin(), [0.5]),
        (Binary(), [257]),  # 1 after a cast to int8
        (Binary(), [-1]),
        (Binary(), ["1"]),
        (Binary(), [None]),
        (Binary(), [1j]),
        (Categorical(3), [3]),
        (Categorical(3), [[-1, 0]]),
        (Categorical(300), [300]),
        (Real(), [np.inf]),
        (Real(), ["x"]),
    ],
)
def test_states_outside_the_domain_are_refused_by_name(domain, values):
    with pytest.raises(ValueError, match=r"^observed "):
        states_in_domain("observed", values, domain)


@pytest.mark.parametrize("dtype", [bool, "uint8", "int64", "float32"])
def test_states_of_any_dtype_become_the_domains(dtype):
    states = states_in_domain("x", np.array([0, 1, 1], dtype=dtype), Binary())
    assert states.dtype == "int8"
    assert states.tolist() == [0, 1, 1]
