"""The example of diffusion runs, in a small version, and shows what it is there to show."""

import numpy as np

from examples import diffusion_mixture


def test_samplers_come_near_and_only_annealing_finds_all_modes(tmp_path):
    result = diffusion_mixture.main(
        output=tmp_path, draws=1_000, steps=(5, 40), chains=500, levels=12, steps_per_level=40,
        path_steps=60, progressbar=False,
    )  # fmt: skip
    assert (tmp_path / "diffusion_mixture.png").stat().st_size > 10_000
    for method, (few, many) in result["errors"].items():
        # the chance distance of 1,000 draws is .087 with a probability of 1e-6, .03 of it bias
        assert many < 0.12, method
        assert few > many, method
    assert result["errors"]["residual"][0] < 0.8 * result["errors"]["ddpm"][0]
    assert result["shares"]["plain"][0] > 0.95
    # binomial, 5 standard errors of 500 chains at the largest weight, and .03 of bias
    assert np.abs(result["shares"]["annealed"] - result["weights"]).max() < 0.13
    assert result["line shares"]["plain"][0] > 0.9  # .2 is right
    assert np.abs(result["line shares"]["annealed"] - [0.2, 0.5, 0.3]).max() < 0.13  # .04
    assert result["likelihood error"] < 1e-3
