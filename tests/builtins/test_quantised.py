"""Models with quantised codes: what they encode to, their loss, their runs and what they lack."""

import json
import shutil

import numpy as np
import pytest
import torch

import latentkit as lk
from latentkit.builtins.models import quantised
from latentkit.builtins.models.options import FsqVaeOptions, VqVaeOptions
from latentkit.errors import UserError
from latentkit.plugin import Generative, HasAfterStep, HasCodes
from latentkit.plugin.protocols import provides

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]

MODELS = ["vq-vae", "fsq-vae"]
SMALL = {"model.hidden": [16], "model.channels": [8], "model.latent_dim": 4, "threads": 1}
SHAPE = (1, 8, 8)


def built(name, **options):
    torch.manual_seed(0)
    return lk.model(name, SHAPE, **options)


@pytest.mark.parametrize("name", MODELS)
def test_latents_are_the_vectors_of_the_codes(name):
    model = built(name, latent_dim=6).eval()
    model.start_from_images([torch.rand(300, *SHAPE)])
    images = torch.rand(200, *SHAPE)
    with torch.no_grad():
        codes, latents = model.codes(images), model.encode(images)
    assert codes.shape == (200, 3)
    assert codes.dtype == torch.int64
    assert latents.shape == (200, 6)
    vectors = torch.cat([codes.reshape(-1, 1), latents.reshape(-1, 2)], 1)
    assert len(vectors.unique(dim=0)) == len(codes.unique())  # one vector for each code
    assert 0 <= codes.min() <= codes.max() < model.codebook_size
    assert provides(model, HasCodes)
    assert not provides(model, Generative)
    assert provides(model, HasAfterStep) is (name == "vq-vae")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("latent_dim", [1, 2, 3, 64])
def test_any_number_of_latents_is_cut_into_whole_positions(name, latent_dim):
    model = built(name, latent_dim=latent_dim).eval()
    assert model.encode(torch.rand(2, *SHAPE)).shape == (2, latent_dim)
    assert model.codes(torch.rand(2, *SHAPE)).shape == (
        2,
        -(-latent_dim // 2) if latent_dim != 3 else 3,
    )


def test_a_width_that_does_not_divide_the_latents_is_refused_in_one_line():
    with pytest.raises(
        UserError,
        match=r"model vq-vae: model.latent_dim=2 cannot be cut into vectors of 4 values "
        r"\(model.code_width\): choose one that divides it",
    ):
        built("vq-vae", latent_dim=2, code_width=4)
    with pytest.raises(UserError, match=r"has 18,446,744,073,709,551,616 combinations, more than"):
        built("fsq-vae", levels=[16] * 16)
    with pytest.raises(UserError, match=r"vectors of 3 values \(entries of model.levels\)"):
        built("fsq-vae", latent_dim=16, levels=[8, 6, 5])


def test_chosen_latents_are_a_multiple_of_the_given_width():
    assert VqVaeOptions(code_width=5).for_images((1, 28, 28)).latent_dim == 20
    assert FsqVaeOptions(levels=[8, 6, 5]).for_images((1, 28, 28)).latent_dim == 18
    assert VqVaeOptions().for_images((3, 64, 64)).latent_dim == 64


@pytest.mark.parametrize("name", MODELS)
def test_one_of_two_levels_or_codes_is_enough(name):
    options = {"codes": 2} if name == "vq-vae" else {"levels": 2}
    model = built(name, **options)
    images = torch.rand(8, *SHAPE)
    model.loss(images, images, step=0)["loss"].backward()
    assert model.codes(images).max() <= 1


def test_the_codebook_starts_as_k_means_and_the_rest_as_pca():
    images = torch.from_numpy(lk.dataset("digits", "train").images[:1000]).float() / 255
    model = built("vq-vae")
    model.start_from_images(images.split(256))
    model.eval()
    with torch.no_grad():
        error = (model(images) - images).square().mean()
        used = len(model.codes(images).unique())
    assert error < 0.02  # the images' variance is 0.14
    assert used > 0.9 * model.codebook_size


def test_images_that_the_codebook_starts_from_are_spread_and_fit_into_memory(monkeypatch):
    monkeypatch.setattr(quantised, "_MOST_VALUES", 20 * 4)
    images = torch.arange(100.0).view(100, 1, 1, 1).expand(100, 1, 2, 2)
    kept = []
    read = list(quantised._keeping(images.split(7), kept, positions=8))
    assert torch.equal(torch.cat(read), images)
    assert [int(image[0, 0, 0]) for image in kept] == list(range(0, 100, 8))


def test_the_commitment_pulls_the_encoder_to_the_codebook():
    images = torch.rand(16, *SHAPE)
    model = built("vq-vae", norm="none", commitment=0.5)
    terms = model.loss(images, images, step=0)
    vectors = model.vectors(images)
    found = model.quantiser(vectors).vectors
    commitment = (vectors - found).square().mean()
    mse = (model.decode(found.flatten(1)) - images).square().mean()
    assert terms["commitment"].item() == pytest.approx(commitment.item(), rel=1e-4)
    assert terms["mse"].item() == pytest.approx(mse.item(), rel=1e-4)
    assert terms["loss"].item() == pytest.approx((mse + 0.5 * commitment).item(), rel=1e-4)
    assert 1 <= terms["perplexity"].item() <= model.codebook_size


@pytest.mark.parametrize("name", MODELS)
def test_the_decoder_takes_vectors_between_codes_as_they_are(name):
    model = built(name).eval()
    one, other = torch.randn(2, 1, model.latent_dim)
    with torch.no_grad():
        images = [model.decode(torch.lerp(one, other, share)) for share in (0.0, 0.01, 1.0)]
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[1], images[2])


