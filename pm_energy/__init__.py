"""pm_energy: energy-based and Boltzmann models for PyMC.

Write an energy once, and PyMC can use it as a distribution, sample it well and diagnose it.

Names load when they are first used, so importing the package costs next to nothing beside PyMC.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "pm_energy.domains": ("Binary", "Categorical", "Real", "Spin"),
    "pm_energy.energies.sites": ("Graph", "Lattice"),
    "pm_energy.energies.ising": ("Ising",),
    "pm_energy.energies.potts": ("Potts",),
    "pm_energy.energies.boltzmann": ("RBM", "BoltzmannMachine"),
    "pm_energy.energies.hopfield": ("Hopfield", "Recall"),
    "pm_energy.energies.graded_hopfield": ("GradedHopfield",),
    "pm_energy.energies.modern_hopfield": ("ModernHopfield",),
    "pm_energy.energies.dense_memory": ("ExponentialMemory", "PolynomialMemory"),
    "pm_energy.energies.retrieval": ("Retrieval",),
    "pm_energy.energies.landscapes": ("DoubleWell", "Funnel", "MuellerBrown", "Rosenbrock"),
    "pm_energy.energies.gaussian_mixture": ("GaussianMixtureEnergy",),
    "pm_energy.energies.multimodal": ("Eggbox", "GaussianShells"),
    "pm_energy.energies.neural": ("NeuralEnergy",),
    "pm_energy.networks": ("MLP",),
    "pm_energy.energy": (
        "Block",
        "Energy",
        "couplings",
        "energy_from_function",
        "evaluate",
        "field",
        "free_energy",
    ),
    "pm_energy.sufficient_statistics": ("fisher_information", "statistics"),
    "pm_energy.compose": ("Clamped", "Joined", "Marginal", "Sum", "Tempered"),
    "pm_energy.compile": ("energy_values",),
    "pm_energy.hidden": ("sample_hidden",),
    "pm_energy.step_methods": (
        "Boltzmann",  # from here, because importing it tells PyMC of EnergyGibbs
        "EnergyCluster",
        "EnergyExchange",
        "EnergyGibbs",
        "Road",
        "exchange_bias",
        "explain_sampler",
    ),
    "pm_energy.step_methods.langevin": ("MALA",),
    "pm_energy.step_methods.simulated_tempering": ("SimulatedTempering",),
    "pm_energy.sampling.parallel_tempering": ("sample_parallel_tempering",),
    "pm_energy.sampling.population_annealing": ("sample_population_annealing",),
    "pm_energy.sampling.simulated_tempering": ("sample_simulated_tempering",),
    "pm_energy.sampling.langevin": ("sample_langevin",),
    "pm_energy.sampling.ais": ("ais",),
    "pm_energy.sampling.annealing": ("anneal",),
    "pm_energy.sampling.anneal_result": ("Annealed",),
    "pm_energy.partition": (
        "EvidenceWarning",
        "LogPartition",
        "evidence_table",
        "free_energy_curve",
        "log_evidence",
        "second_law",
    ),
    "pm_energy.trust": ("check_tempering",),
    "pm_energy.estimators": (
        "BernoulliRBM",
        "DiffusionModel",
        "EnergyBasedModel",
        "EnergyMatching",
        "FlowMatching",
        "GaussianMixtureEM",
        "GaussianRBM",
        "HopfieldNetwork",
        "NoiseConditionalScore",
        "ScoreMatching",
        "VariationalAutoencoder",
        "sample_deep_belief",
    ),
    "pm_energy.diagnostics": (
        "plot_barrier",
        "plot_energy_histograms",
        "plot_free_energy",
        "plot_ladder",
        "plot_levels",
        "plot_population",
        "plot_replicas",
        "plot_round_trips",
        "plot_work",
        "tempering_summary",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = (
    "diagnostics",
    "diffusion",
    "estimators",
    "exact",
    "information",
    "networks",
    "testing",
    "training",
)

__all__ = ["__version__", *_MODULES, *sorted(_HOME_OF)]


def __getattr__(name):
    if name in _HOME_OF:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"pm_energy.{name}")
    else:
        raise AttributeError(f"module 'pm_energy' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return __all__
