"""Draws whose exact distribution is known."""

import numpy as np
import pytest
import xarray as xr

from pm_energy import exact


@pytest.fixture
def every_state():
    """Draws in which each state of an energy occurs exactly as often as its probability says.

    The energies are chosen so that exp(-E) is a constant times an integer; so estimates from these
    draws equal expectations to rounding.
    """

    def make(energy, name="z"):
        states, p = exact.distribution(energy)
        weights = p / p.min()
        counts = np.rint(weights).astype(int)
        np.testing.assert_allclose(weights, counts, rtol=1e-9)
        draws = np.repeat(states, counts, axis=0)
        draws = np.random.default_rng(5).permutation(draws)[None]
        dims = ("chain", "draw", *[f"axis{i}" for i in range(draws.ndim - 2)])
        return xr.Dataset({name: (dims, draws)}), states, p

    return make


@pytest.fixture
def lazy_spins():
    """Independent chains of spins, each redrawn with probability ``1 - keep`` at each draw.

    All moments of the stationary distribution are those of fair coins, and the autocorrelation of
    each spin is ``keep**t``.
    """

    def make(rng, n, keep=0.8, repeats=400, chains=4, draws=400):
        shape = (chains, draws, repeats, n)
        coins = rng.choice(np.array([-1, 1], dtype="int8"), size=shape)
        fresh = rng.random(shape) > keep
        fresh[:, 0] = True
        since = np.where(fresh, np.arange(draws)[:, None, None], 0)
        spins = np.take_along_axis(coins, np.maximum.accumulate(since, axis=1), axis=1)
        return xr.DataArray(spins, dims=("chain", "draw", "repeat", "site"), name="z")

    return make
