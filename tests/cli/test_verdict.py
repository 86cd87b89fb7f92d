"""``latentkit evaluate``, ``compare`` and ``report``."""

import json
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]


def test_evaluate_shows_the_whole_card(latentkit, finished):
    done = latentkit("evaluate", "last")
    assert done.code == 0
    for text in ("Reconstruction by class", "PCA of 3", "random encoder", "10-NN, 1% of labels"):
        assert text in done.out
    assert "evaluate is already there" in done.err
    assert "evaluate done in" in latentkit("evaluate", "last", "--again").err
    card = json.loads(latentkit("evaluate", "last", "--json").out)
    assert card == {**json.loads((finished / "evaluation.json").read_text()), "maps": card["maps"]}


def test_compare_starts_with_the_options_that_differ(latentkit, finished, small):
    assert latentkit("run", *small, "--seed", "1", "-q").code == 0
    other = next(path.name for path in finished.parent.iterdir() if path != finished)
    done = latentkit("compare", finished.name, other)
    assert done.code == 0
    assert done.out.index("Configuration, where it differs") < done.out.index("Results on the")
    assert "seed" in done.out
    assert "Difference from [1], image by image" in done.out
    found = json.loads(latentkit("compare", finished.name, other, "--json").out)
    assert found["runs"] == [finished.name, other]
    assert found["answer"]["text"] in " ".join(done.out.split())
    rows = {row["name"]: row for row in found["encoders"]}
    assert list(rows) == ["conv-ae", "PCA of 3", "conv-ae with random weights", "raw pixels"]
    assert rows["conv-ae"]["seeds"] == [0, 1]
    costs = {"training_seconds", "memory_mb", "encoding_us", "parameters"}
    assert costs <= set(rows["conv-ae"]["figures"])
    assert all(rows["conv-ae"]["figures"][key]["value"] > 0 for key in costs)


def test_a_comparison_is_also_written_as_a_page(latentkit, finished):
    done = latentkit("compare", finished, finished, "--page", "encoders.html")
    assert done.out.endswith("encoders.html\n")
    page = Path("encoders.html").read_text(encoding="utf-8")
    assert "<h2>Encoders</h2>" in page
    assert "worth its training" in page
    assert 'id="figure-comparison-labels"' in page
    assert 'id="figure-comparison-seconds"' in page
    assert "Difference from [1], image by image" in page


def test_compare_needs_two_runs_that_exist(latentkit, finished):
    assert "at least two runs" in latentkit("compare", "last").error
    assert "there is no run 'nobody'" in latentkit("compare", "last", "nobody").error


@pytest.mark.usefixtures("real_figures")
def test_the_report_is_written_without_the_data_set_and_lists_what_is_missing(
    latentkit, tmp_path, small
):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(40) % 2)
    path = f"npz.path={tmp_path / 'mine.npz'}"
    assert latentkit("run", *small, "--dataset", "npz", "-o", path, "--embed", "pca").code == 0
    (tmp_path / "mine.npz").unlink()
    done = latentkit("report", "last")
    assert done.code == 0
    assert "Original and reconstruction" in done.err
    run = next((tmp_path / "here" / "runs").iterdir())
    page = (run / "report.html").read_text()
    assert "Left out" in page
    assert "cannot read" in page
    assert "Map pca" in page
    assert 'id="figure-loss"' in page


def test_an_evaluation_card_is_kept_if_it_cannot_be_measured_again(latentkit, tmp_path, small):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    np.savez(tmp_path / "mine.npz", images=images)
    path = f"npz.path={tmp_path / 'mine.npz'}"
    assert latentkit("run", *small, "--dataset", "npz", "-o", path).code == 0
    (tmp_path / "mine.npz").unlink()
    assert "cannot read" in latentkit("evaluate", "last", "--again").error
    done = latentkit("evaluate", "last")
    assert done.code == 0
    assert "PCA of 3" in done.out


def test_class_names_are_escaped_in_tables_and_the_page(latentkit, tmp_path, small):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    labels = np.array(["<img src=x onerror=alert(1)>", "[red]$a_b$[/red]"])[np.arange(40) % 2]
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    path = f"npz.path={tmp_path / 'mine.npz'}"
    assert latentkit("run", *small, "--dataset", "npz", "-o", path, "--embed", "pca").code == 0
    out = latentkit("evaluate", "last").out
    assert "<img src=x onerror=alert(1)>" in out
    assert "[red]$a_b$[/red]" in out
    run = next((tmp_path / "here" / "runs").iterdir())
    page = (run / "report.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
