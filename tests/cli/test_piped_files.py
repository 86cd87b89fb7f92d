"""A configuration or report file may be a pipe, which can be read only once."""

import json
import os
import tomllib
from pathlib import Path

import pytest

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures", "undrawn")]

SMALL = """
threads = 1
[model]
name = "dense-ae"
hidden = [16]
latent_dim = 3
[training]
epochs = 1
"""


@pytest.fixture
def piped():
    """Return a function that sends a text to this process's stdin and returns the path of stdin."""
    if not os.path.exists("/dev/stdin"):  # noqa: PTH110
        pytest.skip("this system has no /dev/stdin")
    before = os.dup(0)

    def put(text: str) -> str:
        read, write = os.pipe()
        os.write(write, text.encode())
        os.close(write)
        os.dup2(read, 0)
        os.close(read)
        return "/dev/stdin"

    yield put
    os.dup2(before, 0)
    os.close(before)


def config_of(run: Path) -> dict:
    return tomllib.loads((run / "config.toml").read_text())


def test_a_run_is_trained_with_the_piped_configuration(latentkit, piped):
    ended = latentkit("run", "--config", piped(SMALL), "-q")
    assert ended.code == 0, ended.err
    config = config_of(Path(ended.out.strip()))
    assert (config["model"]["name"], config["training"]["epochs"]) == ("dense-ae", 1)


def test_the_piped_configuration_is_printed(latentkit, piped):
    ended = latentkit("run", "--config", piped(SMALL), "--print-config")
    assert tomllib.loads(ended.out)["model"]["latent_dim"] == 3


def test_a_transfer_is_trained_with_the_piped_configuration(latentkit, finished, piped):
    text = "threads = 1\n[training]\nepochs = 1\n[transfer]\nmode = 'probe'\nhidden = [7]\n"
    ended = latentkit("transfer", "last", "--no-maps", "--config", piped(text), "-q")
    assert ended.code == 0, ended.err
    config = config_of(Path(ended.out.strip()))
    assert config["transfer"]["mode"] == "probe"
    assert config["transfer"]["hidden"] == [7]


def test_a_study_searches_around_the_piped_configuration(latentkit, piped):
    ended = latentkit(
        "tune", "--config", piped(SMALL), "--trials", "1", "--no-finish", "--json", "-q"
    )
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["study"] == "dense-ae-digits"
    assert config_of(Path("studies/dense-ae-digits/runs/trial-0000"))["training"]["epochs"] == 1


def test_a_page_is_written_from_a_piped_report(latentkit, piped):
    text = 'title = "Digits"\n[[chapter]]\ntitle = "Data"\ntext = "1,797 of them."\n'
    ended = latentkit("page", piped(text), "--out", "page.html")
    assert ended.code == 0, ended.err
    assert "1,797 of them." in Path("page.html").read_text()
