"""Small energies as functions of their parameters, numbers or variables, for tests of learning."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytensor.tensor as pt
from scipy.special import logsumexp

import pm_energy as pme
from pm_energy.exact.enumeration import all_states
from pm_energy.training.energy_model import EnergyModel

RNG = np.random.default_rng(3)
EDGES = [[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]]
DENSE = np.triu(RNG.normal(size=(4, 4)), 1)
DENSE = DENSE + DENSE.T


def cubic(x, a, b):
    """Affine in each unit, with a term of three units."""
    return (
        -(a * x).sum(-1)
        - b * x[..., 0] * x[..., 1] * x[..., 2]
        - 0.4 * (x[..., 1:] * x[..., :-1]).sum(-1)
    )


def bent(x, a, b):
    """Not affine in its units."""
    return pt.exp((a * x).sum(-1)) - b * x[..., 0]


@dataclass(frozen=True)
class Case:
    """An energy as a function of named parameters, and values of these."""

    build: object
    theta: dict

    @cached_property
    def model(self):
        return EnergyModel(self.build(**self.theta))

    @cached_property
    def states(self):
        return all_states(self.model._block)

    def probabilities(self, beta=1.0):
        cost = beta * self.model.free_energy(self.theta, self.states)
        return np.exp(-cost - logsumexp(-cost))


def normal(*shape):
    return 0.7 * RNG.normal(size=shape)


CASES = {
    "ising graph": Case(
        lambda coupling, field: pme.Ising(coupling, field, graph=EDGES),
        {"coupling": normal(5), "field": normal(4)},
    ),
    "ising lattice": Case(
        lambda coupling, field: pme.Ising(coupling, field, lattice=(2, 2)),
        {"coupling": np.array(0.4), "field": normal(2, 2)},
    ),
    "ising dense": Case(
        lambda coupling, field: pme.Ising(coupling, field),
        {"coupling": DENSE, "field": np.array(0.2)},
    ),
    "machine": Case(
        lambda coupling, bias, offset: pme.BoltzmannMachine(coupling, bias, offset=offset),
        {"coupling": DENSE, "bias": normal(4), "offset": np.array(0.5)},
    ),
    "potts": Case(
        lambda coupling, field: pme.Potts(3, coupling, field, graph=EDGES[:3]),
        {"coupling": normal(3), "field": normal(4, 3)},
    ),
    "rbm": Case(
        lambda weights, visible_bias, hidden_bias: pme.RBM(weights, visible_bias, hidden_bias),
        {"weights": normal(4, 2), "visible_bias": normal(4), "hidden_bias": normal(2)},
    ),
    "rbm of spins": Case(
        lambda **theta: pme.Marginal(
            pme.RBM(
                *[theta[f"energy.{name}"] for name in ("weights", "visible_bias", "hidden_bias")],
                visible="spin",
                hidden="spin",
            )
        ),
        {
            "energy.weights": normal(3, 2),
            "energy.visible_bias": normal(3),
            "energy.hidden_bias": normal(2),
        },
    ),
    "cubic": Case(
        lambda a, b: pme.energy_from_function(cubic, pme.Spin(), (4,), a=a, b=b),
        {"a": normal(4), "b": np.array(0.8)},
    ),
    "bent": Case(
        lambda a, b: pme.energy_from_function(bent, pme.Binary(), (3,), a=a, b=b),
        {"a": normal(3), "b": np.array(-0.3)},
    ),
}
