"""The second law of thermodynamics, as a test of annealing runs."""

import numpy as np
import xarray as xr

from pm_energy.partition.errors import mcse_of_mean
from pm_energy.partition.groups import Works, read_run

CLEAR = 4.0  # errors below zero


def second_law(dt):
    r"""Check that annealing dissipates work in both directions.

    .. math:: \langle W \rangle_{forward} \ge \Delta F \ge \langle W \rangle_{reverse}, \qquad
              \Delta F = -\log(Z_1 / Z_0)

    A dissipation below zero tells of moves that do not leave their density invariant, or of reverse
    runs that did not start in the target.

    Parameters
    ----------
    dt : DataTree
        With a group "work" that has forward and reverse works.

    Returns
    -------
    Dataset
        ``mean_work`` and ``dissipation`` (:math:`\pm` its distance to :math:`\Delta F`) with their
        errors, over ``direction`` ("forward", "reverse"); ``free_energy``, :math:`\Delta F` by the
        acceptance ratio, with its error; ``holds``, whether no dissipation is more than 4 errors
        below zero.

    Raises
    ------
    ValueError
        If there are no reverse works: forward ones alone cannot break the law.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from pm_energy.partition import second_law
    >>> rng = np.random.default_rng(0)
    >>> works = {
    ...     "forward": ("particle", rng.normal(3, 1, 2000)),
    ...     "reverse": ("particle_reverse", rng.normal(2, 1, 2000)),
    ... }
    >>> attrs = {"log_z_base": 0.0, "reverse_exact": 1}
    >>> law = second_law(xr.DataTree.from_dict({"work": xr.Dataset(works, attrs=attrs)}))
    >>> law["dissipation"].round(1).values.tolist(), bool(law["holds"])
    ([0.5, 0.5], True)
    """
    run, _ = read_run(dt)
    if not isinstance(run, Works) or run.reverse is None:
        raise ValueError(
            "the second law is tested by works in both directions: run pme.ais with reverse runs"
        )
    bridge = run.estimators()["bridge"]()
    works = (run.forward, run.reverse)
    mean = np.array([work.mean() for work in works])
    # the free energy is from the same runs: its shares are those of log Z with the other sign
    series = [
        work.reshape(share.shape) - work.mean()
        for work, share in zip(works, bridge.shares, strict=True)
    ]
    up = [series[0] + bridge.shares[0], bridge.shares[1]]
    down = [bridge.shares[0], series[1] + bridge.shares[1]]
    dissipation = np.array([mean[0] + bridge.value, -bridge.value - mean[1]])
    error = np.array([np.hypot(*[mcse_of_mean(part) for part in parts]) for parts in (up, down)])
    return xr.Dataset(
        {
            "mean_work": ("direction", mean),
            "mean_work_mcse": ("direction", [mcse_of_mean(part) for part in series]),
            "dissipation": ("direction", dissipation),
            "dissipation_mcse": ("direction", error),
            "free_energy": -bridge.value,
            "free_energy_mcse": bridge.mcse,
            "holds": bool((dissipation >= -CLEAR * error).all()),
        },
        coords={"direction": ["forward", "reverse"]},
    )
