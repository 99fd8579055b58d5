"""Single-site moves for densities that are only known as functions: exact, slower roads.

These call a compiled function once for each change, so they are plain Python around it.
"""

import numpy as np


def derived_sweep(rng, x, states, codes, field, weights):
    """Heat bath of every site from the derived field, evaluated anew after each change.

    Parameters
    ----------
    rng : numpy.random.Generator
    x : array, shape (n,)
        One state, updated in place.
    states : array, shape (k,)
        The states of a unit.
    codes : array, shape (k, c)
        Their encodings.
    field : callable
        ``field(x)``, shape (n, c): the gradient of log p, which is affine in each unit.
    weights : array, shape (k, n), or None
        Log-weights of the states from other terms.

    Returns
    -------
    int
        Number of sites changed.
    """
    changes, slope = 0, field(x)
    for i in range(x.size):
        logits = codes @ slope[i]
        if weights is not None:
            logits = logits + weights[:, i]
        new = states[_choose(rng, logits)]
        if new != x[i]:
            x[i] = new
            slope = field(x)
            changes += 1
    return changes


def evaluated_sweep(rng, x, states, log_density):
    """Heat bath of every site from the log-density of the whole model at each of its states.

    ``log_density(x)`` may be any function of the state; x, shape (n,), is updated in place.
    """
    changes, here = 0, log_density(x)
    for i in range(x.size):
        old = x[i]
        logits = np.empty(len(states))
        for k, state in enumerate(states):
            if state == old:
                logits[k] = here
            else:
                x[i] = state
                logits[k] = log_density(x)
        k = _choose(rng, logits)
        x[i], here = states[k], logits[k]
        changes += int(x[i] != old)
    return changes


def balanced_moves(rng, x, states, value_and_slope, n_moves):
    """Locally balanced single flips of two-state units, informed by a gradient.

    A site is proposed with probability proportional to ``exp(delta_i / 2)``, where delta is the first-
    order change of the log-density; Metropolis-Hastings with the log-density itself makes it exact,
    however bad the gradient (Zanella 2020; Grathwohl et al. 2021).

    Parameters
    ----------
    value_and_slope : callable
        ``value_and_slope(x)``: the log-density and its gradient with respect to x, shape (n,).
    n_moves : int
        Proposals to make.

    Returns
    -------
    int
        Number of accepted flips.
    """
    total = float(states[0]) + float(states[1])
    accepted, (value, slope) = 0, value_and_slope(x)
    log_choice = _log_choice(slope, x, total)
    for _ in range(n_moves):
        i = _choose(rng, log_choice)
        x[i] = total - x[i]
        new_value, new_slope = value_and_slope(x)
        new_choice = _log_choice(new_slope, x, total)
        ratio = new_value - value + new_choice[i] - log_choice[i]
        if np.log(rng.random()) < ratio:
            value, log_choice = new_value, new_choice
            accepted += 1
        else:
            x[i] = total - x[i]
    return accepted


def _log_choice(slope, x, total):
    half = 0.5 * slope * (total - 2.0 * x)
    # a wild gradient must not make the choice impossible or certain
    half = np.clip(np.nan_to_num(half, nan=0.0), -20.0, 20.0)
    return half - _logsumexp(half)


def _logsumexp(a):
    top = a.max()
    return top + np.log(np.exp(a - top).sum())


def _choose(rng, logits):
    """Draw an index with probability proportional to exp(logits)."""
    p = np.exp(logits - logits.max())
    return int(np.searchsorted(np.cumsum(p), rng.random() * p.sum(), side="right"))
