"""The loop of learning by regression in JAX: the network's PyTensor graph, all steps in one call.

The batches are those that the numba kernel gets, so that both backends learn the same to rounding.
What JAX compiles is PyTensor's gradient of the network's own formula and PyMC's Adam.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.replace import clone_replace

from pm_energy.compile import jax_traceable
from pm_energy.training.optimisers import make_optimiser


def jax_steps(network, size, batch_size, settings):
    """Return what learns for some steps, as the numba kernel does.

    Parameters
    ----------
    network : MLP
    size : int
        Steps at a time, at most: arrays are as long, so that JAX compiles once.
    batch_size : int
    settings : tuple of float
        Weight decay, largest norm of a gradient, decay of the average.

    Returns
    -------
    callable
        ``steps(learner, batches, rates, done, losses)``, see
        :func:`pm_energy.kernels.mlp_training.train_steps`.

    Raises
    ------
    ImportError
        If JAX is not installed.
    """
    decay, max_norm, keep = settings
    loop = _compiled(_after_features(network), batch_size, max_norm)

    def steps(learner, batches, rates, done, losses):
        padded = np.zeros(size, np.float32)
        padded[: rates.size] = rates
        numbers = np.float32(decay), np.float32(keep)
        *found, loss = loop(*learner, done, rates.size, padded, *numbers, *batches)
        for part, new in zip(learner, found, strict=True):
            part[:] = new
        losses[:] = loss[: rates.size]
        bad = np.flatnonzero(~np.isfinite(losses))
        return int(bad[0]) if bad.size else rates.size

    return steps


def _after_features(network):
    """The network of what the kernel makes its inputs of: x, features of time and labels."""
    return replace(network, n_in=network.sizes[0], time_features=0, n_classes=0)


@lru_cache(maxsize=32)
def _compiled(network, batch_size, max_norm):
    """One jitted function of flat parameters, moments and averages, and of batches."""
    step = jax_traceable(*_step_graph(network, batch_size, max_norm))
    import jax  # an optional package
    from jax import numpy as jnp

    k = len(network.shapes)

    def loop(theta, mean, square, average, done, n, rates, decay, keep, inputs, targets, weights):
        def body(i, carry):
            *learner, losses = carry
            flat = [part for vectors in learner for part in vectors]
            batch = rates[i], decay, keep, inputs[i], targets[i], weights[i]
            loss, *new = step(*flat, jnp.float32(done + i), *batch)
            new = [part.astype(jnp.float32) for part in new]  # PyTensor's sums are of float64 there
            learner = [tuple(new[j * k : (j + 1) * k]) for j in range(4)]
            return *learner, losses.at[i].set(loss.astype(jnp.float32))

        start = [tuple(network.unflatten(part).values()) for part in (theta, mean, square, average)]
        *learner, losses = jax.lax.fori_loop(0, n, body, (*start, jnp.zeros_like(rates)))
        return *(jnp.concatenate([p.reshape(-1) for p in parts]) for parts in learner), losses

    return jax.jit(loop)


def _step_graph(network, batch_size, max_norm):
    """Inputs and outputs of a step: parameters, both moments and averages, before and after."""
    with pytensor.config.change_flags(floatX="float32"):  # of literals
        params = {
            name: pytensor.shared(np.zeros(shape, np.float32), name=name, shape=shape)
            for name, shape in network.shapes.items()
        }
        rate, decay, keep = pt.fscalar("rate"), pt.fscalar("decay"), pt.fscalar("keep")
        shapes = (batch_size, network.n_in), (batch_size, network.n_out), (batch_size,)
        x, targets, weights = (pt.tensor(dtype="float32", shape=shape) for shape in shapes)
        errors = network.graph(params, x) - targets
        loss = (weights * (errors**2).sum(axis=1)).mean()
        limit = None if np.isinf(max_norm) else max_norm
        optimiser = make_optimiser("adamw", rate, limit, weight_decay=decay)
        updates = optimiser(loss, list(params.values()))
        slots = [slot for slot in updates if slot not in params.values()]
        (count,) = (slot for slot in slots if slot.ndim == 0)
        moments = [slot for slot in slots if slot is not count]  # two for each parameter, in turn
        averages = [param.type() for param in params.values()]
        kept = pt.minimum(keep, (count + 1) / (count + 10))  # as the kernel's
        new = [updates[param] for param in params.values()]
        averaged = [kept * a + (1 - kept) * b for a, b in zip(averages, new, strict=True)]
    learner = [*params.values(), *moments[::2], *moments[1::2], *averages]
    moved = [*new, *(updates[slot] for slot in (*moments[::2], *moments[1::2])), *averaged]
    inputs = {old: old.type() for old in (*learner, count)}
    outputs = clone_replace([loss, *moved], inputs)
    numbers = [inputs[count], rate, decay, keep, x, targets, weights]
    return [*(inputs[old] for old in learner), *numbers], outputs
