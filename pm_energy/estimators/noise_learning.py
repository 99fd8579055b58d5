"""From an estimator's settings to a network learned from noisy data."""

from dataclasses import replace

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from pm_energy.diffusion import (
    CosineVP,
    StraightPath,
    SubVP,
    VarianceExploding,
    VariancePreserving,
)
from pm_energy.networks import MLP
from pm_energy.training.recipe import make_schedule
from pm_energy.training.regression import Trained, train
from pm_energy.training.regression_noise import path_levels

NOISES = {
    "vp": VariancePreserving,
    "cosine": CosineVP,
    "sub-vp": SubVP,
    "ve": VarianceExploding,
    "straight": StraightPath,
}
UNLABELLED = 0.1  # share of rows that are learned from without their labels
MANY = 1000  # rows whose largest distance is looked for


def make_network(made, n_features, schedule):
    """Return the network of settings; what it is told of the time is the log SNR.

    Parameters
    ----------
    made : dict
        ``hidden``, ``activation``, ``residual``, ``time_features`` and ``n_classes``.
    n_features : int
    schedule : NoiseSchedule

    Returns
    -------
    MLP
    """
    ends = (float(schedule.log_snr(t)) for t in (schedule.t_max, schedule.t_min))
    return MLP(
        n_features, n_features, tuple(made["hidden"]), made["activation"],
        time_features=made["time_features"], time_range=tuple(ends), n_classes=made["n_classes"],
        residual=made["residual"],
    )  # fmt: skip


def learn_network(settings, network, schedule, kind, x, labels, start, rng, n_steps):
    """Learn from noisy rows, anew or from where an earlier run ended.

    Parameters
    ----------
    settings : estimator
        With ``learning_rate``, ``batch_size``, ``ema``, ``backend``, ``verbose`` and
        ``_made["coupling"]``.
    network : MLP
    schedule : NoiseSchedule
    kind : {"score", "noise", "data", "velocity", "v"}
        What the network predicts.
    x : array, shape (N, d)
    labels : array of int, shape (N,), optional
    start : dict, optional
        The second result of an earlier call.
    rng : numpy.random.Generator
    n_steps : int or None
        Steps with a rate that falls to zero; None makes one pass at a constant one.

    Returns
    -------
    parameters : array
        The running average.
    state : dict
        All that it takes to go on.
    losses : array
    failure : str
        Empty, or at which step the loss was not finite.
    """
    n_steps, rates = steps_and_rates(settings, len(x), n_steps)
    found = train(
        network, network.init(rng) if start is None else resumed(network, start), x,
        told_levels(schedule, kind), rng, n_steps=n_steps, batch_size=settings.batch_size,
        rates=rates, keep=settings.ema, labels=labels, drop_label=UNLABELLED,
        coupling=settings._made["coupling"], backend=settings.backend,
        progress=bool(settings.verbose),
    )  # fmt: skip
    state = {"rng": rng, **state_of(network, found)}
    return state["average"], state, found.losses, found.failure


def told_levels(schedule, kind):
    """Levels of noise of which networks are told the log SNR."""
    levels = path_levels(schedule, kind, scaled=True)
    return replace(levels, time=schedule.log_snr(levels.time))


def steps_and_rates(settings, n_rows, n_steps):
    """Steps with a rate that falls to zero; for None one pass over the rows at a constant one."""
    if n_steps is None:
        return -(-n_rows // settings.batch_size), settings.learning_rate
    return n_steps, make_schedule("cosine", settings.learning_rate, n_steps)


def resumed(network, state):
    """The run that ended in a state."""
    return Trained(
        network.unflatten(state["theta"]), network.unflatten(state["average"]), state["losses"],
        "", (state["mean"], state["square"]), state["n_steps"],
    )  # fmt: skip


def state_of(network, found):
    """What a file holds of a run that goes on."""
    return {
        "theta": network.flatten(found.theta),
        "average": network.flatten(found.average),
        "mean": found.moments[0],
        "square": found.moments[1],
        "n_steps": int(found.n_steps),
        "losses": found.losses,
    }


def scales(x, scaling):
    """Means of features, and their deviations or the root mean square of these.

    A constant feature has scale 1, as in scikit-learn's StandardScaler.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.estimators.noise_learning import scales
    >>> print(*scales(np.array([[1.0, 5.0], [5.0, 5.0]]), "features"))
    [3. 5.] [2. 1.]
    """
    x = x.astype(np.float64)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[np.ptp(x, axis=0) == 0] = 0.0  # where rounding leaves a deviation
    if scaling == "common":
        scale = np.full_like(scale, np.sqrt((scale**2).mean()))
    return mean, np.where(scale > 0, scale, 1.0)


def largest_distance(x, rng):
    """Largest distance of a thousand rows, from which noise makes all modes one.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.estimators.noise_learning import largest_distance
    >>> largest_distance(np.array([[0.0, 0.0], [3.0, 4.0]]), np.random.default_rng(0))
    5.0
    """
    distance = float(pdist(rng.permutation(x)[:MANY]).max())
    return max(distance, 1.0)  # rows may be one point


def read_classes(y, classes):
    """Return the sorted labels of classes, or None if there are no labels.

    Raises
    ------
    ValueError
        If y is not made of classes.
    """
    if y is None:
        if classes is not None:
            raise ValueError("classes are given, but no labels: pass y")
        return None
    y = column_or_1d(y)
    check_classification_targets(y)
    return np.unique(y if classes is None else classes)


def encode_labels(y, classes, n):
    """Return places of n labels in sorted ``classes``.

    Raises
    ------
    ValueError
        If there are not n of them or one is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.estimators.noise_learning import encode_labels
    >>> encode_labels(["dog", "cat"], np.array(["cat", "dog"]), 2)
    array([1, 0])
    """
    y = column_or_1d(y)
    if len(y) != n:
        raise ValueError(f"y must have one label for each of {n} rows, got {len(y)}")
    unknown = np.setdiff1d(y, classes)
    if unknown.size:
        raise ValueError(f"y has labels {unknown.tolist()}, known are {classes.tolist()}")
    return np.searchsorted(classes, y)


def fitted_encoder(encoder, X):
    """Return an encoder that is fitted as it is, or one like it, fitted to X."""
    try:
        check_is_fitted(encoder)
    except NotFittedError:
        return clone(encoder).fit(X)
    return encoder


def read_time(schedule, t, sigma):
    """Return the time that is given, or that has a noise, or the earliest one.

    Raises
    ------
    ValueError
        If both are given, or the schedule has no such time.
    """
    if t is not None and sigma is not None:
        raise ValueError("give t or sigma, not both")
    if t is None and sigma is None:
        return schedule.t_min
    ends = schedule.t_min, schedule.t_max
    if t is not None:
        if np.ndim(t) or not ends[0] <= t <= ends[1]:
            raise ValueError(f"t must be one time from {ends[0]:g} to {ends[1]:g}, got {t!r}")
        return float(t)
    low, high = (float(np.exp(-0.5 * schedule.log_snr(end))) for end in ends)
    if np.ndim(sigma) or not low <= sigma <= high:
        raise ValueError(
            f"sigma must be one number from {low:.3g} to {high:.3g}, in units of scale_, got "
            f"{sigma!r}"
        )
    return float(np.clip(schedule.time_at(-2 * np.log(sigma)), *ends))
