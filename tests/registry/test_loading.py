"""Loading of plugins: a bad plugin is set aside and does not affect the others."""

import shutil

import pytest

from latentkit.errors import PluginError, UserError
from latentkit.registry.catalogue import default_registry

GOOD = """
    from latentkit.plugin import EmbeddingSpec, hookimpl
    LATENTKIT_HOOKSPEC_VERSION = 1

    @hookimpl
    def latentkit_embeddings():
        yield EmbeddingSpec(name="NAME", summary="A map", target="json:dumps")
"""
HEAD = """
    from latentkit.plugin import EmbeddingSpec, ModelSpec, hookimpl
    LATENTKIT_HOOKSPEC_VERSION = 1

    SPEC = EmbeddingSpec(name="half", summary="A map", target="json:dumps")

    @hookimpl
    def latentkit_embeddings():
"""
BAD = {
    "raises on import": ("1 / 0", "broken", "ZeroDivisionError"),
    "exits on import": ("raise SystemExit(3)", "broken", "SystemExit: 3"),
    "does not exist": ("import no_such_module", "broken", "no_such_module"),
    "exits without a word": ("import sys; sys.exit()", "broken", "SystemExit"),
    "is no Python": ("def (:", "broken", "SyntaxError"),
    "raises what cannot be shown": (
        "class Bad(Exception):\n    def __str__(self): raise self\nraise Bad",
        "broken",
        "Bad",
    ),
    "raises in its hook": (HEAD + "        raise RuntimeError('no')", "broken", "RuntimeError: no"),
    "fails half-way": (HEAD + "        yield SPEC\n        1 / 0", "broken", "ZeroDivisionError"),
    "gives strings": (HEAD + "        return ['half']", "broken", "expected EmbeddingSpec"),
    "gives another kind": (
        HEAD + "        return [ModelSpec(name='x', summary='y', target='json:dumps')]",
        "broken",
        "expected EmbeddingSpec",
    ),
    "gives one name twice": (HEAD + "        return [SPEC, SPEC]", "broken", "two parts named"),
    "gives a number": (HEAD + "        return 3", "broken", "not iterable"),
    "has a spec of bad form": (
        HEAD + "        return [EmbeddingSpec(name='A B', summary='y', target='json:dumps')]",
        "broken",
        "A B",
    ),
    "requires nonsense": (
        HEAD + "        return [EmbeddingSpec(name='x', summary='y', target='json:dumps',"
        " requires=['torch >>> 2'])]",
        "broken",
        "x requires 'torch >>> 2'",
    ),
    "asks for what a hook does not give": (
        GOOD.replace("embeddings()", "embeddings(device)"),
        "broken",
        "device",
    ),
    "is out of memory": ("raise MemoryError", "broken", "MemoryError: it, or the system, is out"),
    "has a misspelt hook": (
        GOOD.replace("latentkit_embeddings", "latentkit_embedings"),
        "broken",
        "no hook 'latentkit_embedings' (did you mean 'latentkit_embeddings'?)",
    ),
    "forgot the marker": (GOOD.replace("@hookimpl", ""), "broken", "not decorated with @hookimpl"),
    "offers nothing": ("LATENTKIT_HOOKSPEC_VERSION = 1", "broken", "implements none"),
    "is of a later version": (
        GOOD.replace("VERSION = 1", "VERSION = 2"),
        "incompatible",
        "version 2",
    ),
    "states no version": (
        GOOD.replace("LATENTKIT_HOOKSPEC_VERSION = 1", ""),
        "incompatible",
        "set LATENTKIT_HOOKSPEC_VERSION = 1",
    ),
}


def good(name):
    return GOOD.replace("NAME", name)


def problems_of(registry, *distributions):
    return [p for p in registry.problems if p.plugin.distribution in distributions]


@pytest.mark.parametrize("case", BAD)
def test_a_bad_plugin_is_set_aside_with_its_reason_and_the_rest_works(case, install_plugin):
    code, status, reason = BAD[case]
    install_plugin("bad_plugin", code, version="2.1")
    install_plugin("good_plugin", good("fine"))
    registry = default_registry()
    (problem,) = problems_of(registry, "bad-plugin", "good-plugin")
    assert (problem.status, problem.plugin.distribution) == (status, "bad-plugin")
    assert reason in problem.message
    assert "\n" not in str(problem)
    assert "plugin 'bad_plugin' of bad-plugin 2.1" in str(problem)
    assert ("Traceback" in problem.details) == (status == "broken")
    assert registry.get("embedding", "fine").plugin.distribution == "good-plugin"
    assert registry.get("model", "conv-ae").plugin.built_in


