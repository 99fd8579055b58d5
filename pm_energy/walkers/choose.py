"""Which road walkers take: the fastest one that the model allows."""

from pm_energy.walkers.spin_walkers import NotOneField, SpinWalkers
from pm_energy.walkers.step_walkers import StepWalkers


def make_walkers(path, size, step=None, *, tune=1000, draws=1000):
    """Return walkers for a path.

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
    """
    if step is not None:
        return StepWalkers(path, size, step, tune, draws)
    try:
        return SpinWalkers(path, size)
    except NotOneField:
        pass
    return StepWalkers(path, size, step, tune, draws)
