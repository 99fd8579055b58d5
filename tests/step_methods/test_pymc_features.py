"""A Boltzmann variable among PyMC's own features: what works, and what is refused and how."""

import arviz as az
import numpy as np
import pymc as pm
import pytest
from field_models import ISING, SHAPE, Y, build
from scipy.integrate import trapezoid
from scipy.stats import halfnorm, norm

import pm_energy as pme
from pm_energy import exact
from pm_energy.compile import energy_values
from pm_energy.energy import Block

QUIET = {"progressbar": False, "quiet": True, "compute_convergence_checks": False}


def sample(draws=1000, **kwargs):
    options = {"tune": 500, "chains": 2, "cores": 2, "random_seed": 5} | QUIET | kwargs
    return pm.sample(draws, **options)


def assert_mean(draws, wanted, errors=5.0):
    """The mean is within standard errors that count autocorrelation."""
    error = float(az.mcse(draws))
    assert abs(float(draws.mean()) - wanted) < errors * error, (float(draws.mean()), wanted, error)


# ---- posteriors against sums and integrals


def test_coupling_of_an_observed_field():
    """NUTS on a coupling through the exact log Z, against a grid."""
    states = exact.draw(pme.Ising(lattice=(3, 3), coupling=0.4), np.random.default_rng(2), 20)
    with pm.Model():
        J = pm.HalfNormal("J", 0.5)
        pme.Boltzmann("z", pme.Ising(lattice=(3, 3), coupling=J), observed=states)
        draws = sample()["posterior"]["J"]
    grid = np.linspace(0.0, 1.5, 600)
    log_p = [
        halfnorm.logpdf(j, scale=0.5)
        - energy_values(e := pme.Ising(lattice=(3, 3), coupling=j), states).sum()
        - len(states) * exact.log_partition(e)
        for j in grid
    ]
    p = np.exp(log_p - np.max(log_p))
    assert_mean(draws, trapezoid(p * grid, grid) / trapezoid(p, grid))


def hidden_field_integral(mean):
    """Posterior means of J and of each spin, the field summed out and J on a grid."""
    grid = np.linspace(0.0, 2.0, 200)
    states = exact.all_states(Block(pme.Spin(), SHAPE))
    likelihood = norm.logpdf(Y, mean * states, 0.7).reshape(len(states), -1).sum(1)
    p_j, spins = [], []
    for j in grid:
        energy = pme.Ising(lattice=SHAPE, coupling=j)
        joint = likelihood - energy_values(energy, states) - exact.log_partition(energy)
        weight = np.exp(joint)
        p_j.append(weight.sum() * halfnorm.pdf(j))
        spins.append((weight[:, None, None] * states).sum(0) * halfnorm.pdf(j))
    total = trapezoid(p_j, grid)
    return trapezoid(p_j * grid, grid) / total, trapezoid(spins, grid, axis=0) / total


def test_coupling_of_a_hidden_field():
    """NUTS on the coupling and Gibbs on the field, jointly."""
    with pm.Model():
        J = pm.HalfNormal("J")
        z = pme.Boltzmann("z", pme.Ising(lattice=SHAPE, coupling=J))
        pm.Normal("y", z, 0.7, observed=Y)
        posterior = sample(2000)["posterior"]
    coupling, spins = hidden_field_integral(1.0)
    assert_mean(posterior["J"], coupling)
    for row, column in np.ndindex(*SHAPE):
        assert_mean(posterior["z"][..., row, column], spins[row, column])


def test_missing_entries_are_imputed():
    """Gibbs draws of the missing entries against the enumerated conditional."""
    missing = np.array([[True, False, True], [False, True, False]])
    known = np.sign(Y)
    with pm.Model() as model:
        pme.Boltzmann("z", ISING, observed=np.where(missing, np.nan, known))
        trace = sample(4000, tune=10)
    assert [v.name for v in model.free_RVs] == ["z_unobserved"]
    whole = trace["posterior"]["z"]
    np.testing.assert_array_equal(
        whole.values[..., ~missing],
        np.broadcast_to(known[~missing], (*whole[..., 0].shape[:2], 3)),
    )
    states, p = exact.distribution(pme.Clamped(ISING, ~missing, known))
    for k in range(3):
        assert_mean(trace["posterior"]["z_unobserved"][..., k], p @ states[:, k])


def test_real_fields_are_sampled_by_nuts():
    """The double well's own Z, by a grid in one dimension."""
    energy = pme.energy_from_function(
        lambda x, a: a * ((x**2 - 1.0) ** 2).sum(-1), pme.Real(), (2,), a=1.5
    )
    with pm.Model():
        pme.Boltzmann("x", energy, temperature=2.0)
        trace = sample()
    assert "tree_depth" in trace["sample_stats"]
    grid = np.linspace(-4, 4, 2001)
    p = np.exp(-0.75 * (grid**2 - 1) ** 2)
    wanted = trapezoid(grid**2 * p, grid) / trapezoid(p, grid)
    for k in range(2):
        assert_mean(trace["posterior"]["x"][..., k] ** 2, wanted)


