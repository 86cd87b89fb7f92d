"""Faults of the user's machine, files and names are explained; the rest may be a bug."""

import errno
import os
import traceback

import pytest

import latentkit as lk
from latentkit import errors
from latentkit.registry.options import fault_of, resolve_target

NO_MEMORY = "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"
NO_LIBRARY = "libcudart.so.12: cannot open shared object file: No such file or directory"


def of_system(number, path=None):
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (MemoryError(), errors.ResourceError, "not enough memory: use smaller batches"),
        (RuntimeError(NO_MEMORY), errors.ResourceError, "can't allocate memory"),
        (RuntimeError("CUDA out of memory. Tried ..."), errors.ResourceError, "smaller batches"),
        (RuntimeError("can't start new thread"), errors.ResourceError, "ulimit -u"),
        (of_system(errno.ENOMEM), errors.ResourceError, "memory"),
        (of_system(errno.EMFILE, "x"), errors.ResourceError, "ulimit -n"),
        (OSError(NO_LIBRARY), errors.BrokenEnvironmentError, "libcudart.so.12"),
        (ImportError(NO_LIBRARY), errors.BrokenEnvironmentError, "latentkit doctor"),
        (
            ModuleNotFoundError("No module named 'a'", name="a"),
            errors.BrokenEnvironmentError,
            "'a'",
        ),
        (of_system(errno.ENOSPC, "x"), errors.StorageError, "the disk is full: x"),
        (of_system(errno.EACCES, "x"), errors.StorageError, "x: Permission denied"),
        (of_system(errno.EIO), errors.StorageError, "cannot be read or written"),
        (of_system(errno.ENAMETOOLONG, "x"), errors.UserError, "x: File name too long"),
        (of_system(errno.ENOTDIR, b"x"), errors.UserError, "x: Not a directory"),
        (of_system(errno.ENOENT), errors.UserError, "does the current folder still exist"),
        (of_system(errno.ECONNRESET), errors.NetworkError, "try again"),
        (OSError("broken data stream"), errors.DataError, "broken data stream"),
        (ValueError("embedded null byte"), errors.UserError, "NUL"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "?"), errors.UserError, "another name"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "?"), errors.DataError, "save it as UTF-8"),
    ],
)
def test_a_fault_outside_latentkit_says_what_to_do(error, kind, text):
    found = errors.explained(error)
    assert type(found) is kind
    assert text in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError(),
        RuntimeError("size mismatch"),
        RecursionError(),
        ImportError("cannot import name", name="latentkit.api"),
        errors.UserError("known"),
    ],
)
def test_what_may_be_a_bug_is_not_explained_away(error):
    assert errors.explained(error) is None


@pytest.mark.parametrize("error", [MemoryError("1 TiB"), RuntimeError(NO_MEMORY)])
def test_a_plugin_is_not_blamed_if_memory_is_short(error):
    with (
        pytest.raises(errors.ResourceError, match="the model's loss failed: not enough memory"),
        fault_of("the model's loss failed"),
    ):
        raise error


def test_a_plugin_is_not_blamed_if_a_shared_library_is_missing(tmp_path, monkeypatch):
    (tmp_path / "lacks_library.py").write_text(f"raise OSError({NO_LIBRARY!r})")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(errors.BrokenEnvironmentError, match="a shared library cannot be loaded"):
        resolve_target("lacks_library:build", "model 'x'")


def test_python_gets_the_explained_error_and_the_run_records_it(tmp_path, monkeypatch):
    def run_out(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("latentkit.runs.lifecycle.run_stages", run_out)
    with pytest.raises(errors.ResourceError, match="smaller batches"):
        lk.run(epochs=1, options={"threads": 1}, out=tmp_path)
    (run,) = lk.list_runs(tmp_path)
    assert run.status == "failed"
    assert run.error.startswith("ResourceError: not enough memory")


def test_a_message_does_not_control_a_terminal():
    assert str(errors.UserError("run \x1b[31mred")) == "run \\x1b[31mred"


def test_neither_does_the_error_that_it_explains():
    def read():
        try:
            raise ValueError("member \x1b]0;taken\x07 is damaged")
        except ValueError as error:
            raise errors.DataError(str(error)) from error

    with pytest.raises(errors.DataError) as raised:
        read()
    text = "".join(traceback.format_exception(raised.value))
    assert "\x1b" not in text
    assert r"\x1b]0;taken\x07" in text
