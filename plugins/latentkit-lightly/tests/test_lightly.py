"""The encoders: the contract, views, choices for images, teachers, collapse, and runs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import latentkit as lk
from latentkit.errors import UserError
from latentkit.testing.suites import part_cases
from latentkit_lightly.options import MaeOptions, VicregOptions
from latentkit_lightly.views import random_view

TWO_VIEWS = ("simclr", "vicreg", "barlow-twins", "byol", "dino")
SMALL = {"model.channels": [8, 16], "model.projector": 32, "model.latent_dim": 8, "threads": 1}


@pytest.mark.parametrize("case", part_cases("latentkit-lightly"))
def test_the_contract(case):
    case()


def view(images, seed=0, **options):
    torch.manual_seed(seed)
    return random_view(images, VicregOptions(**options).for_images(tuple(images.shape[1:])))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 23), (5, 64, 40)])
def test_views_are_images_of_the_same_shape_that_the_seed_decides(shape):
    images = torch.rand(6, *shape)
    before = images.clone()
    one = view(images)
    assert one.shape == images.shape
    assert 0 <= one.min() <= one.max() <= 1
    assert torch.equal(one, view(images))
    assert not torch.equal(one, view(images, seed=1))
    assert torch.equal(images, before)


def test_a_view_shows_at_least_7_pixels_a_side():
    ramp = torch.linspace(0, 1, 8).expand(200, 1, 8, 8)  # from left to right
    seen = view(ramp, crop=0.8, flip=False, brightness=0)
    shown = (seen[..., -1] - seen[..., 0]).amin() * 7
    assert shown >= 6 - 1e-4  # 7 pixels are 6 steps


def test_flips_mirror_half_of_the_views():
    ramp = torch.linspace(0, 1, 32).expand(400, 1, 32, 32)
    mirrored = (view(ramp)[..., 0, 0] > view(ramp)[..., 0, -1]).float().mean()
    assert 0.4 < mirrored < 0.6
    assert (view(ramp, flip=False)[..., 0, 0] < view(ramp, flip=False)[..., 0, -1]).all()


def test_brightness_changes_for_any_images_and_colours_for_3_channels_only():
    flat = torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1).expand(50, 3, 16, 16)
    same = {"brightness": 0, "saturation": 0, "grey": 0}
    assert torch.allclose(view(flat, **same), flat, atol=1e-5)
    grey = view(flat, **{**same, "grey": 1})
    assert torch.allclose(grey[:, 0], grey[:, 2], atol=1e-5)
    two = flat[:, :2]
    assert torch.allclose(view(two, brightness=0), two, atol=1e-5)
    assert view(two).mean((1, 2, 3)).std() > 0.05


def test_a_crop_that_destroys_small_images_is_refused_and_auto_takes_a_weaker_one():
    message = r"model.crop=0.3 leaves views of images of 8x8 less than 7 pixels a side"
    with pytest.raises(UserError, match=message):
        lk.model("simclr", (1, 8, 8), crop=0.3)
    assert VicregOptions().for_images((1, 8, 8)).crop == 0.77
    assert VicregOptions().for_images((1, 28, 28)).crop == 0.4
    assert VicregOptions().for_images((3, 64, 64)).crop == 0.3


@pytest.mark.parametrize(
    ("shape", "patch", "stages"),
    [((64, 8, 8), 2, 2), ((1, 28, 28), 2, 3), ((3, 64, 64), 2, 4), ((3, 224, 224), 4, 5)],
)
def test_the_network_fits_the_images(shape, patch, stages):
    chosen = VicregOptions().for_images(shape)
    assert (chosen.patch, len(chosen.channels), chosen.latent_dim) == (patch, stages, 128)
    assert chosen.for_images(shape) == chosen
    encoder = lk.model("vicreg", shape).eval()
    assert encoder.encode(torch.rand(2, *shape)).shape == (2, 128)


def test_the_masked_autoencoder_takes_images_that_are_no_squares_and_no_multiples():
    assert [MaeOptions().for_images((1, s, s)).patch for s in (8, 28, 64, 224)] == [2, 4, 8, 32]
    encoder = lk.model("mae", (2, 9, 30), latent_dim=32, patch=4)
    images = torch.rand(3, 2, 9, 30)
    assert encoder.encode(images).shape == (3, 32)
    assert encoder.loss(images, images, step=0)["loss"] > 0
    with pytest.raises(UserError, match="multiple of 4"):
        lk.model("mae", (1, 28, 28), latent_dim=30)


@pytest.mark.parametrize("name", ["byol", "dino"])
def test_the_teacher_moves_less_and_less_towards_the_student(name):
    encoder = lk.model(name, (1, 8, 8), momentum=0.5)
    student, teacher = encoder.network.latents[0].weight, encoder.teacher[0].latents[0].weight
    with torch.no_grad():
        student += 1
        encoder.after_step(0, 10)
        assert torch.allclose(student - teacher, torch.tensor(0.5), atol=1e-4)
        before = teacher.clone()
        encoder.after_step(9, 10)
    assert torch.equal(teacher, before)


def test_validation_does_not_move_the_centre_of_dino():
    encoder, images = lk.model("dino", (1, 8, 8)), torch.rand(4, 1, 8, 8)
    encoder.eval().loss(images, images, step=0)
    assert not encoder.criterion.center.any()
    encoder.train().loss(images, images, step=0)
    assert encoder.criterion.center.any()


def test_the_losses_are_those_of_lightly_with_the_given_weights():
    images = torch.rand(8, 1, 8, 8)

    def loss(**options):
        torch.manual_seed(0)
        encoder = lk.model("vicreg", (1, 8, 8), **options)
        torch.manual_seed(0)
        return encoder.loss(images, images, step=0)["loss"].item()

    parts = [loss(**{**dict.fromkeys(WEIGHTS, 0), name: 1}) for name in WEIGHTS]
    assert loss(invariance=2, variance=3, covariance=4) == pytest.approx(
        2 * parts[0] + 3 * parts[1] + 4 * parts[2], rel=1e-4
    )


WEIGHTS = ("invariance", "variance", "covariance")


def run(out, model, epochs=1, **options):
    return lk.run(model=model, epochs=epochs, out=out, options={**SMALL, **options})


def collapse(of):
    from latentkit.runs.summary import summary_rows

    return dict(summary_rows(of.summary, of.kind)).get("Collapse", "")


@pytest.mark.usefixtures("blank_figures")
def test_a_collapse_is_named_in_the_summary(tmp_path):
    good = run(tmp_path, "vicreg", **{"training.learning_rate": 5e-3})
    assert collapse(good) == ""
    assert good.evaluation["latents"]["projection_spread"] > 0.1
    flat = run(tmp_path, "vicreg", **{"model.variance": 0, "training.learning_rate": 5e-3})
    assert "its loss nearly the same projections of all images" in collapse(flat)
    options = {"training.learning_rate": 300, "training.precision": "float32"}
    wild = run(tmp_path, "simclr", **options)
    assert "the encoder collapsed: it gives nearly the same latents" in collapse(wild)


@pytest.mark.usefixtures("blank_figures")
def test_a_run_may_leave_an_encoder_untrained_and_be_transferred(tmp_path, monkeypatch):
    from latentkit.transfer import transfer_figures

    monkeypatch.setattr(transfer_figures, "report_transfer", lambda context, kind, svg: None)
    notices = []
    found = lk.run(model="byol", epochs=0, out=tmp_path, options=SMALL, listener=notices.append)
    assert any("the model is not trained" in getattr(one, "message", "") for one in notices)
    moved = lk.transfer(
        found.path, mode="probe", epochs=1, embed=[], out=tmp_path, options={"threads": 1}
    )
    assert moved.features("before").shape[1] == 4 * 16  # the maps' means over four quarters


def test_the_configuration_of_lightly_is_not_imported():
    code = (
        "import sys, latentkit_lightly.build; "
        "print({'hydra', 'omegaconf', 'antlr4', 'pytorch_lightning'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout.strip() == "set()", ended.stderr


def test_a_masked_autoencoder_that_sees_no_square_is_refused():
    with pytest.raises(
        UserError, match=r"model.hidden=0.6 hides every square of an image \(it has 1\)"
    ):
        lk.model("mae", (1, 28, 28), patch=28)


def test_views_are_placed_in_float32_in_bfloat16_training(monkeypatch):
    from latentkit_lightly import adapter

    seen = []
    real = adapter.random_view
    monkeypatch.setattr(adapter, "random_view", lambda *a: seen.append(real(*a)) or seen[-1])
    model, images = lk.model("simclr", (1, 28, 28)), torch.rand(4, 1, 28, 28)
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            model.loss(images, images, step=1)
    assert torch.equal(seen[0], seen[2])
