"""The hooks are those of the contract, and the example in each docstring works."""

import inspect
from textwrap import dedent
from types import ModuleType

import pluggy
import pytest

from latentkit.plugin import hookspecs
from latentkit.plugin.hookspecs import HOOKSPEC_VERSION, hookimpl
from latentkit.plugin.specs import SPEC_TYPES
from latentkit.registry.discovery import FoundPlugin
from latentkit.registry.loading import PluginLoader

HOOKS = {
    name: hook
    for name, hook in vars(hookspecs).items()
    if name.startswith("latentkit_") and inspect.isfunction(hook)
}
KIND_HOOKS = [f"latentkit_{kind}s" for kind in SPEC_TYPES]


def example(hook):
    """Return the code below ``Example::`` in the docstring of a hook."""
    _, found, code = inspect.getdoc(HOOKS[hook]).partition("Example::\n")
    assert found, f"{hook} shows no example"
    return dedent(code)


def declared(code, name="latentkit_example"):
    """Return a module that holds ``code`` under the imports of a plugin."""
    module = ModuleType(name)
    head = "from latentkit.plugin import *\n"
    exec(head + code, vars(module))
    return module


def test_there_is_a_hook_for_each_kind_and_there_are_five_that_watch_runs():
    watching = {
        "latentkit_run_started",
        "latentkit_epoch_finished",
        "latentkit_run_finished",
        "latentkit_study_started",
        "latentkit_study_finished",
    }
    assert set(HOOKS) == {*KIND_HOOKS, *watching}


@pytest.mark.parametrize("kind", SPEC_TYPES)
def test_the_example_of_a_kind_hook_offers_a_part_of_that_kind(kind):
    hook = f"latentkit_{kind}s"
    manager = pluggy.PluginManager("latentkit")
    manager.add_hookspecs(hookspecs)
    manager.register(declared(example(hook)))
    manager.check_pending()
    ((spec,),) = (tuple(answer) for answer in getattr(manager.hook, hook)())
    assert type(spec) is SPEC_TYPES[kind]
    assert spec.name.startswith("my-")


@pytest.mark.parametrize("hook", sorted(set(HOOKS) - set(KIND_HOOKS)))
def test_the_example_of_a_watching_hook_takes_the_arguments_of_its_spec(hook):
    implementation = getattr(declared(example(hook)), hook)
    wanted = list(inspect.signature(HOOKS[hook]).parameters)
    assert list(inspect.signature(implementation).parameters) == wanted


def test_a_plugin_may_take_fewer_arguments_than_a_hook_has():
    class Watcher:
        seen = None

        @hookimpl
        def latentkit_run_finished(self, status):
            self.seen = status

    loader, watcher = PluginLoader(), Watcher()
    found = FoundPlugin("watchers", "watcher", "", "1.0")
    loader._register(found, watcher)
    loader.call(found, "latentkit_run_finished", run=None, status="finished", summary={}, error="")
    assert watcher.seen == "finished"


def test_the_version_of_the_contract_is_a_whole_number():
    assert type(HOOKSPEC_VERSION) is int
    assert HOOKSPEC_VERSION == 1
