"""What population annealing did to its population: families, weights, moves."""

import numpy as np
import xarray as xr

from pm_energy.trust import tempered_group


def population_profile(data):
    r"""Families, weights and moves of population annealing, at each beta.

    Members descend from founders drawn at the base. With :math:`\nu_i` the fraction of the R
    members that descend from founder i, the effective number of families is

    .. math:: \frac{R}{\rho_t} = \frac{1}{\sum_i \nu_i^2}, \qquad
              \frac{R}{\rho_s} = e^{S_f} = \exp\Big(-\sum_i \nu_i \log \nu_i\Big),

    by the mean square family size :math:`\rho_t` or by the family entropy :math:`S_f`. Below about
    100 the population is too small [1]_.

    Parameters
    ----------
    data : DataTree or Dataset
        From ``pme.sample_population_annealing``, or its group "population".

    Returns
    -------
    Dataset
        ``beta`` (step); ``ess``, ``acceptance``, ``family_entropy``, ``rho_t``, ``log_z`` (chain,
        step) as recorded; ``families`` and ``entropic_families`` (chain, step), the two effective
        numbers above; ``family_share`` (chain, rank), the shares of the final population that
        descend from each surviving founder, from the largest on; ``largest_family`` (chain).

    Raises
    ------
    ValueError
        If there is no such group.

    References
    ----------
    .. [1] Wang, Machta & Katzgraber (2015), Physical Review E 92, 063307.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import pm_energy as pme
    >>> per_step = {name: (("chain", "step"), np.ones((1, 2))) for name in ("ess", "acceptance")}
    >>> run = xr.Dataset(
    ...     {
    ...         **per_step,
    ...         "beta": ("step", [0.0, 1.0]),
    ...         "log_z": (("chain", "step"), [[0.0, -3.0]]),
    ...         "rho_t": (("chain", "step"), [[1.0, 2.5]]),
    ...         "family_entropy": (("chain", "step"), [[np.log(4), 0.562]]),
    ...         "family": (("chain", "draw"), [[0, 3, 3, 3]]),
    ...     }
    ... )
    >>> seen = pme.diagnostics.population_profile(run)
    >>> seen["families"].values, seen["family_share"].values
    (array([[4. , 1.6]]), array([[0.75, 0.25]]))
    """
    group = tempered_group(data, "population")
    family = group["family"].values
    sizes = [np.sort(np.unique(row, return_counts=True)[1])[::-1] for row in family]
    share = np.zeros((len(family), max(map(len, sizes))))
    for row, own in zip(share, sizes, strict=True):
        row[: len(own)] = own / family.shape[1]
    share = xr.DataArray(share, dims=("chain", "rank"))
    names = ["beta", "ess", "acceptance", "family_entropy", "rho_t", "log_z"]
    return group[names].assign(
        families=family.shape[1] / group["rho_t"],
        entropic_families=np.exp(group["family_entropy"]),
        family_share=share,
        largest_family=share.isel(rank=0),
    )
