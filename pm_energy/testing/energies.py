"""Is what is derived from an energy right? Each answer is compared with differences of energies."""

import numpy as np
import pytensor
import pytensor.tensor as pt
from scipy.special import softmax

from pm_energy import exact
from pm_energy.compile import ONCE, compile_function, energy_values, evaluate_once, numeric_leaves
from pm_energy.energy import field, single_block
from pm_energy.exact.enumeration import count_states
from pm_energy.forms import normal_form
from pm_energy.quadratic import NotQuadratic, affine_failure, quadratic_form
from pm_energy.structure import flatten
from pm_energy.testing.form_weights import log_weights

CHECKED_UNITS = 64  # whose conditionals are checked one by one
MATRIX_LIMIT = 512  # units of which a matrix of couplings is made
TABLE_LIMIT = 2**12  # states that are all looked at


def check_energy(energy, *, n_states=32, random_seed=0, tolerance=1e-10):
    """Check an energy of your own: that what is derived from it is right.

    At random states: the formula works on batches and gives finite real numbers; ``on_states``
    equals it; the derived field gives the exact conditionals; the derived couplings and the normal
    form that a kernel would run on give the same energies, up to a constant. Over all states, if
    they are few: the derived conditionals have the means of the exact distribution.

    Parameters
    ----------
    energy : Energy
        With numeric parameters, over one block.
    n_states : int
        Random states to check at.
    random_seed : int
    tolerance : float
        Largest difference allowed, relative to the largest energy where that is above one.

    Raises
    ------
    AssertionError
        With what is wrong.
    ValueError
        If a parameter is not a number.

    Returns
    -------
    dict
        ``affine`` and ``quadratic``: True, or the reason why the energy is not.

    Examples
    --------
    >>> import pm_energy as pme
    >>> from pm_energy.testing import check_energy
    >>> check_energy(pme.Ising(lattice=(3, 3), coupling=0.5))
    {'affine': True, 'quadratic': True}
    """
    rng = np.random.default_rng(random_seed)
    block = single_block(energy)
    numeric_leaves(flatten(energy)[1])  # raises if a parameter is no number
    states = _random_states(block, rng, n_states)
    values = _check_formula(energy, block, states, tolerance)
    if block.domain.states is None:
        _check_gradient(energy, block, states)
        return {"affine": False, "quadratic": False}
    form = normal_form(energy)
    if form is not None:
        _check_up_to_constant(
            -log_weights(form, _numbers(form.tensors), states, block.domain),
            values,
            tolerance,
            f"the normal form of {type(energy).__name__} is that of another energy",
        )
    failure = affine_failure(energy)
    if failure is not None:
        return {"affine": failure, "quadratic": failure}
    _check_conditionals(energy, block, states[:8], rng, tolerance)
    if count_states(block) <= TABLE_LIMIT:
        _check_means(energy, block, tolerance)
    return {"affine": True, "quadratic": _check_couplings(energy, block, states, values, tolerance)}


def _random_states(block, rng, size):
    if block.domain.states is None:
        return rng.normal(size=(size, *block.shape))
    return rng.choice(block.domain.states, size=(size, *block.shape))


def _numbers(tensors):
    return evaluate_once([pt.as_tensor(t) for t in tensors])


def _codes(domain):
    """Encodings of a unit's states, shape (k, c)."""
    values = domain.states
    return np.eye(len(values)) if domain.code_ndim else values[:, None].astype(float)


def _check_formula(energy, block, states, tolerance):
    """Batches, finite numbers and ``on_states``; return the energies."""
    try:
        together = energy_values(energy, states)
        alone = np.array([energy_values(energy, s[None])[0] for s in states])
    except (ValueError, TypeError, IndexError) as why:
        raise AssertionError(
            f"the formula must map batches of units (..., *{block.shape}) to energies (...): {why}"
        ) from why
    assert np.isfinite(alone).all(), "the energy is not finite on all states"
    _assert_close(together, alone, tolerance, "the energy of a batch is not that of its states")
    if hasattr(energy, "on_states"):
        code = block.domain.encode(pt.as_tensor(states))
        formula = pytensor.function([], energy(code), mode=ONCE)()
        _assert_close(together, formula, tolerance, "on_states differs from the formula")
    return alone


