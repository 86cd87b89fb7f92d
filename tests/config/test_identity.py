"""A configuration is written as TOML, reads back unchanged, and is identified by one hash."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentkit.config import RunConfig, build_config, canonical_sha256
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.registry.discovery import find_plugins

REGISTRY = Registry(found for found in find_plugins() if found.built_in)


def build(document=None, **arguments):
    return build_config(document or {}, REGISTRY, **arguments)


def tables(required, **optional):
    return st.fixed_dictionaries({"name": st.just(required)}, optional=optional)


MAPS = {
    "pca": tables("pca", n_components=st.integers(2, 3)),
    "isomap": tables("isomap", n_neighbors=st.integers(2, 1000)),
}
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 2**31 - 1),
        "device": st.sampled_from(["auto", "cpu", "cuda"]),
        "model": tables(
            "conv-ae",
            latent_dim=st.integers(1, 4096),
            channels=st.lists(st.integers(1, 2048), min_size=1, max_size=8),
            norm=st.sampled_from(["none", "batch", "group"]),
        ),
        "dataset": tables(
            "fashion-mnist", mirror=st.from_regex(r"\A(https?://[^\n\ud800-\udfff]{1,9})?\Z")
        ),
        "corruption": st.lists(tables("gaussian-noise", std=st.floats(0, 10)), max_size=3),
        "embedding": st.lists(st.sampled_from(list(MAPS)), unique=True).flatmap(
            lambda names: st.tuples(*(MAPS[name] for name in names)).map(list)
        ),
        "training": st.fixed_dictionaries(
            {},
            optional={
                "epochs": st.one_of(st.just("auto"), st.integers(1, 10**6)),
                "learning_rate": st.floats(1e-300, 1e300),
            },
        ),
        "split": st.fixed_dictionaries({}, optional={"validation": st.floats(1e-9, 1 - 1e-9)}),
    },
)


def shuffled(value, random):
    """Return a document with the keys of each table in another order; lists are unchanged."""
    if isinstance(value, list):
        return [shuffled(item, random) for item in value]
    if not isinstance(value, dict):
        return value
    keys = random.sample(list(value), len(value))
    return {key: shuffled(value[key], random) for key in keys}


@given(DOCUMENTS, st.randoms(use_true_random=False))
def test_the_order_of_keys_changes_neither_configuration_nor_hash(document, random):
    config, other = build(document), build(shuffled(document, random))
    assert other == config
    assert other.identity_sha256() == config.identity_sha256()


@given(DOCUMENTS)
def test_a_written_configuration_reads_back_as_the_same_run(document):
    config = build(document)
    again = build(tomllib.loads(config.to_toml()))
    assert again == config
    assert again.identity_sha256() == config.identity_sha256()
    assert again.to_toml() == config.to_toml()


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON), st.randoms(use_true_random=False))
def test_the_hash_of_any_document_does_not_depend_on_the_order_of_keys(document, random):
    assert canonical_sha256(shuffled(document, random)) == canonical_sha256(document)


def test_flags_and_overrides_are_written_to_the_configuration():
    config = build(
        {"seed": 3, "model": {"name": "conv-ae", "latent_dim": 3}},
        dataset="fashion-mnist",
        corruptions=["gaussian-noise"],
        embeddings=["isomap", "pca"],
        overrides={"isomap.n_neighbors": 7, "training.epochs": 2, "gaussian-noise.std": 0.1},
    )
    again = build(tomllib.loads(config.to_toml()))
    assert isinstance(again, RunConfig)
    assert again == config
    assert again.embeddings[0].options.n_neighbors == 7


def test_the_written_document_names_every_default():
    document = tomllib.loads(build(embeddings=["isomap"]).to_toml())
    assert document["seed"] == 0
    assert document["model"]["norm"] == "batch"
    (isomap,) = document["embedding"]
    options = build(embeddings=["isomap"]).embeddings[0].options
    assert isomap == {"name": "isomap", **options.model_dump()}
    assert "corruption" not in document


@pytest.mark.parametrize(
    "change",
    [
        {"overrides": {"seed": 1}},
        {"overrides": {"model.latent_dim": 5}},
        {"overrides": {"training.epochs": 3}},
        {"overrides": {"split.validation": 0.1}},
        {"corruptions": ["gaussian-noise"]},
        {"dataset": "fashion-mnist"},
    ],
    ids=str,
)
def test_every_setting_that_affects_the_model_changes_the_identity(change):
    assert build(**change).identity_sha256() != build().identity_sha256()


def test_maps_do_not_change_the_identity():
    assert build(embeddings=["pca"]).identity_sha256() == build().identity_sha256()


def test_a_part_with_an_ambiguous_name_is_written_with_its_distribution(install_plugin):
    code = """
        from latentkit.plugin import EmbeddingSpec, hookimpl
        LATENTKIT_HOOKSPEC_VERSION = 1

        @hookimpl
        def latentkit_embeddings():
            yield EmbeddingSpec(name="pca", summary="A map", target="json:dumps")
    """
    install_plugin("my_maps", code)
    registry = default_registry()
    config = build_config({}, registry, embeddings=["latentkit:pca", "my-maps:pca"])
    assert [part.name for part in config.embeddings] == ["latentkit:pca", "my-maps:pca"]
    assert [part.slug for part in config.embeddings] == ["latentkit.pca", "my-maps.pca"]
    assert build_config(tomllib.loads(config.to_toml()), registry) == config
