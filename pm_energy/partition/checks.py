"""Reasons not to trust an estimate of log Z, in plain words.

The checks are of what the estimate rests on: overlap, agreement, effective draws, and first-order
transitions. Whether the run itself went well is another question, with checks of its own.
"""

import numpy as np
from scipy.stats import chi2

from pm_energy.index_process import completed_trips
from pm_energy.partition.errors import MIN_DRAWS, effective_draws, mcse_of_mean
from pm_energy.partition.groups import Population, Works, all_estimates, read_run
from pm_energy.partition.two_peaks import crossings, two_peaks

DISAGREE = 4.0  # errors of the difference: 6e-5 by chance
ROUNDING = 1e-9  # relative
CHAIN_DISAGREES = 5.0  # errors, which are those of one chain and so are rough
MIN_OVERLAP = 0.03  # Klimovich, Shirts & Mobley (2015), J. Comput. Aided Mol. Des. 29, 397-411
MIN_EFFECTIVE = 50  # draws: the error itself is then known to about 10%
MIN_WEIGHTS = 10  # effective number of weighted runs
MIN_FAMILIES = 100  # effective number of founders; Wang, Machta & Katzgraber (2015)
MIN_ROUND_TRIPS = 10  # a chain
MIN_CROSSINGS = 50  # from phase to phase; their weights are then known to about .3 nats
ENOUGH = 50_000  # numbers, for peaks
MOST_BETAS = 32


def check_evidence(dt):
    """Reasons not to trust estimates of log Z from a tempered run.

    Parameters
    ----------
    dt : DataTree
        As a tempering driver returns it.

    Returns
    -------
    list of str
        Empty if nothing speaks against them.

    Raises
    ------
    ValueError
        If there is no tempered run in it.

    Notes
    -----
    *Two estimators disagree* if they are more than 4 errors of their difference apart, and more
    than one error of the better one. The error of the difference is that of the differences of
    their shares draw by draw, so it allows for their being made from the same draws. Thermodynamic
    integration, whose quadrature has an error that no draws remove, is compared by its bounds.

    *Two peaks*: see :func:`two_peaks`, applied to the log-ratio at betas all along the ladder by
    reweighting all draws. Peaks alone are no harm: small discrete systems have them. It is reported
    if, besides, all walkers together passed from one to the other less than 50 times.

    *A chain disagrees* if what its draws say of log Z differs from what the others say by more than
    5 errors, each from its own autocorrelation.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from pm_energy.partition import check_evidence
    >>> forward = xr.Dataset({"forward": ("particle", [3.0, 41.0, 25.0, 37.0])})
    >>> dt = xr.DataTree.from_dict({"work": forward.assign_attrs(log_z_base=0.0)})
    >>> check_evidence(dt)[0][:45]
    'Of 4 forward runs only 1.0 count (effective n'
    """
    run, _ = read_run(dt)
    return reasons(run, all_estimates(run))


def reasons(run, estimates):
    """Return the reasons, given all estimates of a run."""
    if isinstance(run, Works):
        return [*_of_works(run, estimates)]
    if isinstance(run, Population):
        return [*_of_population(run)]
    if "mbar" not in estimates:  # a level without draws
        trips = list(_round_trips(run))
        return [
            *trips,
            "Some levels have no draws, so the path to the target has gaps: tune longer",
        ]
    best = estimates["mbar"]
    return [
        *_disagreements(estimates),
        *_of_draws(best.shares[0]),
        *_overlap(run.mixture),
        *_round_trips(run),
        *_two_peaks(run),
    ]


def _disagreements(estimates):
    best = estimates["mbar"]
    rounding = ROUNDING * (1 + abs(best.value))
    for name, other in estimates.items():
        if name in ("stepping-stone", "stepping-stone-backward"):
            continue  # heavy weights near a vague prior: they disagree in runs that are right
        gap = other.value - best.value
        if name == "thermodynamic-integration":
            error = DISAGREE * np.hypot(best.mcse, other.mcse) + rounding
            if not other.lower - error <= best.value <= other.upper + error:
                yield (
                    f"'mbar' gives {best.value:.4g} ± {best.mcse:.2g}, outside the bounds "
                    f"{other.lower:.4g} and {other.upper:.4g} of thermodynamic integration. The "
                    "draws are not of the densities that they are said to be of"
                )
        elif abs(gap) > best.mcse + rounding and abs(other.errors_from(best)) > DISAGREE:
            yield (
                f"{name!r} and 'mbar' disagree: {other.value:.4g} ± {other.mcse:.2g} against "
                f"{best.value:.4g} ± {best.mcse:.2g}. Levels are too far apart for the weights "
                "between them; take more levels, or draw more"
            )


