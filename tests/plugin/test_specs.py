"""A spec refuses faulty fields when it is created, before they fail in use."""

import pytest

from latentkit.plugin import DatasetSpec, EmbeddingSpec, ModelSpec
from latentkit.plugin.specs import SPEC_TYPES

GOOD = {"name": "my-net", "summary": "A network", "target": "pkg.net:build"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "My Net"),
        ("name", "-net"),
        ("name", ""),
        ("summary", "two\nlines"),
        ("summary", " "),
        ("target", "pkg.net"),
        ("target", lambda: None),
        ("options", "pkg.options:"),
        ("tags", "transductive"),
        ("requires", "torch>=2"),
        ("requires", (1,)),
    ],
)
def test_a_field_of_the_wrong_form_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        ModelSpec(**{**GOOD, field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("files", "images.bin"),
        ("files", ("/images.bin",)),
        ("files", ("../images.bin",)),
        ("files", ("",)),
        ("files", (1,)),
        ("megabytes", -1),
        ("megabytes", "30"),
    ],
)
def test_files_of_a_data_set_are_below_the_folder_of_data_sets(field, value):
    with pytest.raises(ValueError, match=field):
        DatasetSpec(**GOOD, **{field: value})


def test_a_spec_is_frozen_and_its_collections_are_immutable():
    spec = EmbeddingSpec(**GOOD, tags={"inverse"}, requires=["umap-learn>=0.5"])
    assert spec.tags == frozenset({"inverse"})
    assert spec.requires == ("umap-learn>=0.5",)
    with pytest.raises(AttributeError):
        spec.name = "other"  # type: ignore[misc]


def test_there_are_five_kinds():
    assert list(SPEC_TYPES) == ["model", "dataset", "corruption", "embedding", "tuner"]
