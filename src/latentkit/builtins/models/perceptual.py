"""LPIPS: a distance of images between the features of a network that was trained elsewhere.

R. Zhang et al., CVPR 2018. Its weights are the user's file: the state dict of ``LPIPS(net="alex")``
or ``LPIPS(net="vgg")`` of the package ``lpips``, saved as safetensors.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from latentkit.errors import IntegrityError, UserError
from latentkit.plugin import read_weights

_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_TINY = 1e-10  # keeps the gradient of a length finite
_HOW = (
    "save the state dict of lpips.LPIPS(net='alex') or (net='vgg') with safetensors.torch.save_file"
)


class _Layer(NamedTuple):
    """A convolution.

    Args:
        name: of its weights in the file.
        shape: of its kernels, (out, in, side, side).
        stride: between places, in pixels.
        padding: pixels on each side.
        pooled: side of the maximum that is taken before it, with stride 2; 0 for none.
        compared: whether its features are compared.
    """

    name: str
    shape: tuple[int, int, int, int]
    stride: int
    padding: int
    pooled: int
    compared: bool


def _vgg16() -> list[_Layer]:
    """Return the convolutions of VGG16 (K. Simonyan, A. Zisserman 2015) up to its last block."""
    layers, before, place = [], 3, 0
    for block, (width, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        place += block > 1  # the maximum before the block
        for number in range(depth):
            pooled = 2 if block > 1 and number == 0 else 0
            name, last = f"net.slice{block}.{place}", number == depth - 1
            layers.append(_Layer(name, (width, before, 3, 3), 1, 1, pooled, last))
            before, place = width, place + 2
    return layers


_ALEXNET = [
    _Layer("net.slice1.0", (64, 3, 11, 11), 4, 2, 0, True),
    _Layer("net.slice2.3", (192, 64, 5, 5), 1, 2, 3, True),
    _Layer("net.slice3.6", (384, 192, 3, 3), 1, 1, 3, True),
    _Layer("net.slice4.8", (256, 384, 3, 3), 1, 1, 0, True),
    _Layer("net.slice5.10", (256, 256, 3, 3), 1, 1, 0, True),
]
_NETWORKS = {"AlexNet": (_ALEXNET, 31), "VGG16": (_vgg16(), 16)}  # with the smallest side in pixels


class PerceptualDistance:
    """LPIPS with weights from a file, which is read at the first use.

    It is no module, so that its weights are neither trained nor saved with a model.

    Args:
        path: the .safetensors file.
        sha256: SHA-256 that it must have.
    """

    def __init__(self, path: str, sha256: str) -> None:
        self.path = path
        self.sha256 = sha256
        self._weights: dict[str, Tensor] = {}
        self._layers: list[_Layer] = []
        self._smallest = 0

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Refuse weights that cannot be used, and images that the network cannot take.

        Args:
            image_shape: C, H, W.

        Raises:
            UserError: the file holds no LPIPS weights, or the images are neither grey nor in
                colour, or too small.
            DataError: the file is damaged, or a weight is NaN or infinite.
            IntegrityError: the file is not the expected one.
        """
        self._read()
        if image_shape[0] not in (1, 3) or min(image_shape[1:]) < self._smallest:
            raise UserError(
                f"loss=lpips with {self.path} takes grey or colour images of at least "
                f"{self._smallest} pixels a side, not {image_shape}: choose another loss"
            )

    def __call__(self, images: Tensor, others: Tensor) -> Tensor:
        """Return the distances (B,) of images (B, C, H, W) in [0, 1] and others, in float32.

        Raises:
            LatentkitError: as `check`, because a model that starts from saved weights is built
                without the file.
        """
        self.check((images.shape[1], images.shape[2], images.shape[3]))
        device = images.device
        if next(iter(self._weights.values())).device != device:
            self._weights = {name: value.to(device) for name, value in self._weights.items()}
        with torch.autocast(device.type, enabled=False):
            both = torch.cat([images.float(), others.float()])
            total = torch.zeros(len(images), device=device)
            for place, features in enumerate(self._features(both)):
                one, other = _normalised(features).chunk(2)
                weight = self._weights[f"lin{place}.model.1.weight"]
                total = total + functional.conv2d((one - other).square(), weight).mean((1, 2, 3))
            return total

    def _features(self, images: Tensor) -> list[Tensor]:
        values = 2 * images.expand(-1, 3, -1, -1) - 1
        values = (values - self._weights["shift"]) / self._weights["scale"]
        found = []
        for layer in self._layers:
            if layer.pooled:
                values = functional.max_pool2d(values, layer.pooled, 2)
            weight, bias = (self._weights[f"{layer.name}.{one}"] for one in ("weight", "bias"))
            values = functional.conv2d(values, weight, bias, layer.stride, layer.padding).relu()
            if layer.compared:
                found.append(values)
        return found

    def _read(self) -> None:
        if self._weights:
            return
        if not self.sha256:  # such as a stranger's run that does not say which file it means
            raise IntegrityError(
                f"{self.path} is not read, because its SHA-256 is not recorded: start a new run, "
                f"if you trust the file"
            )
        tensors = read_weights(self.path, self.sha256)
        for layers, smallest in _NETWORKS.values():
            shapes = _shapes(layers)
            if all(name in tensors and tensors[name].shape == s for name, s in shapes.items()):
                self._layers, self._smallest = layers, smallest
                found = {name: tensors[name].float() for name in shapes}
                for name, values in (("shift", _SHIFT), ("scale", _SCALE)):
                    found[name] = torch.tensor(values).view(1, 3, 1, 1)
                self._weights = found
                return
        raise UserError(f"{self.path} holds no LPIPS weights of {' or '.join(_NETWORKS)}: {_HOW}")


def _shapes(layers: list[_Layer]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor that a network needs, by its name in the file."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        shapes |= {f"{layer.name}.weight": layer.shape, f"{layer.name}.bias": layer.shape[:1]}
    compared = [layer for layer in layers if layer.compared]
    for place, layer in enumerate(compared):
        shapes[f"lin{place}.model.1.weight"] = (1, layer.shape[0], 1, 1)
    return shapes


def _normalised(features: Tensor) -> Tensor:
    """Return features (B, C, H, W) divided by their length at each place."""
    return features / (features.square().sum(1, keepdim=True) + _TINY).sqrt()
