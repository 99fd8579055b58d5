"""The Metropolis-adjusted Langevin algorithm as a PyMC step method."""

from typing import ClassVar

import numpy as np
from pymc.model import modelcontext
from pymc.step_methods.compound import BlockedStep, Competence, StepMethodState
from pymc.step_methods.state import dataclass_state
from pymc.util import get_random_generator, get_value_vars_from_user_vars
from pytensor.gradient import NullTypeGradError, grad
from pytensor.graph.utils import MethodNotDefined

from pm_energy.compile import compile_function
from pm_energy.kernels.langevin import ADJUSTED, Chains, langevin_moves
from pm_energy.step_methods.shared import ProgressColumns
from pm_energy.validate import numeric_array, positive_int


@dataclass_state
class MALAState(StepMethodState):
    """What a run needs to be resumed, beside the point."""

    tuning: np.ndarray
    tune: bool


class MALA(ProgressColumns, BlockedStep):
    r"""Metropolis-adjusted Langevin moves of continuous variables of any model.

    A move from x goes to

    .. math:: x' = x + \tfrac{h^2}{2} \nabla \log p(x) + h z

    with normal noise z, and is taken or rejected by a Metropolis test that knows of the drift
    [1]_: the posterior is left invariant, whatever the step size h. That is tuned while a chain
    tunes, to the acceptance at which moves are most efficient in many dimensions [2]_, and frozen
    then. The drift of a coordinate is cut where it is four times as long as the noise.

    All variables share one step size, so the narrowest sets the pace: bring variables to like
    scales. NUTS, which learns scales, is the better choice for most models; this step is for
    gradients that cost so much, or are so rough, that long trajectories do not pay. It is never
    assigned by itself.

    Parameters
    ----------
    vars : list of variables, optional
        All continuous variables of the model.
    step_size : float, optional
        h to begin with, on the scale of the unconstrained variables; fixed, if chains do not tune.
    target_accept : float
        That h is tuned to.
    moves_per_draw : int
        k moves take k + 1 gradients.
    model, rng, initial_point, compile_kwargs
        As for PyMC's step methods.

    Raises
    ------
    ValueError
        If a variable is discrete or has no gradient, or an argument is out of range.

    References
    ----------
    .. [1] Roberts & Tweedie (1996), Bernoulli 2, 341-363.
    .. [2] Roberts & Rosenthal (1998), Journal of the Royal Statistical Society B 60, 255-268.

    Examples
    --------
    >>> import pymc as pm
    >>> from pm_energy.step_methods.langevin import MALA
    >>> with pm.Model():
    ...     x = pm.Normal("x", 0, 1, shape=3)
    ...     y = pm.Normal("y", x, 1, observed=[3.0, 0.0, -3.0])
    ...     trace = pm.sample(
    ...         2000, tune=500, step=MALA(), chains=2, cores=1, random_seed=1, progressbar=False,
    ...         quiet=True,
    ...     )
    >>> bool(abs(trace["posterior"]["x"][..., 0].mean() - 1.5) < 0.1)
    True
    """

    name = "mala"
    _state_class = MALAState
    stats_dtypes_shapes: ClassVar[dict[str, tuple]] = {
        "acceptance_rate": (np.float64, []),
        "step_size": (np.float64, []),
        "tune": (bool, []),
    }
    _columns: ClassVar = {
        "acceptance_rate": ("Acceptance", "0.2f"),
        "step_size": ("Step size", "0.2f"),
    }

    def __init__(
        self,
        vars=None,
        *,
        step_size=None,
        target_accept=0.574,
        moves_per_draw=1,
        model=None,
        rng=None,
        initial_point=None,
        compile_kwargs=None,
        blocked=True,
    ):
        model = modelcontext(model)
        chosen = model.continuous_value_vars if vars is None else vars
        self.vars = get_value_vars_from_user_vars(chosen, model)
        discrete = [v.name for v in self.vars if v not in model.continuous_value_vars]
        if discrete or not self.vars:
            raise ValueError(f"MALA needs continuous variables, got {discrete or 'none'}")
        self.moves_per_draw = positive_int("moves_per_draw", moves_per_draw)
        self.target_accept = _between("target_accept", target_accept, 1.0)
        self.rng = get_random_generator(rng)
        point = model.initial_point() if initial_point is None else initial_point
        n = sum(np.size(point[v.name]) for v in self.vars)
        first = n ** (-1 / 6) if step_size is None else _between("step_size", step_size, np.inf)
        self.first_step, self.tune = first, True
        self.tuning = np.array([first, 0.0, self.target_accept])
        self._density = _ModelDensity(model, self.vars, (compile_kwargs or {}).get("mode"))
        rng = np.random.default_rng(0)  # compile now: forked chains would each do it for themselves
        self._move(point, rng, self.tuning.copy())

    @property
    def step_size(self):
        """The step size h of the next move."""
        return float(self.tuning[0])

    def setup_chain(self, rng, tune, draws):
        """Take the chain's random generator, and tuning back to its beginning."""
        super().setup_chain(rng, tune, draws)
        self.tune = bool(tune)
        self.tuning = np.array([self.first_step, 0.0, self.target_accept if tune else 0.0])

    def stop_tuning(self):
        """Freeze the step size."""
        self.tune = False
        self.tuning[2] = 0.0

    def step(self, point):
        """Make ``moves_per_draw`` moves."""
        tuning = self.tune
        new, acceptance = self._move(point, self.rng, self.tuning)
        stats = {"acceptance_rate": acceptance, "step_size": self.step_size, "tune": tuning}
        return {**point, **new}, [stats]  # in the order of the point, which PyMC records by

    def _move(self, point, rng, tuning):
        """Return the new values of the variables, and the mean acceptance probability."""
        self._density.point = point
        x = np.concatenate([np.ravel(point[v.name]) for v in self.vars]).astype(float)[:, None]
        chains = Chains(x, np.zeros_like(x), tuning)
        _, acceptance = langevin_moves(
            rng, self._density, chains, ADJUSTED, 1.0, 1.0, 1, self.moves_per_draw
        )
        return self._density.values(x), float(acceptance[0, 0])

    @staticmethod
    def competence(var, has_grad):
        """Incompatible: it is assigned by hand."""
        return Competence.INCOMPATIBLE


