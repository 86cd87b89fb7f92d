"""What a model promises: shapes, ranges, repeatability, and a loss that training can lower.

Checks are made on the CPU, with images of five shapes: small, odd, colour, and larger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from latentkit.plugin.protocols import Autoencoder, Generative, HasFeatures, is_capturable, provides
from latentkit.testing.claims import claim, global_seed
from latentkit.testing.subject import Check, Subject

SHAPES = ((1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 17, 23), (3, 64, 64))
"""Channels, height and width of the images that every model must take."""

_SHAPE = (1, 28, 28)
_FEW = 3
_BATCH = 16
_STEPS = 40
_ENDS = 5  # steps over which the loss is averaged at the beginning and the end
_LEARNING_RATE = 1e-3
_TOLERANCE = 1e-4


def check_model_has_its_methods(subject: Subject) -> None:
    """It is a ``torch.nn.Module`` with ``latent_dim``, ``encode``, ``decode`` and ``loss``."""
    model = _built(subject)
    claim(isinstance(model, nn.Module), f"the target builds a {type(model).__name__}, no Module")
    claim(provides(model, Autoencoder), "the model lacks latent_dim, encode, decode or loss")
    generative = "generative" in subject.spec.tags
    lacks = "the model is tagged generative and lacks posterior, sample or log_likelihood"
    claim(not generative or provides(model, Generative), lacks)


def check_images_of_any_shape(subject: Subject) -> None:
    """Latents are (B, latent_dim), reconstructions have the images' shape, both are finite."""
    for shape in SHAPES:
        model, images = _built(subject, shape).eval(), pictures(_FEW, shape)
        with torch.no_grad():
            latents = model.encode(images)
            _claim_tensor(latents, (_FEW, model.latent_dim), f"encode of images {shape}")
            _claim_tensor(model.decode(latents), images.shape, f"decode to images {shape}")


