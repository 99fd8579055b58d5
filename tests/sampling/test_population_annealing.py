"""Population annealing: unbiased however small the population, frozen, honest about families."""

import joblib
import numpy as np
import pymc as pm
import pytest
from known_evidence import regression, shells
from known_walkers import GaussianWalkers, TableWalkers
from scipy.stats import norm
from tempered_models import everything, two_modes

import pm_energy as pme
import pm_energy.sampling.population_annealing as population_annealing
from pm_energy.kernels.resample import systematic
from pm_energy.partition import population_annealing as combine
from pm_energy.paths.schedule import effective_fraction, next_beta, overlap_fraction
from pm_energy.sampling.pilot import Plan, send_pilot
from pm_energy.sampling.population import PER_STEP, anneal_population
from pm_energy.sampling.starts import begin_at_base

FEW = {"size": 30, "sweeps_per_step": 1, "random_seed": 3, "progressbar": False}
FALSE_ALARM = 4.9  # standard errors, two-sided: one in a million
PLAN = Plan(np.array([0.0, 0.3, 0.6, 1.0]), np.array([0, 1, 1, 1]))
N_STATES = 6


def table_walkers(size):
    return TableWalkers(np.log([4, 1, 1, 4, 4, 2]), [0.0, 2.0, 4.0, 0.0, -1.0, 3.0], size)


def right(walkers, rng):
    population = anneal_population(walkers, walkers.path, PLAN, walkers.size, rng)
    return population.per_step["log_z"][-1], population.values["x"]


def weights_of_states_before_the_move(walkers, rng):
    """As if a stale log_ratio had been kept."""
    begin_at_base(walkers, walkers.path, PLAN, walkers.size, rng)
    log_z, stale = 0.0, walkers.log_ratio
    for k in range(1, len(PLAN.beta)):
        weights = np.exp((PLAN.beta[k] - PLAN.beta[k - 1]) * stale)
        walkers.take(systematic(rng, weights))
        log_z, stale = log_z + np.log(weights.mean()), walkers.log_ratio
        walkers.move(rng, np.full(walkers.size, k))
    return log_z, walkers.x


def moved_before_it_is_weighted(walkers, rng):
    begin_at_base(walkers, walkers.path, PLAN, walkers.size, rng)
    log_z = 0.0
    for k in range(1, len(PLAN.beta)):
        walkers.move(rng, np.full(walkers.size, k))
        weights = np.exp((PLAN.beta[k] - PLAN.beta[k - 1]) * walkers.log_ratio)
        walkers.take(systematic(rng, weights))
        log_z += np.log(weights.mean())
    return log_z, walkers.x


def weights_not_reset(walkers, rng):
    """Resampled by weights that are then carried on as well."""
    begin_at_base(walkers, walkers.path, PLAN, walkers.size, rng)
    log_z, weights = 0.0, np.ones(walkers.size)
    for k in range(1, len(PLAN.beta)):
        weights = weights * np.exp((PLAN.beta[k] - PLAN.beta[k - 1]) * walkers.log_ratio)
        source = systematic(rng, weights)
        walkers.take(source)
        log_z += np.log(weights.mean())
        weights = weights[source] / weights.mean()
        walkers.move(rng, np.full(walkers.size, k))
    return log_z, walkers.x


def ladder_of_its_own(walkers, rng):
    """Steps chosen by the very weights that they are judged by."""
    begin_at_base(walkers, walkers.path, PLAN, walkers.size, rng)
    log_z, beta = 0.0, 0.0
    while beta < 1.0:
        new = next_beta(walkers.log_ratio, beta, 0.8)
        weights = np.exp((new - beta) * walkers.log_ratio)
        walkers.take(systematic(rng, weights))
        log_z, beta = log_z + np.log(weights.mean()), new
        walkers.set_ladder([beta])
        walkers.move(rng, np.zeros(walkers.size, dtype=int))
    return log_z, walkers.x


