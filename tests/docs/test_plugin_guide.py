"""The guide for authors of plugins is followed to the letter: its files, its commands, its test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from latentkit.plugin import Budget, SearchChoice, SearchRange, StudyTask

GUIDE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
FILES = dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", GUIDE, re.M | re.S))
COMMANDS = [
    line
    for language, block in BLOCK.findall(GUIDE)
    if language == "console"
    for line in block.splitlines()
]
INSTALLS = {"pip install -e .": ".", "pip install -e house": "house"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with the guide's files, both projects installed in ``site``."""
    folder = tmp_path_factory.mktemp("guide")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    for package in ("latentkit_curtain", "house/latentkit_house"):
        (folder / package / "__init__.py").touch()
    for project in INSTALLS.values():
        install(folder / project, folder / "site")
    return folder


def install(project: Path, site: Path) -> None:
    """Install as ``pip install -e`` would: links to the packages, and the entry points."""
    site.mkdir(exist_ok=True)
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    for package in about["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        (site / package).symlink_to(project / package, target_is_directory=True)
    name, version = about["project"]["name"], about["project"]["version"]
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    entries = about["project"]["entry-points"]["latentkit.plugins"]
    lines = "".join(f"{entry} = {module}\n" for entry, module in entries.items())
    (info / "entry_points.txt").write_text(f"[latentkit.plugins]\n{lines}")


def execute(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell as a user would; no other third party's plugins are loaded."""
    scripts = str(Path(sys.executable).parent)
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={
            "LATENTKIT_PLUGINS": "latentkit-curtain,latentkit-house",
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "site"),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def output(folder: Path, command: str) -> str:
    done = execute(folder, command)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_every_block_is_a_file_or_commands():
    named = [block for language, block in BLOCK.findall(GUIDE) if language != "console"]
    assert sorted(named) == sorted(FILES.values())
    assert len(COMMANDS) > len(INSTALLS)
    assert set(INSTALLS) <= set(COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in INSTALLS])
def test_every_command_works(folder, command):
    before = set(folder.glob("runs/*"))
    assert output(folder, command)
    for run in set(folder.glob("runs/*")) - before:
        diary = (run / "diary.txt").read_text(encoding="utf-8")
        assert re.fullmatch(r"(epoch \d: \d\.\d{4}\n)+finished\n", diary)


def test_plugins_show_says_what_the_options_class_says(folder):
    shown = output(folder, "latentkit plugins show curtain")
    assert re.search(r"share +0\.25 +float, at least 0, at most 1 +Share of the rows", shown)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("share=2", "curtain: share = 2 is not valid: Input should be less than or equal to 1"),
        ("shore=0.4", "curtain has no option 'shore' (did you mean 'share'?)"),
    ],
)
def test_a_wrong_option_is_refused_in_a_line_that_says_what_would_do(folder, option, message):
    done = execute(folder, f"latentkit run --corrupt curtain -o curtain.{option} --print-config")
    assert done.returncode == 2
    assert message in done.stderr


def test_every_kind_is_there_and_the_user_decides_what_is_loaded(folder):
    names = {"curtain", "linear-ae", "bars", "random-plane", "corners"}
    assert names <= set(output(folder, "latentkit plugins list --strict-plugins").split())
    assert not names & set(output(folder, "latentkit plugins list --no-plugins").split())


def test_the_declarations_and_options_are_light(folder):
    modules = ["latentkit_house.plugin", "latentkit_house.diary", "latentkit_house.model_options"]
    modules += ["latentkit_curtain.plugin", "latentkit_curtain.options"]
    code = (
        f"import sys, {', '.join(modules)}; print(sorted({{'torch', 'numpy'}} & set(sys.modules)))"
    )
    assert output(folder, f'python -c "{code}"') == "[]\n"


def test_the_tuner_keeps_to_the_space_repeats_itself_and_outlives_a_failing_trial(
    folder, monkeypatch
):
    monkeypatch.syspath_prepend(str(folder / "site"))
    from latentkit_house.corners import build

    space = {"latent_dim": SearchRange(2, 32), "activation": SearchChoice(("relu", "tanh"))}

    def study(seed):
        def objective(trial):
            trial.report(1, 0.5)
            trial.note("folder", "runs/1")
            return (1 / (trial.number - 1),)

        task = StudyTask("corners", "", space, ("minimize",), seed)
        return build(None).optimize(objective, task, Budget(trials=6))

    trials = study(0).trials
    assert [trial.state for trial in trials] == ["complete", "failed", *["complete"] * 4]
    assert "division by zero" in trials[1].error
    assert trials[0].reports == {1: 0.5}
    assert trials[0].notes == {"folder": "runs/1"}
    assert {trial.params["latent_dim"] for trial in trials} == {2, 32}
    assert {trial.params["activation"] for trial in trials} == {"relu", "tanh"}
    assert [trial.params for trial in study(0).trials] == [trial.params for trial in trials]
    assert [trial.params for trial in study(1).trials] != [trial.params for trial in trials]
    assert study(0).best.number == 0


def test_the_checks_that_the_guide_leaves_out_say_what_its_tuner_lacks(folder):
    done = execute(folder, "python -m pytest -q test_corners.py -k 'notes or larger'")
    assert done.returncode == 1
    assert "load gave None for a study that was begun" in done.stdout
    assert "3 trials gone on with to 7 began the numbers [0, 1, 2, 3, 4, 5, 6]" in done.stdout


def test_each_line_fits_the_page():
    for name, content in FILES.items():
        assert all(len(line) <= 100 for line in content.splitlines()), name
