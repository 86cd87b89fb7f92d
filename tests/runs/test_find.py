"""What a user calls a run, and which folder that means."""

import pytest

from latentkit.errors import IntegrityError, UserError
from latentkit.runs.folder import find_run, run_folders


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


def test_a_run_is_found_by_path_id_start_end_and_as_the_last(folder, root, monkeypatch):
    name = folder.path.name
    for reference in (str(folder.path), f"{folder.path}/", name, name[:-2], name[-4:], "last"):
        assert find_run(reference, root).name == name
    monkeypatch.chdir(root)
    assert find_run(name, root / "elsewhere").resolve() == folder.path


def test_the_last_run_is_the_one_made_last_even_within_a_second(root, new_run):
    for number in range(5):
        made = new_run(root, f"net-{number}")
        assert find_run("last", root) == made.path


def test_a_whole_name_is_not_the_start_of_another(folder, root, new_run):
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
def test_where_there_is_no_run_yet_none_is_said_to_be_listed(reference, root):
    with pytest.raises(UserError, match=rf"'{reference}' here, and none below .*/ yet") as said:
        find_run(reference, root)
    assert "'latentkit run' makes one" in str(said.value)
    assert "lists" not in str(said.value)


@pytest.mark.parametrize("reference", ["nonsense", "images"])
def test_an_unknown_run_is_said_with_where_it_was_looked_for(reference, root, new_run):
    new_run(root)
    with pytest.raises(UserError, match=rf"no run '{reference}', here or in .*'latentkit runs'"):
        find_run(reference, root)


def test_only_folders_that_hold_a_run_are_listed_by_name(folder, root, new_run):
    (root / "notes").mkdir()
    (root / "file.txt").write_text("")
    paths = [folder.path, new_run(root, "a").path, new_run(root, "z").path]
    assert run_folders(root) == sorted(paths)
    assert run_folders(root / "nowhere") == []
    assert run_folders(root / "file.txt") == []


def test_the_last_of_runs_one_of_which_is_damaged_names_that_one(folder, root, new_run):
    new_run(root)
    (folder.path / "run.json").write_text("{")
    with pytest.raises(IntegrityError, match=rf"{folder.path.name}/run\.json is damaged"):
        find_run("last", root)
