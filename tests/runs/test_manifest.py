"""run.json is strict JSON, is written whole, and gives a clear error if it cannot be read."""

import json
import math
import os

import pytest

from latentkit.config import canonical_sha256
from latentkit.errors import IntegrityError, UserError
from latentkit.runs.manifest import SCHEMA, Artefact, Manifest, StageRecord, read_manifest


def manifest(**fields):
    facts = {
        "id": "2026-01-02-net-images-beef",
        "status": "finished",
        "created": "2026-01-02T03:04:05.000006+00:00",
        "config": {"seed": 0, "model": {"name": "net"}},
        "config_sha256": "abc",
        "seed": 0,
        "data_dir": "/data",
    }
    return Manifest(**{**facts, **fields})


def change(folder, **fields):
    """Change fields of a manifest, as another version may write them, and its hash with them."""
    path = folder / "run.json"
    document = {**json.loads(path.read_text()), **fields}
    document.pop("sha256")
    path.write_text(json.dumps({**document, "sha256": canonical_sha256(document)}))


def test_a_written_manifest_can_be_read(tmp_path):
    written = manifest(
        stages={"train": StageRecord(inputs={"a": "b"}, seconds=1.5, settings="c")},
        artefacts={"x.npz": Artefact(path="x.npz", size=3, sha256="d", stage="train")},
        hardware={"cpus": 2, "device": "cpu"},
        versions={"torch": "2.9"},
        error="",
    )
    written.write(tmp_path)
    assert read_manifest(tmp_path) == written.model_copy(update={"id": tmp_path.name})
    assert json.loads((tmp_path / "run.json").read_text())["latentkit_run"] == SCHEMA


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged"),
        (b"{", "is damaged"),
        (b"[]", "is damaged"),
        (b"null", "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"\0" * 4096, "is damaged"),
        (b'{"latentkit_run": 1}', "is damaged: id: Field required"),
    ],
)
def test_a_file_that_is_not_a_manifest_is_reported_as_damaged(tmp_path, content, message):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(IntegrityError, match=message):
        read_manifest(tmp_path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_manifest_is_reported_as_damaged(tmp_path, share):
    manifest().write(tmp_path)
    path = tmp_path / "run.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(IntegrityError, match=r"run\.json is damaged"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"status": "done"}, "status"),
        ({"seed": "zero"}, "seed"),
        ({"config": []}, "config"),
        ({"stages": {"train": {"seconds": "long"}}}, r"stages\.train\.seconds"),
        ({"artefacts": {"x": {"path": "x", "size": 1, "stage": "s"}}}, r"artefacts\.x\.sha256"),
    ],
    ids=str,
)
def test_a_field_of_the_wrong_type_is_named(tmp_path, fields, where):
    manifest().write(tmp_path)
    change(tmp_path, **fields)
    with pytest.raises(IntegrityError, match=f"is damaged: {where}"):
        read_manifest(tmp_path)


def test_a_manifest_of_a_later_schema_asks_for_an_upgrade(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"latentkit_run": SCHEMA + 1, "all": "new"}))
    with pytest.raises(IntegrityError, match=rf"later latentkit \(schema {SCHEMA + 1}\): upgrade"):
        read_manifest(tmp_path)


def test_fields_added_by_a_later_minor_version_are_ignored(tmp_path):
    manifest(stages={"train": StageRecord()}).write(tmp_path)
    change(tmp_path, mood="good", stages={"train": {"mood": "good"}})
    assert read_manifest(tmp_path).stages == {"train": StageRecord()}


def test_a_written_manifest_is_strict_json_even_for_values_that_are_nan(tmp_path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    manifest(hardware={"load": math.nan}).write(tmp_path)
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse)["hardware"] == {"load": None}


def test_every_flipped_bit_is_detected(tmp_path):
    manifest(stages={"train": StageRecord(seconds=2.5)}).write(tmp_path)
    path = tmp_path / "run.json"
    whole, written = path.read_bytes(), read_manifest(tmp_path)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            assert read_manifest(tmp_path) == written  # white space, or the hash's own key
        except IntegrityError as error:
            assert "run.json" in str(error)  # noqa: PT017


@pytest.mark.parametrize("path", ["../x.npz", "/x.npz", "a/../../x", "C:x", "a\\b", "", "a\0"])
def test_an_artefact_outside_the_folder_is_refused(tmp_path, path):
    made = Artefact(path=path, size=3, sha256="d", stage="train")
    manifest(artefacts={path: made}).write(tmp_path)
    with pytest.raises(IntegrityError, match="names a file outside its folder"):
        read_manifest(tmp_path)


def test_a_pipe_in_place_of_a_manifest_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(UserError, match="it is a pipe, not a file"):
        read_manifest(tmp_path)


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"is not a run: it has no run\.json"):
        read_manifest(tmp_path)
    with pytest.raises(UserError, match="is not a run"):
        read_manifest(tmp_path / "nowhere")
    (tmp_path / "run.json").mkdir()
    with pytest.raises(UserError, match=r"cannot read .*run\.json: it is a folder, not a file"):
        read_manifest(tmp_path)
