"""Keeps the tests off the network, and makes the plugin known where it is not installed."""

from __future__ import annotations

import os

import pytest

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
pytest.importorskip(
    "latentkit_huggingface", reason="pip install ./plugins/latentkit-huggingface to test it"
)
