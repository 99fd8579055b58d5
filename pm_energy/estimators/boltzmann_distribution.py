"""What a learned Boltzmann machine tells of data, and how to draw from it."""

import numpy as np
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from pm_energy.estimators.base import generator
from pm_energy.training.pair_flips import pseudo_log_likelihood
from pm_energy.training.pair_model import PairModel
from pm_energy.training.pair_partition import draw_pairs, pair_log_z


def _has_hidden(machine):
    return machine.n_hidden > 0


class BoltzmannDistribution:
    """Log Z, samples and hidden units of a machine that was learned."""

    @property
    def energy_(self):
        """The learned energy over all units, hidden ones last.

        A :class:`pm_energy.Ising` model on the graph for spins, a
        :class:`pm_energy.BoltzmannMachine` for binary units.
        """
        check_is_fitted(self)
        return self._model().energy(self._theta)

    @property
    def coupling_matrix_(self):
        """Couplings as a symmetric matrix (n_units, n_units)."""
        check_is_fitted(self)
        return self._model().matrix(self.couplings_)

    def log_partition(self, n_chains=None, n_betas=1000, random_state=None):
        """Log Z: a sum over all states for up to 20 units, else by annealing.

        Parameters
        ----------
        n_chains : int, optional
            Chains of annealed importance sampling; 200 by default, and the sum where it can be.
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
        return pair_log_z(self._model(), self._theta, generator(random_state), n_chains, n_betas)

    def pseudo_log_likelihood(self, X):
        """Sum over units of the log-probability of each, given the others: no likelihood.

        It needs no log Z, so it serves to compare large machines. Hidden units are summed out.

        Returns
        -------
        ndarray, shape (n_samples,)
        """
        check_is_fitted(self)
        return pseudo_log_likelihood(self._model(), self._theta, self._validated(X))

    def sample(self, n_samples=1, random_state=None):
        """Draw from the learned distribution.

        Exactly for up to 16 units; otherwise by annealing from independent units, with weights, and
        100 Gibbs sweeps after it.

        Parameters
        ----------
        n_samples : int
        random_state : int, RandomState or None

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        check_is_fitted(self)
        drawn = draw_pairs(self._model(), self._theta, generator(random_state), n_samples)
        return drawn[:, : self.n_features_in_].astype(self.bias_.dtype)

    def gibbs(self, X, n_sweeps=1, known=None, random_state=None):
        """Gibbs sweeps from X.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Where X holds means, states are drawn first.
        n_sweeps : int
        known : array_like of bool, shape (n_features,) or (n_samples, n_features), optional
            Units that are held; the others then start at random, whatever X says. After many sweeps
            the rows are draws of the others given these.
        random_state : int, RandomState or None

        Returns
        -------
        ndarray, shape (n_samples, n_features)

        Examples
        --------
        >>> from pm_energy.estimators import BoltzmannMachine
        >>> X = [[0, 0], [0, 0], [1, 1], [1, 1], [0, 1], [1, 0]]
        >>> machine = BoltzmannMachine().fit(X)
        >>> rows = machine.gibbs([[1, 0]] * 1000, 10, known=[True, False], random_state=0)
        >>> print(round(float(rows[:, 1].mean()), 1))  # 2/3 of the rows with a 1 have another one
        0.7
        """
        check_is_fitted(self)
        rng, model, theta = generator(random_state), self._model(), self._theta
        if known is None:
            chains = model.start(theta, rng, x=self._validated(X))
            model.sweep(theta, chains, rng, n_sweeps)
        else:
            X, known = self._known(X, known, self._low, self.bias_.dtype)
            chains = self._clamped(X, known, rng)
            for rows, free in self._groups(known):
                part = {"units": chains["units"][rows]}
                model.sweep(theta, part, rng, n_sweeps, free=free)
                chains["units"][rows] = part["units"]
        return model.visible(chains).astype(self.bias_.dtype)

    def complete(self, X, known, n_sweeps=500, random_state=None):
        """Fill in unknown visible units: their means given the known ones, by Gibbs sampling.

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
        X, known = self._known(X, known, self._low, self.bias_.dtype)
        rng, model, theta = generator(random_state), self._model(), self._theta
        chains, out = self._clamped(X, known, rng), X.copy()
        burn_in = n_sweeps // 5
        for rows, free in self._groups(known):
            part = {"units": chains["units"][rows]}
            model.sweep(theta, part, rng, burn_in, free=free)
            total = 0.0
            for _ in range(n_sweeps - burn_in):
                model.sweep(theta, part, rng, free=free)
                total = total + model.unit_means(theta, part)
            means = total[:, : self.n_features_in_] / (n_sweeps - burn_in)
            out[rows] = np.where(known[rows], X[rows], means)
        return out

    @available_if(_has_hidden)
    def transform(self, X):
        """Means of the hidden units given each row: probabilities, between -1 and 1 for spins.

        Only with hidden units. Found as ``positive`` says.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_hidden)
        """
        check_is_fitted(self)
        means = self._model().hidden_means(self._theta, self._validated(X))
        # by hand: the mixin would replace what says whether there are hidden units
        return _wrap_data_with_container("transform", means, X, self)

    @available_if(_has_hidden)
    def fit_transform(self, X, y=None, **fit_params):
        """Learn from X and transform it; see :meth:`fit` and :meth:`transform`."""
        return self.fit(X, y, **fit_params).transform(X)

    @property
    def _n_features_out(self):
        return self.n_hidden

    @property
    def _low(self):
        return 0 if self.coding == "binary" else -1

    @property
    def _theta(self):
        return {"couplings": self.couplings_, "bias": self.bias_}

    def _model(self):
        return PairModel(
            self.n_features_in_, self.n_hidden, self.edges_, self.coding, self.positive,
            rng=np.random.default_rng(self._seed),
        )  # fmt: skip

    def _clamped(self, X, known, rng):
        """Chains at the known entries, the other units at random."""
        model, theta = self._model(), self._theta
        chains, held = (model.start(theta, rng, **how) for how in ({"n": len(X)}, {"x": X}))
        visible = model.visible(chains)
        visible[known] = model.visible(held)[known]
        return chains

    def _groups(self, known):
        """Rows that know the same units, and all units that these leave free."""
        masks, group = np.unique(known, axis=0, return_inverse=True)
        for k, mask in enumerate(masks):
            hidden = np.ones(self.n_hidden, bool)
            yield np.flatnonzero(group == k), np.flatnonzero(np.concatenate([~mask, hidden]))
