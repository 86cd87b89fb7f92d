"""``latentkit tune`` and ``latentkit studies``: refusals, displays, new and resumed studies."""

import errno
import json
import os
import platform
import re
import shlex
import shutil
from pathlib import Path

import pytest

from latentkit import atomic
from latentkit.training.device import device_at_hand, device_text
from latentkit.tune import trial

pytestmark = pytest.mark.usefixtures("blank_figures")

GO_ON = "to resume:  latentkit tune --resume studies/conv-ae-digits"


@pytest.fixture
def no_page(monkeypatch):
    """Skip the study's page, because it takes most of the time of a short study."""
    monkeypatch.setattr("latentkit.api.tune.report_study", lambda search, result: None)


@pytest.fixture
def before_each_run(monkeypatch):
    """Return a function that sets a callback to call before each trial's run starts."""
    start = trial.start_run

    def set_up(happens):
        def begin(*arguments):
            happens()
            return start(*arguments)

        monkeypatch.setattr(trial, "start_run", begin)

    return set_up


def trials_of(ended):
    assert ended.code == 0, ended.err
    return json.loads(ended.out)["trials"]


def lines_of_trials(ended):
    return [line for line in ended.err.splitlines() if line.startswith("trial ")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-o model.latnt_dim=3", "no option 'latnt_dim' (did you mean 'latent_dim'?)"),
        ("--search model.latnt_dim=2..4", "no option 'latnt_dim' (did you mean 'latent_dim'?)"),
        ("--search modl.latent_dim=2..4", "(did you mean 'model'?)"),
        ("--fix model.actvation", "no option 'actvation' (did you mean 'activation'?)"),
        ("--search model.latent_dim", "write KEY=LOW..HIGH"),
        ("--search model.latent_dim=8..2", "'model.latent_dim=8..2': the range is reversed"),
        ("--search model.latent_dim=8..8", "'model.latent_dim=8..8': the range is empty"),
        ("--search model.latent_dim=0..8", "latent_dim = 0 is not valid"),
        ("--search model.activation=relu", "fewer than two values"),
        ("--search model.activation=relu,rleu", "activation = 'rleu' is not valid"),
        ("--search model.norm=1..3", "norm = 1 is not valid"),
        (
            "--search model.latent_dim=2..4 --fix model.latent_dim",
            "model.latent_dim is both searched and fixed",
        ),
        (
            "--search conv-ae.latent_dim=2..4 -o model.latent_dim=3",
            "model.latent_dim is both searched and fixed",
        ),
        (
            "--fix model.activation --fix model.latent_dim --fix training.learning_rate",
            "there is nothing to search",
        ),
        ("--objective lineer", "no objective 'lineer' (did you mean 'linear'?)"),
        ("--objective mse --objective reconstruction", "objective 'mse' is given twice"),
        ("--objective elbo", "cannot be measured: model 'conv-ae' is not generative"),
        ("--objective mig", "cannot be measured: data set 'digits' has no factors"),
        ("--minutes 0", "--minutes 0: should be more than 0"),
        ("--minutes nan", "--minutes nan: should be more than 0, and not infinite"),
        ("--minutes inf", "--minutes inf: should be more than 0, and not infinite"),
        ("--minutes 1e308", "--minutes 1e+308: should be more than 0, and not infinite"),
        ("--tuner-option heartbeat=1e308", "heartbeat = 1e+308 is not valid"),
        ("--search device=cpu,cuda", "choose it with --device"),
        ("--trials 0", "--trials 0: should be 1 or more"),
        ("--workers 0", "--workers 0: should be 1 or more"),
        ("--name ../elsewhere", "--name '../elsewhere': should be the name of a folder"),
        ("--tuner optnua", "no tuner 'optnua' (did you mean 'optuna'?)"),
        ("--tuner-option smpler=tpe", "no option 'smpler' (did you mean 'sampler'?)"),
        ("--tuner-option sampler", "--tuner-option 'sampler': write KEY=VALUE"),
        ("--storage study.db", "write one such as sqlite:///study.db or"),
        ("--storage mysqul://host/db", "SQLAlchemy does not know this kind of database"),
        ("--resume nothing", "there is no study 'nothing', here or in studies"),
    ],
)
def test_a_mistake_of_the_user_is_one_line_and_leaves_no_folder(latentkit, arguments, message):
    ended = latentkit("tune", *arguments.split())
    assert ended.code == 2
    assert message in ended.error
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert not list(Path().iterdir())


