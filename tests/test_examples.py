"""Every example runs, in a small version, and shows what it is there to show."""

import numpy as np
import pytest

from examples import (
    and_gate,
    bayesian_boltzmann_machine,
    deep_belief,
    diffusion_digits,
    digits_rbm,
    evidence,
    gaussian_samplers,
    hopfield_capacity,
    hopfield_recall,
    image_completion,
    infer_coupling,
    infer_on_a_graph,
    inpainting,
    inverse_ising,
    ising_transition,
    langevin,
    learned_prior,
    mixture,
    multimodal,
    segmentation,
    spin_glass,
    toy_densities,
    travelling_salesman,
    vae_digits,
)


@pytest.fixture
def run(tmp_path):
    """Run an example quietly; return what it measured once its figure is found."""

    def run(example, **kwargs):
        result = example.main(output=tmp_path, progressbar=False, **kwargs)
        name = example.__name__.rpartition(".")[2]
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
        return result

    return run


def test_segmentation_beats_the_same_classes_without_a_field(run):
    result = run(segmentation, step=10, draws=200, tune=300, compare=False)
    assert result["accuracy"] > result["accuracy without a field"] + 0.05


def test_the_transition_shows_at_the_critical_coupling(run):
    result = run(ising_transition, sizes=(8, 16), n_couplings=5, draws=500)
    # of 10 deviations the largest is beyond 4 by chance with a probability of 6e-4
    assert result["largest energy deviation from Kaufman, standard errors"] < 4
    assert result["Binder crossing"] == pytest.approx(result["critical coupling"], abs=0.02)


def test_the_posterior_of_the_coupling_covers_the_truth(run):
    result = run(infer_coupling, size=32, draws=300, tune=300)
    assert abs(result["mean"] - result["truth"]) < 4 * result["sd"]
    assert result["sd"] < 0.1  # HalfNormal(0.5) before
    assert result["r_hat"] < 1.1
    assert result["recovered spins"] > 0.85


def test_inpainting_keeps_what_it_saw_and_beats_the_nearest_pixel(run):
    result = run(inpainting, step=16, draws=100)
    assert result["observed kept"]
    assert result["accuracy"] > result["accuracy of the nearest pixel"]


def test_nuts_decorrelates_best_and_no_sampler_crosses_between_modes(run):
    result = run(gaussian_samplers, dims=(2, 10), draws=200, tune=300)
    for dim in (2, 10):
        metropolis, nuts = (result["table"][dim, name] for name in ("Metropolis", "NUTS"))
        assert nuts["tau"] < metropolis["tau"] / 2
        assert nuts["per 1,000"] > 2 * metropolis["per 1,000"]
    weights = np.array([result["weights"][name] for name in ("HMC", "NUTS")])
    assert np.abs(weights - 0.5).max() > 0.2


def test_better_memories_recall_more(run):
    result = run(hopfield_recall)
    shares = {name: np.array(result[name]) for name in hopfield_recall.MEMORIES}
    assert (shares["hebbian"] < 0.1).all()
    assert (shares["storkey"] <= shares["pseudo-inverse"]).all()
    assert (shares["pseudo-inverse"] <= shares["modern"]).all()
    assert shares["modern"][0] == shares["pseudo-inverse"][0] == 1


def test_tempering_visits_the_modes_that_nuts_does_not(run):
    result = run(multimodal, draws=1000, tune=300)
    assert result["tempered modes"] == 6 > result["NUTS modes"]
    # four chains in a mode each are .33 or more from six equal modes; tempering: .06-.17 over seeds
    assert result["tempered total variation"] < 0.27 < result["NUTS total variation"]
    # log evidence of a long run: -223.04 +- .07
    assert abs(result["evidence"].value + 223.04) < 4 * result["evidence"].mcse < 4


def test_every_method_finds_the_evidence(run):
    result = run(evidence, degrees=(1, 2), draws=300)
    assert result["degree"] == 2
    errors = result["standard errors from the truth"]
    errors.pop("thermodynamic-integration")  # its quadrature errs more than its draws
    assert max(errors.values()) < 4


