"""Dense memories of spins: Hopfield's energy with a steeper function than the square."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import logsumexp

from pm_energy.domains import Spin
from pm_energy.energies.memory_rules import as_spins
from pm_energy.energies.modern_hopfield import ModernHopfield
from pm_energy.energies.retrieval import read_starts, retrieval
from pm_energy.typing import TensorLike
from pm_energy.validate import (
    is_numeric,
    need_numbers,
    parameter,
    positive,
    positive_int,
    static_shape,
)

TIE = 1e-12  # size, beside its terms, of a sum that rounding may make of zero


@dataclass(frozen=True, eq=False)
class _DenseMemory:
    """Patterns, the rows, and retrieval; a subclass says what energy overlaps with them have."""

    patterns: TensorLike
    n: int = dataclasses.field(init=False)

    domain: ClassVar[Spin] = Spin()

    def __post_init__(self):
        patterns = parameter("patterns", self.patterns, 2)
        patterns = as_spins(patterns) if is_numeric(patterns) else patterns
        n = static_shape(patterns)[1]
        if not n:
            raise ValueError("patterns must have a known number of units, as columns")
        object.__setattr__(self, "patterns", patterns)
        object.__setattr__(self, "n", n)

    @property
    def event_shape(self):
        return (self.n,)

    def retrieve(self, s, *, max_sweeps=1000):
        """Turn spins, one at a time, to where the energy is lower, until none turns.

        Parameters
        ----------
        s : array_like, shape (..., n)
            Starts.
        max_sweeps : int

        Returns
        -------
        Retrieval
        """
        need_numbers(self, "retrieval")
        s = read_starts("s", s, self.n, self.domain)
        tol = 1.0  # spins move by 2 or not at all
        return retrieval(
            self._sweep, s.astype(float), tol, max_sweeps, lambda found: found.astype(s.dtype)
        )

    def _sweep(self, s):
        """Return the states after a sweep of spins (B, n), and the energies before it."""
        s = s.copy()
        overlaps = s @ self.patterns.T  # integers, so that updates are exact
        energies = self._energies(overlaps)
        for i, pattern in enumerate(self.patterns.T):
            rest = overlaps - s[:, [i]] * pattern  # of the other spins
            pulls = self._pulls(rest)
            gap, tie = pulls @ pattern, TIE * np.abs(pulls).sum(axis=1)
            s[:, i] = np.where(gap > tie, 1.0, np.where(gap < -tie, -1.0, s[:, i]))
            overlaps = rest + s[:, [i]] * pattern
        return s, energies


@dataclass(frozen=True, eq=False)
class PolynomialMemory(_DenseMemory):
    r"""Memory of N patterns of spins whose energy is a power p of their overlaps.

    .. math:: E(s) = -\frac np \sum_{k=1}^N \left(\frac{X_k^\top s}{n}\right)^p

    p = 2 is the Hebbian :class:`~pm_energy.Hopfield` network, up to a constant; capacity grows as
    :math:`n^{p-1}` [1]_.

    Parameters
    ----------
    patterns : tensor_like, shape (N, n)
        Numbers in {-1, +1}, or in {0, 1} for the same spins.
    degree : int
        p, at least 2.

    Raises
    ------
    ValueError
        If there is no pattern, one has other values or the degree is below 2.

    References
    ----------
    .. [1] Krotov & Hopfield (2016), Dense associative memory for pattern recognition, NeurIPS.

    Examples
    --------
    >>> from pm_energy.energies.dense_memory import PolynomialMemory
    >>> memory = PolynomialMemory([[1, 1, 1, -1, -1, -1], [1, -1, 1, -1, 1, -1]])
    >>> memory.retrieve([1, 1, 1, -1, -1, 1]).states
    array([ 1,  1,  1, -1, -1, -1], dtype=int8)
    """

    degree: int = 3

    def __post_init__(self):
        super().__post_init__()
        if positive_int("degree", self.degree) < 2:
            raise ValueError(f"degree must be at least 2, got {self.degree}")

    def __call__(self, s):  # (..., n) -> (...)
        return self._energies(s @ self.patterns.T)

    def _energies(self, overlaps):
        return -self.n / self.degree * ((overlaps / self.n) ** self.degree).sum(axis=-1)

    def _pulls(self, rest):
        """Fall of the energy as an overlap goes from one less to one more than ``rest``."""
        overlaps = np.arange(-self.n, self.n + 1)[:, None]
        fall = self._energies(overlaps - 1) - self._energies(overlaps + 1)
        return fall[(rest + self.n).astype(np.intp)]


@dataclass(frozen=True, eq=False)
class ExponentialMemory(_DenseMemory):
    r"""Memory of N patterns of spins whose energy is a log-sum-exp of their overlaps.

    .. math:: E(s) = -\frac1\beta \log \sum_{k=1}^N e^{\beta X_k^\top s} + n + \frac1\beta \log N

    which has the minima of the sum of exponentials in [1]_ and does not overflow: the energy of
    :class:`~pm_energy.ModernHopfield` at spins. Capacity grows exponentially with n.

    Parameters
    ----------
    patterns : tensor_like, shape (N, n)
        Numbers in {-1, +1}, or in {0, 1} for the same spins.
    beta : tensor_like, shape ()
        Positive.

    Raises
    ------
    ValueError
        If there is no pattern, one has other values or beta is not positive.

    References
    ----------
    .. [1] Demircigil, Heusel, Loewe, Upgang & Vermet (2017), Journal of Statistical Physics 168,
       288-299.

    Examples
    --------
    >>> from pm_energy.energies.dense_memory import ExponentialMemory
    >>> memory = ExponentialMemory([[1, 1, 1, -1, -1, -1], [1, -1, 1, -1, 1, -1]])
    >>> memory.retrieve([1, 1, 1, -1, -1, 1]).states
    array([ 1,  1,  1, -1, -1, -1], dtype=int8)
    """

    beta: TensorLike = 1.0

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "beta", parameter("beta", positive("beta", self.beta), 0))

    def __call__(self, s):  # (..., n) -> (...)
        return ModernHopfield(self.patterns, self.beta)(s)

    def _energies(self, overlaps):
        constant = self.n + np.log(overlaps.shape[1]) / self.beta
        return constant - logsumexp(self.beta * overlaps, axis=1) / self.beta

    def _pulls(self, rest):
        """As for the polynomial, up to a factor for each state."""
        return np.exp(self.beta * (rest - rest.max(axis=1, keepdims=True)))
