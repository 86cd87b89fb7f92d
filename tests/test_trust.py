"""What a user has allowed or made is known again, and nothing else."""

import os
import shutil
import subprocess
import sys

import pytest

from latentkit import trust


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    """Use an empty folder of settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(trust, "_allowed_here", {})


def test_a_permission_lasts_and_is_for_its_key_only(monkeypatch):
    assert not trust.is_trusted("plugin", "abc")
    assert trust.trust("plugin", "abc", "/here/plug.py")
    monkeypatch.setattr(trust, "_allowed_here", {})  # as in a later process
    assert trust.trusted_name("plugin", "abc") == "/here/plug.py"
    assert not trust.is_trusted("storage", "abc")
    assert not trust.is_trusted("plugin", "abd")


def test_the_last_path_under_which_a_file_was_named_counts():
    trust.trust("plugin", "abc", "/here/plug.py")
    trust.trust("plugin", "abc", "/there/plug.py")
    assert trust.trusted_name("plugin", "abc") == "/there/plug.py"


def test_without_a_folder_of_settings_a_permission_is_for_this_process(tmp_path, monkeypatch):
    (tmp_path / "config").write_text("no folder")
    assert not trust.trust("plugin", "abc", "/here/plug.py")
    assert trust.is_trusted("plugin", "abc")


def test_a_seal_is_for_this_folder_and_this_user(tmp_path, monkeypatch):
    made = tmp_path / "made"
    made.mkdir()
    assert not trust.is_sealed(made)
    trust.seal(made)
    assert trust.is_sealed(made)
    assert not trust.is_sealed(shutil.copytree(made, tmp_path / "copy"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config of somebody else"))
    assert not trust.is_sealed(made)


def test_a_folder_without_a_secret_of_this_user_is_not_sealed(tmp_path):
    (tmp_path / ".owner").write_text("")
    assert not trust.is_sealed(tmp_path)


@pytest.mark.parametrize(("places", "safe"), [([], True), ([""], False), (["."], False)])
def test_other_processes_import_nothing_from_a_folder_that_this_one_does_not(
    tmp_path, monkeypatch, places, safe
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "planted.py").write_text("print('executed')")
    monkeypatch.setattr(sys, "path", places)
    environment = {**os.environ, **trust.without_current_folder()}
    monkeypatch.undo()
    done = subprocess.run(
        [sys.executable, "-m", "planted"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert (b"executed" in done.stdout) is not safe
