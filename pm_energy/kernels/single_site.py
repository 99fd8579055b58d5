"""Single-site moves for densities that are only known as functions: exact, slower roads.

These call a compiled function once for each change, so they are plain Python around it.
"""

import numpy as np


def derived_sweeps(rng, x, states, codes, field, weights, n_sweeps=1):
    """Heat bath of every site from the derived field, evaluated anew after each change.

    Parameters
    ----------
    rng : numpy.random.Generator
    x : ndarray, shape (n,)
        One state, updated in place.
    states : ndarray, shape (k,)
        The states of a unit.
    codes : ndarray, shape (k, c)
        Their encodings.
    field : callable
        ``field(x)``, shape (n, c): the gradient of log p, which is affine in each unit.
    weights : ndarray, shape (k, n), or None
        Log-weights of the states from other terms; ``-inf`` forbids a state.
    n_sweeps : int

    Returns
    -------
    changes : int
        How often a site took a new state.

    Examples
    --------
    >>> import numpy as np
    >>> x, spins = np.array([-1, -1]), np.array([-1, 1])
    >>> def pulled_up(x):
    ...     return np.full((2, 1), 40.0)
    >>> derived_sweeps(np.random.default_rng(0), x, spins, spins[:, None], pulled_up, None)
    2
    >>> x
    array([1, 1])
    """
    changes, slope = 0, field(x)
    for i in np.tile(np.arange(x.size), n_sweeps):
        logits = codes @ slope[i]
        if weights is not None:
            logits = logits + weights[:, i]
        new = states[_choose(rng, logits)]
        if new != x[i]:
            x[i] = new
            slope = field(x)
            changes += 1
    return changes


def evaluated_sweeps(rng, x, states, log_density, n_sweeps=1):
    """Heat bath of every site from the log-density of the whole model at each of its states.

    Parameters
    ----------
    rng : numpy.random.Generator
    x : ndarray, shape (n,)
        One state, updated in place.
    states : ndarray, shape (k,)
        The states of a unit.
    log_density : callable
        ``log_density(x)``, any function of the state.
    n_sweeps : int

    Returns
    -------
    changes : int
        How often a site took a new state.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0, 1, 0])
    >>> def all_twos(x):
    ...     return -99.0 * np.sum(x != 2)
    >>> evaluated_sweeps(np.random.default_rng(0), x, np.arange(3), all_twos)
    3
    >>> x
    array([2, 2, 2])
    """
    changes, here = 0, log_density(x)
    for i in np.tile(np.arange(x.size), n_sweeps):
        old = x[i]
        logits = np.empty(len(states))
        for k, state in enumerate(states):
            if state == old:
                logits[k] = here
            else:
                x[i] = state
                logits[k] = log_density(x)
        logits[np.isnan(logits)] = -np.inf  # never accepted, as in PyMC's Metropolis
        k = _choose(rng, logits)
        x[i], here = states[k], logits[k]
        changes += int(x[i] != old)
    return changes


def balanced_moves(rng, x, states, value_and_slope, n_moves):
    """Locally balanced single flips of two-state units, informed by a gradient.

    A site is proposed with probability proportional to ``exp(delta_i / 2)``, where delta is the
    first-order change of the log-density [1]_ [2]_; Metropolis-Hastings with the log-density itself
    makes it exact, however bad the gradient.

    Every move flips one site or none, so that where all are accepted (a flat density) the number of
    flips would be fixed, and with it the parity of the state. A coin therefore leaves out one move.

    Parameters
    ----------
    rng : numpy.random.Generator
    x : ndarray, shape (n,)
        One state, updated in place.
    states : ndarray, shape (2,)
        The states of a unit.
    value_and_slope : callable
        ``value_and_slope(x)``: the log-density and its gradient with respect to x, shape (n,).
    n_moves : int
        Proposals to make, or one less than that.

    Returns
    -------
    changes : int
        Number of accepted flips.

    References
    ----------
    .. [1] Zanella (2020), Journal of the American Statistical Association 115, 852-865.
    .. [2] Grathwohl, Swersky, Hashemi, Duvenaud & Maddison (2021), ICML, PMLR 139, 3831-3841.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0, 0])
    >>> def up(x):
    ...     return 99.0 * x.sum(), np.full(2, 99.0)
    >>> balanced_moves(np.random.default_rng(0), x, np.array([0, 1]), up, 20)
    2
    >>> x
    array([1, 1])
    """
    total = float(states[0]) + float(states[1])
    accepted, (value, slope) = 0, value_and_slope(x)
    log_choice = proposal_log_probabilities(slope, x, total)
    for _ in range(n_moves - int(rng.random() < 0.5)):
        i = _choose(rng, log_choice)
        x[i] = total - x[i]
        new_value, new_slope = value_and_slope(x)
        new_choice = proposal_log_probabilities(new_slope, x, total)
        ratio = new_value - value + new_choice[i] - log_choice[i]
        if np.log(rng.random()) < ratio:
            value, log_choice = new_value, new_choice
            accepted += 1
        else:
            x[i] = total - x[i]
    return accepted


def proposal_log_probabilities(slope, x, total):
    """Log-probability of each site to be proposed by :func:`balanced_moves`.

    ``total`` is the sum of the two states, so that ``total - x`` flips x.
    """
    half = 0.5 * slope * (total - 2.0 * x)
    # a wild gradient must not make the choice impossible or certain
    half = np.clip(np.nan_to_num(half, nan=0.0), -20.0, 20.0)
    top = half.max()
    return half - top - np.log(np.exp(half - top).sum())


def _choose(rng, logits):
    """Draw an index with probability proportional to exp(logits)."""
    cumulative = np.cumsum(np.exp(logits - logits.max()))
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
