"""What all tests share: figures are drawn off screen, and PyMC does not name its samplers."""

import logging
import os

os.environ.setdefault("MPLBACKEND", "agg")  # child processes inherit it
logging.getLogger("pymc").setLevel(logging.ERROR)
