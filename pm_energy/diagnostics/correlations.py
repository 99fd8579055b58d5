"""Two-point correlations of a field on a lattice, from draws."""

import numpy as np
import xarray as xr

from pm_energy.diagnostics.fields import SAMPLE_DIMS, check_draws, check_states, read_field
from pm_energy.diagnostics.means import function_of_means

BLOCK = 2**21  # floats held at a time, 16 MB


def correlation_function(
    data, var_name=None, *, periodic=True, connected=True, q=None, site_dims=None
):
    r"""Correlation of two sites at distance r along each axis of a lattice.

    .. math:: G_a(r) = \frac1N \sum_i \big[ \langle s_i s_{i + r e_a} \rangle
              - \langle s_i \rangle \langle s_{i + r e_a} \rangle \big]

    For a Potts field :math:`s_i s_j` is :math:`(q \, \delta(x_i, x_j) - 1) / (q - 1)` and the
    second term that of the one-hot vectors, so q = 2 agrees with spins.

    Parameters
    ----------
    data, var_name, q, site_dims
        As for :func:`magnetisation`.
    periodic : bool or tuple of bool
        Whether each axis wraps around. Wrapped axes are summed by FFT.
    connected : bool
        Subtract the product of the means of the two sites.

    Returns
    -------
    Dataset
        ``value`` and ``mcse`` over (axis, distance), for distances up to half of the longest side;
        NaN beyond half of an axis's own side.

    Raises
    ------
    ValueError
        As for :func:`magnetisation`, and for a wrong ``periodic``.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import pm_energy as pme
    >>> stripes = np.tile([1, -1], (2, 10, 6, 3))
    >>> z = xr.DataArray(stripes, dims=("chain", "draw", "row", "col"))
    >>> pme.diagnostics.correlation_function(z, connected=False)["value"].sel(axis="col").values
    array([ 1., -1.,  1., -1.])
    """
    field, sites = read_field(data, var_name, site_dims)
    check_states(field, q)
    check_draws(field)
    flags = np.atleast_1d(periodic).tolist()
    flags = flags * len(sites) if isinstance(periodic, bool) else flags
    if len(flags) != len(sites) or not all(isinstance(flag, bool) for flag in flags):
        raise ValueError(f"periodic must be a bool or {len(sites)} of them, got {periodic!r}")
    reach = max(field.sizes[dim] for dim in sites) // 2

    def measure(block):
        rows = []
        for a, (dim, wraps) in enumerate(zip(sites, flags, strict=True)):
            axis = a - len(sites)
            line = _ring_correlation(block, axis) if wraps else _open_correlation(block, axis)
            line = line.mean(axis=tuple(range(-len(sites), 0))[: len(sites) - 1])
            row = np.full((*line.shape[:-1], reach + 1), np.nan)
            row[..., : field.sizes[dim] // 2 + 1] = line
            rows.append(row)
        return np.stack(rows, axis=-2)

    # the means are of the same draws, so centring costs nothing to first order: the error of G is
    # that of the mean of the centred products
    draws = _per_draw(field, sites, q, measure, connected, ("axis", "distance"))
    draws = draws.assign_coords(axis=list(sites), distance=np.arange(reach + 1))
    return function_of_means(lambda g: g, draws)


def correlation_length(data, var_name=None, *, q=None, site_dims=None):
    r"""Second-moment correlation length of a field on a periodic lattice, along each axis.

    .. math:: \xi_a = \frac{1}{2 \sin(\pi / L_a)} \sqrt{\frac{S(0)}{S(k_a)} - 1}, \qquad
              S(k) = \frac1N \Big\langle \Big| \sum_j s_j e^{i k \cdot j} \Big|^2 \Big\rangle

    at the smallest wave vector of the axis, :math:`|k_a| = 2 \pi / L_a` [1]_. The mean is not
    subtracted in S(0): it measures the disordered phase, and :math:`\xi / L` is useful across the
    critical point, where curves for different sizes cross.

    Parameters
    ----------
    data, var_name, q, site_dims
        As for :func:`magnetisation`.

    Returns
    -------
    Dataset
        ``value`` and ``mcse`` over (quantity, axis). NaN where the draws show no correlation,
        S(0) < S(k), or for an axis of fewer than 3 sites.

    References
    ----------
    .. [1] Cooper, Freedman & Preston (1982), Nuclear Physics B 210, 210-228.
    """
    field, sites = read_field(data, var_name, site_dims)
    check_states(field, q)
    check_draws(field)
    sides = np.array([field.sizes[dim] for dim in sites])

    def measure(block):
        axes = tuple(range(-len(sites), 0))
        rows = []
        for a in axes:
            line = block.sum(axis=tuple(b for b in axes if b != a))
            power = np.abs(np.fft.rfft(line, axis=-1)) ** 2 / np.prod(sides)
            rows.append(power[..., [0, 1 if power.shape[-1] > 1 else 0]])
        return np.stack(rows, axis=-2)

    draws = _per_draw(field, sites, q, measure, False, ("axis", "wave"))
    draws = draws.assign_coords(axis=list(sites))
    # an axis of 1 or 2 sites has no wave of its own
    length = xr.DataArray(np.where(sides > 2, 2 * np.sin(np.pi / sides), np.nan), dims="axis")
    fit = function_of_means(
        lambda s0, s1: np.sqrt(s0 / s1 - 1) / length, draws.isel(wave=0), draws.isel(wave=1)
    )
    return fit.expand_dims(quantity=["correlation_length"])


def _per_draw(field, sites, q, measure, connected, dims):
    """Apply a quadratic measure to each draw of the centred field, one-hot for categories."""
    components = [(field, 1.0, 0.0)]
    if q is not None:
        components = [(field == k, q / (q - 1), 1 / q) for k in range(q)]
    step = max(1, BLOCK // max(1, field[:, 0].size))
    total = 0.0
    for array, scale, middle in components:
        centre = array.mean(SAMPLE_DIMS).values if connected else middle
        parts = [
            measure(array.values[:, t : t + step] - centre)
            for t in range(0, field.sizes["draw"], step)
        ]
        total = total + scale * np.concatenate(parts, axis=1)
    kept = field.isel({dim: 0 for dim in sites}, drop=True)
    return xr.DataArray(total, dims=(*kept.dims, *dims), coords=kept.coords, name=field.name)


def _ring_correlation(x, axis):
    """Mean over a ring of x_j x_(j+r), for r up to half of it; the distance is put last."""
    side = x.shape[axis]
    power = np.abs(np.fft.rfft(x, axis=axis)) ** 2
    line = np.fft.irfft(power, n=side, axis=axis) / side
    return np.moveaxis(line, axis, -1)[..., : side // 2 + 1]


def _open_correlation(x, axis):
    """Mean over a line of x_j x_(j+r), over the pairs there are."""
    x = np.moveaxis(x, axis, -1)
    side = x.shape[-1]
    return np.stack(
        [(x[..., : side - r] * x[..., r:]).mean(axis=-1) for r in range(side // 2 + 1)], axis=-1
    )
