"""Boltzmann machines with any graph as models to learn: statistics, chains, flips, exact sums.

Everything is done for spins. Binary units are ``(1 + s) / 2``: an affine change of units, hence one
of parameters, through which gradients go back by the chain rule.
"""

import numpy as np

from pm_energy.energies.boltzmann import BoltzmannMachine
from pm_energy.energies.ising import Ising
from pm_energy.energies.sites import Complete, Graph
from pm_energy.kernels.pair_learning import KINDS, edge_products, flip_terms, sparse_fields
from pm_energy.training.pair_coding import blocks, chain_rule, coded, spin_theta, spins_of
from pm_energy.training.pair_exact import enumerate_spins
from pm_energy.training.pair_hidden import HiddenUnits, Posterior
from pm_energy.training.pair_sweeps import SpinSweeps, draw_spins
from pm_energy.validate import positive_int

POSITIVE = ("exact", "mean-field", "gibbs")
MEMORY = 0.99  # of the offsets of a centred gradient, per step
CLAMPED_SWEEPS = 10  # of hidden units that are coupled, with the visible ones held


class PairModel:
    r"""Two-state units with pair couplings on any graph: a model to learn.

    .. math:: E(x) = -\sum_{(i, j)} J_{ij} x_i x_j - \sum_i b_i x_i

    over the edges of a graph, visible units first, hidden ones after them. Parameters are
    ``couplings`` (m,), in the order of the edges, and ``bias`` (n,), of one float dtype. Chains are
    dicts with ``units``, int8 of shape (n_chains, n). Means between the two states are allowed as
    data and enter the formulas as they are.

    Parameters
    ----------
    n_visible, n_hidden : int
    edges : array_like of int, shape (m, 2), optional
        Coupled pairs, each once; all pairs by default.
    coding : {"binary", "spin"}
        Units in {0, 1} or in {-1, +1}.
    positive : {"exact", "mean-field", "gibbs"}
        How hidden units are summed out where the visible ones are data: over all their states (up
        to 12 that are coupled with one another), by their nearest independent distribution, which
        bounds the likelihood from below, or by sampling.
    rng : numpy.random.Generator, optional
        For "gibbs".

    Raises
    ------
    ValueError
        If sizes, edges or names do not fit.

    References
    ----------
    .. [1] Ackley, Hinton & Sejnowski (1985), Cognitive Science 9, 147-169.
    .. [2] Hinton (1989), Neural Computation 1, 143-150: mean field.
    .. [3] Melchior, Fischer & Wiskott (2016), JMLR 17, 1-61: centring.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.pair_model import PairModel
    >>> model = PairModel(3, edges=[[0, 1], [1, 2]], coding="spin")
    >>> theta = {"couplings": np.array([0.5, 0.5]), "bias": np.zeros(3)}
    >>> log_z, statistics = model.exact(theta)
    >>> round(log_z, 4), statistics["couplings"].round(4)  # log(8 cosh(.5)^2), tanh(.5)
    (2.3197, array([0.4621, 0.4621]))
    >>> model.statistics(theta, np.array([[1, 1, -1], [1, 1, 1]]))["couplings"]
    array([1., 0.])
    """

    def __init__(
        self, n_visible, n_hidden=0, edges=None, coding="binary", positive="exact", rng=None
    ):
        self.n_visible = positive_int("n_visible", n_visible)
        self.n_hidden = positive_int("n_hidden", n_hidden) if n_hidden else 0
        self.n = self.n_visible + self.n_hidden
        if coding not in ("binary", "spin"):
            raise ValueError(f"coding must be 'binary' or 'spin', got {coding!r}")
        if positive not in POSITIVE:
            raise ValueError(f"positive must be one of {POSITIVE}, got {positive!r}")
        if positive == "gibbs" and rng is None:
            raise ValueError("rng must be a numpy Generator for positive='gibbs'")
        edges = Complete(self.n).edges if edges is None else edges
        self.edges = np.ascontiguousarray(Graph(self.n, edges).edges)
        self.coding, self.positive, self.rng = coding, positive, rng
        self.sweeps = SpinSweeps(self.edges, self.n)
        self._inside = (self.edges >= self.n_visible).all(axis=1)  # between hidden units
        if n_hidden:
            self.hidden_units = HiddenUnits(n_hidden, self.edges[self._inside] - n_visible)

    def energy(self, theta):
        """Return the :class:`pm_energy.Ising` or :class:`pm_energy.BoltzmannMachine`, all units."""
        couplings, bias = theta["couplings"], theta["bias"]
        if self.coding == "spin":
            return Ising(couplings, bias, graph=Graph(self.n, self.edges))
        return BoltzmannMachine(self.matrix(couplings), bias)

    def matrix(self, couplings):
        """Return couplings as a symmetric matrix (n, n)."""
        out = np.zeros((self.n, self.n), np.asarray(couplings).dtype)
        first, second = self.edges.T
        out[first, second] = out[second, first] = couplings
        return out

    def statistics(self, theta, x, weights=None):
        """Weighted mean over rows of x (N, n_visible) of ``-dF/dtheta``."""
        spins = self.spin_theta(theta)
        pairs, means = np.zeros(len(self.edges)), np.zeros(self.n)
        for units, share in blocks(x, weights, self.n, self.coding):
            if self.n_hidden:
                known, units = units, np.empty((self.n, len(share)))
                units[: self.n_visible] = known
                units[self.n_visible :], inside, _ = self._posterior(*spins[:2], known, share)
            own = np.zeros(len(self.edges))
            edge_products(share * units, units, self.edges, own)
            if self.n_hidden:
                own[self._inside] = inside
            pairs += own
            means += units @ share
        return self._statistics(theta, pairs, means)

    def free_energy(self, theta, x):
        """``-log sum_h exp(-E(x, h))`` of rows of x, shape (N,), float64.

        By mean field it is an upper bound; so it is by "gibbs" where "exact" cannot be.
        """
        coupling, field, offset = self.spin_theta(theta)
        out = []
        for units, share in blocks(x, None, self.n, self.coding):
            whole, fields = self._visible_fields(coupling, field, units)
            value = -0.5 * (whole * (fields + field[:, None]))[: self.n_visible].sum(axis=0)
            if self.n_hidden:
                value -= self._summed_out(coupling, fields, share).log_trace
            out.append(value + offset)
        return np.concatenate(out)

    def hidden_means(self, theta, x):
        """Means of the hidden units given rows of x, shape (N, n_hidden), in the coding."""
        spins = self.spin_theta(theta)[:2]
        out = [
            self._posterior(*spins, u, share)[0].T
            for u, share in blocks(x, None, self.n, self.coding)
        ]
        return coded(np.concatenate(out), self.coding).astype(theta["bias"].dtype)

    def start(self, theta, rng, n=None, x=None):
        """Return n chains at random states, or one at each row of x.

        Where x holds means, states are drawn. Hidden units are then sampled given the visible ones.
        """
        n = positive_int("n", n) if x is None else len(x)
        spins = rng.choice(np.array([-1, 1], np.int8), size=(n, self.n))
        if x is not None:
            x = spins_of(np.asarray(x, np.float64), self.coding)
            spins[:, : self.n_visible] = draw_spins(rng, x)
            if self.n_hidden:
                self._sweep_hidden(rng, spins, *self.spin_theta(theta)[:2])
        return {"units": coded(spins, self.coding)}

    def sweep(self, theta, chains, rng, n_sweeps=1, beta=1.0, free=None):
        """Resample units one by one, in place, chains side by side.

        Parameters
        ----------
        theta, chains, rng, n_sweeps
            As of any model. Chains stay as they are where parameters are no longer finite.
        beta : float or ndarray, shape (n_chains,)
            Inverse temperature.
        free : ndarray of int, optional
            The units that move; all by default.
        """
        coupling, field, _ = self.spin_theta(theta)
        spins = spins_of(chains["units"], self.coding)
        self.sweeps(rng, spins, coupling, field, n_sweeps, beta, free)
        chains["units"][...] = coded(spins, self.coding)

    def chain_energy(self, theta, chains):
        """Energy of all units of each chain, shape (n,), float64."""
        coupling, field, offset = self.spin_theta(theta)
        units, fields = self._chain_fields(coupling, field, chains)
        return offset - 0.5 * (units * (fields + field[:, None])).sum(axis=0)

    def chain_statistics(self, theta, chains):
        """Mean over chains of ``-dE/dtheta``, a unit at a time replaced by its conditional mean.

        In a product that is either of the two units, and the mean of both is taken.
        """
        units, fields = self._chain_fields(*self.spin_theta(theta)[:2], chains)
        means = np.tanh(fields) / units.shape[1]
        pairs = np.zeros(len(self.edges))
        edge_products(units, means, self.edges, pairs)
        edge_products(means, units, self.edges, pairs)
        return self._statistics(theta, pairs / 2, means.sum(axis=1))

    def unit_means(self, theta, chains):
        """Mean of each unit given all others, shape (n_chains, n), in the coding."""
        _, fields = self._chain_fields(*self.spin_theta(theta)[:2], chains)
        return coded(np.tanh(fields.T), self.coding)

    def visible(self, chains):
        """Visible units of each chain, shape (n, n_visible)."""
        return chains["units"][:, : self.n_visible]

    def exact(self, theta):
        """Return log Z and the statistics under the model, for up to 20 units."""
        coupling, field, offset = self.spin_theta(theta)
        log_z, means, second = enumerate_spins(self.matrix(coupling), field)
        return log_z - offset, self._statistics(theta, second[tuple(self.edges.T)], means)

    def flip_loss(self, theta, x, kind, weights=None):
        """Return a loss made of the cost of flipping each unit, and its gradient.

        As of any model. Without hidden units only.
        """
        if self.n_hidden:
            raise ValueError(
                f"{kind} needs a machine without hidden units; learn by 'exact' or 'pcd'"
            )
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
        coupling, field, _ = self.spin_theta(theta)
        pairs, means, loss = np.zeros(len(self.edges)), np.zeros(self.n), 0.0
        for units, share in blocks(x, weights, self.n, self.coding):
            pulls = self.fields(coupling, field, units)
            loss += flip_terms(pulls, units, share, kind)
            edge_products(pulls, units, self.edges, pairs)
            edge_products(units, pulls, self.edges, pairs)
            means += pulls.sum(axis=1)
        return float(loss), self._chain_rule(theta, pairs, means)

    def offsets(self, data, negative, previous=None):
        """Running means of the units under data and model, for :meth:`centre`."""
        now = (data["bias"] + negative["bias"]) / 2
        return now if previous is None else MEMORY * previous + (1 - MEMORY) * now

    def centre(self, gradient, offsets):
        """Return the gradient's counterpart for units measured from their offsets."""
        first, second = self.edges.T
        bias, mu = gradient["bias"], offsets.astype(gradient["bias"].dtype, copy=False)
        pairs = gradient["couplings"] - mu[first] * bias[second] - mu[second] * bias[first]
        back = np.bincount(first, pairs * mu[second], self.n)
        back += np.bincount(second, pairs * mu[first], self.n)
        return {"couplings": pairs, "bias": bias - back.astype(bias.dtype)}

    def spin_theta(self, theta):
        """Couplings, biases and constant of the same energies of spins, float64."""
        return spin_theta(theta, self.edges, self.coding)

    def _chain_rule(self, theta, pairs, means, constant=0.0):
        return chain_rule(pairs, means, self.edges, self.coding, theta["bias"].dtype, constant)

    def _statistics(self, theta, pairs, means):
        return self._chain_rule(theta, pairs, means, constant=1.0)  # energies have one

    def fields(self, coupling, field, units):
        """Fields of all units, the model seen as one of spins: both arrays (n, N)."""
        indptr, indices, bond = self.sweeps.rows
        return sparse_fields(units, indptr, indices, coupling[bond], field)

    def _chain_fields(self, coupling, field, chains):
        units = np.ascontiguousarray(spins_of(chains["units"], self.coding).T, np.float64)
        return units, self.fields(coupling, field, units)

    def _visible_fields(self, coupling, field, units):
        """All units, hidden ones at zero, and the fields that the visible ones make."""
        whole = np.zeros((self.n, units.shape[1]))
        whole[: self.n_visible] = units
        return whole, self.fields(coupling, field, whole)

    def _summed_out(self, coupling, fields, share):
        units = self.hidden_units
        exact = units.is_small if self.positive == "gibbs" else self.positive == "exact"
        by = units.exact if exact else units.mean_field
        return by(fields[self.n_visible :], coupling[self._inside], share)

    def _posterior(self, coupling, field, units, share):
        if self.positive == "gibbs":
            return self._sampled(coupling, field, units, share)
        _, fields = self._visible_fields(coupling, field, units)
        return self._summed_out(coupling, fields, share)

    def _sampled(self, coupling, field, units, share):
        """Means of the hidden units at the ends of clamped chains, given all others."""
        spins = self.rng.choice(np.array([-1, 1], np.int8), size=(len(share), self.n))
        spins[:, : self.n_visible] = draw_spins(self.rng, units.T)
        self._sweep_hidden(self.rng, spins, coupling, field)
        states = np.ascontiguousarray(spins.T, np.float64)
        means = np.tanh(self.fields(coupling, field, states)[self.n_visible :])
        first, second = self.hidden_units.edges.T
        states = states[self.n_visible :]
        pairs = (states[first] * means[second] + means[first] * states[second]) @ share / 2
        return Posterior(means, pairs, None)

    def _sweep_hidden(self, rng, spins, coupling, field):
        free = np.arange(self.n_visible, self.n)
        n_sweeps = CLAMPED_SWEEPS if self._inside.any() else 1
        self.sweeps(rng, spins, coupling, field, n_sweeps, free=free)
