"""Entropies, divergences, and the distributions that extremise them.

Thin over :mod:`scipy.stats` and :mod:`scipy.special` where these have it. In nats, unless ``base``
says otherwise; distributions lie along the last axis, batches along the leading ones. Sums that
differ from one by rounding (``1e-6``) are divided out, others are errors: nothing is normalised in
silence.
"""

from pm_energy.information.blahut_arimoto import RateDistortion, rate_distortion
from pm_energy.information.divergences import (
    alpha_divergence,
    f_divergence,
    jensen_shannon,
    kl_divergence,
)
from pm_energy.information.entropies import cross_entropy, entropy, perplexity, softmax
from pm_energy.information.from_samples import (
    Estimate,
    differential_entropy,
    kl_monte_carlo,
    wasserstein,
)
from pm_energy.information.joint import conditional_entropy, mutual_information
from pm_energy.information.moment_constraints import MaximumEntropy, maximum_entropy
from pm_energy.information.normal import gaussian_entropy, gaussian_kl

__all__ = [
    "Estimate",
    "MaximumEntropy",
    "RateDistortion",
    "alpha_divergence",
    "conditional_entropy",
    "cross_entropy",
    "differential_entropy",
    "entropy",
    "f_divergence",
    "gaussian_entropy",
    "gaussian_kl",
    "jensen_shannon",
    "kl_divergence",
    "kl_monte_carlo",
    "maximum_entropy",
    "mutual_information",
    "perplexity",
    "rate_distortion",
    "softmax",
    "wasserstein",
]