@pytest.mark.parametrize("objective", ["knn", "linear", "kmeans", "nmi", "ari"])
def test_an_objective_of_labels_needs_labels(latentkit, own_images, objective):
    ended = latentkit("tune", "--objective", objective, *own_images(None))
    assert ended.code == 2
    assert f"objective {objective!r} cannot be measured: data set 'npz' has no" in ended.error
    assert not list(Path().iterdir())


@pytest.mark.parametrize("given", ["flag", "environment"])
def test_an_unreachable_storage_exits_with_5_and_its_password_is_not_printed(
    latentkit, monkeypatch, given
):
    pytest.importorskip("psycopg")
    url = "postgresql+psycopg://me:hush@localhost:1/db"
    if given == "environment":
        monkeypatch.setenv("LATENTKIT_STORAGE", url)
    ended = latentkit("tune", *(("--storage", url) if given == "flag" else ()))
    assert ended.code == 5
    assert "storage postgresql+psycopg://me@localhost:1/db cannot be used" in ended.error
    assert "hush" not in ended.err
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        ("--model dense-ae", "--model"),
        ("--objective mse", "--objective"),
        ("--search model.latent_dim=2..4", "--search"),
        ("-o model.latent_dim=3", "--option"),
        ("--tuner optuna", "--tuner"),
        ("--seed 0", "--seed"),
    ],
)
def test_a_resumed_study_refuses_to_change_the_settings_of_its_trials(
    latentkit, studied, arguments, flag
):
    before = (studied / "study.json").read_bytes()
    ended = latentkit("tune", "--resume", studied.name, *arguments.split())
    assert ended.code == 2
    assert f"keeps the settings of the study: leave {flag} out" in ended.error
    assert (studied / "study.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "differs"),
    [
        ("--search training.learning_rate=1e-4..1e-1:log", "space.training.learning_rate.low"),
        ("--objective mse", 'objectives: ["loss"] became ["mse"]'),
        ("--seed 1", "config.seed: 0 became 1"),
        ("--tuner-option sampler=random", 'tuner.sampler: "tpe" became "random"'),
    ],
)
def test_the_name_of_another_study_is_refused(latentkit, studied, small, arguments, differs):
    before = (studied / "study.json").read_bytes()
    ended = latentkit("tune", *small, "--name", studied.name, *arguments.split())
    assert ended.code == 2
    assert "searches something else" in ended.error
    assert differs in ended.error
    assert "choose another --name" in ended.error
    assert (studied / "study.json").read_bytes() == before


def test_a_study_is_found_by_its_name(latentkit, studied):
    for command in (("tune", "--resume"), ("studies",)):
        ended = latentkit(*command, "conv-ae-digit")
        assert ended.code == 2
        assert "no study 'conv-ae-digit' (did you mean 'conv-ae-digits'?)" in ended.error


@pytest.mark.usefixtures("no_page")
def test_a_study_whose_trials_all_fail_exits_with_12(latentkit, small, before_each_run):
    def fail():
        raise RuntimeError("out of order")

    before_each_run(fail)
    ended = latentkit("tune", "--trials", "9", *small)
    assert ended.code == 12
    assert "is stopped because 5 trials in a row failed" in ended.error
    assert "RuntimeError: out of order" in ended.error
    assert GO_ON in ended.err
    lines = lines_of_trials(ended)
    assert len(lines) == 5
    assert all("failed" in line and "(RuntimeError: out of order)" in line for line in lines)
    (row,) = json.loads(latentkit("studies", "--json").out)
    assert (row["failed"], row["best"]) == (5, None)
    assert "No trial completed." in latentkit("studies", "conv-ae-digits").out


@pytest.mark.usefixtures("no_page")
def test_each_new_trial_is_one_line_and_earlier_ones_are_not_repeated(latentkit, small, studied):
    ended = latentkit("tune", "--trials", "4", "--no-finish", *small)
    assert ended.code == 0, ended.err
    assert "\x1b" not in ended.err
    assert "study studies/conv-ae-digits: 4 trials for validation loss" in ended.err
    third, fourth = lines_of_trials(ended)
    assert third.startswith("trial 2 ")
    assert "1/1 epochs" in third
    assert "learning_rate=" in third
    assert "[3/4]  best 0." in third
    assert "[4/4]  best 0." in fourth
    again = latentkit("tune", "--trials", "4", "--no-finish", *small)
    assert lines_of_trials(again) == []
    assert "trial" in again.out


