"""What all tests share: figures are drawn off screen, and PyMC does not name its samplers."""

import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")  # child processes inherit it
sys.path.insert(0, str(Path(__file__).parent.parent))  # finds the examples under a bare `pytest`
logging.getLogger("pymc").setLevel(logging.ERROR)
