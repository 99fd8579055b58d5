"""Energies taken apart and put together again."""

import pickle
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import pm_energy as pme
from pm_energy.structure import StaticArray, flatten, leaf_specs, symbolic_like, unflatten


class Pair(NamedTuple):
    size: int
    value: Any


@dataclass(frozen=True, eq=False)
class Holder:
    content: Any


CONTENTS = [
    1.5,
    np.float32(2.0),
    np.arange(6.0).reshape(2, 3),
    3,
    "name",
    None,
    True,
    (1, 2.5, "x"),
    [0.5, [1, np.ones(2)]],
    {"a": 1.0, "b": (2, np.arange(3))},
    Pair(2, 0.5),
    Holder(Pair(1, {"x": np.ones((2, 2))})),
    np.array(["a", "b"]),
    np.array([True, False]),
]


def numbers(value):
    """Everything in a container as a flat list, containers by name."""
    if isinstance(value, Holder):
        return ["Holder", *numbers(value.content)]
    if isinstance(value, dict):
        return ["dict", *value, *[n for v in value.values() for n in numbers(v)]]
    if isinstance(value, tuple | list):
        return [type(value).__name__, *[n for v in value for n in numbers(v)]]
    if isinstance(value, pytensor.graph.basic.Constant):
        value = value.data
    return [np.asarray(value).tolist()]


@pytest.mark.parametrize("content", CONTENTS, ids=repr)
def test_what_is_taken_apart_is_put_together_the_same(content):
    structure, leaves = flatten(Holder(content))
    assert numbers(unflatten(structure, leaves)) == numbers(Holder(content))
    assert len(leaf_specs(structure)) == len(leaves)
    for leaf, spec in zip(leaves, leaf_specs(structure), strict=True):
        assert (leaf.type.shape, leaf.dtype, leaf.ndim) == (spec.shape, spec.dtype, spec.ndim)


@pytest.mark.parametrize("content", CONTENTS, ids=repr)
def test_structures_hash_and_compare_by_content_and_survive_pickling(content):
    structure = flatten(Holder(content))[0]
    again = flatten(Holder(content))[0]
    assert structure == again
    assert hash(structure) == hash(again)
    assert pickle.loads(pickle.dumps(structure)) == structure


def test_structures_differ_where_static_parts_differ():
    energies = [
        pme.Ising(lattice=(3, 4)),
        pme.Ising(lattice=(4, 3)),
        pme.Ising(lattice=(3, 4), periodic=False),
        pme.Ising(lattice=(3, 4), triangular=True),
        pme.Ising(lattice=(3, 4), field=np.zeros((3, 4))),
        pme.Ising(graph=[[0, 1], [1, 2]]),
        pme.Ising(graph=[[0, 1], [0, 2]]),
        pme.Ising(graph=[[0, 1], [1, 2]], n_sites=4),
        pme.Tempered(pme.Ising(lattice=(3, 4)), 0.5),
    ]
    assert len({flatten(energy)[0] for energy in energies}) == len(energies)


def test_values_of_parameters_are_no_part_of_the_structure():
    one, other = (pme.Ising(graph=[[0, 1]], coupling=j) for j in (0.5, -2.0))
    assert flatten(one)[0] == flatten(other)[0]


def test_arrays_with_the_same_bytes_but_another_shape_or_dtype_differ():
    a = np.arange(4)
    same = [StaticArray(x) for x in (a, a.copy(), a.reshape(2, 2), a.view(np.uint64))]
    assert len(set(same)) == 3
    with pytest.raises(ValueError, match="read-only"):
        same[0].value[0] = 1


def test_a_static_array_is_a_copy():
    mask = np.array([True, False])
    structure = flatten(Holder(mask))[0]
    mask[:] = False
    assert unflatten(structure, []).content.tolist() == [True, False]


def test_what_cannot_be_compared_by_content_is_refused():
    with pytest.raises(ValueError, match="cannot be part of an energy"):
        flatten(Holder(np.array([object()])))
    with pytest.raises(TypeError, match="unhashable"):
        flatten(Holder({1, 2}))


def test_numbers_are_cast_to_float_x_and_variables_kept():
    x = pt.fvector("x")
    _, leaves = flatten(Holder((0.5, np.float32(1.0), x)))
    assert [leaf.dtype for leaf in leaves] == [pytensor.config.floatX] * 2 + ["float32"]
    assert leaves[2] is x


def test_symbolic_twin_has_inputs_in_place_of_parameters():
    twin, inputs, leaves = symbolic_like(pme.RBM(np.ones((3, 2))))
    assert twin.weights is inputs[0]
    assert [i.type.shape for i in inputs] == [leaf.type.shape for leaf in leaves]
    assert twin.shape == (3, 2)
