"""Walkers of a Boltzmann field: what they leave invariant, what they report, what they refuse."""

import pickle

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from energy_cases import ALL
from scipy.special import softmax

import pm_energy as pme
from pm_energy import exact
from pm_energy.compile import compile_function
from pm_energy.energy import single_block
from pm_energy.exact.enumeration import state_number
from pm_energy.paths import make_path
from pm_energy.testing import FALSE_ALARM, pooled_chisquare
from pm_energy.walkers import spin_graph, tempering
from pm_energy.walkers.choose_moves import moves_of
from pm_energy.walkers.spin_walkers import NotOneField, SpinWalkers

SIGNS = np.random.default_rng(3).choice([-1.0, 1.0], 7)
KINDS = {
    "equal couplings": pme.Ising(0.8 * SIGNS, lattice=(2, 3), periodic=False),
    "small multiples": pme.Ising(
        0.4 * np.array([2.0, -1, 1, 1, -2, 1, -1]),
        0.4 * np.array([[1.0, 0, -2], [0, 0, 1]]),
        lattice=(2, 3),
        periodic=False,
    ),
    "bonds and fields": ALL["ising bonds"],
    "all pairs": ALL["ising dense"],
    "bits": ALL["binary machine"],
    "held": ALL["clamped machine"],
    "categories": ALL["potts bonds"],
    "layers": ALL["joined spin"],
    "free energy": ALL["marginal binary spin"],
    "no form": ALL["cubic"],
}  # fmt: skip
LADDER = np.array([0.0, 0.4, 1.0])
STARTS = 2_500  # at each level


def tempered(energy, betas):
    """All states, their numbers, and their probabilities at each of the betas."""
    block = single_block(energy)
    states = exact.enumeration.all_states(block)
    values = pme.energy_values(energy, states)
    return states, softmax(-np.outer(betas, values), axis=1)


def exact_starts(rng, states, p, size=STARTS):
    """Exact draws at each level, (size, n_levels, *event_shape)."""
    return np.stack([states[rng.choice(len(states), size=size, p=row)] for row in p], axis=1)


def p_values(domain, x, p):
    """Of the states of each level, x of shape (size, n_levels, *event_shape)."""
    return [pooled_chisquare(state_number(x[:, k], domain), row) for k, row in enumerate(p)]


def walkers_at(energy, x):
    walkers = SpinWalkers(make_path(energy), x.shape[0] * x.shape[1])
    walkers.set_ladder(LADDER)
    walkers.put({"x": x.reshape(-1, *x.shape[2:])})
    return walkers


@pytest.mark.parametrize(("levels", "is_right"), [([0, 1, 2], True), ([2, 1, 0], False)])
@pytest.mark.parametrize("name", KINDS)
def test_each_walker_leaves_its_own_level_invariant(name, levels, is_right):
    """From exact starts, one sweep; with the wrong levels it fails."""
    energy, rng = KINDS[name], np.random.default_rng(5)
    states, p = tempered(energy, LADDER)
    x = exact_starts(rng, states, p)
    walkers = walkers_at(energy, x)
    took = walkers.move(rng, np.tile(levels, STARTS))
    assert took.shape == (3 * STARTS,)
    assert 0.0 <= took.min() <= took.max() <= 1.0
    found = p_values(single_block(energy).domain, walkers.x.reshape(x.shape), p)
    assert (min(found) > FALSE_ALARM) == is_right


@pytest.mark.parametrize(("held", "is_right"), [(0.7, True), (0.3, False)])
@pytest.mark.parametrize("name", KINDS)
def test_anneals_at_one_temperature_leave_it_invariant(name, held, is_right):
    """From exact starts; held at another temperature they do not."""
    energy, rng = KINDS[name], np.random.default_rng(16)
    states, p = tempered(energy, [0.7])
    x = exact_starts(rng, states, p, 3 * STARTS)[:, 0]
    moves_of(energy).anneal(rng, x, np.full(3, held))
    found = p_values(single_block(energy).domain, x[:, None], p)
    assert (found[0] > FALSE_ALARM) == is_right


@pytest.mark.parametrize("name", KINDS)
def test_moves_at_the_base_are_independent_uniform_draws(name):
    energy, rng = KINDS[name], np.random.default_rng(6)
    states, p = tempered(energy, [0.0])
    walkers = SpinWalkers(make_path(energy), STARTS)
    assert walkers.exact_base
    walkers.put({"x": np.repeat(states[:1], STARTS, axis=0)})
    walkers.move(rng, np.zeros(STARTS, dtype=int))
    domain = single_block(energy).domain
    assert p_values(domain, walkers.x[:, None], p)[0] > FALSE_ALARM
    walkers.start(rng)
    assert p_values(domain, walkers.x[:, None], p)[0] > FALSE_ALARM


