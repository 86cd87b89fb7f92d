"""`VerifiedFiles` as a plugin uses it, with a local server: a file arrives whole or not at all."""

import functools
import hashlib
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import latentkit as lk
from latentkit.cli.data_command import data_command
from latentkit.cli.main import cli
from latentkit.errors import DataError, NetworkError
from latentkit.plugin import VerifiedFiles
from latentkit.plugin.downloads import files_compared, no_downloads

NOWHERE = "http://127.0.0.1:9"
CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def address(tmp_path):
    """Serve ``images.bin``, and yield the address of its folder."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "images.bin").write_bytes(CONTENT)
    handler = functools.partial(Quiet, directory=str(served))
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


def files(tmp_path, *mirrors, md5=MD5):
    return VerifiedFiles("Mine", tmp_path / "cache", "Mine/raw", {"images.bin": md5}, mirrors)


@pytest.mark.parametrize("form", ["{}", "{}/", "{}/{{name}}?download=1"])
def test_a_mirror_is_a_folder_or_a_pattern_with_the_file_name(tmp_path, address, form):
    wanted = files(tmp_path, NOWHERE, form.format(address))
    assert wanted.content("images.bin") == CONTENT
    assert [path.name for path in wanted.folder.iterdir()] == ["images.bin"]


def test_a_large_file_is_downloaded_and_checked_without_loading_it_into_memory(tmp_path, address):
    path = files(tmp_path, address).path("images.bin")
    assert path == tmp_path / "cache" / "Mine" / "raw" / "images.bin"
    assert path.read_bytes() == CONTENT
    assert files(tmp_path, NOWHERE).path("images.bin") == path


def test_the_file_gets_its_name_only_once_it_is_complete(tmp_path, address, monkeypatch):
    wanted, seen = files(tmp_path, address), []

    def fetch(url, path):
        with Path(path).open("wb") as file:
            file.write(CONTENT[:1000])
            seen.append((wanted.folder / "images.bin").exists())
            file.write(CONTENT[1000:])

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", fetch)
    monkeypatch.setattr("torchvision.datasets.utils.check_integrity", lambda *_: bool(seen))
    assert wanted.content("images.bin") == CONTENT
    assert seen == [False]


@pytest.mark.parametrize("ask", ["content", "path"])
def test_a_damaged_file_is_named_with_its_expected_md5(tmp_path, ask):
    wanted = files(tmp_path, NOWHERE)
    wanted.folder.mkdir(parents=True)
    (wanted.folder / "images.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match=rf"images.bin is damaged: its MD5 is not {MD5}; delete it"):
        getattr(wanted, ask)("images.bin")


@pytest.mark.parametrize("ask", ["content", "path"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, ask):
    wanted = files(tmp_path, NOWHERE)
    (wanted.folder / "images.bin").mkdir(parents=True)
    with pytest.raises(DataError, match=r"cannot read .*images.bin: it is a folder, not a file"):
        getattr(wanted, ask)("images.bin")


def test_each_file_that_was_verified_is_listed_once_while_files_are_recorded(tmp_path):
    wanted = files(tmp_path, NOWHERE)
    wanted.folder.mkdir(parents=True)
    path = wanted.folder / "images.bin"
    path.write_bytes(CONTENT)
    with files_compared() as compared:
        wanted.content("images.bin")
        wanted.path("images.bin")
        assert compared == [path]
        path.write_bytes(b"another")
        with files_compared() as inner, pytest.raises(DataError):
            wanted.content("images.bin")
        assert (inner, compared) == ([], [path])
    path.write_bytes(CONTENT)
    wanted.content("images.bin")
    assert compared == [path]


def test_a_download_with_another_md5_is_not_kept(tmp_path, address):
    wanted = files(tmp_path, address, md5="0" * 32)
    with pytest.raises(NetworkError, match="Mine could not be downloaded") as raised:
        wanted.content("images.bin")
    assert re.search(rf"images.bin \(MD5 {'0' * 32}\)", str(raised.value))
    assert not list(wanted.folder.iterdir())


def test_nothing_is_downloaded_inside_the_block_and_the_message_says_how(tmp_path, address):
    wanted = files(tmp_path, address)
    with no_downloads("mine", {"mirror": address, "size": 64}):
        with pytest.raises(DataError, match=r"raw lacks images\.bin of Mine, and nothing") as said:
            wanted.content("images.bin")
        assert f"latentkit data verify mine -o mine.size=64 --data-dir {tmp_path / 'cache'}" in str(
            said.value
        )
        assert address not in str(said.value)
        assert not wanted.folder.exists()
    assert wanted.content("images.bin") == CONTENT
    with no_downloads("mine"):
        assert wanted.path("images.bin").read_bytes() == CONTENT


def test_the_command_that_fetches_files_exists():
    with no_downloads("kmnist"), pytest.raises(DataError) as said:
        lk.dataset("kmnist", data="nowhere")
    words = re.search(r"latentkit (data verify kmnist --data-dir \S+)", str(said.value))[1].split()
    # With its parents, because click keeps the names of --help that it finds first.
    outer = cli.make_context("latentkit", list(words))
    group = data_command.make_context("data", words[1:], parent=outer)
    command = data_command.commands[words[1]]
    assert command.make_context(words[1], words[2:], parent=group).params["name"] == "kmnist"
    assert "train-images-idx3-ubyte.gz, " in str(said.value)
