"""Long runs on disk: segments written whole, then renamed; read back only if complete.

A run is a folder: ``run.json`` says what was asked for; each chain has a folder of numbered
segments. A segment holds the draws made since the one before and all that is needed to go on. The
files are Python pickles of your own run: resume no folder that you do not trust.
"""

import hashlib
import json
import os
import warnings
from pathlib import Path

import cloudpickle
import numpy as np

MAGIC = b"pm_energy segment 1\n"


class RunFolder:
    """Where a run is kept.

    Parameters
    ----------
    path : path-like
    asked : dict
        What was asked for, of JSON types.
    seed : int or None
        None: the seed of the run in the folder, or a fresh one.

    Raises
    ------
    ValueError
        If the folder belongs to another run, or the seed is something else.
    """

    def __init__(self, path, asked, seed):
        if not (seed is None or isinstance(seed, int)):
            raise ValueError(f"with checkpoint, random_seed must be an int or None, got {seed!r}")
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        manifest = self.path / "run.json"
        if not manifest.exists():
            fresh = int(np.random.SeedSequence().entropy) if seed is None else seed
            _write_whole(manifest, json.dumps({**asked, "seed": fresh}, indent=1).encode())
        kept = json.loads(manifest.read_text())
        self.seed = kept.pop("seed")
        different = [key for key in asked if kept.get(key) != asked[key]]
        if seed not in (None, self.seed):
            different.append("random_seed")
        if different:
            raise ValueError(
                f"checkpoint {str(self.path)!r} holds another run: it differs in {different}. "
                "Pass the same model and arguments, or another folder"
            )

    def chain(self, index):
        """Return the segments of a chain."""
        return Segments(self.path / f"chain-{index}")


class Segments:
    """The segments of one chain, in order."""

    def __init__(self, path):
        self.path = path
        self._count = 0

    def load(self):
        """Return the contents of all complete segments, up to the first that is not."""
        found = []
        for file in sorted(self.path.glob("segment-*.pkl")):
            content = file.read_bytes()
            head, digest = content[: len(MAGIC)], content[len(MAGIC) : len(MAGIC) + 32]
            body = content[len(MAGIC) + 32 :]
            whole = head == MAGIC and hashlib.sha256(body).digest() == digest
            if not whole or file != self._file(len(found)):
                warnings.warn(
                    f"{file} is incomplete or out of order; the run goes on from what is before it",
                    stacklevel=2,
                )
                break
            found.append(cloudpickle.loads(body))
        self._count = len(found)
        return found

    def save(self, content):
        """Write the next segment."""
        self.path.mkdir(parents=True, exist_ok=True)
        body = cloudpickle.dumps(content)
        _write_whole(self._file(self._count), MAGIC + hashlib.sha256(body).digest() + body)
        self._count += 1

    def _file(self, number):
        return self.path / f"segment-{number:06d}.pkl"


def _write_whole(file, content):
    """Write beside, force to disk, rename: a reader sees all of it or none."""
    part = file.with_suffix(".part")
    with open(part, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, file)
