"""Diffusion and flows: how data become noise, and noise data, given a score.

Samplers take a predictor, a function of points (N, d) and a time, and what it predicts; see
``predictions``. Where it comes from, a network or :class:`DiffusedMixture`, is not their concern.
"""

from pm_energy.diffusion.ancestral import ddpm, posterior, reverse_variance
from pm_energy.diffusion.bound import VariationalBound, variational_bound
from pm_energy.diffusion.ddim import ddim, ddim_inversion
from pm_energy.diffusion.dpm_solver import dpm_solver
from pm_energy.diffusion.guidance import guide
from pm_energy.diffusion.langevin import annealed_langevin, langevin
from pm_energy.diffusion.mixture import DiffusedMixture
from pm_energy.diffusion.ode import heun, log_likelihood, probability_flow
from pm_energy.diffusion.predictions import PREDICTIONS, convert
from pm_energy.diffusion.predictor_corrector import predictor_corrector
from pm_energy.diffusion.sample import sample
from pm_energy.diffusion.schedules import (
    NoiseSchedule,
    StraightPath,
    VarianceExploding,
    time_grid,
)
from pm_energy.diffusion.sde import reverse_drift, reverse_sde
from pm_energy.diffusion.variance_preserving import (
    CosineVP,
    StepwiseVP,
    SubVP,
    VariancePreserving,
)

__all__ = [
    "PREDICTIONS",
    "CosineVP",
    "DiffusedMixture",
    "NoiseSchedule",
    "StepwiseVP",
    "StraightPath",
    "SubVP",
    "VarianceExploding",
    "VariancePreserving",
    "VariationalBound",
    "annealed_langevin",
    "convert",
    "ddim",
    "ddim_inversion",
    "ddpm",
    "dpm_solver",
    "guide",
    "heun",
    "langevin",
    "log_likelihood",
    "posterior",
    "predictor_corrector",
    "probability_flow",
    "reverse_drift",
    "reverse_sde",
    "reverse_variance",
    "sample",
    "time_grid",
    "variational_bound",
]
