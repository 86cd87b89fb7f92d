"""New images under a trained model: latents, errors, novelty, and places in the run's maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.data.batches import DeviceImages
from latentkit.data.new_images import GivenImages, loss_notes, rows_of_part
from latentkit.errors import PluginError, UserError, did_you_mean, leaving_out, unexpected_content
from latentkit.evaluation.inference import decode, encode
from latentkit.explore.explored_run import ExploredRun
from latentkit.explore.scale import Floats
from latentkit.maps.alignment import Coordinates
from latentkit.maps.make import made_maps
from latentkit.maps.placing import FittedMap
from latentkit.plugin.events import Listener, Notice, StageProgress
from latentkit.plugin.protocols import HasDecoder, provides
from latentkit.runs import run_files

_COMPARED = 2000  # test latents whose distances show what is usual
Fit = Callable[[str], FittedMap]
Distances = Callable[[Floats], NDArray[np.float64]]


@dataclass(frozen=True)
class EncodedImages:
    """New images as a run's model sees them, for N images.

    Args:
        names: (N,), the files, or the row of each image.
        latents: (N, D).
        errors: (N,), mean squared error per pixel of each reconstruction; pixels are in [0, 1].
            For a denoising run, this is the distance between the image as given and the cleaned
            image. None if the model does not decode.
        error_percentiles: (N,), percent of the run's test images whose error is at most as
            large. None if the run has no evaluation yet.
        novelty: (N,), distance to the nearest latent of a training image, in latent units.
        novelty_percentiles: (N,), percent of the run's test images (of 2,000, evenly spread, if
            there are more) whose distance is at most as large: 100 means that the image is
            further from all training images than any of them.
        coordinates: (N, 2 or 3) in each of the run's maps that can place new points, by its name.
        left_out: why a map has no coordinates of the new images, by its name.
        unreadable: why a file was left out, by its name.
        notes: a sentence for each thing that was lost when files were read.
    """

    names: tuple[str, ...]
    latents: Floats
    errors: NDArray[np.float64] | None
    error_percentiles: NDArray[np.float64] | None
    novelty: NDArray[np.float64]
    novelty_percentiles: NDArray[np.float64]
    coordinates: Mapping[str, Coordinates] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def joined(cls, parts: Iterable[EncodedImages]) -> EncodedImages:
        """Return the results that `encoded_parts` gives as one."""
        parts = list(parts)

        def together(values: Iterable[NDArray[Any] | None]) -> Any:
            there = [value for value in values if value is not None]
            return np.concatenate(there) if there else None

        last = parts[-1]
        return cls(
            tuple(name for part in parts for name in part.names),
            together(part.latents for part in parts),
            together(part.errors for part in parts),
            together(part.error_percentiles for part in parts),
            together(part.novelty for part in parts),
            together(part.novelty_percentiles for part in parts),
            {name: together(part.coordinates[name] for part in parts) for name in last.coordinates},
            last.left_out,
            last.unreadable,
            last.notes,
        )

    def __len__(self) -> int:
        return len(self.latents)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return a table as columns (N,): image, z0, z1, ..., error, ..., and ``pca_x``, ...

        Bytes in a file's name that are no text are written with backslashes.
        """
        names = [name.encode(errors="backslashreplace").decode() for name in self.names]
        found: dict[str, NDArray[Any]] = {"image": np.array(names, dtype=np.str_)}
        found |= {f"z{place}": column for place, column in enumerate(self.latents.T)}
        measured = {
            "error": self.errors,
            "error_percentile": self.error_percentiles,
            "novelty": self.novelty,
            "novelty_percentile": self.novelty_percentiles,
        }
        found |= {name: values for name, values in measured.items() if values is not None}
        for name, placed in self.coordinates.items():
            found |= {f"{name}_{a}": c for a, c in zip("xyz", placed.T, strict=False)}
        return found


def chosen_maps(explored: ExploredRun, names: Iterable[str] | None) -> list[str]:
    """Return the names of maps to place images in; None stands for all maps of the run.

    Raises:
        UserError: the run has no such map.
    """
    there = [part.label for part in made_maps(explored.context)]
    if names is None:
        return there
    chosen = list(dict.fromkeys(names))
    for name in chosen:
        if name not in there:
            listed = ", ".join(there) or "none"
            raise UserError(
                f"run {explored.id} has no map {name!r}{did_you_mean(name, there)}; it has {listed}"
            )
    return chosen


def encoded_parts(
    explored: ExploredRun,
    model: Any,
    images: GivenImages,
    maps: Iterable[str],
    fit: Fit,
    emit: Listener,
) -> Iterator[EncodedImages]:
    """Encode new images, and yield the results in parts, so that memory does not grow with them.

    Images are decoded and encoded a batch at a time. A part has up to 65,536 images, and fewer if
    the latents have more than 256 dimensions. All parts have the same maps. The last part has the
    notes and the unreadable files of all.

    Args:
        explored: the run.
        model: its trained model, on the device to use.
        images: the new images.
        maps: names of maps, from `chosen_maps`.
        fit: returns a map that can place new points, or raises the reason why it cannot.
        emit: receives progress.

    Raises:
        DataError: a file cannot be read.
        PluginError: the model fails, or its latents are not finite.
    """
    decodes = provides(model, HasDecoder)
    # Before images are read, because latents may be missing.
    distances, usual_distances = _distances_of(explored)
    usual_errors = _errors_of_test_images(explored) if decodes else None
    placed = _Maps(maps, fit)

    def part(batches: list[_Batch]) -> EncodedImages:
        codes = np.concatenate([batch.latents for batch in batches])
        novelty = distances(codes)
        error = np.concatenate([batch.errors for batch in batches]) if decodes else None
        return EncodedImages(
            tuple(name for batch in batches for name in batch.names),
            codes,
            error,
            None if error is None or usual_errors is None else _percentiles(usual_errors, error),
            novelty,
            _percentiles(usual_distances, novelty),
            placed.coordinates(codes),
            dict(placed.left_out),
            dict(images.unreadable),
            loss_notes(images),
        )

    waiting: list[_Batch] = []
    for names, batch, codes in _encoded(model, images, emit, "encode"):
        count = sum(len(one.names) for one in waiting) + len(names)
        if waiting and count > rows_of_part(codes.shape[1]):
            yield part(waiting)
            waiting = []
        errors = _errors(model, batch, codes) if decodes else np.empty(0)
        waiting.append(_Batch(names, codes, errors))
    yield part(waiting)


