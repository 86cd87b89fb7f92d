"""Found is not loaded, loaded is not trusted: one bad plugin costs itself only."""

import pytest

from latentkit.errors import PluginError, UserError
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.registry.discovery import find_plugins

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
    "has a misspelt hook": (
        GOOD.replace("latentkit_embeddings", "latentkit_embedings"),
        "broken",
        "latentkit_embedings",
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


@pytest.mark.parametrize("case", BAD)
def test_a_bad_plugin_is_set_aside_with_its_reason_and_the_rest_works(case, install_plugin):
    code, status, reason = BAD[case]
    install_plugin("bad_plugin", code, version="2.1")
    install_plugin("good_plugin", good("fine"))
    registry = default_registry()
    (problem,) = registry.problems
    assert (problem.status, problem.plugin.distribution) == (status, "bad-plugin")
    assert reason in problem.message
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


def test_the_allow_list_names_distributions_and_never_shuts_out_built_ins(
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


def test_two_of_one_name_make_only_the_bare_name_ambiguous(install_plugin):
    install_plugin("mine", good("pca"))
    registry = default_registry()
    with pytest.raises(UserError, match="say latentkit:pca or mine:pca"):
        registry.get("embedding", "pca")
    assert registry.get("embedding", "mine:pca").plugin.distribution == "mine"
    assert registry.short_name(registry.get("embedding", "latentkit:pca")) == "latentkit:pca"
    assert registry.short_name(registry.get("embedding", "isomap")) == "isomap"


def test_one_entry_point_name_in_two_distributions_loads_both(install_plugin):
    install_plugin("first", good("one"), entry="maps")
    install_plugin("second", good("two"), entry="maps")
    names = {part.spec.name for part in default_registry().parts("embedding")}
    assert {"one", "two"} <= names


def test_the_order_in_which_plugins_are_found_decides_nothing(install_plugin):
    install_plugin("first", good("one"))
    install_plugin("second", good("one"))
    found = find_plugins()
    forward, backward = Registry(found), Registry(reversed(found))
    assert [str(part) + part.qualified_name for part in forward.parts()] == [
        str(part) + part.qualified_name for part in backward.parts()
    ]


def test_a_plugin_that_watches_and_raises_disturbs_nobody(install_plugin):
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
    (failure,) = failures
    assert failure.startswith("plugin 'a_watcher' of a-watcher: latentkit_run_started: ZeroDivis")
    import b_watcher

    assert b_watcher.SEEN == ["the run"]
