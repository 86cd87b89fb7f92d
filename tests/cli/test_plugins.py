"""Third-party plugins, good and bad, as the command line shows them."""

import json
import re
import subprocess
import sys

import pytest

GOOD = """
    from latentkit.plugin import EmbeddingSpec, hookimpl
    LATENTKIT_HOOKSPEC_VERSION = 1

    @hookimpl
    def latentkit_embeddings():
        yield EmbeddingSpec(name="NAME", summary="A map", target="json:dumps", requires=REQUIRES)
"""
RAISES = """
    from latentkit.plugin import hookimpl
    LATENTKIT_HOOKSPEC_VERSION = 1

    @hookimpl
    def latentkit_models():
        raise RuntimeError("no models today")
"""
HEAVY = ("torch", "numpy", "sklearn", "scipy", "umap", "optuna", "matplotlib")


def good(name, requires=()):
    return GOOD.replace("NAME", name).replace("REQUIRES", repr(requires))


def test_plugins_list_names_every_part_and_who_offers_it(latentkit, install_plugin):
    install_plugin("my_maps", good("my-map"), version="3.1")
    ended = latentkit("plugins", "list")
    assert ended.code == 0
    for word in ("conv-ae", "fashion-mnist", "gaussian-noise", "isomap", "optuna", "my-maps 3.1"):
        assert word in ended.out
    facts = json.loads(latentkit("plugins", "list", "--json", "--kind", "embedding").out)
    (mine,) = [fact for fact in facts if fact["name"] == "my-map"]
    assert mine["qualified_name"] == "my-maps:my-map"
    assert {fact["kind"] for fact in facts} == {"embedding"}


def test_plugins_show_lists_options_with_default_values_and_meaning(latentkit):
    ended = latentkit("plugins", "show", "conv-ae")
    assert "latent_dim" in ended.out
    assert "Number of latent dimensions;" in ended.out
    facts = json.loads(latentkit("plugins", "show", "conv-ae", "--json").out)
    (option,) = [fact for fact in facts["options"] if fact["name"] == "latent_dim"]
    assert option["search"]


def test_defaults_are_shown_as_they_are_typed(latentkit):
    shown = latentkit("plugins", "show", "dense-ae").out
    assert " [512,256,128] " in shown
    assert "None" not in latentkit("plugins", "show", "mnist").out
    dense = ("run", "--print-config", "--model", "dense-ae")
    typed = latentkit(*dense, "-o", "model.hidden=[512,256,128]")
    assert typed.out == latentkit(*dense).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "there is no part 'nope': 'latentkit plugins list' shows all parts"),
        (["isomp"], r"no part 'isomp' \(did you mean 'isomap'\?\): 'latentkit plugins list'"),
        (["nope", "--kind", "model"], "there is no model 'nope': 'latentkit plugins list'"),
    ],
)
def test_an_unknown_part_is_refused_with_how_to_list_all_parts(latentkit, arguments, message):
    ended = latentkit("plugins", "show", *arguments)
    assert ended.code == 2
    assert re.search(message, ended.error)


def test_each_broken_plugin_gives_one_line_and_changes_nothing_else(latentkit, install_plugin):
    install_plugin("import_fails", "1 / 0")
    install_plugin("hook_fails", RAISES)
    ended = latentkit("plugins", "list")
    assert ended.code == 0
    assert "conv-ae" in ended.out
    warnings = ended.err.splitlines()
    assert len(warnings) == 2
    assert "'hook_fails' of hook-fails 1.0 is broken" in warnings[0]
    assert "RuntimeError: no models today" in warnings[0]
    assert "ZeroDivisionError" in warnings[1]
    assert latentkit("run", "--print-config").code == 0


def test_the_doctor_shows_the_traceback_and_the_fix_and_exits_with_3(latentkit, install_plugin):
    install_plugin("import_fails", "1 / 0")
    ended = latentkit("doctor")
    assert ended.code == 3
    assert "plugin import-fails:import_fails" in ended.error
    assert "ZeroDivisionError: division by zero" in ended.out
    assert "pip uninstall import-fails" in ended.out


def test_the_doctor_repairs_latentkit_from_its_source_because_its_name_on_pypi_is_not_ours(
    latentkit, install_plugin, monkeypatch
):
    install_plugin("my_maps", good("my-map"))  # so that plugins are loaded again
    monkeypatch.setitem(sys.modules, "latentkit.builtins.tuners.plugin", None)
    ended = latentkit("doctor", "--json", "--no-plugins")
    assert ended.code == 3
    broken = {
        one["topic"]: one["remedy"] for one in json.loads(ended.out) if one["state"] == "broken"
    }
    assert set(broken) == {"plugin latentkit:tuners", "tuners"}
    assert set(broken.values()) == {"pip install .  in the folder of latentkit's source"}


