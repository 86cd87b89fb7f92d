"""How a user refers to a run, and which folder is found."""

import json
import os
import time

import pytest

from latentkit.errors import IntegrityError, UserError
from latentkit.runs.find import find_run, readable_runs, run_folders
from latentkit.runs.folder import check_folder_name
from latentkit.runs.manifest import NAME, SCHEMA


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


def test_a_run_is_found_by_path_name_start_end_of_the_name_or_last(folder, root, monkeypatch):
    name = folder.path.name
    for reference in (str(folder.path), f"{folder.path}/", name, name[:-2], name[-4:], "last"):
        assert find_run(reference, root).name == name
    monkeypatch.chdir(root)
    assert find_run(name, root / "elsewhere").resolve() == folder.path


def test_the_last_run_is_the_newest_even_within_a_second(root, new_run):
    for number in range(5):
        made = new_run(root, f"net-{number}")
        assert find_run("last", root) == made.path


def test_a_complete_name_is_not_taken_as_the_start_of_another(folder, root, new_run):
    folder.path.rename(root / "base")
    new_run(root).path.rename(root / "base-2")
    assert find_run("base", root) == root / "base"


def test_an_ambiguous_start_or_end_lists_the_runs(folder, root, new_run):
    other = new_run(root)
    with pytest.raises(UserError, match="'20' is the start or end of several runs: ") as raised:
        find_run("20", root)
    assert folder.path.name in str(raised.value)
    assert other.path.name in str(raised.value)


@pytest.mark.parametrize("reference", ["nonsense", "last"])
def test_if_there_is_no_run_yet_the_message_suggests_no_list_of_runs(reference, root):
    with pytest.raises(UserError, match=rf"'{reference}' here, and none below .*/ yet") as said:
        find_run(reference, root)
    assert "'latentkit run' makes one" in str(said.value)
    assert "lists" not in str(said.value)


@pytest.mark.parametrize("reference", ["nonsense", "images"])
def test_the_message_for_an_unknown_run_says_where_it_was_searched(reference, root, new_run):
    new_run(root)
    with pytest.raises(UserError, match=rf"no run '{reference}', here or in .*'latentkit runs'"):
        find_run(reference, root)


def test_only_folders_that_hold_a_run_are_listed_by_name(folder, root, new_run):
    (root / "notes").mkdir()
    (root / "file.txt").write_text("")
    paths = [folder.path, new_run(root, "a").path, new_run(root, "z").path]
    assert run_folders(root) == sorted(paths)
    assert run_folders(root / "nowhere") == []
    with pytest.raises(UserError, match=r"file\.txt is not a folder"):
        run_folders(root / "file.txt")


@pytest.mark.parametrize("reference", ["", " ", ".", "..", "./"])
def test_an_empty_name_or_one_of_dots_is_not_the_start_of_another(root, new_run, reference):
    new_run(root).path.rename(root / ".hidden")
    with pytest.raises(UserError, match=r"name of the run is empty|is not a run: give a name"):
        find_run(reference, root)


def test_a_dot_is_the_current_folder_if_that_is_a_run(folder, root, monkeypatch):
    monkeypatch.chdir(folder.path)
    assert find_run(".", root).resolve() == folder.path


def later_schema(text):
    return json.dumps({"latentkit_run": SCHEMA + 1, "all": "new"})


