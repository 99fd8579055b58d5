"""Log evidence of whatever a tempering driver returned."""

import warnings

import numpy as np
import xarray as xr

from pm_energy.partition.checks import reasons
from pm_energy.partition.groups import all_estimates, read_run
from pm_energy.partition.result import EvidenceWarning

COLUMNS = ("value", "mcse", "lower", "upper")


def log_evidence(dt, method="auto"):
    """Log evidence of a tempered model, or log Z of a tempered energy, with its error.

    Parameters
    ----------
    dt : DataTree
        From a tempering driver: with a group "tempering", "simulated_tempering", "population" or
        "work", the first of them that is there.
    method : str
        "auto" is the first of those that the group allows:

        - tempering: "mbar", "bridge", "stepping-stone", "stepping-stone-forward",
          "stepping-stone-backward", "thermodynamic-integration";
        - simulated_tempering: "mbar", "rao-blackwell";
        - population: "population-annealing", "thermodynamic-integration";
        - work: "bridge" (needs reverse runs), "ais", "ais-reverse".

    Returns
    -------
    LogPartition
        The log evidence if the base is a proper prior, log Z if it is the uniform distribution of
        an energy.

    Raises
    ------
    ValueError
        If there is no such group or method, or a log-ratio is NaN; says what to do.

    Warns
    -----
    EvidenceWarning
        For each reason not to trust it; see :func:`check_evidence`.

    Examples
    --------
    A standard normal base and a likelihood exp(-x^2 / 2), so that log Z is -log(2) / 2:

    >>> import numpy as np, xarray as xr
    >>> from pm_energy.partition import log_evidence
    >>> rng, beta = np.random.default_rng(0), np.array([0.0, 0.3, 1.0])
    >>> x = rng.normal(size=(4, 500, 3)) / np.sqrt(1 + beta)
    >>> draws = ("chain", "draw", "level")
    >>> group = xr.Dataset(
    ...     {
    ...         "log_ratio": (draws, -(x**2) / 2),
    ...         "replica": (draws, rng.permuted(np.broadcast_to(range(3), x.shape), axis=-1)),
    ...         "beta": (("chain", "level"), np.tile(beta, (4, 1))),
    ...     },
    ...     attrs={"log_z_base": 0.0},
    ... )
    >>> print(log_evidence(xr.DataTree.from_dict({"tempering": group})))
    -0.3449 ± 0.0058 (mbar)
    """
    run, log_z_base = read_run(dt)
    names = list(run.estimators())
    method = names[0] if method == "auto" else method
    if method not in names:
        raise ValueError(f"method must be 'auto' or one of {names} for these draws, got {method!r}")
    asked = run.estimators()[method]()
    _warn(reasons(run, all_estimates(run)))
    return asked.log_partition(log_z_base)


def evidence_table(dt):
    """Compare all estimates of log Z that the draws allow.

    Parameters
    ----------
    dt : DataTree
        From a tempering driver, as for :func:`log_evidence`.

    Returns
    -------
    Dataset
        ``value``, ``mcse``, ``lower``, ``upper`` over ``estimator``, as in
        ``table.sel(estimator="mbar")``. They come from the same draws, so they may agree and all
        be wrong.

    Warns
    -----
    EvidenceWarning
        As :func:`log_evidence`.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from pm_energy.partition import evidence_table
    >>> rng = np.random.default_rng(0)
    >>> works = {
    ...     "forward": ("particle", rng.normal(3, 1, 2000)),
    ...     "reverse": ("particle_reverse", rng.normal(2, 1, 2000)),
    ... }
    >>> attrs = {"log_z_base": 0.0, "reverse_exact": 1}
    >>> dt = xr.DataTree.from_dict({"work": xr.Dataset(works, attrs=attrs)})
    >>> table = evidence_table(dt)
    >>> table["estimator"].values.tolist()
    ['bridge', 'ais', 'ais-reverse']
    >>> table["value"].round(2).values.tolist()
    [-2.48, -2.46, -2.5]
    """
    run, log_z_base = read_run(dt)
    estimates = all_estimates(run)
    _warn(reasons(run, estimates))
    rows = [estimate.log_partition(log_z_base) for estimate in estimates.values()]
    return xr.Dataset(
        {name: ("estimator", np.array([getattr(row, name) for row in rows])) for name in COLUMNS},
        coords={"estimator": list(estimates)},
        attrs={"log_z_base": log_z_base},
    )


def _warn(texts):
    for text in texts:
        warnings.warn(text, EvidenceWarning, stacklevel=3)
