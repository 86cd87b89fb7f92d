"""A configuration is validated before slow work starts, and errors say what is wrong."""

import copy
import subprocess
import sys

import pytest

from latentkit.config import build_config, parse_override, read_config_file
from latentkit.errors import UserError
from latentkit.registry.catalogue import default_registry


def build(document=None, **arguments):
    return build_config(document or {}, default_registry(), **arguments)


def test_an_empty_configuration_is_the_default_run():
    config = build()
    assert (config.model.name, config.dataset.name) == ("conv-ae", "digits")
    assert config.corruptions == config.embeddings == ()
    assert config.run.seed == 0


def test_flags_override_the_file_and_keep_its_options_if_the_name_is_the_same():
    document = {
        "model": {"name": "conv-ae", "latent_dim": 3},
        "embedding": [{"name": "isomap", "n_neighbors": 20}],
    }
    kept = build(document, model="conv-ae", embeddings=["pca", "isomap"])
    assert kept.model.options.latent_dim == 3
    assert [part.name for part in kept.embeddings] == ["pca", "isomap"]
    assert kept.embeddings[1].options.n_neighbors == 20
    assert build(document, overrides={"model.latent_dim": 5}).model.options.latent_dim == 5


def test_a_part_with_another_name_drops_the_options_of_the_file():
    document = {
        "dataset": {"name": "fashion-mnist", "mirror": "http://mirror"},
        "corruption": [{"name": "gaussian-noise", "std": 0.1}],
    }
    assert build(document, dataset="digits").dataset.as_dict() == {"name": "digits"}
    with pytest.raises(UserError, match="no option 'mirror'; it has none"):
        build({"dataset": {"name": "digits", "mirror": "http://mirror"}})
    assert build(document, corruptions=["gaussian-noise"]).corruptions[0].options.std == 0.1


def test_overrides_win_over_file_and_flags():
    document = {"seed": 1, "training": {"epochs": 2}, "model": {"latent_dim": 3}}
    config = build(document, overrides={"seed": 5, "training.epochs": 7, "conv-ae.latent_dim": 9})
    assert (config.run.seed, config.training.epochs, config.model.options.latent_dim) == (5, 7, 9)


def test_overrides_do_not_change_the_callers_document():
    document = {"model": {"latent_dim": 3}, "embedding": [{"name": "isomap"}]}
    before = copy.deepcopy(document)
    build(document, overrides={"model.latent_dim": 5, "isomap.n_neighbors": 7})
    assert document == before


