"""What was learned, as numbers and as pictures that show these numbers."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from pm_energy.diagnostics import (
    coupling_recovery,
    plot_couplings,
    plot_samples,
    plot_training,
    plot_weights,
    receptive_fields,
    training_curves,
)

STEPS = np.arange(1, 21)
WEIGHTS = np.random.default_rng(1).normal(size=(6, 4)) * [1.0, 3.0, 0.1, 2.0]
TRUE = np.array([[0, 1, 0, 0], [1, 0, -0.5, 0], [0, -0.5, 0, 0.25], [0, 0, 0.25, 0]])


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


class Learned:
    """All that the plots know of an estimator."""

    def __init__(self, **parameters):
        self.parameters = {name: (dims, x) for name, (dims, x) in parameters.items()}

    def to_datatree(self):
        curves = {"loss": ("step", 1.0 / STEPS), "log_likelihood": ("step", -5.0 - 1.0 / STEPS)}
        curves["log_likelihood"][1][::2] = np.nan  # looked at in every other step
        curves["per_unit"] = (("step", "hidden"), np.zeros((len(STEPS), 2)))
        training = xr.Dataset(curves, coords={"step": STEPS})
        groups = {"parameters": xr.Dataset(self.parameters), "training": training}
        return xr.DataTree.from_dict(groups)


RBM = Learned(weights=(("visible", "hidden"), WEIGHTS))
MACHINE = Learned(coupling=(("unit", "unit_"), TRUE))


@pytest.mark.parametrize(
    "data", [RBM, RBM.to_datatree(), RBM.to_datatree()["training"].to_dataset()]
)
def test_training_curves_are_those_over_steps(data):
    curves = training_curves(data)
    assert list(curves.data_vars) == ["loss", "log_likelihood"]
    left, right = plot_training(data)
    np.testing.assert_array_equal(left.lines[0].get_xdata(), STEPS)
    np.testing.assert_array_equal(left.lines[0].get_ydata(), 1.0 / STEPS)
    np.testing.assert_array_equal(right.lines[0].get_xdata(), STEPS[1::2])  # a line, without gaps
    assert [panel.get_ylabel() for panel in (left, right)] == ["loss", "log likelihood"]
    (only,) = plot_training(data, "loss")
    assert only.get_xlabel() == "step"


def test_training_goes_on_the_axes_given():
    import matplotlib.pyplot as plt

    axes = plt.subplots(2)[1]
    assert plot_training(RBM, ax=axes)[1] is axes[1]
    with pytest.raises(ValueError, match="ax must hold 2 axes, got 1"):
        plot_training(RBM, ax=axes[0])


@pytest.mark.parametrize(
    "data",
    [
        RBM,
        RBM.to_datatree(),
        WEIGHTS,
        xr.DataArray(WEIGHTS.T, dims=("hidden", "visible")),
    ],
)
def test_receptive_fields_are_the_strongest_columns(data):
    fields = receptive_fields(data, (2, 3), n=3)
    assert fields.dims == ("hidden", "row", "col")
    norms = np.linalg.norm(WEIGHTS, axis=0)
    strongest = np.argsort(-norms)[:3]
    np.testing.assert_array_equal(fields["hidden"], strongest)
    np.testing.assert_array_equal(fields.values, WEIGHTS.T[strongest].reshape(3, 2, 3))


def test_weights_are_tiles_on_a_symmetric_scale():
    ax = plot_weights(RBM, (2, 3))
    image = ax.images[0]
    shown = np.ma.filled(image.get_array(), np.nan)
    assert shown.shape == (2 * 3 + 1, 2 * 4 + 1)  # two rows of two, a line of a pixel around each
    fields = receptive_fields(RBM, (2, 3)).values
    np.testing.assert_array_equal(shown[1:3, 1:4], fields[0])
    np.testing.assert_array_equal(shown[1:3, 5:8], fields[1])
    np.testing.assert_array_equal(shown[4:6, 1:4], fields[2])
    assert np.isnan(shown[::3]).all()
    assert np.isnan(shown[:, ::4]).all()
    assert image.get_clim() == (-np.abs(WEIGHTS).max(), np.abs(WEIGHTS).max())
    assert plot_weights(np.zeros((4, 3)), (2, 2), n=1).images[0].get_clim() == (-1, 1)


def test_samples_are_rows_by_name():
    data = np.eye(6)
    rows = {"data": data, "reconstruction": 0.9 * data, "completion": data.astype("float32")}
    ax = plot_samples(rows, (3, 2), n=4)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(rows)
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert shown.shape == (3 * 4 + 1, 4 * 3 + 1)
    np.testing.assert_array_equal(shown[5:8, 4:6], 0.9 * data[1].reshape(3, 2))
    assert [0 < y < 4 for y in ax.get_yticks()] == [True, False, False]  # within its row


@pytest.mark.parametrize(("images", "low"), [(np.eye(4), 0), (2 * np.eye(4) - 1, -1)])
def test_one_set_of_samples_fills_a_square_and_codings_have_their_scale(images, low):
    ax = plot_samples(images, (2, 2))
    assert ax.images[0].get_array().shape == (7, 7)
    assert ax.images[0].get_clim() == (low, 1)
    assert plot_samples(images, (2, 2), n=1, ax=ax) is ax
    assert ax.images[1].get_array().shape == (4, 4)


def test_recovery_compares_pairs_once():
    learned = TRUE + 0.1 * (1 - np.eye(4))
    recovery = coupling_recovery(learned, TRUE)
    np.testing.assert_array_equal(recovery["true"], TRUE[np.triu_indices(4, 1)])
    np.testing.assert_allclose(recovery["learned"] - recovery["true"], 0.1)
    # 6 errors of .1 over couplings of 1, -.5 and .25
    np.testing.assert_allclose(recovery["relative_error"], np.sqrt(0.06 / 1.3125))
    matrix, scatter = plot_couplings(learned, TRUE)
    np.testing.assert_array_equal(matrix.images[0].get_array(), learned)
    assert matrix.images[0].get_clim() == (-1.1, 1.1)
    points = scatter.collections[0].get_offsets()
    np.testing.assert_allclose(points, np.stack([recovery["true"], recovery["learned"]], axis=1))
    assert scatter.get_xlim() == scatter.get_ylim()
    assert scatter.get_title(loc="left") == "relative rms error 21%"


@pytest.mark.parametrize("name", ["coupling", "coupling_matrix"])
def test_couplings_of_an_estimator_without_a_truth(name):
    (ax,) = plot_couplings(Learned(**{name: (("unit", "unit_other"), TRUE)}))
    np.testing.assert_array_equal(ax.images[0].get_array(), TRUE)
    assert np.isnan(coupling_recovery(MACHINE, np.zeros((4, 4)))["relative_error"])
    plot_couplings(np.zeros((3, 3)), np.zeros((3, 3)))  # nothing learned, nothing to scale by


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot_training(RBM, "error"), r"no curve 'error'.*\['loss', 'log_likelihood'\]"),
        (lambda: plot_training(RBM, []), "names must not be empty"),
        (lambda: plot_training(xr.DataTree()), "no group 'training'"),
        (lambda: plot_training(3), "expected a DataTree or a Dataset"),
        (lambda: plot_weights(MACHINE, (2, 2)), r"no 'weights' among \['coupling'\]"),
        (lambda: plot_weights(WEIGHTS, (2, 2)), r"shape must be \(rows, columns\) of 6 pixels"),
        (lambda: plot_weights(WEIGHTS, (6,)), r"shape must be \(rows, columns\) of 6 pixels"),
        (lambda: plot_weights(WEIGHTS[0], (2, 2)), r"weights must be a matrix over \('visible'"),
        (lambda: plot_weights(np.nan * WEIGHTS, (2, 3)), "weights must be finite"),
        (lambda: plot_weights(WEIGHTS, (2, 3), n=0), "n must be an integer of at least 1"),
        (lambda: plot_samples(3 * np.eye(4), (2, 2)), r"images must have values in \[0, 1\]"),
        (lambda: plot_samples({"data": np.nan * np.eye(4)}, (2, 2)), "data must have values"),
        (lambda: plot_samples({"a": np.eye(4), "b": np.eye(4)[:2]}, (2, 2)), "as many of each"),
        (lambda: plot_samples({}, (2, 2)), "at least one kind"),
        (lambda: plot_samples(np.ones(4), (2, 2)), r"shape \(k, n_pixels\)"),
        (lambda: plot_samples(np.eye(4), (2, 3)), "of 4 pixels"),
        (lambda: plot_samples(np.eye(4), (2, 2), n=True), "n must be an integer"),
        (lambda: plot_couplings(np.triu(TRUE)), "coupling must be a symmetric matrix"),
        (lambda: plot_couplings(TRUE[:2]), "coupling must be a symmetric matrix"),
        (lambda: plot_couplings(TRUE, np.zeros((3, 3))), r"truth must have the shape \(4, 4\)"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
