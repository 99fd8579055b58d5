"""Checks for energies, kernels and step methods: yours as well as ours.

A check raises AssertionError with what it found. The statistical ones start *at* the target, draw
exact independent states, make one update each and compare the outcome with the target by chi-square:
valid without thinning, and false alarms happen at a stated rate.
"""

import numpy as np
import pytensor
import pytensor.tensor as pt
from scipy.stats import chisquare

from pm_energy import exact
from pm_energy.compile import ONCE, compile_function, energy_values
from pm_energy.energy import blocks_of, couplings, evaluate, field, single_block
from pm_energy.exact.enumeration import all_states, count_states, state_number
from pm_energy.quadratic import NotQuadratic, affine_failure

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
    """
    observed = np.bincount(numbers, minlength=len(probabilities)).astype(float)
    expected = len(numbers) * np.asarray(probabilities)
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
    """
    rng = np.random.default_rng(random_seed)
    x = states[rng.choice(len(states), size=starts, p=probabilities)]
    after = np.array([update(rng, row.copy()) for row in x])
    p_value = pooled_chisquare(number(after), probabilities)
    assert p_value > FALSE_ALARM, (
        f"the update does not leave the target invariant: p-value {p_value:.2g} over {starts} exact "
        f"starts (false alarms happen once in {1 / FALSE_ALARM:.0f})"
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

    def in_place(which):
        def update(rng, x):
            which(rng, x)
            return x

        return update

    def number(x):
        return state_number(x, domain)

    check_invariance(in_place(kernel), states, p, number, starts=starts, random_seed=random_seed)
    if broken is not None:
        try:
            check_invariance(in_place(broken), states, p, number, starts=starts, random_seed=random_seed)
        except AssertionError:
            return
        raise AssertionError("the broken kernel passed: the check has no power here")


def check_step(step, model, *, starts=20_000, random_seed=0):
    """Check that a PyMC step method leaves a model's posterior invariant.

    Parameters
    ----------
    step : BlockedStep
        Built in ``model``, for its only free variable, which must be discrete and enumerable.
    model : pymc.Model
    starts, random_seed : int

    Raises
    ------
    AssertionError
        If it does not.
    ValueError
        If the model has other free variables.
    """
    if len(model.value_vars) != 1:
        raise ValueError("check_step needs a model with one free variable")
    (value,) = model.value_vars
    op = model.values_to_rvs[value].owner.op
    block = single_block(op.energy(op.dist_params(model.values_to_rvs[value].owner)))
    n = value.type.shape
    batch = n[: len(n) - len(block.shape)]
    layout = block._replace(shape=(*batch, *block.shape))
    states = all_states(layout)
    log_p = model.compile_logp()
    cost = np.array([log_p({value.name: s}) for s in states])
    p = np.exp(cost - cost.max())

    def update(rng, x):
        step.rng = rng
        return step.step({value.name: x})[0][value.name]

    check_invariance(
        update,
        states,
        p / p.sum(),
        lambda x: state_number(x, block.domain),
        starts=starts,
        random_seed=random_seed,
    )


def check_energy(energy, *, n_states=32, random_seed=0, tolerance=1e-10):
    """Check an energy of your own: that what is derived from it is right.

    Tests that it works on batches, that energies are finite real numbers, that the fast form (if it
    has one) and the derived field give the exact conditionals, and for small energies that the exact
    distribution has the derived moments.

    Parameters
    ----------
    energy : Energy
        With numeric parameters, over one block.
    n_states : int
        Random states to check at.
    random_seed : int
    tolerance : float
        Largest relative difference allowed.

    Raises
    ------
    AssertionError
        With what is wrong.

    Returns
    -------
    dict
        ``affine`` and ``quadratic``: what the energy was found to be; with a reason where it is not.

    Examples
    --------
    >>> import pm_energy as pme
    >>> from pm_energy.testing import check_energy
    >>> check_energy(pme.Ising(lattice=(3, 3), coupling=0.5))
    {'affine': True, 'quadratic': True}
    """
    rng = np.random.default_rng(random_seed)
    block = single_block(energy)
    states = _random_states(block, rng, n_states)
    together = energy_values(energy, states)
    alone = np.array([energy_values(energy, s[None])[0] for s in states])
    _assert_close(together, alone, tolerance, "the energy of a batch is not that of its states")
    assert np.isfinite(together).all(), "the energy is not finite on all states"
    if hasattr(energy, "on_states"):
        x = pt.as_tensor(states)
        formula = pytensor.function([], energy(block.domain.encode(x)), mode=ONCE)()
        _assert_close(together, formula, tolerance, "on_states differs from the formula")
    if block.domain.states is None:
        _check_gradient(energy, block, states)
        return {"affine": False, "quadratic": False}
    found = {"affine": True, "quadratic": True}
    failure = affine_failure(energy)
    if failure is not None:
        return {"affine": failure, "quadratic": failure}
    _check_conditionals(energy, block, states[:8], tolerance)
    x = pt.tensor(shape=block.code_shape, dtype="float64")
    try:
        couplings(energy, x)
    except NotQuadratic as why:
        found["quadratic"] = str(why)
    return found


def _random_states(block, rng, size):
    if block.domain.states is None:
        return rng.normal(size=(size, *block.shape))
    return rng.choice(block.domain.states, size=(size, *block.shape))


def _check_conditionals(energy, block, states, tolerance):
    """Field differences against energy differences, for each unit and state."""
    domain = block.domain
    x = pt.tensor(shape=block.shape, dtype=domain.dtype)
    code = pt.tensor(shape=block.code_shape, dtype="float64")
    slope = compile_function([code], field(energy, code), mode=ONCE)
    encode = compile_function([x], domain.encode(x), mode=ONCE)
    values = domain.states
    codes = np.eye(len(values)) if domain.code_ndim else values[:, None].astype(float)
    for state in states:
        at = slope(encode(state)).reshape(state.size, -1)
        derived = at @ codes.T
        derived -= derived[:, :1]
        flips = np.repeat(state.ravel()[None, None], len(values), axis=0)
        flips = np.repeat(flips, state.size, axis=1)
        for k, value in enumerate(values):
            flips[k, np.arange(state.size), np.arange(state.size)] = value
        cost = energy_values(energy, flips.reshape(-1, *block.shape)).reshape(len(values), state.size)
        _assert_close(
            derived, (cost[0] - cost).T, tolerance, "the derived field is not the Gibbs conditional"
        )


def _check_gradient(energy, block, states, step=1e-5):
    x = pt.tensor(shape=block.shape, dtype="float64")
    slope = compile_function([x], field(energy, x), mode=ONCE)
    for state in states[:4]:
        shifts = step * np.eye(state.size).reshape(state.size, *block.shape)
        numeric = -(energy_values(energy, state + shifts) - energy_values(energy, state - shifts)) / (2 * step)
        _assert_close(slope(state).ravel(), numeric, 1e-4, "the derived field is not -dE/dx")


def _assert_close(a, b, tolerance, message):
    scale = max(1.0, float(np.abs(b).max(initial=0.0)))
    worst = float(np.abs(np.asarray(a) - b).max(initial=0.0)) / scale
    assert worst <= tolerance, f"{message}: relative difference {worst:.3g}"
