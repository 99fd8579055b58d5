"""Log Z as a graph: every method against enumeration, its gradient, and every refusal."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from energy_cases import ALL, ISING, JOINED, MARGINALS, POTTS, rbm
from pytensor.gradient import grad
from scipy.special import logsumexp

import pm_energy as pme
from pm_energy.compile import ONCE, compile_function, evaluate_once
from pm_energy.energy import Block
from pm_energy.exact.enumeration import all_states
from pm_energy.exact.kaufman import CRITICAL_COUPLING
from pm_energy.log_partition import METHODS, NotTractable
from pm_energy.structure import flatten, symbolic_like, unflatten

RAMP = np.linspace(-1, 1, 12).reshape(4, 3)
CHAIN = pme.Ising([0.3, -0.5, 0.8, 0.1], 0.2, lattice=(5,), periodic=False)
STRIPS = {
    "chain": CHAIN,
    "ring": pme.Ising(-0.4, np.linspace(-1, 1, 6), lattice=(6,)),
    "single site": pme.Ising(1.0, 0.3, lattice=(1,)),
    "pair": pme.Ising(0.7, lattice=(2,)),
    "free": pme.Ising(0.4, 0.1, lattice=(3, 4), periodic=False),
    "cylinder": pme.Ising(0.4, 0.1, lattice=(3, 4), periodic=(True, False)),
    "bonds": pme.Ising(np.linspace(-1, 1, 24), RAMP, lattice=(4, 3)),
    "odd torus": pme.Ising(-0.8, lattice=(3, 3)),
    "side 2": pme.Ising(0.4, lattice=(2, 5)),
    "tempered": pme.Tempered(pme.Tempered(CHAIN, 0.5), 3.0),
    "potts ring": pme.Potts(3, 0.5, np.array([0.1, 0.2, -0.3]), lattice=(6,)),
    "potts chain": pme.Potts(3, 0.5, RAMP, lattice=(4,), periodic=False),
    "potts square": pme.Potts(3, 0.5, np.linspace(-1, 1, 3), lattice=(2, 3)),
    "tempered potts": pme.Tempered(pme.Potts(2, -0.5, 0.3, lattice=(3, 3)), 0.5),
}  # fmt: skip
TORI = {
    "critical": pme.Ising(CRITICAL_COUPLING, lattice=(4, 4)),
    "frustrated": pme.Ising(-0.6, lattice=(4, 3)),
    "tempered torus": pme.Tempered(pme.Ising(0.5, lattice=(4, 4)), 0.7),
}
LAYERED = MARGINALS | JOINED | {
    "wide hidden": pme.Marginal(pme.RBM(np.linspace(-1, 1, 18).reshape(2, 9), 0.1, -0.2)),
    "wide visible": pme.Marginal(pme.RBM(np.linspace(-1, 1, 18).reshape(9, 2), 0.1, -0.2)),
    "tempered joined": pme.Tempered(JOINED["joined spin"], 0.4),
    "layers": rbm("spin"),
}  # fmt: skip
LAYERED.pop("marginal sum")
CASES = (
    [("strip", name, energy) for name, energy in STRIPS.items()]
    + [("torus", name, energy) for name, energy in TORI.items()]
    + [("layer", name, energy) for name, energy in LAYERED.items()]
    + [("layer", "marginal sum", MARGINALS["marginal sum"])]
    + [("enumeration", name, ALL[name]) for name in
       ("ising triangular", "ising dense", "potts dense", "potts bonds", "binary machine",
        "clamped potts", "marginal spin binary", "joined tempered", "cubic", "sum of machines")]
)  # fmt: skip


def exact(energy):
    if isinstance(energy, pme.RBM):
        energy = pme.Joined(energy) if energy.visible == energy.hidden else pme.Marginal(energy)
    return pme.exact.log_partition(energy)


@pytest.mark.parametrize(
    ("method", "name", "energy"), CASES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_log_partition_and_its_gradient_match_enumeration(method, name, energy):
    """Its gradient along a random direction against a central difference of enumerations."""
    structure, _ = flatten(energy)
    twin, inputs, leaves = symbolic_like(energy)
    values = [leaf.data for leaf in leaves]
    log_z = METHODS[method](twin)
    outputs = [log_z, *grad(log_z, inputs, disconnected_inputs="ignore")]
    found, *slopes = compile_function(inputs, outputs, mode=ONCE)(*values)
    np.testing.assert_allclose(found, exact(energy), rtol=1e-12, atol=1e-12)
    rng, step = np.random.default_rng(5), 1e-5
    # the torus holds its field, the second parameter, at zero
    along = [rng.normal(size=v.shape) * (method != "torus" or i != 1) for i, v in enumerate(values)]
    up, down = (
        exact(
            unflatten(structure, [v + sign * step * d for v, d in zip(values, along, strict=True)])
        )
        for sign in (1, -1)
    )
    slope = sum((s * d).sum() for s, d in zip(slopes, along, strict=True))
    np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    ("method", "energy", "reason"),
    [
        ("closed form", ISING["ising torus"], "Ising has no closed form"),
        ("closed form", pme.Tempered(pme.DoubleWell(), 0.5), "Tempered has no closed form"),
        ("torus", pme.Ising(lattice=(4, 4), field=0.1), "there is a field"),
        ("torus", pme.Tempered(pme.Ising(lattice=(4, 4), field=0.1), 2.0), "there is a field"),
        ("torus", pme.Ising(lattice=(4, 4), field=pytensor.shared(0.0)), "a field that may change"),
        ("torus", pme.Ising(lattice=(4, 4), field=pt.dscalar() * 0.0), "a field that may change"),
        ("torus", pme.Ising(lattice=(4, 4), periodic=(True, False)), "not a two-dimensional torus"),
        ("torus", pme.Ising(lattice=(4, 4, 4)), "not a two-dimensional torus"),
        ("torus", pme.Ising(lattice=(2, 4)), "not a two-dimensional torus"),
        ("torus", pme.Ising(np.ones(32), lattice=(4, 4)), "the coupling is not uniform"),
        ("torus", pme.Ising(lattice=(3, 5)), "both sides are odd"),
        ("torus", pme.Ising(lattice=(4, 4), triangular=True), "not a square lattice"),
        ("torus", POTTS["potts torus"], "Potts is another model"),
        ("strip", pme.Ising(lattice=(30, 30)), "900 sites|wide|width"),
        ("strip", pme.Ising(lattice=(3, 3, 3)), "more than two dimensions"),
        ("strip", ISING["ising triangular"], "not a square lattice"),
        ("strip", ISING["ising graph"], "not a square lattice"),
        ("strip", MARGINALS["marginal spin spin"], "Marginal is another model"),
        ("enumeration", pme.DoubleWell(), "real-valued units"),
        ("enumeration", pme.Ising(lattice=(5, 5)), r"3\.36e\+07 states are more than 65536"),
        ("enumeration", pme.Ising(lattice=(2000, 2000)), "inf states are more"),
        ("enumeration", pme.RBM(np.ones((10, 10))), "1.05e.06 states are more"),
        ("layer", ISING["ising torus"], "Ising has no two layers"),
        ("layer", pme.Tempered(pme.Marginal(rbm()), 0.5), "not the marginal of a tempered energy"),
        ("layer", pme.RBM(np.ones((20, 30))), r"layer 0: its 1\.05e\+06 states .*; layer 1: its"),
        ("layer", pme.RBM(np.ones((3, 2)), visible="gaussian"),
         "layer 1: block is real-valued.*layer 0: its units are real-valued"),
    ],
)  # fmt: skip
def test_what_is_out_of_reach_says_why(method, energy, reason):
    with pytest.raises(NotTractable, match=reason):
        METHODS[method](energy)


class SemiRestricted:
    """Visible units that interact, and a smaller hidden layer."""

    blocks = (Block(pme.Binary(), (5,)), Block(pme.Binary(), (2,)))

    def __call__(self, v, h):
        chain = (v[..., 1:] * v[..., :-1]).sum(-1)
        return -chain + 0.3 * v.sum(-1) - 0.7 * v.sum(-1) * h.sum(-1)


def test_the_smaller_layer_is_not_listed_where_the_other_one_interacts():
    """Listing h and summing v out as if its units were independent would be wrong."""
    energy = SemiRestricted()
    v, h = (all_states(block).astype(float) for block in energy.blocks)
    value = logsumexp(-energy(v[:, None], h[None]))
    np.testing.assert_allclose(evaluate_once(METHODS["layer"](energy)), value, rtol=1e-13)
    np.testing.assert_allclose(evaluate_once(METHODS["enumeration"](energy)), value, rtol=1e-13)


def test_layers_that_both_interact_are_refused():
    class Unrestricted(SemiRestricted):
        def __call__(self, v, h):
            return super().__call__(v, h) - h[..., 0] * h[..., 1]

    with pytest.raises(
        NotTractable, match=r"layer 1: block 0 of Unrestricted.*layer 0: block 1 of"
    ):
        METHODS["layer"](Unrestricted())


def test_a_field_put_into_the_torus_later_gives_nan():
    field = pt.dscalar()
    log_z = METHODS["torus"](pme.Ising(lattice=(4, 4), coupling=0.3, field=field))
    fn = compile_function([field], log_z, mode=ONCE)
    assert np.isfinite(fn(np.array(0.0)))
    assert np.isnan(fn(np.array(0.1)))


@pytest.mark.parametrize(
    ("method", "make", "ground"),
    [
        ("torus", lambda j: pme.Ising(j, lattice=(4, 4)), 32),
        ("strip", lambda j: pme.Ising(j, lattice=(3, 3)), 18),
        ("enumeration", lambda j: pme.Ising(j, lattice=(3, 3)), 18),
        ("layer", lambda j: pme.Marginal(pme.RBM(j * pt.ones((3, 2)))), 6),
    ],
)
def test_strong_couplings_do_not_overflow(method, make, ground):
    coupling = pt.dscalar()
    log_z = METHODS[method](make(coupling))
    fn = compile_function([coupling], [log_z, grad(log_z, coupling)], mode=ONCE)
    value, slope = fn(np.array(100.0))
    np.testing.assert_allclose(value, 100.0 * ground + np.log(1 + (method != "layer")), rtol=1e-14)
    np.testing.assert_allclose(slope, ground, rtol=1e-12)


def test_an_energy_that_knows_its_log_partition_is_asked():
    well = pme.DoubleWell()
    np.testing.assert_allclose(
        evaluate_once(METHODS["closed form"](well)), evaluate_once(well.log_partition())
    )


def test_large_tori_and_strips_agree():
    """Beyond enumeration: 6 x 8 by Kaufman and by transfer matrix."""
    energy = pme.Ising(0.44, lattice=(6, 8))
    one, other = evaluate_once([METHODS[m](energy) for m in ("torus", "strip")])
    np.testing.assert_allclose(one, other, rtol=1e-13)
