"""Hidden units drawn after sampling have the joint law of both layers."""

import numpy as np
import pymc as pm
import pytest
from xarray import DataArray, Dataset, DataTree

import pm_energy as pme
from pm_energy import exact
from pm_energy.energy import Block, blocks_of
from pm_energy.testing import FALSE_ALARM, pooled_chisquare

RNG = np.random.default_rng(23)
DRAWS = 20_000
LAYERS = RNG.normal(size=(3, 2)), RNG.normal(size=3), RNG.normal(size=2)


def joint_numbers(energy, visible, hidden):
    """Number of each joint state, and the exact probabilities of all of them."""
    v_block, h_block = blocks_of(energy)
    v, h = exact.all_states(v_block), exact.all_states(h_block)
    pairs = np.repeat(v, len(h), axis=0), np.tile(h, (len(v), 1))
    p = np.exp(-pme.energy_values(energy, *pairs))
    numbers = exact.state_number(visible, v_block.domain) * len(h)
    return numbers + exact.state_number(hidden, h_block.domain), p / p.sum()


def trace_of(**variables):
    """A posterior of one chain as ``pm.sample`` would return it."""
    data = {
        name: DataArray(
            np.asarray(x)[None],
            dims=["chain", "draw", *[f"{name}_dim_{i}" for i in range(np.ndim(x) - 1)]],
        )
        for name, x in variables.items()
    }
    return DataTree.from_dict({"posterior": Dataset(data)})


def exact_visible(energy, size=DRAWS):
    return exact.draw(pme.Marginal(energy), np.random.default_rng(1), size)


@pytest.mark.parametrize("visible", ["binary", "spin"])
@pytest.mark.parametrize("hidden", ["binary", "spin"])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_both_layers_together_have_the_joint_distribution(visible, hidden, temperature):
    rbm = pme.RBM(*LAYERS, visible=visible, hidden=hidden)
    joint = pme.Tempered(rbm, 1 / temperature)
    with pm.Model():
        pme.Boltzmann("v", rbm, temperature=temperature)
        v = exact_visible(joint)
        h = pme.sample_hidden(trace_of(v=v), "v", random_seed=2)
    assert h.dims == ("chain", "draw", "v_hidden_unit")
    numbers, p = joint_numbers(joint, v, h.values[0])
    assert pooled_chisquare(numbers, p) > FALSE_ALARM
    shuffled, p = joint_numbers(joint, v, h.values[0][::-1])
    assert pooled_chisquare(shuffled, p) < FALSE_ALARM


def test_the_visible_layer_may_be_the_one_summed_out():
    rbm = pme.RBM(*LAYERS)
    with pm.Model():
        pme.Boltzmann("h", pme.Marginal(rbm, 0))
        h = exact.draw(pme.Marginal(rbm, 0), np.random.default_rng(1), DRAWS)
        v = pme.sample_hidden(trace_of(h=h), "h", random_seed=2)
    numbers, p = joint_numbers(rbm, v.values[0], h)
    assert pooled_chisquare(numbers, p) > FALSE_ALARM


def test_gaussian_visible_units():
    """Given v, hidden units are on with the logistic of their field."""
    weights, variance = np.array([[1.0, -0.5], [0.3, 0.8]]), 0.5
    rbm = pme.RBM(weights, hidden_bias=0.2, visible="gaussian", variance=variance)
    v = np.tile([0.7, -0.4], (DRAWS, 1))
    with pm.Model():
        pme.Boltzmann("v", rbm)
        h = pme.sample_hidden(trace_of(v=v), "v", random_seed=2)
    on = 1.0 / (1.0 + np.exp(-(0.2 + v[0] @ weights / variance)))
    bound = np.sqrt(np.log(2 * 2 / FALSE_ALARM) / (2 * DRAWS))  # Hoeffding, for two units
    assert (np.abs(h.mean(("chain", "draw")).values - on) < bound).all()


