"""What a user should know of a data set before training: counts, sizes, faults and duplicates.

Image files are read once, in several processes, each as a small copy besides what is stated of it;
JPEGs are decoded at a fraction of their size, as for training. Arrays are read once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentkit.data.duplicates import Looks, Pairs, equal_groups, grey_copies, near_pairs
from latentkit.errors import DataError
from latentkit.plugin.decoding import in_processes
from latentkit.plugin.image_cache import report_progress
from latentkit.plugin.image_files import ImageFile, ImageReading, SurveyedImage
from latentkit.plugin.image_sets import FilePlan, in_range_of, reading_notes
from latentkit.plugin.images import ImageData, Pixels

BLACK, WHITE = 20, 235
"""Of 255: all but one in a hundred pixels of a near-black image are at most this dark."""
ODD_ASPECT = 3.0
"""Longer side over shorter side from which on an image is named."""
PARTS = ("train", "validation", "test")
_SHOWN_SIDE = 128
_BLOCK = 64
_ENDINGS = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "PNG": {".png", ".apng"},
    "TIFF": {".tif", ".tiff", ".btf", ".tf8"},
    "BMP": {".bmp", ".dib"},
    "GIF": {".gif"},
    "WEBP": {".webp"},
    "PPM": {".ppm", ".pgm", ".pbm", ".pnm", ".pfm"},
    "AVIF": {".avif"},
    "HEIF": {".heic", ".heif", ".hif"},
}


class Equal(NamedTuple):
    """Images with equal pixels; ``same_file`` if their files are equal byte by byte, too."""

    rows: tuple[int, ...]
    same_file: bool


@dataclass(frozen=True)
class DataCheck:
    """What was found of the N images of a data set that can be read.

    Args:
        source: what was checked: a path, or the name of a data set.
        dataset: the name of the data set.
        names: what each image is called: a file's place in its folder, or split and row.
        parts: the split of each image: ``train``, ``validation`` or ``test``, (N,).
        codes: the class of each image, int64 (N,); None if there are no classes.
        class_names: the name of each class.
        sizes: height and width of each image, upright, in pixels, (N, 2).
        forms: how many images have each format, mode and depth.
        limits: the smallest and the largest number of each image, (N, 2), in the file's numbers.
        orientations: how many files have each orientation tag other than 1.
        unreadable: the reason for each file that cannot be read, by its place.
        left_out: how many files are of no kind that can be read, by ending.
        wrong_endings: the format of each file whose ending is that of another one, by place.
        constant: rows of images whose pixels are all the same.
        near_black: rows of images that are nearly black, but not constant.
        near_white: rows of images that are nearly white, but not constant.
        lost: the share of each image that the data set's crop cuts away, (N,); None if it does
            not crop.
        equal: groups of images with equal pixels.
        near: pairs of near duplicates; see `latentkit.data.duplicates`.
        notes: what else should be known, such as how numbers become shades.
        picture: returns an image by its row, (C, H, W), uint8 or uint16, to look at.
    """

    source: str
    dataset: str
    names: Sequence[str]
    parts: NDArray[np.str_]
    codes: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    sizes: NDArray[np.int64]
    forms: Mapping[tuple[str, str, str], int]
    limits: NDArray[np.float64]
    orientations: Mapping[int, int]
    unreadable: Mapping[str, str]
    left_out: Mapping[str, int]
    wrong_endings: Mapping[str, str]
    constant: Sequence[int]
    near_black: Sequence[int]
    near_white: Sequence[int]
    lost: NDArray[np.float64] | None
    equal: Sequence[Equal]
    near: Pairs = field(repr=False)
    notes: tuple[str, ...] = ()
    picture: Callable[[int], NDArray[Any]] = field(repr=False, default=lambda row: np.empty(0))

    def __len__(self) -> int:
        return len(self.names)

    def class_of(self, row: int) -> str:
        """Return the name of an image's class; empty if there are no classes."""
        return "" if self.codes is None else self.class_names[self.codes[row]]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Rows of near duplicates, the most alike first."""
        return list(zip(self.near.first.tolist(), self.near.second.tolist(), strict=True))

    @property
    def groups(self) -> list[tuple[int, ...]]:
        """Rows of each group of equal images, and of each pair of near duplicates."""
        return [*(one.rows for one in self.equal), *self.pairs]

    @property
    def odd_aspects(self) -> list[int]:
        """Rows of images whose longer side is `ODD_ASPECT` times the shorter one or more."""
        return np.flatnonzero(self.sizes.max(1) >= ODD_ASPECT * self.sizes.min(1)).tolist()

    @property
    def in_training(self) -> list[int]:
        """Rows of test images that are also training images, as equal or near duplicates."""
        found = set[int]()
        for rows in self.groups:
            if any(self.parts[row] != "test" for row in rows):
                found.update(row for row in rows if self.parts[row] == "test")
        return sorted(found)

    @property
    def conflicts(self) -> list[tuple[int, ...]]:
        """Groups of duplicates that have more than one class."""
        if self.codes is None:
            return []
        return [rows for rows in self.groups if len({self.codes[row] for row in rows}) > 1]

    @property
    def empty_classes(self) -> list[str]:
        """Names of classes without an image that can be read."""
        used = set() if self.codes is None else set(self.codes.tolist())
        return [name for code, name in enumerate(self.class_names) if code not in used]

    def counts(self, part: str = "") -> dict[str, int]:
        """Return how many images each class has in a split, or in all of them."""
        if self.codes is None:
            return {}
        codes = self.codes if not part else self.codes[self.parts == part]
        counts = np.bincount(codes, minlength=len(self.class_names)).tolist()
        return dict(zip(self.class_names, counts, strict=True))


def check_images(data: Mapping[str, ImageData], source: str, dataset: str) -> DataCheck:
    """Check a data set of arrays.

    Args:
        data: the training and test images.
        source: as in `DataCheck`.
        dataset: its name.

    Raises:
        DataError: the splits have images of different shapes.
    """
    train, test = data["train"], data["test"]
    if train.image_shape != test.image_shape:
        raise DataError(
            f"{source} has training images {train.image_shape} and test images {test.image_shape}: "
            f"both must have the same shape"
        )
    total = len(train) + len(test)
    of_train = Looks.of_images(train.images, lambda done: report_progress(done, total))
    of_test = Looks.of_images(test.images, lambda done: report_progress(len(train) + done, total))
    parts = np.array(["train"] * len(train) + ["test"] * len(test), "U10")
    if train.validation is not None:
        parts[train.validation] = "validation"
    codes = None
    if train.labels is not None and test.labels is not None:
        codes = np.concatenate([train.labels, test.labels])
    channels, height, width = train.image_shape
    bits = f"{8 * train.images.dtype.itemsize} bits"
    looks = of_train.joined(of_test)
    found = _duplicates(looks)

    def picture(row: int) -> NDArray[Any]:
        data, at = (train, row) if row < len(train) else (test, row - len(train))
        image: NDArray[Any] = data.images[at]
        return image

    return DataCheck(
        source=source,
        dataset=dataset,
        names=[f"{one} {row}" for one in ("train", "test") for row in range(len(data[one]))],
        parts=parts,
        codes=codes,
        class_names=train.class_names,
        sizes=np.tile(np.array([height, width]), (total, 1)),
        forms={("array", f"{channels} channel{'s' * (channels > 1)}", bits): total},
        limits=np.concatenate([_limits_of(one.images) for one in (train, test)]),
        orientations={},
        unreadable={},
        left_out={},
        wrong_endings={},
        **_shades(looks),
        lost=None,
        equal=[Equal(tuple(rows), False) for rows in found],
        near=near_pairs(looks),
        notes=tuple(dict.fromkeys((*train.notes, *test.notes))),
        picture=picture,
    )


def _limits_of(images: Pixels) -> NDArray[np.float64]:
    found = np.empty((len(images), 2))
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK].reshape(len(images[start : start + _BLOCK]), -1)
        found[start : start + _BLOCK] = np.stack([block.min(1), block.max(1)], 1)
    return found


def _duplicates(looks: Looks) -> list[list[int]]:
    return [rows.tolist() for rows in equal_groups(looks.sha256, looks.constant)]


def _shades(looks: Looks) -> dict[str, list[int]]:
    """Return the rows of constant, near-black and near-white images."""
    flat = looks.greys.reshape(len(looks), -1)
    few = max(1, flat.shape[1] // 100)
    ordered = np.sort(flat, axis=1)
    black, white = ordered[:, -1 - few] <= BLACK, ordered[:, few] >= WHITE
    return {
        "constant": np.flatnonzero(looks.constant).tolist(),
        "near_black": np.flatnonzero(black & ~looks.constant).tolist(),
        "near_white": np.flatnonzero(white & ~looks.constant).tolist(),
    }


def survey_block(
    start: int, files: list[ImageFile], reading: ImageReading
) -> tuple[int, list[SurveyedImage | str]]:
    """Return the first row, and of each file what it is like, or why it cannot be read."""
    found: list[SurveyedImage | str] = []
    for file in files:
        try:
            found.append(reading.survey(file))
        except MemoryError:
            raise
        except Exception as error:  # damaged files raise anything
            found.append(" ".join(str(error).split()) or type(error).__name__)
    return start, found


def check_files(plan: FilePlan, root: Path, dataset: str) -> DataCheck:
    """Check the image files of a data set.

    Args:
        plan: which files are read, and how.
        root: the folder that they are named in.
        dataset: the data set's name.

    Raises:
        DataError: no file can be read.
    """
    reading = _with_range(plan)
    blocks = (
        (start, list(plan.files[start : start + _BLOCK]), reading)
        for start in range(0, len(plan.files), _BLOCK)
    )
    everything: dict[int, list[SurveyedImage | str]] = {}
    for start, results in in_processes(survey_block, blocks, len(plan.files), _BLOCK):
        everything[start] = results
        report_progress(sum(map(len, everything.values())), len(plan.files))
    answers = [one for start in sorted(everything) for one in everything[start]]
    places = [_place(file, root) for file in plan.files]
    unreadable = {
        place: why.removeprefix(f"cannot read {root / place}: ")
        for place, why in zip(places, answers, strict=True)
        if isinstance(why, str)
    }
    rows = [row for row, one in enumerate(answers) if not isinstance(one, str)]
    found = [one for one in answers if not isinstance(one, str)]
    if not found:
        place, why = next(iter(unreadable.items()))
        raise DataError(f"no image can be read, such as {place} ({why}): give other files")
    names = [places[row] for row in rows]
    files = [plan.files[row] for row in rows]
    looks = _looks(found)
    equal, looks = _equal(found, looks, files, reading)
    facts = Counter(fact for one in found for fact in one.facts if fact != "constant")
    sizes = np.array([one.size for one in found], np.int64)

    def picture(row: int) -> NDArray[Any]:
        scale = _SHOWN_SIDE / sizes[row].max()
        height, width = (max(1, round(side * scale)) for side in sizes[row].tolist())
        shown = replace(reading, size=(height, width), fit="stretch", depth=8)
        return shown.decode(files[row])

    return DataCheck(
        source=str(root),
        dataset=dataset,
        names=names,
        parts=np.array([plan.parts[row] for row in rows], "U10"),
        codes=None if plan.codes is None else plan.codes[rows],
        class_names=plan.class_names,
        sizes=sizes,
        forms=Counter(one.form for one in found),
        limits=np.array([one.limits for one in found]),
        orientations=Counter(one.orientation for one in found if one.orientation != 1),
        unreadable=unreadable,
        left_out=plan.left_out,
        wrong_endings={
            name: one.form[0]
            for name, one, file in zip(names, found, files, strict=True)
            if (ending := Path(file.path).suffix.lower()) not in _ENDINGS.get(one.form[0], {ending})
        },
        **_shades(looks),
        lost=_lost(sizes, reading) if reading.fit == "crop" else None,
        equal=equal,
        near=near_pairs(looks),
        notes=(*plan.notes, *reading_notes(facts, len(found), reading)),
        picture=picture,
    )


def _place(file: ImageFile, root: Path) -> str:
    """Return what a file is called: its place in the folder, and its page if not the first."""
    path = Path(file.path)
    place = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    return f"{place} page {file.page + 1}" if file.page else place


def _with_range(plan: FilePlan) -> ImageReading:
    """Return the plan's rules, with the range of all files if they ask for it."""
    if plan.reading.value_range != "data":
        return plan.reading
    limits = []
    for file in plan.files:
        with suppress(ValueError, DataError):
            limits.append(plan.reading.limits(file))
    try:
        return in_range_of(plan.reading, limits)
    except ValueError as error:
        raise DataError(str(error)) from error


