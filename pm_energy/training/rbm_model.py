"""Restricted Boltzmann machines as models to learn: statistics, chains, flips."""

import numpy as np
from scipy.sparse import issparse

from pm_energy.energies.boltzmann import RBM
from pm_energy.kernels.bernoulli import draw_states
from pm_energy.kernels.rbm_flips import KINDS, flip_loss
from pm_energy.kernels.rbm_learning import (
    chain_sweeps,
    chain_sweeps_and_moments,
    data_moments,
    draw_hidden,
)
from pm_energy.kernels.two_state import log_traces, unit_means
from pm_energy.training.rbm_coding import gradient_from_bits, statistics_from_bits, to_bits
from pm_energy.training.rbm_moments import gaussian_moments, two_state_moments
from pm_energy.training.rbm_visible import GaussianUnits, TwoStateUnits, dense
from pm_energy.validate import positive_int

LOWER = {"binary": 0.0, "spin": -1.0}
LARGEST_LOG = 300.0  # of a variance: squares of it are floats
MEMORY = 0.99  # of the offsets of a centred gradient, per step


class RBMModel:
    r"""Restricted Boltzmann machine: :class:`pm_energy.RBM` as a model to learn.

    Parameters are ``weights`` (n_visible, n_hidden), ``visible_bias``, ``hidden_bias`` and, for
    Gaussian units, ``log_variance`` (n_visible,), as float32 or float64 arrays of one dtype. Chains
    are dicts of ``visible`` and ``hidden`` states in that dtype. Means between the two states, such
    as intensities in [0, 1], are allowed as data: they enter the formulas as they are.

    Parameters
    ----------
    n_visible, n_hidden : int
    visible : {"binary", "spin", "gaussian"}
    hidden : {"binary", "spin"}

    Attributes
    ----------
    shape : tuple of int
        Units of the visible and the hidden layer.
    lows : tuple of float
        The lower states, 0 or -1, of visible and hidden units; the upper ones are 1.

    Raises
    ------
    ValueError
        If a size is not positive or there are no such units.

    References
    ----------
    .. [1] Smolensky (1986), in Parallel Distributed Processing 1, 194-281.
    .. [2] Hinton (2002), Neural Computation 14, 1771-1800.
    .. [3] Cho, Ilin & Raiko (2011), ICANN, Lecture Notes in Computer Science 6791, 10-17.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.rbm_model import RBMModel
    >>> model = RBMModel(2, 1)
    >>> theta = {"weights": np.zeros((2, 1)), "visible_bias": np.zeros(2),
    ...          "hidden_bias": np.zeros(1)}
    >>> model.statistics(theta, np.array([[1.0, 0.0]]))["weights"]
    array([[0.5],
           [0. ]])
    >>> chains = model.start(theta, np.random.default_rng(0), n=1000)
    >>> model.negative(theta, chains, np.random.default_rng(1), 1)["hidden_bias"]
    array([0.5])
    """

    def __init__(self, n_visible, n_hidden, visible="binary", hidden="binary"):
        self.shape = positive_int("n_visible", n_visible), positive_int("n_hidden", n_hidden)
        for name, value, allowed in (
            ("visible", visible, (*LOWER, "gaussian")),
            ("hidden", hidden, tuple(LOWER)),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {value!r}")
        self.visible_units, self.hidden_units = visible, hidden
        self._gaussian = visible == "gaussian"
        self._layer = GaussianUnits() if self._gaussian else TwoStateUnits(LOWER[visible])
        self.lows = LOWER.get(visible, 0.0), LOWER[hidden]

    def energy(self, theta):
        """Return the :class:`pm_energy.RBM` with these numbers."""
        variance = np.exp(theta["log_variance"]) if self._gaussian else None
        parameters = (theta[name] for name in ("weights", "visible_bias", "hidden_bias"))
        units = {"visible": self.visible_units, "hidden": self.hidden_units}
        return RBM(*parameters, variance=variance, **units)

    def statistics(self, theta, x, weights=None):
        """Weighted mean over rows of x (N, n_visible) of ``-dF/dtheta``; x may be sparse."""
        x = self._rows(theta, x)
        row_weights = _normalised(weights, x.shape[0], theta["weights"].dtype)
        if not self._gaussian and not issparse(x):
            w, _, b = to_bits(theta, self.lows)
            moments = data_moments(x, w, b, row_weights, self.lows[0])
            if moments is not None:
                return statistics_from_bits(*moments, self.lows)
        return self._means_of(theta, x, row_weights, self._drive_fields(theta, x))

    def free_energy(self, theta, x):
        """``-log sum_h exp(-E(x, h))`` of rows of x, shape (N,), float64; x may be sparse."""
        x = self._rows(theta, x)
        traces = log_traces(self._drive_fields(theta, x), theta["hidden_bias"], self.lows[1])
        return self._layer.alone(theta, x) - traces

    def start(self, theta, rng, n=None, x=None):
        """Return n chains at random visible units, or one at each row of x.

        Where x holds means of two-state units, their states are drawn. Hidden units are drawn given
        the visible ones.
        """
        if x is None:
            visible = self._layer.random(theta, positive_int("n", n), rng)
        else:
            x = self._rows(theta, x)
            visible = self._layer.states_at(dense(x), rng)
        return {"visible": visible, "hidden": self.sample_hidden(theta, visible, rng)}

    def sweep(self, theta, chains, rng, n_sweeps=1, beta=1.0):
        """Draw visible given hidden units, then hidden given visible ones, in place.

        ``beta`` multiplies the energy of both layers; for two-state visible units it may be an
        array, one for each chain, and zero.
        """
        if self._gaussian:
            if not beta > 0:
                raise ValueError(
                    f"beta must be positive for Gaussian visible units, got {beta}: without an "
                    "energy they have no distribution; let the ladder start above 0"
                )
            self._gaussian_sweeps(theta, chains, rng, n_sweeps, beta)
        else:
            chain_sweeps(
                rng, *_layers(chains), *to_bits(theta, self.lows), n_sweeps, beta, self.lows
            )

    def negative(self, theta, chains, rng, n_sweeps=1):
        """Sweep, and return :meth:`chain_statistics` from the probabilities that this leaves."""
        n_sweeps = positive_int("n_sweeps", n_sweeps)
        if self._gaussian:
            fields = self._gaussian_sweeps(theta, chains, rng, n_sweeps, 1.0)
            rows = _normalised(None, len(fields), fields.dtype)
            return self._means_of(theta, chains["visible"], rows, fields)
        bits = to_bits(theta, self.lows)
        moments = chain_sweeps_and_moments(rng, *_layers(chains), *bits, n_sweeps, self.lows)
        return statistics_from_bits(*moments, self.lows)

    def chain_energy(self, theta, chains):
        """Energy of both layers of each chain, shape (n,), float64."""
        fields = self._drive_fields(theta, chains["visible"]) + theta["hidden_bias"]
        coupled = np.einsum("nj,nj->n", fields, chains["hidden"], dtype=float)
        return self._layer.alone(theta, chains["visible"]) - coupled

    def chain_statistics(self, theta, chains):
        """Mean over chains of ``-dE/dtheta``, hidden units replaced by their conditional means."""
        return self.statistics(theta, chains["visible"])

    def visible(self, chains):
        """Visible units of each chain, shape (n, n_visible)."""
        return chains["visible"]

    def hidden_probabilities(self, theta, v):
        """``P(h_j = 1 | v)``, shape (N, n_hidden); v may be sparse."""
        means = self._hidden_means(theta, self._drive_fields(theta, self._rows(theta, v)))
        return means if self.lows[1] == 0 else (1 + means) / 2

    def visible_mean(self, theta, h):
        """Mean of the visible units given h, shape (N, n_visible)."""
        return self._layer.mean(theta, self._push(theta, h))

    def sample_visible(self, theta, h, rng):
        """Draw visible units given h, shape (N, n_visible)."""
        return self._layer.sample(theta, self._push(theta, h), rng)

    def sample_hidden(self, theta, v, rng):
        """Draw hidden units given v, shape (N, n_hidden)."""
        v = self._rows(theta, v)
        if not self._gaussian and not issparse(v):
            w, _, b = to_bits(theta, self.lows)
            drawn = draw_hidden(rng, v, w, b, self.lows)
            if drawn is not None:
                return drawn
        fields = self._drive_fields(theta, v) + theta["hidden_bias"]
        return draw_states(rng, (1 - self.lows[1]) * fields, self.lows[1])

    def exact(self, theta):
        """Return log Z and the statistics under the model, summed over the smaller layer.

        Log Z is infinite where a variance is too large or too small for a float.

        Raises
        ------
        ValueError
            If both layers, or the hidden one under Gaussian units, have more than 24 units.
        """
        if self._gaussian:
            if np.abs(theta["log_variance"]).max() > LARGEST_LOG:
                return np.inf, {name: np.zeros_like(value) for name, value in theta.items()}
            log_z, statistics = gaussian_moments(theta, self.lows[1])
        else:
            log_z, statistics = two_state_moments(theta, self.lows)
        return log_z, {name: statistics[name].astype(theta[name].dtype) for name in theta}

    def flip_loss(self, theta, x, kind, weights=None):
        """Return a loss made of the cost of flipping each unit, and its gradient.

        The mean over rows of ``sum_i f(Delta_i)`` with ``Delta_i = F(x with unit i flipped) -
        F(x)``. ``kind`` is "pseudolikelihood" (``f = softplus(-Delta)``), "ratio-matching"
        (``sigmoid(-Delta)**2``) or "probability-flow" (``exp(-Delta / 2)``). A flip mirrors means
        between the two states, too.
        """
        if self._gaussian:
            raise ValueError(
                "Gaussian visible units cannot be flipped; use contrastive divergence or score "
                "matching"
            )
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {tuple(KINDS)}, got {kind!r}")
        x = self._rows(theta, x)
        low = self.lows[0]
        bits = (dense(x) - low) / (1 - low)
        loss, gradient = flip_loss(
            bits, *to_bits(theta, self.lows), kind, _normalised(weights, len(bits))
        )
        gradient = gradient_from_bits(*gradient, self.lows)
        return loss, {name: g.astype(theta[name].dtype, copy=False) for name, g in gradient.items()}

    def offsets(self, data, negative, previous=None):
        """Running means of both layers under data and model, for :meth:`centre`."""
        now = [(data[name] + negative[name]) / 2 for name in ("visible_bias", "hidden_bias")]
        if previous is None:
            return now
        return [MEMORY * old + (1 - MEMORY) * new for old, new in zip(previous, now, strict=True)]

    def centre(self, gradient, offsets):
        """Return the gradient's counterpart for units measured from their offsets.

        It is the gradient of Melchior et al. [1]_, in the parameters of the units as they are.

        References
        ----------
        .. [1] Melchior, Fischer & Wiskott (2016), JMLR 17, 1-61.
        """
        v, h = offsets
        a, b = gradient["visible_bias"], gradient["hidden_bias"]
        w = gradient["weights"] - np.outer(v, b) - np.outer(a, h)
        return gradient | {"weights": w, "visible_bias": a - w @ h, "hidden_bias": b - v @ w}

    def _rows(self, theta, x):
        dtype = theta["weights"].dtype
        if issparse(x):
            return x.astype(dtype, copy=False)
        return np.ascontiguousarray(x, dtype)

    def _drive_fields(self, theta, x):
        return np.asarray(self._layer.drive(theta, x) @ theta["weights"])

    def _hidden_means(self, theta, fields):
        return unit_means(fields, theta["hidden_bias"], self.lows[1])

    def _push(self, theta, h):
        return np.asarray(h, theta["weights"].dtype) @ theta["weights"].T

    def _means_of(self, theta, x, row_weights, fields):
        """Statistics at rows with these hidden fields, which are overwritten."""
        hidden = row_weights[:, None] * self._hidden_means(theta, fields)
        pairs = np.asarray(self._layer.drive(theta, x).T @ hidden)
        own = self._layer.statistics(theta, x, row_weights, pairs)
        return {"weights": pairs, "hidden_bias": hidden.sum(axis=0), **own}

    def _gaussian_sweeps(self, theta, chains, rng, n_sweeps, beta):
        """Sweep in place; return the last fields of the hidden units, without their bias."""
        span = 1 - self.lows[1]
        for _ in range(n_sweeps):
            push = self._push(theta, chains["hidden"])
            chains["visible"][...] = self._layer.sample(theta, push, rng, beta)
            fields = self._drive_fields(theta, chains["visible"])
            odds = fields.dtype.type(beta * span) * (fields + theta["hidden_bias"])
            chains["hidden"][...] = draw_states(rng, odds, self.lows[1])
        return fields


def _layers(chains):
    return chains["visible"], chains["hidden"]


def _normalised(weights, n, dtype=float):
    """Row weights that sum to 1."""
    if weights is None:
        return np.full(n, 1 / n, dtype)
    weights = np.asarray(weights, float)
    if weights.shape != (n,) or not weights.sum() > 0:
        raise ValueError(f"weights must have shape ({n},) and a positive sum, got {weights}")
    return (weights / weights.sum()).astype(dtype)
