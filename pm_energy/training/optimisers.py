"""Optimisers by name, PyMC's among them, and what runs them on arrays.

An optimiser follows PyMC's convention: a callable ``(loss_or_grads, params) -> updates`` that gives
each shared variable, a parameter or the optimiser's own, its next value as a PyTensor expression.
So what is made here works in ``pm.fit`` as well, and what PyMC has works here.
"""

import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytensor
import pytensor.tensor as pt
from pymc.variational import updates as pymc_updates
from pytensor import In, Out
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorConstant

from pm_energy.compile import compile_function
from pm_energy.training.adamw import adamw
from pm_energy.training.schedules import Schedule
from pm_energy.validate import positive

OPTIMISERS = {
    "sgd": pymc_updates.sgd,
    "momentum": pymc_updates.momentum,
    "nesterov": pymc_updates.nesterov_momentum,
    "adagrad": pymc_updates.adagrad,
    "adagrad_window": pymc_updates.adagrad_window,
    "rmsprop": pymc_updates.rmsprop,
    "adadelta": pymc_updates.adadelta,
    "adam": pymc_updates.adam,
    "adamax": pymc_updates.adamax,
    "adamw": adamw,
}


REMEMBERED = 32  # functions


class _Memory(threading.local):
    """Compiled optimisers: of each thread its own, as functions of PyTensor must not be shared."""

    def __init__(self):
        self.functions = {}


_memory = _Memory()


def make_optimiser(optimiser, learning_rate=None, max_norm=None, **options):
    """Return an optimiser with its settings.

    Parameters
    ----------
    optimiser : str or callable
        "sgd", "momentum", "nesterov", "adagrad", "adagrad_window", "rmsprop", "adadelta", "adam",
        "adamax" (of PyMC), "adamw"; or a callable ``(loss_or_grads, params) -> updates``.
    learning_rate : float, scalar variable or Schedule, optional
        The optimiser's own by default. A schedule counts the steps in a shared variable, which the
        updates advance.
    max_norm : float, optional
        A gradient of a larger norm, of all parameters together, is scaled down to it.
    **options
        What else the optimiser takes.

    Returns
    -------
    Optimiser
        Callable ``(loss_or_grads, params) -> updates``.

    Raises
    ------
    ValueError
        If there is no such optimiser or option, or a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.optimisers import Updates, make_optimiser
    >>> from pm_energy.training.schedules import Inverse
    >>> theta = {"bias": np.zeros(2)}
    >>> updates = Updates(make_optimiser("sgd", Inverse(1.0, delay=1)), theta)
    >>> for _ in range(3):
    ...     theta = updates(theta, {"bias": np.array([-6.0, 0.0])})
    >>> theta
    {'bias': array([11.,  0.])}
    """
    if isinstance(optimiser, str):
        if optimiser not in OPTIMISERS:
            raise ValueError(
                f"optimiser must be one of {', '.join(OPTIMISERS)} or a callable, got {optimiser!r}"
            )
        function = OPTIMISERS[optimiser]
    elif callable(optimiser):
        function = optimiser
    else:
        raise ValueError(f"optimiser must be a name or a callable, got {optimiser!r}")
    if learning_rate is not None:
        if not isinstance(learning_rate, Schedule):
            positive("learning_rate", learning_rate)
        options["learning_rate"] = learning_rate
    if max_norm is not None:
        positive("max_norm", max_norm)
    try:
        inspect.signature(function).bind([], [], **options)
    except TypeError as error:
        raise ValueError(f"the optimiser {optimiser!r} does not take this: {error}") from None
    return Optimiser(function, max_norm, options)


@dataclass(frozen=True)
class Optimiser:
    """A function in PyMC's convention with its settings; made by :func:`make_optimiser`."""

    function: Callable
    max_norm: float | None = None
    options: dict = field(default_factory=dict)

    def __call__(self, loss_or_grads, params):
        """Return the next value of each shared variable."""
        options = dict(self.options)
        dtype = params[0].dtype
        with _literals_of(dtype):
            step = None
            if isinstance(options.get("learning_rate"), Schedule):
                step = pytensor.shared(np.array(0), name="step")
                rate = options["learning_rate"](step.astype("float64"))
                options["learning_rate"] = pt.as_tensor(rate).astype(dtype)
            if self.max_norm is not None:
                gradients = pymc_updates.get_or_compute_grads(loss_or_grads, params)
                loss_or_grads = pymc_updates.total_norm_constraint(gradients, self.max_norm)
            updates = self.function(loss_or_grads, params, **options)
            if step is not None:
                updates[step] = step + 1
        return updates


