"""Boltzmann machine with any graph as a scikit-learn estimator."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from pm_energy.energies.sites import Graph
from pm_energy.estimators.base import EnergyEstimator, generator
from pm_energy.estimators.boltzmann_distribution import BoltzmannDistribution
from pm_energy.estimators.boltzmann_learning import (
    choose_objective,
    first_theta,
    learn_pairs,
    read_edges,
)
from pm_energy.estimators.likelihood_mixin import LikelihoodMixin, check_two_state
from pm_energy.training.pair_coding import coded_theta, spin_theta, spins_of
from pm_energy.training.pair_model import POSITIVE, PairModel
from pm_energy.training.rbm_visible import dense
from pm_energy.training.recipe import OBJECTIVES


class BoltzmannMachine(
    BoltzmannDistribution,
    LikelihoodMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    EnergyEstimator,
):
    r"""Boltzmann machine of two-state units on any graph, learned from data.

    .. math:: E(x) = -\sum_{(i, j)} J_{ij} x_i x_j - \sum_i b_i x_i

    Without hidden units this is the inverse Ising problem: couplings are recovered from states.
    With hidden units the distribution of the visible ones is no longer one of pairs.

    Parameters
    ----------
    n_hidden : int
    graph : array_like (m, 2), Graph, scipy sparse matrix or networkx graph, optional
        Which units are coupled, visible ones numbered first and hidden ones after them; all pairs
        by default. Weights of the graph do not matter.
    coding : {"binary", "spin"}
        Units in {0, 1} or in {-1, +1}. Data may be probabilities, or means of spins.
    objective : str
        What is followed: "auto", "pseudolikelihood", "probability-flow", "ratio-matching", "exact",
        "pcd", "cd" or "tempered"; see the guide to learning. "auto" is "exact" for up to 12 units,
        and beyond them "pseudolikelihood", or "pcd" with hidden units. The last three are sampled
        and go by minibatches, as all do in :meth:`partial_fit`; the others have a loss and go by
        L-BFGS, "exact" for up to 20 units, and the rest of them where all units are visible.
    positive : {"exact", "mean-field", "gibbs"}
        How hidden units are summed out where the visible ones are data: over all states of up to 12
        that are coupled with one another, by mean field, which bounds the likelihood from below,
        or by Gibbs sampling. :meth:`free_energy` of more than that is the mean-field bound.
    l1, l2 : float
        Strengths of the penalties ``l1 * sum |J|`` and ``l2 / 2 * sum J**2`` of couplings of spins;
        those of binary units are four times as large. ``l1`` finds graphs, and is for objectives
        that are not sampled.
    learning_rate : float
        Of the sampled objectives, at the start: it falls to zero linearly. In terms of spins, so
        that learning does not depend on the coding.
    n_chains : int
        Chains of "pcd", and of each level of "tempered".
    n_sweeps : int
        Sweeps of the chains for each update.
    n_levels : int
        Inverse temperatures of "tempered", evenly from 0 to 1.
    batch_size : int
    n_iter : int
        Most iterations of L-BFGS, or passes over the data.
    tol : float
        L-BFGS stops where no entry of the gradient is larger.
    warm_start : bool
        Whether :meth:`fit` goes on from what was learned, chains included.
    verbose : bool or int
        Whether to show a progress bar.
    random_state : int, RandomState or None

    Attributes
    ----------
    couplings_ : ndarray, shape (n_edges,)
    bias_ : ndarray, shape (n_features + n_hidden,)
    edges_ : ndarray of int, shape (n_edges, 2)
    coupling_matrix_ : ndarray, shape (n_features + n_hidden, n_features + n_hidden)
    energy_ : Ising or BoltzmannMachine
        Over all units; ``-energy_(x)`` is the log-probability but for log Z.
    log_partition_ : LogPartition
        Log Z: exact for up to 20 units, otherwise by annealing.
    objective_ : str
        What was followed.
    history_ : dict of str to ndarray
        The loss after each iteration, or the log-likelihood after each pass, of which more than 12
        units have the pseudo-log-likelihood instead, estimated by a random unit of each row.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    References
    ----------
    .. [1] Ackley, Hinton & Sejnowski (1985), Cognitive Science 9, 147-169.
    .. [2] Nguyen, Zecchina & Berg (2017), Advances in Physics 66, 197-261: inverse problems.
    .. [3] Besag (1975), The Statistician 24, 179-195.
    .. [4] Sohl-Dickstein, Battaglino & DeWeese (2011), Physical Review Letters 107, 220601.
    .. [5] Tieleman (2008), ICML, 1064-1071.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.estimators import BoltzmannMachine
    >>> chain = pme.Ising(graph=[[0, 1], [1, 2]], coupling=[0.5, -0.5])
    >>> X = pme.exact.draw(chain, np.random.default_rng(0), 10_000)
    >>> machine = BoltzmannMachine(coding="spin").fit(X)
    >>> machine.edges_.tolist(), machine.couplings_.round(1) + 0.0
    ([[0, 1], [0, 2], [1, 2]], array([ 0.5,  0. , -0.5]))
    >>> exact = -pme.energy_values(chain, X).mean() - pme.exact.log_partition(chain)
    >>> print(0 < machine.score(X) - exact < 1e-3)
    True
    """

    _dims: ClassVar = {
        "couplings_": ("edge",),
        "edges_": ("edge", "end"),
        "bias_": ("unit",),
        "coupling_matrix_": ("unit", "unit_other"),
    }
    schedule = "linear"  # of the rate of sampled objectives: no parameter
    _parameter_constraints: ClassVar = {
        "n_hidden": [Interval(Integral, 0, None, closed="left")],
        "graph": [None, "array-like", "sparse matrix", Graph, HasMethods(["nodes", "edges"])],
        "coding": [StrOptions({"binary", "spin"})],
        "objective": [StrOptions({"auto", *OBJECTIVES})],
        "positive": [StrOptions(set(POSITIVE))],
        "l1": [Interval(Real, 0, None, closed="left")],
        "l2": [Interval(Real, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "n_chains": [Interval(Integral, 1, None, closed="left")],
        "n_sweeps": [Interval(Integral, 1, None, closed="left")],
        "n_levels": [Interval(Integral, 2, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_hidden=0,
        *,
        graph=None,
        coding="binary",
        objective="auto",
        positive="exact",
        l1=0.0,
        l2=0.0,
        learning_rate=0.05,
        n_chains=200,
        n_sweeps=1,
        n_levels=10,
        batch_size=100,
        n_iter=200,
        tol=1e-5,
        warm_start=False,
        verbose=0,
        random_state=None,
    ):
        self.n_hidden = n_hidden
        self.graph = graph
        self.coding = coding
        self.objective = objective
        self.positive = positive
        self.l1 = l1
        self.l2 = l2
        self.learning_rate = learning_rate
        self.n_chains = n_chains
        self.n_sweeps = n_sweeps
        self.n_levels = n_levels
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def _learn(self, X, sample_weight, goes_on, n_epochs, schedule):
        X, weights = self._checked(X, sample_weight, reset=not goes_on)
        n_visible = X.shape[1]
        name = choose_objective(self.objective, n_visible, self.n_hidden, self.l1)
        edges = read_edges(self.graph, n_visible, self.n_hidden)
        rng = self._state["rng"] if goes_on else generator(self.random_state)
        # it learns as spins: other units would make steps of another length
        model = PairModel(n_visible, self.n_hidden, edges, "spin", self.positive, rng=rng)
        x = spins_of(X, self.coding)
        if goes_on:
            if not np.array_equal(edges, self.edges_):
                raise ValueError("graph and n_hidden must stay as they were to go on learning")
            *spins, _ = spin_theta(self._theta, edges, self.coding)
            theta = {"couplings": spins[0].astype(X.dtype), "bias": spins[1].astype(X.dtype)}
        else:
            theta = first_theta(model, x, weights, rng)
        before = self._state["objective"] if goes_on else None
        fitted, state = learn_pairs(
            self, name, model, theta, x, weights, rng, before, n_epochs, schedule
        )
        self.edges_, self.objective_ = edges, name
        learned = coded_theta(*(fitted.theta[k] for k in ("couplings", "bias")), edges, self.coding)
        self.couplings_, self.bias_ = learned["couplings"], learned["bias"]
        self._remember(fitted, state, rng)
        return self

    def _validated(self, X, reset=False):
        return dense(super()._validated(X, reset))

    def _check_domain(self, X):
        check_two_state(X, self._low)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.coding == "binary"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
