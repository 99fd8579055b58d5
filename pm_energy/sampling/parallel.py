"""Chains through joblib: on this machine's cores, or wherever its backend of the day sends them."""

import cloudpickle
import joblib
import pytensor
from joblib.parallel import BACKENDS, get_active_backend
from pymc.progress_bar import create_simple_progress

WORTH_PROCESSES = 20.0  # seconds of work; starting processes that import PyMC takes several


def workers_for(chains, cores, seconds):
    """Return joblib's ``n_jobs``.

    Parameters
    ----------
    chains : int
    cores : int or None
        None: what ``joblib.parallel_config`` says; without it, processes where they pay.
    seconds : float
        How long the chains would take one after the other.

    Returns
    -------
    int or None
    """
    if cores is not None:
        return min(cores, chains)
    backend, n_jobs = get_active_backend()
    if n_jobs is not None or not isinstance(backend, BACKENDS["loky"]):
        return None  # somebody has said how
    return min(chains, joblib.cpu_count()) if seconds > WORTH_PROCESSES else 1


def run_chains(chain, rngs, *, n_jobs, total, progressbar, description):
    """Run a chain for each random generator, and return what was finished.

    Parameters
    ----------
    chain : callable
        ``chain(index, rng, report)`` returns the result of one chain and calls ``report(n)`` where
        n more pieces of work are done. On KeyboardInterrupt it may return what it has, with an
        attribute ``interrupted`` that is true.
    rngs : list of numpy.random.Generator
    n_jobs : int or None
        As from :func:`workers_for`.
    total : int
        Pieces of work of a chain.

    Returns
    -------
    list
        Results in the order of the chains; fewer after an interrupt.

    Raises
    ------
    KeyboardInterrupt
        If nothing was finished before it.
    """
    done = []
    progress = create_simple_progress(progressbar=progressbar)
    with progress:
        task = progress.add_task(description, completed=0, total=total * len(rngs))
        if n_jobs == 1:
            for index, rng in enumerate(rngs):
                done.append(chain(index, rng, lambda n: progress.advance(task, n)))
                if getattr(done[-1], "interrupted", False):
                    break
            return done
        payload = cloudpickle.dumps(chain)
        jobs = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(
            joblib.delayed(_run)(payload, index, cloudpickle.dumps(rng))
            for index, rng in enumerate(rngs)
        )
        try:
            for result in jobs:
                done.append(cloudpickle.loads(result))
                progress.advance(task, total)
        except KeyboardInterrupt:
            if not done:
                raise
    return done


def _run(payload, index, rng):
    # with fast-math what a worker compiles would differ in its last bits from what we have here
    with pytensor.config.change_flags(numba__fastmath=False):
        chain = cloudpickle.loads(payload)
        return cloudpickle.dumps(chain(index, cloudpickle.loads(rng), lambda n: None))
