"""Whether two samples come from one distribution: a classifier's accuracy, and a kernel's distance.

A sampler that learned its target cannot be told from fresh data; how well one can tell is a measure
that needs no density on either side.
"""

import numbers
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist, pdist
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state

from pm_energy.validate import numeric_array, positive_int

MANY = 1000  # rows whose distances give the median
OCTAVES = (1.0, 2.0, 4.0)  # frequencies are those of the median distance, and finer ones


class Accuracy(NamedTuple):
    """Share of points told rightly, and its standard error."""

    value: float
    error: float


class Discrepancy(NamedTuple):
    """Squared distance of two distributions, and how often one as large is chance."""

    squared: float
    p_value: float | None


def c2st(x, y, *, n_features=100, n_folds=5, random_state=None):
    """Classifier two-sample test: how well a classifier tells one sample from the other [1]_.

    Logistic regression on random Fourier features [2]_ of the columns divided by their standard
    deviations, at the scale of the median distance and at a half and a quarter of it. Each point is
    judged by a classifier that has not seen it. The accuracy is 1/2 if the distributions are equal,
    and 1 if they do not overlap.

    Parameters
    ----------
    x, y : array_like, shape (n, d) and (m, d)
        Samples of independent points.
    n_features : int
        Random frequencies, each with a sine and a cosine.
    n_folds : int
        Parts, each judged by a classifier that learned from the others.
    random_state : int, RandomState or None
        Chooses frequencies and parts.

    Returns
    -------
    Accuracy
        ``value``, the mean of the accuracies on x and on y, so that 1/2 is chance for samples of
        any sizes; ``error``, its standard error. That is the binomial one of half as many points:
        of equal distributions each pair of points misleads twice, each judging the other, and
        cross-validated accuracies vary by up to a root of two more than independent ones.

    Raises
    ------
    ValueError
        If samples are not finite, differ in columns or have fewer rows than parts.

    References
    ----------
    .. [1] Lopez-Paz & Oquab (2017), Revisiting classifier two-sample tests, ICLR.
    .. [2] Rahimi & Recht (2007), Random features for large-scale kernel machines, NIPS 20.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> x, y = np.random.default_rng(0).normal(size=(2, 300, 2))
    >>> same = pme.diagnostics.c2st(x, y, random_state=0)
    >>> abs(same.value - 0.5) < 3 * same.error
    True
    >>> pme.diagnostics.c2st(x, y + 5, random_state=0).value > 0.99
    True
    """
    x, y = _samples(x, y)
    positive_int("n_features", n_features)
    if positive_int("n_folds", n_folds) < 2 or min(len(x), len(y)) < n_folds:
        raise ValueError(
            f"n_folds must be at least 2 and at most the rows of a sample, {min(len(x), len(y))}, "
            f"got {n_folds}"
        )
    random_state = check_random_state(random_state)
    both = np.concatenate([x, y])
    both -= both.mean(axis=0)
    scale = both.std(axis=0)
    both /= np.where(scale > 0, scale, 1.0)
    labels = np.repeat([0, 1], [len(x), len(y)])
    frequencies = random_state.normal(size=(both.shape[1], n_features))
    frequencies *= np.resize(OCTAVES, n_features) / _median_distance(both, random_state)
    angles = both @ frequencies
    features = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    classifier = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=0.1, class_weight="balanced", solver="newton-cholesky"),
    )
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    right = cross_val_predict(classifier, features, labels, cv=folds) == labels
    accuracies = np.array([right[labels == k].mean() for k in (0, 1)])
    variance = accuracies * (1 - accuracies) / [len(x), len(y)]
    return Accuracy(float(accuracies.mean()), float(np.sqrt(2 * variance.sum()) / 2))


