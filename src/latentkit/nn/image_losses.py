"""How much images differ, as measures of the evaluation card and as terms of a loss.

Each function compares images (B, C, H, W) in [0, 1] with others of the same shape, computes in
float32, has gradients, and returns one figure per image, (B,).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from latentkit.nn.layers import at_least_float32

_WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Z. Wang et al. (2003), table 1
_LEAST_SIMILARITY = 1e-6  # keeps the gradient of its power finite
_LEAST_POWER = 1 / (12 * 255**2)  # of the rounding to 8 bits: less power means nothing


def ssim(images: Tensor, others: Tensor) -> Tensor:
    """Return the structural similarity, at most 1 for equal images.

    This follows Z. Wang et al. (2004), with their constants. The Gaussian window is 11 x 11 with
    sigma 1.5. For smaller images, it is cut to the largest odd size that fits. The result is the
    mean over window places and channels.
    """
    luminance, structure = _similarities(images.float(), others.float())
    return (luminance * structure).flatten(1).mean(1)


def ms_ssim(images: Tensor, others: Tensor) -> Tensor:
    """Return the multi-scale structural similarity, from 0 to 1 for equal images.

    This follows Z. Wang, E. Simoncelli, A. Bovik (2003): five scales, each half of the one before.
    Images smaller than 176 pixels have fewer, as many as the window of 11 pixels fits into; the
    weights of these scales then sum to 1. Negative similarities of a scale count as 0.
    """
    a, b = images.float(), others.float()
    shorter = min(a.shape[-2:])
    scales = max(1, min(len(_SCALE_WEIGHTS), (shorter // _WINDOW).bit_length()))
    weights = _SCALE_WEIGHTS[:scales]
    found = torch.ones(len(a), device=a.device)
    for scale, weight in enumerate(weights):
        if scale:
            a, b = functional.avg_pool2d(a, 2), functional.avg_pool2d(b, 2)
        luminance, structure = _similarities(a, b)
        last = scale == scales - 1
        similarity = (luminance * structure if last else structure).flatten(1).mean(1)
        found = found * similarity.clamp(min=_LEAST_SIMILARITY) ** (weight / sum(weights))
    return found


def _similarities(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return luminance, and contrast and structure, at each place: (B C, 1, H', W') as (B, ...)."""
    height, width = a.shape[-2:]
    side = min(_WINDOW, height, width)
    side -= 1 - side % 2
    at = torch.arange(side, device=a.device, dtype=torch.float32) - side // 2
    weights = torch.exp(-at.square() / (2 * _SIGMA**2))
    weights /= weights.sum()
    rows, columns = _window(weights, height).T, _window(weights, width)

    def blurred(x: Tensor) -> Tensor:
        return rows @ (x @ columns)

    a, b, count = a.contiguous(), b.contiguous(), len(a)
    mean_a, mean_b = blurred(a), blurred(b)
    variance_a = blurred(a * a) - mean_a.square()
    variance_b = blurred(b * b) - mean_b.square()
    covariance = blurred(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a.square() + mean_b.square() + _C1)
    structure = (2 * covariance + _C2) / (variance_a + variance_b + _C2)
    return luminance.reshape(count, -1), structure.reshape(count, -1)


def _window(weights: Tensor, size: int) -> Tensor:
    """Return the matrix (size, places) that takes the weighted mean at each place of a row.

    On a CPU, its products are three to twelve times as fast as convolutions of one channel.
    """
    matrix = weights.new_zeros(size, size - len(weights) + 1)
    for offset, weight in enumerate(weights):
        matrix.diagonal(-offset)[:] = weight
    return matrix