def test_replicas_cross_what_gibbs_sweeps_do_not(run):
    result = run(spin_glass, side=4, temperature=0.6, draws=500, sweeps=(5, 200))
    assert result["replicas that find it"][200] > result["replicas that find it"][5]
    assert result["asymmetry by tempering"] < 0.3 < result["asymmetry by Gibbs"]


def test_exchange_finds_the_coupling_and_pseudolikelihood_does_not(run):
    result = run(infer_on_a_graph, draws=600, tune=400)
    assert result["inner draws are exact"]
    assert result["exchange"]["mean"] == pytest.approx(0.37, abs=0.1)  # .366, sd .097 by TI
    assert result["pseudolikelihood"]["mean"] > 0.8


def test_nuts_is_as_sure_of_couplings_as_it_should_be(run):
    result = run(bayesian_boltzmann_machine, draws=200, tune=200)
    errors, sd = result["rms error"], result["posterior sd"]
    covered = result["covered by 90% intervals"]
    assert errors["exact"] < errors["maximum likelihood"]  # .095, Monte Carlo error .001, and .112
    # each pair is counted twice: sqrt(1/2); .676 here, Monte Carlo error 2%
    assert sd["pseudolikelihood"] / sd["exact"] == pytest.approx(0.5**0.5, abs=0.1)
    assert covered["exact"] > 0.85 > covered["pseudolikelihood"]  # .96 and .68-.75
    assert result["correlations inside predicted 90%"] > 0.9  # 1.0
    assert result["largest coupling without log Z"] > 40  # 47, no chance in it


def test_memories_hold_what_theory_says(run):
    loads = (0.05, 0.1, 0.2, 0.3)
    result = run(hopfield_capacity, sizes=(50, 200), loads=loads, rule_size=100, counts=(10, 300))
    assert result["critical load"] == pytest.approx(0.1379, abs=1e-4)
    overlaps = result["hebbian"][200]
    assert overlaps[0] > 0.99 > 0.65 > overlaps[3]  # .44
    at_3 = {rule: overlaps[4] for rule, overlaps in result["rules"].items()}  # load .3
    assert at_3["hebbian"] < 0.8 < 0.95 < min(at_3["storkey"], at_3["pseudo-inverse"])
    assert result["modern"][300][0] == (0.0, 1.0)  # beta = 1: always the mean of all patterns
    assert result["modern"][300][-1] == (1.0, 0.0)  # beta = 20
    assert 9 < result["needed beta"][300] < 12  # 10.3


def test_hopfield_and_tank_need_a_penalty(run):
    result = run(travelling_salesman, n_cities=7, instances=2, trials=20, penalties=(0.5, 2.0))
    for method in travelling_salesman.METHODS:
        weak, strong = result["valid"][method]
        assert weak < 0.2 < 0.8 < strong  # 0 and 1
        assert 1 <= result["length"][method][1] < result["random length"]  # 1.17-1.25 and 1.51


def test_mixtures_bear_missing_entries_and_annealing_finds_more(run):
    small = {"counts": (1, 2, 3), "shares": (0.0, 0.3), "repeats": 2, "runs": 10, "n_init": 2}
    result = run(mixture, **small)
    assert result["best"][1:] == ("full", 2)
    rand, lost = result["rand"], result["lost"]
    assert rand["EM over what is there"][1] > rand["holes set to the mean"][1]
    assert sum(lost["annealed"]) < sum(lost["plain"])


def test_couplings_and_graph_are_recovered_from_states(run):
    result = run(inverse_ising, side=6, n_states=3000, l1=0.03)
    for objective in ("pseudo-likelihood", "probability flow", "persistent CD"):
        assert result[objective] < 0.12  # relative error: .071, .072, .093
    assert result["weakest bond"] > 0  # .066
    assert result["strongest false bond"] < 0.15  # .053; half a bond


def test_a_gate_runs_backwards(run):
    result = run(and_gate, n_draws=1000)
    assert result["probability of right states"] > 0.99
    assert max(result["forwards"][:3]) < 0.03 < 0.95 < result["forwards"][3]
    np.testing.assert_allclose(result["backwards"][0][:3], 1 / 3, atol=0.1)
    assert result["backwards"][1][3] > 0.95
    np.testing.assert_allclose(result["least energy"], (0, 16), atol=1e-6)
    assert result["factors"][6][2][3] + result["factors"][6][3][2] > 0.9


