"""Each check of models finds the fault that it looks for, and the other checks pass."""

from __future__ import annotations

import pytest

MODEL = """
    import torch
    from torch import nn

    class Net(nn.Module):
        latent_dim = 3
        capturable = True
        BETWEEN = None

        def __init__(self, image_shape):
            super().__init__()
            self.image_shape = image_shape
            pixels = image_shape[0] * image_shape[1] * image_shape[2]
            self.encoder = nn.Linear(pixels, 3)
            self.decoder = nn.Linear(3, pixels)

        def encode(self, images):
            return self.encoder(images.flatten(1))

        def decode(self, latents):
            return self.decoder(latents).sigmoid().unflatten(1, self.image_shape)

        def loss(self, inputs, targets, *, step):
            return {"loss": (self.decode(self.encode(inputs)) - targets).square().mean()}

        def posterior(self, images):
            mu = self.encode(images)
            return mu, torch.zeros_like(mu)

        def sample(self, n, generator=None):
            return self.decode(torch.randn(n, 3, generator=generator))

        def log_likelihood(self, images, samples):
            return -images.flatten(1).sum(1)

    def build(options, image_shape):
        return Net(image_shape)
"""
CODES = "codebook_size = 2\n\n        def codes(self, images):\n            return "
FAULTS = {
    "no loss": ("def loss", "def cost", "check_model_has_its_methods"),
    "no torch module": ("nn.Module)", "object)", "check_model_has_its_methods"),
    "one shape only": (
        "nn.Linear(pixels, 3)",
        "nn.Linear(784, 3)",
        "check_images_of_any_shape",
    ),
    "latents of another size": ("latent_dim = 3", "latent_dim = 4", "check_images_of_any_shape"),
    "unbounded images": (".sigmoid()", "", "check_decode_stays_between_0_and_1"),
    "random latents": (
        "return self.encoder(images.flatten(1))",
        "return self.encoder(images.flatten(1)) + torch.rand(3)",
        "check_encode_is_deterministic",
    ),
    "latents that depend on the batch": (
        "return self.encoder(images.flatten(1))",
        "return self.encoder((images - images.mean(0)).flatten(1))",
        "check_encode_takes_each_image_by_itself",
    ),
    "weights of no seed": (
        "def build(options, image_shape):",
        "def build(options, image_shape):\n        torch.seed()",
        "check_seed_decides_the_weights",
    ),
    "a seed of its own": (
        "def build(options, image_shape):",
        "def build(options, image_shape):\n        torch.manual_seed(42)",
        "check_seed_decides_the_weights",
    ),
    "no term called loss": ('{"loss":', '{"mse":', "check_loss_terms"),
    "a term that is no scalar": (".square().mean()", ".square()", "check_loss_terms"),
    "a loss without a gradient": (".square().mean()", ".square().mean().detach()",
                                  "check_loss_terms"),
    "a loss that training raises": (
        ".square().mean()}",
        ".square().mean() * (1 + step)}",
        "check_training_lowers_the_loss",
    ),
    "a capturable loss that changes": (
        ".square().mean()}",
        ".square().mean() * (1 + 1e-3 * step)}",
        "check_capturable_steps_are_alike",
    ),
    "inputs that are changed": (
        "return {",
        "inputs.mul_(0.5)\n            return {",
        "check_inputs_are_left_alone",
    ),
    "weights beside the state dict": (
        "self.encoder = nn.Linear(pixels, 3)",
        "self.encoder = nn.Linear(pixels, 3)\n            self.shift = torch.rand(3)",
        "check_weights_survive_a_file",
    ),
    "features that are no rows": (
        "def posterior",
        "def features(self, images):\n            return images\n\n        def posterior",
        "check_features_have_rows",
    ),
    "codes outside the codebook": (
        "def posterior",
        f"{CODES}(9 * images.flatten(1)[:, 300:302]).long()\n\n        def posterior",
        "check_codes_are_of_the_codebook",
    ),
    "one code for different latents": (
        "def posterior",
        f"{CODES}torch.zeros(len(images), 2).long()\n\n        def posterior",
        "check_codes_are_of_the_codebook",
    ),
    "a mean that is not encoded": (
        "mu = self.encode(images)",
        "mu = self.encode(images) + 1",
        "check_encode_is_the_posterior_mean",
    ),
    "samples of no generator": (
        "generator=generator",
        "generator=None",
        "check_samples_follow_the_generator",
    ),
    "samples that are all alike": (
        "torch.randn(n, 3, generator=generator)",
        "torch.zeros(n, 3)",
        "check_samples_follow_the_generator",
    ),
    "a likelihood of the batch": (
        ".sum(1)",
        ".sum()",
        "check_log_likelihood_of_each_image",
    ),
}  # fmt: skip


