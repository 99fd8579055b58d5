"""The numbers to look at first after a tempered run."""

import numpy as np
import xarray as xr

from pm_energy.diagnostics.population import population_profile
from pm_energy.diagnostics.tempering import ladder_profile, level_visits, round_trips
from pm_energy.diagnostics.work import work_profile
from pm_energy.partition import log_evidence
from pm_energy.trust import groups_of


def tempering_summary(data):
    """Table of the numbers to look at first after a tempered run.

    What they should be is told by :func:`check_tempering`, in words.

    Parameters
    ----------
    data : DataTree
        As a tempering driver returns it.

    Returns
    -------
    Dataset
        Over ``chain``, or ``direction`` for annealed importance sampling, so that
        ``.to_dataframe()`` is a table; with scalars ``log_z`` and ``log_z_mcse``, the best estimate
        from all chains. For

        parallel tempering
            number of ``levels``, total ``barrier``, ``min_acceptance`` of swaps, ``round_trips``,
            the ``bound`` that swaps set on their rate, ``efficiency`` (seen over bound);
        simulated tempering
            ``levels``, ``min_share`` of visits, ``round_trips``;
        population annealing
            ``members``, ``steps``, ``min_ess``, ``min_acceptance``, effective number of
            ``families``, ``largest_family``;
        annealed importance sampling
            what :func:`work_profile` returns.

    Raises
    ------
    ValueError
        If there is no group of any tempering driver, or its draws allow no estimate of log Z.

    Warns
    -----
    EvidenceWarning
        For each reason not to trust log Z.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import pm_energy as pme
    >>> rng = np.random.default_rng(0)
    >>> run = xr.Dataset(
    ...     {
    ...         "beta": (("chain", "level"), [[0.0, 1.0]]),
    ...         "swap_acceptance": (("chain", "pair"), [[0.8]]),
    ...         "replica": (("chain", "draw", "level"), np.tile([[0, 1], [1, 0]], (1, 50, 1))),
    ...         "log_ratio": (("chain", "draw", "level"), rng.normal([0, 1], size=(1, 100, 2))),
    ...     },
    ...     attrs={"log_z_base": 0.0},
    ... )
    >>> table = pme.diagnostics.tempering_summary(xr.DataTree.from_dict({"tempering": run}))
    >>> table["round_trips"].values, table["barrier"].values.round(2)
    (array([98]), array([0.2]))
    """
    tables = {
        "tempering": _ladder_table,
        "simulated_tempering": _level_table,
        "population": _population_table,
        "work": work_profile,
    }
    name = groups_of(data)[0]
    best = log_evidence(data)
    return tables[name](data).assign(log_z=best.value, log_z_mcse=best.mcse)


def _ladder_table(data):
    profile, trips = ladder_profile(data), round_trips(data)
    table = xr.Dataset(
        {
            "levels": xr.full_like(trips["rate"], profile.sizes["level"], dtype=int),
            "barrier": profile["total_barrier"],
            "min_acceptance": profile["swap_acceptance"].min("pair"),
            "round_trips": trips["count"].sum("replica"),
            "bound": trips["rate_bound"],
        }
    )
    return table.assign(efficiency=trips["rate"] / table["bound"])


def _level_table(data):
    visits = level_visits(data)
    n = visits.sizes["at_level"]
    return xr.Dataset(
        {
            "levels": ("chain", np.full(visits.sizes["chain"], n)),
            "min_share": visits["share"].min("at_level"),
            "round_trips": visits["completed"].isel(iteration=-1, drop=True),
        }
    )


def _population_table(data):
    profile = population_profile(data)
    moved = profile.isel(step=slice(1, None))  # nothing leads to beta = 0
    chains, steps = profile.sizes["chain"], moved.sizes["step"]
    return xr.Dataset(
        {
            "members": ("chain", np.full(chains, data["population"].sizes["draw"])),
            "steps": ("chain", np.full(chains, steps)),
            "min_ess": moved["ess"].min("step"),
            "min_acceptance": moved["acceptance"].min("step"),
            "families": profile["families"].isel(step=-1, drop=True),
            "largest_family": profile["largest_family"],
        }
    )
