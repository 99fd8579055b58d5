"""Where EM of a Gaussian mixture starts: from the data, or from given parameters."""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.metrics import pairwise_distances_argmin
from sklearn.utils.validation import check_array

from pm_energy.training.em_coordinates import Mixture
from pm_energy.training.em_mixture import SMALLEST_SHARE, maximise

PARTS = ("weights", "means", "covariances")
INIT_PARAMS = ("kmeans", "k-means++", "random", "random_from_data")


def start_responsibilities(x, weights, n_components, init_params, random_state):
    """Draw responsibilities, shape (n, k), in scikit-learn's ways.

    Parameters
    ----------
    x : ndarray, shape (n, d)
        Centred; without missing entries.
    weights : ndarray, shape (n,)
    n_components : int
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}
    random_state : numpy.random.RandomState
    """
    if init_params == "random":
        found = random_state.uniform(size=(len(x), n_components))
        return found / found.sum(axis=1, keepdims=True)
    if init_params == "kmeans":
        clusters = KMeans(n_components, n_init=1, random_state=random_state)
        labels = clusters.fit(x, sample_weight=weights).labels_
    else:
        if init_params == "k-means++":
            centres, _ = kmeans_plusplus(
                x, n_components, sample_weight=weights, random_state=random_state
            )
        else:
            centres = x[random_state.choice(len(x), size=n_components, replace=False)]
        labels = pairwise_distances_argmin(x, centres)
    return np.eye(n_components)[labels]


def start_mixture(z, weights, responsibilities, mixture, ridge):
    """Return the mixture of clusters.

    Parameters
    ----------
    z : ndarray, shape (d, n)
        Where entries are NaN, they count as draws from a standard Gaussian.
    weights : ndarray, shape (n,)
    responsibilities : ndarray, shape (n, k)
    mixture : Mixture
        Gives the kind; a cluster without rows keeps its mean and covariance.
    ridge : float or ndarray
    """
    kind, (d, _) = mixture.kind, z.shape
    missing = np.isnan(z)
    z = np.where(missing, 0.0, z) if missing.any() else z
    counts, means, seconds = [], [], []
    for column in responsibilities.T:
        share = weights * column
        count = share.sum()
        mean = z @ share / count if count else np.zeros(d)
        away = z - mean[:, None]
        second = (away * share) @ away.T if kind in ("full", "tied") else away**2 @ share
        lost = missing @ share
        second += np.diag(lost) if second.ndim == 2 else lost
        counts.append(count)
        means.append(mean)
        seconds.append(second)
    second = np.array(seconds)
    if kind == "tied":
        second = second.sum(axis=0)
    elif kind == "spherical":
        second = second.sum(axis=1)
    moments = np.array(counts), np.array(means), np.zeros_like(means), second
    return maximise(mixture, moments, ridge)


def covariance_shape(kind, k, d):
    """Shape of the covariances of k components in d dimensions."""
    return {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[kind]


@dataclass(frozen=True)
class Given:
    """Parameters that a user gives, as float64 arrays; None where they are to be found."""

    kind: str
    weights: np.ndarray | None
    means: np.ndarray | None
    covariances: np.ndarray | None

    @classmethod
    def check(cls, kind, shape, weights, means, covariances, precisions, fixed):
        """Take parameters as they come.

        Raises
        ------
        ValueError
            If one has the wrong shape, is not what it says, or is fixed but not given.
        """
        k, d = shape
        if covariances is not None and precisions is not None:
            raise ValueError("give covariances_init or precisions_init, not both")
        of_kind = covariance_shape(kind, k, d)
        if weights is not None:
            weights = _array("weights_init", weights, (k,))
            if (weights < 0.0).any() or abs(weights.sum() - 1.0) > 1e-6:
                raise ValueError(
                    "weights_init must be at least 0 and sum to 1, but the smallest is "
                    f"{weights.min():.3g} and the sum {weights.sum():.8g}"
                )
            weights = np.maximum(weights, SMALLEST_SHARE)
        if means is not None:
            means = _array("means_init", means, (k, d))
        if covariances is not None:
            covariances = _positive("covariances_init", covariances, of_kind, kind)
        if precisions is not None:
            precisions = _positive("precisions_init", precisions, of_kind, kind)
            matrices = kind in ("full", "tied")
            covariances = np.linalg.inv(precisions) if matrices else 1.0 / precisions
        found = cls(kind, weights, means, covariances)
        for part in fixed:
            if part not in PARTS:
                raise ValueError(f"fixed may hold {', '.join(PARTS)}; got {part!r}")
            if getattr(found, part) is None:
                raise ValueError(f"fixed names {part}: give {part}_init, at which to hold them")
        return found

    def start(self, k, coordinates, rows, init_params, random_state, ridge):
        """Return a mixture of k components over z with these parameters, and others from rows."""
        d = len(rows.z)
        covariances = {
            "full": np.tile(np.eye(d), (k, 1, 1)),
            "tied": np.eye(d),
            "diag": np.ones((k, d)),
            "spherical": np.ones(k),
        }[self.kind]
        found = Mixture(self.kind, np.full(k, 1.0 / k), np.zeros((k, d)), covariances)
        known = {part: getattr(self, part) for part in PARTS if getattr(self, part) is not None}
        if len(known) < len(PARTS):
            x = np.nan_to_num(coordinates.away(rows.z))  # a missing entry is at the column's mean
            share = start_responsibilities(x, rows.weights, k, init_params, random_state)
            found = start_mixture(rows.z, rows.weights, share, found, ridge)
        return coordinates.into(coordinates.back(found)._replace(**known))


def _array(name, value, shape):
    value = check_array(
        value, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name=name, copy=True
    )
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {value.shape}")
    return value


def _positive(name, value, shape, kind):
    value = _array(name, value, shape)
    if kind in ("diag", "spherical"):
        smallest = value.min()
    elif not np.allclose(value, value.swapaxes(-1, -2)):
        raise ValueError(f"{name} must be symmetric")
    else:
        smallest = np.linalg.eigvalsh(value).min()
    if smallest <= 0.0:
        raise ValueError(
            f"{name} must be positive definite, but the smallest eigenvalue is {smallest:.3g}"
        )
    return value
