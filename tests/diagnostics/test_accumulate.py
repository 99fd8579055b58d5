"""A field summarised draw by draw must give what its kept draws give."""

import numpy as np
import pytest
import xarray as xr

import pm_energy as pme
from pm_energy.diagnostics import (
    FieldAccumulator,
    field_summaries,
    site_entropy,
    site_probabilities,
)


@pytest.mark.parametrize(
    ("states", "sites", "shape"),
    [
        ((-1, 1), None, (5, 6)),
        ((0, 1, 2), pme.Potts(3, lattice=(5, 6)), (5, 6)),
        ((0, 1), pme.Ising(graph=[[0, 1], [1, 2]]), (3,)),
    ],
)
def test_it_equals_the_summaries_of_kept_draws(states, sites, shape):
    x = np.random.default_rng(1).choice(np.array(states, dtype="int8"), size=(2, 40, *shape))
    dims = ("row", "col")[: len(shape)]
    dt = xr.DataTree.from_dict({"posterior": xr.Dataset({"z": (("chain", "draw", *dims), x)})})
    seen = FieldAccumulator(shape, states, chains=2, dims=dims, sites=sites)
    for chain in (1, 0):
        seen.update(x[chain, :7], chain)
        for draw in x[chain, 7:30]:
            seen.update(draw, chain)
        seen.update(x[chain, 30:], chain)
    assert seen.n_draws == [40, 40]
    found = seen.dataset()
    xr.testing.assert_allclose(found["probability"], site_probabilities(dt))
    xr.testing.assert_allclose(found["entropy"], site_entropy(dt))
    xr.testing.assert_equal(site_entropy(found), found["entropy"])
    assert found.attrs["n_draws"] == 80
    kept = field_summaries(dt, sites=sites)
    for group in ("posterior", "sample_stats", "frozen"):
        xr.testing.assert_equal(seen.summaries()[group].to_dataset(), kept[group].to_dataset())


def test_the_caller_may_reuse_the_array():
    x = np.array([1, 1, -1])
    seen = FieldAccumulator(3, (-1, 1))
    for _ in range(4):
        seen.update(x)
        x *= -1
    changes = seen.summaries()["sample_stats"]["z_changes"]
    np.testing.assert_array_equal(changes[0, 1:], [3, 3, 3])


def test_a_wrong_block_is_not_counted():
    seen = FieldAccumulator((2, 2), (0, 1, 2))
    seen.update(np.zeros((2, 2), dtype=int))
    for wrong, message in [
        (np.full((2, 2), 3), "value 3; the states are"),
        (np.zeros((3, 2)), "must have shape"),
        (np.zeros((0, 2, 2)), "must have shape"),
        (np.full((2, 2), np.nan), "value nan"),
    ]:
        with pytest.raises(ValueError, match=message):
            seen.update(wrong)
    with pytest.raises(ValueError, match=r"chain must be in 0\.\.0"):
        seen.update(np.zeros((2, 2)), chain=1)
    assert seen.n_draws == [1]
    assert (seen.dataset()["probability"].sel(state=0) == 1).all()


def test_what_is_not_there_is_named():
    seen = FieldAccumulator((2, 2), (0, 1), chains=2)
    with pytest.raises(ValueError, match="no draws"):
        seen.dataset()
    seen.update(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"same number of draws, got \[1, 0\]"):
        seen.summaries()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (0, 2), "states": (0, 1)}, "shape must be a positive integer"),
        ({"shape": (2, 2), "states": (1,)}, "at least two different"),
        ({"shape": (2, 2), "states": (1, 1)}, "at least two different"),
        ({"shape": (2, 2), "states": (0, 1), "dims": ("row",)}, "must name 2 dimensions"),
        ({"shape": (2, 2), "states": (0, 1), "chains": 0}, "chains must be a positive integer"),
        ({"shape": (2, 2), "states": (0, 1), "sites": pme.Ising(lattice=(3, 3))}, "but sites are"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        FieldAccumulator(**arguments)