def test_keyboard_interrupt_is_not_swallowed(install_plugin):
    install_plugin("bad_plugin", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        default_registry()


def test_strict_mode_stops_at_a_broken_plugin(install_plugin, monkeypatch):
    install_plugin("bad_plugin", "1 / 0")
    monkeypatch.setenv("LATENTKIT_STRICT", "1")
    with pytest.raises(PluginError, match=r"bad-plugin 1\.0 is broken"):
        default_registry()


def test_the_allow_list_names_distributions_and_never_excludes_built_ins(
    install_plugin, monkeypatch
):
    install_plugin("one_plugin", good("one"), distribution="One.Plugin")
    install_plugin("two_plugin", good("two"))
    monkeypatch.setenv("LATENTKIT_PLUGINS", "one_plugin")
    registry = default_registry()
    assert registry.get("embedding", "one")
    assert [found.distribution for found in registry.skipped if found.name == "two_plugin"] == [
        "two-plugin"
    ]
    monkeypatch.setenv("LATENTKIT_PLUGINS", "")
    with pytest.raises(UserError, match="no embedding 'one'"):
        default_registry().get("embedding", "one")
    assert default_registry().get("embedding", "pca")


def test_two_parts_of_one_name_make_only_the_bare_name_ambiguous(install_plugin):
    install_plugin("mine", good("pca"))
    registry = default_registry()
    with pytest.raises(UserError, match="choose latentkit:pca or mine:pca"):
        registry.get("embedding", "pca")
    assert registry.get("embedding", "mine:pca").plugin.distribution == "mine"
    assert registry.short_name(registry.get("embedding", "latentkit:pca")) == "latentkit:pca"
    assert registry.short_name(registry.get("embedding", "isomap")) == "isomap"


def test_one_entry_point_name_in_two_distributions_loads_both(install_plugin):
    install_plugin("first", good("one"), entry="maps")
    install_plugin("second", good("two"), entry="maps")
    names = {part.spec.name for part in default_registry().parts("embedding")}
    assert {"one", "two"} <= names


def test_one_module_offered_by_two_distributions_is_loaded_once(install_plugin):
    site = install_plugin("maps", good("one"), distribution="maps-cpu")
    second = site / "maps_gpu-1.0.dist-info"
    shutil.copytree(site / "maps_cpu-1.0.dist-info", second)
    (second / "METADATA").write_text("Name: maps-gpu\nVersion: 1.0\n")
    registry = default_registry()
    (problem,) = problems_of(registry, "maps-cpu", "maps-gpu")
    assert "already registered" in problem.message
    assert registry.get("embedding", "one").plugin.distribution == "maps-cpu"
    assert registry.notify("latentkit_run_started", run="the run") == {}


def test_a_plugin_that_raises_while_watching_does_not_disturb_the_run(install_plugin):
    watcher = """
        from latentkit.plugin import hookimpl
        LATENTKIT_HOOKSPEC_VERSION = 1
        SEEN = []

        @hookimpl
        def latentkit_run_started(run):
            BODY
    """
    install_plugin("a_watcher", watcher.replace("BODY", "1 / 0"))
    install_plugin("b_watcher", watcher.replace("BODY", "SEEN.append(run)"))
    failures = default_registry().notify("latentkit_run_started", run="the run")
    assert failures == {
        "plugin 'a_watcher' of a-watcher 1.0: latentkit_run_started": (
            "ZeroDivisionError: division by zero"
        )
    }
    import b_watcher

    assert b_watcher.SEEN == ["the run"]


def test_a_plugin_may_be_an_object_of_a_module(install_plugin):
    code = """
        from latentkit.plugin import ModelSpec, hookimpl

        class Plugin:
            LATENTKIT_HOOKSPEC_VERSION = 1

            @hookimpl
            def latentkit_models(self):
                return [ModelSpec(name="of-an-object", summary="A net", target="json:dumps")]

        plugin = Plugin()
    """
    site = install_plugin("my_nets", code)
    (entries,) = site.glob("*/entry_points.txt")
    entries.write_text("[latentkit.plugins]\nmine = my_nets:plugin\n")
    assert default_registry().get("model", "of-an-object").plugin.module == "my_nets:plugin"


def test_a_hook_may_return_none(install_plugin):
    install_plugin("empty_plugin", HEAD + "        return None")
    registry = default_registry()
    assert problems_of(registry, "empty-plugin") == []
    assert not [part for part in registry.parts() if part.plugin.distribution == "empty-plugin"]


def test_plugins_of_one_distribution_with_duplicate_names_are_both_set_aside(install_plugin):
    site = install_plugin("first", good("one"), distribution="doubled")
    (site / "second.py").write_text((site / "first.py").read_text())
    (entries,) = site.glob("*/entry_points.txt")
    entries.write_text("[latentkit.plugins]\na = first\nb = second\n")
    messages = [str(problem) for problem in problems_of(default_registry(), "doubled")]
    assert len(messages) == 2
    assert "plugin 'a' of doubled 1.0 is broken" in messages[0]
    assert "it offers embedding 'one', and so does 'b' of the same distribution" in messages[0]
    with pytest.raises(UserError, match="no embedding 'doubled:one'"):
        default_registry().get("embedding", "doubled:one")


def test_a_default_is_the_built_in_part_even_if_another_plugin_uses_its_name(install_plugin):
    assert default_registry().default_name("embedding", "pca") == "pca"
    install_plugin("mine", good("pca"))
    assert default_registry().default_name("embedding", "pca") == "latentkit:pca"


def test_output_that_a_plugin_prints_goes_to_stderr_with_a_remark(install_plugin, capsys):
    install_plugin("chatty", good("one") + "    print('hello')")
    (remark,) = [line for line in default_registry().remarks() if "chatty" in line]
    assert remark.startswith("plugin 'chatty' of chatty 1.0 wrote to stdout")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "hello\n")


def test_a_plugin_that_takes_long_is_named_with_its_time(install_plugin, monkeypatch):
    monkeypatch.setattr("latentkit.registry.loading.SLOW", 0.0)
    install_plugin("sluggish", good("one"))
    remarks = default_registry().remarks()
    (remark,) = [line for line in remarks if "sluggish" in line]
    assert "plugin 'sluggish' of sluggish 1.0 took 0." in remark
    assert not any("of latentkit 0" in line for line in remarks)


def test_interrupting_a_plugin_that_hangs_names_it(install_plugin):
    install_plugin("hanging", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt) as stopped:
        default_registry()
    assert stopped.value.__notes__ == [
        "while plugin 'hanging' of hanging 1.0 was loaded: --no-plugins leaves all plugins out"
    ]