@pytest.fixture(scope="module", params=MODELS)
def run(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return lk.run(model=request.param, epochs=2, embed=["pca"], options=SMALL, out=out)


def test_the_card_counts_the_codes_of_the_test_images(run):
    images = torch.from_numpy(lk.dataset("digits", "test").images).float() / 255
    with torch.no_grad():
        codes = run.model.codes(images).numpy()
    found = run.evaluation["codes"]
    counts = np.bincount(codes.ravel(), minlength=found["codebook_size"])
    shares = counts[counts > 0] / counts.sum()
    assert found["codes_used"] == (counts > 0).sum()
    assert found["dead_codes"] == (counts == 0).sum()
    assert (found["n_images"], found["positions"]) == codes.shape
    perplexity = np.exp(-(shares * np.log(shares)).sum())
    assert found["perplexity"]["value"] == pytest.approx(perplexity)
    bits = sum(
        -(p * np.log2(p)).sum()
        for column in codes.T
        for p in [np.unique(column, return_counts=True)[1] / len(column)]
    )
    assert found["bits_an_image"]["value"] == pytest.approx(bits)
    assert bits <= found["most_bits_an_image"]
    assert run.evaluation["code_counts"] == sorted(counts[counts > 0].tolist(), reverse=True)


def test_figures_of_the_codes_are_in_the_summary_the_report_and_the_tables(run):
    found = run.summary
    assert found["codes"]["codes_used"] > 0
    assert (run.path / "figures" / "codes.png").exists()
    assert "dead codes" in (run.path / "report.html").read_text(encoding="utf-8")


def test_the_terms_of_the_loss_are_in_the_history(run):
    expected = {"loss", "mse", "perplexity"} | ({"commitment"} if "vq" in run.id else set())
    assert set(run.history[-1]["validation"]) == expected


def test_what_needs_a_prior_is_left_out_by_name(run):
    with pytest.raises(UserError, match="has no prior to draw from: draw from a mixture fitted"):
        lk.explore.samples(run, 2, source="prior")
    assert "likelihood" not in run.evaluation
    assert not (run.path / "figures" / "prior.png").exists()
    assert lk.explore.samples(run, 2, components=2).images.shape == (2, *SHAPE)


def test_paths_and_traversals_are_decoded_between_the_codes(run):
    found = lk.explore.traversals(run, 0, steps=3)
    assert found.images.shape == (4, 3, *SHAPE)
    assert np.isfinite(found.images).all()
    path = lk.explore.interpolate(run, 0, 1, steps=5)
    assert np.isfinite(path.images).all()
    assert np.allclose(path.latents[[0, -1]], run.latents()[:2], atol=1e-5)


def test_runs_are_compared_by_the_use_of_their_codes(run, tmp_path):
    other = shutil.copytree(run.path, tmp_path / "other")
    found = lk.compare(run.path, other)
    assert found["figures"]["codes_used"][0] == {"value": run.evaluation["codes"]["codes_used"]}
    assert found["figures"]["code_bits"][0]["low"] > 0
    assert found["differences"]["code_bits"][0]["value"] == 0
    assert "dead_codes" in found["figures"]
    assert "dead_codes" not in found["differences"]


def test_a_codebook_of_which_most_codes_are_dead_is_reported(tmp_path):
    notices = []
    lk.run(
        model="vq-vae",
        epochs=0,
        options={**SMALL, "model.shortcut": False},
        out=tmp_path,
        listener=lambda event: notices.append(
            (getattr(event, "code", ""), getattr(event, "text", getattr(event, "message", "")))
        ),
    )
    (text,) = [text for code, text in notices if code == "dead-codes"]
    assert text.startswith("most codes are dead: the test images use ")
    assert "of 512; take a smaller codebook" in text


def test_rows_are_encoded_by_a_fitted_encoder():
    images = lk.dataset("digits", "train").images[:200]
    encoder = lk.LatentEncoder("vq-vae", 4, epochs=1, model_options={"hidden": [16]})
    latents = encoder.fit_transform(images)
    assert latents.shape == (200, 4)
    assert len(np.unique(latents.reshape(-1, 2), axis=0)) <= 512


def test_a_study_may_search_their_options():
    from latentkit.plugin.options import search_domains

    assert {name for name, _, _ in search_domains(VqVaeOptions)} >= {
        "latent_dim",
        "codes",
        "commitment",
    }
    assert "latent_dim" in {name for name, _, _ in search_domains(FsqVaeOptions)}


def test_json_of_a_summary_has_no_list_of_counts(run):
    assert "code_counts" not in json.dumps(run.summary)
