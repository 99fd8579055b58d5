"""Small neural networks: one formula as a PyTensor graph, and a compiled kernel equal to it."""

from pm_energy.networks.frozen import frozen
from pm_energy.networks.mlp import MLP

__all__ = ["MLP", "frozen"]
