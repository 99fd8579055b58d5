"""What an estimator has learned: training curves, receptive fields, couplings against the truth."""

import numpy as np
import xarray as xr

from pm_energy.diagnostics.fields import group_dataset


def training_curves(data, names=None):
    """Return the curves of a fit over its steps.

    Parameters
    ----------
    data : estimator, DataTree or Dataset
        A fitted estimator, what its ``to_datatree`` returns, or the group "training" of that.
    names : str or sequence of str, optional
        Which curves; all of them by default.

    Returns
    -------
    Dataset, dims (step,)

    Raises
    ------
    ValueError
        If there is no such group, or a name is not that of a curve.

    Examples
    --------
    >>> import xarray as xr
    >>> import pm_energy as pme
    >>> fit = {"loss": ("step", [0.7, 0.2]), "log_likelihood": ("step", [-9.0, -4.0])}
    >>> curves = pme.diagnostics.training_curves(xr.Dataset(fit), "log_likelihood")
    >>> curves["log_likelihood"].values
    array([-9., -4.])
    """
    dataset = _group(data, "training")
    known = [str(name) for name, curve in dataset.data_vars.items() if curve.dims == ("step",)]
    names = known if names is None else [str(name) for name in np.atleast_1d(names)]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        wrong = f"there is no curve {unknown[0]!r}" if unknown else "names must not be empty"
        raise ValueError(f"{wrong}; the curves over 'step' are {known}")
    return dataset[names]


def receptive_fields(data, shape, n=None):
    """Return the weights of hidden units as images, those with the largest norms first.

    Parameters
    ----------
    data : estimator, DataTree, Dataset, DataArray or array_like
        A fitted estimator, its DataTree, the group "parameters" of that, or the weights themselves:
        over ("visible", "hidden").
    shape : (int, int)
        Rows and columns of an image of the visible units.
    n : int, optional
        How many hidden units, at most; all by default.

    Returns
    -------
    DataArray, dims (hidden, row, col)
        The coordinate ``hidden`` says which units they are.

    Raises
    ------
    ValueError
        If there are no such weights, they are not finite, or an image has another size.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> weights = np.array([[0.1, 3.0], [0.0, -2.0]])
    >>> pme.diagnostics.receptive_fields(weights, (1, 2), n=1).values
    array([[[ 3., -2.]]])
    """
    weights = _learned(data, ["weights"], ("visible", "hidden"))
    shape = image_shape(shape, weights.sizes["visible"])
    if n is not None and (isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1):
        raise ValueError(f"n must be an integer of at least 1, got {n!r}")
    order = np.argsort(-np.linalg.norm(weights.values, axis=0), kind="stable")[:n]
    hidden = weights["hidden"].values[order]
    images = weights.values[:, order].T.reshape(-1, *shape)
    return xr.DataArray(images, {"hidden": hidden}, ("hidden", "row", "col"), name="weights")


def learned_couplings(data):
    """Return a coupling matrix as a DataArray of two dimensions.

    Raises
    ------
    ValueError
        If there is none, or it is not square, symmetric and finite.
    """
    coupling = _learned(data, ["coupling", "coupling_matrix"], None)
    x = coupling.values
    # single precision may add up the two triangles in another order
    if x.shape[0] != x.shape[1] or not np.allclose(x, x.T, rtol=1e-4, atol=1e-6 * np.ptp(x)):
        raise ValueError(f"coupling must be a symmetric matrix (n, n), got one of shape {x.shape}")
    return coupling


def coupling_recovery(data, truth):
    """Compare learned couplings with the true ones, pair by pair.

    Parameters
    ----------
    data : estimator, DataTree, Dataset, DataArray or array_like
        A fitted estimator, its DataTree, the group "parameters" of that, or the matrix itself.
    truth : array_like, shape (n, n)
        Of the machine that made the data, in the same coding and in units of kT.

    Returns
    -------
    Dataset, dims (pair,)
        ``learned`` and ``true`` for the pairs ``i < j`` (coordinates), and ``relative_error``, the
        root mean square of their difference over that of the true couplings.

    Raises
    ------
    ValueError
        If a matrix is not symmetric and finite, or the two differ in shape.

    Examples
    --------
    >>> import pm_energy as pme
    >>> learned = [[0, 1.1, 0], [1.1, 0, -0.5], [0, -0.5, 0]]
    >>> true = [[0, 1, 0], [1, 0, -0.5], [0, -0.5, 0]]
    >>> recovery = pme.diagnostics.coupling_recovery(learned, true)
    >>> recovery["learned"].values, round(float(recovery["relative_error"]), 4)
    (array([ 1.1,  0. , -0.5]), 0.0894)
    """
    learned, true = learned_couplings(data).values, learned_couplings(truth).values
    if learned.shape != true.shape:
        raise ValueError(f"truth must have the shape {learned.shape}, got {true.shape}")
    i, j = np.triu_indices(len(true), 1)
    learned, true = learned[i, j].astype(np.float64), true[i, j].astype(np.float64)
    size = np.linalg.norm(true)
    error = np.linalg.norm(learned - true) / size if size else np.nan
    return xr.Dataset(
        {"learned": ("pair", learned), "true": ("pair", true), "relative_error": error},
        {"i": ("pair", i), "j": ("pair", j)},
    )


def image_shape(shape, n):
    """Check that an image has n pixels; return its rows and columns."""
    whole = np.asarray(shape)
    if whole.shape != (2,) or whole.dtype.kind not in "iu" or whole.prod() != n or whole.min() < 1:
        raise ValueError(f"shape must be (rows, columns) of {n} pixels, got {shape!r}")
    return tuple(whole.tolist())


def _group(data, group):
    return group_dataset(data.to_datatree() if hasattr(data, "to_datatree") else data, group)


def _learned(data, names, dims):
    """Return a matrix of parameters by any of its names, its dimensions in the order given."""
    name = names[0]
    if hasattr(data, "to_datatree") or isinstance(data, xr.DataTree | xr.Dataset):
        dataset = _group(data, "parameters")
        found = [one for one in names if one in dataset]
        if not found:
            raise ValueError(f"there are no {name!r} among {sorted(dataset.data_vars)}")
        data = dataset[found[0]]
    if not isinstance(data, xr.DataArray):
        data = np.asarray(data)
        data = xr.DataArray(data, dims=dims if dims and data.ndim == 2 else None)
    if data.ndim != 2 or data.size == 0 or (dims and set(data.dims) != set(dims)):
        over = f" over {dims}" if dims else ""
        raise ValueError(f"{name} must be a matrix{over}, got {data.dims} of shape {data.shape}")
    if data.dtype.kind not in "fiu" or not np.isfinite(data.values).all():
        raise ValueError(f"{name} must be finite numbers")
    return data.transpose(*dims) if dims else data
