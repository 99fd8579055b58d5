"""What is refused, with which reason; and that nothing wrong is ever accepted."""

import contextlib

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from pytensor.raise_op import Assert
from pytensor.scan import scan

from pm_energy.graph import site_rules
from pm_energy.graph.sitewise import NotSitewise, model_site_log_weights, site_log_weights

PLAIN = Mode(linker="py", optimizer="fast_compile")  # nothing to compile: each graph runs once
SHAPE, STATES = (3, 4), (0, 1, 2)
RNG = np.random.default_rng(0)
DATA = RNG.normal(size=SHAPE)


def linear_map(z):
    pm.Normal("y", z @ RNG.normal(size=(4, 4)), 1.0, observed=DATA)


def total_in_a_mean(z):
    pm.Normal("y", z.sum(), 1.0, observed=DATA)


def neighbours(z):
    pm.Potential("y", (z[1:] * z[:-1]).sum())


def differences(z):
    pm.Potential("y", -(pt.diff(z, axis=1) ** 2).sum())


def quadratic(z):
    pm.Potential("y", z[0] @ RNG.normal(size=(4, 4)) @ z[0])


def cumulated(z):
    pm.Potential("y", pt.exp(pt.cumsum(z, axis=0)))


def scanned(z):
    out = scan(
        lambda s, c: s + c, sequences=[z[0]], outputs_info=[np.int64(0)], return_updates=False
    )
    pm.Potential("y", pt.exp(out))


def indexed_by_another_variable(z):
    u = pm.DiscreteUniform("u", 0, 11, shape=5)
    pm.Normal("y", z.ravel()[u], 1.0, observed=np.zeros(5))


def indexed_by_itself(z):
    pm.Normal("y", z.ravel()[z], 1.0, observed=DATA)


def masked_by_itself(z):
    pm.Potential("y", pt.exp(0.1 * z[z > 0]))


def counted_through_a_shape(z):
    pm.Potential("y", (z * z[z > 0].shape[0]).sum())


def sliced_by_another_variable(z):
    u = pm.DiscreteUniform("u", 1, 3)
    pm.Potential("y", z[:u] ** 2)


def softmax_over_sites(z):
    pm.Potential("y", pm.math.logsumexp(z * 1.0))


def asserted_jointly(z):
    pm.Potential("y", Assert("too many")(1.0 * z, z.sum() < 9))


def set_twice(z):
    pm.Potential("y", pt.zeros(3)[np.array([0, 0, 1])].set(z[0, :3]) ** 2)


def incremented(z):
    pm.Potential("y", pt.zeros(3)[np.array([0, 0, 1])].inc(z[0, :3]) ** 2)


REFUSED = [
    (linear_map, "Matmul: combines different entries"),
    (total_in_a_mean, "Sum.*: combines different entries"),
    (neighbours, "Mul: combines different entries"),
    (differences, "Sub: combines different entries"),
    (quadratic, "Matmul: combines different entries"),
    (cumulated, "Cumsum.*not known to keep entries apart"),
    (scanned, "Scan.*not known to keep entries apart"),
    (indexed_by_another_variable, "AdvancedSubtensor.*combines different entries along an axis"),
    (indexed_by_itself, "AdvancedSubtensor.*combines different entries along an axis"),
    (masked_by_itself, "selects by a mask that is not fixed"),
    (counted_through_a_shape, "shape .* is not fixed .*depends on z"),
    (sliced_by_another_variable, "a slice is not fixed .*depends on u"),
    (softmax_over_sites, "Max.*combines different entries"),
    (asserted_jointly, "Sum.*combines different entries"),
    (set_twice, "writes an element more than once"),
    (incremented, "writes an element more than once"),
]


@pytest.mark.parametrize(("factor", "reason"), REFUSED)
def test_other_factors_are_refused_with_a_reason(factor, reason):
    with pm.Model() as model:
        z = pm.DiscreteUniform("z", 0, 2, shape=SHAPE)
        pm.Normal("fine", z, 1.0, observed=DATA)
        factor(z)
    weights, unproven = model_site_log_weights(model, z, STATES)
    assert list(unproven) == ["y"]
    assert weights is not None
    with pytest.raises(NotSitewise, match=reason):
        raise NotSitewise(unproven["y"])


def random_graph(z, rng):
    """A random expression of z, (3, 4), from operations that may or may not keep entries apart."""
    other = pt.as_tensor(rng.normal(size=(3, 4)))
    table = pt.as_tensor(rng.normal(size=(3, 4)))
    steps = [
        lambda t: pt.roll(t, int(rng.integers(0, 3)), axis=0),
        lambda t: t.ravel()[rng.permutation(12)].reshape((3, 4)),
        lambda t: t[rng.integers(0, 3, size=3)],
        lambda t: pt.broadcast_to(t[:, :1], (3, 4)),
        lambda t: t.T.reshape((3, 4)),
        lambda t: t + other,
        lambda t: pt.concatenate([t[:, 2:], other[:, :2]], axis=1),
        lambda t: t * table[z % 3, np.arange(4)],
        lambda t: other[:, ::-1].set(t),
        lambda t: pt.stack([t, other]).sum(axis=0),
        lambda t: pt.broadcast_to(t.sum(axis=0), (3, 4)),
        lambda t: pt.diagonal(t[:3, :3])[:, None] + other,
        lambda t: pt.sqrt(t**2 + 1),
        lambda t: t @ rng.normal(size=(4, 4)),
    ]
    t = z.astype("float64")
    for step in rng.choice(len(steps), size=4):
        t = steps[step](t)
    return t


def is_the_sum_of(weights, term, z, rng):
    """Whether the weights explain the differences of a term between random fields."""
    total = pytensor.function([z], term.sum(), mode=PLAIN)
    zero, weights = total(np.zeros(SHAPE, dtype=int)), weights.eval(mode=PLAIN)
    for x in rng.integers(0, 3, size=(3, *SHAPE)):
        change = np.take_along_axis(weights - weights[0], x[None], axis=0).sum()
        if abs(total(x) - zero - change) > 1e-10 * (1 + abs(change)):
            return False
    return True


@pytest.mark.parametrize("broken_rule", [None, "collapse", "combine"])
def test_whatever_is_proved_is_a_sum_over_sites(broken_rule, monkeypatch):
    """On random graphs no proof is ever wrong, unless a rule forgets to compare ids."""
    if broken_rule == "collapse":
        monkeypatch.setattr(
            site_rules, "collapse", lambda ids, axes: ids.max(axis=axes, keepdims=True, initial=-1)
        )
    if broken_rule == "combine":
        monkeypatch.setattr(
            site_rules, "combine", lambda shape, parts: np.broadcast_to(parts[0], shape)
        )
    rng, z = np.random.default_rng(5), pt.tensor("z", shape=SHAPE, dtype="int64")
    right = []
    for term in [random_graph(z, rng) for _ in range(60)]:
        with contextlib.suppress(NotSitewise):
            weights = site_log_weights(term, z, STATES, {z: SHAPE})
            right.append(is_the_sum_of(weights, term, z, rng))
    assert 15 < len(right) < (45 if broken_rule is None else 60)  # proofs and refusals
    assert all(right) == (broken_rule is None)
