"""Hopfield's associative memory: patterns stored as minima of a pairwise energy."""

import dataclasses
from dataclasses import KW_ONLY, dataclass

import numpy as np

from pm_energy.energies.boltzmann import BoltzmannMachine
from pm_energy.energies.memory_rules import RULES, as_spins
from pm_energy.energies.network import CODINGS, choice, network, numeric_network
from pm_energy.energies.retrieval import read_starts
from pm_energy.kernels.recall import asynchronous_recall, synchronous_recall
from pm_energy.typing import Array, TensorLike
from pm_energy.validate import parameter, positive_int


@dataclass(frozen=True, eq=False)
class Recall:
    """What :meth:`Hopfield.recall` reached from each start; the batch axes are those of the starts.

    Parameters
    ----------
    states : array of int8, shape (..., n)
        The last states.
    energies : array, shape (n_sweeps + 1, ...)
        Energies of the start and after each sweep.
    converged : array of bool, shape (...)
        Whether the state is a fixed point.
    cycles : array of bool, shape (...)
        Whether synchronous recall went back and forth between two states.
    sweeps : array of int, shape (...)
        Sweeps taken, the last one without a flip where ``converged``.
    """

    states: Array
    energies: Array
    converged: Array
    cycles: Array
    sweeps: Array


@dataclass(frozen=True, eq=False)
class Hopfield:
    r"""Pairwise energy whose minima are memories.

    .. math:: E(s) = -\tfrac12 s^\top J s + \theta^\top s - h^\top s + c

    At temperature zero it is recalled from (:meth:`recall`), at T > 0 it is the Boltzmann machine
    of the same couplings.

    Parameters
    ----------
    coupling : tensor_like, shape (n, n)
        Symmetric with zero diagonal.
    threshold : tensor_like, shape () or (n,)
        Field that a unit needs from the others to turn up.
    external : tensor_like, shape () or (n,)
        Input to each unit from outside.
    coding : {"spin", "binary"}
        Units in {-1, +1} or in {0, 1}.
    offset : tensor_like, shape ()
        Constant c; :meth:`to_spin` and :meth:`to_binary` use it to keep the energy.

    Raises
    ------
    ValueError
        If the coupling is not square, symmetric and free of self-coupling, shapes do not fit or
        values are not finite.

    References
    ----------
    .. [1] Hopfield (1982), PNAS 79, 2554-2558.
    .. [2] Amit, Gutfreund & Sompolinsky (1985), Physical Review Letters 55, 1530-1533: Hebbian
       couplings hold up to .138 n random patterns.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> memory = pme.Hopfield.from_patterns([[1, 1, 1, -1, -1, -1], [1, -1, 1, -1, 1, -1]])
    >>> recall = memory.recall([1, 1, 1, -1, -1, 1])
    >>> recall.states, bool(recall.converged)
    (array([ 1,  1,  1, -1, -1, -1], dtype=int8), True)
    >>> bool(recall.energies[-1] < recall.energies[0])
    True
    """

    coupling: TensorLike
    threshold: TensorLike = 0.0
    external: TensorLike = 0.0
    _: KW_ONLY
    coding: str = "spin"
    offset: TensorLike = 0.0
    n: int = dataclasses.field(init=False)

    def __post_init__(self):
        choice("coding", self.coding, ("spin", "binary"))
        checked = network(self.coupling, threshold=self.threshold, external=self.external)
        for name, value in {**checked, "offset": parameter("offset", self.offset, 0)}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_patterns(cls, patterns, *, rule="hebbian", coding="spin", threshold=0.0, external=0.0):
        """Store patterns.

        Parameters
        ----------
        patterns : array_like, shape (k, n)
            In {-1, +1} or in {0, 1}.
        rule : {"hebbian", "storkey", "pseudo-inverse"}
            Hebbian couplings hold few patterns, and only unlike ones; Storkey's hold more and can
            still be learnt one at a time; the pseudo-inverse makes any linearly independent
            patterns fixed points.
        coding : {"spin", "binary"}
            "binary" is the same memory, with the same energies, for units x = (s + 1) / 2.
        threshold, external : tensor_like, shape () or (n,)
            Of the units as spins.

        Returns
        -------
        Hopfield

        Raises
        ------
        ValueError
            If there is no pattern, or one has other values.
        """
        choice("rule", rule, tuple(RULES))
        choice("coding", coding, ("spin", "binary"))
        memory = cls(RULES[rule](as_spins(patterns)), threshold, external)
        return memory if coding == "spin" else memory.to_binary()

    @property
    def domain(self):
        return CODINGS[self.coding]

    @property
    def event_shape(self):
        return (self.n,)

    def __call__(self, s):  # (..., n) -> (...)
        linear = ((self.threshold - self.external) * s).sum(axis=-1)
        return self.offset + linear - 0.5 * ((s @ self.coupling) * s).sum(axis=-1)

    def recall(
        self, states, *, mode="asynchronous", order="random", max_sweeps=100, random_seed=None
    ):
        """Turn units into their fields until the states are fixed points; a tie keeps its state.

        Parameters
        ----------
        states : array_like, shape (..., n)
            Starts, in the coding of the memory.
        mode : {"asynchronous", "synchronous"}
            One unit at a time, which never raises the energy, or all units at once, which may end
            in two states by turns.
        order : {"random", "sequential"}
            How asynchronous recall visits the units in a sweep.
        max_sweeps : int
        random_seed : int, numpy.random.Generator or None
            For the random order.

        Returns
        -------
        Recall
        """
        choice("mode", mode, ("asynchronous", "synchronous"))
        choice("order", order, ("random", "sequential"))
        max_sweeps = positive_int("max_sweeps", max_sweeps)
        coupling, bias = numeric_network(self)
        states = read_starts("states", states, self.n, self.domain)
        batch, x = states.shape[:-1], states.reshape(-1, self.n).astype(float)
        low = float(self.domain.states[0])
        if mode == "asynchronous":
            rng = np.random.default_rng(random_seed)
            energies, sweeps, converged = asynchronous_recall(
                rng, x, coupling, bias, max_sweeps, low=low, shuffle=order == "random"
            )
            cycles = np.zeros_like(converged)
        else:
            energies, sweeps, converged, cycles = synchronous_recall(
                x, coupling, bias, max_sweeps, low=low
            )
        return Recall(
            states=x.astype(states.dtype).reshape(states.shape),
            energies=(self.offset + energies).reshape(-1, *batch),
            converged=converged.reshape(batch),
            cycles=cycles.reshape(batch),
            sweeps=sweeps.reshape(batch),
        )

    def to_boltzmann_machine(self):
        """Return the same energies as a :class:`~pm_energy.BoltzmannMachine`."""
        bias = (self.external - self.threshold) * np.ones(self.n)
        return BoltzmannMachine(self.coupling, bias, coding=self.coding, offset=self.offset)

    def _vectors(self):
        ones = np.ones(self.n)
        return self.coupling.sum(axis=1), self.threshold * ones, self.external * ones

    def to_binary(self):
        """Return the same energies as a function of x = (s + 1) / 2."""
        if self.coding == "binary":
            return self
        row, threshold, external = self._vectors()
        constant = external.sum() - threshold.sum() - row.sum() / 2
        return Hopfield(
            4 * self.coupling,
            2 * (threshold + row),
            2 * external,
            coding="binary",
            offset=self.offset + constant,
        )

    def to_spin(self):
        """Return the same energies as a function of spins s = 2x - 1."""
        if self.coding == "spin":
            return self
        row, threshold, external = self._vectors()
        constant = (threshold.sum() - external.sum()) / 2 - row.sum() / 8
        return Hopfield(
            self.coupling / 4,
            threshold / 2 - row / 4,
            external / 2,
            offset=self.offset + constant,
        )
