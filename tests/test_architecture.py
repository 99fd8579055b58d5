"""The house: who may import whom, and what loads when.

Imports point downwards: a module may import from its own layer and from those below it. Kernels
know nothing of the house that stands on them.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pm_energy

ROOT = Path(pm_energy.__file__).parent
LAYERS = [  # from the ground up; a package counts as one
    {"kernels"},
    {"typing", "validate", "domains", "structure", "index_process"},
    {"energy", "compile", "native_density", "sufficient_statistics"},
    {"polynomial", "quadratic", "marginal", "compose"},
    {"energies", "exact"},
    {"forms", "log_partition", "pseudolikelihood"},
    {"roads", "cluster_roads", "graph"},
    {"draws", "random_variable", "distributions"},
    {"paths", "partition", "information", "record", "trust", "networks", "diffusion"},
    {"walkers"},
    {"training"},
    {"step_methods", "diagnostics", "hidden", "testing", "sampling", "estimators"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
APART = {"step_methods", "diagnostics", "sampling", "estimators"}  # of one layer, not of each other
UPWARDS = {  # when called
    ("energy", "quadratic"),  # couplings are derived from the formula
    ("walkers", "step_methods"),  # PyMC must know of EnergyGibbs before it assigns steps
}

WHO_MAY_IMPORT = {
    "pymc": {"graph", "draws", "random_variable", "distributions", "paths", "record", "training",
             "walkers", "step_methods", "hidden", "testing", "sampling"},
    "arviz": {"diagnostics", "record"},
    "matplotlib": {"diagnostics"},
    "sklearn": {"estimators", "diagnostics"},
    "xarray": {"diagnostics", "record", "hidden", "sampling", "partition", "trust", "estimators"},
    "numba": {"kernels", "compile", "exact"},
    "joblib": {"sampling", "training", "estimators"},
}  # fmt: skip
KERNELS_IMPORT = {"numpy", "numba", "llvmlite", "pm_energy", *sys.stdlib_module_names}
WITHOUT_EXAMPLE = {"Energy", "Real", "Road", "Recall", "Retrieval"}


def modules():
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def place(path):
    """The module or package at the top of pm_energy that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path):
    """Full names of all modules that a file imports, inside functions as well."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            if node.module == "pm_energy":
                yield from (f"pm_energy.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    here = place(path)
    assert here in LEVEL, f"give {here} a place in LAYERS"
    for name in imports(path):
        if name.split(".")[0] != "pm_energy":
            continue
        there = name.split(".")[1] if "." in name else ""
        assert there in LEVEL, f"{path} imports {name}"
        if here == there or (here, there) in UPWARDS:
            continue
        assert LEVEL[there] <= LEVEL[here], f"{here} imports {there}, which stands above it"
        assert not {here, there} <= APART, (
            f"{here} imports {there}: they should not know each other"
        )


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_libraries_stay_where_they_belong(path):
    here = place(path)
    for name in imports(path):
        library = name.split(".")[0].split("_")[0]  # arviz_stats is arviz
        if library in WHO_MAY_IMPORT:
            assert here in WHO_MAY_IMPORT[library], f"{path} imports {name}"
        if here == "kernels":
            assert name.split(".")[0] in KERNELS_IMPORT, f"a kernel imports {name}"
            assert not name.startswith("pm_energy") or name.startswith("pm_energy.kernels")


def test_the_table_names_only_what_exists_or_was_designed():
    designed = {"paths", "partition", "information", "record", "training", "sampling", "estimators"}
    assert {place(path) for path in modules()} <= set(LEVEL)
    assert set(LEVEL) - {place(path) for path in modules()} <= designed


def loaded_by(code):
    """Names of the modules that are loaded after running code in a fresh interpreter."""
    listing = f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_but_itself():
    """So it costs nothing beside ``import pymc``."""
    extra = loaded_by("import pm_energy") - loaded_by("import importlib")
    assert {name for name in extra if name.split(".")[0] != "pm_energy"} <= sys.stdlib_module_names
    assert len(extra) < 20


def test_energies_need_no_pymc():
    """Nor plots, nor learning: only PyTensor."""
    loaded = loaded_by(
        "import pm_energy as pme; pme.Ising(lattice=(3, 3)); pme.Tempered; pme.field"
    )
    assert not loaded & {"pymc", "arviz", "matplotlib", "sklearn", "networkx"}


def test_distributions_and_steps_add_little_to_pymc():
    """Beside PyMC with numba, which any sampling loads; modules are counted in place of a clock."""
    sampling = loaded_by("import pymc, pytensor.link.numba.dispatch.basic")
    ours = loaded_by("import pm_energy as pme; pme.Boltzmann; pme.EnergyGibbs") - sampling
    assert not {name.split(".")[0] for name in ours} & {"sklearn", "matplotlib", "networkx"}
    assert len(ours) < 150


def test_public_names_exist_and_none_is_hidden_by_a_module():
    """``pm_energy.x`` would become the module once anybody imports it."""
    files = {path.stem for path in ROOT.iterdir()}
    for name in pm_energy.__all__:
        value = getattr(pm_energy, name)
        assert value is not None
        if not isinstance(value, type(sys)):
            assert name not in files, f"{name} is a module of the package, too"
    assert set(pm_energy.__all__) <= set(dir(pm_energy))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = pm_energy.nothing


def test_public_things_are_documented_with_an_example():
    """Every function and class that users see by name, but for a few."""
    missing = []
    for name in pm_energy.__all__:
        value = getattr(pm_energy, name)
        if callable(value) and ">>>" not in (value.__doc__ or ""):
            missing.append(name)
    assert set(missing) <= WITHOUT_EXAMPLE, missing