def test_corruptions_keep_their_order_and_may_repeat():
    noise = [{"name": "gaussian-noise", "std": std} for std in (0.1, 0.3)]
    assert [part.options.std for part in build({"corruption": noise}).corruptions] == [0.1, 0.3]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"modle": {}}, "no key 'modle' .did you mean 'model'"),
        ({"model": "conv-ae"}, "model"),
        ({"embedding": {"name": "pca"}}, "embedding"),
        ({"embedding": [{"n_neighbors": 3}]}, r"a \[\[embedding\]\] table has no name"),
        ({"embedding": ["isomap"]}, r"list of tables, written as \[\[embedding\]\]"),
        ({"corruption": "gaussian-noise"}, r"written as \[\[corruption\]\]"),
        ({"training": []}, r"training must be a table, written as \[training\]"),
        (
            {"corruption": [{"name": "pca"}]},
            "no corruption 'pca'; known corruptions: blur, .*gaussian",
        ),
        ({"embedding": [{"name": "isomp"}]}, "did you mean 'isomap'"),
        ({"embedding": [{"name": "isomap", "n_neighbours": 3}]}, "did you mean 'n_neighbors'"),
        ({"embedding": [{"name": "pca", "n_components": 4}]}, "should be 3 or less"),
        ({"dataset": {"name": "fashion-mnist", "mirror": "ftp://x"}}, "mirror = 'ftp://x'"),
        ({"model": {"name": "conv-a"}}, "no model 'conv-a' .did you mean 'conv-ae'"),
        ({"dataset": {"name": "fashion-mnits"}}, "did you mean 'fashion-mnist'"),
        ({"model": {"name": 3}}, r"\[model\] name must be a string"),
        ({"model": {"latent_dmi": 3}}, "did you mean 'latent_dim'"),
        ({"model": {"latent_dim": 0}}, "should be 1 or more"),
        ({"model": {"latent_dim": 2.5}}, "latent_dim = 2.5"),
        ({"model": {"channels": []}}, "channels = .* should be a list of 1 or more"),
        ({"model": {"activation": "rleu"}}, "activation = 'rleu'"),
        ({"training": {"epochs": -1}}, "should be 0 or more, or 'auto'"),
        ({"training": {"learning_rate": float("inf")}}, "learning_rate"),
        ({"split": {"validation": 1.0}}, "validation"),
        (
            {"training": {"epochs": 2.5}},
            "epochs = 2.5 .* should be a whole number or 'auto'",
        ),
        ({"training": {"epochs": True}}, "epochs = True is not valid: should not be true or false"),
        ({"training": {"epochs": "many"}}, "epochs = 'many'"),
        ({"training": {"batch_size": -8}}, "batch_size = -8"),
        ({"training": {"learning_rate": 0}}, "learning_rate = 0"),
        ({"training": {"learning_rate": float("nan")}}, "finite"),
        ({"training": {"epoch": 3}}, "training has no option 'epoch' .did you mean 'epochs'"),
        ({"training": {"optimizer": "sgd"}}, "'adam' or 'adamw'"),
        ({"model": {"latent_dim": True}}, "should not be true or false"),
        ({"model": {"latent_dim": 5000}}, "should be 4096 or less"),
        ({"model": {"channels": "16"}}, "channels = '16'"),
        ({"model": {"channels": [0]}}, r"channels = \[0\] is not valid: each should be 1 or more$"),
        ({"model": {"channels": [8, "x"]}}, r"= \[8, 'x'\] .* each should be a whole number$"),
        (
            {"model": {"hidden": [3, 0, "x"]}},
            r"hidden = \[3, 0, 'x'\] .* each should be 1 or more$",
        ),
        ({"split": {"validation": 0}}, "validation = 0"),
        ({"split": {"validation": "half"}}, "validation = 'half'"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "less than 2147483648"),
        ({"seed": [1]}, "should be a whole number"),
        ({"seed": False}, "should not be true or false"),
        ({"threads": -1}, "threads = -1"),
        ({"seed": "zero"}, "seed"),
        ({"device": "gpu"}, "device = 'gpu'"),
        ({"embedding": [{"name": "pca"}, {"name": "pca"}]}, "'pca' is asked for twice"),
    ],
    ids=str,
)
def test_an_invalid_document_is_explained_in_one_line(document, message):
    with pytest.raises(UserError, match=message) as raised:
        build(document)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            {"isomap.n_neighbors": 3},
            r"no part 'isomap' \(choose it with --embed isomap\); it has model",
        ),
        ({"blur.sigma": 3}, "choose it with --corrupt blur"),
        ({"dense-ae.latent_dim": 3}, "choose it with --model dense-ae"),
        (
            {"latent_dim": 3},
            r"no option 'latent_dim' \(did you mean 'model\.latent_dim'\?\); it has seed",
        ),
        ({"epochs": 3}, r"did you mean 'training\.epochs'"),
        ({"modle.latent_dim": 3}, "did you mean 'model'"),
        ({"model.name": "x"}, "choose parts with --model"),
        ({"model": "x"}, "choose parts with --model"),
        ({"embedding": ["isomap"]}, "choose parts with --model, --dataset, --embed"),
        ({"training": 3}, "configuration has no option 'training'"),
        ({".seed": 3}, "this run has no part ''"),
        ({"model.": 3}, "model conv-ae has no option ''"),
        ({"model.latent_dim.x": 3}, "no part 'model.latent_dim'"),
        ({"sede": 3}, "did you mean 'seed'"),
    ],
)
def test_an_invalid_override_is_explained(override, message):
    with pytest.raises(UserError, match=message):
        build(overrides=override)


