"""The checks for users' energies, kernels and steps: right ones pass, wrong ones do not."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from pytensor.gradient import disconnected_grad
from scipy.stats import binom

import pm_energy as pme
from pm_energy.forms import SpinPairs, normal_form
from pm_energy.testing import (
    FALSE_ALARM,
    check_energy,
    check_invariance,
    check_kernel,
    check_step,
    energies,
    pooled_chisquare,
)

RNG = np.random.default_rng(11)


def symmetric(n):
    matrix = RNG.normal(size=(n, n))
    return (matrix + matrix.T) * (1 - np.eye(n)) / 2


@dataclass(frozen=True, eq=False)
class ThreeSpin:
    """A user's own energy: a ring of spins with couplings of three neighbours."""

    coupling: Any
    domain: ClassVar = pme.Spin()
    event_shape: ClassVar = (5,)

    def __call__(self, s):
        return -self.coupling * (s * pt.roll(s, 1, axis=-1) * pt.roll(s, 2, axis=-1)).sum(axis=-1)


def ring(formula, domain=None, n=5, **parameters):
    return pme.energy_from_function(formula, domain or pme.Spin(), (n,), **parameters)


RBM = RNG.normal(size=(5, 3)), RNG.normal(size=5), RNG.normal(size=3)
MASK = np.eye(3, dtype=bool)
ISING = pme.Ising(lattice=(3, 3), coupling=0.4, field=RNG.normal(size=(3, 3)))
GOOD = {
    "torus": ISING,
    "free lattice": pme.Ising(lattice=(2, 3, 2), coupling=RNG.normal(size=20), periodic=False),
    "triangular": pme.Ising(lattice=(3, 4), triangular=True, coupling=0.2),
    "graph": pme.Ising(graph=[[0, 1], [1, 2], [2, 0], [2, 4]], coupling=RNG.normal(size=4)),
    "dense": pme.Ising(symmetric(6), field=0.3),
    "machine": pme.BoltzmannMachine(symmetric(6), RNG.normal(size=6)),
    "spin machine": pme.BoltzmannMachine(symmetric(6), coding="spin", offset=2.0),
    "Potts": pme.Potts(3, lattice=(2, 3), coupling=0.5, field=RNG.normal(size=(2, 3, 3))),
    "Potts graph": pme.Potts(4, graph=[[0, 1], [1, 2]], coupling=RNG.normal(size=2)),
    "dense Potts": pme.Potts(3, symmetric(4), RNG.normal(size=3)),
    "RBM": pme.Marginal(pme.RBM(*RBM)),
    "RBM, hidden layer": pme.Marginal(pme.RBM(*RBM), 0),
    "spin RBM": pme.Marginal(pme.RBM(*RBM, visible="spin", hidden="spin")),
    "mixed RBM": pme.Marginal(pme.RBM(*RBM, visible="spin")),
    "joined RBM": pme.Joined(pme.RBM(*RBM, visible="spin", hidden="spin")),
    "tempered": pme.Tempered(ISING, 0.3),
    "tempered RBM": pme.Marginal(pme.Tempered(pme.RBM(*RBM), 0.3)),
    "sum": pme.Sum((ISING, pme.Ising(lattice=(3, 3), coupling=-1.0))),
    "clamped": pme.Clamped(ISING, MASK, np.ones((3, 3))),
    "clamped Potts": pme.Clamped(pme.Potts(3, lattice=(3, 3)), MASK, 2 * np.ones((3, 3))),
    "clamped RBM": pme.Clamped(pme.Marginal(pme.RBM(*RBM)), np.arange(5) < 2, np.ones(5)),
    "tempered marginal": pme.Tempered(pme.Marginal(pme.RBM(*RBM)), 0.5),
    "tempered clamped marginal": pme.Tempered(
        pme.Clamped(pme.Marginal(pme.RBM(*RBM)), np.arange(5) < 2, np.ones(5)), 0.5
    ),
    "three spins": ThreeSpin(0.7),
    "function": ring(lambda x, a: a * x[..., 0] * x[..., 1], pme.Binary(), a=1.5),
    "squares": ring(lambda x: -(x.sum(-1) ** 2)),
    "double well": pme.DoubleWell(),
}


@pytest.mark.parametrize("name", GOOD)
def test_right_energies_pass(name):
    found = check_energy(GOOD[name])
    assert set(found) == {"affine", "quadratic"}


def test_the_kind_of_an_energy_is_found():
    assert check_energy(ISING) == {"affine": True, "quadratic": True}
    assert check_energy(ThreeSpin(0.7))["affine"] is True
    assert "depend" in check_energy(ThreeSpin(0.7))["quadratic"]
    assert isinstance(check_energy(ring(lambda x: pt.abs(x.sum(-1))))["affine"], str)
    assert isinstance(check_energy(pme.Marginal(pme.RBM(*RBM)))["affine"], str)


@dataclass(frozen=True, eq=False)
class WrongOnStates(ThreeSpin):
    def on_states(self, x):
        return 1.01 * self(self.domain.encode(x))


@dataclass(frozen=True, eq=False)
class WrongForm(ThreeSpin):
    def __call__(self, s):
        return -self.coupling * (s * pt.roll(s, 1, axis=-1)).sum(axis=-1)


