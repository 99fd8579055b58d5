"""Every kind of model runs through every driver without change, and its evidence is right."""

from functools import partial

import numpy as np
import pymc as pm
import pytest
from scipy.integrate import quad, trapezoid
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from tempered_models import everything

import pm_energy as pme
import pm_energy.sampling.ais as ais_module
from pm_energy.energy import single_block
from pm_energy.paths import gaussian
from pm_energy.random_variable import EnergyRV
from pm_energy.walkers.compiled_walkers import CompiledWalkers

# a few draws are known to be few
pytestmark = pytest.mark.filterwarnings("ignore::pm_energy.partition.EvidenceWarning")

DRIVERS = {
    "tempering": (pme.sample_parallel_tempering, {"draws": 150, "tune": 100, "chains": 2}),
    "simulated_tempering": (
        pme.sample_simulated_tempering, {"draws": 80, "tune": 50, "chains": 2}
    ),
    "population": (pme.sample_population_annealing, {"size": 80, "chains": 2}),
    "work": (pme.ais, {"particles": 80, "n_betas": 20}),
}  # fmt: skip
MOST = 0.3  # that an error may be
FAR = 5.0  # errors, which themselves are known to a quarter or so


def normal(y, cov):
    return multivariate_normal.logpdf(y, cov=cov)


def hierarchy(n=3):
    """The groups see one part of the model, the pixels another; each is summed by itself."""
    model = everything(n)
    seen = {rv.name: model.rvs_to_values[rv].data for rv in model.observed_RVs}
    states, p = pme.exact.distribution(pme.Ising(lattice=(n, n), coupling=0.3))

    def half_normal(x):
        return np.sqrt(2 / np.pi) * np.exp(-0.5 * x**2)

    def of_groups(sd):
        return half_normal(sd) * np.exp(normal(seen["groups"], 1 + (1 + sd**2) * np.eye(3)))

    scale, sd = np.linspace(0, 10, 1001), np.linspace(0, 8, 101)
    distance = 0.0
    for shifted in (0, 1):
        y = seen["pixels"] - shifted
        overlap = (y * states).sum(axis=(1, 2))[:, None]
        distance = distance + 0.5 * p @ np.exp(
            scale * overlap - 0.5 * (y**2).sum() - 0.5 * (scale * n) ** 2
        )
    groups = trapezoid([of_groups(x) for x in sd], sd)
    pixels = trapezoid(half_normal(scale) * distance, scale) / (2 * np.pi) ** (n**2 / 2)
    return model, np.log(groups) + np.log(pixels)


def potentials_only():
    with pm.Model() as model:
        x = pm.Normal("x", 0, 2, shape=2)
        pm.Potential("double_well", -((x**2 - 1) ** 2).sum())
    one = quad(lambda x: np.exp(-((x**2 - 1) ** 2) - x**2 / 8) / np.sqrt(8 * np.pi), -9, 9)[0]
    return model, 2 * np.log(one)


def missing_data():
    y = np.array([1.0, np.nan, 0.5, -0.3])
    with pm.Model() as model, pytest.warns(UserWarning, match="imputed"):
        pm.Normal("y", pm.Normal("mu", 0, 2), 1, observed=y)
    return model, normal(y[[0, 2, 3]], 4 + np.eye(3))


def missing_spins():
    """A chain of four, of which two are seen."""
    seen = np.ma.masked_array([1, -1, -1, 1], mask=[False, True, False, True])
    energy = pme.Ising([0.5, 1.0, -0.7], graph=[[0, 1], [1, 2], [2, 3]])
    with pm.Model() as model:
        pme.Boltzmann("s", energy, observed=seen, log_partition="exact")
    states, p = pme.exact.distribution(energy)
    agree = (states[:, ~seen.mask] == seen.data[~seen.mask]).all(axis=1)
    return model, np.log(p[agree].sum())


