"""Index processes made by hand, ladders of known rejection, energies of every state."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from scipy.special import gammaln
from tempered_trees import (
    LADDER,
    D,
    K,
    exact_rejection,
    log_z,
    parallel_tempering,
    simulated_tempering,
    tree,
)

import pm_energy as pme
from pm_energy import exact
from pm_energy.diagnostics import (
    check_tempering,
    communication_barrier,
    energy_histograms,
    ladder_profile,
    level_visits,
    plot_barrier,
    plot_energy_histograms,
    plot_free_energy,
    plot_ladder,
    plot_levels,
    plot_replicas,
    plot_round_trips,
    replica_levels,
    round_trips,
    tempering_summary,
)
from pm_energy.index_process import completed_trips, round_trip_bound, swap_probability
from pm_energy.partition import EvidenceWarning, free_energy_curve


def by_hand(replica, acceptance=0.5):
    """A run with a given walker at each level: (chain, draw, level)."""
    replica = np.asarray(replica)
    chains, draws, n = replica.shape
    return tree(
        "tempering",
        {
            "beta": (("chain", "level"), np.tile(np.linspace(0, 1, n), (chains, 1))),
            "swap_acceptance": (("chain", "pair"), np.full((chains, n - 1), acceptance)),
            "replica": (("chain", "draw", "level"), replica),
            "log_ratio": (("chain", "draw", "level"), np.zeros((chains, draws, n))),
        },
    )


@pytest.mark.parametrize(
    ("levels", "arrivals"),
    [
        ([0, 1, 2, 1, 0], [4]),
        ([0, 2, 0, 2, 0], [2, 4]),
        ([2, 1, 0, 1, 2], []),  # began at the target: half a trip down, half a trip up
        ([2, 0, 2, 0], [3]),
        ([1, 2, 0, 0, 2, 2, 0, 1], [6]),
        ([0, 1, 0, 1, 0, 1, 1], []),
        ([1, 1, 1], []),
        ([0, 2], []),
    ],
)
def test_a_round_trip_goes_from_the_base_to_the_target_and_back(levels, arrivals):
    trips = completed_trips(np.array([levels]), 2)
    assert np.flatnonzero(trips[0]).tolist() == arrivals


def test_walkers_are_followed_through_their_swaps():
    a, b = [0, 1, 2], [1, 0, 2]  # walkers 0 and 1 swap at the base; 2 stays at the target
    travel = replica_levels(by_hand([[a, b, b, a]]))
    np.testing.assert_array_equal(travel["level"][0], [[0, 1, 2], [1, 0, 2], [1, 0, 2], [0, 1, 2]])
    np.testing.assert_array_equal(travel["share"][0], [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])
    np.testing.assert_array_equal(travel["share"].sum("at_level"), 1)


def even_odd(n, draws):
    """All swaps accepted: every walker goes round in 2 n iterations, and two ends trips meet."""
    at, rows = np.arange(n), []
    for t in range(draws):
        for pair in range(t % 2, n - 1, 2):
            at[[pair, pair + 1]] = at[[pair + 1, pair]]
        rows.append(at.copy())
    return np.array([rows])


@pytest.mark.parametrize("n", [2, 3, 6])
def test_with_no_rejection_there_is_half_a_trip_an_iteration(n):
    """n walkers, 2 n iterations each: the bound 1 / 2 is attained exactly."""
    cycles = 5
    trips = round_trips(by_hand(even_odd(n, 2 * n * (cycles + 1)), acceptance=1.0))
    # a walker's first trip begins when it first is at the base, in the first 2 n iterations
    np.testing.assert_array_equal(trips["count"], cycles)
    np.testing.assert_array_equal(trips["completed"][0, -1], n * cycles)
    np.testing.assert_allclose(trips["rate_bound"], 0.5)
    np.testing.assert_allclose(trips["rate"], 0.5 * cycles / (cycles + 1))


def half_trips(levels, top):
    """Every arrival at an end from the other: twice as many."""
    return completed_trips(levels, top) | completed_trips(top - levels, top)


@pytest.mark.parametrize(("count", "is_right"), [(completed_trips, True), (half_trips, False)])
def test_perfect_moves_attain_the_bound(count, is_right):
    """Each walker may lack the trip it is on, n of them in all; else the mean rate is the bound.

    Five standard errors over 40 independent chains: one false alarm in 80,000.
    """
    draws, chains = 2000, 40
    run = parallel_tempering(np.random.default_rng(3), chains, draws)
    levels = np.argsort(run["tempering"]["replica"].values, axis=-1)
    rates = count(levels, len(LADDER) - 1).sum((1, 2)) / draws
    bound = round_trip_bound(exact_rejection(LADDER))
    error = 5 * rates.std(ddof=1) / np.sqrt(chains)
    excess = rates.mean() - bound
    assert (-len(LADDER) / draws - error < excess < error) == is_right
    if is_right:
        np.testing.assert_allclose(round_trips(run)["rate"], rates)


def test_rejections_add_up_to_the_barrier():
    """Swap probabilities of independent draws, 5 standard errors for each of 6 pairs."""
    run = parallel_tempering(np.random.default_rng(4))["tempering"].to_dataset()
    profile = ladder_profile(run)
    p = swap_probability(run["beta"].values, run["log_ratio"].values)
    exact_r = exact_rejection(LADDER)
    error = p.std((0, 1)) / np.sqrt(p[..., 0].size)
    assert (abs(profile["rejection"].mean("chain") - exact_r) < 5 * error).all()
    # the states after a swap are as likely as those before it
    assert (abs(1 - p.mean((0, 1)) - exact_r) < 5 * error * np.sqrt(2)).all()
    np.testing.assert_allclose(profile["barrier"][:, 1:], profile["rejection"].cumsum("pair"))
    np.testing.assert_allclose(profile["total_barrier"], profile["barrier"][:, -1])


def test_swaps_of_impossible_states():
    lr = np.array([[[-np.inf, -1.0, -2.0], [-np.inf, -np.inf, 0.0], [-1.0, -np.inf, 0.0]]])
    p = swap_probability(np.array([[0, 0.5, 1.0]]), lr)
    np.testing.assert_array_equal(p[0], [[0, 1], [0, 0], [1, 0]])


def test_the_barrier_is_a_curve_through_the_levels_and_its_slope():
    """Energies are Gamma(m) of rate 1/K + beta: half their mean difference is the local barrier."""
    fine = np.append(0, np.geomspace(1e-3, 1, 60))
    run = parallel_tempering(np.random.default_rng(5), chains=1, draws=2, beta=fine)
    run["tempering"]["swap_acceptance"][:] = 1 - exact_rejection(fine)
    curves = communication_barrier(run).sel(chain=0)
    beta = curves["beta"].values
    scale = np.exp(gammaln(D / 2 + 0.5) - gammaln(D / 2)) / np.sqrt(np.pi)
    # the sum of rejections is short by O(step^2) of the barrier: steps are .12 in log beta
    np.testing.assert_allclose(curves["barrier"], scale * np.log1p(K * beta), rtol=0.01, atol=2e-3)
    inside = (beta > fine[2]) & (beta < fine[-2])
    np.testing.assert_allclose(
        curves["local_barrier"][inside], (scale / (1 / K + beta))[inside], rtol=0.05
    )
    at_levels = curves["barrier"].interp(beta=fine)
    np.testing.assert_allclose(at_levels, ladder_profile(run)["barrier"][0], rtol=1e-12)
    assert (curves["barrier"].diff("beta") >= 0).all()


def test_energies_of_every_state_have_their_exact_histogram_and_overlap():
    """Each state of a frustrated triangle occurs in 40 draws as often as its probability says."""
    ladder = np.array([0, np.log(3) / 4])  # weights of energies -1 and 3 are 1 : 1 and 3 : 1
    triangle = pme.Graph(3, [(0, 1), (1, 2), (0, 2)])
    draws = []
    for beta in ladder:
        states, p = exact.distribution(pme.Ising(graph=triangle, coupling=-beta))
        np.testing.assert_allclose(40 * p, np.rint(40 * p), rtol=1e-12)
        counts = np.rint(40 * p).astype(int)
        energy = pme.energy_values(pme.Ising(graph=triangle, coupling=-1.0), states)
        draws.append(np.repeat(energy, counts))
    run = tree(
        "tempering",
        {
            "beta": (("chain", "level"), [ladder]),
            "log_ratio": (("chain", "draw", "level"), -np.array(draws).T[None]),
        },
    )
    seen = energy_histograms(run)
    np.testing.assert_allclose(seen["fraction"][0], [[0.75, 0.25], [0.9, 0.1]])
    np.testing.assert_allclose(seen["overlap"], [[0.85]])
    assert (seen["left"] < [-1, 3]).all()
    assert (seen["right"] > [-1, 3]).all()


def test_histograms_hold_all_draws_on_any_scale():
    run = parallel_tempering(np.random.default_rng(6))
    seen = energy_histograms(run, bins=40)
    assert seen.attrs["scale"] > 0
    np.testing.assert_allclose(seen["fraction"].sum("bin"), 1)
    run["tempering"]["log_ratio"][0, :10, 0] = -np.inf
    half = energy_histograms(run)
    np.testing.assert_allclose(half["infinite"][0], np.append(10 / 500, np.zeros(6)))
    np.testing.assert_allclose(half["fraction"].sum("bin") + half["infinite"], 1)
    run["tempering"]["log_ratio"][:] = np.arange(500)[:, None] // 2 * 4.0
    even = energy_histograms(run)["fraction"].values[..., :-1]
    assert even.max() == even.min() > 0  # whole energies make no comb
    np.testing.assert_allclose(energy_histograms(run)["overlap"], 1)


def test_overlaps_of_parted_energies_are_zero():
    run = by_hand(np.tile([0, 1, 2], (1, 100, 1)))
    rng = np.random.default_rng(7)
    run["tempering"]["log_ratio"][:] = rng.uniform([0, 0, 2], [1, 1, 3], size=(1, 100, 3))
    overlap = energy_histograms(run)["overlap"].values[0]
    assert overlap[0] > 0.6  # 100 draws in 20 cells
    assert overlap[1] == 0


def test_simulated_tempering_visits():
    run = tree(
        "simulated_tempering",
        {
            "beta": ("level", [0, 0.5, 1]),
            "log_weight": ("level", np.zeros(3)),
            "level": (("chain", "iteration"), [[0, 1, 2, 1, 0, 0, 1, 2], [2, 1, 0, 1, 2, 1, 0, 1]]),
            "log_ratio": (("chain", "iteration"), np.zeros((2, 8))),
        },
    )
    visits = level_visits(run)
    np.testing.assert_allclose(visits["share"], [[3 / 8, 3 / 8, 2 / 8], [2 / 8, 4 / 8, 2 / 8]])
    np.testing.assert_array_equal(visits["completed"][:, -1], [1, 1])
    with pytest.warns(EvidenceWarning):
        assert tempering_summary(run)["round_trips"].values.tolist() == [1, 1]


def test_the_summary_of_a_good_run():
    run = parallel_tempering(np.random.default_rng(8), draws=1000)
    table = tempering_summary(run)
    assert (table["levels"] == 7).all()
    np.testing.assert_allclose(table["barrier"], exact_rejection(LADDER).sum(), rtol=0.05)
    np.testing.assert_allclose(table["efficiency"], table["round_trips"] / 1000 / table["bound"])
    assert (table["min_acceptance"] > 0.1).all()
    assert table.to_dataframe().shape[0] == 4
    assert check_tempering(run) == []


def test_what_is_wrong_is_said():
    stuck = by_hand(np.tile([1, 0, 2, 3], (2, 100, 1)), acceptance=0.01)
    reasons = check_tempering(stuck)
    for text in (
        "Too few round trips between base and target: 0, 0 in the chains",
        "hardly ever accepted: 0.01 between beta 0 and 0.333 in chain 0",
        "4 of 4 in chain 0",
    ):
        assert any(text in reason for reason in reasons), text
    slow = by_hand(np.tile([1, 0, 2, 3], (1, 100, 1)), acceptance=0.9)
    assert "than the swaps allow: 0 in chain 0, of 38. What is slow" in check_tempering(slow)[0]


def test_draws_without_an_estimate_are_a_reason_not_an_error():
    run = parallel_tempering(np.random.default_rng(13), draws=100)
    run["tempering"]["log_ratio"][0, 5, 2] = np.nan
    reasons = check_tempering(run)
    assert any("no estimate of log Z: log_ratio is NaN in 1 of" in text for text in reasons)


def test_chains_that_see_different_barriers():
    run = parallel_tempering(np.random.default_rng(9), draws=1000)
    assert not any("barrier" in reason for reason in check_tempering(run))
    run["tempering"]["log_ratio"][2, :, 1:] *= 0.3
    [reason] = [reason for reason in check_tempering(run) if "disagree about the barrier" in reason]
    assert "in chain 2" in reason


def test_levels_that_are_hardly_visited():
    good = simulated_tempering(np.random.default_rng(10), iterations=4000)
    assert check_tempering(good) == []
    weight = -log_z(LADDER) - [0, 0, 0, 5, 0, 0, 0]
    bad = simulated_tempering(np.random.default_rng(10), iterations=4000, log_weight=weight)
    [reason] = [text for text in check_tempering(bad) if "hardly visited" in text]
    assert "where 14% would be a fair share: level 3 (beta 0.09)" in reason


@pytest.fixture(scope="module")
def good_run():
    return parallel_tempering(np.random.default_rng(11), draws=400)


@pytest.fixture(autouse=True)
def quiet_figures():
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")
    assert dict(mpl.rcParams) == before


def test_plots_show_the_numbers(good_run):
    group = good_run["tempering"]
    left, right = plot_ladder(good_run)
    np.testing.assert_array_equal(left.lines[-1].get_ydata(), group["beta"][-1])
    np.testing.assert_array_equal(right.lines[0].get_ydata(), group["swap_acceptance"][0])
    assert len(left.lines) == group.sizes["round"] + group.sizes["chain"]
    barrier, _ = plot_barrier(good_run)
    total = ladder_profile(good_run)["total_barrier"].values[0]
    assert barrier.get_legend().get_texts()[0].get_text() == f"chain 0: {total:.2f}"
    ax = plot_round_trips(good_run)
    np.testing.assert_array_equal(
        ax.lines[0].get_ydata(), round_trips(good_run)["completed"].values[0]
    )
    ways, share = plot_replicas(good_run, chain=1)
    travel = replica_levels(good_run).isel(chain=1)
    np.testing.assert_array_equal(ways.lines[1].get_ydata(), travel["level"][-300:, 3])
    np.testing.assert_array_equal(share.images[0].get_array(), travel["share"].values.T)
    histograms, overlap = plot_energy_histograms(good_run)
    seen = energy_histograms(good_run)
    np.testing.assert_allclose(
        histograms.patches[0].get_data().values, seen["fraction"].mean("chain")[0]
    )
    np.testing.assert_array_equal(overlap.lines[2].get_ydata(), seen["overlap"][2])
    run = simulated_tempering(np.random.default_rng(12), iterations=100)
    visits, way, trips = plot_levels(run)
    np.testing.assert_array_equal(visits.lines[0].get_ydata(), level_visits(run)["share"][0])
    np.testing.assert_array_equal(way.lines[0].get_ydata(), level_visits(run)["visited"][0])
    assert len(trips.lines) == 3


def test_the_free_energy_is_the_known_one_and_is_drawn(good_run):
    """5 standard errors at each of 7 levels and 3 quantities."""
    curve = free_energy_curve(good_run, LADDER)
    n, rate = D / 2, 1 / K + LADDER  # of the Gamma distribution of energies
    for name, value in (
        ("log_z", log_z(LADDER)),
        ("mean_log_ratio", -n / rate),
        ("heat_capacity", LADDER**2 * n / rate**2),
    ):
        np.testing.assert_array_less(abs(curve[name] - value), 5 * curve[f"{name}_mcse"] + 1e-9)
    for data in (good_run, curve):
        axes = plot_free_energy(data)
        assert [ax.get_ylabel() for ax in axes] == ["log Z", "mean energy", "heat capacity"]
    np.testing.assert_array_equal(axes[1].lines[0].get_ydata(), -curve["mean_log_ratio"])
    with pytest.raises(ValueError, match="a Dataset made by free_energy_curve"):
        plot_free_energy(good_run["tempering"].to_dataset())


def test_even_ladders_and_single_chains_are_plotted_too():
    run = by_hand(even_odd(4, 40))
    left, _ = plot_ladder(run)
    assert left.get_yscale() == "linear"
    assert plot_barrier(run)[1].get_ylabel() == "local barrier"
    assert plot_energy_histograms(run)[0].get_xlabel() == "energy"


def test_plots_draw_on_the_axes_they_are_given(good_run):
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, 9)
    plot_ladder(good_run, ax=axes[:2])
    plot_barrier(good_run, ax=axes[2:4])
    plot_replicas(good_run, ax=axes[4:6])
    plot_energy_histograms(good_run, ax=axes[6:8])
    assert plot_round_trips(good_run, ax=axes[8]) is axes[8]
    assert len(plt.get_fignums()) == 1


EMPTY = xr.DataTree.from_dict({"posterior": xr.Dataset()})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot_ladder(EMPTY), "'tempering', which pme.sample_parallel_tempering makes"),
        (lambda: round_trips(3), "a DataTree from pme.sample_parallel_tempering, got int"),
        (lambda: plot_levels(EMPTY), "which pme.sample_simulated_tempering makes"),
        (lambda: check_tempering(EMPTY), "pme.sample_parallel_tempering, pme.sample_simulated"),
        (lambda: tempering_summary(EMPTY), "pme.sample_parallel_tempering, pme.sample_simulated"),
        (lambda: plot_ladder(by_hand(even_odd(3, 9)), ax=[None]), "ax must hold 2 axes, got 1"),
        (lambda: plot_replicas(by_hand(even_odd(3, 9)), chain=1), "chain 1 is not there"),
        (lambda: round_trips(by_hand([[[0, 1], [1, 1]]])), "each of 0, ..., n_levels - 1 once"),
        (lambda: energy_histograms(by_hand(even_odd(3, 9)), bins=0), "bins must be a positive"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_energies_that_are_no_numbers_are_refused():
    run = by_hand(even_odd(3, 9))
    run["tempering"]["log_ratio"][0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        energy_histograms(run)
    run["tempering"]["log_ratio"][:] = -np.inf
    with pytest.raises(ValueError, match="no finite value"):
        energy_histograms(run)


def test_a_level_that_was_never_visited_is_a_reason_and_no_error():
    tree = simulated_tempering(np.random.default_rng(10), log_weight=np.zeros(7))
    assert any("no draws" in reason for reason in check_tempering(tree))
