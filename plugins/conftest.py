"""What the tests of all plugins share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_trackers() -> Iterator[None]:
    """Keep the trackers from following the runs of tests that do not ask for them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for tracker in ("LATENTKIT_MLFLOW", "LATENTKIT_TENSORBOARD"):
            monkeypatch.setenv(tracker, "off")
        yield