def _check_up_to_constant(found, wanted, tolerance, message):
    _assert_close(found - found[0], wanted - wanted[0], tolerance, message)


def _field_function(energy, block):
    """The derived field at encoded states, shape (B, n_units, c)."""
    code = pt.tensor(shape=(None, *block.code_shape), dtype="float64")
    slope = compile_function([code], field(energy, code), mode=ONCE)
    n = int(np.prod(block.shape))

    def at(states):
        codes = _codes(block.domain)[np.searchsorted(block.domain.states, states)]
        return slope(codes.reshape(-1, *block.code_shape)).reshape(len(states), n, -1)

    return at


def _check_conditionals(energy, block, states, rng, tolerance):
    """Field differences against energy differences, for units and all their states."""
    values, codes, at = block.domain.states, _codes(block.domain), _field_function(energy, block)
    n = int(np.prod(block.shape))
    units = np.sort(rng.choice(n, size=min(n, CHECKED_UNITS), replace=False))
    for state, slope in zip(states, at(states), strict=True):
        derived = slope[units] @ codes.T
        flips = np.tile(state.ravel(), (len(values), len(units), 1))
        flips[:, np.arange(len(units)), units] = values[:, None]
        cost = energy_values(energy, flips.reshape(-1, *block.shape)).reshape(len(values), -1)
        _assert_close(
            derived - derived[:, :1],
            (cost[0] - cost).T,
            tolerance,
            "the derived field is not the Gibbs conditional",
        )


def _check_means(energy, block, tolerance):
    """The mean of every unit is the mean of its conditional mean (Callen's identity)."""
    states, p = exact.distribution(energy)
    codes = _codes(block.domain)
    conditional = softmax(_field_function(energy, block)(states) @ codes.T, axis=-1) @ codes
    mean = np.tensordot(p, conditional, axes=1).ravel()
    _assert_close(
        mean,
        exact.moments(energy).mean.ravel(),
        tolerance,
        "the derived conditionals do not have the means of the exact distribution",
    )


def _check_couplings(energy, block, states, values, tolerance):
    """Energies from couplings and field; return True, or why there are none."""
    x = pt.tensor("x", shape=block.code_shape, dtype="float64")
    if np.prod(block.code_shape) > MATRIX_LIMIT:
        return "too many units to list their couplings"
    try:
        form = quadratic_form(energy(x), x)
    except NotQuadratic as why:
        return str(why)
    slope, coupling = _numbers([form.field, form.coupling])
    code = _codes(block.domain)[np.searchsorted(block.domain.states, states)]
    code = code.reshape(len(states), -1)
    found = -code @ slope.ravel() - 0.5 * ((code @ coupling) * code).sum(-1)
    _check_up_to_constant(found, values, tolerance, "the derived couplings give other energies")
    return True


def _check_gradient(energy, block, states, step=1e-5):
    x = pt.tensor(shape=block.shape, dtype="float64")
    slope = compile_function([x], field(energy, x), mode=ONCE)
    for state in states[:4]:
        shifts = step * np.eye(state.size).reshape(state.size, *block.shape)
        rise = energy_values(energy, state + shifts) - energy_values(energy, state - shifts)
        message = "the derived field is not -dE/dx"
        _assert_close(slope(state).ravel(), -rise / (2 * step), 1e-4, message)


def _assert_close(a, b, tolerance, message):
    scale = max(1.0, float(np.abs(b).max(initial=0.0)))
    worst = float(np.abs(np.asarray(a) - b).max(initial=0.0)) / scale
    assert worst <= tolerance, f"{message}: relative difference {worst:.3g}"
