"""Finding a field of draws in what a sampler returned, and checking it."""

import numpy as np
import xarray as xr

SAMPLE_DIMS = ("chain", "draw")
MIN_DRAWS = 4  # an effective sample size needs two halves of two draws


def group_dataset(data, group="posterior"):
    """Return a group of a DataTree, or the Dataset itself.

    Raises
    ------
    ValueError
        If ``data`` is neither, or the tree has no such group.
    """
    if isinstance(data, xr.Dataset):
        return data
    if not isinstance(data, xr.DataTree):
        raise ValueError(f"expected a DataTree or a Dataset of draws, got {type(data).__name__}")
    if group not in data.children:
        raise ValueError(f"there is no group {group!r}; there are {sorted(data.children)}")
    return data[group].to_dataset()


def is_field(array):
    """Whether draws are of integers on sites: what the package calls a discrete field."""
    return array.dtype.kind in "iub" and set(SAMPLE_DIMS) < set(array.dims)


def variable(dataset, var_name):
    """Return a variable of a Dataset; None stands for its only discrete field."""
    if var_name is None:
        names = [str(name) for name in dataset.data_vars if is_field(dataset[name])]
        if len(names) != 1:
            raise ValueError(f"pass var_name: the discrete fields are {names}")
        return dataset[names[0]]
    if var_name not in dataset.data_vars:
        raise ValueError(f"there is no variable {var_name!r}, only {sorted(dataset.data_vars)}")
    return dataset[var_name]


def read_field(data, var_name=None, site_dims=None):
    """Find the draws of a field.

    Parameters
    ----------
    data : DataTree, Dataset or DataArray
        A DataTree with a group "posterior", a Dataset, or the draws themselves.
    var_name : str, optional
        The variable; by default the only discrete field there is.
    site_dims : sequence of str, optional
        The dimensions of the sites; by default all but ``chain`` and ``draw``. What is left over
        are batch dimensions, kept in every result.

    Returns
    -------
    field : DataArray, dims (chain, draw, *batch, *sites)
    site_dims : tuple of str

    Raises
    ------
    ValueError
        If the variable or a dimension is missing, there are no sites or no draws, or values are
        NaN.
    """
    array = data if isinstance(data, xr.DataArray) else variable(group_dataset(data), var_name)
    array = array if array.name is not None else array.rename("field")
    missing = [dim for dim in SAMPLE_DIMS if dim not in array.dims]
    if missing:
        raise ValueError(
            f"{array.name} has no dimension {missing[0]!r}, only {array.dims}; draws have the "
            "dimensions chain and draw (add one with .expand_dims('chain'))"
        )
    others = [str(dim) for dim in array.dims if dim not in SAMPLE_DIMS]
    site_dims = (
        tuple(others) if site_dims is None else tuple(str(dim) for dim in np.atleast_1d(site_dims))
    )
    unknown = [dim for dim in site_dims if dim not in others]
    if unknown:
        raise ValueError(f"{array.name} has no site dimension {unknown[0]!r}; it has {others}")
    if not site_dims:
        raise ValueError(f"{array.name} is a scalar, not a field: it has no site dimensions")
    if array.size == 0:
        raise ValueError(f"{array.name} holds no draws: its shape is {array.shape}")
    if array.dtype.kind == "f" and bool(array.isnull().any()):
        raise ValueError(f"{array.name} contains NaN")
    batch = [dim for dim in others if dim not in site_dims]
    return array.transpose(*SAMPLE_DIMS, *batch, *site_dims), site_dims


def check_states(field, q=None):
    """Check that all draws are spins (``q=None``) or categories 0..q-1."""
    values = field.values
    if q is None:
        wrong = values[np.abs(values) != 1]
        advice = "the spins -1 and 1. Pass q for a Potts field, or 2 * x - 1 for {0, 1} units"
    else:
        if isinstance(q, bool) or not isinstance(q, int | np.integer) or q < 2:
            raise ValueError(f"q must be an integer of at least 2, got {q!r}")
        wrong = values[(values < 0) | (values >= q) | (values != np.floor(values))]
        advice = f"the states 0, ..., {q - 1}"
    if wrong.size:
        raise ValueError(f"{field.name} takes the value {wrong.flat[0]}, expected {advice}")


def are_spins(values):
    """Whether values are -1 and 1, or all -1."""
    return bool(values.min() == -1 and (np.abs(values) == 1).all())


def observed_states(field):
    """States that draws take: (-1, 1) for spins, otherwise 0, ..., max.

    Raises
    ------
    ValueError
        If values are not integers, or below 0 without being spins.
    """
    values = field.values
    if values.dtype.kind == "f" and (values != np.floor(values)).any():
        raise ValueError(f"{field.name} is not a discrete field: it takes fractional values")
    if are_spins(values):
        return (-1, 1)
    low, high = values.min(), values.max()
    if low < 0:
        raise ValueError(
            f"{field.name} takes values from {low} to {high}; pass states for other than spins "
            "-1, 1 or categories 0, 1, ..."
        )
    return tuple(range(max(int(high), 1) + 1))


def check_draws(array):
    """Check that there are enough draws for an error bar."""
    if array.sizes["draw"] < MIN_DRAWS:
        raise ValueError(
            f"{array.name} has {array.sizes['draw']} draws a chain; an error that counts "
            f"autocorrelation needs at least {MIN_DRAWS}"
        )
