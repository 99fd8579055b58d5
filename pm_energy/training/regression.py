"""Learning a network by regression on noisy data: one compiled loop for every such objective.

Batches, noise, levels, both passes through the network, Adam and the running average of the
parameters are one compiled function, called for some steps at a time. Most of its time goes into
the matrix products of the BLAS that scipy brings: where OpenBLAS does not recognise a processor
with AVX-512, setting ``OPENBLAS_CORETYPE=SkylakeX`` from outside halves them.

References
----------
.. [1] Vincent (2011), "A connection between score matching and denoising autoencoders", Neural
   Computation 23, 1661-1674.
.. [2] Kingma & Ba (2015), "Adam: a method for stochastic optimization", ICLR.
.. [3] Tong et al. (2024), "Improving and generalizing flow-based generative models with minibatch
   optimal transport", TMLR.
"""

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from pm_energy.kernels.mlp_activations import activation_address
from pm_energy.kernels.mlp_training import train_steps
from pm_energy.networks.features import checked_labels
from pm_energy.training.progress import Progress
from pm_energy.training.regression_batches import COUPLINGS, Batches
from pm_energy.training.schedules import Schedule
from pm_energy.validate import numeric_array, positive, positive_int

FLOPS = 1e10  # of a call of the kernel: some tenths of a second
PERCENT = 100
BACKENDS = ("numba", "jax")


@dataclass
class Trained:
    """What learning leaves behind, and all that it takes to go on.

    Attributes
    ----------
    theta : dict of str to array
        The parameters. If the loss stopped being finite, those of some steps before.
    average : dict of str to array
        Their running average.
    losses : array, shape (n_steps,)
        Of all steps that were made, earlier ones of a run that was continued among them.
    failure : str
        Empty, or at which step the loss was not finite.
    moments : tuple of array
        Adam's, flat.
    n_steps : int
        Steps that made the parameters what they are.
    """

    theta: dict
    average: dict
    losses: np.ndarray
    failure: str
    moments: tuple
    n_steps: int

    def learner(self, network):
        """Return copies of parameters, moments and averages, flat, for kernels to change."""
        parts = network.flatten(self.theta), *self.moments, network.flatten(self.average)
        return [np.array(part, np.float32) for part in parts]


def train(
    network,
    start,
    x,
    levels,
    rng,
    *,
    n_steps,
    batch_size=128,
    rates=1e-3,
    decay=0.0,
    max_norm=None,
    keep=0.999,
    labels=None,
    drop_label=0.1,
    weights=None,
    coupling="independent",
    backend="numba",
    progress=False,
):
    """Learn a network from noisy data by Adam, in float32.

    The loss is the mean over a batch of ``weight * sum((output - target)**2)``.

    Parameters
    ----------
    network : MLP
        With as many outputs as inputs.
    start : dict of str to array, or Trained
        Parameters; or an earlier run to go on from, which stays as it is.
    x : array_like, shape (N, d)
        Data.
    levels : NoiseLevels
        Noise and targets; see :func:`~pm_energy.training.regression_noise.score_levels` and
        :func:`~pm_energy.training.regression_noise.path_levels`.
    rng : numpy.random.Generator
    n_steps, batch_size : int
    rates : float, Schedule or array_like, shape (n_steps,)
        Learning rates. A schedule goes on where an earlier run ended.
    decay : float
        Decoupled decay of the weights, not of the biases (AdamW).
    max_norm : float, optional
        A gradient of a larger norm is scaled down to it.
    keep : float
        How much of the running average is kept at each step; at early steps less.
    labels : array_like of int, shape (N,), optional
        For a network with ``n_classes``; -1 is none.
    drop_label : float
        Probability that a row is learned from without its label.
    weights : array_like, shape (N,), optional
        Of the rows, not negative.
    coupling : {"independent", "optimal"}
        Which noise goes with which row: "optimal" pairs those of a batch so that the sum of their
        squared distances is least, which makes the paths of flow matching straighter and a
        step of 128 rows some milliseconds longer.
    backend : {"numba", "jax"}
        "jax" makes the same steps from the same batches, equal to rounding, in one loop that JAX
        compiles for some seconds; for large networks, and for what accelerators JAX knows.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Trained

    Raises
    ------
    ValueError
        If an argument is out of range or does not fit the others.
    ImportError
        If JAX is wanted and not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.networks import MLP
    >>> from pm_energy.training.regression import train
    >>> from pm_energy.training.regression_noise import score_levels
    >>> rng = np.random.default_rng(0)
    >>> network, levels = MLP(1, 1, hidden=()), score_levels(1.0)
    >>> x = rng.normal(size=(5_000, 1))  # with noise of the same size the score is -x / 2
    >>> found = train(network, network.init(rng), x, levels, rng, n_steps=2_000, rates=0.01)
    >>> print(found.average["weights_0"].round(1))
    [[-0.5]]
    """
    x, labels, weights = _checked_data(network, x, labels, weights)
    batch_size, n_steps = positive_int("batch_size", batch_size), positive_int("n_steps", n_steps)
    if coupling not in COUPLINGS:
        raise ValueError(f"coupling must be one of {', '.join(COUPLINGS)}, got {coupling!r}")
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    run = resume(network, start)
    rates = _rates(rates, run.n_steps, n_steps)
    settings = (
        _in_range("decay", decay, np.inf),
        np.inf if max_norm is None else float(positive("max_norm", max_norm)),
        _in_range("keep", keep, 1.0),
    )
    drop_label = _in_range("drop_label", drop_label, 1.0 + 1e-12)
    size = int(np.clip(FLOPS / (6 * batch_size * network.flatten(run.theta).size), 1, n_steps))
    batches = Batches(
        network, (x, labels, weights), levels, rng, size, batch_size, coupling, drop_label
    )
    steps = _steps(network, batches.size, batch_size, settings, backend)
    # BLAS threads take longer over such small matrices
    bar = Progress("learning", PERCENT, progress)
    with bar, threadpool_limits(1, user_api="blas"):
        return _loop(network, run, batches, rates, steps, bar)


