"""EnergyExchange: the parameters of a Boltzmann distribution, without its log Z."""

import logging
from dataclasses import field
from typing import ClassVar

import numpy as np
import pymc as pm
from pymc.step_methods.compound import BlockedStep, Competence, StepMethodState
from pymc.step_methods.state import dataclass_state
from pymc.util import get_random_generator, get_value_vars_from_user_vars
from pymc.vartypes import discrete_types

from pm_energy.random_variable import is_exchange_parameter
from pm_energy.step_methods.exchange_model import (
    ExchangeDensity,
    ExchangeField,
    exchange_fields,
    exchange_parameters,
)
from pm_energy.step_methods.shared import ProgressColumns
from pm_energy.validate import positive_int

_log = logging.getLogger("pymc").getChild("pm_energy")

FIRST_SCALE = 0.1  # of the random walk: grows within a few dozen moves where that is too small
INNER_SWEEPS = 1000


@dataclass_state
class EnergyExchangeState(StepMethodState):
    """What a run needs to be resumed, beside the point."""

    inner_sweeps: int = field(metadata={"frozen": True})
    moves_per_draw: int = field(metadata={"frozen": True})
    tune: bool
    n_tuned: int
    factor: np.ndarray


class EnergyExchange(ProgressColumns, BlockedStep):
    r"""The exchange algorithm for the parameters of :class:`~pm_energy.Boltzmann` variables.

    Assigned by itself to the parameters of variables with ``log_partition="exchange"``, all in one
    block. A random walk, in the unconstrained space, proposes :math:`\theta'`; a field y is drawn
    from the energy *at the proposal*; and log Z cancels from the ratio [1]_

    .. math::

        \frac{p(\theta') e^{-E(x; \theta')}}{p(\theta) e^{-E(x; \theta)}}
        \frac{e^{-E(y; \theta)}}{e^{-E(y; \theta')}}

    where :math:`p(\theta)` stands for all other factors of the model. With exact draws of y the
    posterior is exact. Which draws are, is logged, recorded as the statistic ``inner_exact``, and
    told in the guide; the bias of others is measured by :func:`~pm_energy.exchange_bias`. Scale and
    shape of the random walk are learned while tuning [2]_ and then frozen.

    Parameters
    ----------
    vars : list of variables, optional
        The parameters, all of them; found by default.
    inner_sweeps : int
        Gibbs sweeps for each y, where there are no exact draws.
    moves_per_draw : int
        Proposals between two draws.
    model, rng, initial_point
        As for PyMC's step methods.
    compile_kwargs : dict, optional
        Of these, ``mode`` is used.

    Raises
    ------
    ValueError
        If ``vars`` are not all the parameters, one of them is discrete, or the density without log
        Z is part of another factor, as in a mixture of fields or a tempered likelihood.

    Notes
    -----
    The noise of y costs half of the efficiency of a random walk with log Z known, and the best
    scale is smaller by the square root of two; the best acceptance rate is the same.

    References
    ----------
    .. [1] Murray, Ghahramani & MacKay (2006), Uncertainty in Artificial Intelligence 22, 359-366.
    .. [2] Vihola (2012), Statistics and Computing 22, 997-1008.

    Examples
    --------
    >>> import numpy as np, pymc as pm
    >>> import pm_energy as pme
    >>> with pm.Model():
    ...     J = pm.Normal("J", 0.0, 1.0)
    ...     energy = pme.Ising(graph=[[0, 1], [1, 2], [2, 0]], coupling=J)
    ...     x = pme.Boltzmann(
    ...         "x", energy, log_partition="exchange", observed=np.ones((10, 3))
    ...     )
    ...     trace = pm.sample(200, chains=1, random_seed=1, progressbar=False, quiet=True)
    >>> bool(trace["posterior"]["J"].mean() > 0.5)
    True
    """

    name = "energy_exchange"
    stats_dtypes_shapes: ClassVar[dict[str, tuple]] = {
        "exchange_accept": (np.float64, []),
        "exchange_scale": (np.float64, []),
        "inner_exact": (bool, []),
    }
    _columns: ClassVar = {
        "exchange_accept": ("Accept", "0.2f"),
        "exchange_scale": ("Scale", "0.2f"),
    }
    _state_class = EnergyExchangeState

    def __new__(cls, *args, **kwargs):
        """Take all parameters of the model, if none are named."""
        if not args and kwargs.get("vars") is None:
            model = pm.modelcontext(kwargs.get("model"))
            kwargs["vars"] = exchange_parameters(model)
            if not kwargs["vars"]:
                raise ValueError(
                    "there is nothing to exchange: no Boltzmann variable of the model has "
                    "log_partition='exchange' and a random parameter"
                )
        return super().__new__(cls, *args, **kwargs)

    def __init__(
        self,
        vars=None,
        *,
        inner_sweeps=INNER_SWEEPS,
        moves_per_draw=1,
        model=None,
        rng=None,
        initial_point=None,
        compile_kwargs=None,
        blocked=True,
    ):
        model = pm.modelcontext(model)
        self.inner_sweeps = positive_int("inner_sweeps", inner_sweeps)
        self.moves_per_draw = positive_int("moves_per_draw", moves_per_draw)
        self.rng = get_random_generator(rng)
        vars = exchange_parameters(model) if vars is None else vars
        self.vars = get_value_vars_from_user_vars(vars, model)
        fields = exchange_fields(model)
        self._check_vars(model, fields)
        mode = (compile_kwargs or {}).get("mode")
        read = model.replace_rvs_by_values
        self.fields = [ExchangeField(rv, model.rvs_to_values[rv], read, mode) for rv in fields]
        self.density = ExchangeDensity(model, self.vars, self.fields, mode)
        point = model.initial_point() if initial_point is None else initial_point
        self.shapes = [np.shape(point[v.name]) for v in self.vars]
        self.size = sum(int(np.prod(shape)) for shape in self.shapes)
        self.target = 0.44 if self.size == 1 else 0.3  # see the notes; flat around the optimum
        self.reset_tuning()
        # compile everything now: forked chains would each compile for themselves
        _, found = self.density(point)
        for f, (state, values) in zip(self.fields, found, strict=True):
            f.exchange(np.random.default_rng(0), state, values, values, 1)
            _log.info(
                f"EnergyExchange: inner draws of {f.name} are {f.draws.how(self.inner_sweeps)}"
            )

    def _check_vars(self, model, fields):
        names = [rv.name for rv in exchange_parameters(model)]
        got = [model.values_to_rvs[v].name for v in self.vars]
        if set(got) != set(names):
            raise ValueError(
                f"EnergyExchange must have exactly the parameters of {[rv.name for rv in fields]}, "
                f"that is {names}, and got {got}. No other step method can have one of them, as "
                "log Z depends on it; leave them to pm.sample"
            )
        discrete = [n for n in names if model[n].dtype in discrete_types]
        if discrete:
            raise ValueError(
                f"the parameters {discrete} are discrete, and EnergyExchange moves continuous ones "
                "only; sum them out of the model, or use log_partition='exact'"
            )

    def setup_chain(self, rng, tune, draws):
        """Take the chain's random generator, and forget what another chain has learned."""
        super().setup_chain(rng, tune, draws)
        self.reset_tuning()

    def reset_tuning(self):
        """Start the random walk anew."""
        self.tune, self.n_tuned = True, 0
        self.factor = FIRST_SCALE * np.eye(self.size)

    def step(self, point):
        """Make ``moves_per_draw`` proposals."""
        log_p, found = self.density(point)
        accepted, exact = 0.0, True
        for _ in range(self.moves_per_draw):
            direction = self.rng.normal(size=self.size)
            proposal = self._moved(point, self.factor @ direction)
            new_log_p, new_found = self.density(proposal)
            probability = 0.0
            if new_log_p > -np.inf and _are_finite(new_found):  # NaN is not
                log_ratio = new_log_p - log_p
                for f, (state, here), (_, there) in zip(self.fields, found, new_found, strict=True):
                    gain, is_exact = self._exchange(f, state, here, there)
                    log_ratio, exact = log_ratio + gain, exact and is_exact
                if not np.isnan(log_ratio):
                    probability = float(np.exp(min(log_ratio, 0.0)))
            if self.rng.random() < probability:
                point, log_p, found = proposal, new_log_p, new_found
            accepted += probability / self.moves_per_draw
            if self.tune:
                self._adapt(direction, probability)
        stats = {
            "exchange_accept": accepted,
            "exchange_scale": float(np.exp(np.log(np.diag(self.factor)).mean())),
            "inner_exact": exact,
        }
        return point, [stats]

    def _exchange(self, field, state, here, there):
        return field.exchange(self.rng, state, here, there, self.inner_sweeps)

    def _moved(self, point, shift):
        """A new point in the same order, which PyMC records by."""
        parts = np.split(shift, np.cumsum([np.prod(s, dtype=int) for s in self.shapes])[:-1])
        moved = {v.name: np.asarray(point[v.name] + part.reshape(shape), dtype=v.dtype)
                 for v, part, shape in zip(self.vars, parts, self.shapes, strict=True)}  # fmt: skip
        return {**point, **moved}

    def _adapt(self, direction, probability):
        """Stretch the walk along a direction that was accepted too often, or shrink it."""
        self.n_tuned += 1
        rate = min(1.0, self.size * self.n_tuned ** (-2 / 3))
        along = self.factor @ direction / np.linalg.norm(direction)
        covariance = self.factor @ self.factor.T
        covariance += rate * (probability - self.target) * np.outer(along, along)
        self.factor = np.linalg.cholesky(covariance)

    @staticmethod
    def competence(var, has_grad):
        """Ideal for the parameters of densities without log Z, incompatible with all others."""
        model = pm.Model.get_context(error_if_none=False)
        if model is None or var not in model.free_RVs:  # pm.sample(model=...) outside of it
            claimed = is_exchange_parameter(var)
        else:
            claimed = var in exchange_parameters(model)
        return Competence.IDEAL if claimed else Competence.INCOMPATIBLE


def _are_finite(found):
    return all(np.isfinite(v).all() for _, values in found for v in values)
