"""Skips the tests where the plugin is not installed."""

from __future__ import annotations

import pytest

pytest.importorskip(
    "latentkit_torchvision", reason="pip install ./plugins/latentkit-torchvision to test it"
)
