"""Checks of arguments: what was wrong, what was expected, what to do."""

import dataclasses
import numbers
import reprlib

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.tensor.type import TensorType


def parameter(name, value, ndim=None):
    """Return ``value`` as a float array, or as it is if it is a PyTensor variable.

    Parameters
    ----------
    name : str
        Name of the argument, for messages.
    value : tensor_like
        Number, array or PyTensor variable.
    ndim : int or tuple of int, optional
        Allowed numbers of dimensions.

    Raises
    ------
    ValueError
        If a numeric value is not numeric, not finite or has another number of dimensions.
    """
    if isinstance(value, Constant):
        value = value.data
    value = _tensor(name, value) if isinstance(value, Variable) else _array(name, value)
    allowed = (ndim,) if isinstance(ndim, int) else ndim
    if allowed is not None and value.ndim not in allowed:
        wanted = " or ".join(str(n) for n in allowed)
        raise ValueError(f"{name} must have {wanted} dimension(s), got {value.ndim}")
    return value


def numeric_array(name, value):
    """Return ``value`` as an array of real numbers, or raise a ValueError."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array: {error}; got {reprlib.repr(value)}") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be numeric, got {reprlib.repr(value)}; lists of PyTensor variables "
            "become one by pt.stack"
        )
    if np.ma.is_masked(value):
        raise ValueError(f"{name} must have no masked entries")
    return array


def _array(name, value):
    array = numeric_array(name, value)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return np.array(array, dtype=pytensor.config.floatX)


def _tensor(name, value):
    if not isinstance(value.type, TensorType) or value.dtype.startswith("complex"):
        raise ValueError(f"{name} must be a real tensor, got {value.type}")
    return value if value.dtype.startswith("float") else value.astype(pytensor.config.floatX)


def is_numeric(value):
    """Whether a parameter is known now (an array, not a PyTensor variable)."""
    return not isinstance(value, Variable)


def need_numbers(energy, purpose):
    """Raise a ValueError if a parameter of an energy is a PyTensor variable."""
    for field in dataclasses.fields(energy):
        if not is_numeric(getattr(energy, field.name)):
            raise ValueError(
                f"{field.name} is a PyTensor variable; {purpose} needs numbers. Build the "
                f"{type(energy).__name__} from them"
            )


def static_shape(value):
    """Shape as a tuple, with None where a PyTensor variable does not know it."""
    return tuple(value.type.shape) if isinstance(value, Variable) else value.shape


def shape_matches(value, shape):
    """Whether a parameter has, or may have, the given shape (None matches anything)."""
    own = static_shape(value)
    return len(own) == len(shape) and all(
        a is None or b is None or a == b for a, b in zip(own, shape, strict=True)
    )


def symmetric_coupling(name, value):
    """Return a coupling matrix that is exactly symmetric and free of self-coupling.

    A numeric one must be so already. Of a PyTensor variable, which cannot be checked, the symmetric
    part without the diagonal is taken: sweeps read rows, the energy reads both triangles, and they
    must not differ.
    """
    shape = static_shape(value)
    if len(shape) != 2 or 0 in shape or (None not in shape and shape[0] != shape[1]):
        raise ValueError(f"{name} must be a square matrix (n, n), got shape {shape}")
    if not is_numeric(value):
        return pt.fill_diagonal((value + value.T) / 2, 0.0)
    scale = np.abs(value).max()
    if np.abs(value - value.T).max() > 1e-8 * scale:
        raise ValueError(
            f"{name} must be symmetric; it differs from its transpose by "
            f"{np.abs(value - value.T).max():.3g}. Pass (J + J.T) / 2 if that is what you mean"
        )
    if np.any(np.diag(value) != 0):
        unit = int(np.flatnonzero(np.diag(value))[0])
        raise ValueError(
            f"{name} must have a zero diagonal (no self-coupling), but {name}[{unit}, {unit}] = "
            f"{value[unit, unit]:.3g}. Set it to zero; a term x_i**2 belongs into the bias"
        )
    return (value + value.T) / 2


def positive_int(name, value):
    """Return ``value`` as an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)


def positive(name, value):
    """Return a parameter whose numeric values must all be above zero."""
    value = parameter(name, value)
    if is_numeric(value) and not np.all(value > 0):
        raise ValueError(f"{name} must be positive, got {np.min(value):.4g}")
    return value


def states_in_domain(name, values, domain):
    """Return an array of states in the dtype of ``domain``, checked before a cast can hide errors.

    Raises
    ------
    ValueError
        If an entry is not a state, or not finite where units are real-valued.
    """
    values = numeric_array(name, values)
    if domain.states is None:
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity")
        return values.astype(domain.dtype)
    wrong = values[~np.isin(values, domain.states)]
    if wrong.size:
        allowed = domain.states.tolist()
        shown = allowed if len(allowed) <= 4 else f"0, ..., {allowed[-1]}"
        raise ValueError(
            f"{name} contains the value {wrong.flat[0]}; the allowed states are {shown}"
        )
    return values.astype(domain.dtype)
