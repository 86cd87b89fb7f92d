"""Files with the recorded hash and another structure are called damaged, and never a bug."""

import hashlib
import json

import numpy as np
import pytest

import latentkit as lk
from latentkit.api import encoder_files
from latentkit.config import canonical_sha256
from latentkit.errors import IntegrityError

pytestmark = pytest.mark.early


def deeper(document, *keys):
    for key in keys:
        document = document[key]
    return document


def put(run, name, document):
    """Commit other JSON in place of a file, as the maker of an archive can."""
    content = json.dumps(document).encode()
    (run / name).write_bytes(content)
    manifest = json.loads((run / "run.json").read_text())
    digest = hashlib.sha256(content).hexdigest()
    manifest["artefacts"][name] |= {"size": len(content), "sha256": digest}
    for stage in manifest["stages"].values():
        stage["inputs"] |= {name: digest} if name in stage["inputs"] else {}
    manifest.pop("sha256")
    manifest["sha256"] = canonical_sha256(manifest)
    (run / "run.json").write_text(json.dumps(manifest))


CHANGES = {
    "epoch": ("history.json", ("weights_epoch",), None),
    "epochs": ("history.json", ("epochs",), 0),
    "data": ("data.json", (), []),
    "figure": ("evaluation.json", ("reconstruction", "mse"), None),
    "value": ("evaluation.json", ("reconstruction", "mse", "value"), "x"),
    "map": ("embeddings/pca.json", ("map",), [1]),
    "quality": ("embeddings/pca.json", ("quality",), 3),
}


@pytest.fixture(params=CHANGES)
def changed(request, finished):
    """Change one file of a run beside which there is another run."""
    name, keys, value = CHANGES[request.param]
    document = json.loads((finished / name).read_text())
    if keys:
        deeper(document, *keys[:-1])[keys[-1]] = value
    put(finished, name, document if keys else value)
    return finished


def test_the_list_shows_a_run_of_unexpected_structure_as_damaged(latentkit, changed):
    ended = latentkit("runs", "--json")
    assert ended.code == 0, ended.err
    (line,) = json.loads(ended.out)
    assert (line["run"], line["status"]) == (changed.name, "damaged")
    assert "its content has an unexpected structure" in ended.err
    assert latentkit("runs").code == 0


def test_a_command_calls_unexpected_structure_no_bug(latentkit, changed):
    for words in (("runs", "last"), ("compare", "last", "last"), ("evaluate", "last")):
        ended = latentkit(*words)
        assert ended.code in (0, 2, 8), ended.err
        assert "bug" not in ended.err
    assert latentkit("runs", "last").code == 8


def test_every_result_in_python_raises_integrity_error_or_is_there(changed):
    run = lk.open(changed)
    raised = {}
    for name in ("summary", "history", "evaluation", "maps", "class_names", "_repr_html_"):
        try:
            found = getattr(run, name)
            _ = found() if callable(found) else found
        except IntegrityError as error:
            raised[name] = str(error)
    assert "_repr_html_" in raised
    assert all(str(changed) in message for message in raised.values())


def test_a_page_on_a_report_of_unexpected_structure_names_its_file(finished):
    story = {"title": "t", "chapter": [{"title": "c", "tables": [f"{finished.name}/*"]}]}
    table = {"title": "t", "header": "abc", "rows": [[1]]}
    for document in ({}, {"sections": [{"title": "s", "tables": [table], "figures": []}]}):
        put(finished, "report.json", document)
        with pytest.raises(IntegrityError, match=r"report\.json: its content has an unexp"):
            lk.write_page(story, root=finished.parent)


@pytest.mark.parametrize(
    ("key", "value"), [("parameters", []), ("model", 3), ("inputs", None), ("seed", "x")]
)
def test_an_encoder_of_unexpected_structure_raises_integrity_error(tmp_path, key, value):
    path = tmp_path / "e.safetensors"
    lk.LatentEncoder("dense-ae", 2, 1, {"hidden": [4]}).fit(np.eye(6)).save(path)
    facts, weights = encoder_files.read_encoder(path)
    known = {name: facts[name] for name in facts if name not in ("format", "latentkit", "sha256")}
    encoder_files.write_encoder(path, {**known, key: value}, weights)
    with pytest.raises(IntegrityError, match=r"e\.safetensors: its content has an unexpected"):
        lk.LatentEncoder.load(path)
