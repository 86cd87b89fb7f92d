"""Which files are volumes, of which patient, and their slices as pictures.

A DICOM volume is a series: the files with one SeriesInstanceUID, in the order of their positions.
A NIfTI file is a volume. What says who a patient is becomes a hash at once, so that nothing shows
or keeps it; only pixels leave this module. Paths may hold names, and errors name paths.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import DataError
from latentkit.plugin import Picture
from latentkit_medical.options import MedicalOptions

_NIFTI = (".nii", ".nii.gz")
_DICOM = (".dcm", ".dicom", ".ima")
_TAGS = (
    *("SeriesInstanceUID", "PatientID", "InstanceNumber", "ImagePositionPatient"),
    *("ImageOrientationPatient", "NumberOfFrames", "BurnedInAnnotation"),
)
_AXES = {"sagittal": 0, "coronal": 1, "axial": 2, "acquired": 2}
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")  # of BIDS


@dataclass(frozen=True)
class Volume:
    """A volume.

    Args:
        files: its files in the order of its slices.
        patient: a hash of what says whose it is.
        place: its first file, relative to the root.
        slices: for each slice that is used, the file, and the slice in it.
        burned_in: whether its files say that their pixels show text.
        several: whether it has several points in time, of which the first is used.
    """

    files: tuple[Path, ...]
    patient: str
    place: Path
    slices: tuple[tuple[int, int], ...]
    burned_in: bool = False
    several: bool = False


def find_volumes(root: Path, options: MedicalOptions) -> list[Volume]:
    """Return the volumes of a folder, in the order of their places.

    Raises:
        DataError: there are none, or a file cannot be read.
    """
    nifti, dicom = list[Path](), list[Path]()
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if hidden or not path.is_file():
            continue
        if path.name.lower().endswith(_NIFTI):
            nifti.append(path)
        elif path.suffix.lower() in _DICOM or (not path.suffix and _is_dicom(path)):
            dicom.append(path)
    found = [_nifti_volume(root, path, options) for path in nifti]
    if dicom and options.axis != "acquired":
        raise DataError(
            f"{dicom[0]} and other DICOM files are used as they were acquired: leave out "
            f"axis={options.axis}"
        )
    found += _dicom_volumes(root, dicom, options)
    if not found:
        raise DataError(
            f"{root} holds no DICOM or NIfTI files (.dcm, .nii, .nii.gz): name another folder "
            f"with  -o medical.path=DIR"
        )
    return sorted(found, key=lambda volume: volume.place.parts)


def pictures_of(volumes: list[Volume], options: MedicalOptions) -> Iterator[Picture]:
    """Yield the slices of volumes as pictures; one volume at most is in memory.

    Raises:
        DataError: a file cannot be read.
    """
    for volume in volumes:
        is_nifti = volume.files[0].name.lower().endswith(_NIFTI)
        opened: tuple[int, Any] = (-1, None)
        for file, position in volume.slices:
            path = volume.files[file]
            try:
                if opened[0] != file:
                    opened = file, (_nifti_values(path) if is_nifti else _dicom_frames(path))
                if is_nifti:
                    yield _nifti_slice(opened[1], position, options)
                else:
                    yield _dicom_slice(*opened[1], position, options)
            except (MemoryError, DataError):
                raise
            except Exception as error:
                raise _unreadable(path, error) from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Hide pydicom's warnings, which repeat values of the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{path} cannot be read ({reason}): repair it or leave it out")


def _hash(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()


def _chosen(n: int, rule: str) -> list[int]:
    """Return which of n slices are used."""
    if rule == "middle":
        return [n // 2]
    return list(range(0, n, 1 if rule == "all" else int(rule.split()[1])))


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _nifti_volume(root: Path, path: Path, options: MedicalOptions) -> Volume:
    nibabel: Any = importlib.import_module("nibabel")
    place = path.relative_to(root)
    try:
        image = nibabel.load(path)
        shape, codes = image.shape, nibabel.aff2axcodes(image.affine)
    except Exception as error:
        raise _unreadable(path, error) from error
    if len(shape) < 3 or min(shape) < 1:
        raise DataError(f"{path} has the shape {shape}, expected three sides: leave it out")
    names = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}
    axis = next((at for at, code in enumerate(codes) if names.get(code) == _AXES[options.axis]), 2)
    subject = next((part for part in place.parts if _SUBJECT.match(part)), "")
    found = _SUBJECT.match(subject)
    patient = _hash("nifti", found[0] if found else place.as_posix())
    several = int(np.prod(shape[3:], dtype=int)) > 1
    slices = tuple((0, at) for at in _chosen(shape[axis], options.slices))
    return Volume((path,), patient, place, slices, several=several)


def _nifti_values(path: Path) -> NDArray[Any]:
    """Return the numbers of a volume, rescaled, from left to right, back to front, and upwards."""
    nibabel: Any = importlib.import_module("nibabel")
    image = nibabel.as_closest_canonical(nibabel.load(path))
    first = (slice(None), slice(None), slice(None), *[0] * (len(image.shape) - 3))
    values = np.asarray(image.dataobj[first], np.float32)
    if values.dtype.names:
        raise ValueError("its values are colours, which are not read")
    return values


def _nifti_slice(values: NDArray[Any], position: int, options: MedicalOptions) -> Picture:
    found = np.rot90(np.take(values, position, _AXES[options.axis]))
    return Picture(np.ascontiguousarray(found)[..., None], found.shape[::-1], bits=32)


def _dicom_volumes(root: Path, paths: list[Path], options: MedicalOptions) -> list[Volume]:
    pydicom: Any = importlib.import_module("pydicom")
    series: dict[str, list[tuple[tuple[float, ...], Path, Any]]] = defaultdict(list)
    for path in paths:
        try:
            with _without_warnings():
                header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
            position = _position(header)
        except Exception as error:
            raise _unreadable(path, error) from error
        key = str(header.get("SeriesInstanceUID", "")) or path.parent.as_posix()
        series[key].append((position, path, header))
    volumes = []
    for found in series.values():
        found.sort(key=lambda one: (one[0], one[1].as_posix()))
        files = tuple(path for _, path, _ in found)
        headers = [header for *_, header in found]
        frames = [int(header.get("NumberOfFrames", 1) or 1) for header in headers]
        every = [(file, frame) for file, n in enumerate(frames) for frame in range(n)]
        slices = tuple(every[at] for at in _chosen(len(every), options.slices))
        place = min(files).relative_to(root)
        patient = str(headers[0].get("PatientID", "") or "") or place.parent.as_posix()
        burned = any(str(one.get("BurnedInAnnotation", "")).upper() == "YES" for one in headers)
        volumes.append(Volume(files, _hash("dicom", patient), place, slices, burned))
    return volumes


def _position(header: Any) -> tuple[float, ...]:
    """Return where a slice lies along the normal of its plane, then its number."""
    number = float(header.get("InstanceNumber", 0) or 0)
    position, plane = header.get("ImagePositionPatient"), header.get("ImageOrientationPatient")
    if not position or not plane:
        return (0.0, number)
    normal = np.cross(np.array(plane[:3], float), np.array(plane[3:], float))
    return (round(float(normal @ np.array(position, float)), 4), number)


def _dicom_frames(path: Path) -> tuple[Any, NDArray[Any]]:
    """Return the header of a file, and its frames (F, H, W) or (F, H, W, 3)."""
    pydicom: Any = importlib.import_module("pydicom")
    with _without_warnings():
        header = pydicom.dcmread(path)
        frames = pydicom.pixels.pixel_array(header)  # YBR becomes RGB
    is_colour = int(header.get("SamplesPerPixel", 1)) > 1
    return header, frames if frames.ndim == 3 + is_colour else frames[None]


def _dicom_slice(
    header: Any, frames: NDArray[Any], position: int, options: MedicalOptions
) -> Picture:
    pydicom: Any = importlib.import_module("pydicom")
    values = frames[position]
    kind = str(header.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        values = pydicom.pixels.apply_color_lut(values, header)
    if values.ndim == 3:
        bits = int(header.BitsStored) if kind != "PALETTE COLOR" else values.dtype.itemsize * 8
        return Picture(np.ascontiguousarray(values), values.shape[1::-1], bits=bits)
    stored = values
    values = np.asarray(pydicom.pixels.apply_modality_lut(stored, header), np.float32)
    if options.window == "file":
        if "WindowCenter" not in header and "VOILUTSequence" not in header:
            raise ValueError("it states no window: choose window=CENTRE,WIDTH or range=LOW..HIGH")
        shown = np.asarray(pydicom.pixels.apply_voi_lut(values.astype(np.float64), header))
        values = _windowed(values, header, shown)
    inverted = kind == "MONOCHROME1"
    return Picture(values[..., None], values.shape[::-1], bits=32, inverted=inverted)


def _windowed(values: NDArray[Any], header: Any, shown: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as [0, 1] by the first window that a file states."""
    if "WindowCenter" not in header:
        low, high = float(shown.min()), float(shown.max())
        return ((shown - low) / max(high - low, 1e-9)).astype(np.float32)
    centre, width = (
        float(np.atleast_1d(np.asarray(header[name].value, float))[0])
        for name in ("WindowCenter", "WindowWidth")
    )
    low = centre - width / 2
    return np.clip((values - low) / max(width, 1e-9), 0, 1).astype(np.float32)
