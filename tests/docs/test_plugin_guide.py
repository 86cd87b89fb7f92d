"""The guide for plugin authors works exactly as written: its files, commands and tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

GUIDE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
FILES = dict(re.findall(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", GUIDE, re.M | re.S))
COMMANDS = [
    line
    for language, block in BLOCK.findall(GUIDE)
    if language == "console"
    for line in block.splitlines()
]
INSTALLS = {
    "pip install -e latentkit-curtain": "latentkit-curtain",
    "pip install -e house": "house",
    "pip install -e latentkit-dice": "latentkit-dice",
}
# Skip figures, because they take most of a short run and other tests cover them.
UNDRAWN = """
from latentkit.plugin import hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1


@hookimpl
def latentkit_run_started(run):
    from latentkit.report import assemble

    assemble.drawn = lambda *arguments, **options: []
"""
WRITES = [line for line in COMMANDS if line.startswith("latentkit plugins new ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with the guide's files, with all projects installed in ``site``."""
    folder = tmp_path_factory.mktemp("guide")
    for command in WRITES:
        output(folder, command)
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "house/latentkit_house/__init__.py").touch()
    (folder / "undrawn.py").write_text(UNDRAWN, encoding="utf-8")
    add_diary(folder / "house/pyproject.toml")
    for project in INSTALLS.values():
        install(folder / project, folder / "site")
    return folder


def add_diary(about: Path) -> None:
    """Add the entry point of the diary where the guide says."""
    (line,) = re.findall(r"^    (diary = .*)$", GUIDE, re.MULTILINE)
    text = about.read_text(encoding="utf-8")
    about.write_text(re.sub(r"^(parts = .*)$", rf"\1\n{line}", text, flags=re.M), encoding="utf-8")


def install(project: Path, site: Path) -> None:
    """Install as ``pip install -e`` would, with links to the packages and the entry points."""
    site.mkdir(exist_ok=True)
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    for package in about["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        (site / Path(package).name).symlink_to(project / package, target_is_directory=True)
    name, version = about["project"]["name"], about["project"]["version"]
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    entries = about["project"]["entry-points"]["latentkit.plugins"]
    lines = "".join(f"{entry} = {module}\n" for entry, module in entries.items())
    (info / "entry_points.txt").write_text(f"[latentkit.plugins]\n{lines}")


def execute(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command as a user would, without other third-party plugins."""
    scripts = str(Path(sys.executable).parent)
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={
            "LATENTKIT_PLUGINS": "latentkit-curtain,latentkit-house,latentkit-dice",
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(folder / "site"), os.environ.get("PYTHONPATH", "")]),
            "LATENTKIT_PLUGIN_FILES": str(folder / "undrawn.py"),
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


def test_every_block_is_a_file_or_commands_or_part_of_a_generated_file(folder):
    blocks = [block for language, block in BLOCK.findall(GUIDE) if language != "console"]
    (excerpt,) = [block for block in blocks if block not in FILES.values()]
    assert excerpt in (folder / "latentkit-curtain/pyproject.toml").read_text(encoding="utf-8")
    assert len(COMMANDS) > len(INSTALLS) > len(WRITES)
    assert set(INSTALLS) <= set(COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in {*INSTALLS, *WRITES}])
def test_every_command_works(folder, command):
    before = set(folder.glob("runs/*"))
    assert output(folder, command)
    for run in set(folder.glob("runs/*")) - before:
        diary = (run / "diary.txt").read_text(encoding="utf-8")
        assert re.fullmatch(r"(epoch \d: \d\.\d{4}\n)+finished\n", diary)


def test_plugins_show_prints_what_the_options_class_declares(folder):
    shown = output(folder, "latentkit plugins show curtain")
    row = r"share +0\.25 +float, at least 0, at most 1 +0\.1\.\.0\.6 +Share of the rows"
    assert re.search(row, shown)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("share=2", "curtain: share = 2 is not valid: should be 1 or less"),
        ("shore=0.4", "curtain has no option 'shore' (did you mean 'share'?)"),
    ],
)
def test_an_invalid_option_is_refused_in_one_line_with_valid_values(folder, option, message):
    done = execute(folder, f"latentkit run --corrupt curtain -o curtain.{option} --print-config")
    assert done.returncode == 2
    assert message in done.stderr


def test_every_kind_is_offered_and_the_user_decides_what_is_loaded(folder):
    names = {"curtain", "linear-ae", "bars", "random-plane", "dice"}
    assert names <= set(output(folder, "latentkit plugins list --strict-plugins").split())
    assert not names & set(output(folder, "latentkit plugins list --no-plugins").split())


def test_declarations_and_options_do_not_import_torch_or_numpy(folder):
    modules = ["latentkit_house.plugin", "latentkit_house.diary", "latentkit_house.model_options"]
    modules += ["latentkit_curtain.plugin", "latentkit_curtain.options"]
    code = (
        f"import sys, {', '.join(modules)}; print(sorted({{'torch', 'numpy'}} & set(sys.modules)))"
    )
    assert output(folder, f'python -c "{code}"') == "[]\n"


def test_each_line_fits_the_page():
    for name, content in FILES.items():
        assert all(len(line) <= 100 for line in content.splitlines()), name
