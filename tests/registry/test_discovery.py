"""Plugins are found by the metadata of installed distributions, without importing them."""

import subprocess
import sys

import pytest

from latentkit.registry.discovery import (
    FoundPlugin,
    PluginPolicy,
    find_plugins,
    policy_from_environment,
)

CODE = "raise AssertionError('imported')"


def third_parties(*names):
    return [found for found in find_plugins() if found.distribution in names]


def install_distribution(site, folder, metadata=None, entries=None):
    info = site / f"{folder}.dist-info"
    info.mkdir()
    for name, content in (("METADATA", metadata), ("entry_points.txt", entries)):
        if content is not None:
            (info / name).write_bytes(content)


def test_discovery_returns_records_and_imports_nothing(install_plugin):
    install_plugin("my_maps", CODE, distribution="My.Own_Maps", version="3.1", entry="maps")
    assert third_parties("my-own-maps") == [FoundPlugin("my-own-maps", "maps", "my_maps", "3.1")]
    assert "my_maps" not in sys.modules


def test_an_installed_plugin_is_found_by_other_processes_too(install_plugin):
    install_plugin("my_maps", CODE)
    code = (
        "from latentkit.registry.discovery import find_plugins; print(*find_plugins(), sep='\\n')"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert repr(third_parties("my-maps")[0]) in shown.stdout.splitlines()


def test_built_in_parts_are_found_in_the_same_way():
    built_in = {found.name for found in find_plugins() if found.built_in}
    assert built_in == {"models", "datasets", "corruptions", "embeddings", "tuners"}


@pytest.mark.parametrize("written", ["My.Maps", "my__maps", "MY-maps", "my-._maps"])
def test_spellings_that_pip_treats_as_one_distribution_are_one(
    install_plugin, monkeypatch, written
):
    install_plugin("my_maps", CODE, distribution=written)
    (found,) = third_parties("my-maps")
    monkeypatch.setenv("LATENTKIT_PLUGINS", "My-Maps")
    assert policy_from_environment().allows(found)


def test_a_distribution_later_on_the_path_is_hidden_by_one_of_the_same_name(
    install_plugin, tmp_path, monkeypatch
):
    site = install_plugin("my_maps", CODE, version="2.0")
    behind = tmp_path / "behind"
    behind.mkdir()
    install_distribution(
        behind,
        "my_maps-1.0",
        b"Metadata-Version: 2.1\nName: my-maps\nVersion: 1.0\n",
        b"[latentkit.plugins]\nold = old_maps\n",
    )
    monkeypatch.setattr(sys, "path", [str(site), str(behind), *sys.path])
    assert [found.version for found in third_parties("my-maps")] == ["2.0"]


@pytest.mark.parametrize(
    ("metadata", "entries"),
    [
        (None, None),
        (b"Metadata-Version: 2.1\n", b"[latentkit.plugins]\na = b\n"),
        (b"Name: \xff\xfe\n", b"[latentkit.plugins]\na = b\n"),
        (b"Name: damaged\nVersion: 1\n", b"[latentkit.plugins]\nno equals sign\n"),
        (b"Name: damaged\nVersion: 1\n", b"[latentkit.plugins]\n\xff = b\n"),
    ],
    ids=["empty folder", "no name", "bad metadata", "bad entry", "bad text"],
)
def test_a_damaged_distribution_does_not_hide_others(install_plugin, metadata, entries):
    site = install_plugin("my_maps", CODE)
    install_distribution(site, "damaged-1.0", metadata, entries)
    assert len(third_parties("my-maps")) == 1
    assert not third_parties("damaged")


@pytest.mark.parametrize(
    ("listed", "allowed"),
    [
        (None, {"one", "two-three"}),
        ("", set()),
        (" , ", set()),
        ("one", {"one"}),
        (" One , Two_Three ", {"one", "two-three"}),
        ("on", set()),
    ],
)
def test_the_allow_list_is_read_from_the_environment(monkeypatch, listed, allowed):
    if listed is not None:
        monkeypatch.setenv("LATENTKIT_PLUGINS", listed)
    policy = policy_from_environment()
    found = [FoundPlugin(name, "maps", "m", "1.0") for name in ("one", "two-three")]
    assert {plugin.distribution for plugin in found if policy.allows(plugin)} == allowed
    assert policy.allows(FoundPlugin("latentkit", "models", "m", "1.0"))


@pytest.mark.parametrize(("value", "strict"), [("", False), ("0", False), ("1", True)])
def test_strict_mode_is_read_from_the_environment(monkeypatch, value, strict):
    assert policy_from_environment() == PluginPolicy()
    monkeypatch.setenv("LATENTKIT_STRICT", value)
    assert policy_from_environment().strict is strict
