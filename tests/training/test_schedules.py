"""Rates at the steps where their phases meet, and the same in a graph as in numpy."""

import numpy as np
import pytensor.tensor as pt
import pytest

from pm_energy.compile import ONCE, compile_function
from pm_energy.training.schedules import Constant, Cosine, Inverse, WarmUpStableDecay

COSINE = Cosine(0.3, n_steps=100, warm_up=20, final=0.1)
STABLE = WarmUpStableDecay(0.3, n_steps=100, warm_up=10, decay=40, final=0.1)
RATES = [
    (Constant(0.3), {0: 0.3, 99: 0.3}),
    (Inverse(0.3, delay=10), {0: 0.3, 10: 0.15, 20: 0.1}),
    (Cosine(0.3, n_steps=100), {0: 0.3, 50: 0.15, 100: 0.0, 200: 0.0}),
    (COSINE, {0: 0.015, 9: 0.15, 20: 0.3, 40: 0.2 + 0.1 * np.sqrt(0.5), 60: 0.2, 500: 0.1}),
    (STABLE, {0: 0.03, 9: 0.3, 10: 0.3, 60: 0.3, 80: 0.2, 99: 0.105, 100: 0.1, 500: 0.1}),
    (WarmUpStableDecay(0.3, 100, 0, 0), {0: 0.3, 99: 0.3, 100: 0.0}),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "rates"), RATES)
def test_rates_at_named_steps(schedule, rates):
    for step, rate in rates.items():
        np.testing.assert_allclose(schedule(step), rate, rtol=1e-12, atol=1e-17)


@pytest.mark.parametrize(("schedule", "rates"), RATES)
@pytest.mark.parametrize("dtype", ["int64", "float64"])
def test_a_graph_gives_what_numpy_gives(schedule, rates, dtype):
    step = pt.scalar(dtype=dtype)
    fn = compile_function([step], pt.as_tensor(schedule(step)), mode=ONCE)
    for at, rate in rates.items():
        np.testing.assert_allclose(fn(np.array(at, dtype)), rate, rtol=1e-12, atol=1e-17)


@pytest.mark.parametrize("schedule", [COSINE, STABLE])
def test_all_steps_of_a_run_at_once(schedule):
    rates = schedule(np.arange(100))
    assert rates.shape == (100,)
    assert rates.min() > 0
    assert (np.diff(rates[20:]) <= 1e-17).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Constant(0.0), "rate must be positive"),
        (lambda: Constant(np.nan), "rate must be finite"),
        (lambda: Inverse(0.1, delay=0), "delay must be a positive integer"),
        (lambda: Cosine(0.1, n_steps=2.5), "n_steps must be a positive integer"),
        (lambda: Cosine(0.1, n_steps=10, warm_up=11), "warm_up must be at most n_steps = 10"),
        (lambda: Cosine(0.1, n_steps=10, warm_up=-1), "warm_up must be an integer of at least"),
        (lambda: Cosine(0.1, n_steps=10, final=-0.1), "final must be a rate of at least zero"),
        (lambda: WarmUpStableDecay(0.1, 10, 5, 6), "warm_up . decay must be at most n_steps"),
    ],
)
def test_bad_settings_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
