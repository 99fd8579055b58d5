"""What a network is told besides x: features of a time or a noise level, and a label.

Each formula is written once, for numpy and for PyTensor.

References
----------
.. [1] Tancik et al. (2020), "Fourier features let networks learn high frequency functions in low
   dimensional domains", NeurIPS.
"""

import math
from functools import cache

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from pm_energy.validate import numeric_array

CYCLES = (0.25, 8.0)  # of the slowest and of the fastest wave over the range of times


def time_waves(t, n_features, time_range, dtype):
    """Sines and cosines of a time, at frequencies in geometric progression [1]_.

    Parameters
    ----------
    t : array or TensorVariable, shape (N,)
    n_features : int
        Even.
    time_range : tuple of two float
        Times that the waves resolve; the slowest makes a quarter turn between them.
    dtype : str or dtype

    Returns
    -------
    array or TensorVariable, shape (N, n_features)

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.networks.features import time_waves
    >>> print(time_waves(np.array([0.0, 1.0]), 2, (0.0, 1.0), "float64").round(6) + 0.0)
    [[0. 1.]
     [1. 0.]]

    References
    ----------
    .. [1] Tancik et al. (2020), "Fourier features let networks learn high frequency functions in
       low dimensional domains", NeurIPS.
    """
    xp = pt if isinstance(t, Variable) else np
    phase, _ = _phases(t, n_features, time_range)
    return xp.concatenate([xp.sin(phase), xp.cos(phase)], axis=1).astype(dtype)


def time_wave_slopes(t, n_features, time_range, dtype):
    """Derivatives of :func:`time_waves` in the time, of an array; arguments are its own.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.networks.features import time_wave_slopes
    >>> print(time_wave_slopes(np.array([0.0]), 2, (0.0, 1.0), "float64").round(4))  # pi / 2
    [[ 1.5708 -0.    ]]
    """
    phase, turns = _phases(t, n_features, time_range)
    return np.concatenate([turns * np.cos(phase), -turns * np.sin(phase)], axis=1).astype(dtype)


def _phases(t, n_features, time_range):
    low, high = time_range
    turns = _turns(n_features // 2, high - low)
    # float32 would blur the fast waves
    return (t.astype("float64")[:, None] - low) * turns, turns


@cache
def _turns(n_waves, span):
    return 2 * math.pi * np.geomspace(*CYCLES, n_waves) / span


def one_hot(label, n_classes, dtype):
    """Rows with a one at the label; no label, -1, is a row of zeros.

    Parameters
    ----------
    label : array or TensorVariable of int, shape (N,)
    n_classes : int
    dtype : str or dtype

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.networks.features import one_hot
    >>> one_hot(np.array([1, -1]), 2, "float64")
    array([[0., 1.],
           [0., 0.]])
    """
    away = label[:, None] - np.arange(n_classes)
    return (pt.eq(away, 0) if isinstance(label, Variable) else away == 0).astype(dtype)


def checked_labels(label, n_classes):
    """Return labels as an array of int64.

    Raises
    ------
    ValueError
        Unless they are integers from -1 to ``n_classes - 1``.
    """
    label = numeric_array("label", label)
    if label.dtype.kind not in "iu":
        raise ValueError(f"label must be integers, got {label.dtype}")
    if label.size and not (label.min() >= -1 and label.max() < n_classes):
        raise ValueError(
            f"label must be from 0 to {n_classes - 1}, or -1 for none; got {label.min()} to "
            f"{label.max()}"
        )
    return label.astype(np.int64)


def one_a_row(name, values, n):
    """Return a number, or one for each row, as an array of n rows.

    Raises
    ------
    ValueError
        If it has any other shape.
    """
    if values.shape not in ((), (n,)):
        raise ValueError(f"{name} must be a number or have shape ({n},), got {values.shape}")
    return values if values.ndim else np.broadcast_to(values, (n,))
