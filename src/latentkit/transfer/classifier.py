"""A classifier: a head on the features of an encoder that is trained with it or frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from latentkit.data.batches import DeviceImages
from latentkit.errors import PluginError, UserError
from latentkit.plugin.protocols import HasFeatures, is_capturable, provides
from latentkit.registry.options import fault_of
from latentkit.training.state import ParameterGroup


@dataclass(frozen=True)
class Layer:
    """A weight matrix or convolution kernels, and the normalisation after them.

    Args:
        modules: its modules, in the order in which the network registered them.
        parameters: the trainable parameters of these modules.
    """

    modules: list[nn.Module]
    parameters: list[nn.Parameter]


def encoder_layers(network: nn.Module) -> list[Layer]:
    """Return the trainable layers of a network (``requires_grad``), in order.

    Each module with a weight of two or more dimensions starts a layer. Modules after it with
    parameters or buffers, such as a normalisation, belong to the same layer.
    """
    layers: list[Layer] = []
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if not own and not list(module.buffers(recurse=False)):
            continue
        if not layers or any(p.ndim > 1 for p in own):
            layers.append(Layer([], []))
        layers[-1].modules.append(module)
        layers[-1].parameters.extend(p for p in own if p.requires_grad)
    return [layer for layer in layers if layer.parameters]


def feature_source(network: object) -> str:
    """Return the name of the method that gives a model's features: ``features`` or ``encode``."""
    return "features" if provides(network, HasFeatures) else "encode"


def features_of(network: Any, images: Tensor) -> Tensor:
    """Return the features (B, F) of images (B, C, H, W).

    Raises:
        PluginError: the model fails.
    """
    source = feature_source(network)
    with fault_of(f"the model's {source} failed on images {tuple(images.shape)}"):
        features: Tensor = getattr(network, source)(images)
        return features.flatten(1).float()


def reduce_to_encoder(network: nn.Module, images: Tensor) -> bool:
    """Remove the parts of a model that its features do not need, such as its decoder.

    Only whole children of the model are removed. Remaining parameters without influence on the
    features are frozen (``requires_grad``).

    Args:
        network: the model, which is changed in place.
        images: any images (B, C, H, W) that the model accepts.

    Returns:
        Whether the features have a gradient, so that the encoder can be trained.
    """
    network.eval()
    used = _used_parameters(network, images)
    if not any(parameter.requires_grad for parameter in used):
        network.requires_grad_(False)
        return False
    idle = {
        name: child
        for name, child in network.named_children()
        if any(True for _ in child.parameters()) and not used & set(child.parameters())
    }
    for name, child in idle.items():
        setattr(network, name, None)
        try:
            with torch.no_grad():
                getattr(network, feature_source(network))(images)
        except Exception:  # the model needs this child after all
            setattr(network, name, child)
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.requires_grad and parameter in used)
    return True


