"""A folder from a stranger is data: docs/security.md states the promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "hostile_folders.py"


@pytest.mark.early
@pytest.mark.skipif(not hasattr(os, "fork"), reason="each command is executed in a fork")
def test_a_sample_of_hostile_folders_reaches_nothing():
    ended = subprocess.run(
        [sys.executable, SCRIPT, "--every", "7", "--quick"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert " 0 kinds failed" in ended.stdout, ended.stdout + ended.stderr