@pytest.mark.usefixtures("no_page")
def test_ctrl_c_shows_how_to_resume_and_the_resumed_study_ends_like_an_uninterrupted_one(
    latentkit, small, studied_once, before_each_run, monkeypatch
):
    begun = []

    def interrupt():
        begun.append(1)
        if len(begun) == 2:
            raise KeyboardInterrupt

    before_each_run(interrupt)
    ended = latentkit("tune", "--trials", "2", "--no-finish", *small)
    assert ended.code == 130
    assert GO_ON in ended.err
    assert ended.error == "latentkit: error: interrupted"
    (row,) = json.loads(latentkit("studies", "--json").out)
    assert (row["complete"], row["pruned"]) == (1, 0)
    resumed = trials_of(latentkit("tune", "--resume", "conv-ae-digits", "--no-finish", "--json"))
    whole = trials_of(latentkit("studies", studied_once, "--json"))
    assert {one["machine"] for one in whole} == {platform.node()}
    assert {one["device"] for one in whole} == {device_text(device_at_hand("auto"))}

    def known(trials):
        return [(one["number"], one["state"], one["params"], one["values"]) for one in trials]

    assert known(resumed) == known(whole)


@pytest.mark.usefixtures("no_page")
def test_the_json_document_has_all_trials(latentkit, studied):
    ended = latentkit("tune", "--resume", studied, "--no-finish", "--json", "-q")
    assert ended.code == 0
    assert ended.err == ""
    found = json.loads(ended.out)
    assert found["study"] == "conv-ae-digits"
    assert (found["objectives"], found["directions"]) == (["loss"], ["minimize"])
    first, second = found["trials"]
    best = min(found["trials"], key=lambda trial: trial["values"])["number"]
    assert (found["best_trial"], found["front"]) == (best, [best])
    assert Path(found["best_run"]) == studied / f"runs/trial-{best:04d}"
    assert Path(found["best_config"]).is_file()
    assert set(first["params"]) == {"model.activation", "training.learning_rate"}
    assert (first["state"], len(first["values"]), first["epochs"]) == ("complete", 1, 1)
    assert (second["state"], len(second["values"]), second["error"]) == ("complete", 1, "")
    assert found == json.loads(latentkit("studies", studied, "--json").out)


@pytest.mark.usefixtures("no_page")
def test_two_objectives_give_a_pareto_front_and_nothing_is_pruned(latentkit, small):
    objectives = ("--objective", "mse", "--objective", "knn")
    ended = latentkit("tune", "--trials", "3", "--no-finish", "--json", *objectives, *small)
    assert ended.code == 0, ended.err
    assert "with several objectives every trial is run to its end" in ended.err
    found = json.loads(ended.out)
    assert found["directions"] == ["minimize", "maximize"]
    assert [one["state"] for one in found["trials"]] == ["complete"] * 3
    values = {one["number"]: one["values"] for one in found["trials"]}
    assert found["best_trial"] == min(values, key=lambda number: values[number][0])
    assert set(found["front"]) == {
        number
        for number, (mse, knn) in values.items()
        if not any(m <= mse and k >= knn and (m, k) != (mse, knn) for m, k in values.values())
    }
    shown = latentkit("studies", "conv-ae-digits").out
    assert "validation MSE" in shown
    assert "10-NN accuracy" in shown


@pytest.mark.usefixtures("no_page")
def test_no_trial_starts_when_the_time_is_up(latentkit, small):
    ended = latentkit("tune", "--minutes", "1e-9", "--json", *small)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert (found["trials"], found["best_trial"], found["best_config"]) == ([], None, None)


@pytest.mark.usefixtures("no_page")
def test_repeating_the_command_keeps_the_number_of_trials_and_the_storage(
    latentkit, small, studied, monkeypatch
):
    monkeypatch.setenv("LATENTKIT_STORAGE", "sqlite:///elsewhere.db")
    before = json.loads((studied / "study.json").read_text())
    assert len(trials_of(latentkit("tune", *small, "--no-finish", "--json", "-q"))) == 2
    assert len(trials_of(latentkit("studies", studied, "--json"))) == 2
    after = json.loads((studied / "study.json").read_text())
    assert (after["trials"], after["storage"]) == (before["trials"], before["storage"]) == (2, "")
    assert not Path("elsewhere.db").exists()


