"""Graphs to numbers."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest

import pm_energy as pme
from pm_energy import compile
from pm_energy.compile import compile_function, evaluate_once, is_constant, numeric_leaves

RING = pme.Ising(lattice=(3,))


def test_parts_of_a_large_batch_make_the_whole():
    """Enumeration hands over more states than fit into one part."""
    potts = pme.Potts(3, 0.7, np.random.default_rng(1).normal(size=(4, 3)), lattice=(4,))
    x = np.random.default_rng(2).integers(0, 3, size=(200_000, 4))
    whole = pme.energy_values(potts, x)
    for start in (0, 99_997, 199_993):
        rows = slice(start, start + 7)
        np.testing.assert_array_equal(pme.energy_values(potts, x[rows]), whole[rows])


def test_a_compiler_is_asked_where_python_would_loop_over_many_elements(monkeypatch):
    """NumPy has no softplus; the compiled function gives the same energies."""
    rbm = pme.Marginal(pme.RBM(np.random.default_rng(3).normal(size=(3, 2))))
    x = np.random.default_rng(4).integers(0, 2, size=(9, 3))
    plain = pme.energy_values(rbm, x)
    asked = []

    def record(inputs, outputs, mode=None):
        asked.append(mode)
        return compile_function(inputs, outputs, mode)

    monkeypatch.setattr(compile, "compile_function", record)
    monkeypatch.setattr(compile, "COMPILER_PAYS", 26)
    np.testing.assert_allclose(pme.energy_values(rbm, x), plain, rtol=1e-14)
    assert asked == [None]
    pme.energy_values(pme.Ising(lattice=(7,)), np.ones((9, 7)))  # ufuncs only
    assert asked == [None, compile.ONCE]


def test_no_states_have_no_energies():
    assert pme.energy_values(RING, np.empty((0, 3))).shape == (0,)


def test_shared_data_count_as_numbers_and_are_read_anew():
    field = pytensor.shared(0.5)
    energy = pme.Ising(0.0, field, lattice=(3,))
    assert pme.energy_values(energy, [[1, 1, 1]]) == -1.5
    field.set_value(1.0)
    assert pme.energy_values(energy, [[1, 1, 1]]) == -3.0


@pytest.mark.parametrize(
    "coupling", [pt.dscalar(), pm.Normal.dist(), 2.0 * pm.HalfNormal.dist() + pt.dscalar()]
)
def test_unknown_or_random_parameters_are_refused(coupling):
    """A random one would be drawn anew at each call."""
    with pytest.raises(ValueError, match="parameters must be numbers here"):
        pme.energy_values(pme.Ising(coupling, lattice=(3,)), [[1, 1, 1]])


def test_leaves_that_are_numbers_are_returned_as_they_are():
    values = numeric_leaves([pt.constant(1.5), pytensor.shared(2.0) * 2])
    assert [float(v) for v in values] == [1.5, 4.0]


def test_constant_graphs_are_told_from_others():
    assert is_constant([pytensor.shared(1.0) * 2, pt.constant(3)])
    assert not is_constant([pt.constant(3) + pt.dscalar()])


def test_the_number_of_blocks_and_of_their_states_is_checked():
    rbm = pme.RBM(np.ones((3, 2)))
    with pytest.raises(ValueError, match="RBM has 2 blocks of units: pass states for each, got 1"):
        pme.energy_values(rbm, np.ones((4, 3)))
    with pytest.raises(ValueError, match="states of the blocks differ in number: 4, 5"):
        pme.energy_values(rbm, np.ones((4, 3)), np.ones((5, 2)))
    with pytest.raises(ValueError, match=r"states must have shape \(B, 2\), got \(4, 3\)"):
        pme.energy_values(rbm, np.ones((4, 3)), np.ones((4, 3)))


def test_compiled_functions_do_not_depend_on_fast_math():
    """Its order of summation differs between a cold and a warm cache."""
    seen = []

    def record(*args, **kwargs):
        seen.append(pytensor.config.numba__fastmath)
        return original(*args, **kwargs)

    original = pytensor.function
    x = pt.dvector()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytensor, "function", record)
        fn = compile_function([x], x.sum(), mode="FAST_COMPILE")
    assert seen == [False]
    assert fn(np.ones(3)) == 3.0
    assert evaluate_once(pt.constant(2.0) * 3) == 6.0
