"""The target of a spec is imported when it is used, and its options are checked."""

from typing import Literal

import pytest
from pydantic import Field

from latentkit.errors import BrokenEnvironmentError, PluginError, UserError
from latentkit.plugin import ModelSpec, Options
from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins
from latentkit.registry.options import (
    check_requirements,
    describe_options,
    missing_requirements,
    options_type,
    resolve_target,
    validate,
)

BUILT_IN = Registry(found for found in find_plugins() if found.built_in).parts()


class Net(Options):
    """Options of a test."""

    width: int = Field(16, ge=1, le=64, description="Width.")
    mode: Literal["fast", "slow"] = "fast"
    count: int | Literal["auto"] = "auto"


def spec(**fields):
    return ModelSpec(**{"name": "net", "summary": "A net", "target": "json:dumps", **fields})


@pytest.mark.parametrize("target", ["no_such_module:x", "json:no_such_name"])
def test_a_missing_target_is_a_plugin_error(target):
    with pytest.raises(PluginError, match=f"model 'net' names '{target}', which cannot"):
        resolve_target(target, "model 'net'")


@pytest.mark.parametrize("code", ["raise SystemExit(0)", "1 / 0", "def (:"])
def test_a_target_that_fails_on_import_does_not_crash_the_tool(code, tmp_path, monkeypatch):
    (tmp_path / "failing_target.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError, match="model 'net' names 'failing_target:x', which cannot"):
        resolve_target("failing_target:x", "model 'net'")


def test_an_error_for_the_user_passes_through_a_target(tmp_path, monkeypatch):
    code = "from latentkit.errors import BrokenEnvironmentError as E; raise E('no driver')"
    (tmp_path / "needy_target.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BrokenEnvironmentError, match=r"^no driver$"):
        resolve_target("needy_target:x", "model 'net'")


def test_a_missing_requirement_is_named_with_the_command_that_installs_it():
    needy = spec(requires=("no-such-package>=2", "torch>=1", "numpy>=99", "x; python_version<'3'"))
    assert missing_requirements(needy) == ["no-such-package>=2", "numpy>=99"]
    with pytest.raises(
        BrokenEnvironmentError, match=r"pip install 'no-such-package>=2' 'numpy>=99'$"
    ):
        check_requirements(needy)
    check_requirements(spec(requires=("NumPy>=1", "pytest")))


def test_options_that_are_not_a_subclass_of_options_are_a_plugin_error():
    with pytest.raises(PluginError, match="not a subclass of Options"):
        options_type(spec(options="json:JSONDecoder"))
    assert not options_type(spec()).model_fields


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"widht": 3}, "model net has no option 'widht' .did you mean 'width'.*it has width, mode"),
        ({"width": 0}, "model net: width = 0 is not valid: should be 1 or more$"),
        ({"width": "wide"}, "width = 'wide' is not valid: should be a whole number$"),
        (
            {"mode": "slwo"},
            "mode = 'slwo' .* should be 'fast' or 'slow' .did you mean 'slow'",
        ),
        ({"count": "many"}, "count = 'many' is not valid: should be a whole number or 'auto'$"),
        ({"width": 0, "colour": 1}, "has no option 'colour'"),
    ],
)
def test_an_invalid_option_is_explained_in_one_line(values, message):
    with pytest.raises(UserError, match=message) as raised:
        validate(Net, values, "model net")
    assert "\n" not in str(raised.value)


def test_a_missing_required_option_is_named():
    class Folder(Options):
        path: str

    with pytest.raises(UserError, match=r"^dataset folder needs the option 'path', which has no"):
        validate(Folder, {}, "dataset folder")


@pytest.mark.parametrize("part", BUILT_IN, ids=str)
def test_every_built_in_part_describes_each_option_and_has_valid_defaults(part):
    assert part.options({})
    for fact in describe_options(part.options_type()):
        assert fact["description"].endswith("."), fact["name"]
