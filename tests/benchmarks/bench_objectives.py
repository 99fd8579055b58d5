"""What each objective reaches: total or mean log-likelihood, log Z exact, over five seeds.

Bars-and-Stripes 4x4 (30 patterns, 16 hidden units; no model can exceed -30 log 30 = -102.04), the
Labeled Shifter Ensemble (768 patterns, 10 hidden units; -768 log 768 = -5102.4), and binarised
digits (test log-likelihood a digit, 16 hidden units), where scikit-learn's BernoulliRBM is the
peer. Run as a script, with ``--seeds N``.
"""

import argparse
import time
from itertools import product

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import BernoulliRBM as Peer

import pm_energy as pme
from pm_energy.training.rbm_model import RBMModel
from pm_energy.training.rbm_partition import rbm_log_z

SAMPLED = ("cd-1", "cd-10", "pcd", "tempered")


def bars_and_stripes(side=4):
    """Images whose rows, or whose columns, are each black or white."""
    lines = list(product([0.0, 1.0], repeat=side))
    images = [np.repeat(line, side) for line in lines] + [np.tile(line, side) for line in lines]
    return np.unique(images, axis=0)


def shifter(n=8):
    """Patterns, the same shifted by -1, 0 or 1 with wrap-around, and which it was."""
    rows = product(product([0, 1], repeat=n), (-1, 0, 1))
    return np.array([[*p, *np.roll(p, s), *np.eye(3)[s + 1]] for p, s in rows], float)


def settings(name, data):
    """Parameters of an objective on a data set; weights decay where its optimum is infinite."""
    objective = {"cd-1": "cd", "cd-10": "cd"}.get(name, name)
    common = {"objective": objective, "n_sweeps": 10 if name == "cd-10" else 1, "track": None}
    common["tol"] = 1e-6  # the slopes of flip objectives are small long before their end
    if data == "digits":
        decay = {"exact": 1e-3, "probability-flow": 1e-2}.get(name, 1e-3)
        if name in SAMPLED:
            return common | {"n_chains": 20 if name == "tempered" else 100}
        return common | {"weight_decay": decay, "n_iter": 300}
    sampled = {
        "bars": {"n_iter": 30_000, "batch_size": 30, "learning_rate": 0.1, "n_chains": 100},
        "shifter": {"n_iter": 1000, "batch_size": 50, "learning_rate": 0.2, "n_chains": 100},
    }
    if name in SAMPLED:
        more = {"learning_rate": 0.05, "n_chains": 500} if (name, data) == ("pcd", "bars") else {}
        return common | sampled[data] | {"weight_decay": 0} | more
    decay = {
        ("exact", "bars"): 0,
        ("exact", "shifter"): 0,
        ("pseudolikelihood", "bars"): 1e-4,
        ("ratio-matching", "bars"): 1e-6,
        ("probability-flow", "bars"): 3e-3,
    }.get((name, data), 1e-3 if name != "ratio-matching" else 1e-4)
    return common | {"weight_decay": decay, "n_iter": 2000}


def peer_score(train, test, n_hidden, seed, **options):
    """Log-likelihood of scikit-learn's machine, by our log Z."""
    peer = Peer(n_hidden, random_state=seed, **options).fit(train)
    theta = {
        "weights": peer.components_.T.astype(float),
        "visible_bias": peer.intercept_visible_.astype(float),
        "hidden_bias": peer.intercept_hidden_.astype(float),
    }
    model = RBMModel(train.shape[1], n_hidden)
    log_z = rbm_log_z(model, theta, np.random.default_rng(0)).value
    return float(-model.free_energy(theta, test).mean() - log_z)


def main(seeds=5):
    """Print the table."""
    digits = (load_digits().data >= 8).astype(float)
    bars, lse = bars_and_stripes(), shifter()
    cases = {
        "bars": (bars, bars, 16, len(bars)),
        "shifter": (lse, lse, 10, len(lse)),
        "digits": (digits[:1000], digits[1350:], 16, 1),
    }
    rest = ("exact", "pseudolikelihood", "ratio-matching", "probability-flow")
    for data, (train, test, n_hidden, factor) in cases.items():
        print(f"\n{data}: {len(train)} rows of {train.shape[1]}, {n_hidden} hidden units")
        for name in (*rest[:1], *SAMPLED, *rest[1:]):
            start = time.perf_counter()
            options = settings(name, data)
            machines = (pme.BernoulliRBM(n_hidden, random_state=s, **options) for s in range(seeds))
            found = [factor * machine.fit(train).score(test) for machine in machines]
            report(name, found, (time.perf_counter() - start) / seeds)
        if data == "digits":
            start = time.perf_counter()
            options = {"learning_rate": 0.05, "n_iter": 1000, "batch_size": 100}  # its best of 30
            found = [peer_score(train, test, n_hidden, s, **options) for s in range(seeds)]
            report("scikit-learn", found, (time.perf_counter() - start) / seeds)


def report(name, found, seconds):
    """Print mean, range and time."""
    print(
        f"  {name:17s} mean {np.mean(found):9.2f}  from {min(found):9.2f} to {max(found):9.2f}"
        f"  {seconds:6.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    main(parser.parse_args().seeds)
