"""What latentkit does where other packages cannot keep their caches."""

import errno
import logging
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from numba.core import caching

from latentkit import caches
from latentkit.cli import doctor_command
from latentkit.errors import StorageError


def refuse(*_arguments, **_options):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def doubled(values):
    return values * 2


@pytest.fixture
def nowhere(monkeypatch):
    """Let numba find no folder that it can write."""
    caches.prepare_numba()
    monkeypatch.setattr(caching._CacheLocator, "ensure_cache_path", refuse)


def test_functions_of_any_package_are_compiled_where_no_machine_code_can_be_kept(nowhere):
    assert numba.njit(cache=True)(doubled)(3) == 6
    compiled = numba.vectorize(["int64(int64)"], cache=True)(doubled)
    assert compiled(np.arange(3)).tolist() == [0, 2, 4]


@pytest.mark.parametrize("method", ["_save_index", "_save_data", "_load_index"])
def test_a_full_disk_or_a_damaged_cache_costs_only_a_compilation(tmp_path, monkeypatch, method):
    caches.prepare_numba()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(caching.IndexDataCacheFile, method, refuse)
    assert numba.njit(cache=True)(doubled)(3) == 6


def test_a_deleted_current_folder_is_refused_before_torch_is_loaded(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    caches.prepare()  # here torch is loaded, so all is well
    monkeypatch.delitem(sys.modules, "torch")
    with pytest.raises(StorageError, match="current folder was deleted: change to another"):
        caches.prepare()


def test_packages_of_maps_are_imported_where_no_machine_code_can_be_kept():
    code = """
import os
from numba.core import caching
def refuse(self):
    raise OSError(30, os.strerror(30))
caching._CacheLocator.ensure_cache_path = refuse
from latentkit.registry.catalogue import default_registry
default_registry().get("embedding", "umap").target()
import umap
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


NO_FOLDERS = """
import logging, os, sys, tempfile
plain_mkdtemp = tempfile.mkdtemp
def none(*arguments, **options):
    raise FileNotFoundError(2, "No usable temporary directory found")
tempfile.gettempdir = tempfile.mkdtemp = none
os.environ["MPLCONFIGDIR"] = os.devnull + "/none"
import latentkit.api
from latentkit.figures import style
print(tempfile.mkdtemp is none)
"""


def test_figures_can_be_drawn_where_no_folder_at_all_can_be_written():
    command = [sys.executable, "-c", NO_FOLDERS]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


def test_matplotlib_says_nothing_of_its_folders_but_everything_else(caplog):
    caches.prepare()
    log = logging.getLogger("matplotlib")
    log.warning("mkdir -p failed for path %s: %s", "/home", "Read-only file system")
    log.warning("a colour is unknown")
    assert [record.getMessage() for record in caplog.records] == ["a colour is unknown"]


def test_doctor_names_the_folders_that_cannot_be_written(nowhere, monkeypatch):
    monkeypatch.setattr(caches, "temporary_folder", lambda: None)
    monkeypatch.setattr(caches, "matplotlib_folder", lambda: None)
    found = {finding.topic: finding for finding in doctor_command._caches()}
    assert {topic: finding.state for topic, finding in found.items()} == {
        "temporary files": "note",
        "machine code": "note",
        "list of fonts": "note",
    }
    assert "NUMBA_CACHE_DIR" in found["machine code"].remedy


def test_doctor_shows_the_folders_of_caches(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    found = {finding.topic: finding for finding in doctor_command._caches()}
    assert found["machine code"].state == "ok"
    assert str(tmp_path) in found["machine code"].text
