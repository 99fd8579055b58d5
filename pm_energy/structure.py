"""An energy taken apart into a hashable structure and its tensor leaves, and put together again.

PyTensor Ops must be hashable and their parameters must be inputs. So a frozen dataclass is
flattened as a tree: classes, names, integers and integer arrays (a graph, say) form the
*structure*, which goes into the Op; floats, float arrays and PyTensor variables are the *leaves*,
which become its inputs.
"""

import hashlib
from dataclasses import dataclass, fields, is_dataclass

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable


class StaticArray:
    """An array of integers, truth values or text, compared and hashed by content."""

    def __init__(self, value):
        if value.dtype.hasobject:
            raise ValueError(f"an array of {value.dtype} cannot be part of an energy: {value!r}")
        self.value = np.array(value)
        self.value.setflags(write=False)
        digest = hashlib.sha256(self.value.tobytes()).hexdigest()
        self.key = (digest, self.value.shape, str(self.value.dtype))

    def __eq__(self, other):
        return isinstance(other, StaticArray) and self.key == other.key

    def __hash__(self):
        return hash(self.key)

    def __repr__(self):
        return f"StaticArray(shape={self.value.shape}, dtype={self.value.dtype})"

    def __reduce__(self):
        return StaticArray, (self.value,)


@dataclass(frozen=True)
class Leaf:
    """The place of a tensor in a structure: its static shape, None where unknown, and dtype."""

    shape: tuple[int | None, ...]
    dtype: str

    @property
    def ndim(self):
        """Number of dimensions."""
        return len(self.shape)


@dataclass(frozen=True)
class Node:
    """A dataclass, tuple, list or dict with its parts."""

    cls: type
    names: tuple[str, ...]
    children: tuple


def _parts(value):
    """Return the names and values of a container's parts, or None if it is not a container."""
    if is_dataclass(value) and not isinstance(value, type):
        names = tuple(f.name for f in fields(value))
        return names, [getattr(value, name) for name in names]
    if isinstance(value, tuple | list):
        return (), list(value)
    if isinstance(value, dict):
        return tuple(value), list(value.values())
    return None


def _is_tensor(value):
    if isinstance(value, Variable | float):
        return True
    return isinstance(value, np.ndarray | np.generic) and np.asarray(value).dtype.kind == "f"


def flatten(value):
    """Take ``value`` apart.

    Returns
    -------
    structure : hashable
        What :func:`unflatten` needs beside the leaves.
    leaves : list of TensorVariable
        The tensors, numbers cast to ``floatX``.

    Examples
    --------
    >>> import pm_energy as pme
    >>> structure, leaves = flatten(pme.Ising(lattice=(3, 3), coupling=0.5))
    >>> [leaf.eval().item() for leaf in leaves]  # coupling and field
    [0.5, 0.0]
    >>> unflatten(structure, leaves).sites
    Lattice(shape=(3, 3), periodic=(True, True), triangular=False)
    """
    if _is_tensor(value):
        if not isinstance(value, Variable):
            value = pt.as_tensor(np.asarray(value, dtype=pytensor.config.floatX))
        return Leaf(value.type.shape, value.dtype), [value]
    parts = _parts(value)
    if parts is not None:
        names, children = parts
        flat = [flatten(child) for child in children]
        leaves = [leaf for _, part in flat for leaf in part]
        return Node(type(value), names, tuple(s for s, _ in flat)), leaves
    if isinstance(value, np.ndarray):
        return StaticArray(value), []
    hash(value)  # anything else is static and must be hashable: fail here, where it is seen
    return value, []


def unflatten(structure, leaves):
    """Put together what :func:`flatten` took apart, around new leaves."""
    remaining = iter(leaves)

    def build(node):
        match node:
            case Leaf():
                return next(remaining)
            case StaticArray():
                return node.value
            case Node(cls=cls, names=names, children=children):
                return _rebuild(cls, names, [build(child) for child in children])
        return node

    return build(structure)


def _rebuild(cls, names, parts):
    if issubclass(cls, dict):
        return cls(zip(names, parts, strict=True))
    if issubclass(cls, tuple | list):
        return cls(*parts) if hasattr(cls, "_fields") else cls(parts)
    obj = object.__new__(cls)  # the parts were checked when they were first put together
    for name, part in zip(names, parts, strict=True):
        object.__setattr__(obj, name, part)
    return obj


def leaf_specs(structure):
    """List the :class:`Leaf` places of a structure in order."""
    match structure:
        case Leaf():
            return [structure]
        case Node(children=children):
            return [leaf for child in children for leaf in leaf_specs(child)]
    return []


def symbolic_like(value):
    """Return ``value`` rebuilt around fresh input variables, those variables, and its leaves."""
    structure, leaves = flatten(value)
    inputs = [
        pt.tensor(f"leaf{i}", dtype=leaf.dtype, shape=leaf.type.shape)
        for i, leaf in enumerate(leaves)
    ]
    return unflatten(structure, inputs), inputs, leaves
