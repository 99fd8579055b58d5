"""Work of annealed importance sampling: what it says of the free energy, and how well."""

import numpy as np
import xarray as xr

from pm_energy.partition import ais, ais_bridge
from pm_energy.trust import tempered_group


def work_profile(data):
    r"""Work of runs between base and target, and how much of it was dissipated.

    The work W of a forward run is minus the log of its weight. Its mean is above the free-energy
    difference :math:`\Delta F = -\log(Z_1 / Z_0)`; that of runs from the target down, in the same
    sign, below it: the second law. The difference is dissipated, and shrinks as annealing is
    slower. Exactly [1]_ [2]_,

    .. math:: \langle e^{-W} \rangle_f = e^{-\Delta F} = 1 / \langle e^{W} \rangle_r, \qquad
              p_f(W) / p_r(W) = e^{W - \Delta F}.

    Parameters
    ----------
    data : DataTree or Dataset
        From ``pme.ais``, or its group "work".

    Returns
    -------
    Dataset
        Along ``direction``, "forward" and, if there are such runs, "reverse": number of ``runs``,
        ``mean_work`` and its ``mean_work_mcse``, ``dissipation``, and ``effective_runs``, the
        effective number of weights; ``free_energy``, :math:`\Delta F`, and its
        ``free_energy_mcse``. In nats.

    Raises
    ------
    ValueError
        If there is no such group, or works are NaN.

    References
    ----------
    .. [1] Jarzynski (1997), Physical Review Letters 78, 2690-2693.
    .. [2] Crooks (1999), Physical Review E 60, 2721-2726.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import pm_energy as pme
    >>> work = np.random.default_rng(0).normal(3.5, 1, size=5000)  # then Delta F is 3.5 - 1 / 2
    >>> run = xr.Dataset({"forward": ("particle", work)})
    >>> seen = pme.diagnostics.work_profile(run)
    >>> round(float(seen["free_energy"]), 1), seen["dissipation"].values.round(1)
    (3.0, array([0.5]))
    """
    group = tempered_group(data, "work")
    signs = {"forward": 1, "reverse": -1}
    works = {name: group[name].values for name in signs if name in group}
    forward = works["forward"]
    if "reverse" in works:
        exact = bool(group.attrs["reverse_exact"])
        best = ais_bridge(forward, works["reverse"], exact=exact)
    else:
        best = ais(forward)
    with np.errstate(invalid="ignore"):  # runs without weight have infinite work
        mcse = [w.std(ddof=1) / np.sqrt(w.size) for w in works.values()]
    columns = {
        "runs": [w.size for w in works.values()],
        "mean_work": [w.mean() for w in works.values()],
        "mean_work_mcse": mcse,
        "dissipation": [signs[name] * (w.mean() + best.value) for name, w in works.items()],
        "effective_runs": [_effective(-signs[name] * w) for name, w in works.items()],
    }
    return xr.Dataset(
        {name: ("direction", column) for name, column in columns.items()}
        | {"free_energy": -best.value, "free_energy_mcse": best.mcse},
        coords={"direction": list(works)},
    )


def _effective(log_weight):
    """Effective number of weights, (sum w)^2 / sum w^2."""
    weight = np.exp(log_weight - log_weight.max())
    return weight.sum() ** 2 / (weight**2).sum()
