"""Checks of models: shapes, ranges, repeatability, and a loss that training lowers.

The checks run on the CPU, with images of five shapes, including small, odd, colour and larger ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from latentkit.plugin.downloads import saved_weights_follow
from latentkit.plugin.protocols import (
    Generative,
    HasAfterStep,
    HasCodes,
    HasDecoder,
    HasFeatures,
    HasLoss,
    is_capturable,
    lacking,
    provides,
)
from latentkit.testing.checked_parts import Check, Subject, claim, global_seed

SHAPES = ((1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 17, 23), (3, 64, 64))
"""Channels, height and width of the images that every model must accept."""

_SHAPE = (1, 28, 28)
_FEW = 3
_BATCH = 16
_STEPS = 40
_ENDS = 5  # number of first and of last steps whose mean losses are compared
_LEARNING_RATE = 1e-3
_TOLERANCE = 1e-4


def check_model_has_its_methods(subject: Subject) -> None:
    """Check for a ``torch.nn.Module`` with ``latent_dim``, ``encode``, ``decode`` and ``loss``.

    The tag ``"encoder"`` says that it has no ``decode``, and ``"frozen"`` that it has no ``loss``.
    """
    model, tags = _built(subject), subject.spec.tags
    claim(
        isinstance(model, nn.Module),
        f"the target builds a {type(model).__name__}, not a torch.nn.Module",
    )
    missing = lacking(model, tags)
    claim(not missing, f"the model lacks {', '.join(missing)}")
    for tag, protocol, name in (("encoder", HasDecoder, "decode"), ("frozen", HasLoss, "loss")):
        claim(
            not (tag in tags and provides(model, protocol)),
            f"the model is tagged {tag!r}, which says that it has no {name}, but it has one",
        )
    generative = "generative" in tags
    lacks = "the model is tagged generative, but lacks posterior, sample or log_likelihood"
    claim(not generative or provides(model, Generative), lacks)


def check_images_of_any_shape(subject: Subject) -> None:
    """Check that latents (B, latent_dim) and any reconstructions are finite and of their shape."""
    for shape in SHAPES:
        model, images = _built(subject, shape).eval(), pictures(_FEW, shape)
        with torch.no_grad():
            latents = model.encode(images)
            _claim_tensor(latents, (_FEW, model.latent_dim), f"encode of images {shape}")
            if provides(model, HasDecoder):
                _claim_tensor(model.decode(latents), images.shape, f"decode to images {shape}")


def check_decode_stays_between_0_and_1(subject: Subject) -> None:
    """Check that decoded images are in [0, 1], also for latents that no image has."""
    model = _built(subject).eval()
    far = 10 * torch.randn(_BATCH, model.latent_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        _claim_images(model.decode(far), (_BATCH, *_SHAPE), "decode of latents far from the origin")


def check_encode_is_deterministic(subject: Subject) -> None:
    """Check that latents in eval mode do not depend on a random state."""
    model, images = _built(subject).eval(), pictures(_FEW, _SHAPE)
    with torch.no_grad(), global_seed(1):
        first = model.encode(images)
        with global_seed(2):
            second = model.encode(images)
    claim(torch.equal(first, second), "in eval mode, encode gives two results for the same images")


def check_encode_takes_each_image_by_itself(subject: Subject) -> None:
    """Check that the latents of an image in eval mode do not depend on the rest of its batch."""
    model, images = _built(subject).eval(), pictures(_FEW, _SHAPE)
    with torch.no_grad():
        together, alone = model.encode(images)[:1], model.encode(images[:1])
    claim(_near(together, alone), "the latents of an image depend on the others in its batch")


def check_seed_decides_the_weights(subject: Subject) -> None:
    """Check that initial weights depend on torch's global seed, and that a build keeps it."""
    first, second = (_built(subject).state_dict() for _ in range(2))
    for name, tensor in first.items():
        claim(torch.equal(tensor, second[name]), f"{name} differs between two builds of one seed")
    with global_seed(5):
        subject.build(_SHAPE)
        claim(torch.initial_seed() == 5, "building the model reseeds torch's global random state")


