"""Modern Hopfield network: a memory of real-valued patterns whose update is attention."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytensor.tensor as pt

from pm_energy.domains import Real
from pm_energy.energies.retrieval import read_starts, retrieval
from pm_energy.typing import TensorLike
from pm_energy.validate import need_numbers, parameter, positive, static_shape

CHUNK = 2**21  # similarities held at once, 16 MB


@dataclass(frozen=True, eq=False)
class ModernHopfield:
    r"""Memory of N patterns :math:`X_k`, the rows of X, for real-valued units.

    .. math:: E(x) = -\frac1\beta \log \sum_{k=1}^N e^{\beta X_k^\top x} + \tfrac12 x^\top x
              + \frac1\beta \log N + \tfrac12 \max_k |X_k|^2

    The update :math:`x \to X^\top \operatorname{softmax}(\beta X x)` is :math:`x - \nabla E(x)`,
    the concave-convex procedure on E, and lowers E by at least half the square of the step. It is
    softmax attention with query x and the patterns as keys and values. Without the :math:`1/\beta`
    before the logarithm, as E is sometimes printed, it is not a descent of E.

    A fixed point is one pattern only where :math:`\beta` times the gap between the pattern's own
    similarity and the next exceeds log N or so; with unit-norm patterns and :math:`\beta = 1` the
    one fixed point lies near the mean of all.

    At temperature :math:`1/\beta`, so that log p is :math:`-\beta E`, it is the mixture of
    Gaussians around the patterns with variance :math:`1/\beta` and weights proportional to
    :math:`e^{\beta |X_k|^2 / 2}`.

    Parameters
    ----------
    patterns : tensor_like, shape (N, d)
        What is stored.
    beta : tensor_like, shape ()
        Inverse temperature of the softmax, positive. Attention takes :math:`1/\sqrt d`.

    Raises
    ------
    ValueError
        If there is no pattern, a value is not finite or beta is not positive.

    References
    ----------
    .. [1] Ramsauer et al. (2021), Hopfield networks is all you need, ICLR.
    .. [2] Demircigil, Heusel, Loewe, Upgang & Vermet (2017), Journal of Statistical Physics 168,
       288-299.
    .. [3] Yuille & Rangarajan (2003), Neural Computation 15, 915-936: the concave-convex procedure.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> memory = pme.ModernHopfield([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], beta=20.0)
    >>> retrieval = memory.retrieve([0.8, 0.3, 0.2])
    >>> retrieval.states.round(3), bool(retrieval.converged)
    (array([1., 0., 0.]), True)
    """

    patterns: TensorLike
    beta: TensorLike = 1.0
    shape: tuple[int, int] = dataclasses.field(init=False)

    domain: ClassVar[Real] = Real()

    def __post_init__(self):
        patterns = parameter("patterns", self.patterns, 2)
        beta = parameter("beta", positive("beta", self.beta), 0)
        shape = static_shape(patterns)
        if not all(shape):
            raise ValueError(f"patterns must have a known shape (N, d) above 0, got {shape}")
        for name, value in (("patterns", patterns), ("beta", beta), ("shape", shape)):
            object.__setattr__(self, name, value)

    @property
    def event_shape(self):
        return self.shape[1:]

    def __call__(self, x):  # (..., d) -> (...)
        attraction = pt.logsumexp(self.beta * (x @ self.patterns.T), axis=-1) / self.beta
        return 0.5 * (x * x).sum(axis=-1) - attraction + self._constant()

    def _constant(self):
        """What keeps E from being negative anywhere."""
        largest = (self.patterns**2).sum(axis=1).max()
        return np.log(self.shape[0]) / self.beta + 0.5 * largest

    def update(self, x):
        """Return the next state (..., d): the patterns, weighted by their softmax similarity."""
        x = read_starts("x", x, self.shape[1])
        return self._step(x.reshape(-1, x.shape[-1]))[0].reshape(x.shape)

    def retrieve(self, x, *, tol=1e-8, max_updates=1000):
        """Update until no unit moves by more than ``tol``.

        Parameters
        ----------
        x : array_like, shape (..., d)
            Starts.
        tol : float
        max_updates : int

        Returns
        -------
        Retrieval
        """
        return retrieval(self._step, read_starts("x", x, self.shape[1]), tol, max_updates)

    def _step(self, x):
        """Return the next states and the energies of states (B, d)."""
        need_numbers(self, "retrieval")
        new, energy, constant = np.empty_like(x), np.empty(len(x)), self._constant()
        step = max(1, CHUNK // self.shape[0])
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            weights = self.beta * (x[rows] @ self.patterns.T)
            top = weights.max(axis=1, keepdims=True)
            np.exp(weights - top, out=weights)
            total = weights.sum(axis=1, keepdims=True)
            new[rows] = (weights @ self.patterns) / total
            attraction = (top + np.log(total))[:, 0] / self.beta
            energy[rows] = 0.5 * (x[rows] ** 2).sum(axis=1) - attraction + constant
        return new, energy