@pytest.mark.parametrize(
    ("anneal", "is_right"),
    [
        (right, True),
        (weights_of_states_before_the_move, False),
        (moved_before_it_is_weighted, False),
        (weights_not_reset, False),
        (ladder_of_its_own, False),
    ],
)
def test_z_and_sums_over_states_are_unbiased(anneal, is_right):
    """E[Z_hat * share of state x] = Z p(x), for each of six states and their sum."""
    n, size = 1000, 4
    walkers, rng = table_walkers(size), np.random.default_rng(1)
    shares = np.empty((n, N_STATES))
    for row in shares:
        walkers.set_ladder(PLAN.beta)
        log_z, x = anneal(walkers, rng)
        row[:] = np.exp(log_z - walkers.log_z()) * np.bincount(x, minlength=N_STATES) / size
    excess = np.column_stack([shares - walkers.probabilities(1.0), shares.sum(1) - 1.0])
    z = excess.mean(0) / (excess.std(0, ddof=1) / np.sqrt(n))
    assert (np.abs(z) < FALSE_ALARM).all() == is_right, z


def test_the_pilot_decides_and_then_all_is_frozen():
    walkers = GaussianWalkers(2000, memory=0.9)
    survey = send_pilot(
        walkers, walkers.path, np.random.default_rng(0), sweeps="auto", target=0.7,
        measure=overlap_fraction,
    )  # fmt: skip
    plan = survey.plan
    assert walkers.frozen
    np.testing.assert_array_equal(walkers.ladder, plan.beta)
    np.testing.assert_array_equal(plan.beta[[0, -1]], [0.0, 1.0])
    # a Gaussian move keeps memory^2 of a square, and memory of a first power
    assert plan.n_sweeps[0] == 0
    assert set(plan.n_sweeps[1:]) <= {3, 4, 5, 6, 7}
    np.testing.assert_allclose(survey.memory[-1], (1 + 0.9**2) / (1 - 0.9**2), rtol=0.3)
    population = anneal_population(walkers, walkers.path, plan, 500, np.random.default_rng(1))
    assert abs(population.per_step["log_z"][-1] - walkers.log_z()) < 0.5


def test_families_and_moments_are_those_of_the_members():
    walkers = GaussianWalkers(400, k=3.0, memory=1.0)  # nobody moves: all are like their founder
    founders = walkers.path.draw_base(np.random.default_rng(5), 400)["x"]
    walkers.path.draw_base = lambda rng, n: {"x": founders}
    walkers.set_ladder(PLAN.beta)
    population = anneal_population(walkers, walkers.path, PLAN, 400, np.random.default_rng(0))
    np.testing.assert_allclose(population.values["x"], founders[population.family], rtol=1e-12)
    assert (np.diff(population.family) >= 0).all()
    share = np.unique(population.family, return_counts=True)[1] / 400
    last = {name: values[-1] for name, values in population.per_step.items()}
    assert set(last) == set(PER_STEP)
    assert last["rho_t"] == pytest.approx(400 * (share**2).sum())
    assert last["family_entropy"] == pytest.approx(-(share * np.log(share)).sum())
    assert last["mean_log_ratio"] == pytest.approx(population.log_ratio.mean())
    assert last["var_log_ratio"] == pytest.approx(population.log_ratio.var())
    assert np.isnan(last["acceptance"])
    # without moves the first step is plain importance sampling
    log_w = 0.3 * -1.5 * ((founders - 1.0) ** 2).sum(-1)
    assert population.per_step["log_z"][1] == pytest.approx(np.log(np.exp(log_w).mean()))
    assert population.per_step["ess"][1] == pytest.approx(effective_fraction(log_w))


def test_starts_at_which_the_target_vanishes_die_and_count():
    ratio = np.array([0.0, 2.0, 4.0, -np.inf, -np.inf, 3.0])
    walkers = TableWalkers(np.log([4, 1, 1, 4, 4, 2]), ratio, 500)
    survey = send_pilot(
        walkers, walkers.path, np.random.default_rng(0), sweeps=2, target=0.5,
        measure=effective_fraction,
    )  # fmt: skip
    runs = [
        anneal_population(walkers, walkers.path, survey.plan, 500, np.random.default_rng(seed))
        for seed in range(20)
    ]
    log_z = np.array([run.per_step["log_z"][-1] for run in runs])
    error = log_z.std(ddof=1) / np.sqrt(20)
    assert abs(log_z.mean() - walkers.log_z()) < FALSE_ALARM * error
    first = {name: values[0] for name, values in runs[0].per_step.items()}
    assert first["mean_log_ratio"] == -np.inf
    assert np.isnan(first["var_log_ratio"])


