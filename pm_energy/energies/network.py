"""What energies of pair couplings share: codings of their units, and checks of their parameters."""

import numpy as np

from pm_energy.domains import Binary, Real, Spin
from pm_energy.validate import (
    need_numbers,
    parameter,
    shape_matches,
    static_shape,
    symmetric_coupling,
)

CODINGS = {"binary": Binary(), "spin": Spin(), "gaussian": Real()}


def choice(name, value, allowed):
    """Raise a ValueError unless ``value`` is one of the names allowed."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def fits(name, value, n):
    """Raise a ValueError unless a parameter is a scalar or has an entry for each of n units."""
    if value.ndim and not shape_matches(value, (n,)):
        raise ValueError(f"{name} must be a scalar or of shape ({n},), got {static_shape(value)}")


def network(coupling, **vectors):
    """Check a coupling matrix and vectors; return them by name, with the number of units ``n``."""
    coupling = symmetric_coupling("coupling", parameter("coupling", coupling))
    vectors = {name: parameter(name, value, (0, 1)) for name, value in vectors.items()}
    shapes = [static_shape(value) for value in (coupling, *vectors.values())]
    n = next((shape[0] for shape in shapes if shape and shape[0]), None)
    if n is None:
        raise ValueError("coupling must have a known number of units; use pt.specify_shape")
    for name, value in vectors.items():
        fits(name, value, n)
    return {"coupling": coupling, **vectors, "n": n}


def numeric_network(energy):
    """Return the coupling (n, n) and bias (n,) of a network whose parameters are numbers."""
    need_numbers(energy, "recall")
    bias = (energy.external - energy.threshold) * np.ones(energy.n)
    return np.ascontiguousarray(energy.coupling), bias
