"""Small DICOM and NIfTI files: shades, slices, splits by patient, names that are not kept."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

import latentkit as lk
from latentkit.errors import DataError, UserError
from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins
from latentkit.testing.suites import part_cases

SHADES = np.arange(8 * 9).reshape(8, 9)
FOLDER = tempfile.TemporaryDirectory(prefix="latentkit-medical-")


def write_dicom(path, values, patient="Doe^Jane", series="1.2.3", number=1, **others):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    values = np.asarray(values)
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.PatientName = data.PatientID = patient
    data.SeriesInstanceUID, data.InstanceNumber = series, number
    data.Rows, data.Columns = (
        values.shape[-3:-1] if "SamplesPerPixel" in others else values.shape[-2:]
    )
    data.BitsAllocated = data.BitsStored = values.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(values.dtype.kind == "i")
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    for name, value in others.items():
        setattr(data, name, value)
    data.PixelData = values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def write_nifti(path, values, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that loads a folder in a cache of the test's own."""
    monkeypatch.setenv("LATENTKIT_CACHE", str(tmp_path / "cache"))

    def get(split="train", **options):
        options = {"path": str(tmp_path / "scans"), "fit": "none", **options}
        return lk.dataset("medical", split, **options)

    return get


@pytest.fixture
def scans(tmp_path):
    """Five patients, each with a series of three slices of their own level."""
    folder = tmp_path / "scans"
    for patient in range(5):
        for at in range(3):
            path = folder / f"{patient}" / f"{at}.dcm"
            values = np.full((8, 9), patient * 10 + at, np.uint16)
            values[0, 0] = 1000
            name, series = f"Doe^{patient}", f"1.2.{patient}"
            write_dicom(path, values, name, series, number=3 - at)
    return folder


def levels(data, scale=1000):
    return np.rint(data.images[:, 0, 4, 4] / 65_535 * scale).astype(int).tolist()