def check_loss_terms(subject: Subject) -> None:
    """Check that ``loss`` returns finite scalars by name, and that ``"loss"`` has a gradient."""
    for shape in SHAPES:
        model, images = _built(subject, shape), pictures(_FEW, shape)
        terms = model.loss(images, images, step=0)
        claim(isinstance(terms, Mapping), f"loss returns a {type(terms).__name__}, not a mapping")
        claim("loss" in terms, f"loss returns {', '.join(map(str, terms))}, but not 'loss'")
        for name, value in terms.items():
            _claim_tensor(value, (), f"the loss term {name!r} of images {shape}")
        claim(terms["loss"].requires_grad, "the term 'loss' has no gradient")


def check_training_lowers_the_loss(subject: Subject) -> None:
    """Check that 40 steps on one batch lower the loss, and that it stays finite."""
    with global_seed(0):
        model, images = subject.build(_SHAPE).train(), pictures(_BATCH, _SHAPE)
        optimiser = torch.optim.Adam(model.parameters(), lr=_LEARNING_RATE)
        # Start after the warm-up, because a warm-up raises the loss.
        begin = getattr(model, "warm_up_steps", 0)
        losses = []
        for step in range(begin, begin + _STEPS):
            loss = model.loss(images, images, step=step)["loss"]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            _after_step(model, step, begin + _STEPS)
            losses.append(loss.item())
    claim(all(map(_finite, losses)), f"the loss is not finite in {_STEPS} steps")
    before, after = sum(losses[:_ENDS]) / _ENDS, sum(losses[-_ENDS:]) / _ENDS
    claim(after < before, f"the loss goes from {before:.4g} to {after:.4g} in {_STEPS} steps")


def check_a_loss_of_one_image_is_finite(subject: Subject) -> None:
    """Check that the loss terms of one image in eval mode are finite.

    The last batch of the validation images may be that small.
    """
    model, image = _built(subject).eval(), pictures(1, _SHAPE)
    with torch.no_grad(), global_seed(0):
        terms = model.loss(image, image, step=0)
    for name, value in terms.items():
        claim(
            bool(value.isfinite()), f"in eval mode, the loss term {name!r} of one image is {value}"
        )


def check_state_has_what_after_step_changes(subject: Subject) -> None:
    """Check that training from saved weights repeats the steps of a model with ``after_step``."""
    if not provides(_built(subject), HasAfterStep):
        return
    model = _built(subject).train()
    _take_steps(model, range(2))
    other = _built(subject, seed=1).train()
    other.load_state_dict(load(save(_tensors(model))))
    for one in (model, other):
        _take_steps(one, range(2, 4))
    found = other.state_dict()
    for name, tensor in model.state_dict().items():
        same = torch.equal(tensor, found[name])
        claim(same, f"after saved weights are loaded, two more steps give another {name}")


def _take_steps(model: Any, steps: range) -> None:
    images, optimiser = pictures(_BATCH, _SHAPE), torch.optim.SGD(model.parameters(), lr=1e-3)
    for step in steps:
        with global_seed(step):
            loss = model.loss(images, images, step=step)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        _after_step(model, step, _STEPS)


def _after_step(model: Any, step: int, steps: int) -> None:
    if provides(model, HasAfterStep):
        with torch.no_grad():
            model.after_step(step, steps)


def check_latents_differ_between_images(subject: Subject) -> None:
    """Check that an encoder does not give the same latents for all images."""
    model, images = _built(subject).eval(), pictures(_FEW, _SHAPE)
    with torch.no_grad():
        latents = model.encode(images)
    claim(
        not _near(latents, latents[:1].expand_as(latents)), "different images have the same latents"
    )


def check_random_weights_on_request(subject: Subject) -> None:
    """Check that a pretrained model has random weights if it needs none of its own.

    `latentkit.plugin.needs_own_weights` says so, for the random encoder of a card.
    """
    model = _built(subject)
    if not getattr(model, "pretrained", False):
        return
    with saved_weights_follow():
        random = _built(subject).state_dict()  # of the same seed
    same = all(torch.equal(tensor, random[name]) for name, tensor in model.state_dict().items())
    claim(not same, "the model loads its own weights even if needs_own_weights() is False")


