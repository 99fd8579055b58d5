"""Walkers moved by PyMC step methods: any model, any steps; one step object for each level."""

import numpy as np
from pymc.step_methods import CompoundStep

from pm_energy.compile import compile_function
from pm_energy.walkers.base import Walkers, checked_log_ratio
from pm_energy.walkers.step_copies import build_step, copy_step

SPARE_DRAWS = 64  # of the base are made at once
ACCEPTANCE = ("mean_tree_accept", "accept", "flip_rate")  # in the statistics of PyMC's steps


class StepWalkers(Walkers):
    """States of a PyMC model, moved by the steps that PyMC assigns or that are given.

    Parameters
    ----------
    path : Path
    size : int
    step : None, step method, or sequence of step methods
        As for :func:`pymc.sample`, made on the user's model.
    tune, draws : int
        How many moves each level makes while tuning and after: some steps plan by it.
    """

    road = "PyMC step methods"

    def __init__(self, path, size, step=None, tune=1000, draws=1000):
        self.path, self.size, self.exact_base = path, size, path.exact_base
        self._tune, self._draws = tune, draws
        self._model, self._beta = path.tempered_model()
        self.template = build_step(self._model, step, self._model.initial_point())
        self._names = [value.name for value in self._model.value_vars]
        self._dtypes = [(value.name, value.dtype) for value in path.inputs]
        self._evaluate = compile_function(path.inputs, path.log_ratio)
        self.ladder = np.array([0.0, 1.0])
        self.steps = []
        self._stats = [None] * size

    def start(self, rng):
        """Put independent draws of the base everywhere, and tuning back to its beginning."""
        self._streams = rng.spawn(1)[0]
        self._spare, self._next = {}, SPARE_DRAWS
        self.steps = self._levels_from(lambda beta: self.template)
        self.put(self.path.draw_base(rng, self.size))

    def put(self, values):
        """Replace all states."""
        self._points = [
            {name: np.asarray(values[name][i]) for name in self._names} for i in range(self.size)
        ]
        ratios = np.array([self._log_ratio_of(point) for point in self._points])
        self.log_ratio = checked_log_ratio(ratios, self.path, self._points)

    def set_ladder(self, betas):
        """Set the levels; new ones begin with what was tuned at the nearest."""
        betas, old = np.asarray(betas, dtype=float), self.ladder
        self.ladder = betas
        moving = [self._moves(beta) for beta in betas]
        if self.steps and moving != [step is not None for step in self.steps]:
            steps = self.steps

            def nearest(beta):
                order = np.argsort(np.abs(old - beta))
                return next((steps[i] for i in order if steps[i] is not None), self.template)

            self.steps = self._levels_from(nearest)

    def _moves(self, beta):
        """Whether there are steps at a temperature; if not, the base is drawn."""
        return bool(beta > 0) or not self.exact_base

    def _levels_from(self, source):
        """Copies of steps, each with a random stream of its own; none where the base is drawn."""
        steps = []
        for beta in self.ladder:
            step = None
            if self._moves(beta):
                step = copy_step(source(beta))
                step.setup_chain(self._streams.spawn(1)[0], self._tune, self._draws)
                if source(beta) is self.template:
                    step.tune = bool(self._tune)
                    if hasattr(step, "reset_tuning"):
                        step.reset_tuning()
            steps.append(step)
        return steps

    def move(self, rng, levels, n_sweeps=1):
        """Move each walker by the step of its level."""
        took = np.full(self.size, np.nan)
        for i in np.argsort(levels, kind="stable"):
            step = self.steps[levels[i]]
            if step is None:
                self._points[i], took[i] = self._draw_base(rng), 1.0
            else:
                self._beta.set_value(self.ladder[levels[i]])
                for _ in range(n_sweeps):
                    self._points[i], self._stats[i] = step.step(self._points[i])
                took[i] = _acceptance(self._stats[i])
            value = self._log_ratio_of(self._points[i])
            self.log_ratio[i] = -np.inf if np.isnan(value) else value
        return took

    def _draw_base(self, rng):
        if self._next == SPARE_DRAWS:
            self._spare, self._next = self.path.draw_base(rng, SPARE_DRAWS), 0
        point = {name: np.asarray(self._spare[name][self._next]) for name in self._names}
        self._next += 1
        return point

    def _log_ratio_of(self, point):
        value = self._evaluate(*[np.asarray(point[name], dtype) for name, dtype in self._dtypes])
        return float(value)

    def adapt(self):
        """PyMC's steps tune themselves as they go."""

    def freeze(self):
        """Stop tuning."""
        for step in self.steps:
            if step is not None:
                step.stop_tuning()

    def reseed(self, rng):
        """Give the steps fresh random streams: they do not draw from that of a move."""
        for step in self.steps:
            if step is not None:
                step.setup_chain(rng.spawn(1)[0], 0, self._draws)

    def take(self, source):
        """Copy states."""
        self._points = [dict(self._points[i]) for i in source]  # steps replace values, whole
        self.log_ratio, self.size = self.log_ratio[source], len(source)
        self._stats = [self._stats[i] for i in source]

    def statistics(self, walker):
        """Return what PyMC's steps say of their last move."""
        return self._stats[walker] or []

    def values(self, which):
        """Return the states of some walkers."""
        return {name: np.array([self._points[i][name] for i in which]) for name in self._names}

    def state(self):
        """Everything that a later run needs."""
        return {
            "points": [dict(point) for point in self._points],
            "log_ratio": self.log_ratio.copy(),
            "ladder": self.ladder.copy(),
            "steps": [None if step is None else _state_of(step) for step in self.steps],
            "streams": self._streams,
            "spare": (self._spare, self._next),
            "stats": self._stats,
        }

    def restore(self, state):
        """Go on from a state."""
        self._points, self.log_ratio = state["points"], state["log_ratio"]
        self.ladder, self._streams, self._stats = state["ladder"], state["streams"], state["stats"]
        self._spare, self._next = state["spare"]
        self.steps = []
        for saved in state["steps"]:
            step = None
            if saved is not None:
                step = copy_step(self.template)
                _go_on(step, saved)
            self.steps.append(step)


def _acceptance(stats):
    """Mean of what the steps say of acceptance, or NaN."""
    found = [float(s[key]) for s in stats for key in ACCEPTANCE if key in s]
    return min(1.0, float(np.mean(found))) if found else np.nan


def _flat(step):
    return step.methods if isinstance(step, CompoundStep) else [step]


def _state_of(step):
    """What PyMC calls the sampling state of a step, and what it leaves out of it."""
    extra = [
        {name: getattr(s, name) for name in ("divergences", "tune") if hasattr(s, name)}
        for s in _flat(step)
    ]
    return step.sampling_state, extra


def _go_on(step, saved):
    step.sampling_state, extra = saved
    for method, values in zip(_flat(step), extra, strict=True):
        for name, value in values.items():
            setattr(method, name, value)