def test_slices_are_in_order_and_a_patient_is_in_one_split(load, scans):
    train, test = load(range="0..1000"), load("test", range="0..1000")
    assert (len(train), len(test)) == (12, 3)
    patients = [level // 10 for level in levels(train)]
    assert patients[:9] == sorted(patients[:9])
    assert levels(train)[:3] == [patients[0] * 10 + one for one in (2, 1, 0)]
    held = {patients[row] for row in train.validation}
    others = {patient for row, patient in enumerate(patients) if row not in train.validation}
    tested = {level // 10 for level in levels(test)}
    assert len(held) == len(tested) == 1
    assert not held & others
    assert not tested & (held | others)
    assert any("5 volumes of 5 patients" in note for note in train.notes)


def test_names_of_patients_are_nowhere(load, scans, tmp_path):
    data = load()
    assert not any("Doe" in note for note in data.notes)
    assert not [
        path
        for path in (tmp_path / "cache").rglob("*")
        if path.is_file() and b"Doe" in path.read_bytes()
    ]


@pytest.mark.parametrize(
    ("slices", "expected"), [("middle", [1]), ("every 2", [2, 0]), ("all", [2, 1, 0])]
)
def test_slices_are_chosen(load, scans, slices, expected):
    found = [level % 10 for level in levels(load("test", slices=slices, range="0..1000"))]
    assert found == expected


@pytest.mark.parametrize(
    ("stored", "others", "options", "expected"),
    [
        (SHADES.astype(np.uint16), {}, {"range": "0..100"}, SHADES / 100),
        (SHADES.astype(np.int16) - 20, {}, {"range": "-20..80"}, SHADES / 100),
        (SHADES.astype(np.uint8), {}, {}, SHADES / 71),
        (
            SHADES.astype(np.uint16),
            {"RescaleSlope": 2, "RescaleIntercept": -50},
            {"range": "-50..150"},
            SHADES / 100,
        ),
        (
            SHADES.astype(np.uint16),
            {"PhotometricInterpretation": "MONOCHROME1"},
            {"range": "0..100"},
            1 - SHADES / 100,
        ),
        (SHADES.astype(np.uint16), {}, {"window": "40,20"}, (SHADES - 30) / 20),
        (
            SHADES.astype(np.uint16),
            {"WindowCenter": [50, 7], "WindowWidth": [100, 7]},
            {"window": "file"},
            SHADES / 100,
        ),
    ],
)
def test_stored_numbers_become_shades(load, tmp_path, stored, others, options, expected):
    for patient in "abc":
        write_dicom(
            tmp_path / f"scans/{patient}.dcm", stored, patient, f"1.2.{ord(patient)}", **others
        )
    data = load(**options)
    assert data.images.dtype == np.uint16
    assert np.abs(data.images[0, 0] / 65_535 - np.clip(expected, 0, 1)).max() < 1e-4


def test_frames_and_colours(load, tmp_path):
    colours = np.stack([SHADES, 255 - SHADES, SHADES * 0], 2).astype(np.uint8)
    others = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}
    for patient in "abc":
        series = f"1.2.{ord(patient)}"
        write_dicom(tmp_path / f"scans/{patient}.dcm", colours, patient, series, **others)
        frames = np.stack([SHADES, SHADES + 9]).astype(np.uint8)
        path = tmp_path / f"frames/{patient}"
        write_dicom(path, frames, patient, series, NumberOfFrames=2)
    data = load(range="0..255", depth=8)
    assert (data.images[0] == colours.transpose(2, 0, 1)).all()
    data = load(path=str(tmp_path / "frames"), range="0..255", depth=8)
    assert (data.images[:2, 0] == frames).all()


@pytest.mark.parametrize(("ending", "flip"), [(".nii", False), (".nii.gz", True)])
@pytest.mark.parametrize(("axis", "at"), [("sagittal", 0), ("coronal", 1), ("acquired", 2)])
def test_nifti_volumes_are_turned_and_cut(load, tmp_path, ending, flip, axis, at):
    values = np.arange(8 * 9 * 10, dtype=np.int16).reshape(8, 9, 10)
    for patient in "abc":
        stored = values[::-1] if flip else values
        affine = np.diag([-1.0, 1, 1, 1]) if flip else None
        write_nifti(tmp_path / f"scans/{patient}{ending}", stored, affine)
    data = load(axis=axis, range="0..1000", slices="middle")
    expected = np.rot90(np.take(values, values.shape[at] // 2, at)) / 1000
    assert np.abs(data.images[0, 0] / 65_535 - expected).max() < 1e-4


def test_subjects_of_bids_are_patients_and_later_times_are_left_out(load, tmp_path):
    for subject in range(4):
        for session in (1, 2):
            path = tmp_path / f"scans/sub-{subject}/ses-{session}/anat/T1w.nii"
            values = np.zeros((8, 8, 2, 3), np.float32)
            values[..., 0] = subject
            write_nifti(path, values)
    train, test = load(range="0..10"), load("test", range="0..10")
    assert len({*levels(test, 10)}) == 1
    assert not {*levels(test, 10)} & {*levels(train, 10)}
    assert "8 volumes have several points in time: the first is used" in train.notes


def test_folders_of_splits_and_classes_are_used(load, tmp_path):
    for part, patients in (("train", 3), ("val", 1), ("test", 2)):
        for patient in range(patients):
            path = tmp_path / f"scans/{part}/{'ab'[patient % 2]}/{patient}.dcm"
            name = f"{part}{patient}"
            write_dicom(
                path, SHADES.astype(np.uint8), name, f"1.{len(part)}.{patient + 1}{patients}"
            )
    train, test = load(classes="folder"), load("test", classes="folder")
    assert train.class_names == ("a", "b")
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 0, 1, 0], [0, 1])
    assert train.validation.tolist() == [3]
    write_dicom(tmp_path / "scans/test/a/x.dcm", SHADES.astype(np.uint8), "train1", "1.9")
    with pytest.raises(DataError, match=r"the patient of .* is also in") as raised:
        load(classes="folder")
    assert "train1" not in str(raised.value)


def test_text_in_pixels_is_said(load, tmp_path):
    for patient in "abc":
        others = {"BurnedInAnnotation": "YES"}
        series = f"1.{ord(patient)}"
        write_dicom(
            tmp_path / f"scans/{patient}.dcm", SHADES.astype(np.uint8), patient, series, **others
        )
    assert any(note.startswith("3 volumes have text burned into") for note in load().notes)


def test_what_cannot_be_read_is_refused(load, tmp_path, scans):
    with pytest.raises(UserError, match=r"medical\.path=DIR"):
        load(path="")
    with pytest.raises(DataError, match="there is no folder"):
        load(path=str(tmp_path / "no"))
    with pytest.raises(DataError, match="as they were acquired: leave out axis=axial"):
        load(axis="axial")
    with pytest.raises(DataError, match="it states no window"):
        load(window="file")
    with pytest.raises(UserError, match="must be below white"):
        load(range="5..5")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no DICOM or NIfTI files"):
        load(path=str(tmp_path / "empty"))
    (tmp_path / "empty" / "a.dcm").write_bytes(b"half")
    with pytest.raises(DataError, match=r"a\.dcm cannot be read"):
        load(path=str(tmp_path / "empty"))
    for name in ("1", "2", "3"):
        for file in (scans / name).iterdir():
            file.unlink()
    with pytest.raises(DataError, match="2 patients, which cannot be divided"):
        load()


for each in range(4):
    made = np.random.default_rng(each).integers(0, 900, (8, 8, 6)).astype(np.int16)
    write_nifti(Path(FOLDER.name) / f"{each}.nii", made)
CASES = part_cases(
    "latentkit-medical",
    options={"medical": {"path": FOLDER.name, "size": 16}},
    registry=Registry(find_plugins()),
)


@pytest.mark.parametrize("case", CASES)
def test_the_contract(case):
    case()