def test_the_doctor_finds_nothing_wrong_with_a_good_installation(latentkit):
    ended = latentkit("doctor", "--json", "--no-plugins")
    assert ended.code == 0
    topics = {finding["topic"]: finding for finding in json.loads(ended.out)}
    assert {"latentkit", "torch", "torchvision", "device", "folder"} <= set(topics)
    assert all(finding["state"] != "broken" for finding in topics.values())


def test_strict_mode_exits_with_9(latentkit, install_plugin):
    install_plugin("import_fails", "1 / 0")
    ended = latentkit("plugins", "list", "--strict-plugins")
    assert ended.code == 9
    assert "import-fails 1.0 is broken" in ended.error


def test_no_plugins_leaves_third_parties_out(latentkit, install_plugin):
    install_plugin("import_fails", "1 / 0")
    ended = latentkit("plugins", "list", "--no-plugins")
    assert (ended.code, ended.err) == (0, "")


def test_two_parts_of_the_same_name_are_listed_with_their_distributions(latentkit, install_plugin):
    install_plugin("mine", good("pca"))
    listed = latentkit("plugins", "list").out
    assert "mine:pca" in listed
    assert "latentkit:pca" in listed
    ended = latentkit("run", "--embed", "pca", "--print-config")
    assert ended.code == 2
    assert "choose latentkit:pca or mine:pca" in ended.error
    chosen = latentkit("run", "--embed", "latentkit:pca", "--print-config")
    assert 'name = "latentkit:pca"' in chosen.out
    assert "offered more than once" in latentkit("doctor").out


def test_a_missing_requirement_is_reported_with_the_install_command_before_the_run_starts(
    latentkit, install_plugin
):
    install_plugin("my_maps", good("my-map", ("no-such-package>=2",)))
    ended = latentkit("run", "--embed", "my-map")
    assert ended.code == 3
    assert "pip install 'no-such-package>=2'" in ended.error
    assert "missing: no-such-package>=2" in latentkit("plugins", "show", "my-map").out
    assert "to repair it: pip install 'no-such-package>=2'" in latentkit("doctor").out


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "run --help",
        "--version",
        "plugins list",
        "plugins show conv-ae",
        "data list",
        "run --print-config --embed isomap -o isomap.n_neighbors=7",
    ],
)
def test_commands_that_only_print_import_nothing_heavy(arguments):
    heavy = (*HEAVY, "pydantic", "rich") if arguments == "--help" else HEAVY
    code = (
        "import sys; from latentkit.cli.main import main\n"
        f"sys.argv = ['latentkit', *{arguments.split()!r}]\n"
        "try: main()\n"
        "except SystemExit as left: assert not left.code, left.code\n"
        f"print(sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stderr.splitlines()[-1] == "[]"


def test_the_command_also_runs_as_a_module():
    shown = subprocess.run(
        [sys.executable, "-m", "latentkit", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("latentkit, version ")


def test_an_interrupt_names_the_plugin_that_was_loading(latentkit, install_plugin):
    install_plugin("hanging", "raise KeyboardInterrupt")
    ended = latentkit("plugins", "list")
    assert ended.code == 130
    assert "interrupted while plugin 'hanging' of hanging 1.0 was loaded" in ended.error
    assert "--no-plugins leaves all plugins out" in ended.error
    assert latentkit("--no-plugins", "plugins", "list").code == 0


def test_text_printed_while_options_are_imported_does_not_reach_stdout(latentkit, install_plugin):
    code = GOOD.replace("NAME", "my-map").replace("REQUIRES", "()")
    code = code.replace('target="json:dumps"', 'target="json:dumps", options="my_options:Mine"')
    site = install_plugin("my_maps", code)
    (site / "my_options.py").write_text(
        "from latentkit.plugin import Options\nprint('hello')\nclass Mine(Options): 'Mine.'\n"
    )
    ended = latentkit("plugins", "show", "my-map", "--json")
    assert json.loads(ended.out)["options"] == []
    assert ended.err.splitlines() == ["hello"]


def test_a_default_stays_built_in_if_a_plugin_offers_the_same_name(latentkit, install_plugin):
    install_plugin(
        "my_nets",
        """
        from latentkit.plugin import DatasetSpec, ModelSpec, hookimpl
        LATENTKIT_HOOKSPEC_VERSION = 1

        @hookimpl
        def latentkit_models():
            yield ModelSpec(name="conv-ae", summary="Another", target="json:dumps")

        @hookimpl
        def latentkit_datasets():
            yield DatasetSpec(name="digits", summary="Another", target="json:dumps")
    """,
    )
    ended = latentkit("run", "--print-config")
    assert ended.code == 0
    assert 'name = "latentkit:conv-ae"' in ended.out
    assert 'name = "latentkit:digits"' in ended.out
    assert latentkit("run", "--model", "conv-ae", "--print-config").code == 2
