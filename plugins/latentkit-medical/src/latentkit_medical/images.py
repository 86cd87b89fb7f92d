"""Loads slices; all slices of a patient are in one split."""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import DataError, UserError
from latentkit.plugin import ImageData, Split, class_codes, draw_rows, stored_pictures
from latentkit_medical.options import MedicalOptions
from latentkit_medical.volumes import Volume, find_volumes, pictures_of

_SPLITS = {"train": "train", "training": "train", "test": "test"} | dict.fromkeys(
    ("val", "valid", "validation"), "validation"
)
_SHARES = {"test": 0.2, "validation": 0.1}
_FEWEST = 3


def load(options: MedicalOptions, split: Split, cache: Path) -> ImageData:
    """Return the slices of a split, (N, C, H, W); validation slices follow training slices."""
    if not options.path:
        raise UserError("dataset medical: say which folder with  -o medical.path=DIR")
    root = Path(options.path).expanduser().absolute()
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: say where with  -o medical.path=DIR")
    volumes = find_volumes(root, options)
    codes, names = _classes(volumes, options, root)
    parts, notes = _parts(volumes, codes, root)
    order = ("test",) if split == "test" else ("train", "validation")
    own = [at for part in order for at, one in enumerate(parts) if one == part]
    chosen = [volumes[at] for at in own]
    counts = [len(volume.slices) for volume in chosen]
    stored = stored_pictures(
        lambda: pictures_of(chosen, options),
        sum(counts),
        options.reading,
        {"state": _state(volumes), "options": options.model_dump(mode="json"), "split": split},
        path=root,
        source=str(root),
    )
    of_validation = np.repeat([parts[at] == "validation" for at in own], counts)
    notes += [*stored.facts, *filter(None, [stored.note]), *_notes(volumes)]
    return ImageData(
        images=stored.images,
        labels=None if codes is None else np.repeat(codes[own], counts),
        class_names=names,
        images_sha256=stored.sha256,
        validation=np.flatnonzero(of_validation) if of_validation.any() else None,
        notes=tuple(notes),
    )


def _notes(volumes: list[Volume]) -> list[str]:
    patients = len({volume.patient for volume in volumes})
    counted = f"{len(volumes):,} volumes of {patients:,} patients, each patient in one split"
    notes = [
        counted,
        "only pixels are kept of the files, and the path of the folder, which may hold a name",
    ]
    if burned := sum(volume.burned_in for volume in volumes):
        notes.append(f"{burned:,} volumes have text burned into their pixels, which may hold names")
    if several := sum(volume.several for volume in volumes):
        notes.append(f"{several:,} volumes have several points in time: the first is used")
    return notes


def _state(volumes: list[Volume]) -> str:
    stats = [
        (os.fspath(path), found.st_size, found.st_mtime_ns)
        for volume in volumes
        for path in volume.files
        for found in (path.stat(),)
    ]
    return hashlib.sha256(repr(stats).encode("utf-8", "surrogateescape")).hexdigest()


def _folders(volume: Volume) -> tuple[str, ...]:
    """Return the folders of a volume, without that of a split."""
    folders = volume.place.parts[:-1]
    return folders[1:] if folders and folders[0].lower() in _SPLITS else folders


def _classes(
    volumes: list[Volume], options: MedicalOptions, root: Path
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    if options.classes == "none":
        return None, ()
    for volume in volumes:
        if not _folders(volume):
            raise DataError(f"{root / volume.place} is in no folder of a class: move it into one")
    return class_codes([_folders(volume)[0] for volume in volumes], len(volumes), "volumes")


def _parts(
    volumes: list[Volume], codes: NDArray[np.int64] | None, root: Path
) -> tuple[list[str], list[str]]:
    """Return the split of each volume, and notes.

    Folders of splits are used as they are; what is missing is drawn by patient.

    Raises:
        DataError: there are too few patients, or a patient is in two folders of splits.
    """
    given = [_SPLITS.get(volume.place.parts[0].lower(), "") for volume in volumes]
    if "train" not in given or not all(given):
        given = ["train"] * len(volumes)
    of_patient: dict[str, str] = {}
    for volume, part in zip(volumes, given, strict=True):
        if of_patient.setdefault(volume.patient, part) != part:
            raise DataError(
                f"the patient of {root / volume.place} is also in {of_patient[volume.patient]}: "
                f"keep all files of a patient in one split"
            )
    notes = []
    for part, share in _SHARES.items():
        if part not in of_patient.values():
            drawn = _drawn_patients(volumes, codes, of_patient, share, root)
            of_patient.update(dict.fromkeys(drawn, part))
            notes.append(f"{len(drawn):,} patients were drawn for {part}")
    return [of_patient[volume.patient] for volume in volumes], notes


def _drawn_patients(
    volumes: list[Volume],
    codes: NDArray[np.int64] | None,
    of_patient: dict[str, str],
    share: float,
    root: Path,
) -> list[str]:
    patients = [patient for patient, part in of_patient.items() if part == "train"]
    total = math.ceil(share * len(patients))
    if len(patients) <= total or len(of_patient) < _FEWEST:
        raise DataError(
            f"{root} has files of {len(of_patient):,} patients, which cannot be divided: {_FEWEST} "
            f"or more are needed"
        )
    first = {volume.patient: at for at, volume in reversed(list(enumerate(volumes)))}
    labels = None if codes is None else codes[[first[patient] for patient in patients]]
    return [patients[row] for row in draw_rows(len(patients), labels, total, seed=0)]
