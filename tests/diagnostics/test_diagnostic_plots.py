"""Plots show the numbers they are given, and leave no trace in matplotlib's settings."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import pm_energy as pme
from pm_energy.diagnostics import (
    FieldAccumulator,
    binder_cumulant,
    correlation_function,
    magnetisation,
    plot_correlation,
    plot_energy_trace,
    plot_field,
    plot_marginals,
    plot_observables,
    plot_site_entropy,
    plot_site_probabilities,
    posterior_mode,
    site_entropy,
)


@pytest.fixture(autouse=True)
def quiet_figures(monkeypatch):
    """Draw without a screen, refuse plt.show, close everything, and compare the settings."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda *args: pytest.fail("a plot called plt.show"))
    before = dict(mpl.rcParams)
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()  # layout and labels must work, too
    plt.close("all")
    assert dict(mpl.rcParams) == before


def field(q=2, shape=(2, 20, 6, 8), name="z"):
    x = np.random.default_rng(1).integers(0, q, size=shape)
    return xr.Dataset({name: (("chain", "draw", "row", "col")[: len(shape)], x)})


def shown(ax):
    return np.asarray(ax.images[0].get_array())


def test_a_draw_is_shown_with_its_states():
    z = 2 * field() - 1
    ax = plot_field(z, chain=1, draw=3)
    np.testing.assert_array_equal(2 * shown(ax) - 1, z["z"][1, 3])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("col", "row")
    bar = ax.images[0].colorbar
    assert [t.get_text() for t in bar.ax.get_yticklabels()] == ["-1", "1"]
    assert ax.get_aspect() == 1


@pytest.mark.parametrize("q", [5, 20])
def test_categories_have_a_colour_each(q):
    x = field(q)
    x["z"][0, 0, 0, 0] = q - 1
    ax = plot_field(x, "z")
    np.testing.assert_array_equal(shown(ax), x["z"][0, -1])
    colours = ax.images[0].cmap(np.arange(q))
    assert len(np.unique(colours, axis=0)) == q


def test_maps_without_draws_are_shown():
    z = field(3)
    np.testing.assert_array_equal(shown(plot_field(posterior_mode(z))), posterior_mode(z))
    np.testing.assert_array_equal(shown(plot_field(site_entropy(z))), site_entropy(z))


def test_probabilities_and_entropy():
    z = field()
    p = z["z"].mean(("chain", "draw"))
    ax = plot_site_probabilities(z, "z")
    np.testing.assert_allclose(shown(ax), p)
    assert ax.images[0].colorbar.ax.get_ylabel() == "P(z = 1)"
    assert ax.images[0].get_clim() == (0, 1)
    x = field(3)["z"]
    ax = plot_site_probabilities(x, state=2)
    np.testing.assert_allclose(shown(ax), (x == 2).mean(("chain", "draw")))
    ax = plot_site_entropy(z)
    np.testing.assert_allclose(shown(ax), site_entropy(z))
    np.testing.assert_allclose(ax.images[0].get_clim(), (0, np.log(2)))
    seen = FieldAccumulator((6, 8), (0, 1))
    seen.update(z["z"].values[0])
    np.testing.assert_allclose(
        shown(plot_site_probabilities(seen.dataset())), z["z"][0].mean("draw")
    )


def test_marginals():
    v = field(shape=(2, 50, 7))
    p = v["z"].mean(("chain", "draw"))
    ax = plot_marginals(v, exact=np.full(7, 0.5))
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), p)
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), 0.5)
    bars = plot_marginals(field(3, (2, 50, 7)))
    heights = np.array([[bar.get_height() for bar in c] for c in bars.containers])
    np.testing.assert_allclose(heights.sum(axis=0), 1)


def estimates(values=(0.3, 0.5, 0.4)):
    parts = [
        xr.concat([magnetisation(2 * field() - 1), binder_cumulant(2 * field() - 1)], "quantity")
        + v
        for v in values
    ]
    return xr.concat(parts, xr.IndexVariable("beta", list(values)))