def mmd(x, y, *, bandwidth="median", n_permutations=0, random_state=None):
    r"""Maximum mean discrepancy of two samples, squared, by the unbiased estimator [1]_.

    .. math:: E\,k(x, x') + E\,k(y, y') - 2 E\,k(x, y), \quad k(a, b) = e^{-|a - b|^2 / 2 h^2}

    Zero, on average, if the distributions are equal, so an estimate may be negative.

    Parameters
    ----------
    x, y : array_like, shape (n, d) and (m, d)
        Samples of independent points.
    bandwidth : float or "median"
        The h of the kernel, in units of x; by default the median distance between points of both
        samples (of a thousand of them, if there are more).
    n_permutations : int
        How often to mix the two samples, for a p-value; 0 gives none.
    random_state : int, RandomState or None

    Returns
    -------
    Discrepancy
        ``squared`` and ``p_value``, the share of mixtures, the one given included, with as large a
        value; None without permutations.

    Raises
    ------
    ValueError
        If samples are not finite, differ in columns or have fewer than two rows.

    References
    ----------
    .. [1] Gretton et al. (2012), A kernel two-sample test, JMLR 13, 723-773.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> x, y = np.random.default_rng(0).normal(size=(2, 200, 2))
    >>> round(pme.diagnostics.mmd(x, y + 1).squared, 2)
    0.22
    >>> pme.diagnostics.mmd(x, y, n_permutations=99, random_state=0).p_value > 0.05
    True
    """
    x, y = _samples(x, y)
    if isinstance(n_permutations, bool) or not isinstance(n_permutations, numbers.Integral):
        raise ValueError(f"n_permutations must be an integer, got {n_permutations!r}")
    if n_permutations < 0:
        raise ValueError(f"n_permutations must be at least 0, got {n_permutations}")
    random_state = check_random_state(random_state)
    both = np.concatenate([x, y])
    if isinstance(bandwidth, str) and bandwidth == "median":
        bandwidth = _median_distance(both, random_state)
    elif (
        isinstance(bandwidth, bool)
        or not isinstance(bandwidth, numbers.Real)
        or not 0 < bandwidth < np.inf
    ):
        raise ValueError(f"bandwidth must be a positive number or 'median', got {bandwidth!r}")
    kernel = np.exp(cdist(both, both, "sqeuclidean") / (-2.0 * bandwidth**2))
    np.fill_diagonal(kernel, 0.0)  # a point with itself is what biases the plain estimator
    first = np.zeros((len(both), 1 + n_permutations))
    first[: len(x), 0] = 1.0
    for column in range(1, 1 + n_permutations):
        first[random_state.permutation(len(both))[: len(x)], column] = 1.0
    values = _unbiased(kernel, first)
    if not n_permutations:
        return Discrepancy(float(values[0]), None)
    slack = 1e-12 * kernel.max()  # the same mixture drawn anew sums in another order
    return Discrepancy(float(values[0]), float(np.mean(values >= values[0] - slack)))


def _unbiased(kernel, first):
    """Discrepancies for each column of ``first``, which marks the points of the first sample."""
    n = first[:, 0].sum()
    m = len(first) - n
    to_first = kernel @ first
    within = (first * to_first).sum(axis=0)
    across = to_first.sum(axis=0) - within
    rest = kernel.sum() - within - 2 * across
    return within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m)


def _median_distance(x, random_state):
    if len(x) > MANY:
        x = x[random_state.permutation(len(x))[:MANY]]
    median = np.median(pdist(x))
    return median if median > 0 else 1.0


def _samples(x, y):
    arrays = []
    for name, sample in (("x", x), ("y", y)):
        array = numeric_array(name, sample).astype(np.float64)
        if array.ndim != 2 or len(array) < 2 or not array.shape[1]:
            raise ValueError(f"{name} must have shape (n, d), n at least 2, got {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity: drop what diverged")
        arrays.append(array)
    if arrays[0].shape[1] != arrays[1].shape[1]:
        raise ValueError(
            f"x and y must have as many columns, got {arrays[0].shape[1]} and {arrays[1].shape[1]}"
        )
    return arrays
