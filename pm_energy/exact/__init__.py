"""Exact answers: enumeration, transfer matrices, Kaufman's torus. The oracle of every test."""

from pm_energy.exact.enumeration import (
    Moments,
    all_states,
    distribution,
    draw,
    log_partition,
    moments,
    state_number,
)

__all__ = [
    "Moments",
    "all_states",
    "distribution",
    "draw",
    "log_partition",
    "moments",
    "state_number",
]
