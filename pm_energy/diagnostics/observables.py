"""Observables of a field, estimated from draws: the vocabulary of statistical mechanics.

Each estimator returns a Dataset with ``value`` and ``mcse``, its Monte Carlo standard error, along
the dimension ``quantity``; ``xarray.concat`` joins such Datasets, over quantities or over a
parameter.
"""

import numpy as np
import xarray as xr
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.op import RNGConsumerOp

from pm_energy.compile import energy_values
from pm_energy.diagnostics.fields import (
    SAMPLE_DIMS,
    check_draws,
    check_states,
    group_dataset,
    read_field,
)
from pm_energy.diagnostics.means import function_of_means
from pm_energy.energy import blocks_of
from pm_energy.structure import flatten
from pm_energy.validate import positive, states_in_domain

STAT = "boltzmann_energy"


def magnetisation(data, var_name=None, *, q=None, site_dims=None):
    r"""Magnetisation of a field of spins, or order parameter of a Potts field.

    Spins: the means of :math:`m = N^{-1} \sum_i s_i` and of :math:`|m|`. Categories: the mean of
    :math:`(q \max_k \rho_k - 1) / (q - 1)`, with the fraction :math:`\rho_k` of sites in state k,
    which is 0 where all states are equally frequent, 1 where all sites agree, and :math:`|m|` for q
    = 2.

    Parameters
    ----------
    data : DataTree, Dataset or DataArray
        Draws; of a DataTree the group "posterior".
    var_name : str, optional
        Name of the field; may be left out if it is the only discrete one.
    q : int, optional
        Number of states of a Potts field. Spins by default.
    site_dims : sequence of str, optional
        Dimensions of the sites; all but ``chain`` and ``draw`` by default. Others are kept.

    Returns
    -------
    Dataset
        ``value`` and ``mcse`` along ``quantity``: "magnetisation" and "abs_magnetisation", or
        "order_parameter".

    Raises
    ------
    ValueError
        If the variable or a dimension is not there, values are NaN or outside the states, or there
        are fewer than 4 draws a chain.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import pm_energy as pme
    >>> spins = np.random.default_rng(0).choice([-1, 1], size=(2, 100, 8, 8))
    >>> z = xr.DataArray(spins, dims=("chain", "draw", "row", "col"))
    >>> pme.diagnostics.magnetisation(z)["value"].sel(quantity="abs_magnetisation").item() < 0.15
    True
    """
    series = _order(data, var_name, q, site_dims)
    return _table({name: function_of_means(lambda a: a, m) for name, m in series.items()})


def susceptibility(data, var_name=None, *, temperature=1.0, q=None, site_dims=None):
    r"""Susceptibility of a field, from the fluctuations of its magnetisation.

    Two definitions are in use, and both are given for spins:

    - "susceptibility", :math:`\beta N (\langle m^2 \rangle - \langle m \rangle^2)`, the response
      :math:`\partial \langle m \rangle / \partial h` of the finite field;
    - "abs_susceptibility", :math:`\beta N (\langle m^2 \rangle - \langle |m| \rangle^2)`, which
      has a maximum near the critical point also without an external field, and tends to the
      response of the ordered phase below it.

    For a Potts field "order_susceptibility" is :math:`\beta N` times the variance of the order
    parameter.

    Parameters
    ----------
    data, var_name, q, site_dims
        As for :func:`magnetisation`.
    temperature : float
        T in :math:`p(x) = \exp(-E(x) / T) / Z`; :math:`\beta = 1 / T`.

    Returns
    -------
    Dataset
        ``value`` and ``mcse`` along ``quantity``. The value is low by about one part in the
        effective number of draws, far less than its error.

    Raises
    ------
    ValueError
        As for :func:`magnetisation`, and for a temperature that is not positive.
    """
    field, sites = read_field(data, var_name, site_dims)
    n = int(np.prod([field.sizes[dim] for dim in sites]))
    scale = n / float(positive("temperature", temperature))
    names = {
        "magnetisation": "susceptibility",
        "abs_magnetisation": "abs_susceptibility",
        "order_parameter": "order_susceptibility",
    }
    series = _order(field, None, q, sites)
    return _table({names[name]: scale * variance(m) for name, m in series.items()})


def binder_cumulant(data, var_name=None, *, q=None, site_dims=None):
    r"""Binder's fourth-order cumulant :math:`U = 1 - \langle m^4 \rangle / (3 \langle m^2
    \rangle^2)`.

    It is 2/3 in an ordered phase and tends to 0 in a disordered one of spins; curves for different
    sizes cross near the critical point [1]_. For a Potts field m is the order parameter.

    Parameters
    ----------
    data, var_name, q, site_dims
        As for :func:`magnetisation`.

    Returns
    -------
    Dataset
        ``value`` and ``mcse`` of the quantity "binder_cumulant".

    References
    ----------
    .. [1] Binder (1981), Zeitschrift fuer Physik B 43, 119-140.
    """
    m = next(iter(_order(data, var_name, q, site_dims).values()))
    fit = function_of_means(lambda m2, m4: 1 - m4 / (3 * m2**2), m**2, m**4)
    return _table({"binder_cumulant": fit})


