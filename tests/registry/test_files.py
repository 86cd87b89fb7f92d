"""A plugin in a single file: the same hooks, loaded by its content."""

from __future__ import annotations

import os

import pytest

from latentkit.errors import PluginError, UserError
from latentkit.registry.catalogue import default_registry
from latentkit.registry.discovery import (
    add_to_environment,
    paths_from_environment,
    read_plugin_files,
)

PLUGIN = """
from latentkit.plugin import CorruptionSpec, Options, hookimpl
from pydantic import Field

LATENTKIT_HOOKSPEC_VERSION = 1

class ShiftOptions(Options):
    by: float = Field(0.1, description="Brightness that is added.")

@hookimpl
def latentkit_corruptions():
    yield CorruptionSpec(
        name="shift", summary="Shifts", target=f"{__name__}:build",
        options=f"{__name__}:ShiftOptions",
    )

def build(options):
    return lambda images, generator: (images + options.by).clamp(0, 1)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my shift.py"
    path.write_text(PLUGIN)
    return path


def test_a_plugin_file_offers_its_parts_under_its_file_name(file):
    registry = default_registry([file])
    part = registry.get("corruption", "shift")
    assert part.qualified_name == "my shift.py:shift"
    assert part.options({}).by == 0.1
    assert callable(part.target())
    assert [found.path for found in registry.files] == [file]
    with pytest.raises(UserError, match="no corruption 'shift'"):
        default_registry().get("corruption", "shift")


def test_a_file_that_is_named_is_loaded_despite_the_allow_list(file, monkeypatch):
    monkeypatch.setenv("LATENTKIT_PLUGINS", "")
    assert default_registry([file]).get("corruption", "shift")


def test_a_changed_file_is_loaded_again_and_its_earlier_parts_still_work(file):
    before = default_registry([file]).get("corruption", "shift")
    # The new content has the size and time stamp of the old, so only its hash shows the change.
    stamp = file.stat().st_mtime_ns
    file.write_text(PLUGIN.replace("0.1,", "0.2,"))
    os.utime(file, ns=(stamp, stamp))
    after = default_registry([file]).get("corruption", "shift")
    assert (before.options({}).by, after.options({}).by) == (0.1, 0.2)
    assert not list(file.parent.rglob("*.pyc"))


def test_the_environment_names_files_too(file, monkeypatch):
    monkeypatch.setenv("LATENTKIT_PLUGIN_FILES", "")
    monkeypatch.chdir(file.parent)
    add_to_environment([file.name])
    add_to_environment([str(file)])
    assert paths_from_environment() == [str(file)]
    assert default_registry().get("corruption", "shift")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", "is broken: ZeroDivisionError"),
        ("import sys; sys.exit()", "is broken: SystemExit"),
        (PLUGIN.replace("VERSION = 1", "VERSION = 7"), "is incompatible: it is written for"),
        (PLUGIN.replace("@hookimpl", ""), "is not decorated with @hookimpl"),
    ],
)
def test_a_broken_file_is_an_error_because_the_user_named_it(code, message, file):
    file.write_text(code)
    for _ in range(2):
        with pytest.raises(PluginError, match=f"plugin file .*my shift.py .*{message}"):
            default_registry([file])


def test_a_file_that_cannot_be_read_is_an_error(file, tmp_path):
    with pytest.raises(UserError, match=r"cannot read plugin file .*none.py: No such file"):
        read_plugin_files([tmp_path / "none.py"])
    with pytest.raises(UserError, match=r"not a .py file"):
        read_plugin_files([tmp_path])


def test_two_files_of_one_name_are_refused(file, tmp_path):
    other = tmp_path / "other" / file.name
    other.parent.mkdir()
    other.write_text(PLUGIN)
    with pytest.raises(UserError, match="have the same name: rename one"):
        read_plugin_files([file, other])
    assert len(read_plugin_files([file, str(file)])) == 1
