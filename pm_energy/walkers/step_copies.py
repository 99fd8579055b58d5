"""PyMC step methods for a tempered model: built once, one copy for each temperature."""

import importlib
import io

import cloudpickle
import pymc as pm
import pytensor
from pymc.sampling.mcmc import assign_step_methods, instantiate_steppers
from pymc.step_methods import CompoundStep
from pymc.step_methods.compound import BlockedStep
from pytensor.compile.executor import Function
from pytensor.graph.basic import Variable

from pm_energy.compile import CompiledFunction

SHARED = (Function, CompiledFunction, Variable, pm.Model)  # the same for all copies of a step


def build_step(model, step, initial_point):
    """Build a user's steps, or those that PyMC assigns, on a tempered model.

    Parameters
    ----------
    model : pymc.Model
        The tempered clone.
    step : None, step method, or sequence of step methods
        Made on the user's own model: each is built again, with the same arguments.
    initial_point : dict

    Returns
    -------
    BlockedStep or CompoundStep
    """
    importlib.import_module("pm_energy.step_methods")  # tells PyMC of EnergyGibbs

    given = [] if step is None else _flat(step)
    # no fast-math: with it, what another process compiles differs in the last bits
    with model, pytensor.config.change_flags(numba__fastmath=False):
        provided, selected = assign_step_methods(model, [_rebuilt(s, model) for s in given])
        steps = instantiate_steppers(model, provided, selected, initial_point=initial_point)
    return CompoundStep(steps) if isinstance(steps, list) else steps


def _flat(step):
    """Single step methods in a step, a compound of them or a sequence."""
    if isinstance(step, CompoundStep):
        return [inner for method in step.methods for inner in _flat(method)]
    if isinstance(step, BlockedStep):
        return [step]
    if isinstance(step, list | tuple):
        return [inner for one in step for inner in _flat(one)]
    raise ValueError(f"step must be a PyMC step method or a list of them, got {step!r}")


def _rebuilt(step, model):
    """The same step method on the variables of the same names in another model."""
    (_, *args), kwargs = step.__getnewargs_ex__()
    here = {value.name: value for value in model.value_vars}
    missing = [v.name for v in step.vars if v.name not in here]
    if missing:
        raise ValueError(f"step {step.name} samples {missing}, which are not in the model")
    bound = ("model", "initial_point", "logp_dlogp_func", "rng", "vars")
    kwargs = {key: value for key, value in kwargs.items() if key not in bound}
    return type(step)([here[v.name] for v in step.vars], *args, model=model, **kwargs)


class _Pickler(cloudpickle.CloudPickler):
    def __init__(self, file):
        super().__init__(file)
        self.shared = {}

    def persistent_id(self, obj):
        if isinstance(obj, SHARED):
            self.shared[id(obj)] = obj
            return id(obj)
        return None


def copy_step(step):
    """Copy all of a step that sampling changes; compiled functions are shared.

    Examples
    --------
    >>> import pymc as pm
    >>> from pm_energy.walkers.step_copies import copy_step
    >>> with pm.Model():
    ...     x = pm.Normal("x")
    ...     step = pm.Metropolis()
    >>> other = copy_step(step)
    >>> other is step, other.delta_logp is step.delta_logp
    (False, True)
    """
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(step)
    file.seek(0)
    unpickler = _Unpickler(file)
    unpickler.shared = pickler.shared
    return unpickler.load()


class _Unpickler(cloudpickle.pickle.Unpickler):
    shared: dict

    def persistent_load(self, pid):
        return self.shared[pid]
