"""Builds the encoder of each method."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from latentkit.errors import UserError
from latentkit_lightly import adapter
from latentkit_lightly import options as o
from latentkit_lightly.masked_autoencoder import MaskedAutoencoder

_BUILD: dict[type[Any], Any] = {
    o.SimclrOptions: adapter.simclr,
    o.VicregOptions: adapter.vicreg,
    o.BarlowTwinsOptions: adapter.barlow_twins,
    o.ByolOptions: adapter.ByolEncoder,
    o.DinoOptions: adapter.DinoEncoder,
    o.MaeOptions: MaskedAutoencoder,
}


def build(options: o.ViewOptions | o.MaeOptions, image_shape: o.ImageShape) -> nn.Module:
    """Build the encoder of the given options, with weights from torch's global random state.

    Raises:
        UserError: the views of the images would show too little, or ``mae`` would see nothing.
    """
    chosen = options.for_images(image_shape)
    if isinstance(chosen, o.ViewOptions):
        _check_crop(chosen, image_shape)
    else:
        _check_hidden(chosen, image_shape)
    model: nn.Module = _BUILD[type(chosen)](chosen, image_shape)
    return model


def _check_hidden(options: o.MaeOptions, image_shape: o.ImageShape) -> None:
    assert options.patch != "auto"  # noqa: S101  # for_images chose a number
    squares = math.ceil(max(image_shape[1:]) / options.patch) ** 2
    if int(squares * (1 - options.hidden)) < 1:
        raise UserError(
            f"model.hidden={options.hidden:g} hides every square of an image (it has {squares}): "
            f"use a smaller model.patch than {options.patch}, or hide less"
        )


def _check_crop(options: o.ViewOptions, image_shape: o.ImageShape) -> None:
    least = o.least_crop(image_shape)
    assert options.crop != "auto"  # noqa: S101  # for_images chose a number
    if options.crop < least:
        raise UserError(
            f"model.crop={options.crop:g} leaves views of images of {image_shape[1]}x"
            f"{image_shape[2]} less than {o.LEAST_SIDE} pixels a side, which destroys them: use "
            f"{least + 0.005:.2f} or more, or auto"
        )
