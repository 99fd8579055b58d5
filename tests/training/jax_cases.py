"""Largest differences between what both backends learn, case by case, as JSON.

A program of its own: a process in which JAX runs had better not fork, as pm.sample does.
"""

import json

import numpy as np

from pm_energy.diffusion import StraightPath
from pm_energy.estimators import DiffusionModel
from pm_energy.networks import MLP
from pm_energy.training.regression import train
from pm_energy.training.regression_noise import path_levels, score_levels
from pm_energy.training.schedules import Cosine

TOLD = {"time_features": 4, "time_range": (-3, 2), "n_classes": 3}
CASES = {  # network, levels, and what else train is given
    "plain": (MLP(2, 2, hidden=(16,)), score_levels(0.5), {}),
    "one chunk and a part": (MLP(2, 2, hidden=()), score_levels(0.5), {"n_steps": 1_500}),
    "all that a network is told": (
        MLP(2, 2, hidden=(16, 16), activation="tanh", residual=True, **TOLD),
        path_levels(StraightPath(), "velocity"),
        {"labels": True, "weights": True, "drop_label": 0.3},
    ),
    "decay, clipping, a schedule": (
        MLP(2, 2, hidden=(16, 8), activation="softplus"),
        score_levels(np.geomspace(0.1, 2.0, 5)),
        {"decay": 0.1, "max_norm": 0.5, "rates": Cosine(0.01, 60), "keep": 0.9},
    ),
    "pairs, odd batches": (
        MLP(2, 2, hidden=(8,), activation="relu"),
        path_levels(StraightPath(), "velocity"),
        {"coupling": "optimal", "batch_size": 31},
    ),
}


def learn(network, levels, options, backend):
    rng = np.random.default_rng(0)
    x, start = rng.normal(size=(500, 2)), network.init(rng)
    made = {"labels": rng.integers(3, size=500), "weights": rng.random(500)}
    options = {name: made[name] if value is True else value for name, value in options.items()}
    common = {"n_steps": 60, "batch_size": 32, "rates": 3e-3, "backend": backend} | options
    first = train(network, start, x, levels, rng, **common)
    return train(network, first, x, levels, rng, **common)  # goes on, with Adam's moments


def difference(network, levels, options):
    ours, theirs = (learn(network, levels, options, backend) for backend in ("numba", "jax"))
    parts = [*zip(ours.moments, theirs.moments, strict=True), (ours.losses, theirs.losses)]
    parts += [(ours.theta[k], theirs.theta[k]) for k in network.shapes]
    parts += [(ours.average[k], theirs.average[k]) for k in network.shapes]
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in parts)


def fitted():
    """Largest difference of what an estimator learns, over two calls."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 2)), rng.integers(2, size=100)
    found = []
    for backend in ("numba", "jax"):
        model = DiffusionModel(
            hidden=(8, 8), residual=True, n_iter=30, backend=backend, random_state=0
        )
        found.append(model.fit(X, y).partial_fit(X, y).parameters_)
    return float(np.abs(found[0] - found[1]).max())


def diverging():
    network, rng = MLP(1, 1, hidden=()), np.random.default_rng(7)
    x, rates = rng.normal(size=(100, 1)), np.r_[np.full(30, 1e-3), np.full(20, 1e30)]
    run = train(
        network,
        network.init(rng),
        x,
        score_levels(0.5),
        rng,
        n_steps=50,
        rates=rates,
        backend="jax",
    )
    return [run.failure, run.n_steps]


if __name__ == "__main__":
    found = {name: difference(*case) for name, case in CASES.items()}
    found["an estimator"] = fitted()
    print(json.dumps({"differences": found, "diverging": diverging()}))
