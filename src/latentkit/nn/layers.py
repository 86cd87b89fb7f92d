"""Layers of convolutional networks, image sizes before and after them, and what losses share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function_unary

from latentkit.nn.fast_conv import FastTransposed

OddSizes = Literal["up", "down"]
KERNEL = 3
STRIDE = 2


def halved(size: int, odd_sizes: OddSizes) -> int:
    """Return the size after a 3-wide convolution of stride 2.

    Even sizes are halved. Odd sizes are halved and rounded up (padding 1) or down (padding 0, so
    the kernel never leaves the image): 28 -> 14 -> 7 -> 4 or 28 -> 14 -> 7 -> 3. An odd size below
    3 is always rounded up.
    """
    padding = halving_padding(size, odd_sizes)
    return (size + 2 * padding - KERNEL) // STRIDE + 1


def halving_padding(size: int, odd_sizes: OddSizes) -> int:
    """Return the padding that `halved` assumes: 0 or 1."""
    return 0 if odd_sizes == "down" and size % 2 and size >= KERNEL else 1


def size_pyramid(
    height: int, width: int, levels: int, odd_sizes: OddSizes
) -> list[tuple[int, int]]:
    """Return height and width before and after each of ``levels`` halvings (levels + 1 pairs).

    Raises:
        ValueError: the image is already a single pixel before the last level.
    """
    sizes = [(height, width)]
    for level in range(levels):
        if max(sizes[-1]) == 1:
            raise ValueError(
                f"images of {height}x{width} cannot be halved {levels} times: "
                f"give at most {level} entries in channels"
            )
        sizes.append((halved(sizes[-1][0], odd_sizes), halved(sizes[-1][1], odd_sizes)))
    return sizes


Activation = Literal["relu", "leaky-relu", "gelu", "silu", "tanh"]
Norm = Literal["none", "batch", "group"]
Upsampling = Literal["transpose", "transpose-4", "resize", "pixel-shuffle"]

_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky-relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "gelu": nn.GELU,
    "silu": lambda: nn.SiLU(inplace=True),
    "tanh": nn.Tanh,
}


def activation(name: Activation) -> nn.Module:
    """Return a new activation layer."""
    return _ACTIVATIONS[name]()


def norm_2d(name: Norm, channels: int) -> nn.Module:
    """Return a norm for feature maps (B, channels, H, W); ``group`` has 8 channels per group."""
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "group":
        groups = max(1, channels // 8)
        return nn.GroupNorm(groups if channels % groups == 0 else 1, channels)
    return nn.Identity()


def norm_1d(name: Norm, features: int) -> nn.Module:
    """Return a norm for feature vectors (B, features); ``group`` is a layer norm."""
    if name == "batch":
        return nn.BatchNorm1d(features)
    return nn.LayerNorm(features) if name == "group" else nn.Identity()


def at_least_float32(values: Tensor) -> Tensor:
    """Return values in float32 if they have a shorter type; float64 stays."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def whole_batch(values: Tensor) -> Tensor:
    """Return the values of all images of a batch, for a loss that compares images of a batch.

    If a run has several processes, each computes the loss of its share of a batch, and latentkit
    takes the mean over all images. A term that is no such mean, such as a contrastive one or the
    maximum of a batch's mean and a bound, needs the values of all images. With one process, they
    are the given values.

    Args:
        values: (B, ...), a row for each image of this process's share.

    Returns:
        The rows of all images, in the order of the batch; gradients reach every process.
    """
    # The training of several processes overrides this function, as a torch function mode may.
    if has_torch_function_unary(values):
        found: Tensor = handle_torch_function(whole_batch, (values,), values)
        return found
    return values


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions whose result is added to their input (K. He et al., CVPR 2016).

    The last norm, or without a norm the last convolution, starts at zero, so that a new block only
    applies the activation and depth costs nothing at first (P. Goyal et al. 2017).

    Args:
        channels: number of feature maps, before and after.
        act: activation between the convolutions and after the sum.
        norm: normalisation after each convolution.
    """

    def __init__(self, channels: int, act: Activation, norm: Norm) -> None:
        super().__init__()

        def convolution() -> nn.Conv2d:
            return nn.Conv2d(channels, channels, KERNEL, padding=1, bias=norm == "none")

        last: nn.Module = norm_2d(norm, channels)
        self.residual = nn.Sequential(
            convolution(), norm_2d(norm, channels), activation(act), convolution(), last
        )
        nn.init.zeros_(self.residual[3 if norm == "none" else 4].weight)  # type: ignore[arg-type]
        self.act = activation(act)

    def forward(self, maps: Tensor) -> Tensor:
        """Return feature maps of the same shape (B, C, H, W)."""
        return self.act(maps + self.residual(maps))  # type: ignore[no-any-return]


class BackboneInput(nn.Module):
    """Layer that turns images (B, C, H, W) in [0, 1] into the input of a network trained elsewhere.

    Grey images are repeated to 3 channels; other numbers of channels stay. Images are resized to
    the network's input (bicubic, with antialiasing, sides by themselves, so nothing is cropped) and
    clipped to [0, 1]. Each channel is centred and divided by the network's numbers for red, green
    and blue, or by their average if there are not 3 channels.

    Args:
        channels: C of the images.
        size: height and width that the network takes.
        mean: means of red, green and blue.
        std: their standard deviations.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, channels: int, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.channels = 3 if channels == 1 else channels  # of the result
        self.size = size
        for name, values in (("mean", mean), ("std", std)):
            known = list(values)
            if len(known) != self.channels:
                known = [sum(known) / len(known)] * self.channels
            self.register_buffer(name, torch.tensor(known).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's input (B, 3 or C, *size)."""
        if images.shape[2:] != self.size:
            images = functional.interpolate(
                images, self.size, mode="bicubic", antialias=True, align_corners=False
            ).clamp(0, 1)
        if images.shape[1] == 1:
            images = images.expand(-1, self.channels, -1, -1)
        return (images - self.mean) / self.std


class FlattenMaps(nn.Module):
    """Layer that flattens feature maps (B, C, H, W) to vectors (B, H W C), pixel by pixel.

    Channels-last feature maps already have this order in memory, so they are not copied.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return the vectors."""
        return maps.permute(0, 2, 3, 1).flatten(1)


class UnflattenMaps(nn.Module):
    """Layer that turns vectors (B, H W C) into channels-last feature maps (B, C, H, W).

    Args:
        shape: C, H, W.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the feature maps."""
        channels, height, width = self.shape
        return vectors.view(-1, height, width, channels).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """Return the shape, for printing the network."""
        return f"{self.shape}"


class Doubling(nn.Module):
    """Layer that enlarges feature maps (B, C_in, H, W) to (B, C_out, *size), about twice H x W.

    Args:
        channels_in: C_in.
        channels_out: C_out.
        size_in: height and width of the input.
        size: height and width of the output.
        how: ``"transpose"``: transposed convolution 3x3, the mirror of a strided convolution;
            ``"transpose-4"``: transposed convolution 4x4, whose kernels overlap evenly (no
            checkerboard); ``"resize"``: nearest-neighbour resize, then convolution 3x3 (Odena et
            al. 2016: no checkerboard); ``"pixel-shuffle"``: convolution 3x3 at the low resolution
            to four times the channels, then sub-pixel rearrangement, initialised as a
            nearest-neighbour resize (Aitken et al. 2017: no checkerboard at the start).
        bias: whether the convolution has a bias.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        size_in: tuple[int, int],
        size: tuple[int, int],
        how: Upsampling,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.size = size
        self.how = how
        if how in ("transpose", "transpose-4"):
            kernel = 4 if how == "transpose-4" else KERNEL
            padding, extra = zip(
                *(_transpose_padding(*sizes, kernel) for sizes in zip(size_in, size, strict=True)),
                strict=True,
            )
            self.convolution: nn.Module = FastTransposed(
                channels_in,
                channels_out,
                kernel,
                STRIDE,
                padding=padding,
                output_padding=extra,
                bias=bias,
            )
        elif how == "resize":
            self.convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=bias)
        else:
            convolution = nn.Conv2d(channels_in, 4 * channels_out, 3, padding=1, bias=bias)
            with torch.no_grad():  # the four sub-pixels start equal
                weight = convolution.weight[::4].repeat_interleave(4, dim=0)
                convolution.weight.copy_(weight)
                if convolution.bias is not None:
                    convolution.bias.copy_(convolution.bias[::4].repeat_interleave(4))
            self.convolution = convolution

    def forward(self, features: Tensor) -> Tensor:
        """Return the enlarged feature maps."""
        if self.how == "resize":
            features = functional.interpolate(features, size=self.size, mode="nearest")
            return self.convolution(features)  # type: ignore[no-any-return]
        features = self.convolution(features)
        if self.how == "pixel-shuffle":
            features = functional.pixel_shuffle(features, 2)
            height, width = self.size
            missing = height - features.shape[2], width - features.shape[3]
            if max(missing) > 0:  # halving rounded an odd size down
                pad = (0, max(0, missing[1]), 0, max(0, missing[0]))
                features = functional.pad(features, pad, mode="replicate")
            features = features[..., :height, :width]
        return features


def _transpose_padding(size_in: int, size: int, kernel: int) -> tuple[int, int]:
    """Return the padding and output padding that enlarge ``size_in`` to ``size``."""
    bare = (size_in - 1) * STRIDE + kernel
    padding = max(0, -(-(bare - size) // 2))
    return padding, size - (bare - 2 * padding)
