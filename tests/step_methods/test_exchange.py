"""The exchange algorithm leaves posteriors with unknown log Z as they are."""

from functools import cache

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from exchange_models import MODELS, build
from pytensor.graph.replace import vectorize_graph

import pm_energy as pme
from pm_energy.energy import single_block
from pm_energy.exact.enumeration import state_number
from pm_energy.step_methods import EnergyExchange
from pm_energy.step_methods.exchange_model import ExchangeField
from pm_energy.step_methods.inner_draws import InnerDraws
from pm_energy.testing import FALSE_ALARM, pooled_chisquare


class Posterior:
    """A posterior on a grid of cells, times the states of a field, from a model with log Z."""

    def __init__(self, name):
        model, ranges = build(name, "exact"), MODELS[name][1]
        n = 320 if len(ranges) == 1 else 60
        self.names, self.n_bins = list(ranges), 40 if len(ranges) == 1 else 10
        self.low, high = np.array(list(ranges.values())).T
        self.width, self.shape = (high - self.low) / n, (n,) * len(ranges)
        fields = [rv for rv in model.free_RVs if rv.dtype == "int8"]
        points = [{}]
        for rv in fields:
            block = single_block(rv.owner.op.energy(rv.owner.op.dist_params(rv.owner)))
            self.block, self.field = block, model.rvs_to_values[rv].name
            points = [{self.field: state} for state in pme.exact.all_states(block)]
        log_p, self.points = model.compile_logp(), points
        cells = self.low + (np.indices(self.shape).reshape(len(ranges), -1).T + 0.5) * self.width
        values = [[log_p({**self.values(c), **p}) for p in points] for c in cells]
        p = np.exp(np.array(values) - np.max(values))
        self.p = p / p.sum()
        self.cells = cells

    def values(self, theta):
        return {name: np.asarray(t) for name, t in zip(self.names, theta, strict=True)}

    def starts(self, rng, n):
        chosen = rng.choice(self.p.size, size=n, p=self.p.ravel())
        for number, u in zip(chosen, rng.random((n, len(self.width))), strict=True):
            cell, state = np.divmod(number, len(self.points))
            theta = self.cells[cell] + self.width * (u - 0.5)
            yield {**self.values(theta), **self.points[state]}

    def bins(self, cells, states):
        """Numbers of coarse bins and their states; what leaves the grid is at its edge."""
        coarse = np.ravel_multi_index(
            tuple(np.clip(cells.T, 0, self.shape[0] - 1) * self.n_bins // self.shape[0]),
            (self.n_bins,) * len(self.names),
        )
        return coarse * len(self.points) + states

    def number(self, points):
        theta = np.array([[point[name] for name in self.names] for point in points])
        cells = np.floor((theta - self.low) / self.width).astype(int)
        states = 0
        if len(self.points) > 1:
            states = state_number([point[self.field] for point in points], self.block.domain)
        return self.bins(cells, states)

    def probabilities(self):
        cells = np.indices(self.shape).reshape(len(self.names), -1).T
        k = len(self.points)
        numbers = np.array([self.bins(cells, state) for state in range(k)])
        return np.bincount(numbers.ravel(), weights=self.p.T.ravel())


posterior_of = cache(Posterior)


def p_value_after_a_step(name, starts, scale=0.8):
    posterior, model = posterior_of(name), build(name)
    step = EnergyExchange(model=model)
    step.setup_chain(np.random.default_rng(5), 0, starts)
    step.stop_tuning()
    step.factor = scale * np.eye(step.size)
    after = [step.step(p)[0] for p in posterior.starts(np.random.default_rng(6), starts)]
    return pooled_chisquare(posterior.number(after), posterior.probabilities())


@pytest.mark.parametrize("name", MODELS)
def test_a_step_leaves_the_posterior_invariant(name):
    assert p_value_after_a_step(name, 20_000 if name == "coupling" else 8000) > FALSE_ALARM


right = ExchangeField.exchange


def wrong_sign(self, *args):
    gain, is_exact = right(self, *args)
    return -gain, is_exact


def drawn_at_the_present(self, rng, state, here, there, n_sweeps):
    y, is_exact = self.draw(rng, state, here, n_sweeps)
    return float(self._gain(y, *here, *there)), is_exact


def log_z_left_out(self, *args):
    return 0.0, True


def one_draw_for_all(self, rng, state, here, there, n_sweeps):
    """A batch of three fields that shares one draw."""
    y, is_exact = self.draw(rng, state, there, n_sweeps)
    return float(self._gain(np.repeat(y[:1], 3, axis=0), *here, *there)), is_exact


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("coupling", wrong_sign),
        ("coupling", drawn_at_the_present),
        ("coupling", log_z_left_out),
        ("coupling and field", one_draw_for_all),
        ("latent", log_z_left_out),
        ("partly observed", drawn_at_the_present),
    ],
)
def test_broken_exchanges_are_seen(monkeypatch, name, mistake):
    monkeypatch.setattr(ExchangeField, "exchange", mistake)
    assert p_value_after_a_step(name, 4000) < FALSE_ALARM


def test_a_shorter_field_would_be_seen(monkeypatch):
    """Of a partly observed field all units count in log Z, not the missing ones only."""
    model = build("partly observed")
    [rv] = [rv for rv in model.free_RVs if rv.dtype == "int8"]
    clamped = rv.owner.op.energy(rv.owner.op.dist_params(rv.owner))
    assert InnerDraws(clamped)._states.shape == (4, 2)
    [field] = EnergyExchange(model=model).fields
    assert field.draws._states.shape == (16, 4)


def test_parameters_with_batch_axes():
    """Each field is drawn at its own parameters."""
    J = pt.dscalar()
    energy = pme.Ising(graph=[[0, 1]], coupling=J)
    with pm.Model() as model:
        couplings = pm.Normal("J", shape=2)
        core = pme.Boltzmann.dist(energy, log_partition="exchange")
        model.register_rv(vectorize_graph(core, {J: couplings}), "x")
        step = EnergyExchange()
    assert [v.name for v in step.vars] == ["J"]
    [field], state = step.fields, np.ones((2, 2), np.int8)
    _, [(_, (_, h))] = step.density({"J": np.zeros(2), "x": state})
    y, _ = field.draw(np.random.default_rng(0), state, [np.array([9.0, -9.0]), h], 1)
    assert y[0, 0] == y[0, 1]
    assert y[1, 0] != y[1, 1]