def _between(name, value, most):
    number = numeric_array(name, value)
    if number.ndim or not 0 < number < most:
        raise ValueError(f"{name} must be a number between 0 and {most:g}, got {value!r}")
    return float(number)


class _ModelDensity:
    """Score and log-density of a model in some of its variables, the others as in ``point``."""

    address = None  # no native code: other variables come in, and shared data may change

    def __init__(self, model, variables, mode):
        self._names = [v.name for v in model.value_vars]
        self._vars, self.point = variables, None
        try:
            log_p = model.logp()
            outputs = [log_p, *grad(log_p, variables, disconnected_inputs="ignore")]
        except (NullTypeGradError, NotImplementedError, MethodNotDefined) as error:
            raise ValueError(f"MALA needs a gradient in {variables}: {error}") from error
        self._function = compile_function(model.value_vars, outputs, mode)

    def __call__(self, x, beta):
        """Evaluate at x, shape (n, 1)."""
        point = {**self.point, **self.values(x)}
        log_p, *slopes = self._function(*[point[name] for name in self._names])
        score = np.concatenate([np.ravel(slope) for slope in slopes])
        return beta * score[:, None].astype(float), beta * np.atleast_1d(log_p).astype(float)

    def values(self, x):
        """Return x, shape (n, 1), as values of the variables."""
        end, values = 0, {}
        for v in self._vars:
            now = np.asarray(self.point[v.name])
            start, end = end, end + now.size
            values[v.name] = x[start:end, 0].reshape(now.shape).astype(v.dtype)
        return values
