"""A classifier: a head on the features of an encoder that is trained with it or frozen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from latentkit.classifiers.features import features_of, reduce_to_encoder
from latentkit.classifiers.layers import Layer, encoder_layers
from latentkit.errors import UserError
from latentkit.plugin.protocols import is_capturable
from latentkit.training.optimisation import ParameterGroup


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
        images = torch.zeros(2, *image_shape, device=next(network.parameters()).device)
        learns = reduce_to_encoder(network, images)
        if trains_encoder and not learns:
            raise UserError(
                f"the features of {type(network).__name__} have no gradient: only mode 'probe' "
                f"works with this model"
            )
        with torch.no_grad():
            self.n_features = features_of(network, images).shape[1]
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
            return features_of(self.network, images)

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