def data_containers():
    t, y = np.linspace(-1, 1, 5), np.array([-1.0, -0.4, 0.2, 0.6, 0.9])
    with pm.Model(coords={"time": t}) as model:
        x = pm.Data("x", t, dims="time")
        slope = pm.Normal("slope", 0, 2)
        pm.Normal("y", slope * x, 0.5, observed=pm.Data("seen", y, dims="time"), dims="time")
    return model, normal(y, 4 * np.outer(t, t) + 0.25 * np.eye(5))


def potts_field(energies=False):
    y = np.random.default_rng(0).normal(1, 1, (2, 3))
    energy = pme.Potts(3, lattice=(2, 3), coupling=0.6)
    with pm.Model() as model:
        pm.Normal("y", pme.Boltzmann("x", energy), 1, observed=y)
    states, p = pme.exact.distribution(energy)
    log_likelihood = -0.5 * ((states - y) ** 2 + np.log(2 * np.pi)).sum(axis=(1, 2))
    # with its energy tempered the field is not normalised
    log_z = pme.exact.log_partition(energy) if energies else 0.0
    return model, logsumexp(np.log(p) + log_likelihood) + log_z


def rbm(layers):
    energy = layers(pme.RBM(np.random.default_rng(1).normal(size=(4, 3))))
    return energy, pme.exact.log_partition(energy)


RING = [[0, 1], [1, 2], [2, 3], [3, 0]]


def unknown_coupling(hidden):
    """A ring of four spins, seen as they are or through noise; log Z is exact."""
    y = np.array([0.9, 1.4, -0.2, 0.8]) if hidden else np.array([1, 1, -1, 1])
    with pm.Model() as model:
        energy = pme.Ising(pm.Uniform("coupling", 0, 1), graph=RING)
        s = pme.Boltzmann("s", energy, observed=None if hidden else y)
        if hidden:
            pm.Normal("y", s, 0.8, observed=y)
    energy, grid = pme.Ising(graph=RING), np.linspace(0, 1, 201)
    states = pme.exact.all_states(single_block(energy))
    log_weights = -grid[:, None] * pme.energy_values(energy, states)
    if hidden:
        seen = -0.5 * (((y - states) / 0.8) ** 2 + np.log(2 * np.pi * 0.64)).sum(axis=1)
    else:
        seen = np.where((states == y).all(axis=1), 0.0, -np.inf)
    each = logsumexp(log_weights + seen, axis=1) - logsumexp(log_weights, axis=1)
    return model, np.log(trapezoid(np.exp(each), grid))


def unknown_spread():
    """The mean is integrated out; its spread is positive, and transformed."""
    y = np.array([3.0, 4.1, 3.5, 2.8, 3.9])
    with pm.Model() as model:
        sd = pm.HalfNormal("sd", 1)
        pm.Normal("y", pm.Normal("mu", 0, 5), sd, observed=y)

    def given(sd):
        return 2 / np.sqrt(2 * np.pi) * np.exp(normal(y, 25 + sd**2 * np.eye(5)) - 0.5 * sd**2)

    grid = np.linspace(0.05, 5, 200)
    return model, np.log(trapezoid([given(sd) for sd in grid], grid))


BOTH = {"temper": ("likelihood", "energies")}
MODELS = {
    "hierarchy with indicator and field": (hierarchy, {}),
    "potentials only": (potentials_only, {}),
    "missing numbers": (missing_data, {}),
    "missing spins": (missing_spins, {}),
    "data containers": (data_containers, {}),
    "Potts field": (potts_field, {}),
    "Potts field, its energy tempered": (partial(potts_field, energies=True), BOTH),
    "RBM, joined": (partial(rbm, pme.Joined), {}),
    "RBM, marginal": (partial(rbm, pme.Marginal), {}),
    "unknown coupling": (partial(unknown_coupling, hidden=False), {}),
    "unknown coupling of a hidden field": (partial(unknown_coupling, hidden=True), {}),
    "the same, its energy tempered": (partial(unknown_coupling, hidden=True), BOTH),
    "variational base": (unknown_spread, {"base": "variational"}),
}


SLOW = {"unknown coupling of a hidden field", "the same, its energy tempered"}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in MODELS],
)
def known(request):
    make, options = MODELS[request.param]
    return *make(), options


