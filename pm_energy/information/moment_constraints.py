"""Maximum-entropy distributions: Boltzmann distributions that have given means [1]_.

Among all distributions with means m of features f, ``exp(lambda . f) / Z`` has the largest entropy;
lambda minimises the convex dual ``log Z(lambda) - lambda . m``. So the parameters of an energy that
is linear in them are the multipliers of its statistics' means.

References
----------
.. [1] Jaynes (1957), "Information theory and statistical mechanics", Physical Review 106, 620-630.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from pm_energy.compile import energy_values, evaluate_once, numeric_leaves
from pm_energy.domains import Categorical
from pm_energy.energies.boltzmann import BoltzmannMachine
from pm_energy.energy import energy_from_function, single_block
from pm_energy.exact.enumeration import all_states
from pm_energy.structure import Leaf, Node, flatten, unflatten
from pm_energy.sufficient_statistics import statistics
from pm_energy.validate import numeric_array

MAX_STEPS = 200


@dataclass(frozen=True, eq=False)
class MaximumEntropy:
    """What :func:`maximum_entropy` found.

    Attributes
    ----------
    energy : Energy
        Of the family that was given, with its new parameters; or, of a table of features, over one
        :class:`~pm_energy.Categorical` unit, the number of the state.
    multipliers : dict of str to array, or array, shape (k,)
        The parameters that were found; where features are redundant, the least in norm, each in
        units of its spread.
    log_partition : float
    probabilities : array, shape (n_states,)
    """

    energy: Any
    multipliers: Any
    log_partition: float
    probabilities: np.ndarray


def maximum_entropy(family, moments):
    """Distribution of the largest entropy among those with given means.

    Parameters
    ----------
    family : Energy or array_like, shape (n_states, k)
        An energy that is linear in the parameters named in ``moments``, over one block of discrete
        units with few enough states to list: the features are its statistics ``-dE/dtheta``, and
        the other parameters keep their values. Or the k features of each state.
    moments : dict of str to array_like, or array_like, shape (k,)
        Means of the statistics, with the shapes of the parameters; or of the features.

    Returns
    -------
    MaximumEntropy

    Raises
    ------
    ValueError
        If no distribution has these means; or if one has, but none with a finite energy, as it
        gives some states no probability at all; or arguments do not fit.

    References
    ----------
    .. [1] Jaynes (1957), Physical Review 106, 620-630.

    Examples
    --------
    A die with the mean 4.5:

    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy import information
    >>> die = information.maximum_entropy(np.arange(1, 7)[:, None], [4.5])
    >>> die.probabilities.round(4)
    array([0.0544, 0.0788, 0.1142, 0.1654, 0.2398, 0.3475])

    Two spins that agree 9 times in 10:

    >>> pair = pme.Ising(graph=[[0, 1]], coupling=0.0)
    >>> found = information.maximum_entropy(pair, {"coupling": 0.8})
    >>> print(found.energy.coupling.round(6))  # atanh(0.8)
    1.098612
    """
    if isinstance(moments, dict):
        return _of_energy(family, moments)
    return _of_table(_finite("family", family), _finite("moments", moments))


def _of_table(features, means):
    if features.ndim != 2 or means.shape != features.shape[1:] or means.size == 0:
        raise ValueError(
            f"family must be features (n_states, k) and moments (k,), got {features.shape}, "
            f"{means.shape}"
        )
    if len(features) < 2:
        raise ValueError("family must have at least two states")
    multipliers, p, log_z = _solve(features, means, np.zeros(len(features)))
    domain = Categorical(len(features))
    energy = energy_from_function(table_energy, domain, (), gain=features @ multipliers)
    return MaximumEntropy(energy, multipliers, log_z, p)


def _of_energy(family, moments):
    structure, leaves = flatten(family)
    places = _places(structure, moments)
    values = numeric_leaves(leaves)
    means = [_mean(name, moments[name], np.shape(values[place])) for name, place in places.items()]
    if single_block(family).domain.states is None:
        raise ValueError("family must have discrete units: maximum entropy sums over all states")
    states = all_states(single_block(family))
    features = _features(family, states, places)
    shifted = [value + (place in places.values()) for place, value in enumerate(values)]
    elsewhere = _features(unflatten(structure, shifted), states, places)
    if any(not np.allclose(a, b, rtol=1e-9) for a, b in zip(features, elsewhere, strict=True)):
        raise ValueError(
            f"{type(family).__name__} must be linear in {list(moments)}: its statistics depend on "
            "the parameters"
        )
    if isinstance(family, BoltzmannMachine):
        _without_self_coupling(places, features, means)
    table = np.concatenate([f.reshape(len(states), -1) for f in features], axis=1)
    start = np.concatenate([np.ravel(values[place]) for place in places.values()])
    base = -energy_values(family, states) - table @ start  # the energy without the named parts
    multipliers, p, log_z = _solve(table, np.concatenate([m.ravel() for m in means]), base)
    parts = np.split(multipliers, np.cumsum([m.size for m in means])[:-1])
    found = {
        name: part.reshape(mean.shape)
        for name, part, mean in zip(places, parts, means, strict=True)
    }
    for name, place in places.items():
        values[place] = found[name]
    return MaximumEntropy(unflatten(structure, values), found, log_z, p)


def table_energy(x, gain):
    """Energy of a one-hot state: minus its entry in a table."""
    return -(x @ gain)


def _solve(features, means, base):
    """Minimise the dual by Newton's method; return multipliers, probabilities and log Z."""
    # coordinates in which no feature is redundant: the dual is strictly convex in them
    spread = features.std(axis=0)
    unit = np.where(spread > 0, spread, 1.0)
    centred = (features - means) / unit
    middle = centred.mean(axis=0)
    variances, axes = np.linalg.eigh((centred - middle).T @ (centred - middle) / len(centred))
    axes = axes.T[variances > 1e-12]
    off = middle - (axes @ middle) @ axes
    if np.abs(off).max() > 1e-8 * max(1.0, np.abs(middle).max()):
        raise ValueError(
            "moments contradict each other: the features obey a linear relation, which they do not"
        )
    c = centred @ axes.T
    x = np.zeros(c.shape[1])
    for _ in range(MAX_STEPS):
        odds = c @ x
        if odds.max() < -1e-6:  # a plane between the moments and the features of all states
            raise ValueError("moments must be means of the features: no distribution has these")
        value, p = _dual(odds + base)
        slope = p @ c
        curvature = (c * p[:, None]).T @ c - np.outer(slope, slope)
        try:
            step = -np.linalg.solve(curvature, slope)
        except np.linalg.LinAlgError:
            break
        change = np.ptp(c @ step)  # of log-odds: unlike the slope, it stays large at an edge
        if change < 1e-6:
            x += step  # converges quadratically: this one leaves only rounding
            value, p = _dual(c @ x + base)
            multipliers = (x @ axes) / unit
            return multipliers, p, float(value + means @ multipliers)
        size = 1.0
        while size > 1e-12 and _dual(c @ (x + size * step) + base)[0] > value + (
            1e-4 * size * (slope @ step)
        ):
            size /= 2
        x += size * step
    raise ValueError(
        "moments must not lie on the edge of what is possible: the distribution that has them "
        "gives some states no probability, and no finite energy does"
    )