@normal_form.register
def _(energy: WrongForm):  # forgets the factor 2 of spins in log-odds
    ising = pme.Ising(lattice=(5,))
    return SpinPairs(ising.sites, pt.as_tensor(energy.coupling), pt.as_tensor(0.0))


BAD = {
    "on_states": (WrongOnStates(0.7), "on_states differs"),
    "form": (WrongForm(0.7), "normal form of WrongForm"),
    "sums over the batch": (ring(lambda x: -(x[..., 1:] * x[..., :-1]).sum()), "batch"),
    "indexes the batch": (ring(lambda x: -x[0] * x[1]), "batch"),
    "one state only": (ring(lambda x, J: x @ J @ x, J=symmetric(5)), "batch"),
    "does not sum": (ring(lambda x: -x), "batch"),
    "infinite": (ring(lambda x: pt.switch(x[..., 0] > 0, np.inf, x.sum(-1))), "finite"),
    "nan": (ring(lambda x: pt.log(x.sum(-1))), "finite"),
    "real field": (ring(lambda x: (x * disconnected_grad(x)).sum(-1), pme.Real()), "field"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_energies_fail_and_are_told_why(name):
    energy, why = BAD[name]
    with pytest.raises(AssertionError, match=why), np.errstate(all="ignore"):
        check_energy(energy)


@pytest.mark.parametrize("name", ["graph", "Potts"])
@pytest.mark.parametrize("part", ["field", "quadratic_form"])
def test_wrong_derivations_would_be_seen(monkeypatch, part, name):
    derive = getattr(energies, part)

    def wrong(*args):
        right = derive(*args)
        return 1.01 * right if part == "field" else right._replace(coupling=1.01 * right.coupling)

    monkeypatch.setattr(energies, part, wrong)
    with pytest.raises(AssertionError, match="derived"):
        check_energy(GOOD[name])


def test_energies_with_random_parameters_are_refused():
    with pytest.raises(ValueError, match="must be numbers"):
        check_energy(ThreeSpin(pm.HalfNormal.dist()))


def heat_bath(coupling):
    """A sweep of :class:`ThreeSpin` with this coupling."""

    def sweep(rng, x):
        s = x.tolist()
        for i in range(5):
            before, left, right, after = (s[(i + k) % 5] for k in (-2, -1, 1, 2))
            field = coupling * (before * left + left * right + right * after)
            s[i] = 1 if rng.random() < 1.0 / (1.0 + math.exp(-2.0 * field)) else -1
        x[:] = s

    return sweep


def test_kernels_of_a_users_energy():
    energy = ThreeSpin(0.7)
    check_kernel(heat_bath(0.7), energy, broken=heat_bath(-0.7))
    with pytest.raises(AssertionError, match="invariant"):
        check_kernel(heat_bath(0.5), energy)
    with pytest.raises(AssertionError, match="no power"):
        check_kernel(heat_bath(0.7), energy, broken=heat_bath(0.7), starts=2000)


def hidden_field():
    with pm.Model() as model:
        z = pme.Boltzmann("z", pme.Ising(lattice=(2, 3), coupling=0.3))
        pm.Normal("y", z, 1.0, observed=[[0.5, -1.0, 2.0], [0.1, 3.0, -0.3]])
    return model


class Blind(pme.EnergyGibbs):
    """Sees the prior only: the mistake of sampling a field without its data."""

    def _make_plan(self, model, rv, point, mode):
        with pm.Model() as prior:
            z = pme.Boltzmann("z", pme.Ising(lattice=(2, 3), coupling=0.3))
        return super()._make_plan(prior, z, point, mode)


@pytest.mark.parametrize(("step_type", "is_right"), [(pme.EnergyGibbs, True), (Blind, False)])
def test_steps(step_type, is_right):
    model = hidden_field()
    step = step_type([model["z"]], model=model)
    if is_right:
        check_step(step, model)
    else:
        with pytest.raises(AssertionError, match="invariant"):
            check_step(step, model, starts=5000)


def test_a_step_is_checked_in_a_model_of_one_variable():
    with hidden_field() as model:
        pm.Normal("other")
        step = pme.EnergyGibbs([model["z"]])
        with pytest.raises(ValueError, match="one free variable"):
            check_step(step, model)


def test_false_alarms_happen_at_the_rate_of_the_p_value():
    """Rare states are pooled, or small expected counts would make chi-square too eager."""
    p = np.r_[np.full(50, 1e-4), RNG.dirichlet(np.ones(10))]
    p /= p.sum()
    draws = np.random.default_rng(2).choice(p.size, size=(2000, 5000), p=p)
    hits = sum(pooled_chisquare(numbers, p) < 0.01 for numbers in draws)
    assert binom.sf(hits, len(draws), 0.01) > FALSE_ALARM
    assert binom.cdf(hits, len(draws), 0.01) > FALSE_ALARM


def test_pooling_needs_two_groups():
    with pytest.raises(ValueError, match="more draws"):
        pooled_chisquare(np.zeros(10, dtype=int), [0.5, 0.5])


def test_a_state_of_probability_zero_is_seen():
    states = np.array([0, 1, 2])

    def leak(rng, x):
        return 2 if rng.random() < 0.01 else x

    with pytest.raises(AssertionError, match="invariant"):
        check_invariance(leak, states, np.array([0.5, 0.5, 0.0]), lambda x: x)
