"""The float parameters of an energy by name, and what its constructor demands of them."""

import inspect
from dataclasses import fields, is_dataclass

import numpy as np
import pytensor.tensor as pt

from pm_energy.compile import ONCE, compile_function, numeric_leaves
from pm_energy.energy import FunctionEnergy
from pm_energy.structure import Leaf, Node, flatten, leaf_specs, unflatten


class Parameters:
    """An energy taken apart into named numbers, some of which are learned.

    Parameters
    ----------
    energy : Energy
        With numeric parameters.
    learn : collection of str, optional
        Names; all by default. A parameter is named after its field, with those of the energies
        around it in front (``"energy.weights"``), or as an argument of a plain function.

    Raises
    ------
    ValueError
        If there are no such names, none at all, or parameters are not numbers.

    Examples
    --------
    >>> import pm_energy as pme
    >>> from pm_energy.training.energy_parameters import Parameters
    >>> list(Parameters(pme.Tempered(pme.Ising(lattice=(3, 3)), 0.5)).values)
    ['energy.coupling', 'energy.field', 'beta']
    """

    def __init__(self, energy, learn=None):
        self.structure, leaves = flatten(energy)
        named = list(leaf_names(self.structure))
        self.values = dict(zip(named, map(np.asarray, numeric_leaves(leaves)), strict=True))
        if not named:
            raise ValueError(f"{type(energy).__name__} has no float parameters to learn")
        learn = named if learn is None else [learn] if isinstance(learn, str) else list(learn)
        unknown = sorted(set(learn) - set(named))
        if unknown or not learn:
            raise ValueError(f"learn must name some of the parameters {named}, got {learn}")
        self.learned = tuple(name for name in named if name in learn)
        self.places = tuple(named.index(name) for name in self.learned)
        self._constrain = None

    def start(self, dtype):
        """Return the learned values the energy came with, as arrays of one dtype."""
        return {name: self.values[name].astype(dtype) for name in self.learned}

    def all(self, theta):
        """Return all values in order as float64 arrays, the learned ones from ``theta``.

        Raises
        ------
        ValueError
            If theta has other names or shapes.
        """
        if theta.keys() != set(self.learned):
            raise ValueError(f"theta must have the names {list(self.learned)}, got {list(theta)}")
        out = []
        for name, value in self.values.items():
            new = np.asarray(theta.get(name, value), dtype=float)
            if new.shape != value.shape:
                raise ValueError(f"theta[{name!r}] must have shape {value.shape}, got {new.shape}")
            out.append(new)
        return out

    def energy(self, theta):
        """Return the energy with these numbers."""
        if self._constrain is None:
            leaves = [pt.tensor(dtype=s.dtype, shape=s.shape) for s in leaf_specs(self.structure)]
            self._constrain = compile_function(leaves, constrained(self.structure, leaves), ONCE)
        return unflatten(self.structure, self._constrain(*self.all(theta)))


def leaf_names(structure, prefix=()):
    """Yield a dotted name for each leaf of a structure, in order."""
    if isinstance(structure, Leaf):
        yield ".".join(prefix)
    elif isinstance(structure, Node):
        names = structure.names or map(str, range(len(structure.children)))
        for name, child in zip(names, structure.children, strict=True):
            inline = structure.cls is FunctionEnergy and name == "parameters"
            yield from leaf_names(child, prefix if inline else (*prefix, name))


def constrained(structure, leaves):
    """Return the leaves as the energies' constructors would keep them.

    Of a coupling matrix that is a variable a constructor takes the symmetric part without the
    diagonal. Going through that map, a gradient keeps a matrix symmetric and its diagonal zero,
    with no rule of its own about which matrices are meant. Only square matrices are looked at.

    Parameters
    ----------
    structure : hashable
        From :func:`pm_energy.structure.flatten`.
    leaves : list of TensorVariable

    Returns
    -------
    list of TensorVariable
    """
    remaining = iter(leaves)

    def walk(node):
        if isinstance(node, Leaf):
            return [next(remaining)]
        if not isinstance(node, Node):
            return []
        flat, own = [], {}
        for i, child in enumerate(node.children):
            part = walk(child)
            if isinstance(child, Leaf) and _is_square(child):
                own[node.names[i] if node.names else ""] = len(flat)
            flat += part
        if own and is_dataclass(node.cls):
            built = _built(node, flat)
            for name, place in own.items() if built is not None else ():
                flat[place] = getattr(built, name)
        return flat

    return walk(structure)


def _is_square(leaf):
    return leaf.ndim == 2 and leaf.shape[0] == leaf.shape[1] != 1


def _built(node, leaves):
    """What a class makes of variables, or None if it cannot be built from its fields."""
    draft = unflatten(node, leaves)
    kept = {f.name: getattr(draft, f.name) for f in fields(node.cls) if f.init}
    arguments = inspect.signature(node.cls).parameters.values()
    if any(a.default is a.empty and a.name not in kept for a in arguments):
        return None
    try:
        return node.cls(**kept)
    except ValueError:  # a lattice, say, that is no field: then this matrix is no coupling
        return None
