"""log_evidence and evidence_table on what tempering drivers leave in a DataTree."""

import warnings

import numpy as np
import pytest
import xarray as xr
from scipy.special import logsumexp
from synthetic_runs import (
    LADDER,
    ladders_with_swaps,
    log_z,
    populations,
    tempering_tree,
    tree,
    wanderers,
    works,
)

from pm_energy.partition import (
    EvidenceWarning,
    LogPartition,
    NotAvailable,
    evidence_table,
    log_evidence,
    mbar,
    population_annealing,
    rao_blackwell,
    thermodynamic_integration,
)

OFFSET = 2.5  # log Z of the base


def tempering():
    u, replica = ladders_with_swaps(np.random.default_rng(1), 1, draws=500)
    return tempering_tree(u[0], LADDER, replica[0], log_z_base=OFFSET)


def simulated_tempering():
    u, level, g = wanderers(np.random.default_rng(2), 1)
    return tree(
        "simulated_tempering",
        {
            "log_ratio": (("chain", "iteration"), u[0]),
            "level": (("chain", "iteration"), level[0].astype(np.int16)),
            "beta": ("level", LADDER),
            "log_weight": (("chain", "level"), np.tile(g, (4, 1))),
        },
        log_z_base=OFFSET,
    )


def population():
    beta, found = populations(np.random.default_rng(3), 3, size=3000)
    steps = {name: (("chain", "step"), rows) for name, rows in found.items()}
    last = np.zeros((3, 3000))
    return tree(
        "population",
        {"beta": ("step", beta), "log_ratio": (("chain", "draw"), last), **steps},
        log_z_base=OFFSET,
    )


def work(exact=1, both=True):
    beta = np.append(0, np.geomspace(0.005, 1, 60))
    forward, reverse = works(np.random.default_rng(4), 1, 1000, beta, rho=0.7)
    variables = {"forward": ("particle", forward[0]), "beta": ("step", beta)}
    if both:
        variables["reverse"] = ("particle_reverse", reverse[0])
    return tree("work", variables, log_z_base=OFFSET, reverse_exact=exact)


RUNS = {
    tempering: [
        "mbar",
        "bridge",
        "stepping-stone",
        "stepping-stone-forward",
        "stepping-stone-backward",
        "thermodynamic-integration",
    ],
    simulated_tempering: ["mbar", "rao-blackwell"],
    population: ["population-annealing", "thermodynamic-integration"],
    work: ["bridge", "ais", "ais-reverse"],
}


@pytest.mark.parametrize("make", RUNS, ids=lambda f: f.__name__)
def test_every_method_is_right_and_no_warning_is_given(make):
    dt = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = evidence_table(dt)
        fits = {method: log_evidence(dt, method) for method in RUNS[make]}
        best = log_evidence(dt)
    assert table["estimator"].values.tolist() == RUNS[make]
    assert best == fits[RUNS[make][0]]
    for method, fit in fits.items():
        assert fit.method == method
        assert abs(fit.errors_from(OFFSET + log_z())) < 4
        row = table.sel(estimator=method)
        assert (row["value"], row["mcse"]) == (fit.value, fit.mcse)
        assert (row["lower"], row["upper"]) == (fit.lower, fit.upper)
        assert fit.lower < fit.value < fit.upper


def test_groups_are_read_as_they_are_documented():
    def value(dt, **kwargs):
        return log_evidence(dt, **kwargs).value - OFFSET

    dt = tempering()
    u = dt["tempering"]["log_ratio"].values
    assert abs(value(dt) - mbar(u, LADDER).value) < 1e-12
    area = thermodynamic_integration(u, LADDER)
    assert abs(value(dt, method="thermodynamic-integration") - area.value) < 1e-12
    turned = xr.DataTree.from_dict({"tempering": dt["tempering"].to_dataset().transpose()})
    assert abs(value(turned) - value(dt)) < 1e-12
    dt = simulated_tempering()
    group = dt["simulated_tempering"]
    u, g = group["log_ratio"].values, group["log_weight"].values
    assert abs(value(dt, method="rao-blackwell") - rao_blackwell(u, LADDER, g).value) < 1e-12
    group = group.to_dataset().assign(log_weight=("level", g[0]))
    common = xr.DataTree.from_dict({"simulated_tempering": group})
    assert abs(value(common, method="rao-blackwell") - rao_blackwell(u, LADDER, g).value) < 1e-12
    dt = population()
    ends = dt["population"]["log_z"].values[:, -1]
    assert abs(value(dt) - (logsumexp(ends) - np.log(3))) < 1e-12


