"""Plots of scores show the numbers that they are given."""

import matplotlib as mpl
import numpy as np
import pytest

import pm_energy as pme
from pm_energy.diagnostics import plot_noise_levels, plot_score_field, plot_trajectories

BOUNDS = ((-2, 2), (-1, 3))
PATHS = np.random.default_rng(0).normal(size=(4, 10, 2)).cumsum(axis=1)


@pytest.fixture(autouse=True)
def drawn():
    """Draw without a screen; layout and labels must work; leave matplotlib's settings alone."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")
    assert dict(mpl.rcParams) == before


def test_arrows_point_along_the_score():
    ax = plot_score_field(lambda x: 4 * np.array([1.0, -0.5]) * x, BOUNDS, n=4)
    (arrows,) = ax.collections
    at = arrows.get_offsets()
    np.testing.assert_allclose(np.unique(at[:, 0]), [-1.5, -0.5, 0.5, 1.5])
    np.testing.assert_allclose(np.unique(at[:, 1]), [-0.5, 0.5, 1.5, 2.5])
    score = 4 * np.array([1.0, -0.5]) * at
    shown = np.stack([arrows.U, arrows.V], axis=1)
    np.testing.assert_allclose(shown / score, (shown / score)[:, :1] * [[1, 1]])
    lengths = np.linalg.norm(shown, axis=1)
    np.testing.assert_allclose(lengths, np.sqrt(np.linalg.norm(score, axis=1)))
    assert lengths.max() / arrows.scale < 1  # within its cell


def test_energies_and_functions_give_the_same_shades():
    mixture = pme.GaussianMixtureEnergy([1.0], [[0.5, 0.0]])

    def formula(x):
        return 0.5 * ((x - [0.5, 0.0]) ** 2).sum(axis=1)

    shades = [
        plot_score_field(lambda x: -x, BOUNDS, energy=energy, n=6, style=style).collections[0]
        for energy, style in ((mixture, "arrows"), (formula, "stream"))
    ]
    first, second = (np.concatenate([p.vertices for p in s.get_paths()]) for s in shades)
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_score_of_zero_can_be_drawn():
    assert plot_score_field(np.zeros_like, BOUNDS, n=3).get_xlim() == (-2, 2)


def test_paths_in_the_plane_and_against_time():
    ax = plot_trajectories(PATHS)
    np.testing.assert_array_equal(ax.lines[2].get_xydata(), PATHS[2])
    starts, ends = ax.collections
    np.testing.assert_array_equal(starts.get_offsets(), PATHS[:, 0])
    np.testing.assert_array_equal(ends.get_offsets(), PATHS[:, -1])
    for one in (PATHS[..., 0], PATHS[..., :1]):
        ax = plot_trajectories(one)
        np.testing.assert_array_equal(ax.lines[1].get_ydata(), PATHS[1, :, 0])
        assert ax.get_xlabel() == "step"
    times = np.linspace(0, 1, 10)
    assert plot_trajectories(PATHS[..., 0], times=times, ax=ax) is ax
    np.testing.assert_array_equal(ax.lines[-1].get_xdata(), times)


def test_levels_of_points_share_their_limits_and_images_are_rows():
    x = np.random.default_rng(1).normal(size=(30, 2))
    axes = plot_noise_levels({0.5: x, "all": 3 * x})
    assert [panel.get_title() for panel in axes] == ["0.5", "all"]
    assert axes[0].get_xlim() == axes[1].get_xlim()
    np.testing.assert_array_equal(axes[1].collections[0].get_offsets(), 3 * x)
    ax = plot_noise_levels({0.0: np.eye(6), 0.1: 0.5 * np.eye(6)}, shape=(2, 3), n=4)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["0", "0.1"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot_score_field(np.sin, ((0, 0), (0, 1))), "bounds must be two finite pairs"),
        (lambda: plot_score_field(np.sin, (0, 1)), "bounds must be two finite pairs"),
        (lambda: plot_score_field(lambda x: x[:, 0], BOUNDS), r"finite numbers of shape \(400, 2"),
        (lambda: plot_score_field(lambda x: x / 0, BOUNDS), "score must give finite numbers"),
        (lambda: plot_score_field(np.sin, BOUNDS, style="dots"), "style must be one of 'arrows'"),
        (lambda: plot_score_field(np.sin, BOUNDS, n=0), "n must be a positive integer"),
        (
            lambda: plot_score_field(np.sin, BOUNDS, energy=np.sin),
            r"energy must give shape \(22500,\)",
        ),
        (lambda: plot_trajectories(np.zeros((2, 3, 4))), r"paths must have shape \(n, steps, 2\)"),
        (lambda: plot_trajectories(PATHS / np.nan), "paths must be finite"),
        (lambda: plot_trajectories(PATHS, times=np.arange(10)), "times are for paths in one"),
        (lambda: plot_trajectories(PATHS[..., 0], times=[1, 2]), r"times must have shape \(10,\)"),
        (lambda: plot_noise_levels({}), "levels must be a dict"),
        (lambda: plot_noise_levels({1: np.zeros((3, 4))}), r"finite points \(k, 2\).*give shape="),
        (lambda: plot_noise_levels({1: 9 * np.eye(4)}, shape=(2, 2)), "1 must have values in"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
