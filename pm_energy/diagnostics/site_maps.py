"""Maps over the sites of a discrete field: probabilities, most probable states, entropy, R-hat."""

import numpy as np
import xarray as xr
from scipy.special import entr

from pm_energy.diagnostics.fields import SAMPLE_DIMS, check_draws, observed_states, read_field


def site_probabilities(data, var_name=None, states=None):
    """Probability of each state at each site: its frequency in the draws.

    Parameters
    ----------
    data : DataTree, Dataset or DataArray
        Draws, or what :meth:`FieldAccumulator.dataset` returns.
    var_name : str, optional
        Name of the field; may be left out if it is the only discrete one.
    states : sequence of int, optional
        The states a site can take. By default -1, 1 for spins, otherwise 0, ..., the largest seen.

    Returns
    -------
    DataArray, dims (*sites, state)
        The name of the field is its attribute "field".

    Raises
    ------
    ValueError
        If the variable is not there or takes other values than ``states``.

    Examples
    --------
    >>> import xarray as xr
    >>> import pm_energy as pme
    >>> z = xr.DataArray([[[1, -1], [1, 1], [1, 1], [1, 1]]], dims=("chain", "draw", "site"))
    >>> pme.diagnostics.site_probabilities(z).sel(state=1).values
    array([1.  , 0.75])
    """
    if isinstance(data, xr.Dataset) and "probability" in data and var_name is None:
        return data["probability"]
    field, _ = read_field(data, var_name)
    states = observed_states(field) if states is None else tuple(int(k) for k in states)
    parts = [(field == k).mean(SAMPLE_DIMS) for k in states]
    out = xr.concat(parts, xr.IndexVariable("state", list(states)))
    # each site must be somewhere: a frequency missing from 1 is a state that was not listed
    if len(set(states)) < len(states) or (out.sum("state") < 1 - 1e-9).any():
        seen = np.unique(field.values).tolist()
        raise ValueError(
            f"states must list each state once, got {states}; the draws take {seen[:20]}"
        )
    return out.transpose(..., "state").rename("probability").assign_attrs(field=field.name)


def posterior_mode(data, var_name=None, states=None):
    """Most probable state of each site: the maximiser of the marginals, not of the joint posterior.

    It minimises the expected number of wrong sites [1]_. Of equally probable states the first is
    given.

    Parameters
    ----------
    data, var_name, states
        As for :func:`site_probabilities`.

    Returns
    -------
    DataArray, dims (*sites)

    References
    ----------
    .. [1] Marroquin, Mitter & Poggio (1987), Journal of the American Statistical Association 82,
       76-89.
    """
    p = site_probabilities(data, var_name, states)
    best = p.argmax("state")
    return best.copy(data=p["state"].values[best.values]).rename("mode")


def site_entropy(data, var_name=None, states=None):
    """Entropy of each site's marginal in nats, from 0 (certain) to log(q) (nothing is known).

    That of the observed frequencies, low by about (q - 1) / 2 over the effective number of draws.

    Parameters
    ----------
    data, var_name, states
        As for :func:`site_probabilities`.

    Returns
    -------
    DataArray, dims (*sites)
    """
    p = site_probabilities(data, var_name, states)
    return xr.apply_ufunc(entr, p).sum("state").rename("entropy")


def site_rhat(data, var_name=None):
    """R-hat of each site, for whole fields at once.

    Split R-hat of the indicator of each state, the largest over the states. For two states it
    equals ArviZ's rank-normalised R-hat, since ranks of two values are an affine map of them.

    Parameters
    ----------
    data, var_name
        As for :func:`site_probabilities`.

    Returns
    -------
    Dataset
        ``r_hat`` and ``frozen`` over the sites. A site with one value in all draws of all chains is
        frozen, and its R-hat NaN. One that is constant within chains but not between them has R-hat
        infinity.

    Raises
    ------
    ValueError
        If there are fewer than 4 draws a chain.

    References
    ----------
    .. [1] Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), Bayesian Analysis 16, 667-718.
    """
    field, _ = read_field(data, var_name)
    check_draws(field)
    states = observed_states(field)
    half = field.sizes["draw"] // 2
    halves = [field.isel(draw=slice(half)), field.isel(draw=slice(-half, None))]
    worst = -np.inf
    for k in states[1:] if len(states) == 2 else states:
        p = xr.concat([(part == k).mean("draw") for part in halves], "half")
        within = (p * (1 - p)).mean(("half", "chain")) * half / (half - 1)
        between = half * p.var(("half", "chain"), ddof=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            r_hat = np.sqrt((between / within + half - 1) / half)
        worst = np.fmax(worst, r_hat)  # NaN for a state that the site never enters, or never leaves
    frozen = field.max(SAMPLE_DIMS) == field.min(SAMPLE_DIMS)
    return xr.Dataset({"r_hat": worst.where(np.isfinite(worst) | (worst > 0)), "frozen": frozen})
