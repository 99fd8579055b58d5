"""Checks of the parameters of kernels: what was wrong, what was expected, what to do."""

import numpy as np


def finite_array(name, value, shape, dtype=np.float64):
    """Return ``value`` as a C-contiguous array of finite numbers.

    Parameters
    ----------
    name : str
        Name of the argument, for messages.
    value : array_like
    shape : tuple of int or None
        What it must be; None stands for any length but zero.
    dtype : dtype

    Raises
    ------
    ValueError
    """
    array = np.ascontiguousarray(value, dtype)
    fits = np.ndim(value) == len(shape) and all(
        size == n if n is not None else size > 0 for n, size in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = "".join("n, " if n is None else f"{n}, " for n in shape)
        raise ValueError(f"{name} must have shape ({wanted[:-2]}), got {np.shape(value)}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return array


def positive_array(name, value, shape, dtype=np.float64):
    """Return ``value`` as a C-contiguous array of finite numbers above zero."""
    array = finite_array(name, value, shape, dtype)
    if not (array > 0).all():
        raise ValueError(f"{name} must be positive, got {array.min():.4g}")
    return array


def ladder(betas):
    """Return inverse temperatures from 0 to 1 as a float64 vector.

    Raises
    ------
    ValueError
        If they do not start at 0, end at 1 and increase.
    """
    betas = finite_array("betas", betas, (None,))
    if len(betas) < 2 or betas[0] != 0 or betas[-1] != 1 or not (np.diff(betas) > 0).all():
        raise ValueError(
            "betas must increase from 0 to 1, as np.linspace(0, 1, 1001) does; got "
            f"{len(betas)} from {betas[0]:.4g} to {betas[-1]:.4g}"
        )
    return betas