@pytest.mark.usefixtures("no_page")
def test_a_run_left_by_an_earlier_study_is_not_used_for_a_trial(latentkit, small, studied):
    again = ("tune", *small, "--seed", "1", "--trials", "1", "--no-finish", "--json", "-q")
    (studied / "study.json").unlink()
    refused = latentkit(*again)
    assert refused.code == 2
    assert "holds no study but other files, such as best.toml" in refused.error
    for path in studied.iterdir():
        if path.name != "runs":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (studied / "runs").rename("runs")
    shutil.rmtree("runs/trial-0001")
    studied.rmdir()
    assert latentkit(*again[:-3], "--minutes", "1e-9").code == 0  # no trial starts
    shutil.rmtree(studied / "runs", ignore_errors=True)
    Path("runs").rename(studied / "runs")
    (found,) = trials_of(latentkit(*again))
    assert found["state"] == "failed"
    assert "holds a run of another study" in found["error"]
    assert "folder away, or choose another --name" in found["error"]


def test_studies_are_listed(latentkit, studied):
    header, row = latentkit("studies").out.splitlines()
    assert header.split() == [
        "study",
        "trials",
        "complete",
        "pruned",
        "failed",
        "best",
        "objective",
    ]
    assert row.split()[:5] == ["conv-ae-digits", "2", "2", "0", "0"]
    assert row.split()[-1] == "loss"
    (line,) = json.loads(latentkit("studies", "--json").out)
    assert (line["study"], line["trials"], line["objectives"]) == ("conv-ae-digits", 2, ["loss"])
    assert (line["complete"], line["pruned"], line["failed"]) == (2, 0, 0)
    assert len(line["best"]) == 1


def test_one_study_is_shown_with_what_to_do_next(latentkit, studied):
    shown = latentkit("studies", studied.name).out
    best = json.loads(latentkit("studies", studied.name, "--json").out)["best_trial"]
    assert re.search(rf"^Best trial +{best}$", shown, re.M)
    assert f"trial-{best:04d}" in shown
    assert f"latentkit run --config studies/{studied.name}/best.toml --seed 1" in shown


def test_a_damaged_study_is_listed_as_such(latentkit, studied):
    (studied / "study.json").write_text("{")
    listed = latentkit("studies")
    assert listed.code == 0
    assert "cannot be read" in listed.out
    assert f"warning: {studied}/study.json is damaged" in listed.err
    (line,) = json.loads(latentkit("studies", "--json").out)
    assert "study.json is damaged" in line["error"]
    assert latentkit("studies", studied).code == 8
    assert latentkit("tune", "--resume", studied).code == 8


def test_the_list_opens_no_storage_and_one_bad_study_hides_no_other(
    latentkit, studied, monkeypatch
):
    bad = studied.with_name("bad")
    bad.mkdir()
    os.mkfifo(bad / "study.json")
    (studied / "study.db").write_bytes(b"opened")
    listed = latentkit("studies")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == ["bad", "conv-ae-digits"]
    assert "study.json cannot be read: it is a pipe, not a file" in listed.err
    shown = latentkit("studies", studied)
    assert shown.code == 8
    assert "study.db is damaged: file is not a database" in shown.error
    (studied / "trials.json").unlink()  # of an older version
    (_, line) = json.loads(latentkit("studies", "--json").out)
    assert (line["complete"], line["best"]) == (None, None)


def test_damage_to_the_best_configuration_is_noticed(latentkit, studied):
    path = studied / "best.toml"
    path.write_text(path.read_text().replace("gelu", "relu").replace("silu", "relu") + " ")
    shown = latentkit("studies", studied)
    assert shown.code == 8
    assert "best.toml is damaged: its SHA-256 differs" in shown.error


def test_a_command_that_is_shown_can_be_given_to_a_shell(latentkit, studied):
    odd = studied.rename(studied.with_name("'; rm -rf x"))
    (row,) = re.findall(r"^Next +(.*)$", latentkit("studies", odd).out, re.M)
    assert shlex.split(row)[:4] == ["latentkit", "run", "--config", f"studies/{odd.name}/best.toml"]


@pytest.mark.usefixtures("no_page")
def test_a_full_disk_says_how_to_resume_the_study(latentkit, studied, monkeypatch):
    flush = atomic._flush

    def fill(path):
        if path.parent.name.startswith("trial-"):
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(path)

    monkeypatch.setattr(atomic, "_flush", fill)
    ended = latentkit("tune", "--resume", studied, "--trials", "3", "--no-finish")
    assert ended.code == 5
    assert "make room and try again" in ended.error
    assert f"to resume:  latentkit tune --resume studies/{studied.name}" in ended.err


def test_an_empty_folder_gives_a_hint_how_to_start(latentkit):
    assert "latentkit tune --trials 10" in latentkit("studies").out
    assert json.loads(latentkit("studies", "--json").out) == []
