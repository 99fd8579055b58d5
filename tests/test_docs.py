"""The Python blocks of the README and of the user guide run, in order, one namespace a page.

Chains are shorter than a reader's: ``pm.sample`` gets smaller defaults. Pages after the quick start
may use what it defined. A block after the comment ``<!-- skip -->`` is not run.
"""

import functools
import logging
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pymc as pm
import pytest

import pm_energy as pme

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^(<!-- skip -->\n)?```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
QUICK_START = "docs/quickstart.md"


def blocks(page):
    """Python blocks of a page: the line at which each starts, and its code."""
    text = (ROOT / page).read_text()
    found = [match for match in BLOCK.finditer(text) if not match[1]]
    return [(text.count("\n", 0, match.start(2)) + 1, match[2]) for match in found]


def execute(page, namespace):
    """Run the blocks of a page; an error shows the line of the page."""
    for line, code in blocks(page):
        exec(compile("\n" * (line - 1) + code, str(ROOT / page), "exec"), namespace)


@pytest.fixture(scope="module")
def short_chains():
    short = functools.partial(
        pm.sample,
        draws=200,
        tune=200,
        chains=2,
        cores=1,
        progressbar=False,
        compute_convergence_checks=False,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pm, "sample", short)
        yield


@pytest.fixture(scope="module")
def quick_start(short_chains):
    namespace = {"__name__": "quickstart"}
    execute(QUICK_START, namespace)
    plt.close("all")
    return namespace


@pytest.mark.parametrize("page", [page for page in PAGES if page != QUICK_START and blocks(page)])
def test_the_code_of_a_page_runs(page, short_chains, quick_start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {} if page in ("README.md", "docs/index.md") else dict(quick_start)
    execute(page, namespace | {"__name__": page})
    plt.close("all")


def test_the_quick_start_says_what_pymc_assigns(quick_start, caplog):
    with quick_start["model"], caplog.at_level(logging.INFO, "pymc"):
        pm.sample(draws=10, tune=10, chains=1, progressbar=False, compute_convergence_checks=False)
    assert "EnergyGibbs: [z]" in caplog.text
    assert "NUTS: [noise]" in caplog.text
    assert quick_start["dt"]["posterior"]["z"].dtype == "int8"
    assert quick_start["dt"]["posterior"]["z"].dims == ("chain", "draw", "row", "col")


def test_the_guide_quotes_the_sampler_of_the_quick_start(quick_start):
    quoted = repr(pme.explain_sampler(quick_start["model"]))
    assert f"# {quoted}\n" in (ROOT / "docs/samplers.md").read_text()
