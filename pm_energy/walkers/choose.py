"""Which road walkers take: the fastest one that the model allows."""

import logging

from pm_energy.compile import NotNative
from pm_energy.random_variable import EnergyRV, leaves_out_log_z
from pm_energy.walkers.compiled_walkers import CompiledWalkers
from pm_energy.walkers.spin_walkers import NotOneField, SpinWalkers
from pm_energy.walkers.step_walkers import StepWalkers

_log = logging.getLogger("pymc").getChild("pm_energy")


def make_walkers(path, size, step=None, *, tune=1000, draws=1000):
    """Return walkers for a path, and log the road that they take.

    Parameters
    ----------
    path : Path
    size : int
    step : None, step method, or sequence of step methods
        If given, the walkers move by PyMC's step methods.
    tune, draws : int
        How many moves each level makes while tuning and after.

    Returns
    -------
    Walkers
        Of a discrete field alone, or of continuous variables, moved by kernels of ours; of anything
        else by PyMC's steps.
    """
    reasons = []
    if step is None and not _has_exchange(path.model):
        for road, refusal in ((SpinWalkers, NotOneField), (CompiledWalkers, NotNative)):
            try:
                walkers = road(path, size)
            except refusal as why:
                reasons.append(str(why))
            else:
                _log.info(f"road: {walkers.road}")
                return walkers
    walkers = StepWalkers(path, size, step, tune, draws)
    _log.info("; ".join([f"road: {walkers.road}", *reasons]))
    return walkers


def _has_exchange(model):
    """Whether log Z is missing from the density, which only its own step method knows."""
    ops = [rv.owner.op for rv in model.free_RVs]
    return any(isinstance(op, EnergyRV) and leaves_out_log_z(op) for op in ops)
