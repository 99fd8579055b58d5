"""What restricted Boltzmann machines share: learning, the two layers, samples, the likelihood."""

import itertools
from abc import abstractmethod

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from pm_energy.estimators.base import generator
from pm_energy.estimators.learning import follows_centred, learn, warn_of_failure
from pm_energy.estimators.tracking import tracker
from pm_energy.training.rbm_model import RBMModel
from pm_energy.training.rbm_partition import draw_rbm, rbm_log_z
from pm_energy.training.rbm_visible import dense
from pm_energy.training.recipe import make_objective
from pm_energy.validate import positive_int


class RBMMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Two layers of units that learn; a subclass says of what kind the visible ones are."""

    @abstractmethod
    def _kinds(self):
        """Return the kinds of the visible and of the hidden units."""

    @abstractmethod
    def _first_theta(self, X, weights, rng):
        """Return parameters of nearly independent units with the data's means."""

    def _scaled(self, X, weights, theta):
        """Return the parameters for the rows as they are learned from, and who reads the rows."""
        return theta, None

    def _unscaled(self, theta):
        """Return the parameters for the rows as they are."""
        return theta

    def _hottest(self):
        """Level of the first inverse temperature: without an energy reals have no distribution."""
        return 1 if "gaussian" in self._kinds() else 0

    def _model(self):
        return RBMModel(self.n_features_in_, self.n_components, *self._kinds())

    @property
    def _theta(self):
        return {name[:-1]: getattr(self, name) for name in self._dims}

    @property
    def _n_features_out(self):
        return self.weights_.shape[1]

    @property
    def energy_(self):
        """The learned :class:`pm_energy.RBM`; as a PyMC variable it is the visible layer."""
        check_is_fitted(self)
        return self._model().energy(self._theta)

    def _learn(self, X, sample_weight, goes_on, n_epochs, schedule):
        X, weights = self._checked(X, sample_weight, reset=not goes_on)
        rng = self._state["rng"] if goes_on else generator(self.random_state)
        theta = self._theta if goes_on else self._first_theta(X, weights, rng)
        model = self._model()
        objective = make_objective(
            self.objective,
            n_chains=self.n_chains,
            n_sweeps=self.n_sweeps,
            betas=np.linspace(self._hottest() / self.n_levels, 1, self.n_levels),
            centred=follows_centred(self),
        )
        if goes_on and self._state["objective"].keys() == objective.state().keys():
            objective.restore(self._state["objective"])
        theta, read = self._scaled(X, weights, theta)
        track = tracker(self.track, model, X, read, weights, rng)
        before = track(theta)
        fitted = learn(
            self, model, theta, objective, X, rng,
            weights=weights, read=read, track=track, n_epochs=n_epochs, schedule=schedule,
        )  # fmt: skip
        after = track(fitted.theta)
        for name, value in self._unscaled(fitted.theta).items():
            setattr(self, f"{name}_", value)
        self._remember(fitted, objective.state(), rng)
        warn_of_failure(fitted.failure, before, after)
        return self

    def transform(self, X):
        """Means of the hidden units: probabilities for bits, and between -1 and 1 for spins.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_components)
        """
        check_is_fitted(self)
        p = self._model().hidden_probabilities(self._theta, self._validated(X))
        return 2 * p - 1 if self._kinds()[1] == "spin" else p

    def inverse_transform(self, H):
        """Means of the visible units, given hidden ones.

        Parameters
        ----------
        H : array_like, shape (n_samples, n_components)
            States of the hidden units, or their means.

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        return self._model().visible_mean(self._theta, self._hidden(H))

    def sample_visible(self, H, random_state=None):
        """Draw visible units, given hidden ones.

        Parameters
        ----------
        H : array_like, shape (n_samples, n_components)
            States of the hidden units.
        random_state : int, RandomState or None

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        return self._model().sample_visible(self._theta, self._hidden(H), generator(random_state))

    def _hidden(self, H):
        check_is_fitted(self)
        H = check_array(H, dtype=self.weights_.dtype)
        if H.shape[1] != self.weights_.shape[1]:
            raise ValueError(
                f"H must have {self.weights_.shape[1]} columns, one for each hidden unit, got "
                f"{H.shape[1]}"
            )
        return H

    def reconstruct(self, X):
        """Means of the visible units given the means of the hidden ones given X.

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        return self.inverse_transform(self.transform(X))

    def gibbs(self, X, n_sweeps=1, known=None, random_state=None):
        """Sweeps of block Gibbs sampling from X: all hidden units, then all visible ones.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            Where X holds means, states are drawn first.
        n_sweeps : int
        known : array_like of bool, shape (n_features,) or (n_samples, n_features), optional
            Units that are held; the others then start at random, whatever X says. After many sweeps
            the rows are draws of the others given these.
        random_state : int, RandomState or None

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        check_is_fitted(self)
        positive_int("n_sweeps", n_sweeps)
        rng, model, theta = generator(random_state), self._model(), self._theta
        if known is not None:
            X, known = self._with_known(X, known)
            *_, (v, _) = self._held_sweeps(X, known, n_sweeps, rng)
            return v
        chains = model.start(theta, rng, x=dense(self._validated(X)))
        model.sweep(theta, chains, rng, n_sweeps)
        return model.visible(chains)

    def complete(self, X, known, n_sweeps=500, random_state=None):
        """Fill in unknown visible units: their means given the known ones, by Gibbs sampling.

        :meth:`gibbs` draws them instead.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Entries that are not known may hold anything that is finite.
        known : array_like of bool, shape (n_features,) or (n_samples, n_features)
        n_sweeps : int
            Sweeps, the first fifth of which is left out of the means.
        random_state : int, RandomState or None

        Returns
        -------
        ndarray, shape (n_samples, n_features)
            With the known entries as they are in X.
        """
        check_is_fitted(self)
        burn_in = positive_int("n_sweeps", n_sweeps) // 5
        X, known = self._with_known(X, known)
        model, theta, total = self._model(), self._theta, np.zeros(X.shape)
        sweeps = self._held_sweeps(X, known, n_sweeps, generator(random_state))
        for _, h in itertools.islice(sweeps, burn_in, None):
            total += model.visible_mean(theta, h)
        return np.where(known, X, total / (n_sweeps - burn_in)).astype(X.dtype)

    def _with_known(self, X, known):
        low = -1 if self._kinds()[0] == "spin" else 0
        return self._known(X, known, low, self.weights_.dtype)

    def _held_sweeps(self, X, known, n_sweeps, rng):
        """Yield visible and hidden states after each sweep that leaves the known units alone."""
        model, theta = self._model(), self._theta
        v = np.where(known, X, model.visible(model.start(theta, rng, n=len(X))))
        for _ in range(n_sweeps):
            h = model.sample_hidden(theta, v, rng)
            v = np.where(known, X, model.sample_visible(theta, h, rng))
            yield v, h

    def sample(self, n_samples=1, random_state=None):
        """Draw from the learned distribution.

        Exactly where the smaller layer has at most 16 units; otherwise by annealing from
        independent units, with weights, and Gibbs sweeps after it.

        Parameters
        ----------
        n_samples : int
        random_state : int, RandomState or None

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        check_is_fitted(self)
        positive_int("n_samples", n_samples)
        drawn = draw_rbm(self._model(), self._theta, generator(random_state), n_samples)
        return drawn.astype(self.weights_.dtype)

    def log_partition(self, n_chains=None, n_betas=1000, random_state=None):
        """Log Z, exactly where the smaller layer has at most 20 units, else by annealing.

        Parameters
        ----------
        n_chains : int, optional
            Chains of annealed importance sampling; 200 by default, and exact where it can be.
        n_betas : int
            Inverse temperatures.
        random_state : int, RandomState or None

        Returns
        -------
        LogPartition

        Warns
        -----
        EvidenceWarning
            If annealing back gives another value, or the standard error is above 0.3.
        """
        check_is_fitted(self)
        positive_int("n_betas", n_betas)
        if n_chains is not None:
            positive_int("n_chains", n_chains)
        rng = generator(random_state)
        return rbm_log_z(self._model(), self._theta, rng, n_chains, n_betas, n_jobs=self.n_jobs)