def test_observed_and_partly_observed_layers():
    """With v known, in part or in whole, h follows from the coupling of each draw."""
    v = np.array([1, 0, 1])
    scales = np.repeat([-6.0, 6.0], 1000)
    whole = np.tile(v, (2000, 1))
    for observed in (v, np.where([True, False, False], np.nan, v)):
        with pm.Model():
            w = pm.Normal("w", shape=())
            pme.Boltzmann("v", pme.RBM(w * np.ones((3, 1))), observed=observed)
            missing = {} if observed is v else {"v_unobserved": whole[:, :1]}
            h = pme.sample_hidden(trace_of(w=scales, **missing), "v", random_seed=3)
        assert h.shape == (1, 2000, 1)
        on = h.values.reshape(2, 1000).mean(axis=1)
        assert on[0] < 0.001
        assert on[1] > 0.999  # logistic(12) = 1 - 6e-6


def test_nothing_random_but_the_hidden_units():
    with pm.Model():
        pme.Boltzmann("v", pme.RBM(*LAYERS), observed=[1, 0, 1])
        h = pme.sample_hidden(trace_of(other=np.zeros(DRAWS)), "v", random_seed=3)
    on = 1.0 / (1.0 + np.exp(-(np.array([1, 0, 1]) @ LAYERS[0] + LAYERS[2])))
    bound = np.sqrt(np.log(2 * 2 / FALSE_ALARM) / (2 * DRAWS))  # Hoeffding, for two units
    assert (np.abs(h.mean(("chain", "draw")).values - on) < bound).all()


def test_batches_and_dims():
    coords = {"picture": ["a", "b"], "pixel": range(3)}
    states = np.zeros((10, 2, 3), dtype=np.int8)
    trace = trace_of(v=states)
    trace["posterior"] = trace["posterior"].dataset.rename(v_dim_0="picture", v_dim_1="pixel")
    trace["posterior"] = trace["posterior"].dataset.assign_coords(coords)
    with pm.Model(coords=coords):
        pme.Boltzmann("v", pme.RBM(*LAYERS), dims=("picture", "pixel"))
        h = pme.sample_hidden(trace, "v")
    assert h.dims == ("chain", "draw", "picture", "v_hidden_unit")
    assert h.shape == (1, 10, 2, 2)
    assert h["picture"].values.tolist() == ["a", "b"]


def test_seeds():
    with pm.Model() as model:
        pme.Boltzmann("v", pme.RBM(*LAYERS))
    trace = trace_of(v=exact_visible(pme.RBM(*LAYERS), 50))
    one, same, other = (
        pme.sample_hidden(trace, "v", model=model, random_seed=seed) for seed in (1, 1, 2)
    )
    assert one.equals(same)
    assert not one.equals(other)


def test_what_has_no_hidden_layer():
    with pm.Model():
        w = pm.Normal("w")
        pme.Boltzmann("v", pme.RBM(w * np.ones((3, 1))))
        pme.Boltzmann("z", pme.Ising(lattice=(3, 3)))
        trace = trace_of(v=np.ones((5, 3)), z=np.ones((5, 3, 3)))
        for name in ("w", "nothing"):
            with pytest.raises(ValueError, match="must be a Boltzmann variable"):
                pme.sample_hidden(trace, name)
        with pytest.raises(ValueError, match="no hidden layer"):
            pme.sample_hidden(trace, "z")
        with pytest.raises(ValueError, match=r"depend on \['w'\]"):
            pme.sample_hidden(trace, "v")


def test_states_of_the_hidden_domain():
    with pm.Model():
        pme.Boltzmann("v", pme.RBM(*LAYERS, hidden="spin"))
        h = pme.sample_hidden(trace_of(v=np.ones((50, 3))), "v")
    block = Block(pme.Spin(), (2,))
    assert h.dtype == block.domain.dtype
    assert set(np.unique(h)) == {-1, 1}