def spectral_distance(images: Tensor, others: Tensor) -> Tensor:
    """Return how much the power spectra differ, in decibels: 0 for equal spectra.

    The power of all frequencies of nearly the same length, in cycles per image, is averaged over
    channels and directions. The figure is the mean over lengths, without the mean grey, of the
    absolute difference of 10 log10 of that power. A blurred image lacks power at the long lengths,
    whatever its other errors (R. Durall, M. Keuper, J. Keuper, CVPR 2020, compare such spectra).
    """
    powers = [_power_by_length(x.float()) for x in (images, others)]
    first, second = (10 * torch.log10(power + _LEAST_POWER) for power in powers)
    distance: Tensor = (first - second).abs().mean(1)
    return distance


def _power_by_length(images: Tensor) -> Tensor:
    """Return the mean power (B, L) of the frequencies of each length from 1 up to Nyquist's."""
    height, width = images.shape[-2:]
    power: Tensor = torch.fft.rfft2(images, norm="ortho").abs().square().mean(1)
    side = max(height, width)
    rows = torch.fft.fftfreq(height, device=images.device)[:, None] * side
    columns = torch.fft.rfftfreq(width, device=images.device) * side
    length = (rows.square() + columns.square()).sqrt().round().long()
    lengths = torch.arange(1, side // 2 + 1, device=images.device)
    member: Tensor = (length.flatten()[None] == lengths[:, None]).float()
    counts = member.sum(1)
    kept = member[counts > 0] / counts[counts > 0, None]
    by_length: Tensor = power.flatten(1) @ kept.T
    return by_length


def gradient_difference(images: Tensor, others: Tensor) -> Tensor:
    """Return the mean absolute difference of the steps between neighbouring pixels.

    It is larger for a blurred edge than for one that is in the wrong shade (M. Mathieu, C. Couprie,
    Y. LeCun, ICLR 2016).
    """
    difference = images.float() - others.float()
    down = difference.diff(dim=-2).abs().flatten(1).mean(1)
    return (down + difference.diff(dim=-1).abs().flatten(1).mean(1)) / 2


def focal_frequency(images: Tensor, others: Tensor) -> Tensor:
    """Return the squared error of frequencies, each weighted by how wrong it is now.

    L. Jiang et al., ICCV 2021: the weight of a frequency is the size of its error divided by the
    largest of the image. So errors of fine detail, which hardly count in a squared error, count.
    """
    error = torch.fft.rfft2(images.float() - others.float(), norm="ortho").abs()
    weight = error.detach()
    weight = weight / weight.flatten(1).amax(1).clamp(min=1e-12).view(-1, 1, 1, 1)
    weighted: Tensor = weight * error.square()
    return weighted.flatten(1).mean(1)


ImageLoss = Literal["mse", "l1", "ms-ssim", "gradient", "focal-frequency"]


def image_loss(name: ImageLoss, images: Tensor, targets: Tensor, weight: float) -> Tensor:
    """Return a loss of reconstructions, averaged over a batch.

    Args:
        name: ``mse``; ``l1``, the mean absolute error; ``ms-ssim``, 1 - `ms_ssim` with ``weight``
            beside the absolute error (H. Zhao et al. 2017, who use about 5); ``gradient`` and
            ``focal-frequency``, that term with ``weight`` beside the squared error.
        images: reconstructions (B, C, H, W) in [0, 1].
        targets: clean images of the same shape.
        weight: of the term that is added, where there is one.
    """
    # Variances, as differences of squares, are lost in half precision.
    with torch.autocast(images.device.type, enabled=False):
        return _image_loss(name, at_least_float32(images), targets, weight)


def _image_loss(name: ImageLoss, images: Tensor, targets: Tensor, weight: float) -> Tensor:
    if name in ("l1", "ms-ssim"):
        absolute = functional.l1_loss(images, targets)
        return (
            absolute if name == "l1" else absolute + weight * (1 - ms_ssim(images, targets)).mean()
        )
    mse = functional.mse_loss(images, targets)
    if name == "mse":
        return mse
    term = gradient_difference if name == "gradient" else focal_frequency
    return mse + weight * term(images, targets).mean()