@pytest.mark.parametrize("name", DRIVERS)
def test_every_driver_takes_every_model(name, known, monkeypatch):
    monkeypatch.setattr(ais_module, "PILOT", 60)
    monkeypatch.setattr(gaussian, "ITERATIONS", 12_000)  # a bad fit costs only length of the path
    (driver, size), (model, exact, options) = DRIVERS[name], known
    tree = driver(model=model, random_seed=1, cores=1, progressbar=False, **size, **options)
    found = pme.log_evidence(tree)
    print(f"{found}; exact {exact:.4f}, z {found.errors_from(exact):.2f}")
    assert_whole(tree, name, model)
    assert found.mcse < MOST
    assert abs(found.errors_from(exact)) < FAR


@pytest.mark.parametrize(("factor", "is_right"), [(1.0, True), (0.2, False)])
@pytest.mark.parametrize("name", DRIVERS)
def test_evidence_is_wrong_where_moves_are_at_another_temperature(
    name, factor, is_right, monkeypatch
):
    set_ladder = CompiledWalkers.set_ladder
    monkeypatch.setattr(
        CompiledWalkers,
        "set_ladder",
        lambda self, betas: set_ladder(self, np.multiply(factor, betas)),
    )
    (driver, size), (model, exact) = DRIVERS[name], data_containers()
    tree = driver(model=model, random_seed=2, cores=1, progressbar=False, **size)
    found = pme.log_evidence(tree)
    print(f"{found}; exact {exact:.4f}, z {found.errors_from(exact):.2f}")
    assert (abs(found.errors_from(exact)) < FAR) == is_right


def assert_whole(tree, name, model):
    """All variables are there, with their shapes, finite and where they can be."""
    group, (draws, lead) = tree[name], ("posterior", ("chain", "draw"))
    for variable, array in group.data_vars.items():
        if name != "population" or variable not in ("ess", "acceptance", "var_log_ratio"):
            assert np.isfinite(array).all(), variable
    assert {"log_z_base", "road", "base", "tempered"} <= set(group.attrs)
    if name == "work":
        draws, lead = "annealed", ("particle",)
    values = tree[draws].to_dataset()
    if not isinstance(model, pm.Model):
        block = single_block(model)
        assert values["x"].dims[: len(lead)] == lead
        assert values["x"].shape[len(lead) :] == block.shape
        assert set(np.unique(values["x"])) == set(block.domain.states)
        return
    for rv in [*model.free_RVs, *model.deterministics]:
        array = values[rv.name]
        assert array.dims[: len(lead)] == lead
        assert array.shape[len(lead) :] == tuple(rv.shape.eval())
        assert array.dims[len(lead) :] == model.named_vars_to_dims.get(
            rv.name, array.dims[len(lead) :]
        )
        assert np.isfinite(array).all()
        if rv.owner is not None and isinstance(rv.owner.op, EnergyRV):
            block = single_block(rv.owner.op.energy(rv.owner.op.dist_params(rv.owner)))
            assert set(np.unique(array)) == set(block.domain.states)


@pytest.mark.parametrize("model", ["RBM, joined", "RBM, marginal"])
def test_annealing_takes_discrete_energies(model):
    energy, _ = MODELS[model][0]()
    states = pme.exact.all_states(single_block(energy))
    lowest = pme.energy_values(energy, states).min()
    found = pme.anneal(energy, n_sweeps=100, random_seed=0, progressbar=False)
    assert found.best_energy == pytest.approx(lowest)


@pytest.mark.slow
def test_simulated_tempering_is_a_step_for_everything_at_once():
    with everything(3):
        tree = pm.sample(
            30, tune=30, step=pme.SimulatedTempering(), chains=1, cores=1, random_seed=1,
            progressbar=False, quiet=True, compute_convergence_checks=False,
        )  # fmt: skip
    assert set(tree.posterior) == {"mu", "sd", "z", "theta", "shifted", "field", "scale"}
    assert tree.posterior["field"].dims == ("chain", "draw", "row", "col")
    for name, states in (("field", {-1, 1}), ("shifted", {0, 1})):
        assert set(np.unique(tree.posterior[name])) == states
