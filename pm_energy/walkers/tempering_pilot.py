"""A first ladder and first weights for simulated tempering, by one climb from base to target."""

import numpy as np
from scipy.special import logsumexp

from pm_energy.paths.ladder import equal_rejection_ladder, levels_for
from pm_energy.validate import numeric_array, positive_int

MOVES = 60  # at each level of the climb
SETTLE = 12  # of these are not looked at
REJECTION = 0.3  # between levels of the climb
MOST_LEVELS = 1000  # of the climb
BISECTIONS = 50


def checked_levels(n_levels, ladder):
    """Return a number of levels, or "auto", and a ladder as an array, or None.

    Raises
    ------
    ValueError
        If there are fewer than two levels, or the ladder does not increase from 0 to 1.
    """
    if n_levels != "auto" and positive_int("n_levels", n_levels) < 2:
        raise ValueError("n_levels must be at least 2: the base and the target; got 1")
    if ladder is None:
        return n_levels, None
    ladder = numeric_array("ladder", ladder).astype(float)
    if ladder.ndim != 1 or len(ladder) < 2 or ladder[0] != 0.0 or ladder[-1] != 1.0:
        raise ValueError(f"ladder must be inverse temperatures from 0 to 1, got {ladder}")
    if not (np.diff(ladder) > 0).all():
        raise ValueError(f"ladder must increase, got {ladder}")
    if n_levels not in ("auto", len(ladder)):
        raise ValueError(f"n_levels is {n_levels}, but the ladder has {len(ladder)}: pass one")
    return n_levels, ladder


def first_levels(walkers, rng, n_levels="auto", ladder=None):
    """Find a ladder of equal rejection, if none is given, and weights to begin with.

    The walker climbs from the base. The next level is put where a move to it would be rejected in
    three cases of ten, judged by the draws at the level before; the levels of the ladder go to
    equal steps of the rejection added up on the way.

    Parameters
    ----------
    walkers : Walkers
        One of them.
    rng : numpy.random.Generator
    n_levels : int or "auto"
    ladder : ndarray, shape (n_levels,), optional

    Returns
    -------
    ladder, log_weight : ndarray, shape (n_levels,)

    Raises
    ------
    ValueError
        If the base is too far from the target for a ladder.
    """
    if ladder is not None:
        above = dict(zip(ladder[:-1].tolist(), ladder[1:].tolist(), strict=True))
        return ladder, _climb(walkers, rng, lambda beta, log_ratio: above[beta])[2]
    climbed, rejection, weight = _climb(walkers, rng, next_beta)
    if n_levels == "auto":
        n_levels = levels_for(sum(rejection))
    ladder = equal_rejection_ladder(climbed, np.array(rejection), n_levels)
    return ladder, np.interp(ladder, climbed, weight)


def _climb(walkers, rng, next_level):
    """Levels of the climb, rejections between them, and weights."""
    walkers.set_ladder([0.0, 1.0])
    walkers.start(rng)
    betas, ratios, rejection = [0.0], [_visit(walkers, rng, 0)], []
    while betas[-1] < 1.0:
        if len(betas) == MOST_LEVELS:
            raise ValueError(
                f"after {MOST_LEVELS} levels from the base the climb is at beta = {betas[-1]:.3g}: "
                "the base is too far from the target. Take a prior that is nearer to the "
                "posterior, or base='variational'"
            )
        betas.append(next_level(betas[-1], ratios[-1]))
        rejection.append(1.0 - possible_acceptance(betas[-1] - betas[-2], ratios[-1]))
        walkers.set_ladder(
            [0.0, betas[-1]]
        )  # as many as before: tuning goes on from level to level
        ratios.append(_visit(walkers, rng, 1))
    return np.array(betas), rejection, average_energy_weights(np.array(betas), ratios)


def _visit(walkers, rng, level):
    """Log-ratios of a walker that stays at a level; it leaves where the target does not vanish."""
    levels, found = np.array([level]), []
    while len(found) < MOVES or not np.isfinite(walkers.log_ratio[0]):
        if len(found) == MOST_LEVELS * MOVES:
            raise ValueError(
                f"the target vanishes at {len(found)} draws of the base in a row: the base is too "
                "far from the target, or observed data are impossible"
            )
        walkers.move(rng, levels)
        found.append(walkers.log_ratio[0])
    walkers.adapt()
    return np.array(found[SETTLE:])


def possible_acceptance(step, log_ratio):
    """Acceptance of moves up by a step in beta, among states where the target does not vanish.

    With weights as they should be it is the mean of ``min(1, w / mean(w))``, where
    ``w = exp(step * log_ratio)``: the overlap of the two densities.
    """
    log_w = step * log_ratio[np.isfinite(log_ratio)]
    return np.exp(np.minimum(0.0, log_w - logsumexp(log_w) + np.log(len(log_w)))).mean()


def next_beta(beta, log_ratio):
    """Return the beta up to which a move is rejected with the chosen probability, at most 1.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(0).normal(scale=10.0, size=1000)
    >>> round(next_beta(0.2, draws), 2)  # overlap .7: normal densities .77 sd apart
    0.28
    """
    high = 1.0 - beta
    if possible_acceptance(high, log_ratio) >= 1.0 - REJECTION:
        return 1.0
    low = high / 2
    while possible_acceptance(low, log_ratio) < 1.0 - REJECTION:
        low, high = low / 2, low
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if possible_acceptance(middle, log_ratio) < 1.0 - REJECTION:
            high = middle
        else:
            low = middle
    return beta + low


def average_energy_weights(ladder, log_ratios):
    r"""Return weights from mean log-ratios at the levels.

    :math:`g_{k+1} = g_k - (\beta_{k+1} - \beta_k)(\langle r \rangle_k + \langle r \rangle_{k+1})/2`
    [1]_, except for the step from the base: there the mean may not exist, and
    :math:`g_1 = -\log \langle e^{\beta_1 r} \rangle_0`.

    Parameters
    ----------
    ladder : ndarray, shape (n_levels,)
    log_ratios : list of ndarray
        Draws of each level.

    References
    ----------
    .. [1] Park & Pande (2007), Physical Review E 76, 016703.

    Examples
    --------
    >>> import numpy as np
    >>> average_energy_weights(np.array([0.0, 0.5, 1.0]), [np.zeros(2), np.ones(2), np.ones(2)])
    array([ 0. ,  0. , -0.5])
    """
    base = ladder[1] * log_ratios[0]
    first = np.log(len(base)) - logsumexp(base)
    mean = np.array([r.mean() for r in log_ratios[1:]])
    steps = -np.diff(ladder[1:]) * (mean[1:] + mean[:-1]) / 2
    return np.concatenate([[0.0, first], first + np.cumsum(steps)])