def check_capturable_steps_are_alike(subject: Subject) -> None:
    """Check that the loss of a ``capturable`` model is independent of the step after warm-up."""
    model, images = _built(subject), pictures(_BATCH, _SHAPE)
    if not is_capturable(model):
        return
    begin = getattr(model, "warm_up_steps", 0)
    with global_seed(0):
        first = model.loss(images, images, step=begin)
    for step in (begin + 1, begin + 10_000):
        with global_seed(0):
            terms = model.loss(images, images, step=step)
        claim(terms.keys() == first.keys(), f"the loss terms of steps {begin} and {step} differ")
        for name, value in terms.items():
            same = torch.equal(value, first[name])
            claim(same, f"the model is capturable, but {name!r} changes from step to step")


def check_inputs_are_left_alone(subject: Subject) -> None:
    """Check that ``encode``, ``decode`` and ``loss`` do not change their inputs."""
    model, images = _built(subject), pictures(_FEW, _SHAPE)
    latents = torch.zeros(_FEW, model.latent_dim)
    given = {"encode": images, "loss": images, "decode": latents}
    before = {name: tensor.clone() for name, tensor in given.items()}
    if provides(model, HasLoss):
        model.loss(images, images, step=0)
    model.eval()
    with torch.no_grad():
        model.encode(images)
        if provides(model, HasDecoder):
            model.decode(latents)
    for name, tensor in given.items():
        claim(torch.equal(tensor, before[name]), f"{name} changes the tensor that it is given")


def check_weights_survive_a_file(subject: Subject) -> None:
    """Check that a new model with weights restored from safetensors encodes the same."""
    model, images = _built(subject).eval(), pictures(_FEW, _SHAPE)
    other = _built(subject, seed=1).eval()
    other.load_state_dict(load(save(_tensors(model))))
    with torch.no_grad():
        same = torch.equal(model.encode(images), other.encode(images))
    claim(same, "a model with another model's state dict gives different latents")


def _tensors(model: Any) -> dict[str, Tensor]:
    # Copies, because tied weights share memory and safetensors does not allow that.
    return {k: v.detach().contiguous().clone() for k, v in model.state_dict().items()}


def check_features_have_rows(subject: Subject) -> None:
    """Check that ``features``, if the model has them, are finite (B, F) with F always the same."""
    model = _built(subject).eval()
    if not provides(model, HasFeatures):
        return
    with torch.no_grad():
        features = model.features(pictures(_FEW, _SHAPE))
        _claim_tensor(features, (_FEW, features.shape[-1]), "features")
        one = model.features(pictures(1, _SHAPE))
    _claim_tensor(one, (1, features.shape[-1]), "features of one image")


def check_codes_are_of_the_codebook(subject: Subject) -> None:
    """Check that ``codes``, if the model has them, are int64 (B, positions) below codebook_size.

    An image has the same codes again, alone and in eval mode, and equal codes have equal latents.
    """
    model, images = _built(subject).eval(), pictures(_BATCH, _SHAPE)
    with torch.no_grad():
        latents = model.encode(images)
    if not provides(model, HasCodes):
        return
    with torch.no_grad():
        codes = model.codes(images)
        alone = model.codes(images[:1])
    claim(
        codes.dtype == torch.int64 and codes.ndim == 2 and len(codes) == _BATCH,
        f"codes of {_BATCH} images are {codes.dtype} {tuple(codes.shape)}, expected int64 "
        f"({_BATCH}, positions)",
    )
    low, high = int(codes.min()), int(codes.max())
    claim(
        low >= 0 and high < model.codebook_size,
        f"codes range from {low} to {high}, but codebook_size is {model.codebook_size}",
    )
    claim(torch.equal(alone, codes[:1]), "the codes of an image depend on the others in its batch")
    for row, own in enumerate(codes):
        same = latents[(codes == own).all(1)]
        claim(_near(same, latents[row].expand_as(same)), "equal codes have different latents")


def check_encode_is_the_posterior_mean(subject: Subject) -> None:
    """Check that ``posterior`` gives mu and log_var (B, latent_dim), and ``encode`` gives mu."""
    model, images = _built(subject).eval(), pictures(_FEW, _SHAPE)
    with torch.no_grad():
        mu, log_var = model.posterior(images)
        latents = model.encode(images)
    for name, tensor in (("mu", mu), ("log_var", log_var)):
        _claim_tensor(tensor, (_FEW, model.latent_dim), f"the posterior's {name}")
    claim(_near(latents, mu), "encode does not return the posterior mean")


