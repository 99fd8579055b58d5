"""Langevin and Hamiltonian sampling of any energy over real units, many chains at once."""

import logging
import time

import numpy as np
import xarray as xr
from pymc.util import get_random_generator

from pm_energy.compile import energy_values
from pm_energy.energy import single_block
from pm_energy.sampling.hamiltonian_blocks import LEAST_TUNE
from pm_energy.sampling.langevin_blocks import (
    METHODS,
    TRAJECTORIES,
    MinibatchScore,
    Plan,
    block_size,
    run_blocks,
)
from pm_energy.sampling.langevin_density import make_density
from pm_energy.training.energy_continuous import starts as draw_starts
from pm_energy.validate import numeric_array, positive_int, states_in_domain

_log = logging.getLogger("pymc").getChild("pm_energy")
WHY_BIASED = {
    "ula": "no Metropolis test corrects its finite steps",
    "underdamped": "no Metropolis test corrects its finite steps",
    "sgld": "neither its finite steps nor the noise of minibatches are corrected",
}


def sample_langevin(
    energy,
    draws=1000,
    tune=1000,
    *,
    method="mala",
    step_size="auto",
    temperature=1.0,
    friction=1.0,
    chains=4,
    start=None,
    thin=1,
    gradient=None,
    data_size=None,
    batch_size=None,
    name="x",
    random_seed=None,
    cores=None,
    progressbar=True,
):
    r"""Sample an energy over real units by Langevin or Hamiltonian dynamics.

    With ``h`` the step size and noise ``z`` of unit variance, an overdamped move is

    .. math:: x' = x - \tfrac{h^2}{2 T} \nabla E(x) + h z,

    whose drift is cut, coordinate by coordinate, where it is four times as long as the noise [1]_.
    ``"mala"``, ``"hmc"`` and ``"hybrid"`` are exact, for they take or reject each move by a
    Metropolis test [2]_. The others are biased: their chains settle on another distribution, the
    further away the larger the step. For a Gaussian of unit variance that of ``"ula"`` has variance
    1 / (1 - h^2 / 4), and that of ``"underdamped"`` [3]_ the right one. None of them crosses
    barriers much higher than T: start chains in different places, and look at R-hat.

    ``"hmc"`` follows Hamiltonian trajectories [5]_ of several gradients a move. ``"hybrid"`` does
    so where the energy is low and takes coarse Langevin moves where it is high. Which of them is
    drawn for each move, with even odds at the mean energy, and the test knows what the odds would
    have been at the other end. Both begin tuning with Langevin moves without a test, which explore;
    then steps, the length of trajectories and the mean energy are learned, and frozen.

    Parameters
    ----------
    energy : Energy
        Over one block of real units, with numeric parameters: written by hand or learned.
    draws, tune : int
        Kept and thrown away, for each chain.
    method : {"mala", "ula", "underdamped", "sgld", "hmc", "hybrid"}
        The Metropolis-adjusted and the unadjusted algorithm, underdamped dynamics of unit mass
        (BAOAB), stochastic gradients [4]_, Hamiltonian Monte Carlo, or this with Langevin moves.
    step_size : float or "auto"
        h, in units of x; for ``"underdamped"`` the time step. "auto" tunes it while tuning, then
        fixes it: to an acceptance of .574 or, where there is no Metropolis test, to where one
        would accept .98 of overdamped and .9 of underdamped moves. ``"sgld"`` needs a number,
        ``"hmc"`` and ``"hybrid"`` learn theirs, to an acceptance of .8.
    temperature : float
        T in ``p(x) = exp(-E(x) / T) / Z``.
    friction : float
        Of ``"underdamped"``, in one over the unit of time. Little friction lets chains travel
        further, and overshoot.
    chains : int
        Some hundreds cost little more than one: they are moved together.
    start : array_like, shape (chains, *event_shape) or (*event_shape), optional
        By default standard normal draws, pulled towards zero until their energy is finite.
    thin : int
        Moves to each draw that is kept.
    gradient : callable, optional
        For ``"sgld"``: ``gradient(x, rows)`` returns an unbiased estimate of the gradient of the
        energy, shape (chains, *event_shape), at x of that shape. It is made of data rows (chains,
        batch_size), which are drawn anew for each move and chain: usually the prior's part plus
        ``data_size / batch_size`` times a sum over rows.
    data_size, batch_size : int, optional
        How many rows there are, and how many are drawn, with replacement.
    name : str
        Of the variable in the result.
    random_seed : int, Generator or None
    cores : int, optional
        Threads. By default what ``joblib.parallel_config`` says or, without it, all cores. The
        draws are the same for any number.
    progressbar : bool

    Returns
    -------
    xarray.DataTree
        Group ``posterior`` with the draws, dims (chain, draw, ...); ``sample_stats`` with
        ``energy``, ``step_size`` and, of exact methods, ``acceptance_rate``; of the last two
        methods ``n_steps``, gradients of a draw, and of ``"hybrid"`` ``coarse``, the share of its
        moves that were Langevin moves, and their ``coarse_step_size``. Attribute ``exactness`` of
        the posterior is "exact" or "biased".

    Raises
    ------
    ValueError
        If units are discrete, a parameter of the energy is not a number, an argument is out of
        range, or chains arrive where energies are not finite.

    References
    ----------
    .. [1] Brosse, Durmus, Moulines & Sabanis (2019), Stochastic Process. Appl. 129, 3638-3663.
    .. [2] Roberts & Tweedie (1996), Bernoulli 2, 341-363; Besag (1994), discussion of Grenander &
       Miller, J. R. Stat. Soc. B 56, 591-592.
    .. [3] Leimkuhler & Matthews (2013), Appl. Math. Res. eXpress 2013, 34-56.
    .. [4] Welling & Teh (2011), ICML, 681-688.
    .. [5] Duane, Kennedy, Pendleton & Roweth (1987), Physics Letters B 195, 216-222.

    Examples
    --------
    >>> import pm_energy as pme
    >>> from pm_energy.sampling.langevin import sample_langevin
    >>> pair = pme.GaussianMixtureEnergy([0.7, 0.3], [[-1.0, 0.0], [1.0, 0.0]])
    >>> dt = sample_langevin(pair, 500, 500, chains=100, random_seed=1, progressbar=False)
    >>> bool(abs(dt["posterior"]["x"][..., 0].mean() + 0.4) < 0.05)
    True
    >>> dt["posterior"].attrs["exactness"]
    'exact'
    """
    began = time.perf_counter()
    block = _real_block(energy)
    plan = Plan(
        _one_of("method", method, (*METHODS, *TRAJECTORIES)),
        positive_int("draws", draws),
        _whole("tune", tune),
        positive_int("thin", thin),
        1.0 / _positive("temperature", temperature),
        _positive("friction", friction),
        None if isinstance(step_size, str) else _positive("step_size", step_size),
    )
    _check_step(step_size, plan)
    chains = positive_int("chains", chains)
    cores = None if cores is None else positive_int("cores", cores)
    sizes = _check_minibatches(method, gradient, data_size, batch_size)
    start_rng, moves_rng = get_random_generator(random_seed).spawn(2)
    x = _read_start(start, chains, block, energy, start_rng).reshape(chains, -1)
    size = block_size(chains, x.shape[1])
    blocks = _in_blocks(x, size)
    rngs = moves_rng.spawn(len(blocks))
    if method == "sgld":
        densities = [MinibatchScore(gradient, block.shape, *sizes, rng.spawn(1)[0]) for rng in rngs]
    else:
        densities = [make_density(energy, size, plan.adjusts)] * len(blocks)
    exactness = "biased" if method in WHY_BIASED else "exact"
    reason = f": {WHY_BIASED[method]}" if method in WHY_BIASED else ""
    _log.info(f"Langevin sampling ({method}, {exactness}{reason}), by {densities[0].road}")
    results = run_blocks(plan, densities, blocks, rngs, cores, progressbar)
    found = np.concatenate([result.draws for result in results])[:chains]
    attrs = {
        "sampling_method": method,
        "exactness": exactness,
        "temperature": float(temperature),
        "road": densities[0].road,
    }
    tree = _datatree(energy, found.reshape(chains, draws, *block.shape), results, name, attrs)
    tree["posterior"].attrs["sampling_time"] = time.perf_counter() - began
    return tree