def energy_draws(data, energy=None, var_names=None):
    """Energy of each draw.

    Parameters
    ----------
    data : DataTree or Dataset
        Draws of the field, or, without ``energy``, a DataTree with the statistic
        ``boltzmann_energy``.
    energy : Energy, optional
        With numeric parameters. By default the energy that the sampler recorded is read: that of
        the distribution, which is E / T where a temperature was given.
    var_names : str or sequence of str, optional
        The variables of the energy's blocks, in order; may be left out if the only discrete field
        is meant.

    Returns
    -------
    DataArray, dims (chain, draw)

    Raises
    ------
    ValueError
        If a variable or the statistic is not there, a shape or a state is not the energy's, or the
        energy depends on random variables.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import pm_energy as pme
    >>> up = np.ones((1, 4, 3, 3), dtype="int8")
    >>> draws = xr.Dataset({"z": (("chain", "draw", "row", "col"), up)})
    >>> pme.diagnostics.energy_draws(draws, pme.Ising(lattice=(3, 3))).values
    array([[-18., -18., -18., -18.]])
    """
    if energy is None:
        stats = group_dataset(data, "sample_stats")
        if STAT not in stats:
            raise ValueError(f"there is no statistic {STAT!r}; pass energy to compute it")
        return stats[STAT]
    _, leaves = flatten(energy)
    if any(v.owner and isinstance(v.owner.op, RNGConsumerOp) for v in ancestors(leaves)):
        raise ValueError(
            f"the parameters of {type(energy).__name__} are random variables; "
            "pass an energy with numbers for them, or use the recorded energy"
        )
    names = [None] if var_names is None else [str(name) for name in np.atleast_1d(var_names)]
    blocks, dataset = blocks_of(energy), group_dataset(data)
    if len(names) != len(blocks):
        raise ValueError(f"{type(energy).__name__} has {len(blocks)} blocks, got var_names={names}")
    states = []
    for block, name in zip(blocks, names, strict=True):
        array, _ = read_field(dataset, name)
        if array.shape[2:] != block.shape:
            raise ValueError(
                f"{array.name} has sites {array.shape[2:]}, the energy has {block.shape}"
            )
        flat = array.values.reshape(-1, *block.shape)
        states.append(states_in_domain(str(array.name), flat, block.domain))
    template = array.isel({dim: 0 for dim in array.dims[2:]}, drop=True)
    values = energy_values(energy, *states).reshape(template.shape)
    return template.copy(data=values).rename("energy")


def mean_energy(data, energy=None, var_names=None):
    """Mean energy, in total; divide the Dataset by the number of sites to have it per site.

    Parameters
    ----------
    data, energy, var_names
        As for :func:`energy_draws`.

    Returns
    -------
    Dataset
        ``value`` and ``mcse`` of the quantity "energy".
    """
    fit = function_of_means(lambda e: e, energy_draws(data, energy, var_names))
    return _table({"energy": fit})


def heat_capacity(data, energy=None, var_names=None, *, temperature=1.0):
    r"""Heat capacity :math:`C = (\langle E^2 \rangle - \langle E \rangle^2) / T^2`, in total.

    Parameters
    ----------
    data, energy, var_names
        As for :func:`energy_draws`.
    temperature : float
        T in :math:`p(x) = \exp(-E(x) / T) / Z`. Only with ``energy``: a recorded energy is E / T.

    Returns
    -------
    Dataset
        ``value`` and ``mcse`` of the quantity "heat_capacity".

    Raises
    ------
    ValueError
        As for :func:`energy_draws`, and for a temperature without ``energy``.
    """
    if energy is None and temperature != 1:
        raise ValueError(
            "the recorded energy is E / T already; leave temperature at 1 or pass energy"
        )
    t = float(positive("temperature", temperature))
    return _table({"heat_capacity": variance(energy_draws(data, energy, var_names)) / t**2})


def variance(series):
    """Variance of a series over chains and draws, with its error."""
    check_draws(series)
    # about the mean, so that large squares do not cancel
    deviation = series - series.mean(SAMPLE_DIMS)
    return function_of_means(lambda a, a2: a2 - a**2, deviation, deviation**2)


def _order(data, var_name, q, site_dims):
    """Magnetisation or order parameter of each draw, by name of its mean."""
    field, sites = read_field(data, var_name, site_dims)
    check_states(field, q)
    if q is None:
        m = field.mean(sites)
        return {"magnetisation": m, "abs_magnetisation": abs(m)}
    largest = np.maximum.reduce([(field == k).mean(sites) for k in range(q)])
    return {"order_parameter": field.mean(sites).copy(data=(q * largest - 1) / (q - 1))}


def _table(fits):
    return xr.concat(list(fits.values()), xr.IndexVariable("quantity", list(fits)))
