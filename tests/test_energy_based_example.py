"""The example of energy-based models, in a small version, shows what it is there to show."""

from examples import energy_based_model


def test_exact_chains_and_all_levels_learn_the_density_and_short_runs_only_where_to_end(tmp_path):
    small = {"n_data": 2000, "n_draws": 600, "points": 80}
    result = energy_based_model.main(
        output=tmp_path, progressbar=False, densities=("eight Gaussians",),
        models=("exact chains", "short runs", "all levels"), settings={"n_iter": 300}, **small,
    )["eight Gaussians"]  # fmt: skip
    assert (tmp_path / "energy_based_model.png").stat().st_size > 10_000
    exact, short = result["exact chains"], result["short runs"]
    assert exact["KL"] < 0.5  # .2
    assert exact["largest error of a share"] < 0.12  # .05
    assert short["KL"] > exact["KL"] + 0.3
    assert short["C2ST of short runs"] < short["C2ST"] - 0.05
    assert result["all levels"]["largest error of a share"] < 0.12  # .04
