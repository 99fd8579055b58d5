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
from pm_energy.exact.kaufman import (
    log_partition_torus,
    spontaneous_magnetisation,
    torus_energy_per_site,
    torus_heat_capacity_per_site,
)
from pm_energy.exact.transfer import log_partition_potts_strip, log_partition_strip

__all__ = [
    "Moments",
    "all_states",
    "distribution",
    "draw",
    "log_partition",
    "log_partition_potts_strip",
    "log_partition_strip",
    "log_partition_torus",
    "moments",
    "spontaneous_magnetisation",
    "state_number",
    "torus_energy_per_site",
    "torus_heat_capacity_per_site",
]
