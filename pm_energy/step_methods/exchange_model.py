"""What the exchange algorithm reads in a model: parameters, their density, fields without log Z."""

import math

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.traversal import ancestors

from pm_energy.compile import compile_function
from pm_energy.energy import evaluate, single_block
from pm_energy.random_variable import (
    EnergyRV,
    LogZLeftOut,
    Whole,
    leaves_out_log_z,
    nearest_random,
)
from pm_energy.step_methods.inner_draws import InnerDraws
from pm_energy.step_methods.plan import Reader
from pm_energy.structure import flatten


def exchange_parameters(model):
    """Free variables that densities without log Z depend on, through deterministic nodes only."""
    roots = []
    for v in ancestors([*model.basic_RVs, *model.potentials]):
        op = v.owner.op if v.owner else None
        if isinstance(op, EnergyRV) and leaves_out_log_z(op):
            roots += op.dist_params(v.owner)
        elif isinstance(op, LogZLeftOut):  # a density that is part of another factor
            roots += v.owner.inputs
    found = nearest_random(roots, also=set(model.value_vars))
    found = {model.values_to_rvs.get(v, v) for v in found}
    return [rv for rv in model.free_RVs if rv in found]


def exchange_fields(model):
    """Boltzmann variables of a model, free or observed, whose log p lacks a log Z that matters."""
    return [
        rv
        for rv in model.basic_RVs
        if isinstance(rv.owner.op, EnergyRV)
        and leaves_out_log_z(rv.owner.op)
        and set(nearest_random(rv.owner.op.dist_params(rv.owner))) & set(model.free_RVs)
    ]


class ExchangeField:
    """One field without log Z: its state and parameters as graphs, its draws, its energies.

    Parameters
    ----------
    rv : TensorVariable
        One of :func:`exchange_fields`.
    x : TensorVariable
        Its value.
    read : callable
        Graphs of random variables -> graphs of whatever stands for them.
    mode : Mode or str, optional
        In which to compile.

    Attributes
    ----------
    state : TensorVariable, shape (*batch, *event_shape)
        All units.
    params : list of TensorVariable
        Parameters of the energy; the numbers among them are constants.
    draws : InnerDraws
    """

    def __init__(self, rv, x, read, mode=None):
        op = rv.owner.op
        core_x, leaves = op.core_inputs()
        energy, core_state = op.energy(leaves), core_x
        if isinstance(op.normaliser, Whole):  # held units count in log Z like all others
            energy, core_state = energy.energy, energy.scatter(core_x)
        given = dict(zip(leaves, read(op.dist_params(rv.owner)), strict=True)) | {core_x: x}
        self.name = rv.name
        self.draws = InnerDraws(energy)
        [self.state] = vectorize_graph([core_state], given)
        _, self._leaves = flatten(energy)
        self.params = [given[leaf] for leaf in self._leaves]
        block = single_block(energy)
        self._units = pt.tensor(dtype=block.domain.dtype, shape=block.shape)
        self._energy = evaluate(energy, self._units)
        self._ndim_batch = self.state.ndim - len(block.shape)
        y = self.state.type()
        here, there = ([p.type() for p in self.params] for _ in range(2))
        gain = self.energy(y, there) - self.energy(y, here)
        self._gain = compile_function([y, *here, *there], gain.sum(), mode)

    def energy(self, y, params):
        """Energies of all units, a graph."""
        given = dict(zip(self._leaves, params, strict=True)) | {self._units: y}
        [energy] = vectorize_graph([self._energy], given)
        return energy

    def exchange(self, rng, state, here, there, n_sweeps):
        """Draw the field at new parameters; return what that adds to the log of the ratio.

        Parameters
        ----------
        rng : numpy.random.Generator
        state : ndarray, shape (*batch, *event_shape)
            The field itself, where runs that are not exact begin.
        here, there : list of ndarray
            Present and new values of ``params``.
        n_sweeps : int
            Length of these runs.

        Returns
        -------
        gain : float
            ``E(y; there) - E(y; here)``, summed over the batch, for y drawn at ``there``.
        is_exact : bool
        """
        y, is_exact = self.draw(rng, state, there, n_sweeps)
        return float(self._gain(y, *here, *there)), is_exact

    def draw(self, rng, state, values, n_sweeps):
        """Draw as many independent fields as ``state`` holds; say whether they are exact."""
        batch, event = state.shape[: self._ndim_batch], state.shape[self._ndim_batch :]
        axes = [v.shape[: v.ndim - k.ndim] for v, k in zip(values, self._leaves, strict=True)]
        if all(math.prod(lengths) == 1 for lengths in axes):  # one energy for all
            cores = [v[(0,) * len(lengths)] for v, lengths in zip(values, axes, strict=True)]
            y, is_exact = self.draws(rng, cores, state.reshape(-1, *event), n_sweeps)
            return y.astype(state.dtype, copy=False).reshape(state.shape), is_exact
        full = [
            np.broadcast_to(v, batch + v.shape[len(lengths) :])
            for v, lengths in zip(values, axes, strict=True)
        ]
        y, exact = np.empty_like(state), True
        for i in np.ndindex(*batch):
            [y[i]], is_exact = self.draws(rng, [v[i] for v in full], state[i][None], n_sweeps)
            exact = exact and is_exact
        return y, exact


class ExchangeDensity:
    """The part of a model's log-density that depends on given variables, and the fields' inputs.

    Parameters
    ----------
    model : pymc.Model
    values : list of TensorVariable
        Value variables of the parameters.
    fields : list of ExchangeField
    mode : Mode or str, optional

    Raises
    ------
    ValueError
        If a density without log Z is part of another factor, where nothing makes up for it.
    """

    def __init__(self, model, values, fields, mode=None):
        factors = [*model.basic_RVs, *model.potentials]
        terms = dict(zip(factors, model.logp(vars=factors, sum=False), strict=True))
        names = {field.name for field in fields}
        again = [f.name for f, t in terms.items() if f.name not in names and _lacks_log_z(t)]
        if again:
            raise ValueError(
                f"the factors {again} use the density of a Boltzmann variable with "
                "log_partition='exchange' (a mixture of fields, pm.logp, a tempered likelihood). "
                "It lacks log Z, and the exchange algorithm makes up for that in the variable's "
                "own factor only. Use another log_partition"
            )
        wanted = set(values)
        log_p = sum(t.sum() for t in terms.values() if wanted & set(ancestors([t])))
        self.numbers = [[p.data if isinstance(p, Constant) else None for p in field.params]
                        for field in fields]  # fmt: skip
        outputs = [log_p]
        for field in fields:
            outputs.append(field.state)
            outputs += [p for p in field.params if not isinstance(p, Constant)]
        self._read = Reader(outputs, model.value_vars, {}, mode)

    def __call__(self, point):
        """Log-density, and the state and parameter values of each field."""
        log_p, *rest = self._read(point)
        rest = iter(rest)
        found = []
        for numbers in self.numbers:
            state = next(rest)
            found.append((state, [next(rest) if n is None else n for n in numbers]))
        return float(log_p), found


def _lacks_log_z(term):
    return any(v.owner and isinstance(v.owner.op, LogZLeftOut) for v in ancestors([term]))
