"""Run all benchmarks, one after the other, and list the ratios that have floors.

    python -m tests.benchmarks [part of a name ...]

Packages to compare with are optional (``pip install '.[bench]'``); what is missing is said.
"""

import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path

PEERS = {
    "dwave-samplers": "dwave",
    "openjij": "openjij",
    "peapods": "peapods",
    "thrml": "thrml",
    "jax": "jax",
    "torch": "torch",
    "scikit-learn": "sklearn",
}
HERE = Path(__file__).parent


def run(script):
    """Run a script, its output shown as it comes; return its verdicts, return code and seconds."""
    start, verdicts = time.perf_counter(), []
    child = subprocess.Popen(
        [sys.executable, "-u", str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in child.stdout:
        print(line, end="", flush=True)
        if re.search(r"\bfloor\b.*: (met|MISSED)", line):
            verdicts.append(line.strip())
    return verdicts, child.wait(), time.perf_counter() - start


def main(words):
    missing = [name for name, module in PEERS.items() if not importlib.util.find_spec(module)]
    if missing:
        print("not installed, so not compared with:", ", ".join(missing))
    scripts = sorted(HERE.glob("bench_*.py"))
    chosen = [s for s in scripts if not words or any(word in s.stem for word in words)]
    if not chosen:
        raise SystemExit(f"no benchmark has such a name; there are {[s.stem for s in scripts]}")
    results = {}
    for script in chosen:
        print(f"\n{'=' * 20} {script.stem} {'=' * 20}", flush=True)
        results[script.stem] = run(script)
    print(f"\n{'=' * 20} summary {'=' * 20}")
    for name, (verdicts, code, seconds) in results.items():
        print(f"{name}: {'done' if code == 0 else 'FAILED'} in {seconds:.0f} s")
        for line in verdicts:
            print(f"    {line}")
    if missing:
        print("not compared with:", ", ".join(missing))
    return max(code != 0 for _, code, _ in results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
