"""States that move along a path between two densities, by different roads behind one interface."""

from pm_energy.walkers.base import Walkers

__all__ = ["Walkers"]