def test_an_approximate_log_partition_is_what_it_says():
    """Pseudolikelihood: NUTS finds the mode of the pseudoposterior, here on a grid."""
    state = np.where(np.random.default_rng(1).random((12, 12)) < 0.7, 1, -1)
    fields = [np.roll(state, k, a) for a in (0, 1) for k in (1, -1)]
    near = np.sum(fields, axis=0)
    grid = np.linspace(-1.0, 1.0, 801)
    log_p = [norm.logpdf(j) - np.log1p(np.exp(-2 * j * state * near)).sum() for j in grid]
    p = np.exp(log_p - np.max(log_p))
    with pm.Model():
        J = pm.Normal("J")
        energy = pme.Ising(lattice=(12, 12), coupling=J)
        pme.Boltzmann("z", energy, log_partition="pseudolikelihood", observed=state)
        draws = sample()["posterior"]["J"]
    assert_mean(draws, trapezoid(p * grid, grid) / trapezoid(p, grid))


# ---- the same model with other data


def test_set_data_between_runs():
    """Parameters are read anew by each run."""
    with pm.Model():
        h = pm.Data("h", 3.0)
        pme.Boltzmann("z", pme.Ising(lattice=SHAPE, coupling=0.0, field=h))
        means = []
        for value in (3.0, -3.0):
            pm.set_data({"h": value})
            means.append(float(sample(200, tune=0, cores=1)["posterior"]["z"].mean()))
    assert means[0] > 0.98
    assert means[1] < -0.98


def test_clones_conditions_and_interventions_are_sampled():
    model = build("Gaussian")
    seen = pm.observe(model, {"z": np.sign(Y).astype(np.int8)})
    fixed = pm.do(model, {"mu": np.array([-1.0, 1.0]), "sigma": 0.5})
    clone = pm.model.fgraph.clone_model(model)
    for other, free in ((seen, {"mu", "sigma"}), (fixed, {"z"}), (clone, {"z", "mu", "sigma"})):
        with other:
            posterior = sample(10, tune=10, cores=1)["posterior"]
        assert set(posterior.data_vars) >= free
        assert ("z" in posterior) == ("z" in free)


# ---- what PyMC refuses, or does in its own way


def test_variational_inference_is_refused():
    with build("Gaussian"), pytest.raises(Exception, match="Discrete variables are not supported"):
        pm.fit(10, progressbar=False)


@pytest.mark.parametrize("sampler", ["nutpie", "numpyro", "blackjax"])
def test_external_samplers_are_refused(sampler):
    with build("Gaussian"), pytest.raises(ValueError, match="not assigned to another step sampler"):
        sample(5, tune=5, nuts_sampler=sampler)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_find_map_leaves_fields_where_they_are():
    """As documented: PyMC optimises continuous variables only."""
    model = build("Gaussian")
    start = {"z": np.where(Y > 0, 1, -1).astype(np.int8)}
    with model:
        found = pm.find_MAP(start=start, progressbar=False)
    np.testing.assert_array_equal(found["z"], start["z"])
    with build("prior"), pytest.raises(ValueError, match="no unobserved continuous variables"):
        pm.find_MAP(progressbar=False)


def test_a_field_is_one_observation():
    """Log-likelihoods are of whole fields; ArviZ warns of leaving one out of one."""
    with pm.Model():
        J = pm.HalfNormal("J")
        pme.Boltzmann("z", pme.Ising(lattice=(3, 3), coupling=J), observed=np.ones((3, 3)))
        trace = sample(50, tune=50, cores=1)
        trace = pm.compute_log_likelihood(trace, progressbar=False)
    assert trace["log_likelihood"]["z"].dims == ("chain", "draw")
    with pytest.warns(UserWarning, match="element-wise logp"):
        az.loo(trace)


def test_pixels_behind_a_field_are_observations():
    with build("Gaussian"):
        trace = sample(50, tune=50, cores=1)
        trace = pm.compute_log_likelihood(trace, progressbar=False)
    assert trace["log_likelihood"]["y"].shape[2:] == SHAPE


def test_other_samplers_keep_to_the_domain():
    """Metropolis proposes 0 for a spin; the density is zero there."""
    with build("prior"):
        states = sample(300, tune=0, cores=1, step=pm.Metropolis())["posterior"]["z"]
    assert set(np.unique(states)) <= {-1, 1}


def test_sequential_monte_carlo_runs():
    with build("prior"):
        trace = pm.sample_smc(100, chains=1, random_seed=1, progressbar=False)
    assert set(np.unique(trace["posterior"]["z"])) == {-1, 1}


@pytest.mark.parametrize("name", ["Gaussian", "total"])
def test_compile_kwargs(name):
    """Other modes than numba's give the same conditionals; what is no mode is for PyMC."""
    options = {"compile_kwargs": {"mode": "FAST_COMPILE", "random_seed": 1}}
    with build(name):
        slow, fast = (sample(10, tune=5, cores=1, **kwargs) for kwargs in (options, {}))
    if name == "total":  # no NUTS, whose numbers differ in the last bits
        np.testing.assert_array_equal(slow["posterior"]["z"], fast["posterior"]["z"])


# ---- progress


@pytest.mark.parametrize("progressbar", [True, False, "combined", "split+stats"])
def test_progress_bars(progressbar, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    with pm.Model():
        pme.Boltzmann("one", ISING)
        pme.Boltzmann("two", ISING)
        pm.Normal("x")
        sample(10, tune=10, cores=1, quiet=False, progressbar=progressbar)
    shown = capsys.readouterr().out
    assert ("Flips" in shown) == (progressbar in (True, "split+stats"))
    assert bool(shown.strip()) == bool(progressbar)
