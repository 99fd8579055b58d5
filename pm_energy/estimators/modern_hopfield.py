"""Modern associative memories: attention, dense memories of spins, continuous-time memories."""

from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.base import OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.metrics import pairwise_distances_argmin
from sklearn.preprocessing import normalize
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from pm_energy.domains import Spin
from pm_energy.energies import modern_hopfield
from pm_energy.energies.retrieval import retrieval
from pm_energy.energy import energy_from_function
from pm_energy.estimators.base import EnergyEstimator

TIE = 1e-12  # size, beside its terms, of a sum that rounding may make of zero
CELLS = 32  # of the midpoint rule in the width of a Gaussian


def _polynomial(overlaps, n, degree):
    """Energies (...) of n spins whose overlaps (..., N) with the patterns are known."""
    return -n / degree * ((overlaps / n) ** degree).sum(axis=-1)


def _polynomial_pull(rest, n, degree):
    """Fall of the energy as the overlap with a pattern goes from one less to one more than rest."""
    overlaps = np.arange(-n, n + 1)[:, None]
    fall = _polynomial(overlaps - 1, n, degree) - _polynomial(overlaps + 1, n, degree)
    return fall[(rest + n).astype(np.intp)]


def _polynomial_energy(s, patterns, degree):
    return _polynomial(s @ patterns.T, patterns.shape[1], degree)


def _exponential(overlaps, n, beta):
    constant = n + np.log(overlaps.shape[1]) / beta  # spins have squares that sum to n
    return constant - logsumexp(beta * overlaps, axis=1) / beta


def _exponential_pull(rest, n, beta):
    """As for the polynomial, up to a factor for each state."""
    return np.exp(beta * (rest - rest.max(axis=1, keepdims=True)))


def _exponential_energy(s, patterns, beta):
    return modern_hopfield.ModernHopfield(patterns, beta)(s)


DENSE = {  # memories of spins, and the parameter of their functions
    "polynomial": (_polynomial_energy, _polynomial, _polynomial_pull, "degree"),
    "exponential": (_exponential_energy, _exponential, _exponential_pull, "beta"),
}


def _dense_sweep(energy_of, pull, patterns, parameter, s):
    """Turn spins (B, n) to where the energy is lower; return the new ones, energies of the old."""
    s, n = s.copy(), s.shape[1]
    overlaps = s @ patterns.T  # integers, so that updates are exact
    energies = energy_of(overlaps, n, parameter)
    for i, pattern in enumerate(patterns.T):
        rest = overlaps - s[:, [i]] * pattern  # of the other spins
        pulls = pull(rest, n, parameter)
        gap, tie = pulls @ pattern, TIE * np.abs(pulls).sum(axis=1)
        s[:, i] = np.where(gap > tie, 1.0, np.where(gap < -tie, -1.0, s[:, i]))
        overlaps = rest + s[:, [i]] * pattern
    return s, energies


def _basis_functions(kind, n_basis, cells):
    """Values (cells, n_basis) of functions on [0, 1] at the midpoints of equal cells."""
    if kind == "rectangular":  # in integers: a midpoint may lie on an edge
        own = (2 * np.arange(cells) + 1) * n_basis // (2 * cells)
        return np.eye(n_basis)[own]
    t, centres = ((np.arange(count) + 0.5) / count for count in (cells, n_basis))
    return np.exp(-0.5 * (n_basis * (t[:, None] - centres)) ** 2)


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
        compress = self.memory == "continuous"
        if compress and self.n_basis > len(patterns):
            raise ValueError(
                f"n_basis={self.n_basis} must be at most n_samples={len(patterns)}, the patterns "
                "that are to be compressed"
            )
        self.coefficients_ = self._regression(patterns) if compress else None
        self.patterns_ = patterns
        return self

    def recall(self, X):
        """Update from the rows of X until no unit moves by more than ``tol``.

        Returns a ``Retrieval``: ``states``, ``energies`` (n_updates + 1, n_samples) of the start
        and after each update, and for each row ``converged`` and ``updates``.
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        starts = X.astype(np.float64)
        if self.memory in DENSE:
            _, energy_of, pull, name = DENSE[self.memory]
            patterns, parameter = self.patterns_.astype(np.float64), getattr(self, name)
            sweep = partial(_dense_sweep, energy_of, pull, patterns, parameter)
            found = retrieval(sweep, starts, self.tol, self.max_updates)
        else:
            found = self.energy_.retrieve(starts, tol=self.tol, max_updates=self.max_updates)
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
        n_basis = len(self.coefficients_)
        cells = n_basis * (CELLS if self.basis == "gaussian" else 1)
        return _basis_functions(self.basis, n_basis, cells) @ self.coefficients_

    @property
    def energy_(self):
        """The energy: a :class:`pm_energy.ModernHopfield` of ``memories_``, or one of spins."""
        memories = self.memories_
        if self.memory not in DENSE:
            return modern_hopfield.ModernHopfield(memories, self.beta)
        function, *_, name = DENSE[self.memory]
        parameters = {"patterns": memories, name: getattr(self, name)}
        return energy_from_function(function, Spin(), memories.shape[1:], **parameters)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _read(self, X, *, reset):
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)
        if self.memory in DENSE:
            return np.where(X > 0, X.dtype.type(1), X.dtype.type(-1))
        return normalize(X) if self.normalise else X

    def _regression(self, patterns):
        """Coefficients by ridge regression: least squares with rows that ask for zero."""
        functions = _basis_functions(self.basis, self.n_basis, len(patterns))
        rows = np.concatenate([functions, np.sqrt(self.ridge) * np.eye(self.n_basis)])
        targets = np.pad(patterns.astype(np.float64), ((0, self.n_basis), (0, 0)))
        return np.linalg.lstsq(rows, targets)[0]
