"""Checks for energies, kernels and step methods: yours as well as ours.

A check raises AssertionError with what it found. The statistical ones start *at* the target, draw
exact independent states, make one update each and compare the outcome with the target by
chi-square: valid without thinning, and false alarms happen at a stated rate.
"""

from pm_energy.testing.energies import check_energy
from pm_energy.testing.invariance import (
    FALSE_ALARM,
    check_invariance,
    check_kernel,
    check_step,
    pooled_chisquare,
)

__all__ = [
    "FALSE_ALARM",
    "check_energy",
    "check_invariance",
    "check_kernel",
    "check_step",
    "pooled_chisquare",
]
