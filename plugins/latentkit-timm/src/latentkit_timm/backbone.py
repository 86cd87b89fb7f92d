"""A network of timm whose features after global pooling are the latents."""

from __future__ import annotations

from typing import Any

import timm
import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from torch import Tensor, nn

from latentkit.errors import NetworkError, UserError, did_you_mean
from latentkit.nn import BackboneInput
from latentkit.plugin import check_downloads_allowed, needs_own_weights, read_weights
from latentkit_timm.options import TimmOptions

_FILE = "model.safetensors"  # of weights on the hub; others are pickles
_LISTED = 3


class TimmEncoder(nn.Module):
    """A network of timm without its classifier.

    Args:
        network: from the network's input to features (B, F).
        prepare: from images (B, C, H, W) to the network's input.
        pretrained: whether its weights were trained elsewhere.
    """

    def __init__(self, network: nn.Module, prepare: BackboneInput, pretrained: bool) -> None:
        super().__init__()
        self.network = network
        self.prepare = prepare
        self.pretrained = pretrained
        self.latent_dim = int(getattr(network, "head_hidden_size", None) or network.num_features)

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to the pooled features (B, latent_dim)."""
        latents: Tensor = self.network(self.prepare(images))
        return latents


def build(options: TimmOptions, image_shape: tuple[int, int, int]) -> TimmEncoder:
    """Build the network, with its own weights if it is asked for them.

    Raises:
        UserError: there is no such network, or the weights or the size do not fit it.
        DataError: the file of weights is damaged, or nothing may be downloaded.
        IntegrityError: the file of weights is another than the run was started with.
        NetworkError: the weights cannot be downloaded.
    """
    name = options.backbone
    known = _published(name)
    height, width = known["input_size"][1:]
    size = (height, width) if options.size is None else (options.size, options.size)
    prepare = BackboneInput(image_shape[0], size, known["mean"], known["std"])
    arguments: dict[str, Any] = {"num_classes": 0, "in_chans": prepare.channels}
    if known.get("fixed_input_size") and options.size is not None:
        arguments["img_size"] = options.size
    try:
        network = timm.create_model(name, pretrained=False, **arguments)
    except Exception as error:
        raise UserError(
            f"timm does not build {name} for images of {size[0]}x{size[1]} and "
            f"{prepare.channels} channels ({_line(error)}): change model.size or model.backbone"
        ) from error
    _check_squares(name, network, size)
    pretrained = options.weights != "none"
    if pretrained and needs_own_weights():
        tensors = _weights(options, known)
        with torch.random.fork_rng(devices=[]):
            network = _with_weights(tensors, options, arguments)
    return TimmEncoder(network, prepare, pretrained)


def _check_squares(name: str, network: nn.Module, size: tuple[int, int]) -> None:
    """Refuse a size of which a transformer would leave out the last pixels.

    Raises:
        UserError: the size is no multiple of the transformer's squares.
    """
    squares = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if isinstance(squares, tuple) and any(a % b for a, b in zip(size, squares, strict=True)):
        raise UserError(
            f"{name} divides images into squares of {squares[0]} pixels: set model.size to a "
            f"multiple of {squares[0]}"
        )


def _published(name: str) -> dict[str, Any]:
    """Return what timm publishes about a network: its input and where its weights are.

    Raises:
        UserError: timm has no network of this name.
    """
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = did_you_mean(architecture, timm.list_models())
        raise UserError(f"timm has no network {name!r}{near}: use a name of timm.list_models()")
    try:
        return dict(timm.get_pretrained_cfg(name).to_dict())
    except Exception as error:
        tags = timm.list_models(f"{architecture}.*", pretrained=True)
        near = did_you_mean(name, tags)
        raise UserError(
            f"timm publishes no weights {tag!r} for {architecture}{near}: use one of "
            f"{', '.join(tags) or architecture}"
        ) from error


def _weights(options: TimmOptions, known: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of the user's file, or of the file on the hub."""
    if options.weights != "hub":
        return read_weights(options.weights, options.weights_sha256)
    name, repository = options.backbone, known.get("hf_hub_id")
    if not repository:
        raise UserError(
            f"timm publishes no weights for {name} on the hub: name a .safetensors file with "
            f"-o model.weights=FILE, or use model.weights=none"
        )
    found = try_to_load_from_cache(repository, _FILE)
    if not isinstance(found, str):
        check_downloads_allowed(f"the weights of {name}")
        try:
            found = hf_hub_download(repository, _FILE)
        except Exception as error:
            raise NetworkError(
                f"the weights of {name} could not be downloaded from {repository} "
                f"({_line(error)}): check the network, or name a .safetensors file with -o "
                f"model.weights=FILE"
            ) from error
    return read_weights(found, None)


def _with_weights(
    tensors: dict[str, Tensor], options: TimmOptions, arguments: dict[str, Any]
) -> nn.Module:
    """Return the network with the given tensors.

    timm renames the tensors of older files, adapts the first convolution to the number of channels,
    and leaves out the classifier. It does not complain about missing ones.

    Raises:
        UserError: they are those of another network, or some are missing.
    """
    where = options.weights if options.weights != "hub" else "the file on the hub"
    lacks = ""
    try:
        network = _loaded(tensors, options, arguments)
    except Exception as error:
        lacks = _line(error)
    else:
        missing = _missing(network, tensors, options, arguments)
        if missing:
            more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
            lacks = f"it lacks {', '.join(missing[:_LISTED])}{more}"
    if lacks:
        raise UserError(
            f"{where} has no weights of {options.backbone} for {arguments['in_chans']} channels "
            f"({lacks}): choose the backbone that it was saved from"
        )
    return network


def _loaded(
    tensors: dict[str, Tensor], options: TimmOptions, arguments: dict[str, Any]
) -> nn.Module:
    network: nn.Module = timm.create_model(
        options.backbone,
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": dict(tensors), "custom_load": False},
        **arguments,
    )
    return network


def _missing(
    network: nn.Module, tensors: dict[str, Tensor], options: TimmOptions, arguments: dict[str, Any]
) -> list[str]:
    """Return the weights and statistics of a network that did not come from the tensors.

    If names differ, because timm renamed them, tensors of NaN show what it does not load.
    """
    needed = [name for name, value in network.state_dict().items() if value.is_floating_point()]
    if tensors.keys() >= set(needed):
        return []
    marked = {
        name: torch.full_like(value, torch.nan) if value.is_floating_point() else value
        for name, value in tensors.items()
    }
    found = _loaded(marked, options, arguments).state_dict()
    return [name for name in needed if not bool(found[name].isnan().any())]


def _line(error: Exception) -> str:
    """Return an error's text on one line, cut if it is long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:160]}…"