def test_a_machine_learns_digits_and_cannot_learn_coins(run):
    result = run(digits_rbm, n_hidden=(10, 50), n_iter=30)
    digits, coins = result["digits"], result["random bits"]
    assert digits[50]["test"] > digits[10]["test"] + 0.8 > result["independent pixels"] + 4
    assert coins[50]["test"] < digits_rbm.BEST_OF_COINS < coins[50]["train"] - 0.3
    assert coins[50]["wrong"] < coins[10]["wrong"] - 0.05  # copied, not learned
    for n, values in coins.items():
        assert values["wrong from states"] > digits_rbm.least_wrong(n) + 0.05


def test_features_and_samples_of_a_deep_belief_network(run):
    small = {"layers": (60, 60), "n_iter": 60, "objectives": ("pcd",), "repeats": 5, "n_trees": 20}
    result = run(deep_belief, **small)
    accuracy = {name: values[50][0] for name, values in result["accuracy"].items()}
    assert accuracy["one machine"] > accuracy["pixels"]
    assert accuracy["deep"] > 0.7
    apart = result["told apart"]
    assert abs(apart["training digits"] - 0.5) < 0.07
    for name in ("one machine, persistent CD", "deep, persistent CD"):
        assert apart[name] < apart["independent pixels"] - 0.12  # .66-.70 and .92-.94


def test_completion_beats_the_nearest_digit_and_agrees_with_pymc(run):
    result = run(image_completion, n_iter=30, n_sweeps=200, draws=500)
    for name in ("mean image", "nearest digit"):
        assert result["machine"]["wrong"] < result[name]["wrong"] - 0.01
        assert result["machine"]["log-loss"] < result[name]["log-loss"] - 0.03
    assert result["largest z"] < 5


def test_langevin_is_biased_and_stays_where_it_started(run):
    result = run(langevin, steps=(0.5, 1.4), chains=300, draws=50, long_draws=800)
    np.testing.assert_allclose(result["variance"]["ula"], (1.0667, 1.9608), rtol=0.1)
    np.testing.assert_allclose(result["variance"]["mala"], 1, atol=0.1)
    near, far = (result["weights"][place][-1] for place in (2.0, 4.0))
    assert near > 0.3 > 0.15 > far  # half is right
    assert result["rates"]["hmc"] > 1.5 * result["rates"]["mala"]  # 2.6 to 8 times as many
    scales = result["scales"]  # of twelve seeds the least ratio was 1.9, the median 18
    assert scales["hybrid"][0] > max(scales["hmc"][0], scales["mala"][0])


def test_a_learned_energy_is_a_prior_under_nuts(run):
    small = {"n_rows": 500, "n_iter": 450, "draws": 400, "tune": 200, "chains": 2, "points": 200}
    found = run(learned_prior, priors=("denoising",), **small)["denoising"]
    assert found["distance"] < 0.35  # of about 50 effective draws in 25 bins; .014 of 6,000


def test_an_autoencoder_beats_principal_components(run):
    found = run(vae_digits, dims=(2,), n_iter=60, hidden=(64,))["log_likelihood"]
    best = {name: values[0] for name, values in found.items()}
    assert best["autoencoder"] > best["PCA"] + 2  # 4.8 nats more
    assert abs(best["linear autoencoder"] / best["PCA"] - 1) < 0.02  # .005


def test_diffusion_draws_digits_by_label_and_takes_noise_off(run):
    small = {"n_iter": 1000, "hidden": (64,), "learning_rate": 5e-3, "n_each": 10, "epochs": 2}
    result = run(diffusion_digits, **small)
    assert result["right"]["pixels, guided"] > 0.85  # .98
    assert result["psnr"]["diffusion"] > result["psnr"]["PCA"] + 0.4  # 14.6 and 13.5 dB


def test_diffusion_and_flows_find_both_moons(run):
    small = {"n_data": 5000, "n_draws": 1000, "n_iter": 3000, "hidden": (64, 64), "grid": 16}
    models = {"densities": ("two moons",), "models": ("diffusion", "flow matching")}
    result = run(toy_densities, **models, **small)
    for found in result["two moons"].values():
        assert found["largest error of a share"] < 0.15  # .02
        assert found["C2ST"] < 0.68  # .56 and .60 of so short runs
