"""A configuration is validated before anything slow begins, and says what is wrong with it."""

import subprocess
import sys
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentkit.config import (
    build_config,
    canonical_sha256,
    parse_override,
    read_config_file,
)
from latentkit.errors import UserError
from latentkit.registry.catalogue import default_registry


def build(document=None, **arguments):
    return build_config(document or {}, default_registry(), **arguments)


def test_nothing_said_is_the_default_run():
    config = build()
    assert (config.model.name, config.dataset.name) == ("conv-ae", "digits")
    assert config.corruptions == config.embeddings == ()
    assert config.run.seed == 0


def test_what_is_written_reads_back_as_the_same_run():
    config = build(
        {"seed": 3, "model": {"name": "conv-ae", "latent_dim": 3}},
        dataset="fashion-mnist",
        corruptions=["gaussian-noise"],
        embeddings=["isomap", "pca"],
        overrides={"isomap.n_neighbors": 7, "training.epochs": 2, "gaussian-noise.std": 0.1},
    )
    again = build(tomllib.loads(config.to_toml()))
    assert again == config
    assert again.embeddings[0].options.n_neighbors == 7
    assert again.identity_sha256() == config.identity_sha256()


def test_flags_lie_over_the_file_and_keep_its_options_where_the_name_stays():
    document = {
        "model": {"name": "conv-ae", "latent_dim": 3},
        "embedding": [{"name": "isomap", "n_neighbors": 20}],
    }
    kept = build(document, model="conv-ae", embeddings=["pca", "isomap"])
    assert kept.model.options.latent_dim == 3
    assert [part.name for part in kept.embeddings] == ["pca", "isomap"]
    assert kept.embeddings[1].options.n_neighbors == 20
    assert build(document, overrides={"model.latent_dim": 5}).model.options.latent_dim == 5


def test_maps_are_no_part_of_a_runs_identity_and_everything_else_is():
    plain = build().identity_sha256()
    assert build(embeddings=["pca"]).identity_sha256() == plain
    for change in ({"seed": 1}, {"model.latent_dim": 5}, {"training.epochs": 3}):
        assert build(overrides=change).identity_sha256() != plain
    assert build(corruptions=["gaussian-noise"]).identity_sha256() != plain


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.one_of(st.integers(), st.text(max_size=5), st.lists(st.booleans())),
        max_size=6,
    ),
    st.randoms(),
)
def test_the_hash_does_not_depend_on_the_order_of_keys(document, random):
    items = list(document.items())
    random.shuffle(items)
    assert canonical_sha256(dict(items)) == canonical_sha256(document)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"modle": {}}, "no key 'modle' .did you mean 'model'"),
        ({"model": "conv-ae"}, "model"),
        ({"embedding": {"name": "pca"}}, "embedding"),
        ({"embedding": [{"n_neighbors": 3}]}, "name"),
        ({"model": {"name": "conv-a"}}, "no model 'conv-a' .did you mean 'conv-ae'"),
        ({"dataset": {"name": "fashion-mnits"}}, "did you mean 'fashion-mnist'"),
        ({"model": {"name": 3}}, r"\[model\] name must be a string"),
        ({"model": {"latent_dmi": 3}}, "did you mean 'latent_dim'"),
        ({"model": {"latent_dim": 0}}, "greater than or equal to 1"),
        ({"model": {"latent_dim": 2.5}}, "latent_dim = 2.5"),
        ({"model": {"channels": []}}, "channels"),
        ({"model": {"activation": "rleu"}}, "activation = 'rleu'"),
        ({"training": {"epochs": 0}}, "should be 1 or more, or 'auto'"),
        ({"training": {"learning_rate": float("inf")}}, "learning_rate"),
        ({"split": {"validation": 1.0}}, "validation"),
        ({"seed": -1}, "seed"),
        ({"seed": "zero"}, "seed"),
        ({"device": "gpu"}, "device = 'gpu'"),
        ({"embedding": [{"name": "pca"}, {"name": "pca"}]}, "'pca' is asked for twice"),
    ],
    ids=str,
)
def test_a_wrong_document_is_explained_in_one_line(document, message):
    with pytest.raises(UserError, match=message) as raised:
        build(document)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"isomap.n_neighbors": 3}, "this run has no part 'isomap'.*it has model, dataset"),
        ({"modle.latent_dim": 3}, "did you mean 'model'"),
        ({"model.name": "x"}, "choose parts with --model"),
        ({"sede": 3}, "did you mean 'seed'"),
    ],
)
def test_a_wrong_override_is_explained(override, message):
    with pytest.raises(UserError, match=message):
        build(overrides=override)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model.latent_dim=3", ("model.latent_dim", 3)),
        ("model.channels=[4, 8]", ("model.channels", [4, 8])),
        ("training.schedule=cosine", ("training.schedule", "cosine")),
        ("split.validation = 0.1", ("split.validation", 0.1)),
        ('fashion-mnist.mirror="http://x/y=z"', ("fashion-mnist.mirror", "http://x/y=z")),
        ("x.flag=true", ("x.flag", True)),
        ("x.text=", ("x.text", "")),
    ],
)
def test_values_of_overrides_are_toml_or_plain_text(text, expected):
    assert parse_override(text) == expected


@pytest.mark.parametrize("text", ["model.latent_dim", "=3", " =3"])
def test_an_override_without_key_or_value_shows_the_form(text):
    with pytest.raises(UserError, match=r"not PART\.KEY=VALUE"):
        parse_override(text)


def test_files_that_cannot_be_read_or_are_no_toml_are_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read configuration .*no\.toml: No such file"):
        read_config_file(tmp_path / "no.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("seed = = 3")
    with pytest.raises(UserError, match=r"bad\.toml is not valid TOML"):
        read_config_file(bad)
    bad.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not valid TOML"):
        read_config_file(bad)


def test_a_plugin_that_was_left_out_is_named_when_a_name_is_not_found(install_plugin):
    install_plugin("bad_plugin", "1 / 0")
    with pytest.raises(UserError, match="left out because they are broken: 'bad_plugin' of bad-"):
        build(model="some-net")


def test_validation_imports_nothing_heavy():
    code = (
        "import sys; from latentkit.config import build_config;"
        "from latentkit.registry.catalogue import default_registry;"
        "build_config({}, default_registry(), embeddings=['isomap']);"
        "print(sorted({'torch','sklearn','scipy','umap','optuna','matplotlib'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
