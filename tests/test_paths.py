"""Paths: one formula for the graphs, the tempered model and the model itself."""

import cloudpickle
import numpy as np
import pymc as pm
import pytest
from scipy.stats import kstest, norm

import pm_energy as pme
from pm_energy.compile import ONCE, compile_function
from pm_energy.paths import make_path


def hierarchy():
    """Transforms, categories, a field, a potential, missing data and data that may change."""
    with pm.Model(coords={"group": range(3)}) as model:
        mu = pm.Normal("mu", 0, 1)
        sd = pm.HalfNormal("sd", 1)
        z = pm.Normal("z", 0, 1, dims="group")
        theta = pm.Deterministic("theta", mu + sd * z)
        pm.Dirichlet("w", np.ones(4))
        k = pm.Bernoulli("k", 0.3)
        field = pme.Boltzmann("field", pme.Ising(lattice=(3, 4), coupling=0.2))
        pm.Uniform("u", mu - 10, mu + 10, shape=2)
        data = pm.Data("data", np.zeros(3))
        pm.Normal("y", theta + k, 1, observed=data)
        pm.Normal("pixel", field, 1, observed=np.ones((3, 4)))
        with pytest.warns(match="missing values"):
            pm.Normal("partly", mu, 1, observed=np.ma.masked_invalid([1.0, np.nan]))
        pm.Potential("penalty", -(theta.sum() ** 2))
    return model


def unknown_coupling():
    with pm.Model() as model:
        coupling = pm.HalfNormal("coupling", 0.5)
        pme.Boltzmann("field", pme.Ising(lattice=(3, 4), coupling=coupling))
    return model


def continuous():
    with pm.Model() as model:
        x = pm.Normal("x", [0, 1], 5, shape=2)
        pm.Normal("y", x.sum(), pm.HalfNormal("s"), observed=4.0)
    return model


CASES = [
    (hierarchy, {}, "likelihood of partly_observed, pixel, y"),
    (hierarchy, {"temper": ("likelihood", "potentials")}, None),
    (hierarchy, {"temper": ("likelihood", "energies")}, None),
    (unknown_coupling, {}, "energies of field"),
    (continuous, {"base": "variational"}, "whole log-density"),
]


@pytest.mark.parametrize(("make", "options", "tempered"), CASES)
def test_all_roads_see_the_same_density(make, options, tempered):
    """The graphs, the model that PyMC steps see, and at beta = 1 the user's own: to 1e-12."""
    model = make()
    path = make_path(model, **options)
    if tempered is not None:
        words, expected = (text.replace(",", "").split() for text in (path.tempered, tempered))
        assert sorted(words) == sorted(expected)
    graphs = compile_function(path.inputs, [path.log_base, path.log_ratio], ONCE)
    clone, beta = path.tempered_model()
    clone_logp = clone.compile_logp(mode=ONCE)
    drawn = path.draw_base(np.random.default_rng(1), 3)
    for i in range(3):
        point = {name: x[i] for name, x in drawn.items()}
        base, ratio = graphs(*[np.asarray(point[v.name], v.dtype) for v in path.inputs])
        for b in (0.0, 0.3, 1.0):
            beta.set_value(b)
            np.testing.assert_allclose(clone_logp(point), base + b * ratio, rtol=1e-12)
        own = model.compile_logp(mode=ONCE)(point)
        np.testing.assert_allclose(base + ratio, own, rtol=1e-12)
    assert len(path.fingerprint()) == len(path.terms)
    again = cloudpickle.loads(cloudpickle.dumps(path))
    redrawn = again.draw_base(np.random.default_rng(1), 3)
    np.testing.assert_array_equal(redrawn[path.inputs[0].name], drawn[path.inputs[0].name])