def test_observables_have_a_panel_each_sorted_by_the_parameter():
    data = estimates()
    axes = plot_observables(data)
    assert [ax.get_ylabel() for ax in axes] == [
        "magnetisation",
        "abs magnetisation",
        "binder cumulant",
    ]
    x, y = axes[2].containers[0].lines[0].get_data()
    np.testing.assert_array_equal(x, [0.3, 0.4, 0.5])
    expected = data["value"].sel(quantity="binder_cumulant").sortby("beta")
    np.testing.assert_allclose(y, expected)
    sizes = xr.concat([data, data + 1], xr.IndexVariable("L", [8, 16]))
    [ax] = plot_observables(sizes, "beta", quantities="magnetisation")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["L 8", "L 16"]
    [one] = plot_observables(data.sel(quantity="magnetisation"), ax=ax)
    assert one is ax


def test_correlations_from_draws_and_from_estimates():
    z = 2 * field() - 1
    g = correlation_function(z)
    for ax in (plot_correlation(z, "z"), plot_correlation(g)):
        np.testing.assert_allclose(
            ax.containers[0].lines[0].get_ydata(), g["value"].sel(axis="row")
        )
    ax = plot_correlation(g, log=True)
    assert ax.get_yscale() == "log"
    assert (np.nan_to_num(ax.containers[1].lines[0].get_ydata(), nan=1) > 0).all()


def test_energy_traces():
    stat = np.random.default_rng(2).normal(size=(3, 50))
    stats = xr.Dataset({"boltzmann_energy": (("chain", "draw"), stat)})
    ax = plot_energy_trace(xr.DataTree.from_dict({"sample_stats": stats}))
    for line, row in zip(ax.lines, stat, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), row)
    [side] = ax.child_axes
    counts = [patch.get_data().values.sum() for patch in side.patches]
    assert counts == [50, 50, 50]
    frozen = xr.Dataset({"z": (("chain", "draw", "site"), np.ones((1, 5, 3)))})
    ax = plot_energy_trace(frozen, pme.Ising(lattice=(3,)), "z")
    assert set(ax.lines[0].get_ydata()) == {-3}


def test_plots_draw_on_the_axes_they_are_given():
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, 6)
    z = 2 * field() - 1
    energy = pme.Ising(lattice=(6, 8))
    assert plot_field(z, ax=axes[0]) is axes[0]
    assert plot_site_probabilities(z, ax=axes[1]) is axes[1]
    assert plot_site_entropy(z, ax=axes[2]) is axes[2]
    assert plot_correlation(z, ax=axes[3]) is axes[3]
    assert plot_energy_trace(z, energy, ax=axes[4]) is axes[4]
    assert plot_marginals(z, ax=axes[5]) is axes[5]
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot_field(field(), "y"), "no variable 'y'"),
        (lambda: plot_field(field(), draw=20), "draw 20 is not there: z has 20"),
        (lambda: plot_field(field(shape=(2, 20, 6))), "needs two site dimensions"),
        (lambda: plot_site_probabilities(field(3)), r"state must be one of \[0, 1, 2\], got None"),
        (lambda: plot_site_entropy(field(shape=(2, 20, 6))), "needs two site dimensions"),
        (lambda: plot_marginals(field(shape=(1, 4, 11, 10))), "110 sites are more than 100"),
        (lambda: plot_marginals(field(), exact=[0.5]), r"exact must have the shape \(6, 8\)"),
        (lambda: plot_observables(field()), "value and mcse"),
        (lambda: plot_observables(estimates(), "T"), r"one of the dimensions \['beta'\]"),
        (lambda: plot_observables(estimates(), quantities=["c"]), "no quantity 'c'"),
        (lambda: plot_observables(estimates(), ax=[None]), "ax must hold 3 axes"),
        (lambda: plot_correlation(estimates()), "dimensions axis and distance"),
        (lambda: plot_correlation(estimates(), q=3), "are for draws"),
        (lambda: plot_energy_trace(field()), "no statistic"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_importing_the_diagnostics_imports_no_plotting_and_no_arviz():
    code = (
        "import sys, pm_energy.diagnostics; "
        "print([m for m in ('arviz', 'arviz_stats', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
