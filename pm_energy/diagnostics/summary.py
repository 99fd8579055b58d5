"""A discrete field in a few numbers a draw, for ``az.summary``."""

import math

import numpy as np
import xarray as xr

from pm_energy.diagnostics.fields import (
    SAMPLE_DIMS,
    are_spins,
    check_draws,
    group_dataset,
    is_field,
    observed_states,
    read_field,
    variable,
)
from pm_energy.energies.sites import Complete, Graph, Lattice

MANY_STATES = 32  # an integer field with more is a count, not a choice between states


def field_summaries(data, var_names=None, *, sites=None):
    """Replace discrete fields by a few scalars a draw, so that ``az.summary`` stays readable.

    A field ``z`` becomes

    - ``z_magnetisation`` (spins) or ``z_fraction``, the fraction of sites in each state (for {0, 1}
      units in state 1);
    - ``z_agreement``, the fraction of neighbours in the same state, if it has at least two site
      dimensions or its ``sites`` are given.

    ``sample_stats`` gains ``z_changes``, the number of sites that differ from the previous draw
    (NaN at the first).

    ArviZ gives a quantity that never varies an R-hat of NaN and the full effective sample size.
    Here, one that has the same value in all draws of all chains is *frozen*: it moves, with its
    value, to the group "frozen", so that the rest can be checked (``(table.r_hat < 1.01).all()``).
    One that is constant within chains but differs between them stays, and gets an infinite (or, by
    rounding, astronomical) R-hat: the chains disagree. :func:`site_rhat` tells the same of each
    site.

    Parameters
    ----------
    data : DataTree or Dataset
        Draws, as from ``pm.sample``.
    var_names : str or sequence of str, optional
        The fields to replace; by default all integer variables with site dimensions and at most 32
        states. All other variables are kept as they are.
    sites : energy, Lattice or Graph, or dict of them by variable, optional
        Which sites are neighbours. By default those next to each other along the site dimensions,
        without wrapping around.

    Returns
    -------
    DataTree
        With the groups "posterior", "sample_stats" and "frozen".

    Raises
    ------
    ValueError
        If a variable is not there, is not a discrete field or does not fit its ``sites``, or there
        are fewer than 4 draws a chain.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import pm_energy as pme
    >>> spins = np.random.default_rng(0).choice([-1, 1], size=(2, 100, 64, 64))
    >>> dt = xr.DataTree.from_dict(
    ...     {"posterior": xr.Dataset({"z": (("chain", "draw", "row", "col"), spins)})}
    ... )
    >>> list(pme.diagnostics.field_summaries(dt)["posterior"].data_vars)
    ['z_magnetisation', 'z_agreement']
    """
    posterior = group_dataset(data)
    if var_names is None:
        names = [str(name) for name, array in posterior.data_vars.items() if _has_few_states(array)]
    else:
        names = [str(name) for name in np.atleast_1d(var_names)]
    unknown = [name for name in sites if name not in names] if isinstance(sites, dict) else []
    if unknown:
        raise ValueError(f"sites are given for {unknown[0]!r}, which is not one of {names}")
    scalars, stats = {}, {}
    for name in names:
        field, dims = read_field(variable(posterior, name))
        check_draws(field)
        shape, states = tuple(field.sizes[dim] for dim in dims), observed_states(field)
        own = neighbours(name, shape, sites.get(name) if isinstance(sites, dict) else sites)
        values = draw_scalars(field.values, states, own, shape)
        scalars |= label_scalars(name, states, values)
        changes = np.full(field.shape[:2], np.nan)
        moved = field.values[:, 1:] != field.values[:, :-1]
        changes[:, 1:] = moved.sum(axis=tuple(range(2, field.ndim)))
        stats[f"{name}_changes"] = (SAMPLE_DIMS, changes)
    others = {name: array for name, array in posterior.data_vars.items() if name not in names}
    has_stats = isinstance(data, xr.DataTree) and "sample_stats" in data.children
    recorded = group_dataset(data, "sample_stats") if has_stats else xr.Dataset()
    return summary_tree(scalars, recorded.assign(stats), others)


def summary_tree(scalars, stats, others=()):
    """Return the DataTree of :func:`field_summaries`, what is frozen set apart."""
    varying, frozen = {}, {}
    for name, array in scalars.items():
        same = (array.max(SAMPLE_DIMS) == array.min(SAMPLE_DIMS)).values
        for target, chosen in ((varying, ~same), (frozen, same)):
            if chosen.any():
                target[name] = array[..., chosen] if chosen.ndim else array
    frozen = {name: array.isel(chain=0, draw=0, drop=True) for name, array in frozen.items()}
    posterior = xr.Dataset(dict(others) | varying)
    groups = {"posterior": posterior, "sample_stats": stats, "frozen": xr.Dataset(frozen)}
    return xr.DataTree.from_dict(groups)


def draw_scalars(x, states, sites, shape):
    """Scalars of each draw in an array (..., *shape), by name.

    "magnetisation" (...) or "fraction" (..., shown states), and "agreement" (...) if there are
    sites.
    """
    axes = tuple(range(-len(shape), 0))
    if tuple(states) == (-1, 1):
        out = {"magnetisation": x.mean(axis=axes)}
    else:
        out = {"fraction": np.stack([(x == k).mean(axis=axes) for k in _shown(states)], axis=-1)}
    if sites is not None:
        equal = sum((a == b).sum(axis=axes) for a, b in sites.pairs(x))
        out["agreement"] = equal / sites.n_bonds
    return out


def label_scalars(name, states, values):
    """Label what :func:`draw_scalars` returns for an array (chain, draw, *shape)."""
    out, dim = {}, f"{name}_state"
    for key, value in values.items():
        if key == "fraction":
            coords = {dim: list(_shown(states))}
            out[f"{name}_{key}"] = xr.DataArray(value, dims=(*SAMPLE_DIMS, dim), coords=coords)
        else:
            out[f"{name}_{key}"] = xr.DataArray(value, dims=SAMPLE_DIMS)
    return out


def _shown(states):
    return states[1:] if len(states) == 2 else states  # of two fractions one tells both


def neighbours(name, shape, sites):
    """Return the Lattice or Graph whose bonds are the neighbours in a field, or None."""
    if sites is None:
        sites = Lattice(shape, (False,) * len(shape)) if len(shape) > 1 else None
    sites = getattr(sites, "sites", sites)
    if sites is None or isinstance(sites, Complete):
        return None
    if not isinstance(sites, Lattice | Graph):
        raise ValueError(
            f"sites must be a Lattice, a Graph or an energy on one, got {type(sites).__name__}"
        )
    if math.prod(shape) != sites.n or len(shape) != len(sites.event_shape):
        raise ValueError(f"{name} has sites {shape}, but sites are {sites.event_shape}")
    return sites if sites.n_bonds else None


def _has_few_states(array):
    if not is_field(array) or array.size == 0:
        return False
    return are_spins(array.values) or (array.min() >= 0 and array.max() < MANY_STATES)