class Updates:
    """An optimiser that runs on dicts of arrays.

    Compiled by numba in well under a second, and from then on kept on disk: numbers such as the
    learning rate are arguments of the machine code, so that one code serves all of them.

    Parameters
    ----------
    optimiser : str or callable
        A name, what :func:`make_optimiser` returns, or one of PyMC's.
    theta : dict of str to array
        Parameters of one float dtype, which is kept.

    Raises
    ------
    ValueError
        If the parameters are not arrays of one float dtype.

    Examples
    --------
    >>> import numpy as np
    >>> import pymc as pm
    >>> from pm_energy.training.optimisers import Updates
    >>> theta = {"bias": np.array([1.0, 2.0], dtype="float32")}
    >>> updates = Updates(pm.sgd(learning_rate=0.5), theta)
    >>> updates(theta, {"bias": np.array([1.0, -1.0], dtype="float32")})
    {'bias': array([0.5, 2.5], dtype=float32)}
    """

    def __init__(self, optimiser, theta):
        self.optimiser = make_optimiser(optimiser) if isinstance(optimiser, str) else optimiser
        self._like = {name: (np.shape(value), _dtype(value)) for name, value in theta.items()}
        dtypes = {dtype for _, dtype in self._like.values()}
        if len(dtypes) != 1 or next(iter(dtypes)).kind != "f":
            found = {name: str(dtype) for name, (_, dtype) in self._like.items()}
            raise ValueError(f"theta must be arrays of one float dtype, got {found}")
        self._dtype = dtypes.pop()
        params = [
            # of no fixed shape, so that one machine code serves all shapes
            pytensor.shared(
                np.asarray(value), name=name, shape=(None,) * np.ndim(value), borrow=True
            )
            for name, value in theta.items()
        ]
        self._function, slots, self._numbers = _known(self.optimiser, params)
        self._slots = [np.array(slot) for slot in slots]  # which steps overwrite

    def __call__(self, theta, gradient):
        """Return the parameters after one step; the ones given stay as they are.

        Parameters
        ----------
        theta, gradient : dict of str to array
            With the names and shapes of the parameters.
        """
        out = self._function(
            *self._arrays("theta", theta),
            *self._arrays("gradient", gradient),
            *self._numbers,
            *self._slots,
        )
        n = len(self._like)
        self._slots = out[n:]
        return dict(zip(self._like, out[:n], strict=True))

    def state(self):
        """Copy of the optimiser's own numbers: averages, velocities, step counters."""
        return {f"slot_{i}": np.array(slot) for i, slot in enumerate(self._slots)}

    def restore(self, state):
        """Go on from what :meth:`state` returned.

        Raises
        ------
        ValueError
            If it is the state of another optimiser or of other parameters.
        """
        wanted = {name: (slot.shape, slot.dtype) for name, slot in self.state().items()}
        found = {name: (np.shape(slot), _dtype(slot)) for name, slot in state.items()}
        if wanted != found:
            raise ValueError(
                f"state must be that of the same optimiser on parameters of the same shapes: "
                f"{len(wanted)} arrays {list(wanted.values())}, got {list(found.values())}"
            )
        self._slots = [np.array(state[name]) for name in wanted]

    def __getstate__(self):
        return {"optimiser": self.optimiser, "like": self._like, "state": self.state()}

    def __setstate__(self, saved):
        theta = {name: np.zeros(shape, dtype) for name, (shape, dtype) in saved["like"].items()}
        Updates.__init__(self, saved["optimiser"], theta)
        self.restore(saved["state"])

    def _arrays(self, title, named):
        if named.keys() != self._like.keys():
            raise ValueError(f"{title} must have the names {list(self._like)}, got {list(named)}")
        for name, (shape, _) in self._like.items():
            x = named[name]
            if np.shape(x) != shape:
                raise ValueError(f"{title}[{name!r}] must have shape {shape}, got {np.shape(x)}")
            if not isinstance(x, np.ndarray) or x.dtype != self._dtype or not x.flags.carray:
                x = np.require(x, self._dtype, "CAW")  # another layout would be compiled anew
            yield x


def _known(optimiser, params):
    """As :func:`_compiled`, from memory if this thread has had it of such parameters before.

    To build the graph and find its machine code on disk takes a tenth of a second, which folds of a
    cross-validation would each wait for.
    """
    if not isinstance(optimiser, Optimiser):
        return _compiled(optimiser, params)  # may be anything
    shapes = tuple((p.name, p.dtype, p.get_value(borrow=True).shape) for p in params)
    options = tuple(sorted(optimiser.options.items()))
    key = optimiser.function, optimiser.max_norm, options, shapes
    try:
        hash(key)
    except TypeError:
        return _compiled(optimiser, params)
    known = _memory.functions
    if key not in known:
        if len(known) >= REMEMBERED:
            del known[next(iter(known))]
        known[key] = _compiled(optimiser, params)
    return known[key]


def _compiled(optimiser, params):
    """A function of parameters, gradients, numbers and slots, the last of which it overwrites."""
    gradients = [param.type() for param in params]
    with _literals_of(params[0].dtype):
        updates = optimiser(gradients, params)
    slots = [variable for variable in updates if variable not in params]
    nexts = [updates.get(variable, variable).astype(variable.dtype) for variable in params + slots]
    constants = [v for v in ancestors(nexts) if isinstance(v, TensorConstant)]
    numbers = [v for v in constants if v.ndim == 0 and v.dtype.startswith("float")]
    inputs = {variable: variable.type() for variable in params + slots + numbers}
    outputs = clone_replace(nexts, inputs)
    function = compile_function(
        [inputs[param] for param in params]
        + gradients
        + [inputs[number] for number in numbers]
        + [In(inputs[slot], mutable=True, borrow=True) for slot in slots],
        [Out(output, borrow=True) for output in outputs],
        mode="NUMBA",
    )
    values = [slot.get_value() for slot in slots]
    return function, values, [np.array(number.data) for number in numbers]


def _literals_of(dtype):
    """Context in which Python's floats do not upcast float32 to float64."""
    return pytensor.config.change_flags(floatX=str(dtype))


def _dtype(value):
    return np.asarray(value).dtype
