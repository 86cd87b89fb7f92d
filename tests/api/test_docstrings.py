"""Every public name documents arguments, result and errors, and its example works."""

from __future__ import annotations

import doctest
import inspect
import shutil
from pathlib import Path

import pytest

import latentkit as lk
from latentkit.runs.autoencoder_kind import AutoencoderKind

pytestmark = pytest.mark.early

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PUBLIC = {name: getattr(lk, name) for name in lk.__all__ if name != "__version__"}
EXPLORING = {
    f"explore.{name}": value
    for name in lk.explore.__all__
    if inspect.isfunction(value := getattr(lk.explore, name))
}
NAMES = PUBLIC | EXPLORING
FUNCTIONS = {name: value for name, value in NAMES.items() if inspect.isfunction(value)}
MADE_BY = {"runs": "run", "studies": "tune"}
"""Which name's example makes what the other examples open."""


def example(name: str) -> doctest.DocTest:
    text = inspect.getdoc(NAMES[name]) or ""
    return doctest.DocTestParser().get_doctest(text, {}, name, name, 0)


def execute(name: str) -> None:
    report: list[str] = []
    ended = doctest.DocTestRunner(optionflags=FLAGS).run(example(name), out=report.append)
    assert not ended.failed, "".join(report)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Return a folder with the run and the study that the examples open."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patched:
        for kind, name in MADE_BY.items():
            alone = folder / name
            alone.mkdir()
            patched.chdir(alone)
            execute(name)
            (alone / kind).rename(folder / kind)
    return folder


@pytest.fixture
def beside_a_run_and_a_study(made, tmp_path, monkeypatch, undrawn, request) -> None:
    """Change to a folder of this test only, which holds a run and a study.

    A report takes most of the time, so only the example about reports draws one.
    """
    if "write_report" not in request.node.name:
        monkeypatch.setattr(AutoencoderKind, "_report", lambda kind, context, svg: None)
    for kind in MADE_BY:
        shutil.copytree(made / kind, tmp_path / kind)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(MADE_BY.values())))
def test_the_example_of_a_public_name_gives_the_output_it_shows(name, beside_a_run_and_a_study):
    execute(name)


def test_the_examples_that_make_a_run_and_a_study_work(made):
    assert {path.name for path in made.iterdir()} >= set(MADE_BY)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_public_name_has_an_example(name):
    assert example(name).examples, f"latentkit.{name} has no example: write one, with >>>"


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_public_function_documents_arguments_result_and_errors(name):
    text = inspect.getdoc(FUNCTIONS[name]) or ""
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    assert [one for one in parameters if f" {one}: " not in text.replace("*", "")] == []
    assert [part for part in ("Returns:\n", "Raises:\n") if part not in text] == []


@pytest.mark.parametrize("kind", [value for value in PUBLIC.values() if inspect.isclass(value)])
def test_public_members_of_a_public_class_have_docstrings(kind):
    own = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
    described = {n: v for n, v in own.items() if callable(v) or hasattr(v, "__get__")}
    assert [name for name, value in described.items() if not inspect.getdoc(value)] == []