def _real_block(energy):
    block = single_block(energy)
    if block.domain.states is not None:
        raise ValueError(
            f"the units of {type(energy).__name__} are discrete, and Langevin moves follow a "
            "gradient: put it into a model, pm_energy.Boltzmann('z', energy), and pm.sample takes "
            "Gibbs sweeps"
        )
    return block


def _one_of(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{name} must be one of {allowed}, got {value!r}")
    return value


def _whole(name, value):
    return 0 if isinstance(value, int) and value == 0 else positive_int(name, value)


def _positive(name, value):
    number = numeric_array(name, value)
    if number.ndim or not 0 < number < np.inf:
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return float(number)


def _check_step(step_size, plan):
    if plan.method in TRAJECTORIES and (plan.step_size is not None or plan.tune < LEAST_TUNE):
        raise ValueError(
            f"method={plan.method!r} learns its steps and the length of trajectories while tuning: "
            f"leave step_size='auto' and pass tune >= {LEAST_TUNE}, got step_size={step_size!r} "
            f"and tune={plan.tune}"
        )
    if plan.step_size is not None:
        return
    _one_of("step_size", step_size, ("auto",))
    if plan.method == "sgld":
        raise ValueError(
            "step_size must be a number for method='sgld': minibatches say nothing of acceptance"
        )
    if plan.tune < 2:
        raise ValueError("step_size='auto' is learned while tuning: pass tune >= 2, or a number")


def _check_minibatches(method, gradient, data_size, batch_size):
    given = [name for name, value in (("gradient", gradient), ("data_size", data_size),
             ("batch_size", batch_size)) if value is not None]  # fmt: skip
    if method != "sgld":
        if given:
            raise ValueError(f"{given} are for method='sgld', got method={method!r}")
        return None
    if not callable(gradient):
        raise ValueError(f"gradient must be callable for method='sgld', got {gradient!r}")
    return positive_int("data_size", data_size), positive_int("batch_size", batch_size)


def _read_start(start, chains, block, energy, rng):
    if start is None:
        x = draw_starts(chains, block.shape, lambda rows: energy_values(energy, rows), rng)
    else:
        x = states_in_domain("start", start, block.domain).astype(float)
        if x.shape == block.shape:
            x = np.broadcast_to(x, (chains, *block.shape))
        if x.shape != (chains, *block.shape):
            raise ValueError(
                f"start must have shape {(chains, *block.shape)} or {block.shape}, got {x.shape}"
            )
    outside = np.flatnonzero(~np.isfinite(energy_values(energy, x)))
    if outside.size:
        raise ValueError(
            f"the energy is not finite at the start of {outside.size} of {chains} chains, for "
            f"instance {x[outside[0]].tolist()}: pass a start where it is"
        )
    return x


def _in_blocks(x, size):
    """Chains (chains, d) as blocks (n_blocks, d, size), the last one filled up with its last."""
    n_blocks = -(-len(x) // size)
    which = np.minimum(np.arange(n_blocks * size), len(x) - 1)
    return np.ascontiguousarray(x[which].reshape(n_blocks, size, -1).transpose(0, 2, 1))


def _datatree(energy, draws, results, name, attrs):
    chains, n_draws = draws.shape[:2]
    energies = energy_values(energy, draws.reshape(-1, *draws.shape[2:])).reshape(chains, n_draws)
    lost = np.flatnonzero(~np.isfinite(energies).all(axis=1))
    if lost.size:
        raise ValueError(
            f"{lost.size} of {chains} chains arrived where the energy is not finite: take a "
            "smaller step_size, or method='mala', which stays where it is finite"
        )
    stats = {"energy": (("chain", "draw"), energies)}
    for key in results[0].stats:
        found = np.concatenate([result.stats[key] for result in results])[:chains]
        stats[key] = (("chain", "draw"), found)
    coords = {"chain": np.arange(chains), "draw": np.arange(n_draws)}
    dims = ("chain", "draw", *(f"{name}_dim_{i}" for i in range(draws.ndim - 2)))
    posterior = xr.Dataset({name: (dims, draws)}, coords, attrs)
    return xr.DataTree.from_dict(
        {"posterior": posterior, "sample_stats": xr.Dataset(stats, coords)}
    )