def _dual(log_weights):
    value = logsumexp(log_weights)
    return value, np.exp(log_weights - value)


def _features(family, states, places):
    slopes = statistics(family, states)
    return [np.array(f) for f in evaluate_once([slopes[place] for place in places.values()])]


def _without_self_coupling(places, features, means):
    """Take out the diagonal of a coupling matrix, which must stay zero."""
    for i, name in enumerate(places):
        if name == "coupling":
            n = means[i].shape[0]
            features[i][:, np.arange(n), np.arange(n)] = 0.0
            means[i] = means[i] * (1 - np.eye(n))


def _places(structure, moments):
    """Number of the leaf of each named parameter."""
    names = _names(structure, "")
    for name in moments:
        if names.count(name) != 1:
            raise ValueError(
                f"moments must name parameters of the energy, one of {sorted(set(names))}, "
                f"got {name!r}"
            )
    if not moments:
        raise ValueError("moments must name at least one parameter")
    return {name: names.index(name) for name in moments}


def _names(structure, name):
    match structure:
        case Leaf():
            return [name]
        case Node(names=names, children=children):
            labels = names or [""] * len(children)
            pairs = zip(labels, children, strict=True)
            return [leaf for label, child in pairs for leaf in _names(child, label)]
    return []


def _mean(name, value, shape):
    mean = _finite(f"moments[{name!r}]", value)
    if mean.shape != shape:
        raise ValueError(
            f"moments[{name!r}] must have the shape of the parameter, {shape}, got {mean.shape}"
        )
    return mean


def _finite(name, value):
    array = numeric_array(name, value).astype(float)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return array
