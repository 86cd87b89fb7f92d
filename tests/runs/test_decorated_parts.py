"""A run, its resumption, a new map and a study of parts that decorators made in one file."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import latentkit as lk

pytestmark = pytest.mark.usefixtures("blank_figures")

PARTS = '''
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from latentkit.plugin import SearchRange, corruption, dataset, embedding, model, strength


@dataset
def bars(split, *, count: int = 60):
    """A bright bar, lying or standing."""
    generator = np.random.default_rng(("train", "test").index(split))
    images, labels = generator.random((count, 8, 8)) / 4, np.arange(count) % 2
    for image, label, place in zip(images, labels, generator.integers(0, 8, count)):
        (image if label == 0 else image.T)[place] = 1
    return images, labels, ("lying", "standing")


@corruption
def shade(images, generator, *, share: Annotated[float, Field(ge=0, le=1), strength] = 0.25):
    """Blacken the lower part of every image."""
    hidden = images.clone()
    hidden[:, :, images.shape[2] - round(share * images.shape[2]) :] = 0
    return hidden


@model
class Tiny(torch.nn.Module):
    """A linear autoencoder."""

    def __init__(self, image_shape, *, latent_dim: Annotated[int, SearchRange(2, 4)] = 3):
        super().__init__()
        self.latent_dim, pixels = latent_dim, int(np.prod(image_shape))
        self.encode = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(pixels, latent_dim))
        self.decode = torch.nn.Sequential(
            torch.nn.Linear(latent_dim, pixels),
            torch.nn.Sigmoid(),
            torch.nn.Unflatten(1, image_shape),
        )

    def loss(self, inputs, targets, *, step):
        return {"loss": (self.decode(self.encode(inputs)) - targets).square().mean()}


@embedding
def plane(vectors, random_state, *, turn: bool = False):
    """Show two latents."""
    return vectors[:, 1::-1] if turn else vectors[:, :2]
'''
OPTIONS = {"threads": 1, "tiny.latent_dim": 2, "shade.share": 0.5}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugins") / "own.py"
    path.write_text(PARTS)
    return path


@pytest.fixture(scope="module")
def run(file, tmp_path_factory):
    """Return a run of four decorated parts; tests may only add to it."""
    return lk.run(
        model="tiny",
        dataset="bars",
        corrupt=["shade"],
        embed=["plane"],
        plugins=[file],
        epochs=1,
        options=OPTIONS,
        out=tmp_path_factory.mktemp("runs"),
    )


def test_a_run_uses_decorated_parts_with_their_options(run):
    assert run.latents("test").shape == (60, 2)
    assert np.array_equal(run.coordinates("plane"), run.latents("test"))
    assert run.config.corruptions[0].as_dict() == {"name": "shade", "share": 0.5}
    strongest = run.evaluation["robustness"]["points"][-1]["strengths"]
    assert strongest == [{"corruption": "shade", "option": "share", "value": 1.0}]


def test_a_decorated_run_is_opened_resumed_and_mapped_without_naming_the_file_again(run):
    assert lk.open(run.path).model.latent_dim == 2
    assert len(lk.resume(run.path, epochs=2).history) == 2


def test_workers_of_a_study_load_decorated_parts_and_search_their_ranges(file, tmp_path):
    words = ["tune", "--plugin", file, "--model", "tiny", "--dataset", "bars", "--trials", "2"]
    words += ["--workers", "2", "--epochs", "1", "--no-finish", "--out", tmp_path, "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "latentkit", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    assert [trial["state"] for trial in trials] == ["complete", "complete"]
    assert all(trial["params"]["model.latent_dim"] in (2, 3, 4) for trial in trials)
