import re

import numpy as np
import pytest

from latentkit.errors import IntegrityError
from latentkit.evaluation.card_tables import quality_line
from latentkit.maps import quality as module
from latentkit.maps.quality import map_quality
from latentkit.runs.autoencoder_kind import AutoencoderKind
from latentkit.runs.summary import summarise


def line(coordinates, labels=None):
    vectors = np.random.default_rng(0).normal(size=(len(coordinates), 3))
    return quality_line(map_quality(vectors, coordinates, labels).as_dict())


def test_the_summary_line_of_a_map_has_its_main_figures():
    coordinates = np.random.default_rng(0).normal(size=(60, 3))
    assert line(coordinates, np.zeros(60, np.int64)) == (
        "trustworthiness 1.000, continuity 1.000, area under R_NX 1.000, Spearman correlation "
        "1.000, stress 0.000, 10-NN accuracy 1.000 (latents 1.000)"
    )


def test_the_summary_line_of_a_map_leaves_out_missing_figures():
    text = line(np.zeros((60, 2)))
    assert "Spearman" not in text
    assert "accuracy" not in text
    assert "stress 1.000" in text


def test_the_summary_line_of_a_sampled_map_has_errors_and_the_sample_size(monkeypatch):
    monkeypatch.setattr(module, "EXACT_LIMIT", 50)
    monkeypatch.setattr(module, "ANCHORS", 40)
    text = line(np.random.default_rng(1).normal(size=(1200, 2)))
    assert re.match(r"trustworthiness 0\.\d{3}, continuity 0\.\d{3} ± 0\.\d{3}, ", text)
    assert text.endswith("; sampled at 40 of 1,200 points")


@pytest.mark.parametrize("config", [{}, {"model": None}, {"model": {"name": "net"}}], ids=str)
def test_a_run_whose_configuration_is_incomplete_is_damaged(folder, config):
    folder.manifest.config = config
    with pytest.raises(IntegrityError, match=r"run\.json is damaged: config is incomplete"):
        summarise(folder, AutoencoderKind())
