"""Scalars of fields, and what is done about those that never vary."""

import warnings

import arviz as az
import numpy as np
import pytest
import xarray as xr

import pm_energy as pme
from pm_energy.diagnostics import field_summaries

CHAINS, DRAWS = 4, 100
DIMS = ("chain", "draw")


def tree(**arrays):
    posterior = xr.Dataset(
        {
            name: ((*DIMS, *[f"{name}{i}" for i in range(a.ndim - 2)]), a)
            for name, a in arrays.items()
        }
    )
    return xr.DataTree.from_dict({"posterior": posterior})


def spins(*shape):
    draws = np.random.default_rng(1).choice([-1, 1], size=(CHAINS, DRAWS, *shape))
    return draws.astype("int8")


def test_scalars_of_spins():
    z = spins(3, 4)
    out = field_summaries(tree(z=z))
    posterior = out["posterior"]
    assert set(posterior.data_vars) == {"z_magnetisation", "z_agreement"}
    np.testing.assert_allclose(posterior["z_magnetisation"], z.mean(axis=(2, 3)), rtol=1e-14)
    agree = (z[..., 1:, :] == z[..., :-1, :]).sum((2, 3)) + (z[..., 1:] == z[..., :-1]).sum((2, 3))
    np.testing.assert_allclose(posterior["z_agreement"], agree / 17, rtol=1e-14)
    changes = out["sample_stats"]["z_changes"].values
    assert np.isnan(changes[:, 0]).all()
    np.testing.assert_array_equal(changes[:, 1:], (z[:, 1:] != z[:, :-1]).sum(axis=(2, 3)))


def test_scalars_of_categories():
    x = np.random.default_rng(2).integers(0, 3, size=(CHAINS, DRAWS, 20))
    bits = (x > 0).astype("int8")
    out = field_summaries(tree(x=x, b=bits))["posterior"]
    assert set(out.data_vars) == {"x_fraction", "b_fraction"}  # neighbours are not known
    for k in range(3):
        np.testing.assert_allclose(out["x_fraction"].sel(x_state=k), (x == k).mean(axis=2))
    assert out["b_fraction"]["b_state"].values.tolist() == [1]
    np.testing.assert_allclose(out["b_fraction"].squeeze(), bits.mean(axis=2))


@pytest.mark.parametrize("as_dict", [True, False])
def test_neighbours_can_be_given(as_dict):
    z = spins(4, 3)
    energy = pme.Ising(lattice=(4, 3))
    sites = {"z": energy} if as_dict else energy.sites
    found = field_summaries(tree(z=z), sites=sites)["posterior"]["z_agreement"]
    agree = [(z == np.roll(z, 1, axis=axis)).sum(axis=(2, 3)) for axis in (2, 3)]
    np.testing.assert_allclose(found, sum(agree) / 24, rtol=1e-14)
    graph = pme.Ising(graph=[[0, 2], [1, 2]])
    line = spins(3)
    found = field_summaries(tree(z=line), sites=graph)["posterior"]["z_agreement"]
    agree = (line[..., 0] == line[..., 2]).astype(int) + (line[..., 1] == line[..., 2])
    np.testing.assert_allclose(found, agree / 2)


def test_other_variables_and_statistics_are_kept():
    mu = np.random.default_rng(3).normal(size=(CHAINS, DRAWS))
    counts = np.random.default_rng(3).poisson(50, size=(CHAINS, DRAWS, 5))
    steps = np.random.default_rng(3).integers(-1, 2, size=(CHAINS, DRAWS, 5))
    dt = tree(z=spins(3, 3), mu=mu, counts=counts, steps=steps)
    dt["sample_stats"] = xr.Dataset({"flip_rate": (DIMS, mu)})
    out = field_summaries(dt)
    assert set(out["posterior"].data_vars) == {
        "z_magnetisation", "z_agreement", "mu", "counts", "steps"}  # fmt: skip
    assert set(out["sample_stats"].data_vars) == {"flip_rate", "z_changes"}
    only = field_summaries(tree(z=spins(3, 3), y=spins(3, 3)), var_names="y")["posterior"]
    assert set(only.data_vars) == {"z", "y_magnetisation", "y_agreement"}


def test_a_huge_field_is_summarised_by_a_few_rows():
    mu = np.random.default_rng(6).normal(size=(CHAINS, DRAWS))
    table = az.summary(field_summaries(tree(z=spins(16, 16), mu=mu)))
    assert list(table.index) == ["mu", "z_magnetisation", "z_agreement"]
    assert (table["r_hat"].astype(float) < 1.05).all()


def test_what_arviz_does_with_a_field_that_never_varies():
    # the behaviour that field_summaries works around; if this fails, ArviZ has changed
    z = np.ones((CHAINS, DRAWS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(az.rhat(z, chain_axis=0, draw_axis=1))
    assert az.ess(z, chain_axis=0, draw_axis=1) == CHAINS * DRAWS


def test_what_is_frozen_is_set_apart():
    frozen = np.full((CHAINS, DRAWS, 3, 3), -1, dtype="int8")
    x = np.random.default_rng(4).integers(0, 2, size=(CHAINS, DRAWS, 6)) * 2  # state 1 never occurs
    out = field_summaries(tree(frozen=frozen, z=spins(3, 3), x=x))
    assert set(out["posterior"].data_vars) == {"z_magnetisation", "z_agreement", "x_fraction"}
    assert out["posterior"]["x_fraction"]["x_state"].values.tolist() == [0, 2]
    assert out["frozen"]["frozen_magnetisation"] == -1
    assert out["frozen"]["frozen_agreement"] == 1
    assert out["frozen"]["x_fraction"].sel(x_state=1) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # ArviZ warns where it divides 0 by 0
        r_hat = az.rhat(out)
    assert not any(bool(v.isnull().any()) for v in r_hat.data_vars.values())


def test_chains_frozen_at_different_states_disagree():
    z = np.ones((CHAINS, DRAWS, 3, 3), dtype="int8")
    z[0] = -1
    out = field_summaries(tree(z=z))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert az.rhat(out)["z_magnetisation"] > 1e6
    assert "z_agreement" in out["frozen"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda dt: field_summaries(dt, "y"), "no variable 'y'"),
        (lambda dt: field_summaries(dt, "mu"), "mu is a scalar"),
        (lambda dt: field_summaries(dt, "real"), "takes fractional values"),
        (lambda dt: field_summaries(dt, "step"), "values from -1 to 1; pass states"),
        (
            lambda dt: field_summaries(dt, sites=pme.Ising(lattice=(4, 4))),
            r"\(3, 3\), but sites are",
        ),
        (lambda dt: field_summaries(dt, sites={"w": None}), "'w', which is not one of"),
        (lambda dt: field_summaries(dt, sites=7), "must be a Lattice, a Graph"),
        (lambda dt: field_summaries(dt["posterior"].to_dataset().isel(draw=[0])), "at least 4"),
        (lambda dt: field_summaries({"z": 1}), "expected a DataTree"),
    ],
)
def test_bad_input_is_named(call, message):
    rng = np.random.default_rng(5)
    dt = tree(
        z=spins(3, 3),
        mu=rng.normal(size=(CHAINS, DRAWS)),
        real=rng.normal(size=(CHAINS, DRAWS, 3)),
        step=rng.integers(-1, 2, size=(CHAINS, DRAWS, 4)),
    )
    with pytest.raises(ValueError, match=message):
        call(dt)