def _of_draws(shares):
    effective = float(effective_draws(shares))
    if not effective >= MIN_EFFECTIVE:  # NaN too
        yield (
            f"log Z rests on {effective:.0f} effective draws, so its error is a rough guess; "
            f"{MIN_EFFECTIVE} are wanted. Draw more"
        )
    chains, draws = shares.shape
    if chains < 2 or draws < MIN_DRAWS:
        return
    means = shares.mean(axis=1)
    errors = np.array([mcse_of_mean(row[None]) for row in shares])
    others = (means.sum() - means) / (chains - 1)
    of_others = np.sqrt((errors**2).sum() - errors**2) / (chains - 1)
    gap, error = means - others, np.hypot(errors, of_others)
    for chain in np.flatnonzero(np.abs(gap) > CHAIN_DISAGREES * error):
        yield (
            f"Chain {chain} disagrees with the others: it alone puts log Z {abs(gap[chain]):.3g} "
            f"{'higher' if gap[chain] > 0 else 'lower'}, {abs(gap[chain] / error[chain]):.0f} "
            "errors. Chains saw different parts of the space; tune longer, or take more levels"
        )


def _overlap(mixture):
    """Probability that a draw of a level belongs to the next one, of the two."""
    for k, width in enumerate(np.diff(mixture.beta)):
        odds = np.log(mixture.count[k + 1] / mixture.count[k]) - np.diff(mixture.log_z)[k]
        u = mixture.u[mixture.state == k]
        overlap = (1 / (1 + np.exp(-np.clip(odds + width * u, -700, 700)))).mean()
        if overlap < MIN_OVERLAP:
            yield (
                f"Levels hardly overlap between beta = {mixture.beta[k]:.3g} and "
                f"{mixture.beta[k + 1]:.3g}: {overlap:.1g}, where {MIN_OVERLAP} is the least that "
                "allows a trustworthy step. Take more levels there"
            )


def _round_trips(run):
    top = run.beta.shape[-1] - 1
    trips = completed_trips(run.levels, top).reshape(len(run.levels), -1).sum(axis=1)
    if (trips < MIN_ROUND_TRIPS).any():
        yield (
            f"Too few round trips between base and target: {', '.join(map(str, trips))} in the "
            f"chains, where {MIN_ROUND_TRIPS} are wanted. What the target's draws know of other "
            "modes is what they started with. Draw more, or tune longer"
        )


def _two_peaks(run):
    u, mixture = run.log_ratio, run.mixture
    u = u[:, :: max(1, u.size // ENOUGH)]
    levels = len(mixture.beta)
    places = np.linspace(0, levels - 1, min(3 * levels - 2, MOST_BETAS))
    beta = np.interp(places, np.arange(levels), mixture.beta)
    weights = np.exp(mixture.log_weights(u.ravel(), beta))
    found = [(two_peaks(u, w.reshape(u.shape)), b) for w, b in zip(weights, beta, strict=True)]
    found = [(peaks, b) for peaks, b in found if peaks is not None]
    if not found:
        return
    peaks, b = max(found, key=lambda pair: pair[0].errors)
    passed = crossings(run.walks, peaks.low, peaks.high)
    if passed < MIN_CROSSINGS:
        yield (
            f"log_ratio has two peaks at beta = {b:.3g}, near {peaks.low:.4g} and "
            f"{peaks.high:.4g}, and walkers passed from one to the other only {passed} times in "
            "all. It looks like a first-order transition: the weights of the two phases, and log "
            "Z, then rest on how walkers were started, and the error is too small. Draw far more, "
            "or use moves that change the phase"
        )


def _of_population(run):
    families = run.size / run.rho_t[:, -1]
    if (families < MIN_FAMILIES).any():
        yield (
            f"The population descends from too few founders: effectively {families.min():.0f}, "
            f"where {MIN_FAMILIES} are wanted. Take a larger population, or more moves a step"
        )
    log_z, within = run.log_z[:, -1], np.sqrt((run.rho_t[:, -1].mean() - 1) / run.size)
    if len(log_z) > 1:
        excess = ((log_z - log_z.mean()) ** 2).sum() / max(within, 1e-12) ** 2
        if chi2.sf(excess, len(log_z) - 1) < 1e-4:
            yield (
                f"Populations disagree: log Z differs by {log_z.std(ddof=1):.2g} between them "
                f"where {within:.2g} is expected. Take larger populations, or more moves a step"
            )


def _of_works(run, estimates):
    for name, log_weight in (("forward", -run.forward), ("reverse", run.reverse)):
        if log_weight is None:
            continue
        weight = np.exp(log_weight - log_weight.max())
        effective = weight.sum() ** 2 / (weight**2).sum()
        if effective < MIN_WEIGHTS:
            yield (
                f"Of {weight.size} {name} runs only {effective:.1f} count (effective number of "
                "weights), so log Z rests on a few of them. Anneal more slowly"
            )
    if "ais-reverse" in estimates:
        up, down = estimates["ais"], estimates["ais-reverse"]
        if abs(up.value - down.value) > DISAGREE * np.hypot(up.mcse, down.mcse):
            yield (
                f"Forward and reverse runs disagree: {up.value:.4g} ± {up.mcse:.2g} against "
                f"{down.value:.4g} ± {down.mcse:.2g}. Trust 'bridge' more than either, anneal more "
                "slowly, and if the reverse starts were no exact draws, doubt them"
            )
