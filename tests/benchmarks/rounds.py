"""What benchmark scripts share: contenders in turn, ratios within a round, and versions.

Machines have moods: a contender's time may double from one minute to the next. So all are timed in
every round, one after the other, and the ratio of two is formed within each round.
"""

import importlib.metadata
import os
import platform
import sys

import numpy as np
from threadpoolctl import threadpool_info


def use_one_core():
    """Keep this process, and those that it starts, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def print_versions(*packages):
    """Print the versions of Python and of packages, the processor and the BLAS kernels."""
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    print(f"Python {sys.version.split()[0]}, {found}; {processor()}, {os.cpu_count()} cores")
    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            print(f"BLAS: {pool['internal_api']}, kernel {pool.get('architecture', '?')}")


def processor():
    """Name of the processor."""
    try:
        with open("/proc/cpuinfo") as lines:
            name = next(line for line in lines if line.startswith("model name"))
        return name.split(":")[1].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def interleave(timers, rounds):
    """Call all timers in turn, round after round, each time beginning with the next one.

    What ran before leaves its mark: threads that still wait for work, caches, the processor's
    frequency.

    Parameters
    ----------
    timers : dict of str to callable
        Each returns a time.
    rounds : int

    Returns
    -------
    dict of str to array, shape (rounds,)
    """
    names = list(timers)
    times = {name: np.empty(rounds) for name in names}
    for k in range(rounds):
        first = k % len(names)
        for name in (*names[first:], *names[:first]):
            times[name][k] = timers[name]()
    return times


def spread(values, digits=2):
    """Median and range, in words."""
    return f"{np.median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def print_ratio(name, ratios, floor=None):
    """Print the median and range of a ratio, and whether it reaches its floor."""
    verdict = ""
    if floor is not None:
        verdict = f"  floor {floor:g}: {'met' if np.median(ratios) >= floor else 'MISSED'}"
    print(f"  {name}: {spread(ratios)}{verdict}")
