import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import latentkit as lk
from latentkit.plugin.options import SearchChoice, SearchRange
from latentkit.plugin.studies import StudyResult, TrialRecord
from latentkit.runs.context import StageContext
from latentkit.tune.study_report import in_two_dimensions, write_study_report

SMALL = {"model.channels": [4, 8], "model.hidden": [16], "training.snapshots": [0, 1]}
SPACE = {
    "model.latent_dim": SearchRange(2, 64, log=True),
    "training.learning_rate": SearchRange(0.0, 0.5, step=0.1),
    "model.activation": SearchChoice(("relu", "gelu")),
}
WHY = "DivergedError: the loss is <nan> & lost"


def params(latent_dim, rate, activation):
    return dict(zip(SPACE, (latent_dim, rate, activation), strict=True))


def trials(*values):
    """Return two completed trials of the given values, a pruned and a failed one."""
    return (
        TrialRecord(0, "complete", params(2, 0.1, "relu"), values[0], 12.34, {1: 0.9, 2: 0.5}),
        TrialRecord(1, "complete", params(5, 0.25, "gelu"), values[1], 11.0, {1: 0.8, 2: 0.25}),
        TrialRecord(2, "pruned", params(64, 0.5, "relu"), (), 3.0, {1: 0.95}),
        TrialRecord(3, "failed", params(8, 0.2, "gelu"), (), 0.5, error=WHY),
    )


