import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import latentkit as lk

pytestmark = pytest.mark.usefixtures("blank_figures")

NOISE = np.random.default_rng(0).integers(0, 256, (40, 6, 6), dtype=np.uint8)
VIEWS = [
    ["traversal", "--item", "class:3", "--steps", 5],
    ["grid", "--steps", 4],
    ["interpolate", "class:0", "class:7", "--steps", 5],
    ["samples", "-n", 12, "--components", 3],
    ["arithmetic", "class:1", "--plus", "7", "--minus", "1"],
    ["neighbours", 0, "class:7", "--count", 2],
    ["settings", "--item", 0, "--item", 1],
]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view[0])
def test_a_view_is_drawn_into_the_figures_of_the_run(latentkit, finished, view):
    ended = latentkit("explore", finished, *view)
    assert ended.code == 0, ended.err
    paths = [finished / "figures" / f"explore-{view[0]}{suffix}" for suffix in (".png", ".svg")]
    assert [Path(line).absolute() for line in ended.out.split()] == paths
    pixels = imread(paths[0])
    assert pixels.std() > 0.05
    assert pixels.shape[1] > 300
    drawn = paths[1].read_text(encoding="utf-8")
    assert "conv-ae on digits" in drawn or "digits: the same items" in drawn
    assert lk.open(finished).figures[f"explore-{view[0]}"] == paths[0]


def test_drawing_the_same_view_again_gives_the_same_bytes(latentkit, finished):
    drawn = []
    for name in ("a", "b"):
        ended = latentkit("explore", finished, "samples", "-n", 4, "--out", name)
        assert ended.code == 0, ended.err
        assert ended.out.split() == [f"{name}.png", f"{name}.svg"]
        drawn.append([Path(path).read_bytes() for path in ended.out.split()])
    assert drawn[0] == drawn[1]
    assert not (finished / "figures" / "explore-samples.png").exists()


def test_the_suffix_of_the_file_decides_its_format(latentkit, finished):
    ended = latentkit("explore", finished, "grid", "--steps", 2, "--out", "plane.svg")
    assert ended.out.split() == ["plane.svg"]
    ended = latentkit("explore", finished, "grid", "--steps", 2, "--out", "plane.pdf")
    assert ended.code == 2
    assert "plane.pdf: a figure's file name must end in .png or .svg" in ended.error


def test_several_runs_are_labelled_by_the_options_that_differ(latentkit, finished, small):
    other = latentkit("run", *small, "--seed", 1, "--quiet").out.strip()
    ended = latentkit("explore", finished, "settings", other, "--out", "both.svg")
    assert ended.code == 0, ended.err
    drawn = Path("both.svg").read_text(encoding="utf-8")
    assert re.findall(r"seed \d", drawn) == ["seed 0", "seed 1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["travers"], "no run and no view 'travers' (did you mean 'traversal'?)"),
        (["traversal", "--item", 360], "no test item 360: give a number from 0 to 359"),
        (["traversal", "--dimension", 3], "no latent dimension 3: choose from 0 to 2"),
        (["grid", "--dimensions", "0"], "should be two numbers, such as 0,1"),
        (["interpolate", "0", "class:x"], "no class 'x'; known classes: 0, 1, 2"),
        (["samples", "--from", "prior"], "model 'conv-ae' has no prior to draw from"),
        (["samples", "-n", 0], "0 samples cannot be drawn"),
        (["neighbours"], "say whose neighbours to show: one or more ITEMs, or --samples N"),
        (["settings", "absent"], "there is no run 'absent'"),
    ],
)
def test_a_view_that_cannot_be_drawn_is_refused_in_one_line(
    latentkit, finished, arguments, message
):
    ended = latentkit("explore", finished, *arguments)
    assert ended.code == 2, ended
    assert message in ended.error


def test_with_one_latent_dimension_there_is_no_grid_and_no_spherical_path(latentkit, tmp_path):
    own = tmp_path / "own.npz"
    np.savez(own, images=NOISE, labels=np.zeros(len(NOISE), int))
    options = ("-o", f"npz.path={own}", "-o", "model.latent_dim=1", "-o", "threads=1")
    ran = latentkit(
        "run", "--model", "dense-ae", "--dataset", "npz", "--epochs", 1, "--quiet", *options
    )
    assert ran.code == 0, ran.err
    run = ran.out.strip()
    latents = lk.open(run).latents()[:, 0] - lk.open(run).latents("train").mean()
    left, right = int(latents.argmin()), int(latents.argmax())
    ended = latentkit("explore", run, "interpolate", left, right)
    assert ended.code == 0, ended.err
    assert "the spherical path is left out: the two latents lie on opposite sides" in ended.err
    assert latentkit("explore", run, "interpolate", left, right, "--way", "spherical").code == 2
    assert "two latent dimensions, but there is one" in latentkit("explore", run, "grid").error
    own.unlink()
    assert latentkit("explore", run, "traversal", "--item", "class:0").code == 0
    assert f"cannot read {own}" in latentkit("explore", run, "neighbours", 0).error
