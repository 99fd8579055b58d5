"""Diagnostics: draws of a field to observables, summaries and plots."""

from pm_energy.diagnostics.accumulate import FieldAccumulator
from pm_energy.diagnostics.correlations import correlation_function, correlation_length
from pm_energy.diagnostics.means import function_of_means
from pm_energy.diagnostics.observables import (
    binder_cumulant,
    energy_draws,
    heat_capacity,
    magnetisation,
    mean_energy,
    susceptibility,
)
from pm_energy.diagnostics.plot_maps import (
    plot_field,
    plot_site_entropy,
    plot_site_probabilities,
)
from pm_energy.diagnostics.plots import (
    plot_correlation,
    plot_energy_trace,
    plot_marginals,
    plot_observables,
)
from pm_energy.diagnostics.site_maps import (
    posterior_mode,
    site_entropy,
    site_probabilities,
    site_rhat,
)
from pm_energy.diagnostics.summary import field_summaries

__all__ = [
    "FieldAccumulator",
    "binder_cumulant",
    "correlation_function",
    "correlation_length",
    "energy_draws",
    "field_summaries",
    "function_of_means",
    "heat_capacity",
    "magnetisation",
    "mean_energy",
    "plot_correlation",
    "plot_energy_trace",
    "plot_field",
    "plot_marginals",
    "plot_observables",
    "plot_site_entropy",
    "plot_site_probabilities",
    "posterior_mode",
    "site_entropy",
    "site_probabilities",
    "site_rhat",
    "susceptibility",
]
