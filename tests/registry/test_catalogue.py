"""A name means one part or gives an error, in whatever order plugins were found."""

import random

import pytest

from latentkit.errors import BrokenEnvironmentError, PluginError, UserError
from latentkit.registry.catalogue import KINDS, Registry, default_registry
from latentkit.registry.discovery import FoundPlugin, PluginPolicy, find_plugins

OFFER = """
    from latentkit.plugin import EmbeddingSpec, ModelSpec, hookimpl
    LATENTKIT_HOOKSPEC_VERSION = 1

    @hookimpl
    def latentkit_embeddings():
        yield EmbeddingSpec(name="shared", summary="A map", FIELDS)

    @hookimpl
    def latentkit_models():
        yield ModelSpec(name="own-HERE", summary="A net", target="json:dumps")
"""


def offer(here, fields="target='json:dumps'"):
    return OFFER.replace("HERE", here).replace("FIELDS", fields)


@pytest.fixture
def two(install_plugin):
    install_plugin("first_maps", offer("first"))
    install_plugin("second_maps", offer("second"))


def test_the_order_in_which_plugins_are_found_does_not_matter(two, install_plugin):
    install_plugin("a_broken_one", "1 / 0")
    install_plugin("z_broken_one", "1 / 0")
    found = find_plugins()
    registries = [Registry(random.Random(n).sample(found, len(found))) for n in range(4)]
    shown = {
        (
            tuple(part.qualified_name for part in registry.parts()),
            tuple(map(str, registry.problems)),
        )
        for registry in registries
    }
    assert len(shown) == 1


def test_a_name_clash_does_not_affect_other_names_of_both_plugins(two):
    registry = default_registry()
    with pytest.raises(UserError, match="choose first-maps:shared or second-maps:shared"):
        registry.get("embedding", "shared")
    for here in ("first", "second"):
        part = registry.get("embedding", f"{here}-maps:shared")
        assert part.plugin.distribution == f"{here}-maps"
        assert registry.short_name(part) == part.qualified_name
        assert registry.get("model", f"own-{here}").plugin.distribution == f"{here}-maps"


def test_a_name_is_looked_up_in_its_own_kind(two):
    with pytest.raises(UserError, match="there is no model 'shared'; known models: "):
        default_registry().get("model", "shared")
    with pytest.raises(UserError, match="there is no embedding 'other-maps:shared'"):
        default_registry().get("embedding", "other-maps:shared")


def test_an_unknown_name_suggests_the_nearest_and_lists_each_name_once(two):
    with pytest.raises(UserError, match=r"no embedding 'shred' \(did you mean 'shared'\?\)") as e:
        default_registry().get("embedding", "shred")
    assert str(e.value).count("shared") == 2


def test_parts_are_sorted_by_kind_name_and_distribution(two):
    parts = default_registry().parts()
    keys = [(KINDS.index(p.spec.kind), p.spec.name, p.plugin.distribution) for p in parts]
    assert keys == sorted(keys)
    assert {part.spec.kind for part in parts} == set(KINDS)


def test_an_installation_without_any_part_of_a_kind_suggests_latentkit_doctor():
    with pytest.raises(UserError, match=r"no plugin offers any tuner.*'latentkit doctor'"):
        Registry([]).get("tuner", "optuna")


def test_installed_plugins_are_loaded_once_and_again_if_the_policy_changes(two, monkeypatch):
    registry = default_registry()
    assert default_registry() is registry
    monkeypatch.setenv("LATENTKIT_PLUGINS", "first-maps")
    allowed = default_registry()
    assert allowed.get("embedding", "shared").plugin.distribution == "first-maps"
    assert "second-maps" in {found.distribution for found in allowed.skipped}


def test_strict_mode_ignores_plugins_that_are_not_allowed_to_load():
    broken = FoundPlugin("broken", "broken", "no_such_module", "1.0")
    registry = Registry([broken], PluginPolicy(frozenset(), strict=True))
    assert (registry.skipped, registry.problems) == ([broken], [])
    with pytest.raises(PluginError, match="no_such_module"):
        Registry([broken], PluginPolicy(strict=True))


def test_the_requirements_of_a_part_are_checked_before_it_is_imported(install_plugin):
    fields = "target='no_such_module:x', requires=('no-such-package>=2',)"
    install_plugin("needy_maps", offer("needy", fields))
    part = default_registry().get("embedding", "needy-maps:shared")
    with pytest.raises(
        BrokenEnvironmentError,
        match="embedding 'shared' needs no-such-package>=2: run  pip install 'no-such-package>=2'",
    ):
        part.target()


def test_a_part_gives_its_target_and_its_options(two):
    part = default_registry().get("embedding", "first-maps:shared")
    assert str(part) == "embedding 'shared'"
    assert part.target()([1]) == "[1]"
    assert part.options({}).model_dump() == {}
    with pytest.raises(UserError, match="embedding shared has no option 'k'; it has none"):
        part.options({"k": 1})
