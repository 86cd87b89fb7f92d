"""The commands that work on runs: what they print, where, and which files they make."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentkit.cli.shared_options import print_facts
from latentkit.runs.folder import RunFolder
from latentkit.runs.manifest import read_manifest

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]


def test_a_run_ends_with_its_folder_its_quality_and_the_next_commands(latentkit, small):
    ended = latentkit("run", "--model", "conv-ae", "--embed", "isomap", *small)
    assert ended.code == 0
    (run,) = Path("runs").iterdir()
    for line in (
        f"Run +runs/{run.name}",
        r"Test MSE, 3 latents +0\.\d{4}",
        "Test MSE, PCA of 3 ",
        "Map isomap +trustworthiness",
        "Report .*report.html",
        r"Explorer .*explorer.html \(open it in a browser\)",
        "Next +latentkit embed",
    ):
        assert re.search(line, ended.out), line
    assert "using dataset digits" in ended.err
    assert "--dataset fashion-mnist" in ended.err
    assert "epoch 1/1  train 0." in ended.err
    assert "\x1b" not in ended.err + ended.out


def test_the_folder_of_a_run_holds_all_its_files(finished):
    files = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    assert {
        "run.json", "config.toml", "events.jsonl", "data.json", "history.json",
        "model.safetensors", "evaluation.json", "report.html",
        "latents/train.npz", "latents/validation.npz", "latents/test.npz",
        "embeddings/pca.npz", "embeddings/pca.json", "figures/samples.png",
        "figures/reconstructions.png", "figures/loss.png", "figures/map-pca.png",
    } <= files  # fmt: skip


def test_json_is_one_document_and_the_only_thing_on_stdout(latentkit, small):
    ended = latentkit("run", "--json", "--corrupt", "gaussian-noise", *small)
    summary = json.loads(ended.out)
    assert summary["status"] == "finished"
    found = {name: row["value"] for name, row in summary["reconstruction"].items()}
    assert 0 < found["mse"] < 1
    assert found["mse_of_corrupted"] > 0.01


def test_quiet_prints_only_the_folder_and_warnings(latentkit, small):
    ended = latentkit("run", "-q", *small)
    lines = ended.err.splitlines()
    assert all(line.startswith("latentkit: warning: ") for line in lines), ended.err
    assert Path(ended.out.strip(), "run.json").is_file()


def test_the_output_of_print_config_can_be_read_back(latentkit, small):
    flags = ("--embed", "pca", "--embed", "isomap", "--corrupt", "gaussian-noise", "--seed", "3")
    first = latentkit("run", "--print-config", *flags, *small)
    Path("run.toml").write_text(first.out)
    assert latentkit("run", "--print-config", "--config", "run.toml").out == first.out
    on_top = latentkit("run", "--print-config", "--config", "run.toml", "--seed", "4", "-o",
                       "isomap.n_neighbors=7")  # fmt: skip
    document = tomllib.loads(on_top.out)
    assert document["seed"] == 4
    assert [e.get("n_neighbors") for e in document["embedding"]] == [None, 7]
    assert not Path("runs").exists()


def test_the_same_configuration_gives_the_same_bytes(latentkit, finished):
    ended = latentkit("run", "-q", "--config", finished / "config.toml")
    for name in ("model.safetensors", "latents/test.npz", "embeddings/pca.npz", "config.toml"):
        assert Path(ended.out.strip(), name).read_bytes() == (finished / name).read_bytes(), name


def test_embed_adds_a_map_without_repeating_finished_stages(latentkit, finished):
    before = (finished / "model.safetensors").stat().st_mtime_ns
    ended = latentkit("embed", "last", "--embed", "isomap", "-o", "isomap.n_neighbors=7")
    assert ended.code == 0
    assert "train is already there" in ended.err
    assert (finished / "model.safetensors").stat().st_mtime_ns == before
    facts = json.loads((finished / "embeddings/isomap.json").read_text())
    assert facts["options"]["n_neighbors"] == 7
    assert (finished / "figures/map-isomap.png").exists()
    summary = json.loads(latentkit("runs", "last", "--json").out)
    assert sorted(summary["maps"]) == ["isomap", "pca"]


def test_resume_of_a_finished_run_does_nothing_and_shows_it(latentkit, finished):
    ended = latentkit("resume", finished.name[-4:])
    assert ended.code == 0
    assert ended.err.count("is already there") >= 5
    assert "done in" not in ended.err


def test_resume_restores_deleted_files(latentkit, finished):
    content = (finished / "latents/test.npz").read_bytes()
    (finished / "latents/test.npz").unlink()
    assert latentkit("resume", "last").code == 0
    assert (finished / "latents/test.npz").read_bytes() == content


def test_runs_lists_and_shows(latentkit, finished):
    assert finished.name in latentkit("runs").out
    (line,) = json.loads(latentkit("runs", "--json").out)
    assert (line["run"], line["status"], line["epochs"]) == (finished.name, "finished", 1)
    assert "Test MSE, 3 latents" in latentkit("runs", "last").out


def test_a_damaged_run_is_listed_as_such(latentkit, finished):
    (finished / "run.json").write_text("{")
    (line,) = json.loads(latentkit("runs", "--json").out)
    assert line["status"] == "damaged"
    assert "run.json" in latentkit("runs").err


def test_an_empty_folder_gives_a_hint_how_to_start(latentkit):
    assert "latentkit run --embed isomap" in latentkit("runs").out


def test_tune_finds_the_best_trial_and_can_be_resumed(latentkit, small):
    arguments = ("tune", "--json", "-q", "--trials", "2", *small)
    first = json.loads(latentkit(*arguments).out)
    assert len(first["trials"]) == 2
    again = json.loads(latentkit(*arguments).out)
    assert again["trials"] == first["trials"]
    assert Path("studies/conv-ae-digits/study.db").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(latentkit, shell):
    ended = latentkit("completion", shell)
    assert ended.code == 0
    assert "_LATENTKIT_COMPLETE" in ended.out


def test_a_narrow_terminal_wraps_names_and_truncates_no_number(finished, capsys, monkeypatch):
    from latentkit.cli import runs_command

    line = runs_command._line(RunFolder.open(finished))
    line["maps"] = ["isomap", "umap-train", "tsne-all"]
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    runs_command._print_table([line])
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert "…" not in shown
    assert f"{line['reconstruction']['mse']['value']:.4f}" in shown
    assert all(len(row) <= 60 for row in shown.splitlines())


def test_an_interrupted_run_shows_its_status_and_how_to_resume(latentkit, finished):
    manifest = read_manifest(finished)
    manifest.status = "interrupted"
    for stage in ("train", "encode", "embed:pca", "evaluate", "report"):
        manifest.stages.pop(stage)
        left = {k: a for k, a in manifest.artefacts.items() if a.stage != stage}
        manifest.artefacts = left
    manifest.write(finished)
    lines = latentkit("runs", "last").out.splitlines()
    shown = dict(re.split(r"  +", line, maxsplit=1) for line in lines)
    assert shown["Status"] == "interrupted"
    assert shown["Next"] == f"latentkit resume runs/{finished.name}"
    assert "Time" not in shown


def test_lines_in_a_pipe_have_no_trailing_spaces(latentkit, finished):
    for arguments in (("runs",), ("runs", "last"), ("plugins", "list"), ("evaluate", "last")):
        shown = latentkit(*arguments).out
        assert not [line for line in shown.splitlines() if line != line.rstrip()]


def test_a_long_row_stays_on_one_line_in_a_pipe(capsys):
    print_facts([("Map", "word " * 100), ("Time", "1 s")])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["Map", "Time"]


def test_a_dry_run_says_what_each_stage_takes_and_leaves_nothing(latentkit, small):
    ended = latentkit("run", "--dry-run", "--json", "--embed", "pca", *small, "--epochs", "1000")
    assert ended.code == 0, ended.err
    assert not list(Path().glob("runs/*"))
    found = json.loads(ended.out)
    stages = found["stage_seconds"]
    order = ["start", "data", "train", "encode", "embed:pca", "evaluate", "explorer", "report"]
    assert list(stages) == order
    assert stages["train"] > 900 * found["epoch_seconds"] > 0
    assert found["seconds"] == pytest.approx(sum(stages.values()))
    assert found["memory"] > 10**8
    assert found["disk"] > 10**6
    assert all(seconds > 0 for seconds in found["processes"].values())


def test_a_dry_run_says_of_the_images_what_a_run_says(latentkit, small, tmp_path):
    photos, dark = tmp_path / "photos", np.random.default_rng(0).integers(0, 2, (4, 8, 8), np.uint8)
    photos.mkdir()
    for number in range(40):
        Image.fromarray(dark[number % 4]).save(photos / f"{number:02}.png")
    (photos / "40.png").write_bytes(b"no image")
    path, skip = f"image-folder.path={photos}", "image-folder.unreadable=skip"
    images = ("--dataset", "image-folder", "-o", path, "-o", skip)
    ended = [latentkit("run", *more, *images, *small) for more in (("--dry-run",), ("--name", "a"))]
    assert [one.code for one in ended] == [0, 0]
    for text in ("40.png", "also among its training", "nearly black"):
        assert all(text in one.err for one in ended), text
