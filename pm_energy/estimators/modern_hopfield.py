"""Modern associative memories: attention, dense memories of spins, continuous-time memories."""

from dataclasses import replace
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from scipy.special import softmax
from sklearn.base import OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.metrics import pairwise_distances_argmin
from sklearn.preprocessing import normalize
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from pm_energy.energies import modern_hopfield
from pm_energy.energies.continuous_memory import compress, signal
from pm_energy.energies.dense_memory import ExponentialMemory, PolynomialMemory
from pm_energy.estimators.base import EnergyEstimator

DENSE = {"polynomial": (PolynomialMemory, "degree"), "exponential": (ExponentialMemory, "beta")}


class ModernHopfield(OneToOneFeatureMixin, TransformerMixin, EnergyEstimator):
    r"""Memory of the rows of X by an energy with sharper minima than a pairwise one has.

    ``fit`` stores, ``transform`` retrieves: from each start an update is repeated that never raises
    the energy, until the state stays.

    - "softmax": real-valued units,
      :math:`E(x) = -\frac1\beta \log \sum_k e^{\beta X_k^\top x} + \tfrac12 x^\top x` and a
      constant. An update is :math:`x \to X^\top \operatorname{softmax}(\beta X x)`, attention with
      the patterns as keys and values [1]_.
    - "continuous": the same, but the patterns, in their order, are compressed into a signal
      :math:`x(t) = B^\top \psi(t)` on [0, 1] of ``n_basis`` functions, by (ridge) regression on
      :math:`t_k = (k - \tfrac12) / N`. The sum over patterns becomes an integral over t and an
      update the mean of x(t) under :math:`p(t) \propto e^{\beta x(t)^\top x}` [2]_.
    - "polynomial": spins, :math:`E(s) = -\frac np \sum_k (X_k^\top s / n)^p`, n units. A degree p
      of 2 is the Hebbian :class:`HopfieldNetwork`; capacity grows as :math:`n^{p-1}` [3]_.
    - "exponential": spins, :math:`E(s) = -\frac1\beta \log \sum_k e^{\beta X_k^\top s}` and a
      constant, which has the minima of [4]_'s sum of exponentials and does not overflow.

    Spins are turned one at a time to where the energy is lower. Features above 0 are up spins, and
    spins come out in {-1, +1}.

    Parameters
    ----------
    memory : {"softmax", "continuous", "polynomial", "exponential"}
    beta : float
        Inverse temperature of the exponentials. A pattern is retrieved where ``beta`` times the gap
        between :math:`|X_k|^2` and its similarity with other patterns is well above the logarithm
        of their number; far below that, what is retrieved is near the mean of all patterns.
    degree : int
        Of "polynomial".
    n_basis : int
        Functions of "continuous", at most as many as patterns.
    basis : {"rectangular", "gaussian"}
        Of "continuous": windows side by side, which at one window a pattern are the discrete memory
        itself; or Gaussians at their centres, with their width for a standard deviation. The
        integral over those is by a midpoint rule of 32 cells a width.
    ridge : float
        Of "continuous": what the regression adds to the diagonal of its normal equations.
    normalise : bool
        Whether real-valued patterns and starts are scaled to unit length.
    tol : float
        Largest change of any unit in an update at which a state counts as settled.
    max_updates : int
        Most updates, or sweeps of spins. 1 is a layer of attention.

    Attributes
    ----------
    patterns_ : ndarray, shape (n_patterns, n_features)
        What is stored: scaled, or as spins, where the memory asks for it; in float32 if X was.
    coefficients_ : ndarray of float64, shape (n_basis, n_features)
        B, of "continuous" only.
    n_features_in_, feature_names_in_
        As scikit-learn's.

    References
    ----------
    .. [1] Ramsauer et al. (2021), Hopfield networks is all you need, ICLR.
    .. [2] Santos, Farinhas, McNamee & Martins (2025), Modern Hopfield networks with
       continuous-time memories, arXiv 2502.10122.
    .. [3] Krotov & Hopfield (2016), Dense associative memory for pattern recognition, NeurIPS.
    .. [4] Demircigil, Heusel, Loewe, Upgang & Vermet (2017), Journal of Statistical Physics 168,
       288-299.

    Examples
    --------
    >>> from pm_energy.estimators import ModernHopfield
    >>> memory = ModernHopfield(beta=20.0).fit([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> memory.transform([[0.8, 0.3, 0.2]]).round(3)
    array([[1., 0., 0.]])
    >>> memory.predict([[0.8, 0.3, 0.2], [0.1, 0.2, 0.9]])
    array([0, 1])
    """

    _parameter_constraints: ClassVar[dict] = {
        "memory": [StrOptions({"softmax", "continuous", *DENSE})],
        "beta": [Interval(Real, 0, None, closed="neither")],
        "degree": [Interval(Integral, 2, None, closed="left")],
        "n_basis": [Interval(Integral, 1, None, closed="left")],
        "basis": [StrOptions({"rectangular", "gaussian"})],
        "ridge": [Interval(Real, 0, None, closed="left")],
        "normalise": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_updates": [Interval(Integral, 1, None, closed="left")],
    }
    _dims: ClassVar[dict] = {
        "patterns_": ("pattern", "visible"),
        "coefficients_": ("basis", "visible"),
    }

    def __init__(
        self,
        memory="softmax",
        *,
        beta=1.0,
        degree=3,
        n_basis=10,
        basis="gaussian",
        ridge=0.0,
        normalise=False,
        tol=1e-8,
        max_updates=1000,
    ):
        self.memory = memory
        self.beta = beta
        self.degree = degree
        self.n_basis = n_basis
        self.basis = basis
        self.ridge = ridge
        self.normalise = normalise
        self.tol = tol
        self.max_updates = max_updates

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Store the rows of X (n_patterns, n_features) in place of whatever was stored.

        Raises
        ------
        ValueError
            If a continuous memory has more basis functions than patterns.
        """
        patterns = self._read(X, reset=True).copy()
        self.coefficients_ = None
        if self.memory == "continuous":
            if self.n_basis > len(patterns):
                raise ValueError(
                    f"n_basis={self.n_basis} must be at most n_samples={len(patterns)}, the "
                    "patterns that are to be compressed"
                )
            self.coefficients_ = compress(patterns, self.n_basis, self.basis, self.ridge)
        self.patterns_ = patterns
        return self

    def recall(self, X):
        """Update from the rows of X until no unit moves by more than ``tol``.

        Returns a ``Retrieval``: ``states``, ``energies`` (n_updates + 1, n_samples) of the start
        and after each update, and for each row ``converged`` and ``updates``.
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        if self.memory in DENSE:
            found = self.energy_.retrieve(X, max_sweeps=self.max_updates)
        else:
            found = self.energy_.retrieve(X, tol=self.tol, max_updates=self.max_updates)
        return replace(found, states=found.states.astype(X.dtype))

    def transform(self, X):
        """Return the retrieved states (n_samples, n_features)."""
        return self.recall(X).states

    def predict(self, X):
        """Return the index (n_samples,) of the stored pattern nearest to what is retrieved."""
        return pairwise_distances_argmin(self.transform(X), self.patterns_)

    def score(self, X, y=None):
        """Return minus the mean squared distance of what is retrieved from where it should end.

        That is the stored pattern nearest to the start. 0 is the best.
        """
        states, X = self.transform(X), self._read(X, reset=False)
        nearest = self.patterns_[pairwise_distances_argmin(X, self.patterns_)]
        return -float(((states - nearest) ** 2).sum(axis=1).mean(dtype=np.float64))

    @available_if(lambda self: self.memory not in DENSE)
    def attention(self, X):
        """Return the weights (n_samples, n_memories) of one update from X; rows sum to one.

        ``attention(X) @ memories_`` is the update; ``attention(X) @ values``, with a value for each
        pattern, reads out what is associated with the patterns.
        """
        memories = self.memories_
        return softmax(self.beta * (self._read(X, reset=False) @ memories.T), axis=1)

    @property
    def memories_(self):
        """What is attended to (n_memories, n_features): patterns, or the signal in each cell."""
        check_is_fitted(self)
        if self.memory != "continuous":
            return self.patterns_
        return signal(self.coefficients_, self.basis)

    @property
    def energy_(self):
        """The energy: a :class:`pm_energy.ModernHopfield` of ``memories_``, or one of spins."""
        if self.memory not in DENSE:
            return modern_hopfield.ModernHopfield(self.memories_, self.beta)
        memory, name = DENSE[self.memory]
        return memory(self.memories_, getattr(self, name))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _read(self, X, *, reset):
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)
        if self.memory in DENSE:
            return np.where(X > 0, X.dtype.type(1), X.dtype.type(-1))
        return normalize(X) if self.normalise else X
