"""What all tests share: figures are drawn off screen, and PyMC does not name its samplers."""

import gc
import logging
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "agg")  # child processes inherit it
sys.path.insert(0, str(Path(__file__).parent.parent))  # finds the examples under a bare `pytest`
logging.getLogger("pymc").setLevel(logging.ERROR)


@pytest.fixture(autouse=True)
def loggers_stay_as_they_are():
    """Fail what sets the level of a logger and leaves it so: other tests would read less."""
    loggers = [logging.getLogger(name) for name in ("pymc", "pymc.pm_energy")]
    before = [logger.level for logger in loggers]
    yield
    after = [logger.level for logger in loggers]
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)
    assert after == before


def pytest_collection_finish():
    """What was made by imports stays: the garbage collector need not look through it each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
