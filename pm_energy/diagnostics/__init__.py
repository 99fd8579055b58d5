"""Diagnostics: draws of a field to observables, summaries and plots."""

from pm_energy.diagnostics.accumulate import FieldAccumulator
from pm_energy.diagnostics.correlations import correlation_function, correlation_length
from pm_energy.diagnostics.denoising import fisher_divergence, psnr, ssim
from pm_energy.diagnostics.energy_histograms import energy_histograms
from pm_energy.diagnostics.learning import (
    coupling_recovery,
    receptive_fields,
    training_curves,
)
from pm_energy.diagnostics.means import function_of_means
from pm_energy.diagnostics.observables import (
    binder_cumulant,
    energy_draws,
    heat_capacity,
    magnetisation,
    mean_energy,
    susceptibility,
)
from pm_energy.diagnostics.plot_energies import plot_energy_histograms, plot_free_energy
from pm_energy.diagnostics.plot_ladders import plot_barrier, plot_ladder
from pm_energy.diagnostics.plot_learning import (
    plot_couplings,
    plot_samples,
    plot_training,
    plot_weights,
)
from pm_energy.diagnostics.plot_maps import (
    plot_field,
    plot_site_entropy,
    plot_site_probabilities,
)
from pm_energy.diagnostics.plot_population import plot_population
from pm_energy.diagnostics.plot_scores import (
    plot_noise_levels,
    plot_score_field,
    plot_trajectories,
)
from pm_energy.diagnostics.plot_travel import plot_levels, plot_replicas, plot_round_trips
from pm_energy.diagnostics.plot_work import plot_work
from pm_energy.diagnostics.plots import (
    plot_correlation,
    plot_energy_trace,
    plot_marginals,
    plot_observables,
)
from pm_energy.diagnostics.population import population_profile
from pm_energy.diagnostics.run_summary import tempering_summary
from pm_energy.diagnostics.site_maps import (
    posterior_mode,
    site_entropy,
    site_probabilities,
    site_rhat,
)
from pm_energy.diagnostics.summary import field_summaries
from pm_energy.diagnostics.tempering import (
    communication_barrier,
    ladder_profile,
    level_visits,
    replica_levels,
    round_trips,
)
from pm_energy.diagnostics.two_sample import c2st, mmd
from pm_energy.diagnostics.work import work_profile
from pm_energy.trust import check_tempering

__all__ = [
    "FieldAccumulator",
    "binder_cumulant",
    "c2st",
    "check_tempering",
    "communication_barrier",
    "correlation_function",
    "correlation_length",
    "coupling_recovery",
    "energy_draws",
    "energy_histograms",
    "field_summaries",
    "fisher_divergence",
    "function_of_means",
    "heat_capacity",
    "ladder_profile",
    "level_visits",
    "magnetisation",
    "mean_energy",
    "mmd",
    "plot_barrier",
    "plot_correlation",
    "plot_couplings",
    "plot_energy_histograms",
    "plot_energy_trace",
    "plot_field",
    "plot_free_energy",
    "plot_ladder",
    "plot_levels",
    "plot_marginals",
    "plot_noise_levels",
    "plot_observables",
    "plot_population",
    "plot_replicas",
    "plot_round_trips",
    "plot_samples",
    "plot_score_field",
    "plot_site_entropy",
    "plot_site_probabilities",
    "plot_training",
    "plot_trajectories",
    "plot_weights",
    "plot_work",
    "population_profile",
    "posterior_mode",
    "psnr",
    "receptive_fields",
    "replica_levels",
    "round_trips",
    "site_entropy",
    "site_probabilities",
    "site_rhat",
    "ssim",
    "susceptibility",
    "tempering_summary",
    "training_curves",
    "work_profile",
]