def test_a_good_model_passes(faults_of):
    assert faults_of("model", MODEL, tags=("generative",)) == {}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_found(fault, faults_of):
    old, new, check = FAULTS[fault]
    assert MODEL.count(old)
    code = MODEL.replace(old, new)
    if "self.shift" in new:
        code = code.replace("return self.encoder(images.flatten(1))",
                            "return self.encoder(images.flatten(1)) + self.shift")  # fmt: skip
    assert check in faults_of("model", code, tags=("generative",))


def test_a_model_without_the_generative_tag_needs_no_samples(faults_of):
    assert faults_of("model", MODEL.replace("def sample", "def draw")) == {}


def test_a_model_with_the_generative_tag_needs_samples(faults_of):
    lacking = faults_of("model", MODEL.replace("def sample", "def draw"), tags=("generative",))
    assert "tagged generative, but lacks" in lacking["check_model_has_its_methods"]


def test_a_model_with_the_vectors_tag_takes_rows_of_any_length(faults_of):
    assert faults_of("model", MODEL, tags=("vectors",)) == {}


def test_a_model_for_images_only_must_not_have_the_vectors_tag(faults_of):
    images_only = MODEL.replace(
        "pixels = image_shape", "assert image_shape[1] > 7; pixels = image_shape", 1
    )
    assert list(faults_of("model", images_only, tags=("vectors",))) == [
        "check_vectors_of_any_length"
    ]


def test_the_loss_may_rise_during_a_declared_warm_up(faults_of):
    code = MODEL.replace("BETWEEN = None", "warm_up_steps = 500").replace(
        ".mean()}", ".mean() * min(1, (step + 1) / 500)}"
    )
    assert faults_of("model", code) == {}


def test_a_model_with_tied_weights_passes(faults_of):
    code = MODEL.replace(
        "self.decoder = nn.Linear(3, pixels)",
        "self.decoder = nn.Linear(3, pixels); self.second = self.decoder",
    )
    assert faults_of("model", code) == {}


ENCODER = """
    import torch
    from torch import nn
    from latentkit.plugin import needs_own_weights

    class Net(nn.Module):
        latent_dim = 3

        def __init__(self, image_shape):
            super().__init__()
            pixels = image_shape[0] * image_shape[1] * image_shape[2]
            self.pretrained = True
            self.encoder = nn.Linear(pixels, 3)
            self.teacher = nn.Linear(pixels, 3).requires_grad_(False)
            if needs_own_weights():
                self.encoder.weight.data.copy_(torch.ones(pixels).cumsum(0).sin() * 0.1)

        def encode(self, images):
            return self.encoder(images.flatten(1))

        def features(self, images):
            return images.flatten(1)

        def loss(self, inputs, targets, *, step):
            seen = self.encode(targets + 0.1 * torch.randn_like(targets))
            return {"loss": (seen - self.teacher(targets.flatten(1))).square().mean()}

        def after_step(self, step, steps):
            for mine, given in zip(self.teacher.parameters(), self.encoder.parameters()):
                mine.lerp_(given, 0.1)

    def build(options, image_shape):
        return Net(image_shape)
"""
ENCODER_FAULTS = {
    "one latent for all images": (
        "return self.encoder(images.flatten(1))",
        "return self.encoder(images.flatten(1)) * 0 + 1",
        "check_latents_differ_between_images",
    ),
    "a loss that needs two images": (
        ".square().mean()}",
        ".square().mean() + 0 * seen.var(0).sum()}",
        "check_a_loss_of_one_image_is_finite",
    ),
    "a teacher beside the state": (
        "self.teacher = nn.Linear(pixels, 3).requires_grad_(False)",
        "self.__dict__['teacher'] = nn.Linear(pixels, 3).requires_grad_(False)",
        "check_state_has_what_after_step_changes",
    ),
    "weights that are always loaded": (
        "if needs_own_weights():",
        "if True:",
        "check_random_weights_on_request",
    ),
    "features as wide as the batch": (
        "return images.flatten(1)",
        "return images.flatten(1)[:, : len(images)]",
        "check_features_have_rows",
    ),
    "a decoder that it should not have": (
        "def after_step",
        "def decode(self, latents):\n            return latents\n\n        def after_step",
        "check_model_has_its_methods",
    ),
}  # fmt: skip


def test_a_good_encoder_passes(faults_of):
    assert faults_of("model", ENCODER, tags=("encoder",)) == {}


@pytest.mark.parametrize("fault", ENCODER_FAULTS)
def test_the_fault_of_an_encoder_is_found(fault, faults_of):
    old, new, check = ENCODER_FAULTS[fault]
    assert ENCODER.count(old)
    assert check in faults_of("model", ENCODER.replace(old, new), tags=("encoder",))


def test_a_frozen_encoder_needs_no_loss_and_must_not_have_one(faults_of):
    tags = ("encoder", "frozen")
    lacking = faults_of("model", ENCODER, tags=tags)
    assert "tagged 'frozen'" in lacking["check_model_has_its_methods"]


def test_a_frozen_encoder_without_a_loss_passes(faults_of):
    frozen = ENCODER.replace("def loss", "def cost")
    assert faults_of("model", frozen, tags=("encoder", "frozen")) == {}
