"""Loops over arrays: numba and numpy only, no PyMC and no PyTensor."""
