"""Skips the tests where the plugin is not installed."""

from __future__ import annotations

import pytest

pytest.importorskip("latentkit_timm", reason="pip install ./plugins/latentkit-timm to test it")