@pytest.mark.parametrize("name", ["categories", "layers", "no form"])
@pytest.mark.parametrize("is_right", [True, False])
def test_tempering_leaves_the_product_of_levels_invariant(name, is_right, monkeypatch):
    """By the general way; reversed swaps fail."""
    if not is_right:
        swap = tempering.swap
        monkeypatch.setattr(tempering, "swap", lambda rng, betas, *rest: swap(rng, -betas, *rest))
    check_tempering(KINDS[name], 1_200, is_right)


def test_spins_by_a_matrix(monkeypatch):
    monkeypatch.setattr(spin_graph, "MANY", 2)
    energy = pme.Ising(ALL["ising dense"].coupling, 0.3)  # of its own: graphs may be remembered
    assert "a matrix of couplings" in SpinWalkers(make_path(energy), 1).road
    check_tempering(energy, 2_000)
    check_tempering(energy, 2_000, is_right=False, start_ladder=LADDER[::-1])
    check_bookkeeping(energy)


@pytest.mark.parametrize("name", ["equal couplings", "small multiples"])
def test_ladders_that_share_words_are_invariant(name):
    check_tempering(KINDS[name], 20_000)


@pytest.mark.parametrize("name", ["equal couplings", "small multiples"])
def test_ladders_that_share_words_do_not_drift(name):
    """Seventy of them: in two words, the second one not full."""
    energy, rng = KINDS[name], np.random.default_rng(14)
    walkers = SpinWalkers(make_path(energy), 70 * 4)
    walkers.start(rng)
    betas = np.tile([0.0, 0.3, 0.6, 1.0], (70, 1))
    replica = rng.permuted(np.tile(np.arange(4), (70, 1)), axis=1)
    run = walkers.temper(rng, betas, replica, 31, thin=3, first=1)
    assert run.log_ratio.shape == run.replica.shape == (10, 70, 4)
    tops = run.states.reshape(700, *single_block(energy).shape)
    found = run.log_ratio[..., -1].ravel()
    np.testing.assert_allclose(found, -pme.energy_values(energy, tops), atol=1e-11)
    more = walkers.temper(rng, betas, replica, 1, first=32)
    np.testing.assert_array_equal(more.replica[0], replica)
    at_level = np.take_along_axis(walkers.log_ratio.reshape(70, 4), replica, axis=1)
    np.testing.assert_allclose(more.log_ratio[0], at_level, atol=1e-11)
    recomputed = -pme.energy_values(energy, walkers.values(np.arange(280))["x"])
    np.testing.assert_allclose(walkers.log_ratio, recomputed, atol=1e-12)


def test_acceptance_is_the_same_by_both_ways():
    """Means of 20,000 ladders at equilibrium: standard errors are below 0.4 / sqrt(20,000)."""
    energy, rng = KINDS["equal couplings"], np.random.default_rng(15)
    ladder = np.array([0.0, 0.2, 0.6, 1.0])
    states, p = tempered(energy, ladder)
    x = exact_starts(rng, states, p, 20_000)
    betas = np.tile(ladder, (20_000, 1))
    found = []
    for temper in (SpinWalkers.temper, general_temper):
        walkers = walkers_at(energy, x)
        replica = np.tile(np.arange(4), (20_000, 1))
        found.append(temper(walkers, rng, betas, replica, 2).acceptance.mean(axis=0))
    np.testing.assert_allclose(*found, atol=5 * 0.4 * np.sqrt(2 / 20_000))
    assert np.all(found[0] < 0.98)


def general_temper(walkers, rng, betas, replica, n_iterations):
    return tempering.temper(walkers.moves, rng, walkers.x, betas, replica, n_iterations)


