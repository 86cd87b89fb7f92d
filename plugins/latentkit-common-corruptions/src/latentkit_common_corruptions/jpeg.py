"""``jpeg-compression``: Pillow compresses each image as JPEG and decompresses it.

Pixels are rounded to 8 bits first. Images on another device are copied to the CPU and back.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Generator, Tensor

from latentkit.plugin import Corruption
from latentkit_common_corruptions.options import JpegCompressionOptions


def build(options: JpegCompressionOptions) -> Corruption:
    """Return the corruption; the JPEG quality is round(100 (1 - amount)), but at least 1."""
    quality = max(1, round(100 * (1 - options.amount)))

    def compress(images: Tensor, generator: Generator) -> Tensor:
        if options.amount == 0:
            return images.clone()
        pixels = images.mul(255).round_().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
        unpacked = np.stack([_through_jpeg(image, quality) for image in pixels])
        restored = torch.from_numpy(unpacked).to(images.device, images.dtype) / 255
        return restored.view(len(images), *images.shape[2:], -1).permute(0, 3, 1, 2).contiguous()

    return compress


def _through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compress and decompress an image (H, W, C); the result is (H, W) for one channel."""
    file = io.BytesIO()
    Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(
        file, "JPEG", quality=quality
    )
    with Image.open(file) as unpacked:
        return np.asarray(unpacked)