def half_copied(text):
    return text[: len(text) // 2]


def nested(text):
    return "[" * 100_000


def harm(folder, how, written):
    """Make a run unreadable, and set its time of modification to ``written`` (in seconds)."""
    path = folder.path / NAME
    path.write_text(how(path.read_text()))
    os.utime(folder.path, (written, written))


@pytest.mark.parametrize("how", [later_schema, half_copied, nested])
def test_an_older_run_that_cannot_be_read_does_not_hide_the_last(folder, root, new_run, how):
    last = new_run(root)
    harm(folder, how, written=0)
    assert find_run("last", root) == last.path


@pytest.mark.parametrize("how", [later_schema, half_copied, nested])
def test_a_newer_run_that_cannot_be_read_is_skipped_and_reported(folder, root, new_run, how):
    newer = new_run(root)
    harm(newer, how, written=time.time() + 1)
    with pytest.warns(UserWarning, match=rf"a run .* newer cannot be read: .*{newer.path.name}/"):
        assert find_run("last", root) == folder.path
    told = []
    find_run("last", root, told.append)
    assert [(notice.code, notice.level) for notice in told] == [("unreadable-run", "warning")]


def test_if_no_run_can_be_read_asking_for_the_last_says_why(folder, root, new_run):
    harm(folder, half_copied, written=0)
    with pytest.raises(IntegrityError, match=rf"no run .*{folder.path.name}/run\.json is damaged"):
        find_run("last", root)
    harm(new_run(root), later_schema, written=0)
    with pytest.raises(IntegrityError, match="'latentkit runs' lists 1 more"):
        find_run("last", root)


def test_a_list_of_runs_has_one_line_for_each_that_cannot_be_read(folder, root, new_run):
    damaged, later, fine = (new_run(root, label) for label in ("a", "b", "c"))
    harm(damaged, half_copied, written=0)
    harm(later, later_schema, written=0)
    runs, faults = readable_runs(root)
    assert sorted(run.path for run in runs) == sorted([folder.path, fine.path])
    assert set(faults) == {damaged.path, later.path}
    assert "run.json is damaged" in faults[damaged.path]
    assert "upgrade to read it" in faults[later.path]
    assert all("\n" not in fault for fault in faults.values())
    assert readable_runs(root / "nowhere") == ([], {})


@pytest.fixture
def closed(public_dir, new_run):
    """Return the folder of a run without permission to enter it, beside another run."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs POSIX permissions")
    public_dir.chmod(0o755)
    closed = new_run(public_dir / "runs", "closed").path
    new_run(public_dir / "runs", "open")
    user = os.geteuid()
    closed.chmod(0)
    if user == 0:  # root may enter every folder
        os.seteuid(65534)
    yield closed
    os.seteuid(user)
    closed.chmod(0o755)


def test_a_run_without_permission_to_enter_its_folder_does_not_hide_the_others(closed):
    runs, faults = readable_runs(closed.parent)
    assert ["-open-" in run.path.name for run in runs] == [True]
    assert faults == {closed: f"cannot read {closed}/run.json: Permission denied"}
    assert find_run("last", closed.parent, lambda notice: None) == runs[0].path
    assert find_run(str(closed), closed.parent) == closed
    with pytest.raises(UserError, match=r"cannot read .*-closed-.*: Permission denied"):
        readable_runs(closed)


def test_a_reference_that_is_too_long_for_a_path_is_an_unknown_run(root, new_run):
    new_run(root)
    with pytest.raises(UserError, match="there is no run 'xxx"):
        find_run("x" * 300, root)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "/a"])
def test_a_path_is_refused_as_the_name_of_a_folder(name):
    with pytest.raises(UserError, match="should be the name of a folder; --out sets its parent"):
        check_folder_name(name)
    check_folder_name("a b-1.x")


@pytest.mark.parametrize("created", ["9999-01-01T00:00:00+00:00", "zzzz", "9" * 1000, ""])
def test_a_run_cannot_become_last_by_an_impossible_date(new_run, tmp_path, created):
    mine, sent = new_run(tmp_path), new_run(tmp_path)
    sent.manifest.created = created
    sent.manifest.write(sent.path)
    told = []
    assert find_run("last", tmp_path, told.append) == mine.path
    assert sent.path.name in told[0].message


def test_a_folder_called_last_is_not_the_last_run(new_run, tmp_path):
    mine = new_run(tmp_path)
    mine.path.rename(tmp_path / "last")
    newer = new_run(tmp_path)
    assert find_run("last", tmp_path) == newer.path


@pytest.mark.parametrize("name", ["a\0", "-x", "a\x1bb", "\udcff"])
def test_a_name_that_cannot_be_typed_is_refused(name, tmp_path):
    with pytest.raises(UserError, match="should not begin with '-'"):
        check_folder_name(name)
    with pytest.raises(UserError, match="there is no run"):
        find_run(name, tmp_path)
