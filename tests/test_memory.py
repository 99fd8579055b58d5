"""Memory of lattices of 2,000 x 2,000 sites: each runs alone in a child process.

The peak is what the kernel of the operating system noted, less what was there after the imports; so
compilers count too. (Not ``resource.getrusage``: its peak of a child starts at its parent's size.)
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

STATUS = Path("/proc/self/status")
pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="needs Linux's /proc")
LIMIT = 1024  # MiB

MEASURE = f"""
import re
import numpy as np, pymc as pm, pm_energy as pme
from pm_energy import diagnostics as ed
from pm_energy.step_methods import EnergyCluster, EnergyGibbs

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("{STATUS}").read())[1]) / 1024

def sweep(energy, method, count=3):
    with pm.Model() as model:
        z = pme.Boltzmann("z", energy)
        step = method([z])
    point = model.initial_point()
    for _ in range(count):
        point, _ = step.step(point)
        yield point["z"]

ISING = pme.Ising(lattice=(2000, 2000), coupling=0.44)
POTTS = pme.Potts(3, lattice=(2000, 2000), coupling=1.0)
start = peak()
{{task}}
print("MiB", peak() - start)
"""

HIDDEN = """
energy = ISING
picture = np.random.default_rng(1).normal(size=(2000, 2000))
start = peak()
with pm.Model():
    z = pme.Boltzmann("z", energy)
    mean = pm.Normal("mean", shape=3)
    pm.Normal("pixel", mean[z], 1.0, observed=picture)
    pm.sample(
        4, tune=2, chains=1, progressbar=False, quiet=True, compute_convergence_checks=False
    )
"""

ACCUMULATE = """
seen = ed.FieldAccumulator((2000, 2000), states=[-1, 1])
for x in sweep(ISING, EnergyGibbs, 50):
    seen.update(x)
assert seen.dataset()["mode"].shape == (2000, 2000)
assert seen.summaries()["posterior"]["z_agreement"].shape == (1, 50)
"""

RANDOM_GRAPH = """
pairs = np.random.default_rng(1).integers(300_000, size=(600_000, 2))
pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
start = peak()
list(sweep(pme.Ising(graph=pairs, n_sites=300_000, coupling=0.3), EnergyGibbs))
"""


def mebibytes(task):
    """Peak memory of a piece of code, beyond imports."""
    child = subprocess.run(
        [sys.executable, "-c", MEASURE.format(task=task)], capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr
    return float(re.search(r"MiB (\S+)", child.stdout)[1])


@pytest.mark.parametrize(
    ("task", "kept"),
    [
        pytest.param("list(sweep(ISING, EnergyGibbs))", 3 * 4, id="Ising", marks=pytest.mark.slow),
        pytest.param("list(sweep(POTTS, EnergyGibbs))", 3 * 4, id="Potts", marks=pytest.mark.slow),
        pytest.param("list(sweep(ISING, EnergyCluster))", 3 * 4, id="Ising clusters"),
        pytest.param(
            "list(sweep(POTTS, EnergyCluster))", 3 * 4, id="Potts clusters", marks=pytest.mark.slow
        ),
        pytest.param(HIDDEN, 4 * 4 + 6 * 4, id="hidden Ising in pm.sample"),
        pytest.param(
            HIDDEN.replace("ISING", "POTTS"), 4 * 4 + 6 * 4, id="hidden Potts in pm.sample"
        ),
        pytest.param(ACCUMULATE, 0, id="50 draws, only summaries kept"),
        pytest.param(RANDOM_GRAPH, 1, id="random graph of 300,000 sites"),
    ],
)
def test_large_fields_need_less_than_a_gibibyte_beyond_their_draws(task, kept):
    used = mebibytes(task)
    assert used - kept < LIMIT, f"{used:.0f} MiB, of which {kept} are draws"


def test_the_measure_sees_what_is_allocated():
    assert 256 < mebibytes("x = np.ones(2**25)") < 300
