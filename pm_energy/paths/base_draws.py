"""Independent draws of a model's prior, in value space: where most paths begin."""

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.continuous import FlatRV, HalfFlatRV
from pymc.distributions.shape_utils import change_dist_size
from pytensor.graph.replace import graph_replace, vectorize_graph
from pytensor.graph.traversal import graph_inputs, io_toposort
from pytensor.tensor.random.type import RandomType

from pm_energy.compile import ONCE, compile_function
from pm_energy.draws import TABLE_LIMIT
from pm_energy.energy import single_block
from pm_energy.exact.enumeration import count_states
from pm_energy.random_variable import EnergyRV

MOST_TRIES = 30
MOST_AT_ONCE = 2**14  # draws


class PriorDraws:
    """Draws of all free variables of a model, transformed as its samplers see them.

    Parameters
    ----------
    model : pymc.Model

    Raises
    ------
    ValueError
        If a prior is improper.
    """

    def __init__(self, model):
        for rv in model.free_RVs:
            if isinstance(rv.owner.op, FlatRV | HalfFlatRV):
                raise ValueError(
                    f"the prior of {rv.name!r} is improper, so it cannot be the base of a path: "
                    "give it a proper prior, or pass base='variational'"
                )
        n = pt.lscalar("n")
        try:
            values, self._batched = _many(model, n), True
        except (NotImplementedError, ValueError):  # mixtures, walks: not vectorised, one by one
            values, self._batched = _values(model, {rv: rv for rv in model.free_RVs}), False
        self.names = [model.rvs_to_values[rv].name for rv in model.free_RVs]
        streams = [v for v in graph_inputs(values) if isinstance(v.type, RandomType)]
        streams = list(dict.fromkeys(streams))
        inputs = [stream.type() for stream in streams]
        values = graph_replace(values, dict(zip(streams, inputs, strict=True)), strict=False)
        self._n_streams = len(streams)
        self._draw = compile_function([n, *inputs], values, mode=ONCE)

    def __call__(self, rng, n):
        """Return n draws: name of value variable -> array (n, ...).

        A transform that narrows a prior, such as an order, makes the base the prior within its
        bounds: draws outside are made again.

        Raises
        ------
        ValueError
            If a variable has no random draws, or hardly any within its bounds.
        """
        kept, found, wanted = [], 0, n
        for _ in range(MOST_TRIES):
            drawn = self._draw_many(rng, wanted)
            inside = np.all([_finite(x) for x in drawn.values()], axis=0)
            if inside.all() and not kept:
                return drawn
            kept.append({name: x[inside] for name, x in drawn.items()})
            found += inside.sum()
            if found >= n:
                return {k: np.concatenate([part[k] for part in kept])[:n] for k in self.names}
            wanted = min(MOST_AT_ONCE, 2 * wanted)
        raise ValueError(
            f"of the draws of the prior only {found} are within the bounds that transforms set "
            "(an order of many variables?): state the bounds by the priors themselves"
        )

    def _draw_many(self, rng, n):
        if self._batched:
            return self._run(rng, n)
        rows = [self._run(rng, 1) for _ in range(n)]
        return {name: np.stack([row[name] for row in rows]) for name in self.names}

    def _run(self, rng, n):
        try:
            values = self._draw(np.asarray(n), *rng.spawn(self._n_streams))
        except NotImplementedError as why:
            raise ValueError(
                f"the prior cannot be drawn: {why}. Give the distribution a random function, or "
                "pass base='variational'"
            ) from why
        return dict(zip(self.names, values, strict=True))


def _finite(x):
    """Whether each of the draws (n, ...) is finite."""
    return np.isfinite(x).reshape(len(x), -1).all(axis=1)


def _many(model, n):
    """Value variables with a leading axis of n draws."""
    order = {node: i for i, node in enumerate(io_toposort([], model.free_RVs))}
    known = {rv: model.rvs_to_values[rv] for rv in model.observed_RVs}
    drawn = {}
    for rv in sorted(model.free_RVs, key=lambda rv: order[rv.owner]):
        batched = vectorize_graph(rv, known | drawn) if known or drawn else rv
        if batched.ndim == rv.ndim:  # it depends on no other variable
            batched = change_dist_size(batched, (n,), expand=True)
        drawn[rv] = batched
    return _values(model, drawn)


def _values(model, drawn):
    """Draws of random variables as draws of the values that samplers see."""
    values = []
    for rv in model.free_RVs:
        transform, x = model.rvs_to_transforms[rv], drawn[rv]
        values.append(x if transform is None else transform.forward(x, *x.owner.inputs))
    return values


def drawn_exactly(model):
    """Whether draws of the prior are exact: those of large Boltzmann fields are not."""
    fields = [rv for rv in model.free_RVs if isinstance(rv.owner.op, EnergyRV)]
    return all(_drawn_exactly(rv.owner) for rv in fields)


def _drawn_exactly(node):
    energy = node.op.energy(node.op.dist_params(node))
    if hasattr(energy, "draw"):
        return True
    block = single_block(energy)
    return block.domain.states is not None and count_states(block) <= TABLE_LIMIT
