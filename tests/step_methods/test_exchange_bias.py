"""The bias of inner draws: known where they are, and seen where there is one."""

import numpy as np
import pytest
from exchange_models import RING, UP, build, glass, mean_and_error, sample

import pm_energy as pme
from pm_energy.step_methods import exchange_bias, inner_draws
from pm_energy.step_methods.exchange_model import ExchangeField


def test_exact_draws_have_no_bias():
    model = build("coupling")
    trace = sample(model, draws=50)
    bias = exchange_bias(trace, model=model, progressbar=False)
    assert bias.exact
    for value in (bias.shift, bias.shift_mcse, bias.widening, bias.disagreement):
        assert (value == 0).all()


@pytest.mark.slow
def test_a_bias_is_seen_where_there_is_one(monkeypatch):
    wanted, _ = mean_and_error(sample(glass("exact")), "J")
    monkeypatch.setattr(inner_draws, "TABLE_LIMIT", 0)
    model = glass("exchange")
    for n_sweeps, is_biased in ((1, True), (100, False)):
        settings = {"inner_sweeps": n_sweeps, "moves_per_draw": 2}
        trace = sample(model, draws=2000, energy_exchange=settings)
        assert not trace["sample_stats"]["inner_exact"].any()
        mean, error = mean_and_error(trace, "J")
        bias = exchange_bias(
            trace, inner_sweeps=n_sweeps, runs=400, random_seed=1, model=model, progressbar=False
        )
        assert bias.names == ("J", "h[0]", "h[1]")
        assert not bias.exact
        assert (abs(mean - wanted) > 4 * error) == is_biased
        assert (abs(bias.shift[0]) > 4 * bias.shift_mcse[0]) == is_biased
        assert (bias.widening[0] > 4 * bias.widening_mcse[0]) == is_biased
        assert (np.abs(bias.disagreement) < 4 * 2 * bias.shift_mcse).all()


def test_how_the_bias_is_measured(monkeypatch):
    """Inner draws that stay at the field: the slope at the field is known, and that of the energy
    is a sum over all states."""

    def stays(self, rng, state, values, n_sweeps):
        y, _ = draw(self, rng, state, values, n_sweeps)
        return (state if n_sweeps == 1 else y), False

    model = build("coupling")
    trace = sample(model, draws=150)
    draw = ExchangeField.draw
    monkeypatch.setattr(ExchangeField, "draw", stays)
    bias = exchange_bias(
        trace, inner_sweeps=1, runs=1000, random_seed=0, model=model, progressbar=False
    )
    J = trace["posterior"]["J"].values.ravel()
    i, k = np.transpose(RING)
    moments = [pme.exact.moments(pme.Ising(graph=RING, coupling=j)).second[i, k].sum() for j in J]
    error = np.array(moments) - (UP[i] * UP[k]).sum()
    assert abs(bias.shift[0] - error.mean() * J.std()) < 5 * bias.shift_mcse[0] < 0.3
    wanted = np.mean((J - J.mean()) * error) / 2
    assert abs(bias.widening[0] - wanted) < 5 * bias.widening_mcse[0] < 0.2
    assert wanted > 8 * bias.widening_mcse[0]
