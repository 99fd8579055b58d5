"""How long a user waits: the import of pm_energy, and a first ``pm.sample``.

    python tests/benchmarks/bench_cold_start.py

Each figure is of a fresh process. The first ``pm.sample`` is timed with empty compiler caches, and
again with what that run left there; beside it stands the same with a model of PyMC's own.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
from rounds import print_versions, spread

FLOOR = 0.3  # seconds

IMPORT = """
import time
import pymc
start = time.perf_counter()
import pm_energy as pme
imported = time.perf_counter()
import pytensor.link.numba.dispatch  # what PyMC loads when it first compiles anything
compiler = time.perf_counter()
pme.Boltzmann, pme.Ising
print(imported - start, compiler - imported, time.perf_counter() - compiler)
"""

SAMPLE = """
import logging, time
import numpy as np, pymc as pm, pm_energy as pme
logging.getLogger("pymc").setLevel(logging.ERROR)
picture = np.random.default_rng(1).normal(size=(32, 32))
start = time.perf_counter()
with pm.Model():
{model}
    pm.sample(
        100, tune=100, chains=1, progressbar=False, quiet=True, compute_convergence_checks=False
    )
print(time.perf_counter() - start)
"""

MODELS = {
    "PyMC's own: mean and noise of a picture": """
    mean = pm.Normal("mean")
    noise = pm.HalfNormal("noise")
    pm.Normal("pixel", mean, noise, observed=picture)
""",
    "an Ising torus": """
    pme.Boltzmann("z", pme.Ising(lattice=(32, 32), coupling=0.4))
""",
    "a hidden Ising torus, coupling and noise unknown": """
    J = pm.Uniform("J", 0, 0.5)
    z = pme.Boltzmann("z", pme.Ising(lattice=(32, 32), coupling=J))
    noise = pm.HalfNormal("noise")
    pm.Normal("pixel", z, noise, observed=picture)
""",
    "a hidden Potts field, means and noise unknown": """
    z = pme.Boltzmann("z", pme.Potts(3, lattice=(32, 32), periodic=False, coupling=0.8))
    mean = pm.Normal("mean", shape=3)
    noise = pm.HalfNormal("noise")
    pm.Normal("pixel", mean[z], noise, observed=picture)
""",
}


def numbers(code, **environment):
    """Run code in a new process and return the numbers it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(word) for word in done.stdout.split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print_versions("pymc", "pytensor", "numba", "numpy")

    alone, compiler, used = np.transpose([numbers(IMPORT) for _ in range(rounds + 1)][1:])
    verdict = "met" if np.median(alone) < FLOOR else "MISSED"
    print("\nseconds after `import pymc`")
    print(f"  import pm_energy: {spread(alone, 3)}  floor below {FLOOR}: {verdict}")
    print(f"  PyMC's compiler, which it loads when needed: {spread(compiler, 3)}")
    print(f"  first use of pme.Boltzmann and pme.Ising after that: {spread(used, 3)}")

    print("\nseconds of a first pm.sample, caches empty and filled")
    for name, model in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            caches = {
                "NUMBA_CACHE_DIR": f"{folder}/numba",
                "PYTENSOR_FLAGS": f"base_compiledir={folder}/pytensor",
            }
            code = SAMPLE.format(model=model)
            cold, *warm = (numbers(code, **caches)[0] for _ in range(rounds + 1))
        print(f"  {name}: {cold:.1f} empty; {spread(warm)} filled")


if __name__ == "__main__":
    main()
