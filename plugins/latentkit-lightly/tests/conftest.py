"""Skips the tests where the plugin is not installed."""

from __future__ import annotations

import pytest

pytest.importorskip(
    "latentkit_lightly", reason="pip install ./plugins/latentkit-lightly to test it"
)
