"""The published severities are valid options, increase, and are listed in the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

pytest.importorskip(
    "latentkit_common_corruptions",
    reason="pip install ./plugins/latentkit-common-corruptions to test it",
)

import latentkit as lk
from latentkit.plugin import strength_option
from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins
from latentkit_common_corruptions.severities import CIFAR_10_C, IMAGENET_C

pytestmark = pytest.mark.usefixtures("blank_figures")

REGISTRY = Registry(find_plugins())
TABLES = {"CIFAR-10-C": CIFAR_10_C, "ImageNet-C": IMAGENET_C}
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", IMAGENET_C)
def test_each_severity_is_an_option_of_an_installed_part_and_damages_an_image(table, name):
    part = REGISTRY.get("corruption", name)
    levels = TABLES[table][name]
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert len(levels) == 5
    for level in levels:
        damaged = part.target()(part.options(level))(images, torch.Generator().manual_seed(0))
        assert not torch.allclose(damaged, images, atol=1e-3)


@pytest.mark.parametrize("table", TABLES)
def test_severities_increase(table):
    for name, levels in TABLES[table].items():
        option, _ = strength_option(REGISTRY.get("corruption", name).options_type())
        values = [level[option] for level in levels]
        assert values == sorted(values), name


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", IMAGENET_C)
def test_the_readme_lists_the_same_severities(table, name):
    rows = re.search(rf"^### {table}.*?$(.*?)(?=^#|\Z)", README, re.M | re.S)[1]
    row = re.search(rf"^\| `{name}` \| (.*?) \| (.*) \|$", rows, re.M)
    options = re.findall(r"`(\w+)`", row[1])
    for cell, level in zip(row[2].split(" | "), TABLES[table][name], strict=True):
        stated = [float(word) for word in cell.split(", ")]
        assert stated == pytest.approx([level[option] for option in options], abs=5e-4)
        assert set(options) == set(level)


def test_a_run_learns_to_remove_them_and_is_measured_at_other_strengths(tmp_path):
    run = lk.run(
        dataset="sprites",
        corrupt=["shot-noise", "pixelate", "lines"],
        epochs=1,
        options={
            "dataset.n_train": 200,
            "dataset.n_test": 50,
            "lines.width": 1,
            "shot-noise.std": 0.2,
            "model.channels": [4, 8],
            "model.hidden": 16,
            "model.latent_dim": 3,
            "threads": 1,
        },
        out=tmp_path,
    )
    points = run.evaluation["robustness"]["points"]
    assert [one["corruption"] for one in points[0]["strengths"]] == [
        "shot-noise",
        "pixelate",
        "lines",
    ]
    damage = [point["mse_of_corrupted"]["value"] for point in points]
    assert damage == sorted(damage)
