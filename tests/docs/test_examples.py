"""The examples run, and are what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import latentkit as lk
from latentkit.config import build_config, read_config_file
from latentkit.registry.catalogue import default_registry

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_quickstart_prints_figures_and_pictures(tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "quickstart.py"), "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert 0 < float(lines["test MSE"]) < 0.2
    assert float(lines["10-NN accuracy of the latents"]) > 0.5
    assert (tmp_path / lines["map"]).exists()
    assert (tmp_path / lines["report"]).exists()


def test_the_reference_network_has_the_layers_of_its_description():
    config = build_config(read_config_file(EXAMPLES / "reference_network.toml"), default_registry())
    options = config.model.options.model_dump()
    model = lk.model("conv-ae", (1, 28, 28), **options)
    shapes = [tuple(p.shape) for name, p in model.named_parameters() if name.endswith("weight")]
    assert shapes == [
        (8, 1, 3, 3), (16, 8, 3, 3), (32, 16, 3, 3), (64, 288), (3, 64),
        (64, 3), (288, 64), (32, 16, 3, 3), (16, 8, 3, 3), (8, 1, 3, 3),
    ]  # fmt: skip
    assert (config.training.optimizer, config.training.learning_rate) == ("adam", 5e-4)
