"""Draws at parameters that change: each way of making them against exact distributions."""

import numpy as np
import pytest
from exchange_models import RING, SIGNS

import pm_energy as pme
from pm_energy.energy import single_block
from pm_energy.exact.enumeration import state_number
from pm_energy.step_methods import inner_draws
from pm_energy.step_methods.inner_draws import InnerDraws
from pm_energy.structure import flatten
from pm_energy.testing import FALSE_ALARM, pooled_chisquare

RNG = np.random.default_rng(41)
SMALL = {
    "ferromagnet": pme.Ising(0.4, np.linspace(-1, 1, 6).reshape(2, 3), lattice=(2, 3)),
    "categories": pme.Potts(3, lattice=(2, 2), coupling=0.6),
    "glass": pme.Ising(graph=RING, coupling=0.8 * SIGNS),
    "layers": pme.Marginal(pme.RBM(RNG.normal(size=(5, 3)), RNG.normal(size=5))),
    "three spins": pme.energy_from_function(
        lambda x, a: -a * (x[..., :-2] * x[..., 1:-1] * x[..., 2:]).sum(-1), pme.Spin(), (4,), a=0.6
    ),
}  # fmt: skip


def inner(energy, n_sweeps, size=6000):
    """Draws from the first of all states, their p-value, and whether they should be exact."""
    block, p = single_block(energy), pme.exact.distribution(energy)[1]
    starts = np.repeat(pme.exact.all_states(block)[:1], size, axis=0)
    values = [leaf.data for leaf in flatten(energy)[1]]
    draw = InnerDraws(energy)
    y, is_exact = draw(np.random.default_rng(4), values, starts, n_sweeps)
    assert (starts == starts[0]).all()
    return pooled_chisquare(state_number(y, block.domain), p), is_exact


@pytest.mark.parametrize("name", SMALL)
def test_inner_draws(monkeypatch, name):
    p_value, is_exact = inner(SMALL[name], 1)
    assert is_exact
    assert p_value > FALSE_ALARM
    monkeypatch.setattr(inner_draws, "TABLE_LIMIT", 0)
    monotone = name in ("ferromagnet", "categories")
    size = 500 if name == "three spins" else 6000
    p_value, is_exact = inner(SMALL[name], 1, size)
    assert is_exact == monotone
    assert (p_value > FALSE_ALARM) == monotone  # one sweep is seen to be too short
    p_value, _ = inner(SMALL[name], 40, size)
    assert p_value > FALSE_ALARM


def test_inner_draws_of_a_ferromagnet_that_turns_into_none(monkeypatch):
    monkeypatch.setattr(inner_draws, "TABLE_LIMIT", 0)
    draw, starts = InnerDraws(pme.Ising(graph=RING, coupling=1.0)), np.ones((3, 4), np.int8)
    for J, is_exact in ((0.5, True), (-0.5, False), (0.0, True)):
        values = [np.array(J), np.array(0.0)]
        assert draw(np.random.default_rng(0), values, starts, 5)[1] == is_exact


def test_energies_that_draw_for_themselves():
    energy = pme.GaussianMixtureEnergy([1.0], [[0.0]], [[[4.0]]])
    y, is_exact = InnerDraws(energy)(
        np.random.default_rng(0), [leaf.data for leaf in flatten(energy)[1]], np.zeros((4000, 1)), 1
    )
    assert is_exact
    assert abs(y.std() - 2.0) < 0.15