def _steps(network, size, batch_size, settings, backend):
    """``steps(learner, batches, rates, done, losses)``, which learns and says how many it made."""
    if backend == "jax":
        from pm_energy.training.regression_jax import jax_steps

        return jax_steps(network, size, batch_size, settings)
    sizes = np.array(network.sizes, np.int64)
    architecture = sizes, activation_address(network.activation, "float32"), bool(network.residual)

    def steps(learner, batches, rates, done, losses):
        flat = tuple(part.reshape(-1) for part in batches)
        return train_steps(architecture, learner, batch_size, flat, rates, settings, done, losses)

    return steps


def _loop(network, run, batches, rates, steps, bar):
    """Make some steps at a time, so that a bar can move and Ctrl-C is heard."""
    learner = run.learner(network)
    losses, done, failure = np.empty(len(rates)), 0, ""
    good = done, [np.array(part) for part in learner]
    while done < len(rates):
        before = done, [np.array(part) for part in learner]
        chunk = slice(done, min(done + batches.size, len(rates)))
        made = batches.make(chunk.stop - done)
        finished = done + steps(
            tuple(learner), made, rates[chunk], run.n_steps + done, losses[chunk]
        )
        good = before if finished > done else good  # they gave a finite loss
        if finished < chunk.stop or not np.isfinite(learner[0]).all():
            done, learner = good
            losses = losses[:finished]
            failure = (
                f"the loss was not finite at step {run.n_steps + finished + 1}; the parameters are "
                f"those after step {run.n_steps + done}"
            )
            break
        for _ in range(PERCENT * chunk.stop // len(rates) - PERCENT * done // len(rates)):
            bar.advance(f"loss {losses[chunk].mean():.4g}")
        done = chunk.stop
    theta, mean, square, average = learner
    return Trained(
        network.unflatten(theta), network.unflatten(average), np.append(run.losses, losses),
        failure, (mean, square), run.n_steps + done,
    )  # fmt: skip


def resume(network, start):
    """Return an earlier run as it is, or one of no steps from parameters to start with."""
    if isinstance(start, Trained):
        return start
    n = network.flatten(start).size
    moments = np.zeros(n, np.float32), np.zeros(n, np.float32)
    return Trained(start, start, np.empty(0), "", moments, 0)


def _checked_data(network, x, labels, weights):
    """Data, labels and weights as the kernel reads them: empty arrays for what there is not."""
    if network.n_out != network.n_in:
        raise ValueError(
            f"the network must have as many outputs as inputs, got {network.n_out} and "
            f"{network.n_in}"
        )
    x = np.ascontiguousarray(numeric_array("x", x), np.float32)
    if x.ndim != 2 or x.shape[1] != network.n_in or not len(x):
        raise ValueError(f"x must have shape (N, {network.n_in}) with N > 0, got {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("x must be finite, got NaN or infinity")
    if labels is None:
        labels = np.empty(0, np.int64)
    else:
        if not network.n_classes:
            raise ValueError("labels must be left out: the network has n_classes=0")
        labels = checked_labels(labels, network.n_classes)
        if labels.shape != (len(x),):
            raise ValueError(f"labels must have shape ({len(x)},), got {labels.shape}")
    if weights is None:
        return x, labels, np.empty(0, np.float32)
    weights = numeric_array("weights", weights)
    if weights.shape != (len(x),) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(f"weights must be {len(x)} finite numbers, none of them negative")
    if not weights.any():
        raise ValueError("weights must not all be zero")
    return x, labels, (weights / weights.mean()).astype(np.float32)


def _rates(rates, first, n_steps):
    """A learning rate for each step."""
    if isinstance(rates, Schedule):
        return np.array([float(rates(step)) for step in range(first, first + n_steps)])
    rates = numeric_array("rates", rates).astype(float)
    if rates.shape not in ((), (n_steps,)) or not (np.isfinite(rates) & (rates >= 0)).all():
        raise ValueError(
            f"rates must be a schedule, a number or {n_steps} numbers, none negative, got shape "
            f"{rates.shape}"
        )
    return np.ascontiguousarray(np.broadcast_to(rates, (n_steps,)))


def _in_range(name, value, below):
    value = float(numeric_array(name, value))
    if not 0 <= value < below:
        raise ValueError(f"{name} must be at least 0 and below {below:g}, got {value}")
    return value
