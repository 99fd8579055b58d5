"""From a base that can be drawn to a target that can hardly be: paths and ladders.

A *path* is a family of densities ``base * exp(beta * log_ratio)``, beta from 0 to 1. Every method
of this package that tempers, anneals or normalises works on a path.
"""

from pm_energy.paths.path import Path, make_path

__all__ = ["Path", "make_path"]