def check_samples_follow_the_generator(subject: Subject) -> None:
    """Check that samples are images and depend on the generator's state."""
    model = _built(subject).eval()
    with torch.no_grad(), global_seed(0):
        first, again, other = (
            model.sample(_FEW, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
        )
        _claim_images(model.sample(1), (1, *_SHAPE), "a sample without a generator")
    _claim_images(first, (_FEW, *_SHAPE), "samples")
    claim(torch.equal(first, again), "sample gives different images for the same generator state")
    claim(not torch.equal(first, other), "sample gives the same images for any generator state")


def check_log_likelihood_of_each_image(subject: Subject) -> None:
    """Check that ``log_likelihood`` is finite (B,), for one sample and for several."""
    model, images = _built(subject).eval(), pictures(_FEW, _SHAPE)
    for samples in (1, 8):
        with torch.no_grad(), global_seed(0):
            bound = model.log_likelihood(images, samples)
        _claim_tensor(bound, (_FEW,), f"log_likelihood from {samples} samples")


def check_vectors_of_any_length(subject: Subject) -> None:
    """Check that images of 1 x 1 x D are accepted for D >= 1, also with values outside [0, 1]."""
    for length in (1, 5, 300):
        shape = (1, 1, length)
        model = _built(subject, shape).eval()
        vectors = torch.rand(_FEW, *shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            latents = model.encode(3 * vectors - 1)
            _claim_tensor(latents, (_FEW, model.latent_dim), f"encode of {length} features")
            if provides(model, HasDecoder):
                _claim_images(model.decode(latents), vectors.shape, f"decode to {length} features")
        model.train()
        if provides(model, HasLoss):
            terms = model.loss(vectors, vectors, step=0)
            _claim_tensor(terms["loss"], (), f"the loss of {length} features")


def pictures(n: int, shape: tuple[int, int, int]) -> Tensor:
    """Return ``n`` smooth images (n, C, H, W) in [0, 1]; they are always the same."""
    channels, height, width = shape
    coarse = torch.rand(n, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    return functional.interpolate(coarse, (height, width), mode="bilinear").clamp(0, 1)


def _built(subject: Subject, shape: tuple[int, int, int] = _SHAPE, seed: int = 0) -> Any:
    with global_seed(seed):
        return subject.build(shape)


def _claim_tensor(value: Any, shape: tuple[int, ...], what: str) -> None:
    claim(isinstance(value, Tensor), f"{what} is a {type(value).__name__}, not a tensor")
    found = tuple(value.shape)
    claim(found == tuple(shape), f"{what} has shape {found}, expected {tuple(shape)}")
    claim(value.dtype == torch.float32, f"{what} is {value.dtype}, expected float32")
    claim(bool(value.isfinite().all()), f"{what} is not finite")


def _claim_images(value: Any, shape: tuple[int, ...], what: str) -> None:
    _claim_tensor(value, shape, what)
    low, high = value.min().item(), value.max().item()
    claim(low >= 0 and high <= 1, f"{what} ranges from {low:g} to {high:g}, expected [0, 1]")


def _near(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE)


def _finite(value: float) -> bool:
    return abs(value) < float("inf")


MODEL_CHECKS: tuple[Check, ...] = (
    check_model_has_its_methods,
    check_images_of_any_shape,
    check_encode_is_deterministic,
    check_encode_takes_each_image_by_itself,
    check_seed_decides_the_weights,
    check_random_weights_on_request,
    check_inputs_are_left_alone,
    check_weights_survive_a_file,
    check_features_have_rows,
    check_codes_are_of_the_codebook,
)
DECODER_CHECKS: tuple[Check, ...] = (check_decode_stays_between_0_and_1,)
ENCODER_CHECKS: tuple[Check, ...] = (check_latents_differ_between_images,)
LOSS_CHECKS: tuple[Check, ...] = (
    check_loss_terms,
    check_training_lowers_the_loss,
    check_a_loss_of_one_image_is_finite,
    check_capturable_steps_are_alike,
    check_state_has_what_after_step_changes,
)
GENERATIVE_CHECKS: tuple[Check, ...] = (
    check_encode_is_the_posterior_mean,
    check_samples_follow_the_generator,
    check_log_likelihood_of_each_image,
)
VECTOR_CHECKS: tuple[Check, ...] = (check_vectors_of_any_length,)
