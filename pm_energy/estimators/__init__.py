"""scikit-learn estimators that learn an energy from data."""

from pm_energy.estimators.bernoulli_rbm import BernoulliRBM
from pm_energy.estimators.boltzmann_machine import BoltzmannMachine
from pm_energy.estimators.deep_belief import sample_deep_belief
from pm_energy.estimators.diffusion_model import DiffusionModel
from pm_energy.estimators.energy_based_model import EnergyBasedModel
from pm_energy.estimators.energy_matching import EnergyMatching
from pm_energy.estimators.flow_matching import FlowMatching
from pm_energy.estimators.gaussian_mixture import GaussianMixtureEM
from pm_energy.estimators.gaussian_rbm import GaussianRBM
from pm_energy.estimators.hopfield_network import HopfieldNetwork
from pm_energy.estimators.modern_hopfield import ModernHopfield
from pm_energy.estimators.noise_conditional_score import NoiseConditionalScore
from pm_energy.estimators.score_matching import ScoreMatching
from pm_energy.estimators.vae import VariationalAutoencoder

__all__ = [
    "BernoulliRBM",
    "BoltzmannMachine",
    "DiffusionModel",
    "EnergyBasedModel",
    "EnergyMatching",
    "FlowMatching",
    "GaussianMixtureEM",
    "GaussianRBM",
    "HopfieldNetwork",
    "ModernHopfield",
    "NoiseConditionalScore",
    "ScoreMatching",
    "VariationalAutoencoder",
    "sample_deep_belief",
]