def check_decode_stays_between_0_and_1(subject: Subject) -> None:
    """Also for latents that no image has."""
    model = _built(subject).eval()
    far = 10 * torch.randn(_BATCH, model.latent_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        _claim_images(model.decode(far), (_BATCH, *_SHAPE), "decode of latents far out")


def check_encode_is_deterministic(subject: Subject) -> None:
    """In eval mode latents follow from the images, not from a random state."""
    model, images = _built(subject).eval(), pictures(_FEW, _SHAPE)
    with torch.no_grad(), global_seed(1):
        first = model.encode(images)
        with global_seed(2):
            second = model.encode(images)
    claim(torch.equal(first, second), "encode gives other latents for the same images in eval mode")


def check_encode_takes_each_image_by_itself(subject: Subject) -> None:
    """In eval mode an image has the same latents whatever else is in its batch."""
    model, images = _built(subject).eval(), pictures(_FEW, _SHAPE)
    with torch.no_grad():
        together, alone = model.encode(images)[:1], model.encode(images[:1])
    claim(_near(together, alone), "the latents of an image depend on the others in its batch")


def check_seed_decides_the_weights(subject: Subject) -> None:
    """Initial weights come from torch's global random state, which is left seeded as it was."""
    first, second = (_built(subject).state_dict() for _ in range(2))
    for name, tensor in first.items():
        claim(torch.equal(tensor, second[name]), f"{name} differs between builds of one seed")
    with global_seed(5):
        subject.build(_SHAPE)
        claim(torch.initial_seed() == 5, "building the model seeds torch's global random state")


def check_loss_terms(subject: Subject) -> None:
    """``loss`` gives finite scalars by name, and ``"loss"`` has a gradient."""
    model, images = _built(subject), pictures(_BATCH, _SHAPE)
    terms = model.loss(images, images, step=0)
    claim(isinstance(terms, Mapping), f"loss returns a {type(terms).__name__}, no mapping")
    claim("loss" in terms, f"loss returns {', '.join(map(str, terms))}, and no 'loss'")
    for name, value in terms.items():
        _claim_tensor(value, (), f"the loss term {name!r}")
    claim(terms["loss"].requires_grad, "the term 'loss' has no gradient")


def check_training_lowers_the_loss(subject: Subject) -> None:
    """Some tens of steps on one batch lower the loss, which stays finite."""
    with global_seed(0):
        model, images = subject.build(_SHAPE).train(), pictures(_BATCH, _SHAPE)
        optimiser = torch.optim.Adam(model.parameters(), lr=_LEARNING_RATE)
        # A warm-up raises the loss, so it is left behind.
        begin = getattr(model, "warm_up_steps", 0)
        losses = []
        for step in range(begin, begin + _STEPS):
            loss = model.loss(images, images, step=step)["loss"]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    claim(all(map(_finite, losses)), f"the loss is not finite in {_STEPS} steps")
    before, after = sum(losses[:_ENDS]) / _ENDS, sum(losses[-_ENDS:]) / _ENDS
    claim(after < before, f"the loss goes from {before:.4g} to {after:.4g} in {_STEPS} steps")


def check_capturable_steps_are_alike(subject: Subject) -> None:
    """A model that says ``capturable`` has the same loss at each step, from its warm-up on."""
    model, images = _built(subject), pictures(_BATCH, _SHAPE)
    if not is_capturable(model):
        return
    begin = getattr(model, "warm_up_steps", 0)
    with global_seed(0):
        first = model.loss(images, images, step=begin)
    for step in (begin + 1, begin + 10_000):
        with global_seed(0):
            terms = model.loss(images, images, step=step)
        claim(terms.keys() == first.keys(), f"the terms of step {step} are not those of {begin}")
        for name, value in terms.items():
            same = torch.equal(value, first[name])
            claim(same, f"the model is capturable, and {name!r} changes from step to step")


def check_inputs_are_left_alone(subject: Subject) -> None:
    """``encode``, ``decode`` and ``loss`` change nothing that they are given."""
    model, images = _built(subject), pictures(_FEW, _SHAPE)
    latents = torch.zeros(_FEW, model.latent_dim)
    given = {"encode": images, "loss": images, "decode": latents}
    before = {name: tensor.clone() for name, tensor in given.items()}
    model.loss(images, images, step=0)
    model.eval()
    with torch.no_grad():
        model.encode(images)
        model.decode(latents)
    for name, tensor in given.items():
        claim(torch.equal(tensor, before[name]), f"{name} changes the tensor that it is given")


def check_weights_survive_a_file(subject: Subject) -> None:
    """The state dict goes through safetensors into a fresh model that encodes alike."""
    model, images = _built(subject).eval(), pictures(_FEW, _SHAPE)
    # Weights that are tied share memory, which the format does not have.
    tensors = {k: v.detach().contiguous().clone() for k, v in model.state_dict().items()}
    other = _built(subject, seed=1).eval()
    other.load_state_dict(load(save(tensors)))
    with torch.no_grad():
        same = torch.equal(model.encode(images), other.encode(images))
    claim(same, "a model that is given another's state dict encodes otherwise")


def check_features_have_rows(subject: Subject) -> None:
    """Where there are ``features``, they are finite (B, F)."""
    model = _built(subject).eval()
    if not provides(model, HasFeatures):
        return
    with torch.no_grad():
        features = model.features(pictures(_FEW, _SHAPE))
    _claim_tensor(features, (_FEW, features.shape[-1]), "features")


def check_encode_is_the_posterior_mean(subject: Subject) -> None:
    """``posterior`` gives mu and log_var, each (B, latent_dim), and ``encode`` gives mu."""
    model, images = _built(subject).eval(), pictures(_FEW, _SHAPE)
    with torch.no_grad():
        mu, log_var = model.posterior(images)
        latents = model.encode(images)
    for name, tensor in (("mu", mu), ("log_var", log_var)):
        _claim_tensor(tensor, (_FEW, model.latent_dim), f"the posterior's {name}")
    claim(_near(latents, mu), "encode does not give the posterior's mean")


def check_samples_follow_the_generator(subject: Subject) -> None:
    """Samples are images, the same for the same state of the generator, others for another."""
    model = _built(subject).eval()
    with torch.no_grad(), global_seed(0):
        first, again, other = (
            model.sample(_FEW, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
        )
        _claim_images(model.sample(1), (1, *_SHAPE), "a sample without a generator")
    _claim_images(first, (_FEW, *_SHAPE), "samples")
    claim(torch.equal(first, again), "sample gives other images for the same generator")
    claim(not torch.equal(first, other), "sample gives the same images for any generator")


def check_log_likelihood_of_each_image(subject: Subject) -> None:
    """``log_likelihood`` is finite (B,), for one sample and for several."""
    model, images = _built(subject).eval(), pictures(_FEW, _SHAPE)
    for samples in (1, 8):
        with torch.no_grad(), global_seed(0):
            bound = model.log_likelihood(images, samples)
        _claim_tensor(bound, (_FEW,), f"log_likelihood from {samples} samples")


def check_vectors_of_any_length(subject: Subject) -> None:
    """Images of 1 x 1 x D are taken, from D = 1 up, also with values outside [0, 1]."""
    for length in (1, 5, 300):
        shape = (1, 1, length)
        model = _built(subject, shape).eval()
        vectors = torch.rand(_FEW, *shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            latents = model.encode(3 * vectors - 1)
            _claim_tensor(latents, (_FEW, model.latent_dim), f"encode of {length} features")
            _claim_images(model.decode(latents), vectors.shape, f"decode to {length} features")
        terms = model.train().loss(vectors, vectors, step=0)
        _claim_tensor(terms["loss"], (), f"the loss of {length} features")


def pictures(n: int, shape: tuple[int, int, int]) -> Tensor:
    """Return ``n`` smooth images (n, C, H, W) in [0, 1], always the same."""
    channels, height, width = shape
    coarse = torch.rand(n, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    return functional.interpolate(coarse, (height, width), mode="bilinear").clamp(0, 1)


def _built(subject: Subject, shape: tuple[int, int, int] = _SHAPE, seed: int = 0) -> Any:
    with global_seed(seed):
        return subject.build(shape)


def _claim_tensor(value: Any, shape: tuple[int, ...], what: str) -> None:
    claim(isinstance(value, Tensor), f"{what} is a {type(value).__name__}, no tensor")
    found = tuple(value.shape)
    claim(found == tuple(shape), f"{what} has shape {found}, expected {tuple(shape)}")
    claim(value.dtype == torch.float32, f"{what} is {value.dtype}, expected float32")
    claim(bool(value.isfinite().all()), f"{what} is not finite")


def _claim_images(value: Any, shape: tuple[int, ...], what: str) -> None:
    _claim_tensor(value, shape, what)
    low, high = value.min().item(), value.max().item()
    claim(low >= 0 and high <= 1, f"{what} reaches from {low:g} to {high:g}, expected [0, 1]")


def _near(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE)


def _finite(value: float) -> bool:
    return abs(value) < float("inf")


MODEL_CHECKS: tuple[Check, ...] = (
    check_model_has_its_methods,
    check_images_of_any_shape,
    check_decode_stays_between_0_and_1,
    check_encode_is_deterministic,
    check_encode_takes_each_image_by_itself,
    check_seed_decides_the_weights,
    check_loss_terms,
    check_training_lowers_the_loss,
    check_capturable_steps_are_alike,
    check_inputs_are_left_alone,
    check_weights_survive_a_file,
    check_features_have_rows,
)
GENERATIVE_CHECKS: tuple[Check, ...] = (
    check_encode_is_the_posterior_mean,
    check_samples_follow_the_generator,
    check_log_likelihood_of_each_image,
)
VECTOR_CHECKS: tuple[Check, ...] = (check_vectors_of_any_length,)
