"""Variational autoencoder: a density learned with a code for each row, as an estimator."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data
from threadpoolctl import threadpool_limits

from pm_energy.estimators.base import EnergyEstimator, generator
from pm_energy.estimators.learning import raise_divergence
from pm_energy.estimators.vae_queries import AutoencoderQueries
from pm_energy.training.fit import fit
from pm_energy.training.optimisers import Updates, make_optimiser
from pm_energy.training.progress import Progress
from pm_energy.training.recipe import SCHEDULES, make_schedule
from pm_energy.training.vae_chain import LIKELIHOODS, LatentChain
from pm_energy.training.vae_objective import Bound
from pm_energy.validate import positive_int

ACTIVATIONS = ("silu", "tanh", "softplus", "relu")


class VariationalAutoencoder(AutoencoderQueries, EnergyEstimator):
    r"""Variational autoencoder [1]_: latents are normal, data are what a network makes of them.

    .. math:: z \sim N(0, 1), \quad x \mid z \sim N(f(z), s^2)
        \text{ or Bernoulli}(\sigma(f(z)))

    A second network, the encoder, guesses the latents of a row; both climb the evidence lower
    bound. Without hidden layers the model is that of probabilistic principal component analysis
    [2]_, and so is the optimum.

    Real data are centred and divided by one number before they are learned from; everything that is
    given back is in the units of X.

    Parameters
    ----------
    n_components : int or tuple of int
        Latent units; of several, a chain of latent layers, from the one next to the data upwards,
        each drawn given the one above it.
    hidden : tuple of int
        Units of the hidden layers of each network, from its input to its output.
    activation : {"silu", "tanh", "softplus", "relu"}
    likelihood : {"gaussian", "bernoulli"}
        Real data with one variance of the noise, or data in [0, 1], bits or their probabilities.
    beta : float
        Weight of the KL in what is learned; 1 is the bound, more gives simpler codes [3]_.
    noise_variance : float or None
        Variance of Gaussian noise, in squared units of X; None learns it.
    learning_rate : float
        Of Adam.
    schedule : {"cosine", "linear", "constant"}
        How the rate falls to zero over the updates of :meth:`fit`.
    batch_size : int
    n_iter : int
        Passes over the data.
    warm_start : bool
        Whether :meth:`fit` goes on from what was learned.
    verbose : bool or int
        Whether to show a progress bar.
    random_state : int, RandomState or None

    Attributes
    ----------
    parameters_ : ndarray
        Of all networks, one after the other.
    mean_ : ndarray, shape (n_features,)
        Subtracted from real data before they enter a network.
    scale_ : float
        Real data are divided by it.
    noise_variance_ : float
        Of Gaussian data, in squared units of X.
    energy_ : DecoderEnergy
        Of latents and data jointly.
    history_ : dict of str to ndarray
        After each pass: ``bound``, ``reconstruction`` and ``kl``, means over its batches, in nats a
        row. The bound is the one with beta = 1.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    References
    ----------
    .. [1] Kingma & Welling (2014), Auto-encoding variational Bayes, ICLR.
    .. [2] Lucas, Tucker, Grosse & Norouzi (2019), Don't blame the ELBO! A linear VAE perspective on
       posterior collapse, NeurIPS 32.
    .. [3] Higgins et al. (2017), beta-VAE, ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.estimators import VariationalAutoencoder
    >>> angle = np.random.default_rng(0).uniform(0, np.pi, 500)
    >>> X = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> vae = VariationalAutoencoder(1, hidden=(32,), batch_size=20, random_state=0).fit(X)
    >>> vae.transform(X).shape
    (500, 1)
    >>> bool(np.mean((vae.reconstruct(X) - X) ** 2) < 0.01)
    True
    """

    _dims: ClassVar = {"parameters_": ("parameter",), "mean_": ("feature",)}
    _parameter_constraints: ClassVar = {
        "n_components": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "hidden": [tuple, list],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "likelihood": [StrOptions(set(LIKELIHOODS))],
        "beta": [Interval(Real, 0, None, closed="left")],
        "noise_variance": [Interval(Real, 0, None, closed="neither"), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions(set(SCHEDULES))],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=8,
        *,
        hidden=(128,),
        activation="silu",
        likelihood="gaussian",
        beta=1.0,
        noise_variance=None,
        learning_rate=5e-3,
        schedule="cosine",
        batch_size=100,
        n_iter=100,
        warm_start=False,
        verbose=0,
        random_state=None,
    ):
        self.n_components = n_components
        self.hidden = hidden
        self.activation = activation
        self.likelihood = likelihood
        self.beta = beta
        self.noise_variance = noise_variance
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X, y=None):
        """Learn both networks from data.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X is not finite, or not in [0, 1] with a Bernoulli likelihood, or a parameter is out
            of range.
        FloatingPointError
            If learning diverges. The parameters are then those of the last good pass.
        """
        self._validate_params()
        goes_on = self.warm_start and hasattr(self, "parameters_")
        return self._learn(X, goes_on, self.n_iter, self.schedule)

    def partial_fit(self, X, y=None):
        """Learn from some more data: one pass over it, at a constant rate.

        The first call chooses the scale of real data.

        Parameters
        ----------
        X, y
            As in :meth:`fit`.

        Returns
        -------
        self
        """
        self._validate_params()
        return self._learn(X, hasattr(self, "parameters_"), 1, "constant")

    def _learn(self, X, goes_on, n_epochs, schedule):
        latents = _sizes("n_components", self.n_components)
        hidden = _sizes("hidden", self.hidden, least=0)
        X = self._validated(X, reset=not goes_on)
        chain = LatentChain(X.shape[1], latents, hidden, self.activation, self.likelihood)
        if goes_on:
            if chain != self._chain:
                raise ValueError("the layers have changed since the last fit: set warm_start=False")
            flat, rng = self.parameters_.astype(X.dtype), self._state["rng"]
        else:
            rng = generator(self.random_state)
            self._scale_by(X)
            flat = chain.init(rng, X.dtype)
        if self.noise_variance is not None:
            flat[-1] = np.log(self.noise_variance / self.scale_**2)
        theta = {"parameters": flat}
        n_steps = n_epochs * -(-len(X) // self.batch_size)
        rate = make_schedule(schedule, self.learning_rate, n_steps)
        updates = Updates(make_optimiser("adam", rate), theta)
        if goes_on and schedule == "constant" and "slot_0" in self._state["updates"]:
            updates.restore(self._state["updates"])
        objective = Bound(self.beta, self.noise_variance is not None, self._log_volume())
        progress = Progress(f"fit {type(self).__name__}", n_epochs, self.verbose)
        quiet = np.errstate(over="ignore", invalid="ignore")  # divergence has its own warning
        with progress, quiet, threadpool_limits(1, user_api="blas"):  # matrices are small
            fitted = fit(
                chain, theta, objective, X, updates, rng,
                batch_size=self.batch_size, n_epochs=n_epochs, read=self._read, progress=progress,
            )  # fmt: skip
        self._chain_sizes = [list(latents), list(hidden), self.activation, self.likelihood]
        self.parameters_ = fitted.theta["parameters"]
        kept = schedule == "constant" and not fitted.failure
        self._state = {"rng": rng, "updates": updates.state() if kept else {}}
        self._seed = int(rng.integers(2**31))
        self.history_ = fitted.history
        self.n_iter_ = fitted.n_epochs
        raise_divergence(
            fitted.failure and f"{fitted.failure}; the parameters are those of the pass before"
        )
        return self

    @property
    def _chain(self):
        latents, hidden, activation, likelihood = self._chain_sizes
        return LatentChain(
            self.n_features_in_, tuple(latents), tuple(hidden), activation, likelihood
        )

    @property
    def _n_features_out(self):
        return self._chain.latents[-1]

    def _validated(self, X, reset=False):
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=reset)
        if self.likelihood == "bernoulli" and (X.min() < 0 or X.max() > 1):
            raise ValueError(
                f"X must lie between 0 and 1 with likelihood='bernoulli', got values from "
                f"{X.min():.4g} to {X.max():.4g}. Scale it, for instance by "
                "sklearn.preprocessing.MinMaxScaler, or use likelihood='gaussian'"
            )
        return X

    def _scale_by(self, X):
        self.mean_, self.scale_ = np.zeros(X.shape[1]), 1.0
        if self.likelihood == "gaussian":
            self.mean_ = X.mean(axis=0, dtype=np.float64)
            # one number for all columns, so that noise of one variance is the same model
            self.scale_ = float(np.sqrt(((X - self.mean_) ** 2).mean())) or 1.0

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _sizes(name, value, least=1):
    sizes = (value,) if isinstance(value, Integral) else tuple(value)
    if len(sizes) < least:
        raise ValueError(f"{name} must name at least {least} layer, got {value!r}")
    return tuple(positive_int(f"each number in {name}", size) for size in sizes)