def _used_parameters(network: nn.Module, images: Tensor) -> set[nn.Parameter]:
    """Return the parameters that the features depend on, frozen ones among them."""
    known = [p for p in network.parameters() if p.is_floating_point()]
    frozen = [p for p in known if not p.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        with torch.enable_grad():  # even if the caller disabled gradients
            features = features_of(network, images)
            if not features.requires_grad:
                return set()
            gradients = torch.autograd.grad(features.sum(), known, allow_unused=True)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
    return {p for p, gradient in zip(known, gradients, strict=True) if gradient is not None}


class Classifier(nn.Module):
    """A network from images (B, C, H, W) to logits (B, K).

    Args:
        network: a model. Parts that its features do not need are removed from it.
        image_shape: C, H, W of the images.
        classes: number of classes, K.
        hidden: widths of the head's hidden layers; with none, the head is linear.
        dropout: probability with which the inputs of the head's layers are dropped in training.
        trains_encoder: whether to train the encoder, too.
        encoder_rate: the encoder's learning rate as a multiple of the head's.
        unfreeze_every: number of epochs after which one more layer of the encoder is trained,
            from the last to the first (J. Howard, S. Ruder 2018); 0 trains all from the start.

    Raises:
        UserError: the encoder should be trained, but its features have no gradient.
        PluginError: the features are not finite.
    """

    def __init__(
        self,
        network: Any,
        image_shape: tuple[int, int, int],
        classes: int,
        *,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        trains_encoder: bool = True,
        encoder_rate: float = 1.0,
        unfreeze_every: int = 0,
    ) -> None:
        super().__init__()
        first = next(network.parameters(), torch.empty(0))
        images = torch.zeros(2, *image_shape, device=first.device)
        learns = reduce_to_encoder(network, images)
        if trains_encoder and not learns:
            raise UserError(
                f"the features of {type(network).__name__} have no gradient: only mode 'probe' "
                f"works with this model"
            )
        with torch.no_grad():
            features = features_of(network, images)
        self.n_features = features.shape[1]
        if not features.isfinite().all():
            raise PluginError(
                f"the {feature_source(network)} of {type(network).__name__} are not all finite for "
                f"black images: choose other weights or options for the model"
            )
        self.network = network
        self.capturable = is_capturable(network)
        self.head = make_head(self.n_features, hidden, classes, dropout)
        self.encoder_rate = encoder_rate
        self.unfreeze_every = unfreeze_every
        if not trains_encoder:
            network.requires_grad_(False)
        self.trains_encoder = trains_encoder
        self._layers: list[Layer] = encoder_layers(network)
        self._held: list[Layer] = []

    def features(self, images: Tensor) -> Tensor:
        """Return the features (B, F), float32."""
        with torch.set_grad_enabled(self.trains_encoder and torch.is_grad_enabled()):
            features = features_of(self.network, images)
        if features.shape != (len(images), self.n_features):
            raise PluginError(
                f"the model's {feature_source(self.network)} gives {tuple(features.shape)} for "
                f"{len(images)} images, after {self.n_features} features an image before: make "
                f"their number the same for all batches"
            )
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K), float32."""
        logits: Tensor = self.head(self.features(images))
        return logits.float()

    def loss(self, inputs: Tensor, targets: Tensor, *, step: int) -> dict[str, Tensor]:
        """Return the cross-entropy in nats as ``loss``, and the ``accuracy``; targets are (B,)."""
        logits = self(inputs)
        with torch.no_grad():
            accuracy = (logits.argmax(1) == targets).float().mean()
        return {"loss": functional.cross_entropy(logits, targets), "accuracy": accuracy}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return the parameters of the head, and of the encoder with its own learning rate."""
        encoder = [p for layer in self._layers for p in layer.parameters]
        groups = [ParameterGroup(list(self.head.parameters()))]
        return [*groups, ParameterGroup(encoder, self.encoder_rate)] if encoder else groups

    def begin_epoch(self, epoch: int) -> None:
        """Freeze the encoder's layers that are not trained yet in this epoch."""
        turns = (epoch - 1) // self.unfreeze_every if self.unfreeze_every else len(self._layers)
        held = max(0, len(self._layers) - turns)
        self._held = self._layers[:held]
        for number, layer in enumerate(self._layers):
            for parameter in layer.parameters:
                parameter.requires_grad_(number >= held)

    def train(self, mode: bool = True) -> Classifier:
        """Set the mode. Frozen layers stay in eval mode, which keeps their batch statistics."""
        super().train(mode)
        if not self.trains_encoder:
            self.network.eval()
        for layer in self._held:
            for module in layer.modules:
                module.training = False
        return self


def make_head(features: int, hidden: Sequence[int], classes: int, dropout: float) -> nn.Sequential:
    """Return a head: batch normalisation of the features, hidden layers and the output layer."""
    widths = [features, *hidden]
    layers: list[nn.Module] = [nn.BatchNorm1d(features), nn.Dropout(dropout)]
    for before, after in pairwise(widths):
        layers += [
            nn.Linear(before, after, bias=False),
            nn.BatchNorm1d(after),
            nn.ReLU(),
            nn.Dropout(dropout),
        ]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Predictions:
    """Features and class probabilities of N images.

    Args:
        features: (N, F).
        probabilities: (N, K); each row sums to 1.
    """

    features: Floats
    probabilities: Floats


@torch.no_grad()
def predict(classifier: Classifier, images: DeviceImages) -> Predictions:
    """Return features and probabilities of images, in order."""
    classifier.eval()
    features, probabilities = [], []
    for batch in images.in_order():
        found = classifier.features(batch)
        features.append(found.cpu().numpy())
        probabilities.append(classifier.head(found).float().softmax(1).cpu().numpy())
    return Predictions(np.concatenate(features), np.concatenate(probabilities))
