"""Hopfield's associative memory: patterns are stored, and completed from parts or noisy copies."""

from dataclasses import replace
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from pm_energy.energies.hopfield import Hopfield, Recall
from pm_energy.energies.memory_rules import RULES, hebbian, storkey
from pm_energy.estimators.base import EnergyEstimator, generator, read_known


class HopfieldNetwork(OneToOneFeatureMixin, TransformerMixin, EnergyEstimator):
    r"""Memory of two-state patterns, the rows of X.

    ``fit`` stores, ``transform`` recalls: each unit is turned into the field of the others until
    none turns any more. One unit at a time, this never raises the energy
    :math:`E(s) = -\tfrac12 s^\top J s` of the spins.

    Parameters
    ----------
    rule : {"hebbian", "storkey", "pseudo-inverse"}
        How patterns become couplings. Hebbian ones hold up to .138 random patterns a unit [2]_ and
        confuse patterns that are alike; Storkey's hold more [3]_; those of the pseudo-inverse make
        any linearly independent patterns fixed points [4]_.
    update : {"asynchronous", "synchronous"}
        One unit after the other, or all at once, which may end in two states by turns.
    order : {"sequential", "random"}
        How an asynchronous sweep visits the units. Only random order uses ``random_state``.
    threshold : float
        Features above are up units, others are down, as for
        :class:`sklearn.preprocessing.Binarizer`.
    coding : {"spin", "binary"}
        States that come out, and those of ``energy_``: in {-1, +1} or in {0, 1}.
    max_sweeps : int
        Most sweeps of a recall.
    random_state : int, RandomState or None

    Attributes
    ----------
    patterns_ : ndarray, shape (n_patterns, n_features)
        What is stored, in the coding; in float32 if X was.
    coupling_ : ndarray of float64, shape (n_features, n_features)
        Couplings of spins, symmetric with zero diagonal.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X had names.

    References
    ----------
    .. [1] Hopfield (1982), PNAS 79, 2554-2558.
    .. [2] Amit, Gutfreund & Sompolinsky (1985), Physical Review Letters 55, 1530-1533.
    .. [3] Storkey & Valabregue (1999), Neural Networks 12, 869-876.
    .. [4] Personnaz, Guyon & Dreyfus (1985), Journal de Physique Lettres 46, L359-L365.

    Examples
    --------
    >>> from pm_energy.estimators import HopfieldNetwork
    >>> memory = HopfieldNetwork().fit([[1, 1, 1, -1, -1, -1], [1, -1, 1, -1, 1, -1]])
    >>> memory.transform([[1, 1, 1, -1, -1, 1]])
    array([[ 1.,  1.,  1., -1., -1., -1.]])
    >>> memory.predict([[1, 1, 1, -1, -1, 1], [-1, -1, -1, 1, 1, 1]])  # the other is a mirror image
    array([ 0, -1])
    """

    _parameter_constraints: ClassVar[dict] = {
        "rule": [StrOptions(set(RULES))],
        "update": [StrOptions({"asynchronous", "synchronous"})],
        "order": [StrOptions({"sequential", "random"})],
        "threshold": [Interval(Real, None, None, closed="neither")],
        "coding": [StrOptions({"spin", "binary"})],
        "max_sweeps": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    _dims: ClassVar[dict] = {
        "patterns_": ("pattern", "visible"),
        "coupling_": ("visible", "visible_other"),
    }

    def __init__(
        self,
        rule="hebbian",
        *,
        update="asynchronous",
        order="sequential",
        threshold=0.0,
        coding="spin",
        max_sweeps=100,
        random_state=None,
    ):
        self.rule = rule
        self.update = update
        self.order = order
        self.threshold = threshold
        self.coding = coding
        self.max_sweeps = max_sweeps
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Store the rows of X in place of whatever was stored.

        Parameters
        ----------
        X : array_like, shape (n_patterns, n_features)
        y : ignored

        Returns
        -------
        HopfieldNetwork
        """
        spins = self._spins(X, reset=True)
        self.coupling_ = RULES[self.rule](spins.astype(np.float64))
        self.patterns_ = self._encode(spins)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Store the rows of X besides what is stored.

        The result is that of ``fit`` on all rows. The Hebbian rule and Storkey's add to what is
        there; the pseudo-inverse of all patterns is taken again.

        Parameters
        ----------
        X : array_like, shape (n_patterns, n_features)
        y : ignored

        Returns
        -------
        HopfieldNetwork
        """
        if not hasattr(self, "coupling_"):
            return self.fit(X)
        new = self._spins(X, reset=False)
        spins = np.concatenate([self._stored(), new], dtype=self.patterns_.dtype)
        if self.rule == "hebbian":
            self.coupling_ = self.coupling_ + hebbian(new.astype(np.float64))
        elif self.rule == "storkey":
            self.coupling_ = storkey(new.astype(np.float64), self.coupling_)
        else:
            self.coupling_ = RULES[self.rule](spins.astype(np.float64))
        self.patterns_ = self._encode(spins)
        return self

    def recall(self, X, known=None):
        """Turn units until the states are fixed points.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Starts.
        known : array_like of bool, shape (n_features,) or (n_samples, n_features), optional
            Units that keep their state, such as the visible part of an image. Those are inputs to
            the others.

        Returns
        -------
        Recall
            ``states`` in the coding, ``energies`` of the start and after each sweep, shape
            (n_sweeps + 1, n_samples), and for each row ``sweeps``, ``converged`` and ``cycles``.

        Raises
        ------
        ValueError
            If ``known`` is not boolean or its shape does not fit.
        """
        check_is_fitted(self)
        spins = self._spins(X, reset=False)
        network, rng = self._network(), generator(self.random_state)
        if known is None:
            found = self._descend(network, spins, rng)
        else:
            known = read_known(known, spins.shape)
            rows = [self._complete(network, *row, rng) for row in zip(spins, known, strict=True)]
            found = _side_by_side(rows)
        return replace(found, states=self._encode(found.states.astype(spins.dtype)))

    def transform(self, X):
        """Return the recalled states (n_samples, n_features), in the coding."""
        return self.recall(X).states

    def predict(self, X):
        """Return the index (n_samples,) of the stored pattern recalled, -1 for any other state.

        Where a pattern is stored twice, this is its first index.
        """
        states = self._decode(self.recall(X).states)
        overlaps = states @ self._stored().T
        best = overlaps.argmax(axis=1)
        # sums of signs are exact, in float32 up to 2^24 units
        return np.where(overlaps.max(axis=1) == states.shape[1], best, -1)

    def overlap(self, X):
        """Return the overlap (n_samples, n_patterns) of X as it is with each stored pattern.

        The mean over units of the product of spins: 1 for the pattern, -1 for its mirror image.
        """
        check_is_fitted(self)
        spins = self._spins(X, reset=False)
        return spins @ self._stored().T / spins.shape[1]

    def score(self, X, y=None):
        """Return how well recall from X ends at the pattern next to it.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Starts.
        y : ignored

        Returns
        -------
        float
            Mean overlap, in [-1, 1], of the recalled state with that stored pattern which overlaps
            most with the start.
        """
        states = self._decode(self.transform(X))
        nearest = self._stored()[self.overlap(X).argmax(axis=1)]
        return float((states * nearest).mean(dtype=np.float64))

    @property
    def energy_(self):
        """The :class:`~pm_energy.Hopfield` energy, in the coding."""
        network = self._network()
        return network if self.coding == "spin" else network.to_binary()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _network(self):
        check_is_fitted(self)
        return Hopfield(self.coupling_)

    def _spins(self, X, *, reset):
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)
        return np.where(self.threshold < X, X.dtype.type(1), X.dtype.type(-1))

    def _encode(self, spins):
        return spins if self.coding == "spin" else (spins + 1) / 2

    def _decode(self, states):
        return states if self.coding == "spin" else 2 * states - 1

    def _stored(self):
        return self._decode(self.patterns_)

    def _descend(self, network, spins, rng):
        return network.recall(
            spins, mode=self.update, order=self.order, max_sweeps=self.max_sweeps, random_seed=rng
        )

    def _complete(self, network, spins, known, rng):
        """Recall of a row's unknown units (n_features,), in the field of the known ones."""
        free, held = np.flatnonzero(~known), np.flatnonzero(known)
        whole, start = spins[None].copy(), network(spins[None].astype(np.float64))
        if not free.size:
            settled = np.ones(1, dtype=bool)
            return Recall(whole, start[None], settled, ~settled, np.zeros(1, dtype=int))
        field = network.coupling[np.ix_(free, held)] @ spins[held]
        part = Hopfield(network.coupling[np.ix_(free, free)], external=field)
        found = self._descend(part, whole[:, free], rng)
        whole[:, free] = found.states
        energies = found.energies - found.energies[0] + start  # those of the known units as well
        return replace(found, states=whole, energies=energies)


def _side_by_side(recalls):
    """Join recalls of one row each; the energy of a row that has ended stays as it is."""
    length = max(len(r.energies) for r in recalls)
    last = [np.pad(r.energies, ((0, length - len(r.energies)), (0, 0)), "edge") for r in recalls]
    return Recall(
        states=np.concatenate([r.states for r in recalls]),
        energies=np.concatenate(last, axis=1),
        converged=np.concatenate([r.converged for r in recalls]),
        cycles=np.concatenate([r.cycles for r in recalls]),
        sweeps=np.concatenate([r.sweeps for r in recalls]),
    )