def test_a_likelihood_of_zero_at_half_of_the_starts():
    with pm.Model():
        x = pm.Uniform("x", 0, 1)
        pm.Uniform("y", x, x + 1, observed=0.5)
        tree = pme.sample_population_annealing(400, random_seed=1, progressbar=False)
        works = pme.ais(400, random_seed=1, progressbar=False)["work"]["forward"]
    assert tree.posterior["x"].max() < 0.5
    error = 1 / np.sqrt(2 * 400)  # half of 800 founders survive
    assert abs(tree["population"]["log_z"][:, -1].mean() - np.log(0.5)) < FALSE_ALARM * error
    assert abs(np.log(np.exp(-works).mean()) - np.log(0.5)) < FALSE_ALARM / np.sqrt(400)


@pytest.mark.parametrize(
    ("ratio", "message"),
    [
        (np.full(6, -np.inf), "target vanishes at all 50 draws of the base: log_ratio = -inf"),
        (np.full(6, np.nan), "not a number: log_ratio = nan"),
        (np.array([0.0, np.nan, 0.0, 0.0, 0.0, 0.0]), "not a number: log_ratio = nan"),
        (np.array([0.0, np.inf, 0.0, 0.0, 0.0, 0.0]), "not a number: log_ratio = inf"),
        (np.array([0.0, 9.0, 0.0, 0.0, 0.0, 0.0]), "more than 5 steps"),
    ],
)
def test_log_densities_that_cannot_be_annealed_are_named(ratio, message, monkeypatch):
    monkeypatch.setattr("pm_energy.sampling.pilot.MAX_STEPS", 5)
    walkers = TableWalkers(np.log([4, 1, 1, 4, 4, 2]), ratio, 50)
    with pytest.raises(ValueError, match=message):
        send_pilot(
            walkers, walkers.path, np.random.default_rng(0), sweeps=1, target=0.99,
            measure=effective_fraction,
        )  # fmt: skip


def test_a_base_that_cannot_be_drawn_is_reached_by_moves():
    walkers = TableWalkers(np.log([9, 1, 1, 9, 9, 9]), np.zeros(6), 3000, exact_base=False)
    walkers.path.draw_base = lambda rng, n: {"x": rng.integers(6, size=n)}
    plan = Plan(np.array([0.0]), np.array([60]))
    walkers.set_ladder([0.0])
    population = anneal_population(walkers, walkers.path, plan, 3000, np.random.default_rng(0))
    share = np.bincount(population.values["x"], minlength=6) / 3000
    p = walkers.probabilities(0.0)
    assert (np.abs(share - p) < FALSE_ALARM * np.sqrt(p * (1 - p) / 3000)).all()
    survey = send_pilot(
        walkers, walkers.path, np.random.default_rng(0), sweeps=3, target=0.5,
        measure=effective_fraction,
    )  # fmt: skip
    assert survey.plan.n_sweeps[0] == 30


def field_in_noise():
    """Its base is the field, and what is tempered are the pixels."""
    energy, pixels = pme.Ising(lattice=(3, 3), coupling=0.2), np.linspace(-2, 2, 9).reshape(3, 3)
    with pm.Model() as model:
        pm.Normal("pixels", pme.Boltzmann("field", energy), 0.7, observed=pixels)
    states, p = pme.exact.distribution(energy)
    log_likelihood = norm.logpdf(pixels, states, 0.7).sum((1, 2))
    return model, np.log(p @ np.exp(log_likelihood))


def known():
    yield "field in noise", *field_in_noise(), 300
    triangle = pme.Ising(graph=[[0, 1], [1, 2], [2, 0]], coupling=-1.0)
    yield "triangle", triangle, np.log(6 * np.e + 2 * np.exp(-3)), 200
    for coupling in (0.3, 0.4406867935):
        exact = float(pme.exact.log_partition_torus((8, 8), coupling).eval())
        yield f"torus {coupling}", pme.Ising(lattice=(8, 8), coupling=coupling), exact, 500
    yield "shells", *shells(2), 150
    yield "regression", *regression(), 120


