"""Predictions of a classifier: in eval mode, in float32 and without gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.classifiers.classifier import Classifier
from latentkit.data.batches import DeviceImages

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
