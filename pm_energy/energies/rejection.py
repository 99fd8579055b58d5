"""Exact draws by rejection."""

import numpy as np

from pm_energy.validate import is_numeric


def numbers(energy, *names):
    """Return the named parameters for drawing, or say which one is not a number."""
    values = [getattr(energy, name) for name in names]
    for name, value in zip(names, values, strict=True):
        if not is_numeric(value):
            raise ValueError(f"{name} is a PyTensor variable; draw needs numbers")
    return values


def rejection(accepted, size):
    """Collect ``size`` rows from ``accepted(m)``, those of m proposals that passed."""
    parts, missing = [], size
    while missing > 0:
        part = accepted(min(max(1024, 2 * missing), 2**18))[:missing]
        parts.append(part)
        missing -= len(part)
    return np.concatenate(parts) if parts else accepted(1)[:0]
