"""Pseudolikelihood against the product of exact conditionals."""

import numpy as np
import pytensor.tensor as pt
import pytest
from energy_cases import EACH_KIND
from pytensor.gradient import grad
from scipy.special import log_softmax

import pm_energy as pme
from pm_energy.compile import ONCE, compile_function, evaluate_once
from pm_energy.energy import single_block
from pm_energy.pseudolikelihood import log_pseudolikelihood
from pm_energy.structure import symbolic_like


def log_conditionals(energy, x):
    """Sum of log p(x_i | rest) from the energies of all changes of one unit."""
    domain, total = single_block(energy).domain, 0.0
    for i in np.ndindex(*x.shape):
        changed = np.repeat(x[None], len(domain.states), axis=0)
        changed[(slice(None), *i)] = domain.states
        log_p = log_softmax(-pme.energy_values(energy, changed))
        total += log_p[domain.states.tolist().index(x[i])]
    return total


@pytest.mark.parametrize("name", EACH_KIND)
def test_it_is_the_product_of_the_conditionals(name):
    energy = EACH_KIND[name]
    block = single_block(energy)
    x = np.random.default_rng(1).choice(block.domain.states, size=block.shape)
    value = evaluate_once(log_pseudolikelihood(energy, pt.as_tensor(x)))
    np.testing.assert_allclose(value, log_conditionals(energy, x), atol=1e-11)


def test_it_is_the_likelihood_of_independent_units():
    energy = pme.Ising(0.0, [0.3, -1.0, 2.0], graph=[], n_sites=3)
    x = np.array([1, -1, -1])
    log_p = -pme.energy_values(energy, x[None])[0] - pme.exact.log_partition(energy)
    np.testing.assert_allclose(
        evaluate_once(log_pseudolikelihood(energy, pt.as_tensor(x))), log_p, rtol=1e-13
    )


def test_its_expected_gradient_vanishes_at_the_truth():
    """Besag's estimating equation is unbiased."""
    energy = EACH_KIND["ising bonds"]
    states, p = pme.exact.distribution(energy)
    twin, inputs, leaves = symbolic_like(energy)
    x = pt.tensor(shape=(2, 3), dtype="int8")
    slopes = grad(log_pseudolikelihood(twin, x), inputs)
    fn = compile_function([x, *inputs], slopes, mode=ONCE)
    values = [leaf.data for leaf in leaves]
    total = [0.0, 0.0]
    for state, weight in zip(states, p, strict=True):
        total = [t + weight * s for t, s in zip(total, fn(state, *values), strict=True)]
    for slope in total:
        np.testing.assert_allclose(slope, 0.0, atol=1e-12)