def check_tempering(energy, chains, is_right=True, ladder=LADDER, start_ladder=LADDER):
    rng = np.random.default_rng(7)
    states, p = tempered(energy, ladder)
    x = exact_starts(rng, *tempered(energy, start_ladder), chains)
    walkers = walkers_at(energy, x)
    replica = np.tile(np.arange(len(ladder)), (chains, 1))
    betas = np.tile(ladder, (chains, 1))
    run = walkers.temper(rng, betas, replica, 3)
    assert (np.sort(replica, axis=1) == np.arange(len(ladder))).all()
    by_walker = walkers.x.reshape(x.shape)
    at_level = by_walker[np.arange(chains)[:, None], replica]
    domain = single_block(energy).domain
    assert (min(p_values(domain, at_level, p)) > FALSE_ALARM) == is_right
    if is_right:
        # and levels are independent of each other
        q = len(states)
        pair = state_number(at_level[:, 1], domain) * q + state_number(at_level[:, 2], domain)
        assert pooled_chisquare(pair, np.outer(p[1], p[2]).ravel()) > FALSE_ALARM
    np.testing.assert_array_equal(run.replica[-1], replica)
    np.testing.assert_array_equal(run.states[-1], at_level[:, -1])
    return run


@pytest.mark.parametrize("name", KINDS)
def test_bookkeeping_of_tempering_does_not_drift(name):
    """Log-ratios are those of the states, on every kept iteration; thinned, two ladders."""
    check_bookkeeping(KINDS[name])


def check_bookkeeping(energy):
    rng = np.random.default_rng(8)
    path = make_path(energy)
    walkers = SpinWalkers(path, 6)
    walkers.start(rng)
    betas, replica = np.array([[0.0, 0.3, 1.0], [0.0, 0.6, 1.0]]), np.tile(np.arange(3), (2, 1))
    run = walkers.temper(rng, betas, replica, 60, n_sweeps=2, thin=3, first=1)
    assert run.log_ratio.shape == run.replica.shape == (20, 2, 3)
    assert run.states.shape == (20, 2, *single_block(energy).shape)
    assert run.acceptance.shape == (2, 2)
    assert np.all((run.acceptance >= 0) & (run.acceptance <= 1))
    for state, found in zip(
        run.states.reshape(40, -1), run.log_ratio[..., -1].ravel(), strict=True
    ):
        wanted = -pme.energy_values(energy, state.reshape(1, *single_block(energy).shape))[0]
        assert found == pytest.approx(wanted, abs=1e-11)
    at_level = np.take_along_axis(walkers.log_ratio.reshape(2, 3), replica, axis=1)
    np.testing.assert_allclose(run.log_ratio[-1], at_level, atol=1e-11)
    recomputed = -pme.energy_values(energy, walkers.values(np.arange(6))["x"])
    np.testing.assert_allclose(walkers.log_ratio, recomputed, atol=1e-12)


def masked_field():
    observed = np.ma.masked_array(np.ones((3, 3)), mask=np.eye(3))
    with pm.Model() as model:
        pme.Boltzmann("z", pme.Ising(0.3, lattice=(3, 3)), observed=observed)
    return model


def seen_field(energy, **kwargs):
    data = np.random.default_rng(9).normal(size=single_block(energy).shape)
    with pm.Model() as model:
        z = pme.Boltzmann("z", energy, **kwargs)
        pm.Normal("y", pt.as_tensor([-0.5, 0.3, 2.0])[z], 0.7, observed=data)
    return model


def data_field():
    with pm.Model() as model:
        field = pm.Data("field", [0.5, -0.2, 0.1])
        pme.Boltzmann("z", pme.Ising(0.4, field, graph=[[0, 1], [1, 2]]), temperature=2.0)
    return model