MIN = StudyResult("study", ("minimize",), trials((0.5,), (0.25,)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the folders of two runs, with two latents and with five."""
    out = tmp_path_factory.mktemp("runs")
    return [
        lk.run(model="conv-ae", epochs=1, out=out, options={**SMALL, "model.latent_dim": n}).path
        for n in (2, 5)
    ]


@pytest.fixture
def contexts(runs, tmp_path) -> list[StageContext]:
    """Return the contexts of copies of the two runs."""
    copies = [shutil.copytree(path, tmp_path / "runs" / path.name) for path in runs]
    return [lk.open(path)._context for path in copies]


def report(folder: Path, result=MIN, *, objectives=("validation loss",), **arguments) -> str:
    """Write the page of a study, and return it without its style and the bytes of pictures."""
    defaults = {"name": "study", "space": SPACE, "best": {}, "facts": []}
    defaults |= {"importances": {}, "early_importances": {}}
    path = write_study_report(
        folder, result=result, objectives=objectives, **{**defaults, **arguments}
    )
    assert path == folder / "report.html"
    text = re.sub(r"data:image/png;base64,[^\"]*", "PNG", path.read_text(encoding="utf-8"))
    return re.sub(r"<style>.*</style>", "", text, flags=re.DOTALL)


def rows_of(page: str) -> list[list[str]]:
    """Return the cells of every row of every table."""
    found = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL) for row in found]


def figures_of(page: str) -> list[str]:
    return re.findall(r'<figure id="figure-(.*?)">', page)


def sections_of(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def left_out(page: str) -> dict[str, str]:
    return dict(rows_of(page[page.index("<h2>Left out") :])[1:]) if "<h2>Left out" in page else {}


def test_the_page_starts_with_the_facts_and_all_trials(tmp_path):
    page = report(tmp_path, facts=[("Model", "conv-ae"), ("Tuner", "<optuna>")])
    rows = rows_of(page)
    assert rows[1:5] == [
        ["Model", "conv-ae"],
        ["Tuner", "&lt;optuna&gt;"],
        ["Trials", "2 completed, 1 pruned, 1 failed"],
        ["Least validation loss", "0.25 (trial 1)"],
    ]
    assert ["model.latent_dim", "2 to 64, on a log scale"] in rows
    assert ["training.learning_rate", "0 to 0.5 in steps of 0.1"] in rows
    assert ["model.activation", "relu, gelu"] in rows
    head = ["trial", "state", "validation loss", "epochs", "seconds"]
    start = rows.index([*head, "latent_dim", "learning_rate", "activation"])
    assert rows[start + 1 : start + 5] == [
        ["0", "completed", "0.5", "2", "12.3", "2", "0.1", "relu"],
        ["1 (best)", "completed", "0.25", "2", "11.0", "5", "0.25", "gelu"],
        ["2", "pruned", "–", "1", "3.0", "64", "0.5", "relu"],
        ["3", "failed", "–", "–", "0.5", "8", "0.2", "gelu"],
    ]
    assert ["3", "DivergedError: the loss is &lt;nan&gt; &amp; lost"] in rows
    assert "2 completed, 1 pruned, 1 failed; least validation loss 0.25 (trial 1)" in page


def test_figures_are_in_order_and_are_written_beside_the_page(tmp_path):
    page = report(tmp_path, importances={"model.latent_dim": 1.0}, svg=True)
    names = ["history", "curves", "parallel", "slices", "importance"]
    assert figures_of(page) == names
    assert sections_of(page)[:4] == ["Summary", "Trials", "Search", "Parameters"]
    files = {path.name for path in (tmp_path / "figures").iterdir()}
    assert files == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    assert page.count('src="PNG"') == len(names)


def test_if_most_trials_are_pruned_they_are_compared_after_a_common_epoch(tmp_path):
    pruned = [
        TrialRecord(number, "pruned", params(64, 0.5, "relu"), reports={1: 0.9 + number, 2: 0.8})
        for number in (4, 5)
    ]
    result = StudyResult("study", ("minimize",), (*MIN.trials, *pruned))
    page = report(tmp_path, result, early_importances={"model.latent_dim": 1.0})
    early = ["parallel-early", "slices-early", "importance-early"]
    assert figures_of(page) == ["history", "curves", "parallel", "slices", *early]
    assert "Parameters, early on" in sections_of(page)
    assert "All parameters of all trials, after epoch 1" in page


def test_a_greater_value_is_better_if_the_study_maximises(tmp_path):
    result = StudyResult("study", ("maximize",), MIN.trials)
    rows = rows_of(report(tmp_path, result, objectives=("accuracy",)))
    assert ["Greatest accuracy", "0.5 (trial 0)"] in rows
    assert any(row[0] == "0 (best)" for row in rows)


def test_each_of_several_objectives_has_its_figures_and_there_is_a_front(tmp_path):
    result = StudyResult(
        "study", ("minimize", "maximize"), trials((0.5, 0.75), (0.25, 0.625))[:2] + MIN.trials[3:]
    )
    page = report(tmp_path, result, objectives=("loss", "accuracy"))
    assert figures_of(page) == [
        *("history-1", "history-2", "parallel-1", "parallel-2", "slices-1", "slices-2", "front")
    ]
    rows = rows_of(page)
    assert [row[:4] for row in rows if row[0].endswith("(front)")] == [
        ["0 (front)", "completed", "0.5", "0.75"],
        ["1 (front)", "completed", "0.25", "0.625"],
    ]
    assert ["Greatest accuracy", "0.75 (trial 0)"] in rows
    assert "several objectives report no values" in left_out(page)["Value over epochs"]


def test_the_page_shows_latents_and_weights_of_the_best_runs(tmp_path, contexts):
    page = report(tmp_path, best={1: contexts[1], 0: contexts[0]})
    assert figures_of(page)[-2:] == ["latents", "weights"]
    assert left_out(page).keys() == {"Importance of parameters"}


def test_maps_show_validation_latents_and_the_value_of_the_trial(tmp_path, contexts, monkeypatch):
    seen = {}

    def spy(panels, names, title, caption):
        seen.update(panels=panels, names=names)
        return real(panels, names, title, caption)

    from latentkit.tune import study_report

    real = study_report.map_grid
    monkeypatch.setattr(study_report, "map_grid", spy)
    report(tmp_path, best={1: contexts[1], 0: contexts[0]})
    wide, flat = seen["panels"]
    assert [wide.title, flat.title] == ["trial 1: 0.25", "trial 0: 0.5"]
    assert re.fullmatch(r"PCA of 5 latents, \d+% of their variance", wide.note)
    run = lk.open(contexts[0].folder.path)
    assert np.allclose(flat.coordinates, run.latents("validation"), atol=1e-5)
    assert np.array_equal(flat.labels, run.labels("validation"))
    assert seen["names"] == tuple("0123456789")


def test_at_most_six_runs_are_shown(tmp_path, contexts, monkeypatch):
    from latentkit.tune import study_report

    shown = []
    real = study_report.kernels_over_epochs
    monkeypatch.setattr(
        study_report,
        "kernels_over_epochs",
        lambda rows, title: shown.extend(rows) or real(rows, title),
    )
    report(tmp_path, best=dict.fromkeys(range(8), contexts[0]))
    assert [name for name, _ in shown] == [
        *("trial 0: 0.5", "trial 1: 0.25", "trial 2", "trial 3", "trial 4", "trial 5")
    ]
    assert all(list(kernels) == [0, 1] for _, kernels in shown)


def test_a_run_that_cannot_be_read_is_left_out_with_the_reason(tmp_path, contexts):
    (contexts[1].folder.path / "model.safetensors").write_bytes(b"damaged")
    (contexts[1].folder.path / "weights/epoch-0001.safetensors").unlink()
    page = report(tmp_path, best={1: contexts[1], 0: contexts[0]})
    assert {"latents", "weights"} <= set(figures_of(page))
    why = left_out(page)
    assert "is not what was committed" in why["Latent space of trial 1"]
    assert "is missing" in why["First weights of trial 1"]
    assert "Latent space of trial 0" not in why


def test_a_run_without_kept_weights_is_left_out_of_the_weights_figure(tmp_path, contexts):
    for name in list(contexts[0].folder.manifest.artefacts):
        if name.startswith("weights/"):
            del contexts[0].folder.manifest.artefacts[name]
    page = report(tmp_path, best={0: contexts[0]})
    assert "weights" not in figures_of(page)
    assert "set training.snapshots" in left_out(page)["First weights of trial 0"]


@pytest.mark.parametrize(
    ("kept", "figures", "why"),
    [
        (
            MIN.trials[2:],
            ["history", "curves"],
            {"All parameters of all trials": "no trial completed; a comparison needs 2"},
        ),
        (
            MIN.trials[:1],
            ["history", "curves"],
            {"Value over each parameter": "one trial completed; a comparison needs 2"},
        ),
        (
            MIN.trials[3:],
            [],
            {"Value over trials": "no trial has a value"},
        ),
        ((), [], {"Latent spaces of the best trials": "there is no run of a completed trial"}),
    ],
    ids=["none completed", "one trial", "all failed", "no trial"],
)
def test_figures_that_the_trials_do_not_allow_are_left_out_with_a_reason(
    tmp_path, kept, figures, why
):
    page = report(tmp_path, StudyResult("study", ("minimize",), kept))
    assert figures_of(page) == figures
    assert why.items() <= left_out(page).items()
    assert sum(row[:2] == ["3", "failed"] for row in rows_of(page)) == (MIN.trials[3] in kept)


def test_options_of_the_same_name_in_two_parts_keep_their_full_names(tmp_path):
    space = {"model.width": SearchRange(1, 2), "tuner.width": SearchRange(1, 2)}
    rows = rows_of(report(tmp_path, space=space))
    assert ["model.width", "tuner.width"] in [row[-2:] for row in rows]
    assert ["–", "–"] in [row[-2:] for row in rows]  # no trial has values of these


def test_two_latents_are_used_as_coordinates_and_more_are_projected():
    latents = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32) * [1, 9, 1, 4, 1]
    flat, note = in_two_dimensions(latents[:, :2].astype(np.float32))
    assert np.array_equal(flat, latents[:, :2].astype(np.float32))
    assert note == "the 2 latents themselves"
    coordinates, note = in_two_dimensions(latents.astype(np.float32))
    centred = latents - latents.mean(0)
    singular = np.linalg.svd(centred, compute_uv=False)
    assert np.linalg.norm(coordinates, axis=0) == pytest.approx(singular[:2], rel=1e-4)
    assert np.corrcoef(coordinates[:, 0], latents[:, 1])[0, 1] > 0.9  # the sign is fixed
    share = (singular[:2] ** 2).sum() / (singular**2).sum()
    assert note == f"PCA of 5 latents, {share:.0%} of their variance"


def test_one_latent_is_drawn_along_a_line():
    coordinates, note = in_two_dimensions(np.arange(3, dtype=np.float32)[:, None])
    assert coordinates.tolist() == [[0, 0], [1, 0], [2, 0]]
    assert note == "the one latent, horizontally"