def _looks(found: Sequence[SurveyedImage]) -> Looks:
    greys = np.concatenate([grey_copies(one.pixels[None]) for one in found])
    return Looks.of_greys(
        greys,
        np.array([bytes.fromhex(one.pixels_sha256) for one in found], "S32"),
        np.array(["constant" in one.facts for one in found]),
        np.array([min(one.size) for one in found]),
    )


def _equal(
    found: Sequence[SurveyedImage],
    looks: Looks,
    files: Sequence[ImageFile],
    reading: ImageReading,
) -> tuple[list[Equal], Looks]:
    """Return the groups of equal images, and looks whose hashes tell images that differ apart.

    JPEGs that are equal at the fraction at which they were decoded are compared in full.
    """
    hashes = looks.sha256.copy()
    for rows in equal_groups(looks.sha256, looks.constant):
        if len({(found[row].sha256, files[row].page) for row in rows}) > 1:
            for row in rows:
                whole = reading.survey(files[row], whole=True)
                hashes[row] = bytes.fromhex(whole.pixels_sha256)
    looks = replace(looks, sha256=hashes)
    groups = []
    for one in _duplicates(looks):
        same = len({(found[row].sha256, files[row].page) for row in one}) == 1
        groups.append(Equal(tuple(one), same))
    return groups, looks


def _lost(sizes: NDArray[np.int64], reading: ImageReading) -> NDArray[np.float64]:
    """Return the share of each image that a crop to the size of the images cuts away."""
    aspect = sizes[:, 1] / sizes[:, 0]
    wanted = reading.size[1] / reading.size[0]
    lost: NDArray[np.float64] = 1 - np.minimum(aspect / wanted, wanted / aspect)
    return lost
