"""``latentkit data``."""

import json
from pathlib import Path

import numpy as np
from PIL import Image


def test_list_says_where_the_images_come_from(latentkit):
    facts = {f["name"]: f for f in json.loads(latentkit("data", "list", "--json").out)}
    assert facts["digits"]["source"] == "bundled"
    assert facts["cifar10"]["source"] == "download"
    assert facts["image-folder"]["source"] == "local"
    assert "image-folder" in latentkit("data", "list").out


def test_preview_draws_a_picture_and_prints_its_path(latentkit):
    ended = latentkit("data", "preview", "sprites", "-o", "sprites.n_train=50")
    assert ended.out.strip() == "sprites-train.png"
    assert Image.open("sprites-train.png").width > 300


def test_verify_counts_and_hashes_both_splits(latentkit):
    found = json.loads(latentkit("data", "verify", "digits", "--json").out)
    assert (found["train"]["n"], found["test"]["n"]) == (1437, 360)
    assert found["train"]["classes"]["0"] == 142
    shown = latentkit("data", "verify", "digits").out
    assert found["test"]["sha256"] in shown
    assert "licence: CC-BY-4.0" in shown


def test_own_images_are_verified_with_their_options(latentkit):
    np.save("images.npy", np.zeros((10, 8, 8), np.uint8))
    found = json.loads(
        latentkit("data", "verify", "npz", "-o", "npz.path=images.npy", "--json").out
    )
    assert (found["train"]["n"], found["train"]["classes"]) == (8, {})


def test_what_is_wrong_is_said_in_one_line(latentkit):
    assert "did you mean 'digits'" in latentkit("data", "verify", "digit").error
    ended = latentkit("data", "preview", "npz", "-o", "npz.path=no.npz")
    assert (ended.code, Path("npz-train.png").exists()) == (4, False)
    assert "cannot read no.npz: No such file" in ended.error
