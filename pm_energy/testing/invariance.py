"""Does an update leave a distribution as it is? Asked of kernels and of PyMC step methods."""

import numpy as np
from scipy.stats import chisquare

from pm_energy import exact
from pm_energy.energy import Block, single_block
from pm_energy.exact.enumeration import all_states, state_number

FALSE_ALARM = 1e-6


def pooled_chisquare(numbers, probabilities, least=20.0):
    """P-value of observed state numbers under their probabilities.

    Parameters
    ----------
    numbers : array of int, shape (B,)
        Which state each of B independent draws is in.
    probabilities : array, shape (n_states,)
    least : float
        States are pooled, the rarest first, to an expected count of at least this.

    Returns
    -------
    float
        Zero where a draw is in a state of probability zero.

    Raises
    ------
    ValueError
        If there are too few draws for two groups of states.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(0).integers(4, size=1000)
    >>> pooled_chisquare(draws, [0.25, 0.25, 0.25, 0.25]) > 0.01
    True
    >>> pooled_chisquare(draws, [0.4, 0.1, 0.25, 0.25]) < 1e-6
    True
    """
    expected = len(numbers) * np.asarray(probabilities)
    observed = np.bincount(numbers, minlength=len(expected)).astype(float)
    if observed[expected == 0].any():
        return 0.0
    order = np.argsort(expected)
    group = _groups(expected[order], least)
    observed = np.bincount(group, weights=observed[order])
    expected = np.bincount(group, weights=expected[order])
    if len(expected) < 2:
        raise ValueError("all states were pooled into one; use more draws")
    return float(chisquare(observed, expected * observed.sum() / expected.sum()).pvalue)


def _groups(sorted_expected, least):
    """Number consecutive groups that each reach ``least``; a rest joins the last one."""
    group, total, out = 0, 0.0, np.empty(len(sorted_expected), dtype=int)
    for i, e in enumerate(sorted_expected):
        out[i] = group
        total += e
        if total >= least:
            group, total = group + 1, 0.0
    if total > 0.0 and group > 0:
        out[out == group] = group - 1
    return out


def check_invariance(update, states, probabilities, number, *, starts=20_000, random_seed=0):
    """Check that an update leaves a distribution on listed states invariant.

    Parameters
    ----------
    update : callable
        ``update(rng, x)`` returns the state after one update; it may change x.
    states : array, shape (n_states, ...)
    probabilities : array, shape (n_states,)
    number : callable
        Maps a batch of states to their numbers.
    starts : int
        Independent starts, drawn exactly from the distribution.
    random_seed : int

    Raises
    ------
    AssertionError
        If the outcome differs, with false-alarm rate 1e-6.

    Examples
    --------
    >>> import numpy as np
    >>> def turn(rng, x):  # a coin that is turned over stays fair
    ...     return 1 - x
    >>> check_invariance(turn, np.array([0, 1]), np.array([0.5, 0.5]), lambda x: x)
    """
    rng = np.random.default_rng(random_seed)
    x = states[rng.choice(len(states), size=starts, p=probabilities)]
    after = np.array([update(rng, row.copy()) for row in x])
    p_value = pooled_chisquare(number(after), probabilities)
    assert p_value > FALSE_ALARM, (
        f"the update does not leave the target invariant: p-value {p_value:.2g} over {starts} "
        f"exact starts (false alarms happen once in {1 / FALSE_ALARM:.0f})"
    )


def check_kernel(kernel, energy, *, broken=None, starts=20_000, random_seed=0):
    """Check that a kernel leaves an energy's distribution invariant, and that the check has power.

    Parameters
    ----------
    kernel : callable
        ``kernel(rng, x)`` updates one state x, shape (*event_shape), in place.
    energy : Energy
        Small enough to enumerate, with numeric parameters.
    broken : callable, optional
        A kernel with a mistake in it, which must fail the same check.
    starts, random_seed : int

    Raises
    ------
    AssertionError
        If the kernel fails or its broken twin passes.

    Examples
    --------
    >>> import pm_energy as pme
    >>> from pm_energy.testing import check_kernel
    >>> pair = pme.Ising(graph=[[0, 1]], coupling=0.7)
    >>> def flip_both(rng, x):  # leaves the energy as it is
    ...     x *= rng.choice([-1, 1])
    >>> def set_up(rng, x):
    ...     x[rng.integers(2)] = 1
    >>> check_kernel(flip_both, pair, broken=set_up)
    """
    states, p = exact.distribution(energy)
    domain = single_block(energy).domain

    def check(which):
        def update(rng, x):
            which(rng, x)
            return x

        def number(x):
            return state_number(x, domain)

        check_invariance(update, states, p, number, starts=starts, random_seed=random_seed)

    check(kernel)
    if broken is not None:
        try:
            check(broken)
        except AssertionError:
            return
        raise AssertionError("the broken kernel passed: the check has no power here")


def check_step(step, model, *, starts=20_000, random_seed=0):
    """Check that a PyMC step method leaves a model's posterior invariant.

    Parameters
    ----------
    step : BlockedStep
        Built in ``model``, for its only free variable, a discrete Boltzmann variable small enough
        to enumerate.
    model : pymc.Model
    starts, random_seed : int

    Raises
    ------
    AssertionError
        If it does not.
    ValueError
        If the model has other free variables.

    Examples
    --------
    >>> import pymc as pm
    >>> import pm_energy as pme
    >>> from pm_energy.testing import check_step
    >>> with pm.Model() as model:
    ...     z = pme.Boltzmann("z", pme.Ising(lattice=(2, 2), coupling=0.3))
    ...     y = pm.Normal("y", z, 2.0, observed=[[0.5, -1.0], [0.1, 3.0]])
    ...     step = pme.EnergyGibbs([z])
    >>> check_step(step, model)
    """
    if len(model.value_vars) != 1:
        raise ValueError(
            f"check_step needs a model with one free variable, got {model.value_vars}; "
            "fix the others by pm.do or pm.observe"
        )
    (value,) = model.value_vars
    rv = model.values_to_rvs[value]
    domain = single_block(rv.owner.op.energy(rv.owner.op.dist_params(rv.owner))).domain
    states = all_states(Block(domain, model.initial_point()[value.name].shape))
    log_density = model.compile_logp()
    log_p = np.array([log_density({value.name: s}) for s in states])
    p = np.exp(log_p - log_p.max())

    def update(rng, x):
        step.rng = rng
        return step.step({value.name: x})[0][value.name]

    def number(x):
        return state_number(x, domain)

    check_invariance(update, states, p / p.sum(), number, starts=starts, random_seed=random_seed)
