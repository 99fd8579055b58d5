"""Densities as native functions: the numbers of PyTensor, whatever the shapes; what is refused."""

import pickle

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.op import Op
from pytensor.raise_op import Assert

from pm_energy import compile
from pm_energy.compile import NotNative, compile_function
from pm_energy.native_density import NativeDensity

RNG = np.random.default_rng(0)
A, B, C = pt.dscalar("a"), pt.dvector("b"), pt.dmatrix("c")
X = pt.dvector("x")
SHAPES = [(), (3,), (2, 2)]
DATA = RNG.normal(size=30)


def base_of(a, b, c):
    return -(a**2) - (b**2).sum() - pt.exp(c).sum()


def ratio_of(a, b, c, data=DATA):
    return -((data - a - b[0]) ** 2).sum() + pt.log1p(c**2).sum() * b.prod()


@pytest.mark.parametrize("gradient", [False, True])
def test_values_and_gradient_are_those_of_pytensor(gradient):
    inputs, beta = [A, B, C], pt.dscalar()
    base, ratio = base_of(*inputs), ratio_of(*inputs)
    density = NativeDensity(inputs, SHAPES, base, ratio, gradient=gradient)
    states, betas = RNG.normal(size=(5, 8)), np.linspace(0, 1, 5)
    found = density(states, betas)
    slopes = pt.grad(base + beta * ratio, inputs) if gradient else []
    oracle = compile_function([*inputs, beta], [base, ratio, *slopes], mode="FAST_COMPILE")
    for x, b, row in zip(states, betas, found, strict=True):
        parts = np.asarray(x[0]), x[1:4], x[4:].reshape(2, 2)
        expected = np.concatenate([np.ravel(v) for v in oracle(*parts, np.asarray(b))])
        np.testing.assert_allclose(row, expected, rtol=1e-12)


def test_an_input_that_matters_to_nothing_has_slope_zero():
    density = NativeDensity([A, B], [(), (2,)], -(A**2), pt.constant(1.5), gradient=True)
    np.testing.assert_array_equal(density([[3.0, 1.0, 2.0]], 0.5), [[-9.0, 1.5, -6.0, 0.0, 0.0]])


def test_inputs_of_single_precision():
    single = pt.fvector("single")
    density = NativeDensity([single], [(2,)], -(single**2).sum(), single[0].astype("int8"), True)
    np.testing.assert_array_equal(density([[1.5, 2.0]]), [[-6.25, 1.0, -3.0, -4.0]])


def test_other_data_of_the_same_shape_need_no_compilation():
    hits = []
    for seed in (1, 2):
        data = np.random.default_rng(seed).normal(size=30)
        density = NativeDensity([A, B, C], SHAPES, base_of(A, B, C), ratio_of(A, B, C, data))
        hits.append(density._function.cache_hits)
        x = np.full(8, 0.5)
        expected = -((data - 1.0) ** 2).sum() + 4 * np.log1p(0.25) / 8
        np.testing.assert_allclose(density([x])[0, 1], expected, rtol=1e-12)
    assert hits[1] == 1


def test_shared_data_are_read_anew():
    data, power = pytensor.shared(np.ones(3)), pytensor.shared(np.float64(2.0))
    scaled = pt.exp(data) * 2.0  # depends on data alone
    density = NativeDensity([A], [()], -(A**power), (scaled * A).sum())
    np.testing.assert_allclose(density([[2.0]]), [[-4.0, 12.0 * np.e]], rtol=1e-14)
    data.set_value(np.zeros(5))
    power.set_value(np.float64(3.0))
    density.refresh()
    np.testing.assert_allclose(density([[2.0]]), [[-8.0, 20.0]], rtol=1e-14)


def test_a_pickle_compiles_the_same_function():
    density = NativeDensity([A, B, C], SHAPES, base_of(A, B, C), ratio_of(A, B, C))
    states = RNG.normal(size=(4, 8))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(density))(states), density(states))


def test_what_fails_is_not_a_number():
    checked = Assert("must be positive")(A, A > 0)
    index = pt.constant(DATA)[A.astype("int64")]
    for term, bad in ((checked, -1.0), (index, 1000.0)):
        density = NativeDensity([A], [()], -(A**2), term)
        found = density([[2.0], [bad], [2.0]])
        assert np.isfinite(found[[0, 2]]).all()
        assert np.isnan(found[1, 1])
        np.testing.assert_array_equal(found[0], found[2])


class InPython(Op):
    """The sum of a vector, without gradient or code for numba."""

    itypes, otypes = (pt.dvector,), (pt.dscalar,)

    def perform(self, node, inputs, outputs):
        outputs[0][0] = np.asarray(inputs[0].sum())


@pytest.mark.parametrize(
    ("inputs", "term", "gradient", "why"),
    [
        ([pt.lvector("whole")], X.sum(), False, "whole.* discrete"),
        ([X], (X * pm.Normal.dist(size=3)).sum(), False, "random draws"),
        ([X], InPython()(X), False, "object mode"),
        ([X], InPython()(X), True, "no gradient"),
    ],
)
def test_what_cannot_be_native_is_refused(inputs, term, gradient, why):
    with pytest.raises(NotNative, match=why):
        NativeDensity(inputs, [(3,)], -(X**2).sum(), term, gradient)


def test_without_pytensors_hook_there_is_a_clear_signal(monkeypatch):
    original = pytensor.function

    def hidden(*args, **kwargs):
        fn = original(*args, **kwargs)
        if hasattr(fn.vm, "jit_fn"):
            del fn.vm.jit_fn
        return fn

    monkeypatch.setattr(pytensor, "function", hidden)
    with pytest.raises(NotNative, match="hides what numba compiles"):
        NativeDensity([X], [(3,)], -(X**2).sum(), X.sum())


def test_native_functions_do_not_depend_on_fast_math(monkeypatch):
    seen, original = [], pytensor.function

    def record(*args, **kwargs):
        seen.append(pytensor.config.numba__fastmath)
        return original(*args, **kwargs)

    monkeypatch.setattr(compile.pytensor, "function", record)
    compile.compile_native(X, pt.dscalar("beta"), [], [X.sum(), X.prod()])
    assert seen == [False]