class _Batch(NamedTuple):
    """Names (B), latents (B, D) and errors (B) of a batch, or no errors."""

    names: list[str]
    latents: Floats
    errors: NDArray[np.float64]


class _Maps:
    """The maps in which a part after the other is placed.

    Args:
        names: of the maps.
        fit: as in `encoded_parts`; it is called with the first part, when images could be read.

    Attributes:
        left_out: why a map has no coordinates, or none from some image on, by its name.
    """

    def __init__(self, names: Iterable[str], fit: Fit) -> None:
        self.left_out: dict[str, str] = {}
        self._names = list(names)
        self._fit = fit
        self._fitted: dict[str, FittedMap] | None = None
        self._done = 0

    def coordinates(self, codes: Floats) -> dict[str, Coordinates]:
        """Return the coordinates of the next part.

        A map that fails at the first part is left out. One that fails later has been returned
        before, so the coordinates of the rest are NaN.
        """
        first = self._fitted is None
        if self._fitted is None:
            self._fitted = {}
            for name in self._names:
                with leaving_out(partial(self.left_out.__setitem__, name)):
                    self._fitted[name] = self._fit(name)
        found: dict[str, Coordinates] = {}
        for name, fitted in list(self._fitted.items()):
            if name not in self.left_out:
                with leaving_out(partial(self._fail, name)):
                    found[name] = fitted.place(codes)
            if name not in found and not first:
                found[name] = np.full((len(codes), fitted.dimensions), np.nan)
            elif name not in found:
                del self._fitted[name]
        self._done += len(codes)
        return found

    def _fail(self, name: str, why: str) -> None:
        since = f"from image {self._done + 1:,} on: " if self._done else ""
        self.left_out[name] = f"{since}{why}"


def reconstruct_images(
    model: Any, images: GivenImages, emit: Listener
) -> Iterator[tuple[list[str], Floats]]:
    """Yield names (B) and reconstructions (B, C, H, W) in [0, 1] of new images, a batch at a time.

    Raises:
        DataError: a file cannot be read.
        PluginError: the model fails.
    """
    for names, batch, codes in _encoded(model, images, emit, "reconstruct"):
        yield names, decode(model, codes, batch.device)


def _encoded(
    model: Any, images: GivenImages, emit: Listener, stage: str
) -> Iterator[tuple[list[str], DeviceImages, Floats]]:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    done = 0
    emit(StageProgress(stage, 0, len(images)))
    for names, pixels in images.batches():
        batch = DeviceImages(pixels, device)
        codes = encode(model, batch)
        if not np.isfinite(codes).all():
            bad = names[int(np.argmin(np.isfinite(codes).all(1)))]
            raise PluginError(f"the model's latents of {bad} are not all finite")
        yield names, batch, codes
        done += len(names)
        emit(StageProgress(stage, done + len(images.unreadable), len(images)))
    for note in loss_notes(images):
        emit(Notice("image-files", note, "info"))


def _errors(model: Any, batch: DeviceImages, codes: Floats) -> NDArray[np.float64]:
    originals = next(batch.in_order(len(batch))).cpu().numpy()
    rebuilt = decode(model, codes, batch.device)
    squares = np.square(rebuilt - originals).reshape(len(codes), -1)
    return np.asarray(squares.mean(1, dtype=np.float64))


def _errors_of_test_images(explored: ExploredRun) -> NDArray[np.float64] | None:
    folder = explored.context.folder
    if run_files.FIGURES_OF_IMAGES not in folder.manifest.artefacts:
        return None
    known = folder.arrays(run_files.FIGURES_OF_IMAGES).get("mse")
    if known is None:
        return None
    with unexpected_content(folder.path / run_files.FIGURES_OF_IMAGES):
        return known.reshape(-1).astype(np.float64)


def _distances_of(explored: ExploredRun) -> tuple[Distances, NDArray[np.float64]]:
    """Return what gives distances to the nearest training latent, and those of test latents."""
    from latentkit.neighbors import NeighborIndex  # it imports numba, which few commands need

    with unexpected_content(explored.context.folder.path / "latents"):
        index = NeighborIndex(explored.latents("train"))
        test = explored.latents("test")
    rows = np.linspace(0, len(test) - 1, min(_COMPARED, len(test))).astype(np.int64)

    def distances(codes: Floats) -> NDArray[np.float64]:
        return index.query(codes, 1).distances[:, 0].astype(np.float64)

    return distances, distances(test[rows])


def _percentiles(
    known: NDArray[np.floating[Any]], values: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    places = np.searchsorted(np.sort(known), values, side="right")
    return np.asarray(100.0 * places / len(known), dtype=np.float64)