@pytest.mark.parametrize("mixture", [False, True])
def test_draws_of_the_base_are_the_prior(mixture):
    """Variables that depend on others, on scales of the sampler; with and without vectorising."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 1, 2)
        pm.Normal("x", mu, 1, shape=2)
        pm.Uniform("u", mu - 1, mu + 1)
        pm.HalfNormal("s")
        if mixture:
            pm.NormalMixture("m", w=[0.3, 0.7], mu=[-5, 5], sigma=1)
        pm.Normal("y", mu, 1, observed=0.0)
    path = make_path(model)
    assert path.exact_base
    drawn = path.draw_base(np.random.default_rng(0), 1000 if mixture else 20_000)
    mu, x = drawn["mu"], drawn["x"]
    within = 1 / (1 + np.exp(-drawn["u_interval__"]))  # uniform whatever mu is
    p_values = [
        kstest((mu - 1) / 2, "norm").pvalue,
        kstest((x - mu[:, None])[:, 0], "norm").pvalue,
        kstest((x[:, 1] - 1) / np.sqrt(5), "norm").pvalue,
        kstest(within, "uniform").pvalue,
        kstest(np.exp(drawn["s_log__"]), "halfnorm").pvalue,
    ]
    assert min(p_values) > 1e-6
    correlation = np.corrcoef(x[:, 0] - mu, x[:, 1] - mu)[0, 1]
    assert abs(correlation) < 5 / np.sqrt(len(mu))
    if mixture:
        assert abs((drawn["m"] > 0).mean() - 0.7) < 5 * np.sqrt(0.21 / 1000)


def test_an_ordered_prior_is_drawn_within_its_order():
    """As if sorted: the largest of three normals, KS at one in a million; starts are kept."""
    with pm.Model() as model:
        order = pm.distributions.transforms.ordered
        mu = pm.Normal("mu", shape=3, transform=order, initval=[-1, 0, 1])
        pm.Normal("y", mu, 1, observed=np.zeros(3))
    path = make_path(model)
    np.testing.assert_array_equal(model.rvs_to_initial_values[mu], [-1, 0, 1])
    drawn = path.draw_base(np.random.default_rng(0), 4000)["mu_ordered__"]
    largest = drawn[:, 0] + np.exp(drawn[:, 1:]).sum(axis=1)
    assert kstest(norm.cdf(largest) ** 3, "uniform").pvalue > 1e-6


def test_a_random_walk_and_a_parameter_out_of_range():
    with pm.Model() as model:
        start = pm.Normal.dist(0, 1)
        walk = pm.GaussianRandomWalk("walk", sigma=pm.Normal("sd"), init_dist=start, steps=4)
        pm.Normal("y", walk, 1, observed=np.zeros(5))
    path = make_path(model)
    with pytest.raises(ValueError, match="scale < 0"):
        path.draw_base(np.random.default_rng(0), 50)
    assert path.explain({"sd": np.array(-1.0), "walk": np.zeros(5)}) == "walk = -inf"


def test_an_energy_starts_at_the_uniform_distribution():
    path = make_path(pme.Potts(3, lattice=(4, 4)))
    assert (path.base, path.exact_base) == ("uniform", True)
    assert path.log_z_base == pytest.approx(16 * np.log(3), abs=1e-12)
    states = path.draw_base(np.random.default_rng(0), 5000)["x"]
    counts = np.bincount(states.ravel(), minlength=3) / states.size
    np.testing.assert_allclose(counts, 1 / 3, atol=5 / np.sqrt(states.size))


def test_large_fields_and_potentials_make_the_base_inexact():
    with pm.Model() as model:
        field = pme.Boltzmann("field", pme.Ising(lattice=(8, 8), coupling=0.2))
        pm.Normal("y", field.sum(), 1, observed=0.0)
    assert not make_path(model).exact_base
    assert not make_path(hierarchy()).exact_base
    assert make_path(model, temper=("likelihood", "energies")).exact_base


def test_what_cannot_be_tempered_is_refused():
    with pm.Model() as model:
        theta = pm.Normal("theta")
        edges = [[0, 1], [1, 2]]
        pme.Boltzmann(
            "x",
            pme.Ising(graph=edges, coupling=theta),
            log_partition="exchange",
            observed=[1, 1, 1],
        )
    with pytest.raises(ValueError, match="log Z of 'x' is unknown"):
        make_path(model)
    with pm.Model() as latent:
        theta = pm.Normal("theta")
        energy = pme.Ising(graph=edges, coupling=theta)
        x = pme.Boltzmann("x", energy, log_partition="exchange")
        pm.Normal("y", x, 1, observed=np.ones(3))
    with pytest.raises(ValueError, match="log Z of 'x' is unknown"):
        make_path(latent, temper=("likelihood", "energies"))
    assert make_path(latent).tempered == "likelihood of y"
    with pytest.raises(ValueError, match="several blocks"):
        make_path(pme.RBM(np.zeros((3, 2))))
    with pytest.raises(ValueError, match="no free variables"):
        make_path(pm.Model())
    with pytest.raises(ValueError, match="continuous variables only"):
        make_path(hierarchy(), base="variational")
    with pytest.raises(ValueError, match="tempers the whole model"):
        make_path(continuous(), base="variational", temper="likelihood")
    with pm.Model() as silent:
        x = pm.CustomDist("x", logp=lambda value: -(value**2))
        pm.Normal("y", x, 1, observed=0.0)
    with pytest.raises(ValueError, match="prior cannot be drawn"):
        make_path(silent).draw_base(np.random.default_rng(0), 2)