def test_reverse_works_are_a_bound_only_from_exact_draws():
    assert log_evidence(work(), "ais-reverse").upper < np.inf
    assert log_evidence(work(exact=0), "ais-reverse").upper == np.inf
    assert log_evidence(work(both=False)).method == "ais"
    assert evidence_table(work(both=False))["estimator"].values.tolist() == ["ais"]


def frustrated_triangle(beta, shape, rng):
    """Exact draws: six states of -E = 1 and two of -E = -3, so Z = 6 e^b + 2 e^-3b."""
    weight = 6 * np.exp(beta)
    return np.where(rng.random(shape) < weight / (weight + 2 * np.exp(-3 * beta)), 1.0, -3.0)


def test_the_frustrated_triangle_has_its_log_z_by_every_estimator():
    """Its energies are two, far apart and often changed: no first-order transition."""
    beta = np.linspace(0, 1, 5)
    u = frustrated_triangle(beta, (4, 1000, 5), np.random.default_rng(8))
    dt = tempering_tree(u, beta, log_z_base=np.log(8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = evidence_table(dt)
    exact = np.log(6 * np.e + 2 * np.exp(-3))
    assert (np.abs(table["value"] - exact) < 4 * table["mcse"] + 0.002).all()  # .002: quadrature
    assert (table["lower"] < exact).all()
    assert (exact < table["upper"]).all()


def test_estimators_that_the_draws_do_not_allow_are_left_out_or_say_why():
    """The likelihood vanishes on a quarter of the base, of which colder levels know nothing."""
    u = np.full((2, 400, 3), -3.0) + 0.1 * np.random.default_rng(0).normal(size=(2, 400, 3))
    u[..., 0][np.random.default_rng(1).random((2, 400)) < 0.25] = -np.inf
    dt = tempering_tree(u, np.array([0.0, 0.5, 1.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = evidence_table(dt)
    assert table["estimator"].values.tolist() == ["mbar", "bridge", "stepping-stone-forward"]
    assert (np.abs(table["value"] - np.log(0.75) + 3) < 4 * table["mcse"]).all()
    for method in ("stepping-stone", "stepping-stone-backward", "thermodynamic-integration"):
        with pytest.raises(NotAvailable, match=r"-inf for some draws at beta = 0.* Use 'mbar'"):
            log_evidence(dt, method)
    dead = {
        "forward": ("particle", [1.0, np.inf, 2.0] * 9),
        "reverse": ("particle_reverse", [1.0] * 9),
    }
    with pytest.raises(NotAvailable, match="Use 'bridge'"):
        log_evidence(tree("work", dead, reverse_exact=1), "ais-reverse")


def test_what_is_missing_is_said_with_what_to_run():
    with pytest.raises(ValueError, match=r"one of the groups .* got \[\].*sample_parallel"):
        log_evidence(xr.DataTree())
    with pytest.raises(ValueError, match="got Dataset"):
        log_evidence(xr.Dataset())
    with pytest.raises(ValueError, match=r"one of \['mbar', .* got 'wham'"):
        log_evidence(tempering(), "wham")
    with pytest.raises(ValueError, match=r"one of \['ais'\] .* got 'bridge'"):
        log_evidence(work(both=False), "bridge")
    group = tempering()["tempering"].to_dataset()
    holed = group["log_ratio"].where(group["log_ratio"] > -1)
    for broken, message in (
        (group.drop_vars("replica"), "no 'replica': make it by pme.sample_parallel_tempering"),
        (group.isel(chain=0), r"'log_ratio' .* must have dimensions \('chain', 'draw', 'level'\)"),
        (group.drop_attrs(), "must have the attribute 'log_z_base'"),
        (group.assign(log_ratio=holed), "log_ratio is NaN in .* sample again"),
    ):
        with pytest.raises(ValueError, match=message):
            log_evidence(xr.DataTree.from_dict({"tempering": broken}))


@pytest.mark.parametrize(
    ("u", "beta", "message"),
    [
        (np.zeros((2, 3)), [0, 1], r"shape \(chain, draw, level\)"),
        (np.zeros((2, 0, 2)), [0, 1], "with draws"),
        (np.zeros((2, 5, 1)), [0], "at least 2 levels"),
        (np.zeros((2, 5, 2)), [0, 0.5, 1], r"beta must have shape \(2,\) or \(2, 2\)"),
        (np.zeros((2, 5, 2)), [1, 0], "increase"),
        (np.zeros((2, 5, 2)), [0, np.nan], "finite"),
        (np.full((2, 5, 2), np.inf), [0, 1], "no density"),
        (np.full((2, 5, 2), -np.inf), [0, 1], "infinite at beta > 0"),
        (np.full((2, 5, 2), np.nan), [0, 1], "NaN in 20 of 20 draws"),
    ],
)
def test_bad_draws_are_refused(u, beta, message):
    for estimator in (mbar, thermodynamic_integration):
        with pytest.raises(ValueError, match=message):
            estimator(u, beta)


def test_bad_walks_works_and_populations_are_refused():
    u, level = np.zeros((1, 4)), np.array([[0, 1, 1, 0]])
    for arguments, message in (
        ((u, [0, 1], level[0]), "must both have shape"),
        ((u, [[0, 1]], level), r"beta must have shape \(level,\)"),
        ((u, [0, 1], level + 1), "integers from 0 to 1"),
        ((u, [0, 1], level + 0.0), "integers"),
        ((u, [0, 0.5, 1], level), "no draw was made at beta = 1: draw more"),
    ):
        with pytest.raises(ValueError, match=message):
            mbar(*arguments)
    for arguments, message in (
        ((u[0], [0, 1], [0, 0]), "with draws"),
        ((u, [0, 1], [0, 0, 0]), "2 finite numbers"),
        ((u, [0, 1], [0, np.nan]), "finite"),
        ((u * np.nan, [0, 1], [0, 0]), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            rao_blackwell(*arguments)
    for bad, message in (
        ([np.nan, 1.0], "must be finite, got nan in 1 of 2"),
        ([-np.inf, 1.0], "finite"),
        ([np.inf, np.inf], "all forward works are infinite"),
        ([1.0], "at least 2 runs"),
    ):
        dt = tree("work", {"forward": ("particle", bad)})
        with pytest.raises(ValueError, match=message):
            log_evidence(dt)
    with pytest.raises(ValueError, match="died out"):
        population_annealing([-np.inf], [1.0], 10)
    with pytest.raises(ValueError, match=r"must have shape \(chain,\)"):
        population_annealing(-1.0, 1.0, 10)


def test_runs_that_never_arrived_count_as_weight_zero():
    forward = np.append(np.random.default_rng(0).normal(size=99), np.inf)
    dt = tree("work", {"forward": ("particle", forward)})
    fit = log_evidence(dt)
    assert abs(fit.value - (logsumexp(-forward[:-1]) - np.log(100))) < 1e-12
    assert fit.lower == -np.inf


def test_a_result_in_words_and_in_errors():
    fit = LogPartition(-14.6123, 0.0312, -15.0, -14.0, "mbar")
    assert str(fit) == "-14.612 ± 0.031 (mbar; between -15.000 and -14.000)"
    assert str(LogPartition(3.0, 0.5, -np.inf, 4.0, "ais")) == "3.00 ± 0.50 (ais; at most 4.00)"
    assert str(LogPartition(12345.0, 250.0, -np.inf, np.inf, "x")) == "12345 ± 250 (x)"
    assert str(LogPartition(1.0, 0.0, -np.inf, np.inf, "x")) == "1.000 ± 0.000 (x)"
    other = LogPartition(-14.6123 + 0.05, 0.04, -np.inf, np.inf, "bridge")
    assert abs(other.errors_from(fit) - 0.05 / np.hypot(0.04, 0.0312)) < 1e-9
    assert abs(fit.errors_from(-14.6435) - 1) < 1e-9
    with pytest.raises(AttributeError):
        fit.value = 0.0


def test_warnings_have_a_class_of_their_own():
    u, replica = ladders_with_swaps(np.random.default_rng(1), 1, draws=30)
    dt = tempering_tree(u[0], LADDER, replica[0])
    for call in (log_evidence, evidence_table):
        with pytest.warns(EvidenceWarning) as caught:
            call(dt)
        assert any("Too few round trips" in str(w.message) for w in caught)
        assert {w.filename for w in caught} == {__file__}
