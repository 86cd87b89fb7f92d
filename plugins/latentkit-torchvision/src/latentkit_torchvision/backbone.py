"""A network of torchvision whose features after global pooling are the latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn
from torchvision import models

from latentkit.errors import BrokenEnvironmentError, NetworkError, UserError, did_you_mean
from latentkit.nn import BackboneInput
from latentkit.plugin import check_downloads_allowed, needs_own_weights, read_weights
from latentkit_torchvision.options import ClassifierOptions

_CLASSIFIERS = ("fc", "classifier", "head", "heads")
# Without global pooling, or with a second classifier inside.
_NOT_OFFERED = ("alexnet", "googlenet", "inception", "squeezenet", "vgg")
_SAFE_SINCE = (2, 10)  # before, torch.load(weights_only=True) is unsafe: CVE-2026-24747
_LISTED = 3


class TorchvisionEncoder(nn.Module):
    """A network of torchvision without its classifier.

    Args:
        network: from the network's input to features (B, F).
        prepare: from images (B, C, H, W) to the network's input.
        latent_dim: number of features.
        pretrained: whether its weights were trained elsewhere.
    """

    def __init__(
        self, network: nn.Module, prepare: BackboneInput, latent_dim: int, pretrained: bool
    ) -> None:
        super().__init__()
        self.network = network
        self.prepare = prepare
        self.latent_dim = latent_dim
        self.pretrained = pretrained

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to the pooled features (B, latent_dim)."""
        latents: Tensor = self.network(self.prepare(images))
        return latents


def build(options: ClassifierOptions, image_shape: tuple[int, int, int]) -> TorchvisionEncoder:
    """Build the network, with its own weights if it is asked for them.

    Raises:
        UserError: there is no such network, or the weights or the size do not fit it.
        DataError: the file of weights is damaged, or nothing may be downloaded.
        IntegrityError: the file of weights is another than the run was started with.
        NetworkError: the weights cannot be downloaded.
    """
    name = options.backbone
    _check_name(name)
    published = models.get_model_weights(name).DEFAULT
    trained = published.transforms()
    side = options.size or trained.crop_size[0]
    prepare = BackboneInput(image_shape[0], (side, side), trained.mean, trained.std)
    try:
        network = models.get_model(name, weights=None, **_sized(name, side))
    except Exception as error:
        raise UserError(
            f"torchvision does not build {name} for images of {side}x{side} ({_line(error)}): "
            f"change model.size or model.backbone"
        ) from error
    features = _without_classifier(network)
    if prepare.channels != 3:
        _take_channels(network, prepare.channels)
    pretrained = options.weights != "none"
    if pretrained and needs_own_weights():
        hub = options.weights == "hub"
        tensors = (
            _downloaded(name, published)
            if hub
            else read_weights(options.weights, options.weights_sha256)
        )
        _load(network, tensors, name, published.url if hub else options.weights)
    return TorchvisionEncoder(network, prepare, features, pretrained)


def _check_name(name: str) -> None:
    """Refuse a name that torchvision has no classifier of, or none with global pooling."""
    known = models.list_models(module=models)
    if name.startswith(_NOT_OFFERED) and name in known:
        raise UserError(
            f"torchvision's {name} is not offered, because its classifier does not follow a global "
            f"pooling alone: use another, such as resnet18 or mobilenet_v3_small"
        )
    if name not in known:
        raise UserError(
            f"torchvision has no classifier {name!r}{did_you_mean(name, known)}: use a name of "
            f"torchvision.models.list_models(), such as resnet18 or mobilenet_v3_small"
        )


def _sized(name: str, side: int) -> dict[str, Any]:
    """Return the arguments with which a network is built whose layers depend on the images' size.

    Args:
        name: of the network.
        side: height and width in pixels.
    """
    if name.startswith("vit_"):
        return {"image_size": side}
    return {"input_size": (side, side)} if name.startswith("maxvit_") else {}


def _without_classifier(network: Any) -> int:
    """Remove what follows the pooled features; return how many features there are."""
    (name,) = [one for one in _CLASSIFIERS if isinstance(getattr(network, one, None), nn.Module)]
    layers = getattr(network, name)
    listed = list(layers) if isinstance(layers, nn.Sequential) else [layers]
    first = next(place for place, layer in enumerate(listed) if isinstance(layer, nn.Linear))
    # Some classifiers begin with a norm of the pooled features, which stays.
    setattr(network, name, nn.Sequential(*listed[:first]))
    return int(listed[first].in_features)


def _take_channels(network: nn.Module, channels: int) -> None:
    """Replace the first convolution by one of another number of input channels."""
    path, first = next(
        (path, one) for path, one in network.named_modules() if isinstance(one, nn.Conv2d)
    )
    parent, _, name = path.rpartition(".")
    setattr(
        network.get_submodule(parent),
        name,
        nn.Conv2d(
            channels,
            first.out_channels,
            first.kernel_size,  # type: ignore[arg-type]
            first.stride,  # type: ignore[arg-type]
            first.padding,  # type: ignore[arg-type]
            bias=first.bias is not None,
        ),
    )


def _downloaded(name: str, published: Any) -> dict[str, Tensor]:
    """Return torchvision's own weights, whose file's name has a part of its SHA-256."""
    release = tuple(map(int, torch.__version__.split("+")[0].split(".")[:2]))
    if release < _SAFE_SINCE:
        raise BrokenEnvironmentError(
            f"torch {torch.__version__} does not read torchvision's weights safely: run  pip "
            f"install 'torch>=2.10'"
        )
    file = Path(urlparse(published.url).path).name
    if not (Path(torch.hub.get_dir()) / "checkpoints" / file).exists():
        check_downloads_allowed(f"the weights of {name}")
    try:
        tensors: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            published.url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except Exception as error:
        raise NetworkError(
            f"the weights of {name} could not be downloaded from {published.url} "
            f"({_line(error)}): check the network, or name a .safetensors file with -o "
            f"model.weights=FILE"
        ) from error
    return tensors


def _load(network: nn.Module, tensors: dict[str, Tensor], name: str, where: str) -> None:
    """Load weights with or without a classifier; adapt those of the first convolution.

    For other numbers of channels than 3, its colours are repeated and scaled, so that the sum stays
    (as in timm).

    Raises:
        UserError: they are those of another network.
    """
    state = network.state_dict()
    given = {
        key: value
        for key, value in tensors.items()
        if key in state or not key.startswith(_CLASSIFIERS)
    }
    first = next(iter(key for key, value in state.items() if value.ndim == 4))
    weight, channels = given.get(first), state[first].shape[1]
    if weight is not None and weight.ndim == 4 and weight.shape[1] == 3 != channels:
        repeated = weight.repeat(1, -(-channels // 3), 1, 1)[:, :channels]
        given[first] = repeated * (3 / channels)
    lacking = [key for key in state if key not in given and not key.endswith("num_batches_tracked")]
    wrong = [
        key for key, value in given.items() if key not in state or value.shape != state[key].shape
    ]
    if lacking or wrong:
        said = f"it lacks {_listed(lacking)}" if lacking else f"{_listed(wrong)} does not fit"
        raise UserError(
            f"{where} has no weights of {name} ({said}): choose the backbone that it was saved from"
        )
    network.load_state_dict(given, strict=False)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"


def _line(error: Exception) -> str:
    """Return an error's text on one line, cut if it is long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:160]}…"
