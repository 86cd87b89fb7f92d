"""Random views of images: crops, mirror images and colours, on whole batches."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from latentkit_lightly.options import LEAST_SIDE, ViewOptions

_RATIO = math.log(4 / 3)  # largest change of a crop's width over its height
_DARKEST = 1e-4  # below it, values count as black
_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


def random_view(images: Tensor, options: ViewOptions) -> Tensor:
    """Return a random view of each image, with the size of the image.

    Random numbers come from torch's global state.

    Args:
        images: (B, C, H, W) in [0, 1]. They are not changed.
        options: how strong the changes are.

    Returns:
        Views (B, C, H, W) in [0, 1].
    """
    assert options.crop != "auto"  # noqa: S101  # for_images chose a number
    views = _cropped(images, options.crop, flip=options.flip)
    if options.brightness:
        views = _brightened(views, options.brightness)
    if images.shape[1] == len(_LUMA):
        views = _coloured(views, options.saturation, options.grey)
    return views


def _cropped(images: Tensor, least: float, *, flip: bool) -> Tensor:
    """Enlarge a random part of each image, of at least a share ``least`` of its area."""
    n, _, height, width = images.shape
    area = _uniform(images, least, 1.0)
    ratio = _uniform(images, -_RATIO, _RATIO).exp().sqrt()
    share_x = (area.sqrt() * ratio).clamp(min(1.0, LEAST_SIDE / width), 1.0)
    share_y = (area.sqrt() / ratio).clamp(min(1.0, LEAST_SIDE / height), 1.0)
    # The image extends from -1 to 1 in both directions.
    theta = images.new_zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = share_x, share_y
    theta[:, 0, 2] = (1 - share_x) * _uniform(images, -1.0, 1.0)
    theta[:, 1, 2] = (1 - share_y) * _uniform(images, -1.0, 1.0)
    if flip:
        theta[:, 0, 0] *= _chosen(images, 0.5) * 2 - 1
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _brightened(images: Tensor, strength: float) -> Tensor:
    """Multiply values by up to 1 ± strength, after a gamma of up to e^±strength."""
    gamma = _uniform(images, -strength, strength).exp().view(-1, 1, 1, 1)
    factor = _uniform(images, 1 - strength, 1 + strength).view(-1, 1, 1, 1)
    return (images.clamp_min(_DARKEST) ** gamma * factor).clamp(0, 1)


def _coloured(images: Tensor, saturation: float, grey: float) -> Tensor:
    """Change the saturation, and make some images grey."""
    luma = images.new_tensor(_LUMA).view(1, -1, 1, 1)
    value = (images * luma).sum(1, keepdim=True)
    share = 1 + _uniform(images, -saturation, saturation)
    share = torch.where(_chosen(images, grey).bool(), 0, share).view(-1, 1, 1, 1)
    return (value + share * (images - value)).clamp(0, 1)


def _uniform(images: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(len(images), device=images.device, dtype=images.dtype)


def _chosen(images: Tensor, share: float) -> Tensor:
    return (_uniform(images, 0.0, 1.0) < share).to(images.dtype)