def test_an_ambiguous_option_is_refused_with_the_full_names():
    with pytest.raises(UserError, match=r"'pca\.n_components' or 'isomap\.n_components'"):
        build(embeddings=["pca", "isomap"], overrides={"n_components": 3})


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
def test_an_override_without_key_or_value_shows_the_expected_form(text):
    with pytest.raises(UserError, match=r"not PART\.KEY=VALUE"):
        parse_override(text)


def test_files_that_cannot_be_read_or_are_not_toml_are_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read configuration .*no\.toml: No such file"):
        read_config_file(tmp_path / "no.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("seed = = 3")
    with pytest.raises(UserError, match=r"bad\.toml is not valid TOML"):
        read_config_file(bad)
    bad.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not UTF-8 text, perhaps UTF-16: save it as UTF-8"):
        read_config_file(bad)


def test_the_error_about_an_unknown_part_names_broken_plugins(install_plugin):
    install_plugin("bad_plugin", "1 / 0")
    with pytest.raises(UserError, match="left out because they are broken: 'bad_plugin' of bad-"):
        build(model="some-net")


def test_a_part_with_the_name_of_a_section_does_not_shadow_it(install_plugin):
    code = """
        from latentkit.plugin import EmbeddingSpec, hookimpl
        LATENTKIT_HOOKSPEC_VERSION = 1

        @hookimpl
        def latentkit_embeddings():
            yield EmbeddingSpec(name="training", summary="A map", target="json:dumps")
    """
    install_plugin("odd_maps", code)
    config = build(embeddings=["training"], overrides={"training.epochs": 3})
    assert config.training.epochs == 3


def test_validation_imports_nothing_heavy():
    code = (
        "import sys; from latentkit.config import build_config;"
        "from latentkit.registry.catalogue import default_registry;"
        "build_config({}, default_registry(), embeddings=['isomap']);"
        "print(sorted({'torch','sklearn','scipy','umap','optuna','matplotlib'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_file_that_a_windows_editor_saved_is_read(tmp_path):
    path = tmp_path / "run.toml"
    path.write_bytes(b'\xef\xbb\xbf[model]\r\nname = "dense-ae"\r\n')
    assert read_config_file(path) == {"model": {"name": "dense-ae"}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('[model]\nname = "a"\n'.encode("utf-16"), "save it as UTF-8"),
        ("[model]\n# \xe9".encode("latin-1"), "save it as UTF-8"),
        (b"x = " + b"[" * 5000, "nested more than 64 levels deep"),
        (b"x = " + b"[" * 100 + b"]" * 100, "nested more than 64 levels deep"),
        (b"x = " + b"9" * 5000, "4300 digits"),
        (b"#" * (2**20 + 1), "larger than 1 MiB"),
    ],
)
def test_a_file_that_no_parser_should_meet_is_refused_in_one_line(tmp_path, content, reason):
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as refused:
        read_config_file(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_override_that_is_nested_too_deeply_is_refused():
    with pytest.raises(UserError, match="nested too deeply"):
        parse_override(f"model.hidden={'[' * 5000}")
    assert parse_override(f"seed={'9' * 5000}") == ("seed", "9" * 5000)


@pytest.mark.parametrize(
    "path", ["a #1.npz", "12 #1", "7\nseed = 5", "1, 2", "3,", "[a] b.npz", "a=b.npz", "/x, y/[z]"]
)
def test_a_text_is_kept_whole_though_its_start_is_toml(path):
    assert parse_override(f"npz.path={path}") == ("npz.path", path)


def test_a_text_that_reads_as_a_number_is_explained():
    with pytest.raises(UserError, match=r"path = 2024 is not text: .* as in 'path=\"\.\.\.\"'"):
        build(dataset="npz", overrides=dict([parse_override("npz.path=2024")]))
    quoted = build(dataset="npz", overrides=dict([parse_override('npz.path="2024"')]))
    assert quoted.dataset.options.path == "2024"