MODELS = {
    "temperature and data": (data_field, {}),
    "partly observed": (masked_field, {}),
    "log Z": (lambda: seen_field(KINDS["categories"], log_partition="exact"),
              {"temper": ("likelihood", "energies")}),
    "pixels": (lambda: seen_field(pme.Ising(0.3, lattice=(2, 2))),
               {"temper": ("likelihood", "energies")}),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_log_ratio_is_that_of_the_path(name):
    make, how = MODELS[name]
    path, rng = make_path(make(), **how), np.random.default_rng(10)
    walkers = SpinWalkers(path, 8)
    evaluate = compile_function(path.inputs, path.log_ratio)
    walkers.start(rng)
    walkers.set_ladder([0.0, 1.0])
    for _ in range(3):
        walkers.move(rng, np.arange(8) % 2)
        wanted = [float(evaluate(x)) for x in walkers.x]
        np.testing.assert_allclose(walkers.log_ratio, wanted, rtol=1e-12, atol=1e-12)


def test_site_wise_terms_are_tempered_with_the_energy():
    """A field seen through noise: exact starts at each level of its posterior."""
    make, how = MODELS["log Z"]
    path = make_path(make(), **how)
    evaluate = compile_function(path.inputs, path.log_ratio)
    states = exact.enumeration.all_states(single_block(KINDS["categories"]))
    p = softmax(np.outer(LADDER, [float(evaluate(x)) for x in states]), axis=1)
    rng = np.random.default_rng(11)
    walkers = SpinWalkers(path, 3 * STARTS)
    walkers.set_ladder(LADDER)
    x = exact_starts(rng, states, p)
    walkers.put({"z": x.reshape(-1, *states.shape[1:])})
    walkers.move(rng, np.tile(np.arange(3), STARTS))
    found = p_values(single_block(KINDS["categories"]).domain, walkers.x.reshape(x.shape), p)
    assert min(found) > FALSE_ALARM


@pytest.mark.parametrize("name", ["equal couplings", "bonds and fields", "categories", "no form"])
def test_restored_walkers_go_on_with_the_same_draws(name):
    walkers = SpinWalkers(make_path(KINDS[name]), 4)
    rng = np.random.default_rng(12)
    walkers.start(rng)
    walkers.set_ladder([0.0, 0.5, 1.0])
    levels = np.array([0, 1, 2, 2])
    walkers.move(rng, levels)
    saved, streams = pickle.loads(pickle.dumps((walkers.state(), rng)))
    walkers.move(rng, levels)
    other = SpinWalkers(make_path(KINDS[name]), 4)
    other.restore(saved)
    other.move(streams, levels)
    np.testing.assert_array_equal(walkers.x, other.x)
    np.testing.assert_array_equal(walkers.log_ratio, other.log_ratio)


def test_take_copies_states():
    walkers = SpinWalkers(make_path(KINDS["all pairs"]), 3)
    rng = np.random.default_rng(13)
    walkers.start(rng)
    before = walkers.x.copy()
    walkers.take(np.array([2, 2, 0, 1]))
    assert walkers.size == 4
    np.testing.assert_array_equal(walkers.x, before[[2, 2, 0, 1]])
    walkers.set_ladder([0.0, 1.0])
    walkers.move(rng, np.zeros(4, dtype=int))
    assert not np.array_equal(walkers.x[0], walkers.x[1])  # no memory is shared


def two_fields():
    with pm.Model() as model:
        pme.Boltzmann("a", pme.Ising(lattice=(2, 2)))
        pme.Boltzmann("b", pme.Ising(lattice=(2, 2)))
    return model


def coupled_by_data():
    with pm.Model() as model:
        z = pme.Boltzmann("z", pme.Ising(lattice=(2, 2)))
        pm.Normal("y", z.sum(), 1.0, observed=0.3)
    return model


def forbidden_states():
    with pm.Model() as model:
        z = pme.Boltzmann("z", pme.Ising(lattice=(2, 2)))
        pm.Potential("up", pm.math.switch(z > 0, 0.0, -np.inf).sum())
    return model


def batch_of_fields():
    with pm.Model() as model:
        pme.Boltzmann("z", pme.Ising(lattice=(2, 2)), shape=(3, 2, 2))
    return model


def plain_model():
    with pm.Model() as model:
        x = pm.Normal("x")
        pm.Normal("y", x, observed=1.0)
    return model


def random_parameter():
    with pm.Model() as model:
        coupling = pm.Normal("J", observed=0.5)
        pme.Boltzmann("z", pme.Ising(coupling, lattice=(2, 2)), log_partition="pseudolikelihood")
    return model


BOTH = {"temper": ("likelihood", "energies")}


@pytest.mark.parametrize(
    ("make", "how", "message"),
    [
        (two_fields, {}, "the model has 2 free variables"),
        (plain_model, {}, "x is no Boltzmann variable"),
        (lambda: seen_field(pme.Ising(lattice=(2, 2))), {}, "not uniform in z"),
        (coupled_by_data, BOTH, "the term y is not site-wise"),
        (forbidden_states, {"temper": ("potentials", "energies")}, "forbid some states"),
        (batch_of_fields, {}, "z is a batch of fields"),
        (random_parameter, {"temper": "energies"}, "pseudolikelihood"),
    ],
)
def test_refuses_what_it_cannot_move(make, how, message):
    with pytest.raises(NotOneField, match=message):
        SpinWalkers(make_path(make(), **how), 2)


def test_ladders_must_fit_the_walkers():
    walkers = SpinWalkers(make_path(KINDS["all pairs"]), 4)
    walkers.start(np.random.default_rng(0))
    with pytest.raises(ValueError, match="for 4 walkers"):
        walkers.temper(np.random.default_rng(0), np.ones((1, 3)), np.zeros((1, 3), int), 1)
