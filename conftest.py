"""Which tests are for every day, in which order workers are handed their files; blank figures.

A bare ``pytest`` leaves the longest out; ``pytest --slow`` runs everything, and files or folders
that are named are run as a whole.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

# Kills at random moments, whole pages of the docs typed in, the contract of all that is built in.
SLOW = (
    "tests/pipeline/test_kill.py",
    "tests/docs/test_tutorial.py",
    "tests/docs/test_reference_study.py",
    "tests/docs/test_plugin_guide.py",
    "plugins/latentkit-pythae/tests/test_conformance.py",
    "tests/testing/test_builtins.py",
    "tests/docs/test_broken_plugins.py",
    "tests/cli/test_plugins_new.py",
    "tests/docs/test_examples.py",
    "tests/docs/test_integrations.py",
    "plugins/latentkit-pythae/tests/test_models.py",
    "tests/docs/test_notebook.py",
    "tests/docs/test_exploration_page.py",
    "tests/builtins/test_optuna_faults.py",
    "tests/pipeline/studies/test_study_kill.py",
    "tests/builtins/test_optuna_postgresql.py",
)
# Among those of every day: begun late, they would keep one worker busy after all others.
LONG = (
    "tests/pipeline/test_run.py",
    "tests/pipeline/test_card.py",
    "tests/pipeline/test_longer.py",
    "tests/cli/test_embed.py",
    "tests/cli/test_run.py",
    "tests/builtins/test_optuna_tuner.py",
    "tests/cli/test_errors.py",
    "tests/api/test_docstrings.py",
    "tests/builtins/test_vae.py",
    "tests/cli/test_verdict.py",
    "tests/cli/test_transfer.py",
    "tests/pipeline/test_transfer.py",
    "tests/neighbors/test_index.py",
    "tests/training/test_uncompiled.py",
)
_BLANK = base64.b64decode(  # a PNG of one white pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg=="
)
_DRAWN = ("latentkit.pipeline.pages.assembly.drawn", "latentkit.pipeline.studies.pages.drawn")
_PLACES = {path: place for place, path in enumerate((*SLOW, *LONG))}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--slow``."""
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first, and leave out what is not for every day."""
    items.sort(key=lambda item: _PLACES.get(_file(item), len(_PLACES)))
    if config.option.slow or config.option.file_or_dir:
        return
    left_out = [item for item in items if _file(item) in SLOW]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if _file(item) not in SLOW]


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


@pytest.fixture(scope="module")
def blank_figures() -> Iterator[None]:
    """Give reports blank pictures in place of figures, whose drawing takes most of a short run.

    For modules in which hardly a test looks at one; that one asks for `real_figures`.
    """
    from latentkit.report.parts import Picture

    def blank(folder, commit, drawings, missing, *, svg=False):
        for drawing in drawings:
            commit(f"figures/{drawing.name}.png", lambda path: path.write_bytes(_BLANK))
        return [Picture(one.title, "", _BLANK, key=one.name) for one in drawings]

    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in _DRAWN:
            monkeypatch.setattr(name, blank)
        yield


@pytest.fixture
def real_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw figures in this test, in a module of blank ones."""
    from latentkit.pipeline.pages.drawing import drawn

    for name in _DRAWN:
        monkeypatch.setattr(name, drawn)
