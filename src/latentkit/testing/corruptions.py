"""Checks of corruptions: images stay images, and all randomness comes from the generator."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from latentkit.plugin.options import strength_option
from latentkit.testing.checked_parts import Check, Subject, claim, global_seed
from latentkit.testing.models import SHAPES, pictures

_SHAPE = (1, 28, 28)
_FEW = 5
_ROUNDING = 1e-6


def check_corrupted_images_are_images(subject: Subject) -> None:
    """Check that the result is finite, in [0, 1], and has the images' shape and type."""
    for shape in SHAPES:
        images = pictures(_FEW, shape)
        corrupted = _corrupted(subject, images)
        found = tuple(corrupted.shape)
        claim(found == images.shape, f"images {tuple(images.shape)} become {found}")
        claim(corrupted.dtype == images.dtype, f"float32 images become {corrupted.dtype}")
        claim(bool(corrupted.isfinite().all()), f"images {shape} become images that are not finite")
        low, high = corrupted.min().item(), corrupted.max().item()
        claim(low >= 0 and high <= 1, f"the result ranges from {low:g} to {high:g}, not [0, 1]")


def check_images_are_left_alone(subject: Subject) -> None:
    """Check that the result is new memory and the images are unchanged: they are the target."""
    images = pictures(_FEW, _SHAPE)
    before = images.clone()
    changes = [{}, *({name: 0} for name in _strengths(subject))]
    for change in changes:
        corrupted = subject.build(**change)(images, Generator().manual_seed(0))
        shared = corrupted.untyped_storage().data_ptr() == images.untyped_storage().data_ptr()
        claim(not shared, "the result shares its memory with the images")
        claim(torch.equal(images, before), "the corruption changes the images that it is given")


def check_zero_strength_is_the_identity(subject: Subject) -> None:
    """Check that images are unchanged if the option marked ``strength`` is 0."""
    images = pictures(_FEW, _SHAPE)
    for name in _strengths(subject):
        corrupted = subject.build(**{name: 0})(images, Generator().manual_seed(0))
        error = (corrupted - images).abs().max().item()
        claim(error <= _ROUNDING, f"{name} = 0 still changes a pixel by {error:.2g}")


def check_strength_has_an_effect(subject: Subject) -> None:
    """Check that images change if the option marked ``strength`` is above 0."""
    images = pictures(_FEW, _SHAPE)
    for name, most in _strengths(subject).items():
        strong = min(1.0, most)
        corrupted = subject.build(**{name: strong})(images, Generator().manual_seed(0))
        claim(not torch.equal(corrupted, images), f"{name} = {strong:g} changes no pixel")


def check_generator_decides(subject: Subject) -> None:
    """Check that the result depends on the generator's state, and on no global random state."""
    images = pictures(_FEW, _SHAPE)
    with global_seed(1):
        first = _corrupted(subject, images, 3)
    with global_seed(2):
        second = _corrupted(subject, images, 3)
    claim(torch.equal(first, second), "the result differs for the same state of the generator")


def check_random_states_give_other_results(subject: Subject) -> None:
    """Check that a corruption which draws from the generator differs between its states."""
    images, generator = pictures(_FEW, _SHAPE), Generator().manual_seed(3)
    before = generator.get_state()
    first = subject.build()(images, generator)
    if torch.equal(generator.get_state(), before):
        return  # the corruption is not random
    other = _corrupted(subject, images, 4)
    claim(not torch.equal(first, other), "it draws from the generator, but the result is the same")


def _corrupted(subject: Subject, images: Tensor, seed: int = 0) -> Tensor:
    corrupted: Tensor = subject.build()(images, Generator().manual_seed(seed))
    claim(
        isinstance(corrupted, Tensor), f"the result is a {type(corrupted).__name__}, not a tensor"
    )
    return corrupted


def _strengths(subject: Subject) -> dict[str, float]:
    """Return the option marked ``strength``, if there is one, and its largest allowed value."""
    marked = strength_option(subject.part.options_type())
    return {} if marked is None else {marked[0]: marked[1]}


CORRUPTION_CHECKS: tuple[Check, ...] = (
    check_corrupted_images_are_images,
    check_images_are_left_alone,
    check_zero_strength_is_the_identity,
    check_strength_has_an_effect,
    check_generator_decides,
    check_random_states_give_other_results,
)
