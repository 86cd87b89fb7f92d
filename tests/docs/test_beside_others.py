"""The page "latentkit beside others" shows the code that it measures, and losses and wins."""

from __future__ import annotations

import argparse
import inspect
import re
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def beside():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(str(BENCHMARKS))
        import beside_others

        yield beside_others


def page_of(beside, rows, *notes):
    defaults = {"rounds": 3, "limit": 180.0, "images": None, "points": None}
    asked = argparse.Namespace(rows=["isomap"], defaults=defaults, **{**defaults, "points": 500})
    page = beside.Page(asked)
    page.done["isomap"] = rows, list(notes)
    return page.text()


def figures(seconds, accuracy):
    shares = {"trustworthiness": 0.95, "continuity": 0.96, "10-NN accuracy": accuracy}
    return {"seconds": seconds, "peak": 300.0, **shares}


def test_every_way_has_code_whose_arguments_can_be_made(beside):
    ways = [way for task in beside.TASKS.values() for way in task.ways]
    assert len(ways) > 20
    inputs = beside.Inputs(
        Path("nowhere"), Path("nowhere"), {**beside.FIXED, "images": 1, "epochs": 1}
    )
    names = {*dir(beside.Inputs), *vars(inputs)}
    for way in ways:
        parameters = inspect.signature(beside.found(way.code)).parameters.values()
        asked = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD}
        assert asked <= names, way.code
        assert beside.lines_of(way) >= 2


def test_the_page_shows_medians_code_and_what_is_missing(beside):
    ours = [figures(seconds, 0.8) for seconds in (3.0, 1.0, 2.0)]
    rows = {"latentkit": ours, "scikit-learn": [figures(20.0, 0.8)]}
    text = page_of(beside, rows, "other is left out: other not installed")
    assert "| latentkit | 2.00 | 1.00 | 300 | 0.9500 | 0.9600 | 0.8000 | 2 |" in text
    assert "| scikit-learn | 20.0 | 10.00 | 300 |" in text
    assert "- scikit-learn: 1 of 3 rounds." in text
    assert "- other is left out: other not installed." in text
    assert "The same 500 vectors" in text
    assert "--rows isomap --points 500" in text
    assert "    return Isomap(n_neighbors=10).fit_transform(vectors)" in text


def test_losses_are_named(beside):
    def behind(**peer):
        rows = {"latentkit": [figures(2.0, 0.8)], "scikit-learn": [{**figures(2.0, 0.8), **peer}]}
        part = page_of(beside, rows).partition("## Where latentkit is behind")[2]
        return re.findall(r"^- Isomap, (.*?): scikit-learn", part.partition("\n## ")[0], re.M)

    assert behind() == []
    text = page_of(beside, {}, "latentkit: stopped after 180 s")
    assert "- Isomap: latentkit: stopped after 180 s." in text
    assert behind(seconds=1.99, peak=310.0) == []
    assert behind(seconds=1.9, peak=200.0) == ["seconds", "peak RSS in MB"]
    assert behind(**{"10-NN accuracy": 0.81, "continuity": 0.9}) == ["10-NN accuracy"]


def test_docstrings_are_not_shown_and_not_counted(beside):
    source = beside.code_of("notebook_networks:Autoencoder")
    assert '"""' not in source
    assert source.startswith("class Autoencoder(nn.Module):\n    def __init__(")
