"""New images under a trained classifier: the probability of each class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.data.batches import DeviceImages
from latentkit.data.new_images import GivenImages, loss_notes, rows_of_part
from latentkit.errors import PluginError
from latentkit.plugin.events import Listener, Notice, StageProgress
from latentkit.transfer.classifier import predict


@dataclass(frozen=True)
class ClassifiedImages:
    """What a transfer's classifier says of N images.

    Args:
        names: (N,), the files, or the row of each image.
        class_names: (K,), the name of each class.
        probabilities: (N, K), softmax of the logits; each row sums to 1. They are not calibrated.
        unreadable: why a file was left out, by its name.
        notes: a sentence for each thing that was lost when files were read.
    """

    names: tuple[str, ...]
    class_names: tuple[str, ...]
    probabilities: NDArray[np.float32]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def joined(cls, parts: Iterable[ClassifiedImages]) -> ClassifiedImages:
        """Return the results that `classified_parts` gives as one."""
        parts = list(parts)
        last = parts[-1]
        return cls(
            tuple(name for part in parts for name in part.names),
            last.class_names,
            np.concatenate([part.probabilities for part in parts]),
            last.unreadable,
            last.notes,
        )

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The most probable class (N,) of each image, as its position in ``class_names``."""
        labels: NDArray[np.int64] = self.probabilities.argmax(1).astype(np.int64)
        return labels

    @property
    def classes(self) -> list[str]:
        """The name (N,) of each image's most probable class."""
        return [self.class_names[label] for label in self.labels]

    def top(self, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return labels and probabilities (N, k) of the most probable classes, best first.

        Of equal probabilities, the lower label is first. ``k`` may exceed the number of classes,
        which is then taken.
        """
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return order.astype(np.int64), np.take_along_axis(self.probabilities, order, 1)

    def columns(self, k: int) -> dict[str, NDArray[Any]]:
        """Return a table as columns (N,): image, and class_1, probability_1, ... for ``k`` classes.

        Bytes in a name that are no text are written with backslashes.
        """
        labels, probabilities = self.top(k)
        named, known = (
            np.array([name.encode(errors="backslashreplace").decode() for name in names], np.str_)
            for names in (self.names, self.class_names)
        )
        found: dict[str, NDArray[Any]] = {"image": named}
        for place in range(labels.shape[1]):
            found[f"class_{place + 1}"] = known[labels[:, place]]
            found[f"probability_{place + 1}"] = probabilities[:, place]
        return found


def classified_parts(
    classifier: Any, class_names: tuple[str, ...], images: GivenImages, emit: Listener
) -> Iterator[ClassifiedImages]:
    """Classify new images, and yield the results in parts of up to 65,536 images.

    Images are decoded and classified a batch at a time. With more than 256 classes, parts are
    smaller. The last part has the notes and the unreadable files of all.

    Args:
        classifier: a transfer's model, on the device to use.
        class_names: the name of each class.
        images: the new images.
        emit: receives progress.

    Raises:
        DataError: a file cannot be read.
        PluginError: the model fails, or its probabilities are not finite.
    """
    device = next((p.device for p in classifier.parameters()), torch.device("cpu"))
    names: list[str] = []
    found: list[NDArray[np.float32]] = []
    done = 0

    def part() -> ClassifiedImages:
        return ClassifiedImages(
            tuple(names),
            class_names,
            np.concatenate(found),
            dict(images.unreadable),
            loss_notes(images),
        )

    emit(StageProgress("classify", 0, len(images)))
    for own, pixels in images.batches():
        probabilities = predict(classifier, DeviceImages(pixels, device)).probabilities
        if not np.isfinite(probabilities).all():
            bad = own[int(np.argmin(np.isfinite(probabilities).all(1)))]
            raise PluginError(f"the classifier's probabilities of {bad} are not all finite")
        if found and len(names) + len(own) > rows_of_part(len(class_names)):
            yield part()
            names, found = [], []
        names += own
        found.append(probabilities)
        done += len(own)
        emit(StageProgress("classify", done + len(images.unreadable), len(images)))
    for note in loss_notes(images):
        emit(Notice("image-files", note, "info"))
    yield part()