@pytest.mark.parametrize(
    ("model", "log_z", "size"), [pytest.param(*rest, id=name) for name, *rest in known()]
)
def test_log_z_is_right_within_four_errors(model, log_z, size):
    tree = pme.sample_population_annealing(
        size, model=model, chains=4, random_seed=2, progressbar=False
    )
    group = tree["population"]
    found = combine(group["log_z"][:, -1], group["rho_t"][:, -1], size).log_partition()
    assert found.mcse < 0.2
    assert abs(found.value + group.attrs["log_z_base"] - log_z) < 4 * found.mcse


def test_the_tree_has_the_population_and_the_way_it_came():
    with two_modes():
        tree = pme.sample_population_annealing(300, random_seed=1, progressbar=False)
    assert dict(tree.posterior.sizes) == {"chain": 2, "draw": 300}
    np.testing.assert_allclose(tree.posterior["square"], tree.posterior["x"] ** 2)
    assert abs((tree.posterior["x"] > 0).mean() - 0.5) < 0.15
    assert tree.observed_data["y"] == 9.0
    group = tree["population"]
    for name in PER_STEP:
        assert group[name].dims == ("chain", "step")
    assert group["family"].dims == group["log_ratio"].dims == ("chain", "draw")
    assert set(group.attrs) == {"log_z_base", "road", "base", "tempered"}
    log_likelihood = pm.logp(pm.Normal.dist(tree.posterior["square"].values, 1), 9.0).eval()
    np.testing.assert_allclose(group["log_ratio"], log_likelihood)
    assert (group["log_z"][:, 0] == 0).all()
    # no two populations are moved by the same random numbers
    assert np.intersect1d(*tree.posterior["x"]).size == 0


def test_the_draws_do_not_depend_on_where_they_are_made():
    run = {"chains": 3, "model": two_modes(), **FEW}
    serial = pme.sample_population_annealing(cores=1, **run)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        parallel = pme.sample_population_annealing(**run)
    for name in ("log_z", "family", "beta"):
        np.testing.assert_array_equal(serial["population"][name], parallel["population"][name])
    np.testing.assert_array_equal(serial.posterior["x"], parallel.posterior["x"])


def test_everything_at_once_runs_through_it():
    with everything():
        tree = pme.sample_population_annealing(chains=1, target_ess=0.3, **FEW)
    assert set(tree.posterior) == {"mu", "sd", "z", "theta", "shifted", "field", "scale"}
    assert set(np.unique(tree.posterior["field"])) == {-1, 1}


def test_ctrl_c_returns_the_populations_that_were_complete(monkeypatch):
    calls = []
    anneal = population_annealing.anneal_population

    def interrupted(*args):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return anneal(*args)

    monkeypatch.setattr(population_annealing, "anneal_population", interrupted)
    run = {"chains": 4, "model": two_modes(), "cores": 1, **FEW}
    at = 3
    tree = pme.sample_population_annealing(**run)
    assert dict(tree.posterior.sizes) == {"chain": 2, "draw": 30}
    assert tree["population"]["log_z"].sizes["chain"] == 2
    calls, at = [], 1
    with pytest.raises(KeyboardInterrupt):
        pme.sample_population_annealing(**run)


@pytest.mark.parametrize("step", [pm.Metropolis, pm.Slice])
def test_steps_of_the_user_move_the_members(step):
    with two_modes() as model:
        tree = pme.sample_population_annealing(step=step([model["x"]]), chains=1, **FEW)
    assert np.isfinite(tree["population"]["acceptance"][0, -1]) == (step is pm.Metropolis)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "size must be a positive integer"),
        ({"size": 1}, "size must be at least 2"),
        ({"chains": 0}, "chains must be"),
        ({"target_ess": 1.0}, "target_ess must be between 0 and 1"),
        ({"target_ess": 0.0}, "target_ess must be between 0 and 1"),
        ({"overlap": -0.1}, "overlap must be between 0 and 1"),
        ({"sweeps_per_step": 0}, "sweeps_per_step must be"),
        ({"sweeps_per_step": "all"}, "sweeps_per_step must be"),
        ({"base": "posterior"}, "base must be 'prior' or 'variational'"),
        ({"temper": "potentials"}, "the model has none"),
        ({"step": "nuts"}, "step must be a PyMC step method"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        pme.sample_population_annealing(**{"model": two_modes(), **FEW, **change})
